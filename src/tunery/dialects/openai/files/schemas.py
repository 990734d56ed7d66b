"""OpenAI's file and upload objects (API reference, "Files" and "Uploads", 2026)."""

from typing import Literal

import msgspec
from pydantic import BaseModel

Purpose = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
]


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as it is answered."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"
    """A file is there once it is checked, so that it never has another."""
    status_details: None = None


class UploadObject(msgspec.Struct, frozen=True, kw_only=True):
    """An upload in parts, as it is answered."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None = None


class PartObject(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an upload, as it is answered."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


class ExpiresAfterBody(BaseModel):
    """When a file ends."""

    anchor: Literal["created_at"]
    seconds: int


class CreateUploadBody(BaseModel):
    """What an upload will be."""

    bytes: int
    filename: str
    mime_type: str
    purpose: str | None = None
    expires_after: ExpiresAfterBody | None = None


class CompleteUploadBody(BaseModel):
    """The parts of a file in their order, and its md5 if the client knows it."""

    part_ids: list[str]
    md5: str | None = None
