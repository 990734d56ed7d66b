"""How a worker takes a job on, and records what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tunery.core.events import Checkpoint, NewEvent
from tunery.core.files import File
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.progress import AnyProgress


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to report on a job. The token rises by one at each claim (I2)."""

    job_id: str
    owner: str
    token: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt at a job: what to do, where to write, and what to go on from."""

    job: FineTuningJob
    lease: Lease
    resume_from: Checkpoint | None = None

    @property
    def folder(self) -> str:
        """The blob key under which this attempt alone writes (I3)."""
        return f"runs/{self.job.id}/{self.lease.token}"


@dataclass(frozen=True, kw_only=True)
class Validated:
    """The files of a job were read through, and "auto" has become numbers."""

    resolved: ResolvedHyperparameters
    total_steps: int
    notes: tuple[NewEvent, ...] = ()


Work = Literal["validation", "training"]
"""What a job can wait for."""


class RunStore(Protocol):
    """The run protocol: how a worker claims jobs and records what engines report."""

    def claim(self, owner: str, lease_s: float, waits_for: Work | None = None) -> Run | None:
        """Lease the next job that waits for that work (for any, where None), or whose worker died.

        A job in `validating_files` stays so; a queued one becomes `running`. A job whose lease has
        run out, running or being validated, is handed on with the next token and an event that
        says so. Among those waiting: the project with the least running, then age.
        """

    def renew(self, lease: Lease, lease_s: float) -> JobStatus:
        """Hold the lease for `lease_s` more (database's clock); LeaseLost where it is gone."""

    def validated(self, lease: Lease, outcome: Validated) -> None:
        """Queue a job whose files are good, and let go of it; LeaseLost where it is gone."""

    def apply(self, lease: Lease, progress: Sequence[AnyProgress]) -> JobStatus:
        """Record what the engine reported, all of it or nothing, and say where the job stands.

        - `Metrics`: one event per step, unless that step is recorded already.
        - `CheckpointSaved`: publishes it, keeps the best by validation loss and the last three.
        - `Paused`: lets go; a running job is queued again, a paused one stays so.
        - `Died`: lets go and queues the job; after three deaths without a new checkpoint it fails.
        - `Failed`: ends the job, whether it was being validated or run.
        - `Finished`: makes the tuned model and ends the job.

        Raises:
            LeaseLost: the token is stale or the job is over.
        """

    def publish_training_files(self, lease: Lease, files: Sequence[File]) -> None:
        """Keep the files that a job with a `sql_source` has reserved; LeaseLost as `apply`.

        One that was published before is replaced.
        """

    def publish_result_file(self, lease: Lease, file: File) -> None:
        """Keep `file` as a result file of the job, before it finishes; LeaseLost as `apply`.

        One that an attempt before this published under the same id is replaced.
        """

    def publish_samples(self, lease: Lease, file: File, event: NewEvent) -> None:
        """Keep `file`, pictures that the trainer drew, and say so; LeaseLost as `apply`.

        It is no result file. An attempt that takes steps again draws for them again: where there
        was a file of that id before, nothing is kept or said.
        """

    def retired_checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """Checkpoints no longer listed whose folders are still on disk."""

    def forget_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Drop the row of a retired checkpoint; its folder is gone."""

    def needed_folders(self, job_id: str) -> frozenset[str] | None:
        """The blob keys below `runs/<job>` that somebody may still ask for.

        Those of its checkpoints and of its tuned model, and of adapters that unfinished jobs start
        from. None where the job is not over: its trainer may be writing.
        """
