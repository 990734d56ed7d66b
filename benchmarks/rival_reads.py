"""The usual stack, for comparison: FastAPI `response_model`, SQLAlchemy's async ORM, aiosqlite.

Run as a program: `python -m benchmarks.rival_reads DATABASE PORT`. It authenticates with one read,
as ours does, and answers the same two routes with the same fields.
"""

import hashlib
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables' root."""


class Key(Base):
    """A key and its project."""

    __tablename__ = "keys"
    digest: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]


class Job(Base):
    """A fine-tuning job."""

    __tablename__ = "jobs"
    sequence: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    project_id: Mapped[str] = mapped_column(index=True)
    organization_id: Mapped[str]
    created_at: Mapped[int]
    finished_at: Mapped[int | None]
    estimated_finish: Mapped[int | None]
    model: Mapped[str]
    fine_tuned_model: Mapped[str | None]
    status: Mapped[str]
    training_file: Mapped[str]
    validation_file: Mapped[str | None]
    result_files: Mapped[list[str]] = mapped_column(JSON)
    trained_tokens: Mapped[int | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    method: Mapped[dict[str, Any]] = mapped_column(JSON)
    integrations: Mapped[list[Any]] = mapped_column(JSON)
    job_metadata: Mapped[dict[str, str] | None] = mapped_column(JSON)
    seed: Mapped[int]


class Error(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class Hyperparameters(BaseModel):
    """OpenAI's three."""

    n_epochs: int | str
    batch_size: int | str
    learning_rate_multiplier: float | str


class Supervised(BaseModel):
    """The method's own object."""

    hyperparameters: Hyperparameters


class Method(BaseModel):
    """How the job learns."""

    type: str
    supervised: Supervised | None = None


class JobOut(BaseModel):
    """OpenAI's job object."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    object: str = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: str
    training_file: str
    validation_file: str | None
    result_files: list[str]
    trained_tokens: int | None
    error: Error | None
    hyperparameters: Hyperparameters
    method: Method
    integrations: list[Any]
    job_metadata: dict[str, str] | None
    seed: int


class PageOut(BaseModel):
    """A page of jobs."""

    object: str = "list"
    data: list[JobOut]
    has_more: bool


def create_app(database: str) -> FastAPI:
    """The application over a SQLite file."""
    sessions = async_sessionmaker(create_async_engine(f"sqlite+aiosqlite:///{database}"))
    app = FastAPI()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    Session = Annotated[AsyncSession, Depends(session)]  # noqa: N806 - a type, like any alias

    async def project(opened: Session, authorization: Annotated[str, Header()]) -> str:
        secret = authorization.removeprefix("Bearer ")
        found = await opened.get(Key, hashlib.sha256(secret.encode()).hexdigest())
        if found is None:
            raise HTTPException(401)
        return found.project_id

    Project = Annotated[str, Depends(project)]  # noqa: N806 - a type, like any alias

    @app.get("/v1/fine_tuning/jobs/{job_id}", response_model=JobOut)
    async def retrieve(job_id: str, opened: Session, project_id: Project) -> Job:
        query = select(Job).where(Job.id == job_id, Job.project_id == project_id)
        found = (await opened.execute(query)).scalar_one_or_none()
        if found is None:
            raise HTTPException(404)
        return found

    @app.get("/v1/fine_tuning/jobs", response_model=PageOut)
    async def page(opened: Session, project_id: Project, limit: int = 20) -> dict[str, Any]:
        query = (
            select(Job)
            .where(Job.project_id == project_id)
            .order_by(Job.sequence.desc())
            .limit(limit + 1)
        )
        found = (await opened.execute(query)).scalars().all()
        return {"data": found[:limit], "has_more": len(found) > limit}

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(sys.argv[1]),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
