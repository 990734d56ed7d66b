"""The run protocol: by the job that a worker holds, or across all projects for the next one."""

from collections.abc import Iterable

from sqlalchemy import func, or_, select, update
from sqlalchemy import literal_column as word

from tunery.core.job import WAITING_FOR, JobStatus
from tunery.store.statements.columns import CHECKPOINT_COLUMNS, RECORD_COLUMNS
from tunery.store.statements.parts import given, number, one_of, value
from tunery.store.statements.query import Query
from tunery.store.tables import checkpoints, events, jobs

_UNFINISHED = jobs.c.finished_at_us.is_(None)
_FREE = or_(jobs.c.lease_until_us.is_(None), jobs.c.lease_until_us <= number("now_us"))

_held = (
    select(jobs.c.project_id, func.count().label("n"))
    .where(_UNFINISHED, jobs.c.lease_until_us > number("now_us"))
    .group_by(jobs.c.project_id)
    .cte("held")
)


def _next(statuses: Iterable[JobStatus]) -> Query:
    return Query(
        select(jobs.c.id)
        .select_from(jobs.outerjoin(_held, _held.c.project_id == jobs.c.project_id))
        .where(_UNFINISHED, _FREE, one_of(jobs.c.status, sorted(statuses)))
        .order_by(func.coalesce(_held.c.n, word("0")), jobs.c.sequence)
        .limit(word("1"))
        .with_for_update(of=jobs, skip_locked=True)
    )


NEXT = {work: _next(statuses) for work, statuses in WAITING_FOR.items()}
NEXT_OF_ANY = _next(frozenset().union(*WAITING_FOR.values()))
"""Lock the next job to lease: of the project with the least held, then the oldest (I10).

An index holds all that this looks at; the job's own row is read once it is chosen.
"""

LOCK_JOB = Query(select(*RECORD_COLUMNS).where(given(jobs.c.id)).with_for_update())

RENEW = Query(
    update(jobs)
    .where(jobs.c.id == value("job_id", jobs.c.id), _UNFINISHED)
    .where(jobs.c.lease_token == number("held_token"))
    .where(jobs.c.lease_owner == value("owner", jobs.c.lease_owner))
    .values(lease_until_us=number("until_us"))
    .returning(jobs.c.status)
)

STEPS = Query(
    select(events.c.number, events.c.data)
    .where(given(events.c.job_id), events.c.type == word("'metrics'"))
    .where(events.c.number > number("after"))
    .order_by(events.c.number)
    .limit(number("count"))
)

RETIRED = Query(
    select(*CHECKPOINT_COLUMNS)
    .where(given(checkpoints.c.job_id), checkpoints.c.retired_at_us.is_not(None))
    .order_by(checkpoints.c.sequence)
)
