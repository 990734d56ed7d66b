"""Files."""

from typing import Any

from sqlalchemy import Select, or_, select, update

from tunery.store.statements.columns import FILE_COLUMNS
from tunery.store.statements.parts import given, new, number, page, value
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


def _files(*, purpose: bool, ascending: bool) -> Select[Any]:
    listed = select(*FILE_COLUMNS).where(given(files.c.project_id), *_LIVE)
    if purpose:
        listed = listed.where(given(files.c.purpose))
    return page(listed, files.c.sequence, ascending=ascending)


FILES = {
    (purpose, ascending): Query(_files(purpose=purpose, ascending=ascending))
    for purpose in (False, True)
    for ascending in (False, True)
}
"""By whether a purpose is asked for, and whether the oldest come first."""
