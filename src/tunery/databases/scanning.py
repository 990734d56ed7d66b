"""What a scan finds out about tables.

Columns, types and keys come from the catalog. Categories are the distinct values of a column among
the first 100,000 rows that the database gives, where there are at most 60, the first is short, and
the column is of a kind that can name something; keys are left out. Examples are the first three
rows. Values are made text, and cut, by the database itself. Each look at values has a few seconds,
and all of them half of the scan's time; a column whose turn comes too late goes without categories.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Enum,
    ForeignKeyConstraint,
    Inspector,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    cast,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedForeignKeyConstraint
from sqlalchemy.exc import CompileError, DBAPIError, NoSuchTableError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine, UserDefinedType

from tunery.core import text_to_sql
from tunery.core.errors import QueryFailed
from tunery.core.text_to_sql import ForeignKey, ScannedTable
from tunery.databases.source import Source

_MOST_TABLES = 5000
_MOST_COLUMNS = 500
_MOST_CATEGORIES = 60
_LONGEST_CATEGORY = 50
"""Characters of the first one; Dataherald's measure, as the number above."""
_SAMPLED_ROWS = 100_000
_EXAMPLES = 3
_LONGEST_VALUE = 200
_LOOK_S = 3.0
"""How long one look at values may take."""
_NAMING = (String, Enum, Boolean, Integer)
"""Kinds of columns whose values can be categories."""
_SYSTEM_SCHEMAS = ("information_schema", "pg_catalog", "pg_toast")


class _Declared(UserDefinedType[Any]):
    """A type that SQLAlchemy does not know, by the database's own name of it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        return self.name


def table_names(inspector: Inspector, schema: str | None) -> Sequence[str]:
    """Tables and views of `schema`, or of the default one, by name; none of the system's.

    Raises:
        QueryFailed: there is no such schema, or it has too many.
    """
    if schema is not None and schema not in _schemas(inspector):
        raise QueryFailed(f"There is no schema {schema!r}.")
    names = {*inspector.get_table_names(schema), *inspector.get_view_names(schema)}
    if inspector.dialect.name == "postgresql":
        names.update(inspector.get_materialized_view_names(schema))
    if len(names) > _MOST_TABLES:
        raise QueryFailed(f"There are {len(names)} tables, and may be {_MOST_TABLES}.")
    return sorted(names)


def scanned(
    connection: Connection, source: Source, *, schema: str | None, table: str, within_s: float
) -> ScannedTable:
    """What there is to know about a table.

    Raises:
        QueryFailed: there is no such table.
        SQLAlchemyError: it cannot be read.
    """
    until = time.monotonic() + within_s / 2
    inspector = inspect(connection)
    if table not in table_names(inspector, schema):
        raise NoSuchTableError(table)
    reflected = _reflected(connection, inspector, schema, table)
    source.limit(connection, within_s / 2)
    examples = _examples(connection, reflected)
    looks = _Looks(connection, source, until)
    return ScannedTable(
        table_schema=_create_table(connection, reflected),
        columns=tuple(_column(each, connection, looks) for each in reflected.columns),
        examples=examples,
    )


class _Looks:
    """Looks at the values of columns, until the time is over."""

    def __init__(self, connection: Connection, source: Source, until: float) -> None:
        self._connection = connection
        self._source = source
        self._until = until

    def categories(self, column: Column[Any]) -> tuple[str, ...] | None:
        """All values of `column`, sorted; None where there are many, or it takes too long."""
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            return None
        sample = select(_as_text(self._connection, column).label("v")).limit(_SAMPLED_ROWS)
        within = sample.subquery("sample")
        distinct = select(within.c.v).where(within.c.v.is_not(None)).distinct()
        try:
            # PostgreSQL ends the transaction with a statement that fails, but for a savepoint.
            with self._connection.begin_nested():
                self._source.limit(self._connection, min(left_s, _LOOK_S))
                found = self._connection.scalars(distinct.limit(_MOST_CATEGORIES + 1)).all()
        except DBAPIError:
            return None
        values = sorted(_written(value) for value in found)
        is_few = 0 < len(values) <= _MOST_CATEGORIES
        return tuple(values) if is_few and len(values[0]) <= _LONGEST_CATEGORY else None


def _schemas(inspector: Inspector) -> Sequence[str]:
    names = inspector.get_schema_names()
    return [name for name in names if not name.startswith(_SYSTEM_SCHEMAS)]


def _reflected(
    connection: Connection, inspector: Inspector, schema: str | None, name: str
) -> Table:
    """The table with its keys, and without what only matters to who writes into it."""
    found = inspector.get_columns(name, schema)
    if len(found) > _MOST_COLUMNS:
        raise QueryFailed(f"It has {len(found)} columns, and may have {_MOST_COLUMNS}.")
    types = _types(connection, schema, name, found)
    columns = [
        Column(each["name"], kind, nullable=each["nullable"], autoincrement=False)
        for each, kind in zip(found, types, strict=True)
    ]
    table = Table(name, MetaData(), *columns, schema=schema)
    keys = inspector.get_pk_constraint(name, schema)["constrained_columns"]
    if keys:
        table.append_constraint(PrimaryKeyConstraint(*(table.c[key] for key in keys)))
    for foreign in inspector.get_foreign_keys(name, schema):
        # SQLite takes a key that points to a table without one.
        if len(foreign["referred_columns"]) == len(foreign["constrained_columns"]):
            table.append_constraint(_foreign_key(table, foreign))
    return table


def _foreign_key(table: Table, found: ReflectedForeignKeyConstraint) -> ForeignKeyConstraint:
    """A constraint on a stand-in for the other table, of which no more is known or needed."""
    place = (found["referred_schema"], found["referred_table"])
    names = found["referred_columns"]
    other = table
    if place != (table.schema, table.name):
        stand_ins: list[Column[Any]] = [Column(name) for name in dict.fromkeys(names)]
        other = Table(place[1], MetaData(), *stand_ins, schema=place[0])
    return ForeignKeyConstraint(
        [table.c[name] for name in found["constrained_columns"]], [other.c[name] for name in names]
    )


def _types(
    connection: Connection, schema: str | None, name: str, found: Sequence[ReflectedColumn]
) -> Sequence[TypeEngine[Any]]:
    """The type of each column; one that SQLAlchemy cannot write, as the database writes it."""
    if all(_can_be_written(each["type"], connection) for each in found):
        return [each["type"] for each in found]
    declared = _declared(connection, schema, name)
    return [
        each["type"]
        if _can_be_written(each["type"], connection)
        else _Declared(declared.get(each["name"], "ANY"))
        for each in found
    ]


def _can_be_written(kind: TypeEngine[Any], connection: Connection) -> bool:
    try:
        kind.compile(connection.dialect)
    except CompileError:
        return False
    return True


def _declared(connection: Connection, schema: str | None, name: str) -> Mapping[str, str]:
    """Column and type in PostgreSQL's own words; in SQLite only a type left unsaid is unknown."""
    if connection.dialect.name != "postgresql":
        return {}
    where = "nspname = coalesce(:schema, current_schema()) AND relname = :name AND attnum > 0"
    found = connection.execute(
        text(
            "SELECT attname, pg_catalog.format_type(atttypid, atttypmod)"
            " FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid"
            f" JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE {where}"
        ),
        {"schema": schema, "name": name},
    )
    return {str(column): str(kind) for column, kind in found}


def _create_table(connection: Connection, table: Table) -> str:
    written = str(CreateTable(table).compile(dialect=connection.dialect))
    lines = (line.replace("\t", "  ").rstrip() for line in written.splitlines())
    return "\n".join(line for line in lines if line)


def _column(column: Column[Any], connection: Connection, looks: _Looks) -> text_to_sql.Column:
    foreign = next((each.column for each in column.foreign_keys), None)
    is_key = column.primary_key or foreign is not None
    can_name = isinstance(column.type, _NAMING) and not is_key
    categories = looks.categories(column) if can_name else None
    return text_to_sql.Column(
        # SQLAlchemy's names are texts of a kind of their own, which no encoder knows.
        name=str(column.name),
        data_type=column.type.compile(connection.dialect),
        is_primary_key=column.primary_key,
        low_cardinality=categories is not None,
        categories=categories,
        foreign_key=None
        if foreign is None
        else ForeignKey(field_name=str(foreign.name), reference_table=str(foreign.table.fullname)),
    )


def _examples(connection: Connection, table: Table) -> tuple[Mapping[str, str], ...]:
    names = [str(column.name) for column in table.columns]
    if not names:
        return ()
    values = [_as_text(connection, column) for column in table.columns]
    rows = connection.execute(select(*values).select_from(table).limit(_EXAMPLES))
    return tuple(dict(zip(names, map(_written, row), strict=True)) for row in rows)


def _as_text(connection: Connection, column: Column[Any]) -> ColumnElement[str]:
    """The beginning of a value as text, so that a long one stays where it is."""
    # SQLite's substr makes text of numbers by itself, and leaves a blob one.
    value = column if connection.dialect.name == "sqlite" else cast(column, Text)
    return func.substr(value, 1, _LONGEST_VALUE + 1, type_=Text)


def _written(value: object) -> str:
    if value is None:
        return "NULL"
    whole = value.hex() if isinstance(value, bytes) else str(value)
    return whole if len(whole) <= _LONGEST_VALUE else f"{whole[:_LONGEST_VALUE]}…"
