"""Rows into the core's values and back, by position: no reflection, no names looked up per row."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tunery.core.access import ApiKey, IdentityType
from tunery.core.errands import Errand
from tunery.core.events import Checkpoint, Event, event_id
from tunery.core.files import File, Format, Upload, UploadPart, UploadStatus
from tunery.core.models import FineTunedModel
from tunery.core.progress import Metrics
from tunery.core.webhooks import Notice
from tunery.store.sql.database import Row
from tunery.store.steps import step_of
from tunery.store.times import from_us, from_us_or_none, to_us, to_us_or_none

_data: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_metrics: msgspec.json.Decoder[Metrics] = msgspec.json.Decoder(Metrics)
_notice = msgspec.json.Decoder(Notice).decode
_echo = msgspec.json.Decoder(dict[str, Any]).decode
IDENTITY_TYPE = {str(each): each for each in IdentityType}
_encoder = msgspec.json.Encoder()


def to_json(value: object) -> str:
    """`value` as a JSON text."""
    return _encoder.encode(value).decode()


def key_values(key: ApiKey) -> dict[str, object]:
    """The columns of a new key."""
    return {
        "id": key.id,
        "project_id": key.project_id,
        "user_id": key.user_id,
        "name": key.name,
        "digest": key.digest,
        "hint": key.hint,
        "created_at_us": to_us(key.created_at),
        "expires_at_us": to_us_or_none(key.expires_at),
        "revoked_at_us": to_us_or_none(key.revoked_at),
    }


def key(row: Row) -> ApiKey:
    """A key from `LISTED_KEY_COLUMNS`."""
    return ApiKey(
        id=row[0],
        project_id=row[1],
        user_id=row[2],
        name=row[3],
        digest=bytes(row[4]),
        hint=row[5],
        created_at=from_us(row[6]),
        expires_at=from_us_or_none(row[7]),
        revoked_at=from_us_or_none(row[8]),
        identity_type=IDENTITY_TYPE[row[9]],
        service_account=row[10],
    )


def file_values(file: File) -> dict[str, object]:
    """The columns of a new file."""
    return {
        "id": file.id,
        "project_id": file.project_id,
        "created_at_us": to_us(file.created_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "expires_at_us": to_us_or_none(file.expires_at),
        "format": None if file.format is None else file.format.value,
        "n_rows": file.n_rows,
        "created_by": file.created_by,
        "created_by_type": file.created_by_type.value,
        "echo": to_json(file.echo),
    }


def file(row: Row) -> File:
    """A file from `FILE_COLUMNS`."""
    return File(
        id=row[0],
        project_id=row[1],
        created_at=from_us(row[2]),
        filename=row[3],
        purpose=row[4],
        size_bytes=row[5],
        sha256=row[6],
        expires_at=from_us_or_none(row[7]),
        format=None if row[8] is None else Format(row[8]),
        n_rows=row[9],
        created_by=row[10],
        created_by_type=IDENTITY_TYPE[row[11]],
        echo=_echo(row[12]),
    )


def upload_values(upload: Upload) -> dict[str, object]:
    """The columns of a new upload."""
    return {
        "id": upload.id,
        "project_id": upload.project_id,
        "created_at_us": to_us(upload.created_at),
        "expires_at_us": to_us(upload.expires_at),
        "filename": upload.filename,
        "mime_type": upload.mime_type,
        "purpose": upload.purpose,
        "size_bytes": upload.size_bytes,
        "status": upload.status.value,
        "file_expires_after_s": upload.file_expires_after_s,
        "file_id": upload.file_id,
    }


def upload(row: Row) -> Upload:
    """An upload from `UPLOAD_COLUMNS`."""
    return Upload(
        id=row[0],
        project_id=row[1],
        created_at=from_us(row[2]),
        expires_at=from_us(row[3]),
        filename=row[4],
        mime_type=row[5],
        purpose=row[6],
        size_bytes=row[7],
        status=UploadStatus(row[8]),
        file_expires_after_s=row[9],
        file_id=row[10],
    )


def part_values(project_id: str, part: UploadPart) -> dict[str, object]:
    """The columns of a new part."""
    return {
        "id": part.id,
        "project_id": project_id,
        "upload_id": part.upload_id,
        "created_at_us": to_us(part.created_at),
        "size_bytes": part.size_bytes,
    }


def part(row: Row) -> UploadPart:
    """A part from `PART_COLUMNS`."""
    return UploadPart(id=row[0], upload_id=row[1], created_at=from_us(row[2]), size_bytes=row[3])


def event(row: Row) -> Event:
    """An event from `EVENT_COLUMNS`."""
    return Event(
        id=event_id(row[0], row[1]),
        job_id=row[0],
        number=row[1],
        created_at=from_us(row[2]),
        level=row[3],
        message=row[4],
        type=row[5],
        data=None if row[6] is None else _data.decode(row[6]),
    )


def step(text: str) -> Metrics:
    """The metrics that a `metrics` event's data tells."""
    return step_of(_data.decode(text))


def checkpoint_values(checkpoint: Checkpoint) -> dict[str, object]:
    """The columns of a new checkpoint."""
    return {
        "id": checkpoint.id,
        "project_id": checkpoint.project_id,
        "job_id": checkpoint.job_id,
        "created_at_us": to_us(checkpoint.created_at),
        "step": checkpoint.step,
        "folder": checkpoint.folder,
        "model": checkpoint.model,
        "base_model": checkpoint.base_model,
        "metrics": to_json(checkpoint.metrics),
    }


def checkpoint(row: Row) -> Checkpoint:
    """A checkpoint from `CHECKPOINT_COLUMNS`."""
    return Checkpoint(
        id=row[0],
        project_id=row[1],
        job_id=row[2],
        created_at=from_us(row[3]),
        step=row[4],
        folder=row[5],
        model=row[6],
        base_model=row[7],
        metrics=_metrics.decode(row[8]),
    )


def checkpoints(found: Sequence[Row]) -> tuple[Checkpoint, ...]:
    """Checkpoints from their rows."""
    return tuple(checkpoint(row) for row in found)


def model_values(model: FineTunedModel) -> dict[str, object]:
    """The columns of a new tuned model."""
    return {
        "name": model.name,
        "project_id": model.project_id,
        "job_id": model.job_id,
        "base_model": model.base_model,
        "adapter": model.adapter,
        "created_at_us": to_us(model.created_at),
        "created_by": model.created_by,
        "created_by_type": model.created_by_type.value,
    }


def model(row: Row) -> FineTunedModel:
    """A tuned model from `MODEL_COLUMNS`."""
    return FineTunedModel(
        name=row[0],
        project_id=row[1],
        job_id=row[2],
        base_model=row[3],
        adapter=row[4],
        created_at=from_us(row[5]),
        created_by=row[6],
        created_by_type=IDENTITY_TYPE[row[7]],
    )


def errand_values(errand: Errand) -> dict[str, object]:
    """The columns of a new errand, but for when it is due."""
    return {
        "id": errand.id,
        "project_id": errand.project_id,
        "kind": errand.kind,
        "subject": errand.subject,
        "notice": None if errand.notice is None else to_json(errand.notice),
        "n_attempts": errand.n_attempts,
    }


def errand(row: Row) -> Errand:
    """An errand from `ERRAND_COLUMNS`."""
    return Errand(
        id=row[0],
        project_id=row[1],
        kind=row[2],
        subject=row[3],
        notice=None if row[4] is None else _notice(row[4]),
        n_attempts=row[5],
    )
