"""Everything behind the doors, in memory: a server without processes or disks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from tests.dialects.databases import HidingSealer, ScriptedDatabases
from tests.store.values import (
    FINISHED,
    GOOD,
    OURS,
    THEIRS,
    MovableClock,
    a_file,
    claimed,
    first_key,
    saved,
    steps,
)
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller
from tunery.core.closable import Closable
from tunery.core.errors import NotFound, TuneryError
from tunery.core.files import Format
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.models import BaseModel
from tunery.core.preflight import Preflight
from tunery.dialects import DIALECTS, answer_http_exception
from tunery.engines.scripted import ScriptedEngine
from tunery.service.deployments import Deployments
from tunery.service.files import Files
from tunery.service.garbage import RunFolders
from tunery.service.generate import Generation
from tunery.service.health import Health
from tunery.service.jobs import Jobs
from tunery.service.keys import Keys
from tunery.service.models import Models
from tunery.service.routing import Routing
from tunery.service.services import Services
from tunery.store.memory import MemoryStore
from tunery.wiring import text_to_sql

REPORT = Preflight(
    format="chat",
    n_rows=20,
    n_examples=20,
    n_overlong=0,
    context=2048,
    tokens=None,
    problems=(),
    n_errors=0,
    n_warnings=0,
    memory_bytes=1_000_000,
)


class FakeCatalog:
    """Two base models, and one alias."""

    def __init__(self) -> None:
        made = MovableClock().now()
        self._models = {
            name: BaseModel(name=name, location=f"/{name}", owned_by=owner, created_at=made)
            for name, owner in (("tiny-chat", "tunery"), ("org/model", "org"))
        }
        self._aliases = {"gpt-4o-mini": "tiny-chat"}

    def models(self) -> Sequence[BaseModel]:
        return list(self._models.values())

    def resolve(self, name: str) -> BaseModel:
        found = self._models.get(self._aliases.get(name, name))
        if found is None:
            message = f"There is no base model {name!r}. Base models here: tiny-chat, org/model."
            raise NotFound("model", name, param="model", message=message)
        return found


class ScriptedGenerator:
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[GenerationRequest] = []
        self.pieces: list[Piece] = [
            Piece(text="Hel"),
            Piece(text="lo"),
            Piece(finish_reason="stop", usage=(5, 2)),
        ]
        self.says: list[str] = []
        """Whole answers to the requests to come; `pieces` once there are none left."""
        self.failure: TuneryError | None = None
        self.n_closed = 0

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        self.asked.append(request)
        try:
            yield from [_whole(self.says.pop(0))] if self.says else self.pieces
            if self.failure is not None:
                raise self.failure
        finally:
            self.n_closed += 1

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """A token a word."""
        return Measured(context=2048, n_tokens=tuple(len(text.split()) for text in texts))

    def close(self) -> None:
        return


def _whole(text: str) -> Piece:
    return Piece(text=text, finish_reason="stop", usage=(5, 2))


@dataclass(frozen=True, kw_only=True)
class World:
    """What the tests move, and the application that they ask."""

    store: MemoryStore
    clock: MovableClock
    generator: ScriptedGenerator
    databases: ScriptedDatabases
    services: Services
    app: FastAPI

    def file(self, caller: Caller = OURS, *, purpose: str = "fine-tune", n_rows: int = 20) -> str:
        """The id of an uploaded training file."""
        file = replace(
            a_file(caller.project_id, purpose=purpose), format=Format.CHAT, n_rows=n_rows
        )
        self.store.add_file(file)
        return file.id

    def finish(self, job_id: str, *, n_steps: int = 3) -> str:
        """Carry out the job that waits, with a checkpoint at the last step; its model's name."""
        validation = claimed(self.store)
        assert validation.job.id == job_id
        self.store.validated(validation.lease, GOOD)
        run = claimed(self.store)
        self.store.apply(run.lease, [*steps(1, n_steps), saved(n_steps), FINISHED])
        model = self.store.job(run.job.project_id, job_id).fine_tuned_model
        assert model is not None
        return model


def make_world(folder: Path) -> World:
    """A server with the projects of `OURS` and `THEIRS`, whose keys' ids are also their secrets."""
    clock, generator, catalog = MovableClock(), ScriptedGenerator(), FakeCatalog()
    store = MemoryStore(clock)
    for caller in (OURS, THEIRS):
        store.add_project(caller, first_key(caller))
    blobs, databases, sealer = FolderBlobs(folder), ScriptedDatabases(), HidingSealer()
    engines = {"local": ScriptedEngine([FINISHED], report=REPORT)}
    routing = Routing(
        engines=engines, accounts={"openai-main": "local"}, routes={"org/*": "openai-main"}
    )
    models = Models(store, catalog, RunFolders(store, blobs), routing, store.deployments)
    jobs = Jobs(
        store=store,
        catalog=catalog,
        models=models,
        engines=engines,
        clock=clock,
        sealer=sealer,
        wake=lambda: None,
        routing=routing,
    )
    asking = text_to_sql.put_together(sealer, databases, store, blobs, generator, clock)
    services = Services(
        keys=Keys(store, clock),
        files=Files(store, blobs, clock, max_file_bytes=1_000_000),
        jobs=jobs,
        models=models,
        deployments=Deployments(models, store.deployments, clock),
        routing=routing,
        generation=Generation(models, blobs, generator),
        health=Health(store, engines),
        text_to_sql=text_to_sql.use_cases(
            asking, store, jobs, models, clock, text_model="tiny-chat"
        ),
        reads_in_place=True,
    )
    app = FastAPI(redirect_slashes=False)
    app.state.services = services
    for router in DIALECTS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, answer_http_exception)
    return World(
        store=store,
        clock=clock,
        generator=generator,
        databases=databases,
        services=services,
        app=app,
    )
