"""Files."""

from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update

from tunery.store.statements.columns import FILE_COLUMNS
from tunery.store.statements.parts import given, new, number, numbered, page, value
from tunery.store.statements.query import Query
from tunery.store.tables import files

_LIVE = (
    files.c.deleted_at_us.is_(None),
    or_(files.c.expires_at_us.is_(None), files.c.expires_at_us > number("now_us")),
)

NEW_FILE = Query(new(files, FILE_COLUMNS))
FILE = Query(select(*FILE_COLUMNS).where(given(files.c.project_id), given(files.c.id), *_LIVE))
FILE_SEQUENCE = Query(select(files.c.sequence).where(given(files.c.project_id), given(files.c.id)))
DELETE_FILE = Query(
    update(files)
    .where(files.c.project_id == value("of_project", files.c.project_id))
    .where(files.c.id == value("file_id", files.c.id), *_LIVE)
    .values(deleted_at_us=number("now_us"))
)
RESERVE_FILE = Query(new(files, (*FILE_COLUMNS, files.c.deleted_at_us)))
FREE_PLACE = Query(delete(files).where(given(files.c.project_id), given(files.c.id)))


def _those(*, purpose: bool) -> list[ColumnElement[bool]]:
    which = [given(files.c.project_id), *_LIVE]
    return [*which, given(files.c.purpose)] if purpose else which


def _all_files(*, purpose: bool) -> Select[Any]:
    return select(*FILE_COLUMNS).where(*_those(purpose=purpose))


def _files(*, purpose: bool, ascending: bool) -> Select[Any]:
    return page(_all_files(purpose=purpose), files.c.sequence, ascending=ascending)


FILES = {
    (purpose, ascending): Query(_files(purpose=purpose, ascending=ascending))
    for purpose in (False, True)
    for ascending in (False, True)
}
"""By whether a purpose is asked for, and whether the oldest come first."""

NUMBERED_FILES = {
    purpose: Query(numbered(_all_files(purpose=purpose), files.c.sequence))
    for purpose in (False, True)
}
COUNT_FILES = {
    purpose: Query(select(func.count()).select_from(files).where(*_those(purpose=purpose)))
    for purpose in (False, True)
}
"""Both by whether a purpose is asked for."""
