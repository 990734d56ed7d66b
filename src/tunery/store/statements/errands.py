"""Images as callers ask for them, and errands: by whoever took one, or the next of all projects."""

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy import literal_column as word
from sqlalchemy.dialects import postgresql

from tunery.store.statements.columns import ERRAND_COLUMNS
from tunery.store.statements.parts import given, new, number, value
from tunery.store.statements.query import Query
from tunery.store.tables import DRAWN_OR_FAILED, PENDING, errands, image_generations

_COLUMNS = [column for column in image_generations.c if column.name != "sequence"]

# Named after PostgreSQL, but SQLite writes it the same way.
NEW_IMAGE_GENERATION = Query(
    postgresql.insert(image_generations)
    .values({each.name: value(each.name, each) for each in _COLUMNS})
    .on_conflict_do_nothing()
    .inline()
)
IMAGE_GENERATION = Query(
    select(image_generations.c.value).where(
        given(image_generations.c.project_id), given(image_generations.c.id)
    )
)
IMAGE_GENERATION_OF_LINK = Query(
    select(image_generations.c.value).where(given(image_generations.c.id))
)
COUNT_PENDING = Query(
    select(func.count())
    .select_from(image_generations)
    .where(given(image_generations.c.project_id), PENDING)
)
REPLACE_IMAGE_GENERATION = Query(
    update(image_generations)
    .where(image_generations.c.project_id == value("of_project", image_generations.c.project_id))
    .where(image_generations.c.id == value("generation_id", image_generations.c.id))
    .values(
        status=value("status", image_generations.c.status),
        value=value("value", image_generations.c.value),
    )
)
IMAGE_GENERATIONS_BEFORE = Query(
    select(image_generations.c.value)
    .where(image_generations.c.created_at_us < number("before_us"), DRAWN_OR_FAILED)
    .order_by(image_generations.c.created_at_us, image_generations.c.sequence)
    .limit(number("count"))
)
FORGET_IMAGE_GENERATION = Query(
    delete(image_generations).where(
        given(image_generations.c.project_id), given(image_generations.c.id), DRAWN_OR_FAILED
    )
)

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
