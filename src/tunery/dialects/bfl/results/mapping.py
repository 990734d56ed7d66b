"""The state of finetunes and images in BFL's words."""

from collections.abc import Mapping

from tunery.core.image_generations import GenerationStatus, ImageGeneration
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.preflight import REQUEST_MODERATED
from tunery.dialects.bfl.answers import Status
from tunery.dialects.bfl.results import schemas

STATUS: Mapping[JobStatus, Status] = {
    JobStatus.VALIDATING_FILES: "Pending",
    JobStatus.QUEUED: "Pending",
    JobStatus.RUNNING: "Pending",
    JobStatus.PAUSED: "Pending",
    JobStatus.SUCCEEDED: "Ready",
    JobStatus.FAILED: "Error",
    # Its clients know no "cancelled", and wait for ever on a word that they do not know.
    JobStatus.CANCELLED: "Error",
}

IMAGE_STATUS: Mapping[GenerationStatus, Status] = {
    GenerationStatus.PENDING: "Pending",
    GenerationStatus.READY: "Ready",
    GenerationStatus.FAILED: "Error",
}

CANCELLED = "The finetune was cancelled"


def status(job: FineTuningJob) -> Status:
    """The word for the state of `job`."""
    return failure(job.error.code) if job.error is not None else STATUS[job.status]


def failure(code: str | None) -> Status:
    """The word for what failed with the code `code`."""
    return "Request Moderated" if code == REQUEST_MODERATED else "Error"


def of_job(job: FineTuningJob) -> schemas.ResultResponse:
    """How a finetune stands, or a job that was made at another door."""
    is_ready = job.status is JobStatus.SUCCEEDED
    return schemas.ResultResponse(
        id=job.id,
        status=status(job),
        result=schemas.Tuned(finetune_id=job.id) if is_ready else None,
        progress=_progress(job),
        details=_trouble(job),
    )


def of_image(generation: ImageGeneration, sample: str) -> schemas.ResultResponse:
    """How an image stands; `sample` is where it can be had, once it is ready."""
    error = generation.error
    is_pending = generation.status is GenerationStatus.PENDING
    is_ready = generation.status is GenerationStatus.READY
    return schemas.ResultResponse(
        id=generation.id,
        status=IMAGE_STATUS[generation.status],
        result=drawn(generation, sample) if is_ready else None,
        progress=generation.progress if is_pending else None,
        details=None if error is None else schemas.Trouble(message=error),
    )


def unknown(task_id: str) -> schemas.ResultResponse:
    """What is answered of a task that there is not, or is not any more."""
    return schemas.ResultResponse(id=task_id, status="Task not found")


def drawn(generation: ImageGeneration, sample: str) -> schemas.Drawn:
    """An image that is ready, and can be had at `sample`."""
    began, ended = generation.started_at, generation.finished_at
    return schemas.Drawn(
        sample=sample,
        prompt=generation.settings.prompt,
        seed=generation.settings.seed,
        start_time=None if began is None else began.timestamp(),
        end_time=None if ended is None else ended.timestamp(),
        duration=None if began is None or ended is None else (ended - began).total_seconds(),
    )


def _progress(job: FineTuningJob) -> float | None:
    """The share of steps that were taken, from 0 to 1; null once it is over."""
    if job.status.is_final or not job.total_steps:
        return None
    return job.last_step / job.total_steps


def _trouble(job: FineTuningJob) -> schemas.Trouble | None:
    if job.error is not None:
        return schemas.Trouble(message=job.error.message)
    return schemas.Trouble(message=CANCELLED) if job.status is JobStatus.CANCELLED else None
