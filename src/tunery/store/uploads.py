"""When an upload may still grow: the same in every store."""

from dataclasses import replace
from datetime import datetime

from tunery.core.errors import InvalidTransition
from tunery.core.files import Upload, UploadStatus


def as_of(upload: Upload, now: datetime) -> Upload:
    """`upload`, EXPIRED where it is pending past its time."""
    if upload.status is UploadStatus.PENDING and upload.expires_at <= now:
        return replace(upload, status=UploadStatus.EXPIRED)
    return upload


def check_pending(upload: Upload) -> None:
    """Refuse to touch an upload that has ended.

    Raises:
        InvalidTransition: the upload is no longer pending.
    """
    if upload.status is not UploadStatus.PENDING:
        raise InvalidTransition(
            f"Upload {upload.id} is {upload.status}; only a pending upload can go on."
        )
