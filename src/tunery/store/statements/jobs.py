"""Jobs, their events and checkpoints, and the models that they made, as callers ask for them."""

from functools import cache
from typing import Any

from sqlalchemy import Select, delete, func, select, update

from tunery.core.job import JobStatus, sources
from tunery.store.statements.columns import (
    CHECKPOINT_COLUMNS,
    EVENT_COLUMNS,
    JOB_COLUMNS,
    MODEL_COLUMNS,
    PROGRESS_COLUMNS,
    RECORD_COLUMNS,
)
from tunery.store.statements.parts import given, new, number, numbered, one_of, page, value
from tunery.store.statements.query import Query
from tunery.store.tables import (
    CONNECTED,
    OF_SUBJECTS,
    WITHOUT_METADATA,
    checkpoints,
    events,
    idempotency,
    job_metadata,
    jobs,
    models,
    projects,
)

_KNOWN = jobs.c.deleted_at_us.is_(None)
_THE_JOB = (given(jobs.c.project_id), given(jobs.c.id), _KNOWN)
_ITS_ROW = (
    jobs.c.project_id == value("of_project", jobs.c.project_id),
    jobs.c.id == value("job_id", jobs.c.id),
    jobs.c.lease_token == number("held_token"),
)
_PROGRESS = {column.name: value(column.name, column) for column in PROGRESS_COLUMNS}

NEW_JOB = Query(
    new(jobs, dict.fromkeys((*JOB_COLUMNS, *PROGRESS_COLUMNS, jobs.c.db_connection_id))).returning(
        jobs.c.sequence
    )
)
NEW_PAIR = Query(new(job_metadata, job_metadata.c))
JOB = Query(select(*JOB_COLUMNS).where(*_THE_JOB))
JOB_SEQUENCE = Query(select(jobs.c.sequence).where(given(jobs.c.project_id), given(jobs.c.id)))
"""Of a deleted one too: a list goes on behind it."""
LAST_EVENT = Query(select(jobs.c.last_event).where(*_THE_JOB))
LOCK_JOB = Query(select(*RECORD_COLUMNS).where(*_THE_JOB).with_for_update())

MOVE = {
    target: Query(update(jobs).where(*_ITS_ROW, one_of(jobs.c.status, before)).values(_PROGRESS))
    for target in JobStatus
    if (before := sources(target))
}
"""By the state that the job comes to; the guard of each (I1) stands in the statement itself."""

STAY = Query(
    update(jobs)
    .where(*_ITS_ROW, jobs.c.status == value("same_status", jobs.c.status))
    .values(_PROGRESS)
)
"""Write what changed of a job that stays in its state."""


SET_ECHO = Query(
    update(jobs)
    .where(
        jobs.c.project_id == value("of_project", jobs.c.project_id),
        jobs.c.id == value("job_id", jobs.c.id),
    )
    .values(echo=value("echo", jobs.c.echo))
)
"""Of a job whose row is locked."""

_LISTED = (given(jobs.c.project_id), _KNOWN)
NUMBERED_JOBS = Query(numbered(select(*JOB_COLUMNS).where(*_LISTED), jobs.c.sequence))
COUNT_JOBS = Query(select(func.count()).select_from(jobs).where(*_LISTED))
CONNECTED_JOBS = {
    of_one: Query(
        select(*JOB_COLUMNS)
        .where(*_LISTED, given(jobs.c.db_connection_id) if of_one else CONNECTED)
        .order_by(jobs.c.sequence.desc())
    )
    for of_one in (False, True)
}
"""By whether those of one connection are meant."""
SUBJECT_JOBS = Query(
    select(*JOB_COLUMNS).where(*_LISTED, OF_SUBJECTS).order_by(jobs.c.sequence.desc())
)


@cache
def listed_jobs(*, n_pairs: int, bare: bool, ascending: bool) -> Query:
    """The jobs that have `n_pairs` pairs of metadata, or with `bare` those that have none.

    With pairs, the list runs along the index of the last one and looks the others up.
    """
    found = select(*JOB_COLUMNS).where(*_LISTED)
    if bare:
        found = found.where(WITHOUT_METADATA)
    sequence = jobs.c.sequence
    for place in range(n_pairs):
        pair = job_metadata.alias(f"pair_{place}")
        found = found.where(
            pair.c.job_sequence == sequence,
            given(pair.c.project_id),
            pair.c.pair == value(f"pair_{place}", job_metadata.c.pair),
        )
        sequence = pair.c.job_sequence
    return Query(page(found, sequence, ascending=ascending))


LOCK_PROJECT = Query(
    select(projects.c.id)
    .where(projects.c.id == value("project_id", projects.c.id))
    .with_for_update(key_share=True)
)
"""So that two create calls with one key come one after the other; other inserts need not wait."""
FORGET_ANSWER = Query(
    delete(idempotency).where(
        given(idempotency.c.project_id),
        given(idempotency.c.key),
        idempotency.c.created_at_us <= number("a_day_ago_us"),
    )
)
ANSWER = Query(
    select(idempotency.c.request_hash, idempotency.c.job).where(
        given(idempotency.c.project_id), given(idempotency.c.key)
    )
)
NEW_ANSWER = Query(new(idempotency, idempotency.c))

NEW_EVENT = Query(new(events, (*EVENT_COLUMNS, events.c.project_id)))


def _events(*, ascending: bool) -> Select[Any]:
    listed = select(*EVENT_COLUMNS).where(given(events.c.project_id), given(events.c.job_id))
    return page(listed, events.c.number, ascending=ascending)


EVENTS = {ascending: Query(_events(ascending=ascending)) for ascending in (False, True)}
"""By whether the oldest come first."""

NEW_CHECKPOINT = Query(new(checkpoints, CHECKPOINT_COLUMNS))
CHECKPOINT_SEQUENCE = Query(
    select(checkpoints.c.sequence).where(
        given(checkpoints.c.project_id), given(checkpoints.c.job_id), given(checkpoints.c.id)
    )
)
CHECKPOINT = Query(
    select(*CHECKPOINT_COLUMNS)
    .where(given(checkpoints.c.project_id), given(checkpoints.c.model))
    .where(checkpoints.c.retired_at_us.is_(None))
    .order_by(checkpoints.c.sequence.desc())
)
_KEPT = (
    select(*CHECKPOINT_COLUMNS)
    .where(given(checkpoints.c.project_id), given(checkpoints.c.job_id))
    .where(checkpoints.c.retired_at_us.is_(None))
)
CHECKPOINTS = {
    ascending: Query(page(_KEPT, checkpoints.c.sequence, ascending=ascending))
    for ascending in (False, True)
}
"""By whether the oldest come first."""
KEPT = Query(_KEPT.order_by(checkpoints.c.step))
RETIRE = Query(
    update(checkpoints)
    .where(checkpoints.c.project_id == value("of_project", checkpoints.c.project_id))
    .where(checkpoints.c.id == value("checkpoint_id", checkpoints.c.id))
    .values(retired_at_us=number("now_us"))
)

NEW_MODEL = Query(new(models, MODEL_COLUMNS))
MODELS = Query(
    select(*MODEL_COLUMNS).where(given(models.c.project_id)).order_by(models.c.sequence.desc())
)
_MODEL = (
    select(*MODEL_COLUMNS)
    .where(given(models.c.project_id), given(models.c.name))
    .order_by(models.c.sequence.desc())
)
MODEL = Query(_MODEL)
MODEL_OF_JOB = Query(
    select(*MODEL_COLUMNS).where(given(models.c.project_id), given(models.c.job_id))
)
LOCK_MODEL = Query(_MODEL.with_for_update())
DELETE_MODEL = Query(delete(models).where(given(models.c.project_id), given(models.c.job_id)))
