"""Writing what a rule decided: the job's row, its events, checkpoints and model, all at once."""

from collections.abc import Sequence
from datetime import datetime

from tunery.core.errands import Errand
from tunery.core.errors import LeaseLost
from tunery.core.events import Checkpoint, NewEvent
from tunery.core.job import FineTuningJob, refuse_move
from tunery.store.record import Change, Record
from tunery.store.sql import job_rows, rows
from tunery.store.sql.database import Transaction
from tunery.store.statements import errands as errand_statements
from tunery.store.statements import jobs as statements
from tunery.store.statements import runs
from tunery.store.times import to_us


def locked(tx: Transaction, job_id: str) -> Record:
    """The job that a worker names, locked until the transaction ends.

    Raises:
        LeaseLost: there is no such job; whether a lease still holds is for the rules to say.
    """
    row = tx.one(runs.LOCK_JOB, {"id": job_id})
    if row is None:
        raise LeaseLost(f"There is no job {job_id} to report on.")
    return job_rows.record(row)


def kept(tx: Transaction, job: FineTuningJob) -> tuple[Checkpoint, ...]:
    """The job's listed checkpoints, by step."""
    which = {"project_id": job.project_id, "job_id": job.id}
    return rows.checkpoints(tx.all(statements.KEPT, which))


def write(
    tx: Transaction, before: Record, listed: Sequence[Checkpoint], change: Change, now: datetime
) -> None:
    """Write `change` of a job that is locked as `before`, with `listed` checkpoints."""
    add_events(tx, before.job, before.last_event, change.events, now)
    _write_row(tx, before, change)
    for checkpoint in change.published:
        tx.run(statements.NEW_CHECKPOINT, rows.checkpoint_values(checkpoint))
    stay = {checkpoint.id for checkpoint in change.kept}
    retire(tx, [each for each in (*listed, *change.published) if each.id not in stay], now)
    if change.model is not None:
        tx.run(statements.NEW_MODEL, rows.model_values(change.model))
    add_errands(tx, change.errands)


def add_events(
    tx: Transaction, job: FineTuningJob, last: int, events: Sequence[NewEvent], now: datetime
) -> None:
    """Number `events` from `last` on (I12); the job's row is locked, or not yet to be seen."""
    tx.run_many(
        statements.NEW_EVENT,
        [
            {
                "job_id": job.id,
                "project_id": job.project_id,
                "number": number,
                "created_at_us": to_us(now),
                "level": event.level,
                "message": event.message,
                "type": event.type,
                "data": None if event.data is None else rows.to_json(event.data),
            }
            for number, event in enumerate(events, start=last + 1)
        ],
    )


def add_errands(tx: Transaction, errands: Sequence[Errand]) -> None:
    """Keep `errands`, due at once."""
    for errand in errands:
        due = {"due_at_us": tx.now_us()}
        tx.run(errand_statements.NEW_ERRAND, rows.errand_values(errand) | due)


def retire(tx: Transaction, checkpoints: Sequence[Checkpoint], now: datetime) -> None:
    """List `checkpoints` no longer; their folders are still there."""
    for each in checkpoints:
        which = {"of_project": each.project_id, "checkpoint_id": each.id}
        tx.run(statements.RETIRE, {**which, "now_us": to_us(now)})


def _write_row(tx: Transaction, before: Record, change: Change) -> None:
    after = change.record
    values = job_rows.progress_values(after)
    values["last_event"] = before.last_event + len(change.events)
    values |= {"of_project": after.job.project_id, "job_id": after.job.id}
    values["held_token"] = before.token
    if after.job.status is before.job.status:
        query = statements.STAY
        values["same_status"] = before.job.status.value
    else:
        query = statements.MOVE[after.job.status]
    if not tx.run(query, values):
        raise refuse_move(after.job.id, before.job.status, after.job.status)
