"""The result file of a job: its metrics, step by step."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator

from tunery.core.files import File
from tunery.core.job import FineTuningJob
from tunery.core.ports import Blobs, Clock
from tunery.core.progress import Metrics

FILENAME = "step_metrics.csv"
COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def write_step_metrics(
    job: FineTuningJob, metrics: Iterable[Metrics], *, blobs: Blobs, clock: Clock
) -> File:
    """The file that holds `metrics`, its bytes durable.

    A job has one such file: its id follows from the job's, so that an attempt which repeats the
    end of another does not leave a second.
    """
    digest, size_bytes = hashlib.sha256(), 0
    file_id = "file-" + hashlib.sha256(f"{FILENAME} {job.id}".encode()).hexdigest()[:24]
    writer = blobs.writer(f"files/{file_id}")
    try:
        for line in _lines(metrics):
            writer.write(line)
            digest.update(line)
            size_bytes += len(line)
        writer.commit()
    finally:
        writer.discard()
    return File(
        id=file_id,
        project_id=job.project_id,
        created_at=clock.now(),
        filename=FILENAME,
        purpose="fine-tune-results",
        size_bytes=size_bytes,
        sha256=digest.hexdigest(),
        created_by=job.created_by,
        created_by_type=job.created_by_type,
    )


def _lines(metrics: Iterable[Metrics]) -> Iterator[bytes]:
    yield _line(COLUMNS)
    for step in metrics:
        yield _line(
            (
                step.step,
                step.train_loss,
                step.train_mean_token_accuracy,
                step.full_valid_loss,
                step.full_valid_mean_token_accuracy,
            )
        )


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow("" if v is None else v for v in values)
    return text.getvalue().encode()
