"""What becomes of a job that is claimed, validated or moved: pure, the same in every store."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tunery.core.errors import Conflict, InvalidTransition, LeaseLost
from tunery.core.events import Checkpoint, NewEvent
from tunery.core.files import File
from tunery.core.job import (
    MOVES,
    FineTuningJob,
    JobStatus,
    callers_sources,
    refuse_move,
)
from tunery.core.ports import Idempotency, Lease, Validated
from tunery.store.errands import to_tell_of_job
from tunery.store.record import Change, Record
from tunery.store.times import to_us

_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""sha256 of no bytes."""

ANSWERS_KEPT = timedelta(days=1)
"""As long is the answer to a create call kept for its idempotency key (I7)."""


def check_same_request(idempotency: Idempotency, request_hash: bytes) -> None:
    """Refuse a key that came with another request before.

    Raises:
        Conflict: the requests differ.
    """
    if request_hash != idempotency.request_hash:
        raise Conflict(
            f"The idempotency key {idempotency.key!r} was used with another request within the "
            "last day; use a new key for a new request."
        )


def check_held(record: Record, lease: Lease) -> None:
    """Refuse a worker that holds the job no longer (I3).

    Raises:
        LeaseLost: the token is stale, the job was let go of, or it is over.
    """
    held = record.owner == lease.owner and record.token == lease.token
    if not held or record.job.status.is_final:
        raise lease_lost(lease)


def lease_lost(lease: Lease) -> LeaseLost:
    """The error that says that a worker may no longer report."""
    return LeaseLost(
        f"The lease of {lease.owner} (token {lease.token}) on job {lease.job_id} is gone."
    )


def claim(
    record: Record, kept: Sequence[Checkpoint], *, owner: str, until_us: int, now: datetime
) -> Change:
    """Lease a job that waits, or whose lease has run out, with the next token."""
    job = record.job
    event = _claim_event(record, kept)
    if job.status is not JobStatus.VALIDATING_FILES:
        job = replace(
            job,
            status=JobStatus.RUNNING,
            started_at=job.started_at or now,
            estimated_finish=None,
        )
    claimed = replace(record, job=job, owner=owner, token=record.token + 1, lease_until_us=until_us)
    return Change(record=claimed, kept=tuple(kept), events=(event,) if event else ())


def _claim_event(record: Record, kept: Sequence[Checkpoint]) -> NewEvent | None:
    validating = record.job.status is JobStatus.VALIDATING_FILES
    if record.owner is not None:
        then = "its files are validated again" if validating else f"it goes on {going_on(kept)}"
        return NewEvent(message=f"The job's worker was lost; {then}", level="warn")
    if validating:
        return None
    if record.job.started_at is None:
        return NewEvent(message="Fine-tuning job started")
    return NewEvent(message=f"Fine-tuning job goes on {going_on(kept)}")


def validated(record: Record, lease: Lease, outcome: Validated) -> Change:
    """Queue a job whose files are good, and let go of it.

    Raises:
        LeaseLost: the worker holds the job no longer.
        InvalidTransition: the job is validated already.
    """
    check_held(record, lease)
    job = record.job
    if job.status is not JobStatus.VALIDATING_FILES:
        raise InvalidTransition(f"Job {job.id} is {job.status}; its files are validated already.")
    job = replace(
        moved(job, JobStatus.QUEUED), resolved=outcome.resolved, total_steps=outcome.total_steps
    )
    queued = NewEvent(message="Files validated, moving job to queued state")
    return Change(
        # A death while validating says nothing about the training.
        record=released(replace(record, job=job, deaths=0)),
        kept=(),
        events=(*outcome.notes, queued),
    )


def move(
    record: Record, kept: Sequence[Checkpoint], target: JobStatus, event: NewEvent, now: datetime
) -> Change:
    """Cancel, pause or requeue a job for a caller.

    Raises:
        InvalidTransition: the job is in no state to make this move.
    """
    if record.job.status not in callers_sources(target):
        raise refuse_move(record.job.id, record.job.status, target)
    job = replace(record.job, status=target, estimated_finish=None)
    change = Change(record=replace(record, job=job), kept=tuple(kept), events=(event,))
    return ended(change, job, now) if target.is_final else change


def deleted(record: Record, kept: Sequence[Checkpoint], event: NewEvent, now: datetime) -> Change:
    """Let no caller know a job any more, cancelled first where it is not over."""
    if record.job.status.is_final:
        change = Change(record=record, kept=tuple(kept))
    else:
        change = move(record, kept, JobStatus.CANCELLED, event, now)
    gone = replace(change.record, deleted_at_us=to_us(now))
    # Checkpoints are called by a name that begins with the model's: they stay as long as it does.
    return replace(change, record=gone, kept=change.kept if record.job.fine_tuned_model else ())


def reserved_files(job: FineTuningJob) -> tuple[File, ...]:
    """What holds the places of the files that are yet to be built for `job`.

    They are kept as deleted files are, so that bytes which an attempt has written but not
    published are removed as those of a deleted file are: once no unfinished job uses them.
    """
    if job.sql_source is None:
        return ()
    ids = (job.training_file, job.validation_file)
    return tuple(_place(job, file_id) for file_id in ids if file_id is not None)


def check_reserved(job: FineTuningJob, files: Sequence[File]) -> None:
    """Refuse files under ids that `job` has not reserved.

    Raises:
        ValueError: the caller is mistaken.
    """
    reserved = {file.id for file in reserved_files(job)}
    others = [file.id for file in files if file.id not in reserved]
    if others:
        raise ValueError(f"job {job.id} has not reserved {', '.join(others)}")


def _place(job: FineTuningJob, file_id: str) -> File:
    return File(
        id=file_id,
        project_id=job.project_id,
        created_at=job.created_at,
        filename="",
        purpose="fine-tune",
        size_bytes=0,
        sha256=_NOTHING,
        created_by=job.created_by,
        created_by_type=job.created_by_type,
    )


def moved(job: FineTuningJob, target: JobStatus) -> FineTuningJob:
    """The job in the state `target`.

    Raises:
        InvalidTransition: it cannot make this move (I1).
    """
    if target not in MOVES[job.status]:
        raise refuse_move(job.id, job.status, target)
    return replace(job, status=target, estimated_finish=None)


def ended(change: Change, job: FineTuningJob, now: datetime) -> Change:
    """`change`, after which `job` is over: held by nobody, and told of where somebody asked."""
    job = replace(job, finished_at=now)
    record = released(replace(change.record, job=job))
    return replace(change, record=record, errands=to_tell_of_job(job, now))


def released(record: Record) -> Record:
    """The job, held by nobody."""
    return replace(record, owner=None, lease_until_us=None)


def going_on(kept: Sequence[Checkpoint]) -> str:
    """Where a job goes on, in words."""
    return f"from step {kept[-1].step}" if kept else "from the start"
