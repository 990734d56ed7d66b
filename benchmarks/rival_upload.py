"""The usual way to take in a training file: `UploadFile`, and a pydantic model per line.

Run as a program: `python -m benchmarks.rival_upload FOLDER PORT`. It hashes, checks and keeps the
file as ours does, and answers the same fields.
"""

import hashlib
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Form, HTTPException, UploadFile
from pydantic import BaseModel, ConfigDict, ValidationError


class Function(BaseModel):
    """A function that is called."""

    name: str
    arguments: str


class Call(BaseModel):
    """A tool call."""

    id: str
    type: Literal["function"]
    function: Function


class Message(BaseModel):
    """A turn."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    name: str | None = None
    weight: Literal[0, 1] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class Row(BaseModel):
    """A training example."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None


class FileObject(BaseModel):
    """What is answered."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


def create_app(folder: Path) -> FastAPI:
    """The application, which keeps files in `folder`."""
    app = FastAPI()

    @app.post("/v1/files", response_model=FileObject)
    def create(file: UploadFile, purpose: Annotated[str, Form()]) -> FileObject:
        file_id = f"file-{secrets.token_hex(12)}"
        digest = hashlib.sha256()
        size = 0
        with (folder / file_id).open("wb") as kept:
            for number, line in enumerate(file.file, start=1):
                _check(number, line)
                digest.update(line)
                size += len(line)
                kept.write(line)
            kept.flush()
            os.fsync(kept.fileno())
        return FileObject(
            id=file_id,
            bytes=size,
            created_at=int(time.time()),
            filename=file.filename or "upload",
            purpose=purpose,
        )

    @app.delete("/v1/files/{file_id}")
    def delete(file_id: str) -> dict[str, str]:
        (folder / file_id).unlink()
        return {"id": file_id}

    return app


def _check(number: int, line: bytes) -> None:
    try:
        row = Row.model_validate_json(line)
    except ValidationError as error:
        raise HTTPException(400, f"line {number}: {error}") from error
    if not any(message.role == "assistant" for message in row.messages):
        raise HTTPException(400, f"line {number}: no assistant message")


if __name__ == "__main__":
    uvicorn.run(
        create_app(Path(sys.argv[1])), port=int(sys.argv[2]), access_log=False, log_level="warning"
    )
