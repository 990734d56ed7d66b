"""What becomes of a job that an engine reports on: pure, and the same in every store."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from msgspec import to_builtins

from tunery.core.events import Checkpoint, Level, NewEvent, metrics_event, text_samples_event
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob, JobError, JobStatus
from tunery.core.models import FineTunedModel, checkpoint_name, tuned_model_name
from tunery.core.ports import Lease
from tunery.core.progress import (
    Alive,
    AnyProgress,
    CheckpointSaved,
    Died,
    Evaluated,
    Failed,
    Finished,
    Metrics,
    Note,
    Paused,
    Sampled,
    SampledText,
)
from tunery.store.record import Change, Record
from tunery.store.rules import check_held, ended, going_on, moved, released

MOST_DEATHS = 3
"""As often as a trainer may die without a new checkpoint; one more, and the job fails."""

KEPT_CHECKPOINTS = 3
"""As many of the last checkpoints are kept, beside the best by validation loss."""


def apply(
    record: Record,
    kept: Sequence[Checkpoint],
    lease: Lease,
    progress: Sequence[AnyProgress],
    now: datetime,
) -> Change:
    """Record what an engine reported, one value after the other.

    Raises:
        LeaseLost: the worker holds the job no longer, or not after the values before.
    """
    change = Change(record=record, kept=tuple(kept))
    check_held(record, lease)
    for value in progress:
        check_held(change.record, lease)
        change = _recorded(change, value, now)
    return change


def _recorded(change: Change, value: AnyProgress, now: datetime) -> Change:
    match value:
        case Alive() | Sampled():
            # What was drawn is published with its file.
            return change
        case Note():
            return _say(change, value.message, level=value.level)
        case Metrics():
            return _measured(change, value, now)
        case SampledText():
            return _sampled(change, value)
        case CheckpointSaved():
            return _published(change, value, now)
        case Paused():
            return _let_go(change)
        case Died():
            return _died(change, value, now)
        case Failed():
            return _failed(change, value, now)
        case Evaluated():
            return _evaluated(change, value)
        case Finished():
            return _finished(change, value, now)
        case _:
            assert_never(value)


def _measured(change: Change, metrics: Metrics, now: datetime) -> Change:
    job = change.record.job
    if job.status is JobStatus.RUNNING and metrics.remaining_s is not None:
        job = replace(job, estimated_finish=now + timedelta(seconds=metrics.remaining_s))
    # A run that goes on from a checkpoint takes steps again whose metrics are recorded already.
    if metrics.step <= job.last_step:
        return _with_job(change, job)
    job = replace(job, last_step=metrics.step, trained_tokens=metrics.trained_tokens)
    return replace(_with_job(change, job), events=(*change.events, metrics_event(metrics)))


def _sampled(change: Change, sampled: SampledText) -> Change:
    # As with metrics: steps that are taken again have told what the model says by now.
    if sampled.step < change.record.job.last_step:
        return change
    return replace(change, events=(*change.events, text_samples_event(sampled)))


def _published(change: Change, saved: CheckpointSaved, now: datetime) -> Change:
    checkpoint = _checkpoint(change.record.job, saved, now)
    is_new = not change.kept or saved.step > change.kept[-1].step
    # A run that was stopped before its next step saves the same step again, in its own folder.
    others = [other for other in change.kept if other.step != saved.step]
    listed = sorted([*others, checkpoint], key=lambda each: each.step)
    deaths = 0 if is_new else change.record.deaths
    said = _say(change, f"Checkpoint created at step {saved.step}")
    return replace(
        said,
        record=replace(change.record, deaths=deaths),
        kept=_worth_keeping(listed),
        published=(*change.published, checkpoint),
    )


def _checkpoint(job: FineTuningJob, saved: CheckpointSaved, now: datetime) -> Checkpoint:
    return Checkpoint(
        id=new_id("ftckpt_"),
        project_id=job.project_id,
        job_id=job.id,
        created_at=now,
        step=saved.step,
        folder=saved.folder,
        model=checkpoint_name(_model_name(job), saved.step),
        base_model=job.base_model,
        metrics=saved.metrics,
    )


def _worth_keeping(listed: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """The best by validation loss and the last three, of checkpoints by step."""
    judged = [
        (loss, each.step) for each in listed if (loss := each.metrics.full_valid_loss) is not None
    ]
    best = min(judged)[1] if judged else None
    last = listed[-KEPT_CHECKPOINTS:]
    return tuple(each for each in listed if each in last or each.step == best)


def _let_go(change: Change) -> Change:
    """A running job is queued again; one that was asked to pause stays paused."""
    record = change.record
    if record.job.status is JobStatus.RUNNING:
        change = _say(change, f"Job moved to queued state; it goes on {going_on(change.kept)}")
        record = replace(record, job=moved(record.job, JobStatus.QUEUED))
    return replace(change, record=released(record))


def _died(change: Change, died: Died, now: datetime) -> Change:
    deaths = change.record.deaths + 1
    message = died.message.rstrip(".")
    if deaths > MOST_DEATHS:
        return _failed(
            change,
            Failed(
                code="trainer_died",
                message=f"The trainer died {deaths} times without a new checkpoint. {message}.",
            ),
            now,
        )
    record = replace(change.record, deaths=deaths)
    if record.job.status is JobStatus.RUNNING:
        record = replace(record, job=moved(record.job, JobStatus.QUEUED))
    said = _say(change, f"{message}. The job goes on {going_on(change.kept)}", level="warn")
    return replace(said, record=released(record))


def _failed(change: Change, failed: Failed, now: datetime) -> Change:
    job = replace(
        moved(change.record.job, JobStatus.FAILED),
        error=JobError(code=failed.code, message=failed.message, param=failed.param),
    )
    return ended(_say(change, failed.message, level="error"), job, now)


def _evaluated(change: Change, evaluated: Evaluated) -> Change:
    job = replace(change.record.job, evaluation=evaluated)
    base, tuned = evaluated.base, evaluated.tuned
    event = NewEvent(
        message=(
            f"On {tuned.n} held-out golden records: execution match {tuned.execution_match} "
            f"(base model {base.execution_match}), exact match {tuned.exact_match} "
            f"(base model {base.exact_match})"
        ),
        data={name: to_builtins(score) for name, score in (("base", base), ("tuned", tuned))},
    )
    return replace(_with_job(change, job), events=(*change.events, event))


def _finished(change: Change, finished: Finished, now: datetime) -> Change:
    job = change.record.job
    if job.status in (JobStatus.PAUSED, JobStatus.QUEUED):
        # The pause came before the end was recorded, and a paused job cannot succeed (I1): once
        # resumed, it goes on from its last checkpoint and ends at once.
        return _let_go(change)
    model = _model(job, finished, now)
    job = replace(
        moved(job, JobStatus.SUCCEEDED),
        fine_tuned_model=model.name,
        trained_tokens=finished.trained_tokens,
    )
    said = _say(change, f"New fine-tuned model created: {model.name}")
    said = _say(said, "The job has successfully completed")
    return replace(ended(said, job, now), model=model)


def _model(job: FineTuningJob, finished: Finished, now: datetime) -> FineTunedModel:
    return FineTunedModel(
        name=_model_name(job),
        project_id=job.project_id,
        job_id=job.id,
        base_model=job.base_model,
        adapter=finished.adapter,
        created_at=now,
        created_by=job.created_by,
        created_by_type=job.created_by_type,
    )


def _model_name(job: FineTuningJob) -> str:
    return tuned_model_name(
        base_model=job.base_model,
        organization=job.organization_id,
        suffix=job.suffix,
        job_id=job.id,
    )


def _with_job(change: Change, job: FineTuningJob) -> Change:
    return replace(change, record=replace(change.record, job=job))


def _say(change: Change, message: str, *, level: Level = "info") -> Change:
    # PostgreSQL keeps every character but this one, which a trainer's last words may hold.
    readable = message.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return replace(change, events=(*change.events, NewEvent(message=readable, level=level)))
