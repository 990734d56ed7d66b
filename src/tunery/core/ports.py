"""The narrow ports through which decisions reach the world: store, blobs, engines, generators."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from tunery.core.access import ApiKey, Caller
from tunery.core.closable import Closable
from tunery.core.events import Checkpoint, Event, NewEvent
from tunery.core.files import File, Upload, UploadPart, UploadStatus
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.image_ports import ErrandStore
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.models import BaseModel, Deployment, FineTunedModel
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.preflight import Preflight
from tunery.core.progress import AnyProgress, Evaluated, Metrics
from tunery.core.text_to_sql import (
    DatabaseConnection,
    GoldenRecord,
    Instruction,
    Prompt,
    Rows,
    ScannedTable,
    SqlGeneration,
    TableDescription,
)

Kept = TypeVar("Kept")


class Clock(Protocol):
    """The time. Leases do not ask it: theirs is the database's."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """A create call that may come again: its key, and what it asked for."""

    key: str
    request_hash: bytes


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


class KeyStore(Protocol):
    """Organisations, projects and keys."""

    def bootstrap(self, caller: Caller, key: ApiKey) -> bool:
        """Make the first organisation, project, user and key; False where there is one already."""

    def add_project(self, caller: Caller, key: ApiKey) -> None:
        """Make another project with its first key; its organisation and user may be there."""

    def caller(self, digest: bytes) -> Caller | None:
        """Whom a live key speaks for; None where unknown, revoked or expired. A point read."""

    def add_key(self, key: ApiKey) -> ApiKey:
        """Keep `key`, and its service account where that is new; the key as it is listed."""

    def keys(self, project_id: str) -> Sequence[ApiKey]:
        """The project's keys, newest first."""

    def revoke_key(self, project_id: str, key_id: str, at: datetime) -> ApiKey:
        """End a key at once.

        Raises:
            NotFound: the project has no such key.
        """


class FileStore(Protocol):
    """Files and chunked uploads; their bytes are elsewhere."""

    def add_file(self, file: File) -> None:
        """Keep `file`; its bytes are durable already."""

    def file(self, project_id: str, file_id: str) -> File:
        """One file; NotFound where the project has none, or it is deleted or expired."""

    def files(self, project_id: str, page: PageRequest, *, purpose: str | None) -> Page[File]:
        """The project's files by age."""

    def numbered_files(
        self, project_id: str, page: NumberedPage, *, purpose: str | None
    ) -> NumberedItems[File]:
        """The project's files, newest first, by the number of the page."""

    def delete_file(self, project_id: str, file_id: str) -> None:
        """Make a file unknown at once; its bytes stay while a job that is not over uses it.

        Raises:
            NotFound: the project has no such file.
        """

    def discardable_files(self) -> Sequence[File]:
        """Deleted or expired files, of all projects, that no unfinished job uses."""

    def forget_file(self, file_id: str) -> None:
        """Drop the row of a discardable file; its bytes are gone."""

    def add_upload(self, upload: Upload) -> None:
        """Keep a new upload."""

    def upload(self, project_id: str, upload_id: str) -> Upload:
        """One upload, EXPIRED where it was pending past its time; NotFound where unknown."""

    def add_part(self, project_id: str, part: UploadPart) -> None:
        """Add a part to a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """

    def parts(self, project_id: str, upload_id: str) -> Sequence[UploadPart]:
        """The parts of an upload in the order they came."""

    def end_upload(
        self, project_id: str, upload_id: str, status: UploadStatus, file: File | None = None
    ) -> Upload:
        """Complete (with its `file`, kept in the same transaction) or cancel a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """

    def expired_uploads(self) -> Sequence[Upload]:
        """Ended or expired uploads, of all projects, whose parts are still kept."""

    def forget_parts(self, upload_id: str) -> None:
        """Drop the parts of an ended upload; their bytes are gone. A pending one is EXPIRED."""


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


class Shelf(Protocol[Kept]):
    """Values of one kind, each of one project, in the order in which they came.

    Some have a parent: what belongs to a database connection, for one.
    """

    def add(self, values: Sequence[Kept]) -> None:
        """Keep `values`, all of them or none; one whose id is there already stays as it is."""

    def get(self, project_id: str, value_id: str) -> Kept:
        """One value; NotFound where the project has none."""

    def list(
        self, project_id: str, *, parent: str | None = None, page: NumberedPage | None = None
    ) -> Sequence[Kept]:
        """The project's values, oldest first; those of `parent`; all of them without a `page`."""

    def count(self, project_id: str, *, parent: str | None = None) -> int:
        """How many values `list` would give without a page."""

    def replace(self, values: Sequence[Kept]) -> None:
        """Keep `values` in the places of those with their ids, all of them or none.

        Raises:
            NotFound: the project has none with that id.
        """

    def change(self, project_id: str, value_id: str, how: Callable[[Kept], Kept]) -> Kept:
        """Keep what `how` makes of a value, which nobody else changes meanwhile.

        `how` may be called again after a conflict. What it raises leaves the value as it was.

        Raises:
            NotFound: the project has none with that id.
        """

    def delete(self, project_id: str, value_id: str) -> None:
        """Forget a value; NotFound where the project has none."""


class Shelves(Protocol):
    """What the doors keep beside jobs, files and models."""

    @property
    def connections(self) -> Shelf[DatabaseConnection]:
        """Databases of the customer's."""

    @property
    def tables(self) -> Shelf[TableDescription]:
        """Their tables; the parent is the connection."""

    @property
    def golden_records(self) -> Shelf[GoldenRecord]:
        """Questions with their SQL; the parent is the connection."""

    @property
    def instructions(self) -> Shelf[Instruction]:
        """What every SQL should heed; the parent is the connection."""

    @property
    def prompts(self) -> Shelf[Prompt]:
        """Questions asked; the parent is the connection."""

    @property
    def sql_generations(self) -> Shelf[SqlGeneration]:
        """SQL written for prompts; the parent is the prompt."""

    @property
    def deployments(self) -> Shelf[Deployment]:
        """Deployments that were asked for; the parent is the model's name."""


class Store(KeyStore, FileStore, JobStore, RunStore, ErrandStore, Shelves, Protocol):
    """All that is remembered."""

    def ping(self) -> None:
        """Raise whatever stands in the way of answering requests."""

    def close(self) -> None:
        """Let go of every connection."""


class BlobWriter(Protocol):
    """Bytes on their way into a blob; nobody sees them before `commit`."""

    def write(self, data: bytes) -> None:
        """Append `data`."""

    def commit(self) -> None:
        """Make the blob durable and visible, in one moment; one that was there is replaced."""

    def commit_first(self) -> bool:
        """As `commit`, but never in the place of another: False, where the key has a blob."""

    def discard(self) -> None:
        """Leave nothing behind. After `commit` it does nothing."""


class Blobs(Protocol):
    """Files by key, such as `files/<id>`; a key may also be a folder that a trainer wrote."""

    def writer(self, key: str) -> BlobWriter:
        """Begin to write the blob `key`."""

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of a blob in pieces; FileNotFoundError before the first where it is gone."""

    def path(self, key: str) -> Path:
        """Where the blob or folder lies on this machine."""

    def delete(self, key: str) -> None:
        """Remove a blob or a folder with all in it; nothing happens where there is none."""

    def names(self, key: str) -> Sequence[str]:
        """What lies in the folder `key`, by name; nothing where there is no such folder."""


class Catalog(Protocol):
    """The base models that there are, and the other names that they answer to."""

    def models(self) -> Sequence[BaseModel]:
        """Every base model, by name."""

    def resolve(self, name: str) -> BaseModel:
        """The base model that `name` means, an alias included; NotFound lists what there is."""

    def weights_bytes(self, name: str) -> int:
        """How large the files with the weights of that base model are; NotFound as `resolve`."""


class Engine(Protocol):
    """Something that can carry out a job: this machine, a Ray cluster, another provider."""

    def start(self) -> None:
        """Begin what takes time before the first run."""

    def check(self, job: FineTuningJob) -> None:
        """Raise `Unsupported`, naming the parameter, if this engine cannot run `job`."""

    def preflight(
        self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Preflight:
        """What the trainer will see of the job's files; with `estimate`, time and memory too.

        `wanted` is asked every second or so; once it says no, the work ends with `Unavailable`.
        """

    def run(self, run: Run) -> Closable[AnyProgress]:
        """Carry out `run`: progress until `Finished`, and `Alive` every second or so of silence.

        Closing the iterator lets go of local resources and leaves remote work running.
        """

    def pause(self, run: Run) -> None:
        """Ask `run` to save a checkpoint and to end with `Paused`."""

    def cancel(self, run: Run) -> None:
        """Stop the remote work of `run`, if it has any."""

    def ready(self) -> bool:
        """Whether a run could start now."""

    def close(self) -> None:
        """Let go of every local process."""


class Generator(Protocol):
    """Something that yields text from a base model and an optional adapter."""

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        """Text as it comes; closing the iterator stops the work."""

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """How long `texts` are for the base model at `location`; no weights are loaded.

        Raises:
            InvalidValue: there is no such model.
            Unsupported: its tokenizer cannot be used here.
            Unavailable: it cannot be found out now.
        """

    def close(self) -> None:
        """Let go of every local process."""


class Databases(Protocol):
    """Databases of the customer's: read, never written, within limits of time and rows."""

    def dialect(self, uri: str) -> str:
        """What kind of database `uri` names.

        Raises:
            InvalidValue: it is no SQLAlchemy URI, or one of a kind that is not served here; or it
                lies where this server may not look.
        """

    def tables(
        self, uri: str, *, schemas: Sequence[str] | None = None
    ) -> Sequence[tuple[str | None, str]]:
        """The tables and views: schema, where one was asked for, and name.

        Raises:
            InvalidValue: as `dialect`.
            QueryFailed: the database is not to be reached, or has no such schema.
        """

    def scan(self, uri: str, *, schema: str | None, table: str) -> ScannedTable:
        """What there is to know about a table; raises as `tables`."""

    def run(self, uri: str, sql: str, *, max_rows: int, timeout_s: float) -> Rows:
        """The result of a single read-only statement; raises as `tables`."""


class Sealer(Protocol):
    """Secrets at rest: text that only this installation can read."""

    def seal(self, secret: str, *, bound_to: str) -> str:
        """`secret`, readable again only by `open` with the same `bound_to`."""

    def open(self, sealed: str, *, bound_to: str) -> str:
        """The secret.

        Raises:
            InvalidValue: it was not sealed here, or not for that.
        """

    def is_sealed(self, text: str) -> bool:
        """Whether `text` looks like something that `seal` made."""


@dataclass(frozen=True, kw_only=True)
class BuiltSet:
    """The files that a job trains on, their bytes durable, and what its owner should know."""

    training: File
    validation: File | None
    """The held-out rows; None where there are too few to spare some."""
    notes: tuple[NewEvent, ...] = ()


class TrainingSets(Protocol):
    """Builds the files of a job that has a `sql_source`."""

    def build(self, job: FineTuningJob, *, wanted: Callable[[], bool]) -> BuiltSet:
        """The files under the ids that the job has reserved; the same again where it is repeated.

        `wanted` is asked every half second or so, in the thread that calls.

        Raises:
            TuneryError: why the job cannot start, such as golden SQL that fails. `Unavailable`
                once `wanted` says no.
        """


class Examiner(Protocol):
    """Asks the base and the tuned model of a job what neither was trained on."""

    def examine(
        self,
        job: FineTuningJob,
        adapter: str,
        *,
        wanted: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> Evaluated | None:
        """How both did; None where nothing was held out. `adapter` is a blob key.

        `wanted` is asked every half second or so, `tell` is told now and then how far it is; both
        in the thread that calls.

        Raises:
            TuneryError: it cannot be found out, such as `Unavailable` once `wanted` says no.
        """
