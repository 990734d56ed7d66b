"""Fine-tuning jobs: create, follow, and stop them."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tunery.core.access import Caller
from tunery.core.errors import (
    InvalidFile,
    InvalidValue,
    NotFound,
    Unsupported,
)
from tunery.core.events import Checkpoint, Event, NewEvent
from tunery.core.files import File, Format
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob, JobStatus, NewJob
from tunery.core.lora import LoraConfig
from tunery.core.method import Method, Preference, Subject, Supervised
from tunery.core.models import BaseModel, Modality
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.plan import plan
from tunery.core.ports import Catalog, Clock, Engine, FileStore, Idempotency, JobStore, Sealer
from tunery.core.preflight import FEWEST_EXAMPLES, Preflight, refusal, too_few_examples
from tunery.service.models import Models
from tunery.service.routing import Routing
from tunery.service.webhooks import sealed

LARGEST_SEED = 2**31 - 1
_LEARNT_BY: Mapping[Format, str] = {
    Format.CHAT: "supervised",
    Format.COMPLETION: "supervised",
    Format.PREFERENCE: "dpo",
    Format.REINFORCEMENT: "reinforcement",
    Format.PICTURES: "subject",
}
"""The method that each format is for."""
_CANCELLED = "Fine-tuning job cancelled"


class JobsStore(JobStore, FileStore, Protocol):
    """What this use case needs to remember."""


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a job would be and cost; nothing was kept."""

    job: FineTuningJob
    report: Preflight
    steps: int | None
    """None where the files cannot be trained on."""
    seconds: float | None
    memory_bytes: int | None


class Jobs:
    """The use cases of fine-tuning jobs. Every one names the caller's project."""

    def __init__(
        self,
        *,
        store: JobsStore,
        catalog: Catalog,
        models: Models,
        engines: Mapping[str, Engine],
        clock: Clock,
        sealer: Sealer,
        wake: Callable[[], None],
        routing: Routing | None = None,
        text_model: str = "tiny-chat",
        image_model: str = "tiny-image",
    ) -> None:
        """`wake` tells the worker in this process, if there is one, that something waits.

        `sealer` makes the secrets of webhooks unreadable, each bound to its job.
        `routing` chooses among `engines`; left out, it knows them by their own names alone.
        `text_model` and `image_model` are the base models of jobs that name none.
        """
        self._store = store
        self._catalog = catalog
        self._models = models
        self._engines = engines
        self._clock = clock
        self._sealer = sealer
        self._wake = wake
        self._routing = routing or Routing(engines=engines)
        self._own_models: Mapping[Modality, str] = {"text": text_model, "image": image_model}

    def create(
        self, caller: Caller, new: NewJob, idempotency: Idempotency | None = None
    ) -> FineTuningJob:
        """Keep a new job, to be validated and run by a worker.

        Raises:
            InvalidValue: a parameter cannot be right; `param` names it.
            Unsupported: the engine cannot do it.
            Conflict: the idempotency key came before with another request.
        """
        # Before anything is looked at: what it was made of may have gone since.
        if (answered := self.answered(caller, idempotency)) is not None:
            return answered
        job = self._prepared(caller, new)
        kept = self._store.add_job(job, _first_events(job), idempotency)
        self._wake()
        return kept

    def answered(self, caller: Caller, idempotency: Idempotency | None) -> FineTuningJob | None:
        """The job as `create` first answered it for this key; None where it is new.

        Raises:
            Conflict: the key came before with another request.
        """
        if idempotency is None:
            return None
        return self._store.answered(caller.project_id, idempotency)

    def dry_run(self, caller: Caller, new: NewJob) -> DryRun:
        """What `create` would lead to, without making a job; raises what `create` raises."""
        job = self._prepared(caller, new)
        report = self._engines[job.engine].preflight(job, estimate=True)
        if refusal(report, job.method) is not None:
            return DryRun(job=job, report=report, steps=None, seconds=None, memory_bytes=None)
        planned = plan(
            job.method,
            n_examples=report.n_examples,
            defaults=self._catalog.resolve(job.base_model).defaults,
            precision=report.precision,
        )
        resolved = planned.resolved
        seconds = None
        if report.seconds_per_token is not None and report.tokens is not None:
            seconds = report.seconds_per_token * report.tokens.total * resolved.n_epochs
        return DryRun(
            job=replace(job, resolved=resolved),
            report=report,
            steps=planned.total_steps,
            seconds=seconds,
            memory_bytes=report.memory_bytes,
        )

    def get(self, caller: Caller, job_id: str) -> FineTuningJob:
        """One job; NotFound where the project has none."""
        return self._store.job(caller.project_id, job_id)

    def list(
        self,
        caller: Caller,
        page: PageRequest,
        *,
        metadata: Mapping[str, str] | None = None,
        without_metadata: bool = False,
    ) -> Page[FineTuningJob]:
        """The project's jobs, newest first; those with every pair of `metadata`."""
        return self._store.jobs(
            caller.project_id, page, metadata=metadata, without_metadata=without_metadata
        )

    def numbered(self, caller: Caller, page: NumberedPage) -> NumberedItems[FineTuningJob]:
        """The project's jobs, newest first, by the number of the page."""
        return self._store.numbered_jobs(caller.project_id, page)

    def connected(
        self, caller: Caller, db_connection_id: str | None = None
    ) -> Sequence[FineTuningJob]:
        """The jobs that learn from a database, from this one where it is named; newest first."""
        return self._store.connected_jobs(caller.project_id, db_connection_id)

    def of_subjects(self, caller: Caller) -> Sequence[FineTuningJob]:
        """The jobs that learn from pictures, newest first."""
        return self._store.subject_jobs(caller.project_id)

    def set_echo(
        self, caller: Caller, job_id: str, dialect: str, value: Mapping[str, object]
    ) -> FineTuningJob:
        """Replace what `dialect` must give back; NotFound where the project has no such job."""
        return self._store.set_echo(caller.project_id, job_id, dialect, value)

    def delete(self, caller: Caller, job_id: str) -> None:
        """Make a job unknown at every door; one that is not over is cancelled first.

        What it made stays: its tuned model with that model's checkpoints, and its result files.

        Raises:
            NotFound: the project has no such job.
        """
        self._store.delete_job(caller.project_id, job_id, NewEvent(message=_CANCELLED))

    def cancel(self, caller: Caller, job_id: str) -> FineTuningJob:
        """End a job that is not over; what it has trained so far stays in its checkpoints."""
        return self._move(caller, job_id, JobStatus.CANCELLED, _CANCELLED)

    def pause(self, caller: Caller, job_id: str) -> FineTuningJob:
        """Let a queued or running job wait; a running one saves a checkpoint first."""
        return self._move(caller, job_id, JobStatus.PAUSED, "Fine-tuning job paused")

    def resume(self, caller: Caller, job_id: str) -> FineTuningJob:
        """Queue a paused job again; it goes on from its last checkpoint."""
        moved = self._move(caller, job_id, JobStatus.QUEUED, "Fine-tuning job resumed")
        self._wake()
        return moved

    def events(self, caller: Caller, job_id: str, page: PageRequest) -> Page[Event]:
        """What happened to a job; NotFound where the project has none."""
        return self._store.events(caller.project_id, job_id, page)

    def checkpoints(self, caller: Caller, job_id: str, page: PageRequest) -> Page[Checkpoint]:
        """A job's checkpoints, newest first; NotFound where the project has none."""
        return self._store.checkpoints(caller.project_id, job_id, page)

    def _move(self, caller: Caller, job_id: str, target: JobStatus, message: str) -> FineTuningJob:
        return self._store.move_job(caller.project_id, job_id, target, NewEvent(message=message))

    def _prepared(self, caller: Caller, new: NewJob) -> FineTuningJob:
        modality = _modality(new.method)
        model = new.model or self._own_models[modality]
        base, initial_adapter = self._base(caller, model)
        if base.modality != modality:
            raise InvalidValue(_wrong_modality(base), param="model", code="model_not_available")
        if new.sql_source is None:
            self._check_files(caller, new)
        job_id = new_id("ftjob-")
        job = FineTuningJob(
            id=job_id,
            project_id=caller.project_id,
            organization_id=caller.organization_id,
            created_by=caller.user_id,
            created_by_type=caller.identity_type,
            created_at=self._clock.now(),
            status=JobStatus.VALIDATING_FILES,
            engine=self._routing.engine(model, named=new.engine, vendor=new.vendor),
            base_model=base.name,
            requested_model=model,
            training_file=new.training_file,
            validation_file=new.validation_file,
            sql_source=new.sql_source,
            method=new.method,
            lora=new.lora if initial_adapter is None else self._lora(caller, model, new.lora),
            overlong=new.overlong,
            suffix=new.suffix,
            seed=secrets.randbelow(LARGEST_SEED) if new.seed is None else new.seed,
            metadata=new.metadata,
            echo=new.echo,
            initial_adapter=initial_adapter,
            sample_prompts=new.sample_prompts,
            webhook=sealed(new.webhook, self._sealer, bound_to=job_id),
        )
        self._engines[job.engine].check(job)
        return job

    def _base(self, caller: Caller, name: str) -> tuple[BaseModel, str | None]:
        """The base model to tune, and the adapter to go on from where `name` is a tuned model."""
        try:
            return self._models.resolve(caller, name)
        except NotFound as unknown:
            message = f"{unknown.message} {self._routing.known}" if "/" in name else unknown.message
            raise InvalidValue(message, param="model", code="model_not_found") from unknown

    def _lora(self, caller: Caller, model: str, asked: LoraConfig) -> LoraConfig:
        """What is `asked`, in the shape of the adapter of `model`: it keeps that as it learns on.

        Where its job was deleted, nobody says what that is.
        """
        made_by = self._models.get(caller, model).job_id
        try:
            own = self._store.job(caller.project_id, str(made_by)).lora
        except NotFound:
            return asked
        return replace(own, lora_dropout=asked.lora_dropout)

    def _check_files(self, caller: Caller, new: NewJob) -> None:
        training = self._data(caller, new.training_file, "training_file", new.method)
        if isinstance(new.method, Subject):
            return
        if new.validation_file is not None:
            self._validation(caller, new)
        if training.n_rows is not None and training.n_rows < FEWEST_EXAMPLES:
            raise InvalidFile(
                too_few_examples(training.n_rows),
                (),
                param="training_file",
                code="invalid_n_examples",
            )

    def _validation(self, caller: Caller, new: NewJob) -> None:
        assert new.validation_file is not None
        if new.validation_file == new.training_file:
            raise InvalidValue(
                "validation_file is the training file; a validation set must be another one, "
                "or its loss says nothing",
                param="validation_file",
            )
        self._data(caller, new.validation_file, "validation_file", new.method)

    def _data(self, caller: Caller, file_id: str, param: str, method: Method) -> File:
        try:
            file = self._store.file(caller.project_id, file_id)
        except NotFound as unknown:
            # Said at every door, and not each of them has words for a file's purpose.
            raise InvalidValue(
                f"There is no file {file_id!r}; upload it first.", param=param
            ) from unknown
        if file.purpose != "fine-tune":
            raise InvalidValue(
                f'File {file_id} has purpose "{file.purpose}"; it must be "fine-tune".',
                param=param,
            )
        if file.format is None or _LEARNT_BY[file.format] != _name(method):
            raise Unsupported(_wrong_format(file, method), param=param, code=f"invalid_{param}")
        return file


def _modality(method: Method) -> Modality:
    """What a model that learns by `method` makes."""
    return "image" if isinstance(method, Subject) else "text"


def _name(method: Method) -> str:
    """What OpenAI calls `method`."""
    match method:
        case Supervised():
            return "supervised"
        case Preference():
            return "dpo"
        case Subject():
            return "subject"


def _wrong_modality(base: BaseModel) -> str:
    if base.modality == "image":
        return (
            f"{base.name} is a model of images, which learns from pictures: make its finetunes "
            "with POST /v1/finetune."
        )
    return f"{base.name} is a model of text; an image finetune needs a model of images."


def _wrong_format(file: File, method: Method) -> str:
    """OpenAI's sentence for a file that is meant for another method."""
    if file.format is None:
        return f"Invalid file format. Input file {file.id} has no rows that can be learnt from."
    return (
        f"Invalid file format. Input file {file.id} is in the fine-tune-{file.format} format, but "
        f"the specified fine-tuning job is not using '{_LEARNT_BY[file.format]}' as the training "
        f"method (provided method={_name(method)})."
    )


def _first_events(job: FineTuningJob) -> list[NewEvent]:
    """What OpenAI says of a new job, and which model its own stands for or goes on from."""
    events = [NewEvent(message=f"Created fine-tuning job: {job.id}")]
    if job.initial_adapter is not None:
        before = f"{job.requested_model}, whose base model is {job.base_model}"
        events.append(NewEvent(message=f"Goes on from {before}"))
    elif job.requested_model != job.base_model:
        events.append(
            NewEvent(message=f"Model {job.requested_model} is {job.base_model} on this server")
        )
    files = job.training_file
    if job.validation_file is not None:
        files += f" and validation file: {job.validation_file}"
    if job.sql_source is not None:
        files += f" from {len(job.sql_source.golden_records)} golden records"
        return [*events, NewEvent(message=f"Building training file: {files}")]
    return [*events, NewEvent(message=f"Validating training file: {files}")]
