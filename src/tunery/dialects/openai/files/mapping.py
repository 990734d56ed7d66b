"""OpenAI's words for files and uploads, and back. Pure functions, nothing else."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from tunery.core.errors import InvalidValue
from tunery.core.files import File, Upload, UploadPart
from tunery.core.pages import PageRequest
from tunery.dialects.openai.files.schemas import (
    CreateUploadBody,
    FileObject,
    PartObject,
    Purpose,
    UploadObject,
)
from tunery.dialects.openai.gateway import Choice
from tunery.service.intake import UNNAMED, FileRequest

MOST_PER_PAGE = 10_000
_ANCHOR = "expires_after[anchor]"
_SECONDS = "expires_after[seconds]"

# OpenAI takes "evals" and has no word for it in what it answers.
_ANSWERED: Mapping[str, Purpose] = {"evals": "user_data"}


def to_wire(file: File) -> FileObject:
    """`file` as `GET /files/{id}` answers it."""
    return FileObject(
        id=file.id,
        bytes=file.size_bytes,
        created_at=_seconds(file.created_at),
        expires_at=None if file.expires_at is None else _seconds(file.expires_at),
        filename=file.filename,
        purpose=_ANSWERED.get(file.purpose, cast(Purpose, file.purpose)),
    )


def upload_to_wire(upload: Upload, file: File | None = None) -> UploadObject:
    """`upload`, with its file once it is complete."""
    return UploadObject(
        id=upload.id,
        bytes=upload.size_bytes,
        created_at=_seconds(upload.created_at),
        expires_at=_seconds(upload.expires_at),
        filename=upload.filename,
        purpose=upload.purpose,
        status=upload.status.value,
        file=None if file is None else to_wire(file),
    )


def part_to_wire(part: UploadPart) -> PartObject:
    """`part` as adding it answers."""
    return PartObject(id=part.id, created_at=_seconds(part.created_at), upload_id=part.upload_id)


def file_request(fields: Mapping[str, str], filename: str | None, choice: Choice) -> FileRequest:
    """What a form says of its file, and headers where it says nothing."""
    return FileRequest(
        filename=UNNAMED if filename is None else filename,
        purpose=_purpose(fields.get("purpose"), choice),
        expires_after_s=_expires_after(fields),
        echo=choice.echo,
    )


def upload_request(body: CreateUploadBody, choice: Choice) -> FileRequest:
    """What an upload says of the file that it will be, and headers where it says nothing."""
    expires = body.expires_after
    return FileRequest(
        filename=body.filename,
        purpose=_purpose(body.purpose, choice),
        expires_after_s=None if expires is None else expires.seconds,
    )


def page_request(after: str | None, limit: int, order: str) -> PageRequest:
    """The page asked for."""
    if not 0 <= limit <= MOST_PER_PAGE:
        raise InvalidValue(f"limit is {limit}; it must be from 0 to {MOST_PER_PAGE}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidValue(f'order is {order[:80]!r}; it must be "asc" or "desc"', param="order")
    return PageRequest(limit=limit, after=after, ascending=order == "asc")


def _purpose(said: str | None, choice: Choice) -> str:
    purpose = choice.file_purpose if said is None else said
    if purpose is None:
        raise InvalidValue(
            "Missing required parameter: 'purpose'.",
            param="purpose",
            code="missing_required_parameter",
        )
    return purpose


def _expires_after(fields: Mapping[str, str]) -> int | None:
    anchor, seconds = fields.get(_ANCHOR), fields.get(_SECONDS)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise InvalidValue(
            f'{_ANCHOR} is {anchor!r}; it must be "created_at"', param="expires_after"
        )
    if seconds is None or not seconds.isdecimal() or len(seconds) > 12:
        raise InvalidValue(
            f"{_SECONDS} is {seconds!r}; it must be a whole number", param="expires_after"
        )
    return int(seconds)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
