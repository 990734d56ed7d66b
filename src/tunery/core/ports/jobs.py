"""Where jobs are kept, with what they made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tunery.core.events import Checkpoint, Event, NewEvent
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.models import FineTunedModel
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.progress import Metrics


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """A create call that may come again: its key, and what it asked for."""

    key: str
    request_hash: bytes


class JobStore(Protocol):
    """Jobs, their events and checkpoints, and the tuned models that they made."""

    def answered(self, project_id: str, idempotency: Idempotency) -> FineTuningJob | None:
        """The job as it was first answered for this key; None where it is new.

        Raises:
            Conflict: the key was used with another request within the last day.
        """

    def add_job(
        self, job: FineTuningJob, events: Sequence[NewEvent], idempotency: Idempotency | None
    ) -> FineTuningJob:
        """Keep a new job; or give back the job as it was first answered for the same key (I7).

        The files of a job with a `sql_source` are only reserved: no caller knows them before
        `publish_training_files`, and those that never were published can be discarded once the
        job is over.

        Raises:
            Conflict: the key was used with another request within the last day.
        """

    def forget_old_answers(self) -> None:
        """Drop what was answered more than a day ago, in every project."""

    def job(self, project_id: str, job_id: str) -> FineTuningJob:
        """One job; NotFound where the project has none, or it is deleted. A point read."""

    def jobs(
        self,
        project_id: str,
        page: PageRequest,
        *,
        metadata: Mapping[str, str] | None,
        without_metadata: bool = False,
    ) -> Page[FineTuningJob]:
        """The project's jobs, newest first; those with every pair of `metadata`."""

    def numbered_jobs(self, project_id: str, page: NumberedPage) -> NumberedItems[FineTuningJob]:
        """The project's jobs, newest first, by the number of the page."""

    def connected_jobs(
        self, project_id: str, db_connection_id: str | None
    ) -> Sequence[FineTuningJob]:
        """The project's jobs with a `sql_source`, of that connection or of any; newest first."""

    def subject_jobs(self, project_id: str) -> Sequence[FineTuningJob]:
        """The project's jobs that learn from pictures, newest first."""

    def set_echo(
        self, project_id: str, job_id: str, dialect: str, value: Mapping[str, object]
    ) -> FineTuningJob:
        """Replace what `dialect` must give back, whatever the job's state; NotFound as `job`."""

    def delete_job(self, project_id: str, job_id: str, event: NewEvent) -> None:
        """Make a job unknown at once; one that is not over is cancelled first, which `event` says.

        Its tuned model, that model's checkpoints and its result files stay. Where it made no
        model, its checkpoints are retired.

        Raises:
            NotFound: the project has no such job.
        """

    def move_job(
        self, project_id: str, job_id: str, target: JobStatus, event: NewEvent
    ) -> FineTuningJob:
        """Cancel, pause or requeue a job, durably, with the event that says so.

        The guard stands in the UPDATE (I1). A caller can queue only a paused job (`QUEUED` from
        `PAUSED`; the other moves to queued are a worker's). A cancelled job loses its lease
        at once; a paused one keeps it until its worker has saved a checkpoint and let go.

        Raises:
            NotFound: the project has no such job.
            InvalidTransition: the job is in no state to make this move.
        """

    def events(self, project_id: str, job_id: str, page: PageRequest) -> Page[Event]:
        """A job's events, newest first unless `page` asks for ascending; NotFound as `job`."""

    def metrics(self, job_id: str) -> Iterator[Metrics]:
        """Every recorded step of a job, in order."""

    def checkpoints(self, project_id: str, job_id: str, page: PageRequest) -> Page[Checkpoint]:
        """A job's published checkpoints, newest first; NotFound as `job`."""

    def checkpoint(self, project_id: str, model: str, step: int) -> Checkpoint:
        """The checkpoint that `<model>:ckpt-step-<step>` names; NotFound where there is none."""

    def models(self, project_id: str) -> Sequence[FineTunedModel]:
        """The project's tuned models, newest first."""

    def model(self, project_id: str, name: str) -> FineTunedModel:
        """One tuned model; NotFound where the project has none."""

    def model_of(self, project_id: str, job_id: str) -> FineTunedModel:
        """The tuned model that a job made, also once the job is deleted; NotFound as `model`."""

    def delete_model(self, project_id: str, name: str) -> FineTunedModel:
        """Make a tuned model and its checkpoints unknown; NotFound where the project has none."""
