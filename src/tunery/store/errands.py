"""What is to be done because of what became of a job or an image: the same in every store."""

from datetime import datetime

from tunery.core.errands import Errand
from tunery.core.errors import LeaseLost
from tunery.core.ids import new_id
from tunery.core.image_generations import GenerationStatus, ImageGeneration
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.webhooks import Notice, Outcome
from tunery.store.shelves import Kind

IMAGE_GENERATION = Kind("image generation", ImageGeneration)

MOST_FORGOTTEN = 100
"""As many images are found at a time that are old enough to be forgotten."""

_OUTCOMES: dict[JobStatus, Outcome] = {
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}


def to_draw(generation: ImageGeneration) -> Errand:
    """The errand of an image that is yet to be drawn."""
    return Errand(
        id=new_id("errand_"),
        project_id=generation.project_id,
        kind="draw",
        subject=generation.id,
    )


def to_tell_of_job(job: FineTuningJob, now: datetime) -> tuple[Errand, ...]:
    """What is to be told of a job that is over; nothing where nobody asked for it."""
    if job.webhook is None:
        return ()
    cancelled = "cancelled" if job.status is JobStatus.CANCELLED else None
    return (
        _to_tell(
            Notice(
                webhook=job.webhook,
                project_id=job.project_id,
                subject=job.id,
                outcome=_OUTCOMES[job.status],
                happened_at=job.finished_at or now,
                message=cancelled if job.error is None else job.error.message,
                code=None if job.error is None else job.error.code,
            )
        ),
    )


def to_tell_of_image(generation: ImageGeneration, now: datetime) -> tuple[Errand, ...]:
    """What is to be told of an image that is over; nothing where nobody asked for it."""
    if generation.webhook is None:
        return ()
    ready = generation.status is GenerationStatus.READY
    return (
        _to_tell(
            Notice(
                webhook=generation.webhook,
                project_id=generation.project_id,
                subject=generation.id,
                outcome="succeeded" if ready else "failed",
                happened_at=generation.finished_at or now,
                message=generation.error,
            )
        ),
    )


def is_over(generation: ImageGeneration) -> bool:
    """Whether nothing is to be drawn any more."""
    return generation.status is not GenerationStatus.PENDING


def check_subject(errand: Errand, generation: ImageGeneration) -> None:
    """Refuse to record another image than the one that was to be drawn.

    Raises:
        ValueError: the caller is mistaken.
    """
    if (errand.kind, errand.subject) != ("draw", generation.id):
        raise ValueError(f"errand {errand.id} is not to draw {generation.id}")


def lease_lost(errand: Errand) -> LeaseLost:
    """The error that says that whoever took an errand may no longer report on it."""
    return LeaseLost(f"The lease of attempt {errand.n_attempts} on errand {errand.id} is gone.")


def _to_tell(notice: Notice) -> Errand:
    return Errand(
        id=new_id("errand_"),
        project_id=notice.project_id,
        kind="tell",
        subject=notice.subject,
        notice=notice,
    )
