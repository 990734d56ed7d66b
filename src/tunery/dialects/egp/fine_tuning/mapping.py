"""Scale's words for jobs and their events, and back. Pure functions, nothing else."""

import re
from collections.abc import Mapping
from typing import cast

from msgspec import UNSET, UnsetType

from tunery.core.events import Event
from tunery.core.hyperparameters import Hyperparameters
from tunery.core.job import FineTuningJob, JobStatus, NewJob
from tunery.core.lora import LoraConfig
from tunery.core.method import Supervised
from tunery.dialects.egp.errors import Misplaced, Place
from tunery.dialects.egp.fine_tuning import hyperparameters, schemas

DOOR = "egp"
_CONFIGURATION = "vendor_configuration"

STATUS: dict[JobStatus, schemas.Status] = {
    JobStatus.VALIDATING_FILES: "PENDING",
    JobStatus.QUEUED: "PENDING",
    JobStatus.RUNNING: "RUNNING",
    JobStatus.PAUSED: "PENDING",
    JobStatus.SUCCEEDED: "COMPLETED",
    JobStatus.FAILED: "FAILED",
    JobStatus.CANCELLED: "CANCELED",
}

PLACES: Mapping[str, Place] = {
    "model": ("body", "base_model_id"),
    "training_file": ("body", "training_dataset_id"),
    "validation_file": ("body", "validation_dataset_id"),
    "engine": ("body", _CONFIGURATION, "vendor"),
    "suffix": ("body", _CONFIGURATION, "suffix"),
    "target_modules": (*hyperparameters.PLACE, "peft_config", "target_modules"),
    "Idempotency-Key": ("header", "Idempotency-Key"),
}
"""Where a create call has what the core knows by another name."""

_SECRET_NAME = re.compile(r"key|secret|token|passw|passphrase|pwd|credential|auth", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s]*@")
"""An address with a name or password before its host."""


def to_core(body: schemas.CreateJob) -> NewJob:
    """`body` as the core's request.

    Raises:
        Misplaced: it asks for what cannot be.
    """
    if body.fine_tuned_model_id is not None:
        raise Misplaced(
            "A job cannot write into a model that is there: leave fine_tuned_model_id out. To go "
            "on from a tuned model, name it as base_model_id; the job makes a new one.",
            "body",
            "fine_tuned_model_id",
        )
    asked = body.vendor_configuration
    settings, lora = _settings(asked)
    return NewJob(
        model=body.base_model_id,
        training_file=body.training_dataset_id,
        validation_file=body.validation_dataset_id,
        method=Supervised(hyperparameters=settings),
        lora=lora,
        vendor=None if asked is None else asked.vendor,
        suffix=None if asked is None else asked.suffix,
        echo={} if asked is None else {DOOR: {_CONFIGURATION: _kept(asked)}},
    )


def to_wire(job: FineTuningJob) -> schemas.JobObject:
    """`job` as `GET /v4/fine-tuning-jobs/{id}` answers it."""
    return schemas.JobObject(
        id=job.id,
        account_id=job.project_id,
        created_at=job.created_at,
        created_by_user_id=job.created_by,
        created_by_identity_type=job.created_by_type,
        status=STATUS[job.status],
        training_dataset_id=job.training_file,
        validation_dataset_id=UNSET if job.validation_file is None else job.validation_file,
        base_model_id=job.base_model,
        fine_tuned_model_id=UNSET if job.fine_tuned_model is None else job.fine_tuned_model,
        vendor_configuration=_echoed(job.echo.get(DOOR)),
    )


def event_to_wire(event: Event) -> schemas.EventObject:
    """`event` as the list of events answers it."""
    return schemas.EventObject(
        timestamp=event.created_at.timestamp(), message=event.message, level=event.level
    )


def _settings(
    asked: schemas.VendorConfiguration | None,
) -> tuple[Hyperparameters, LoraConfig]:
    if asked is None:
        return Hyperparameters(), LoraConfig()
    if asked.vendor == "OPENAI":
        for name in ("wandb_config", "output"):
            if getattr(asked, name) is not None:
                raise Misplaced(
                    f"{name} belongs to LAUNCH and LLMENGINE; OPENAI has none",
                    "body",
                    _CONFIGURATION,
                    name,
                )
    return hyperparameters.to_core(asked.hyperparameters or {})


def _kept(asked: schemas.VendorConfiguration) -> dict[str, object]:
    """The configuration as it is given back: as it came, without secrets and nulls."""
    kept = asked.model_dump(exclude_none=True)
    if "wandb_config" in kept:
        kept["wandb_config"] = _without_secrets(kept["wandb_config"])
    return kept


def _without_secrets(value: object) -> object:
    """`value` without what looks like a secret: nothing here uses it, so that none is kept."""
    match value:
        case dict():
            return {
                name: _without_secrets(each)
                for name, each in value.items()
                if _SECRET_NAME.search(name) is None and not _has_password(each)
            }
        case list():
            return [_without_secrets(each) for each in value if not _has_password(each)]
        case _:
            return value


def _has_password(value: object) -> bool:
    return isinstance(value, str) and _SECRET_VALUE.search(value) is not None


def _echoed(kept: object) -> Mapping[str, object] | UnsetType:
    """What a job of this door was configured with; others were configured in other words."""
    if not isinstance(kept, Mapping):
        return UNSET
    return cast(Mapping[str, object], kept[_CONFIGURATION])
