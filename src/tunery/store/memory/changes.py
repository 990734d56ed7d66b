"""Writing what a rule decided."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tunery.core.errands import Errand
from tunery.core.events import Checkpoint, Event, NewEvent, event_id
from tunery.store.memory.state import KeptErrand, State
from tunery.store.record import Change, Record
from tunery.store.times import to_us


def kept(state: State, job_id: str) -> tuple[Checkpoint, ...]:
    """The job's listed checkpoints, by step."""
    listed = [
        each
        for each in state.checkpoints.values()
        if each.job_id == job_id and each.id not in state.retired
    ]
    return tuple(sorted(listed, key=lambda each: each.step))


def write(
    state: State, before: Record, listed: Sequence[Checkpoint], change: Change, now: datetime
) -> None:
    """Write `change` of the job `before`, with `listed` checkpoints."""
    last = before.last_event + len(change.events)
    state.jobs[before.job.id] = replace(change.record, last_event=last)
    add_events(state, before.job.id, change.events, now)
    for checkpoint in change.published:
        state.checkpoints[checkpoint.id] = checkpoint
    stay = {checkpoint.id for checkpoint in change.kept}
    before_and_new = {each.id for each in (*listed, *change.published)}
    state.retired |= before_and_new - stay
    if change.model is not None:
        state.models.append(change.model)
    add_errands(state, change.errands, now)


def add_errands(state: State, errands: Sequence[Errand], now: datetime) -> None:
    """Keep `errands`, due at once."""
    for errand in errands:
        state.errands[errand.id] = KeptErrand(errand=errand, due_at_us=to_us(now))


def add_events(state: State, job_id: str, events: Sequence[NewEvent], now: datetime) -> None:
    """Number `events` from the job's last one on (I12)."""
    said = state.events.setdefault(job_id, [])
    for number, event in enumerate(events, start=len(said) + 1):
        said.append(
            Event(
                id=event_id(job_id, number),
                job_id=job_id,
                number=number,
                created_at=now,
                level=event.level,
                message=event.message,
                type=event.type,
                data=event.data,
            )
        )
