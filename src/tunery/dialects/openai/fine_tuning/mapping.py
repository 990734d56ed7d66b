"""OpenAI's words for jobs, events and checkpoints, and back. Pure functions, nothing else."""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, TypeVar

import msgspec

from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.events import Checkpoint, Event
from tunery.core.hyperparameters import Hyperparameters
from tunery.core.job import FineTuningJob, JobStatus, NewJob
from tunery.core.lora import LoraConfig
from tunery.core.method import Method, Preference, Subject, Supervised
from tunery.dialects.openai.fine_tuning import schemas
from tunery.service.jobs import DryRun

STATUS: dict[JobStatus, schemas.Status] = {
    JobStatus.VALIDATING_FILES: "validating_files",
    JobStatus.QUEUED: "queued",
    JobStatus.RUNNING: "running",
    # The official client's enum has no "paused"; the true word is in `x_tunery.status`.
    JobStatus.PAUSED: "queued",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "cancelled",
}

Value = TypeVar("Value")


def to_core(body: schemas.CreateJob) -> NewJob:
    """`body` as the core's request.

    Raises:
        InvalidValue: a value is out of range, or `x_tunery` has a key that is none of ours.
        Unsupported: it asks for what is not there yet.
    """
    own = body.x_tunery or schemas.XTunery()
    _refuse_unknown(own)
    if body.integrations:
        raise Unsupported(
            "integrations are not there yet: this server reports to no tracker. Leave them out; "
            "the job's events and its step_metrics.csv hold every metric.",
            param="integrations",
        )
    return NewJob(
        model=body.model,
        training_file=body.training_file,
        validation_file=body.validation_file,
        method=_method(body, own),
        lora=_lora(own),
        overlong=own.overlong or "error",
        sample_prompts=own.sample_prompts,
        engine=own.engine,
        suffix=body.suffix,
        seed=body.seed,
        metadata=body.metadata,
    )


def to_wire(
    job: FineTuningJob, words: Mapping[JobStatus, schemas.Status] = STATUS
) -> schemas.JobObject:
    """`job` as `GET /fine_tuning/jobs/{id}` answers it, its status in one of `words`."""
    hyperparameters = _hyperparameters(job)
    running = job.status is JobStatus.RUNNING
    return schemas.JobObject(
        id=job.id,
        created_at=int(job.created_at.timestamp()),
        finished_at=_seconds(job.finished_at),
        estimated_finish=_seconds(job.estimated_finish) if running else None,
        model=job.base_model,
        fine_tuned_model=job.fine_tuned_model,
        organization_id=job.organization_id,
        status=words[job.status],
        training_file=job.training_file,
        validation_file=job.validation_file,
        result_files=job.result_files,
        trained_tokens=job.trained_tokens,
        error=job.error,
        hyperparameters=hyperparameters,
        seed=job.seed,
        method=_method_to_wire(job, hyperparameters),
        metadata=job.metadata,
        user_provided_suffix=job.suffix,
        x_tunery=_own(job),
    )


def event_to_wire(event: Event) -> schemas.EventObject:
    """`event` as the list and the stream of events answer it."""
    return schemas.EventObject(
        id=event.id,
        created_at=int(event.created_at.timestamp()),
        level=event.level,
        message=event.message,
        type=event.type,
        data=event.data,
    )


def checkpoint_to_wire(checkpoint: Checkpoint) -> schemas.CheckpointObject:
    """`checkpoint` as the list of checkpoints answers it."""
    metrics = checkpoint.metrics
    return schemas.CheckpointObject(
        id=checkpoint.id,
        created_at=int(checkpoint.created_at.timestamp()),
        fine_tuning_job_id=checkpoint.job_id,
        fine_tuned_model_checkpoint=checkpoint.model,
        step_number=checkpoint.step,
        metrics=schemas.CheckpointMetrics(
            step=metrics.step,
            train_loss=metrics.train_loss,
            train_mean_token_accuracy=metrics.train_mean_token_accuracy,
            full_valid_loss=metrics.full_valid_loss,
            full_valid_mean_token_accuracy=metrics.full_valid_mean_token_accuracy,
            train_rewards_chosen=metrics.train_rewards_chosen,
            train_rewards_rejected=metrics.train_rewards_rejected,
            train_rewards_margins=metrics.train_rewards_margins,
            train_rewards_accuracies=metrics.train_rewards_accuracies,
            full_valid_rewards_chosen=metrics.full_valid_rewards_chosen,
            full_valid_rewards_rejected=metrics.full_valid_rewards_rejected,
            full_valid_rewards_margins=metrics.full_valid_rewards_margins,
            full_valid_rewards_accuracies=metrics.full_valid_rewards_accuracies,
        ),
    )


def dry_run_to_wire(outcome: DryRun) -> schemas.DryRunObject:
    """`outcome` as a create call with `x_tunery.dry_run` answers it."""
    no_job = msgspec.structs.replace(
        _own(outcome.job),
        status=msgspec.UNSET,
        step=msgspec.UNSET,
        total_steps=msgspec.UNSET,
        evaluation=msgspec.UNSET,
    )
    return schemas.DryRunObject(
        model=outcome.job.base_model,
        training_file=outcome.job.training_file,
        validation_file=outcome.job.validation_file,
        hyperparameters=_hyperparameters(outcome.job),
        x_tunery=no_job,
        steps=outcome.steps,
        estimated_seconds=outcome.seconds,
        memory_bytes=outcome.memory_bytes,
        report=outcome.report,
    )


def _refuse_unknown(own: schemas.XTunery) -> None:
    for key in own.model_extra or {}:
        near = difflib.get_close_matches(key, schemas.X_TUNERY_KEYS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidValue(
            f"x_tunery has no {key!r}: {hint}It takes {', '.join(schemas.X_TUNERY_KEYS)}.",
            param=f"x_tunery.{key}",
        )


def _method(body: schemas.CreateJob, own: schemas.XTunery) -> Method:
    """The method, with the hyperparameters where they stand; `method` goes before the old place."""
    method = body.method or schemas.MethodBody(type="supervised")
    old = body.hyperparameters
    match method.type:
        case "supervised":
            asked = None if method.supervised is None else method.supervised.hyperparameters
            with _placed("hyperparameters" if asked is None else _place(method)):
                return Supervised(hyperparameters=_asked(asked or old, own))
        case "dpo":
            preferring = None if method.dpo is None else method.dpo.hyperparameters
            beta = None if preferring is None else preferring.beta
            with _placed("hyperparameters" if preferring is None else _place(method)):
                hyperparameters = _asked(preferring or old, own)
                return Preference(hyperparameters=hyperparameters, beta=_known(beta, "auto"))
        case "reinforcement":
            raise Unsupported(
                "method.type 'reinforcement' is not there yet; this server trains 'supervised' and "
                "'dpo' jobs.",
                param="method.type",
            )


def _asked(asked: schemas.HyperparametersBody | None, own: schemas.XTunery) -> Hyperparameters:
    asked = asked or schemas.HyperparametersBody()
    return Hyperparameters(
        n_epochs=_known(asked.n_epochs, "auto"),
        batch_size=_known(asked.batch_size, "auto"),
        learning_rate_multiplier=_known(asked.learning_rate_multiplier, "auto"),
        learning_rate=_known(own.learning_rate, "auto"),
        warmup_ratio=_known(own.warmup_ratio, "auto"),
        weight_decay=_known(own.weight_decay, "auto"),
    )


def _place(method: schemas.MethodBody) -> str:
    return f"method.{method.type}.hyperparameters"


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """Say of a value that is refused inside where it stands in the request."""
    try:
        yield
    except InvalidValue as error:
        if error.param in schemas.X_TUNERY_KEYS:
            raise
        raise InvalidValue(error.message, param=f"{place}.{error.param}") from error


def _lora(own: schemas.XTunery) -> LoraConfig:
    default = LoraConfig()
    return LoraConfig(
        r=_known(own.r, default.r),
        lora_alpha=_known(own.lora_alpha, default.lora_alpha),
        lora_dropout=_known(own.lora_dropout, default.lora_dropout),
        target_modules=_known(own.target_modules, default.target_modules),
    )


def _known(value: Value | None, default: Value) -> Value:
    return default if value is None else value


def _hyperparameters(job: FineTuningJob) -> schemas.Hyperparameters:
    """The numbers once the files are read; what was asked before that."""
    known = job.resolved or job.method.hyperparameters
    return schemas.Hyperparameters(
        batch_size=known.batch_size,
        learning_rate_multiplier=known.learning_rate_multiplier,
        n_epochs=known.n_epochs,
    )


def _method_to_wire(
    job: FineTuningJob, hyperparameters: schemas.Hyperparameters
) -> schemas.MethodObject:
    """The method; OpenAI has no word for learning from pictures."""
    beta = _beta(job)
    if beta is msgspec.UNSET:
        settings = schemas.SupervisedSettings(hyperparameters=hyperparameters)
        return schemas.MethodObject(type="supervised", supervised=settings)
    preferring = schemas.DpoHyperparameters(**msgspec.structs.asdict(hyperparameters), beta=beta)
    return schemas.MethodObject(type="dpo", dpo=schemas.DpoSettings(hyperparameters=preferring))


def _beta(job: FineTuningJob) -> float | Literal["auto"] | msgspec.UnsetType:
    """What the job runs with, or what was asked; unset where its method has none."""
    if not isinstance(job.method, Preference):
        return msgspec.UNSET
    resolved = None if job.resolved is None else job.resolved.beta
    return job.method.beta if resolved is None else resolved


def _own(job: FineTuningJob) -> schemas.JobXTunery:
    known = job.resolved or job.method.hyperparameters
    return schemas.JobXTunery(
        status=job.status.value,
        step=job.last_step,
        total_steps=job.total_steps,
        engine=job.engine,
        learning_rate=known.learning_rate,
        warmup_ratio=known.warmup_ratio,
        weight_decay=known.weight_decay,
        r=job.lora.r,
        lora_alpha=job.lora.lora_alpha,
        lora_dropout=job.lora.lora_dropout,
        target_modules=job.lora.target_modules,
        overlong=job.overlong,
        requested_model=job.requested_model,
        evaluation=_evaluation(job),
        sample_prompts=job.sample_prompts,
        beta=_beta(job),
        precision=(job.resolved and job.resolved.precision) or msgspec.UNSET,
        subject=job.method if isinstance(job.method, Subject) else msgspec.UNSET,
    )


def _evaluation(job: FineTuningJob) -> schemas.Evaluation | None:
    known = job.evaluation
    return None if known is None else schemas.Evaluation(base=known.base, tuned=known.tuned)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
