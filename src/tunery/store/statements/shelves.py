"""Values of one kind, by project and by parent; the same statements for every kind."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Insert, Select, Table, delete, func, select, update
from sqlalchemy.dialects import postgresql

from tunery.store.statements.parts import given, number, value
from tunery.store.statements.query import Query


class ShelfStatements:
    """What is asked of one kind's table."""

    def __init__(self, table: Table) -> None:
        """Write them for `table`, whose rows may have a parent."""
        columns = [column for column in table.c if column.name != "sequence"]
        changing = [column for column in columns if column.name in ("parent", "value")]
        the_row = (given(table.c.project_id), given(table.c.id))
        parents = (False, True) if "parent" in table.c else (False,)

        self.new = Query(_new_unless_there(table, columns))
        self.get = Query(select(table.c.value).where(*the_row))
        self.lock = Query(select(table.c.value).where(*the_row).with_for_update())
        self.delete = Query(delete(table).where(*the_row))
        self.replace = Query(
            update(table)
            .where(table.c.project_id == value("of_project", table.c.project_id))
            .where(table.c.id == value("value_id", table.c.id))
            .values({column.name: value(column.name, column) for column in changing})
        )
        self.lists = {
            (parent, page): Query(_list(table, parent=parent, page=page))
            for parent in parents
            for page in (False, True)
        }
        """By whether those of one parent are meant, and whether a page of them."""
        self.counts = {
            parent: Query(
                select(func.count()).select_from(table).where(*_those(table, parent=parent))
            )
            for parent in parents
        }
        """By whether those of one parent are meant."""


def _new_unless_there(table: Table, columns: Sequence[Column[Any]]) -> Insert:
    # Named after PostgreSQL, but SQLite writes it the same way.
    inserted = postgresql.insert(table).values(
        {each.name: value(each.name, each) for each in columns}
    )
    return inserted.on_conflict_do_nothing().inline()


def _list(table: Table, *, parent: bool, page: bool) -> Select[Any]:
    listed = select(table.c.value).where(*_those(table, parent=parent)).order_by(table.c.sequence)
    # By number of rows, which a deep page pays for: clients have nothing but page numbers.
    return listed.limit(number("count")).offset(number("skipped")) if page else listed


def _those(table: Table, *, parent: bool) -> list[ColumnElement[bool]]:
    which = [given(table.c.project_id)]
    return [*which, given(table.c.parent)] if parent else which
