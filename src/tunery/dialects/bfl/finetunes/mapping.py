"""Finetunes in BFL's words, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from tunery.core.job import FineTuningJob
from tunery.core.method import Subject
from tunery.dialects.bfl.addresses import polling_url
from tunery.dialects.bfl.answers import FinetuneSubmitted, told
from tunery.dialects.bfl.finetunes import schemas
from tunery.dialects.bfl.results.mapping import status
from tunery.service.finetunes import DOOR, NewFinetune


def to_core(body: schemas.FinetuneRequest, archive: bytes, *, link_base: str) -> NewFinetune:
    """The finetune that `body` asks for; its `file_data` is `archive`."""
    return NewFinetune(
        archive=archive,
        method=Subject(
            trigger_word=body.trigger_word,
            mode=body.mode.value,
            iterations=body.iterations,
            learning_rate="auto" if body.learning_rate is None else body.learning_rate,
            captioning=body.captioning,
            priority=body.priority.value,
            finetune_type=body.finetune_type.value,
        ),
        lora_rank=body.lora_rank.value,
        comment=body.finetune_comment,
        webhook_url=body.url,
        webhook_secret=body.webhook_secret,
        link_base=link_base,
    )


def submitted(job: FineTuningJob, *, link_base: str) -> FinetuneSubmitted:
    """`job` as the call that made it answers."""
    state, webhook_url = told(job.webhook)
    return FinetuneSubmitted(
        id=job.id,
        finetune_id=job.id,
        polling_url=polling_url(link_base, job.id),
        status=state,
        webhook_url=webhook_url,
    )


def details(job: FineTuningJob) -> schemas.Details:
    """What is known of `job`; what one of another door lacks is null."""
    subject = job.method if isinstance(job.method, Subject) else None
    return schemas.Details(
        finetune_id=job.id,
        finetune_comment=_comment(job),
        trigger_word=None if subject is None else subject.trigger_word,
        mode=None if subject is None else subject.mode,
        iterations=job.total_steps if subject is None else subject.iterations,
        learning_rate=_learning_rate(job),
        captioning=None if subject is None else subject.captioning,
        priority=None if subject is None else subject.priority,
        finetune_type=None if subject is None else subject.finetune_type,
        lora_rank=job.lora.r,
        timestamp=stamped(job.created_at),
        status=status(job),
        base_model=job.base_model,
        training_file=job.training_file,
        fine_tuned_model=job.fine_tuned_model,
    )


def stamped(moment: datetime) -> str:
    """A time as ISO text that ends in Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _comment(job: FineTuningJob) -> str | None:
    echo = cast(Mapping[str, object], job.echo.get(DOOR, {}))
    return cast(str | None, echo.get("finetune_comment"))


def _learning_rate(job: FineTuningJob) -> float | None:
    """What it runs with; until that is known, what was asked for."""
    if job.resolved is not None:
        return job.resolved.learning_rate
    asked = job.method.hyperparameters.learning_rate
    return None if asked == "auto" else asked
