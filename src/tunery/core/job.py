"""A fine-tuning job: what was asked, what it became, and the moves that it may make."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from tunery.core.access import IdentityType
from tunery.core.errors import InvalidTransition
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.lora import LoraConfig
from tunery.core.method import Method
from tunery.core.progress import Evaluated
from tunery.core.samples import check_prompts
from tunery.core.text_to_sql import SqlSource
from tunery.core.webhooks import Webhook

Overlong = Literal["error", "drop", "truncate"]


class JobStatus(StrEnum):
    """Where a job stands."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job will never change again."""
        return not MOVES[self]


_ENDS = frozenset({JobStatus.CANCELLED, JobStatus.FAILED})

MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.VALIDATING_FILES: _ENDS | {JobStatus.QUEUED},
    JobStatus.QUEUED: _ENDS | {JobStatus.RUNNING, JobStatus.PAUSED},
    # running -> queued: its worker died or let go, and another resumes from the last checkpoint.
    JobStatus.RUNNING: _ENDS | {JobStatus.SUCCEEDED, JobStatus.PAUSED, JobStatus.QUEUED},
    JobStatus.PAUSED: _ENDS | {JobStatus.QUEUED},
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}
"""The legal moves of a job (I1)."""


WAITING_FOR: Mapping[str, frozenset[JobStatus]] = {
    "validation": frozenset({JobStatus.VALIDATING_FILES}),
    # One that is running waits again once its worker is lost.
    "training": frozenset({JobStatus.QUEUED, JobStatus.RUNNING}),
}
"""The states in which a job waits for each kind of work."""


def sources(target: JobStatus) -> tuple[JobStatus, ...]:
    """The states from which a job may move to `target`; the guard of every UPDATE."""
    return tuple(status for status, targets in MOVES.items() if target in targets)


def callers_sources(target: JobStatus) -> tuple[JobStatus, ...]:
    """As `sources`, for a move that a caller asks for: only a paused job can be resumed."""
    if target is JobStatus.QUEUED:
        return (JobStatus.PAUSED,)
    return sources(target)


def refuse_move(job_id: str, status: JobStatus, target: JobStatus) -> InvalidTransition:
    """The error that says why a job in `status` cannot become `target`."""
    *others, last = callers_sources(target)
    allowed = f"{', '.join(others)} or {last}" if others else last
    return InvalidTransition(
        f"Job {job_id} is {status}; only a job that is {allowed} can become {target}."
    )


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What a caller asks for, after a dialect has translated it.

    Raises:
        InvalidValue: the prompts of samples cannot be such.
    """

    model: str | None
    """None: the server's own model for this method."""
    training_file: str
    validation_file: str | None = None
    sql_source: SqlSource | None = None
    """Where the files are yet to be built from a database; their ids are reserved."""
    method: Method
    lora: LoraConfig = field(default_factory=LoraConfig)
    overlong: Overlong = "error"
    sample_prompts: tuple[str, ...] | None = None
    """What the model is asked while it learns; None: the first rows of the validation file."""
    engine: str | None = None
    """The name of an engine or of an account."""
    vendor: str | None = None
    """A kind of account, such as "openai": one of that kind where there is one, else local."""
    suffix: str | None = None
    seed: int | None = None
    metadata: Mapping[str, str] | None = None
    echo: Mapping[str, object] = field(default_factory=dict)
    """Per dialect, what it must give back and nobody else has a use for."""
    webhook: Webhook | None = None
    """Who is told when the job is over; its secret is as it came, and sealed with the job."""

    def __post_init__(self) -> None:
        """Refuse what no job can ask."""
        check_prompts(self.sample_prompts or ())


@dataclass(frozen=True, kw_only=True)
class FineTuningJob:
    """A job, as every door shows it in its own words."""

    id: str
    """`ftjob-` and 24 lower-case hexadecimal digits."""
    project_id: str
    organization_id: str
    created_by: str
    created_at: datetime
    status: JobStatus
    engine: str
    base_model: str
    """The resolved base model; `requested_model` is what the caller wrote."""
    requested_model: str
    training_file: str
    validation_file: str | None
    method: Method
    lora: LoraConfig
    overlong: Overlong
    suffix: str | None
    seed: int
    metadata: Mapping[str, str] | None
    echo: Mapping[str, object]
    initial_adapter: str | None = None
    """The blob key of the adapter that a continued job starts from."""
    resolved: ResolvedHyperparameters | None = None
    """Known once the files are validated."""
    total_steps: int | None = None
    last_step: int = 0
    trained_tokens: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    estimated_finish: datetime | None = None
    fine_tuned_model: str | None = None
    result_files: tuple[str, ...] = ()
    error: JobError | None = None
    created_by_type: IdentityType = IdentityType.USER
    sql_source: SqlSource | None = None
    """Where the files are built from a database, when they are validated."""
    evaluation: Evaluated | None = None
    """Base and tuned model on held-out golden records, where there were some."""
    webhook: Webhook | None = None
    """Who is told when the job is over."""
    sample_prompts: tuple[str, ...] | None = None
    """What the model is asked while it learns, as in `NewJob`."""
