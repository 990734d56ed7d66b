"""Errands: by whoever took one, or the next across all projects."""

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy import literal_column as word

from tunery.store.statements.columns import ERRAND_COLUMNS
from tunery.store.statements.parts import given, new, number, value
from tunery.store.statements.query import Query
from tunery.store.tables import errands

_leased = (
    select(errands.c.project_id, func.count().label("n"))
    .where(given(errands.c.kind), errands.c.lease_until_us > number("now_us"))
    .group_by(errands.c.project_id)
    .cte("leased")
)
_FREE = or_(errands.c.lease_until_us.is_(None), errands.c.lease_until_us <= number("now_us"))

NEW_ERRAND = Query(new(errands, (*ERRAND_COLUMNS, errands.c.due_at_us)))
NEXT_ERRAND = Query(
    select(*ERRAND_COLUMNS)
    .select_from(errands.outerjoin(_leased, _leased.c.project_id == errands.c.project_id))
    .where(given(errands.c.kind), errands.c.due_at_us <= number("now_us"), _FREE)
    .order_by(func.coalesce(_leased.c.n, word("0")), errands.c.due_at_us, errands.c.sequence)
    .limit(word("1"))
    .with_for_update(of=errands, skip_locked=True)
)
"""Lock the next errand to lease: of the project with the fewest leased, then due the longest."""

_THE_ERRAND = errands.c.id == value("errand_id", errands.c.id)
_HELD = (
    _THE_ERRAND,
    errands.c.n_attempts == number("held_token"),
    errands.c.lease_until_us.is_not(None),
)
LEASE_ERRAND = Query(
    update(errands)
    .where(_THE_ERRAND)
    .values(n_attempts=number("token"), lease_until_us=number("until_us"))
)
"""Of an errand whose row is locked."""
RENEW_ERRAND = Query(update(errands).where(*_HELD).values(lease_until_us=number("until_us")))
PUT_OFF_ERRAND = Query(
    update(errands).where(*_HELD).values(due_at_us=number("due_at_us"), lease_until_us=word("NULL"))
)
LOCK_ERRAND = Query(select(errands.c.id).where(*_HELD).with_for_update())
FINISH_ERRAND = Query(delete(errands).where(*_HELD))
