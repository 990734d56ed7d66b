"""Files and chunked uploads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tunery.core.access import IdentityType


class Format(StrEnum):
    """What the rows of a training file are."""

    CHAT = "chat"
    COMPLETION = "completion"
    PREFERENCE = "preference"
    REINFORCEMENT = "reinforcement"
    PICTURES = "pictures"
    """No rows, but a ZIP of pictures with their captions (`picture_sets`)."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A stored file. Its bytes are the blob `files/<id>`."""

    id: str
    """`file-` and 24 hexadecimal digits."""
    project_id: str
    created_at: datetime
    filename: str
    purpose: str
    size_bytes: int
    sha256: str
    expires_at: datetime | None = None
    format: Format | None = None
    """None where the purpose is not a training set."""
    n_rows: int | None = None
    created_by: str = ""
    created_by_type: IdentityType = IdentityType.USER
    echo: Mapping[str, object] = field(default_factory=dict)
    """Per dialect, what it must give back and nobody else has a use for."""

    @property
    def blob(self) -> str:
        """The key under which the bytes lie."""
        return f"files/{self.id}"


class UploadStatus(StrEnum):
    """Where a chunked upload stands."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that arrives in parts."""

    id: str
    """`upload_` and 24 hexadecimal digits."""
    project_id: str
    created_at: datetime
    expires_at: datetime
    filename: str
    mime_type: str
    purpose: str
    size_bytes: int
    status: UploadStatus = UploadStatus.PENDING
    file_expires_after_s: int | None = None
    file_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class UploadPart:
    """One part of an upload. Its bytes are the blob `uploads/<upload>/<part>`."""

    id: str
    """`part_` and 24 hexadecimal digits."""
    upload_id: str
    created_at: datetime
    size_bytes: int

    @property
    def blob(self) -> str:
        """The key under which the bytes lie."""
        return f"uploads/{self.upload_id}/{self.id}"
