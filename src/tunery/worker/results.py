"""The files that a worker makes of a run: its metrics, and pictures that the trainer drew."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator

from tunery.core.events import NewEvent
from tunery.core.files import File
from tunery.core.job import FineTuningJob
from tunery.core.method import Method, Preference, Subject, Supervised
from tunery.core.ports import Blobs, Clock
from tunery.core.progress import Metrics, Sampled

FILENAME = "step_metrics.csv"
COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
PREFERENCE_COLUMNS = (
    "step", "train_loss", "train_rewards_chosen", "train_rewards_rejected",
    "train_rewards_margins", "train_rewards_accuracies",
    "valid_loss", "valid_rewards_chosen", "valid_rewards_rejected",
    "valid_rewards_margins", "valid_rewards_accuracies",
)  # fmt: skip


def write_step_metrics(
    job: FineTuningJob, metrics: Iterable[Metrics], *, blobs: Blobs, clock: Clock
) -> File:
    """The file that holds `metrics`, its bytes durable.

    A job has one such file: its id follows from the job's, so that an attempt which repeats the
    end of another does not leave a second.
    """
    return _written(job, FILENAME, _lines(job.method, metrics), blobs=blobs, clock=clock)


def write_samples(job: FineTuningJob, sampled: Sampled, *, blobs: Blobs, clock: Clock) -> File:
    """The file that holds what was drawn at a step, its bytes durable; one for each step."""
    filename = f"samples-step-{sampled.step:05}.png"
    return _written(job, filename, blobs.read(sampled.image), blobs=blobs, clock=clock)


def samples_event(sampled: Sampled, file: File) -> NewEvent:
    """What tells a job's owner of `file`."""
    return NewEvent(
        message=f"Sample images of step {sampled.step}",
        data={
            "step": sampled.step,
            "file": file.id,
            "prompts": list(sampled.prompts),
            "seed": sampled.seed,
        },
    )


def _written(
    job: FineTuningJob, filename: str, pieces: Iterable[bytes], *, blobs: Blobs, clock: Clock
) -> File:
    """A file of that name, whose id follows from it and the job's."""
    digest, size_bytes = hashlib.sha256(), 0
    file_id = "file-" + hashlib.sha256(f"{filename} {job.id}".encode()).hexdigest()[:24]
    writer = blobs.writer(f"files/{file_id}")
    try:
        for piece in pieces:
            writer.write(piece)
            digest.update(piece)
            size_bytes += len(piece)
        writer.commit()
    finally:
        writer.discard()
    return File(
        id=file_id,
        project_id=job.project_id,
        created_at=clock.now(),
        filename=filename,
        purpose="fine-tune-results",
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        created_by=job.created_by,
        created_by_type=job.created_by_type,
    )


def _lines(method: Method, metrics: Iterable[Metrics]) -> Iterator[bytes]:
    match method:
        case Preference():
            yield _line(PREFERENCE_COLUMNS)
            yield from (_line(_of_preference(step)) for step in metrics)
        case Supervised() | Subject():
            yield _line(COLUMNS)
            yield from (_line(_of_tokens(step)) for step in metrics)


def _of_tokens(step: Metrics) -> Iterable[object]:
    return (
        step.step,
        step.train_loss,
        step.train_mean_token_accuracy,
        step.full_valid_loss,
        step.full_valid_mean_token_accuracy,
    )


def _of_preference(step: Metrics) -> Iterable[object]:
    return (
        step.step,
        step.train_loss,
        step.train_rewards_chosen,
        step.train_rewards_rejected,
        step.train_rewards_margins,
        step.train_rewards_accuracies,
        step.full_valid_loss,
        step.full_valid_rewards_chosen,
        step.full_valid_rewards_rejected,
        step.full_valid_rewards_margins,
        step.full_valid_rewards_accuracies,
    )


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow("" if v is None else v for v in values)
    return text.getvalue().encode()
