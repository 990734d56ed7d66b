"""A table in few words, as a model reads it: one line, like a CREATE TABLE without its ceremony.

Every text of a table ends with a line break, so that the tokens of several are the sum of each.
"""

import re
from collections.abc import Collection, Iterable
from enum import Enum

from tunery.core.text_to_sql import Column, TableDescription

MOST_CATEGORIES = 12
"""A column with more distinct values than so many is written without them."""
MOST_SAMPLES = 3
_LONGEST_COMMENT = 160
_LONGEST_VALUE = 24

_PLAIN_NAME = {
    "postgresql": re.compile(r"[a-z_][a-z0-9_]*"),
    "sqlite": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
}
_RESERVED = re.compile(
    "all|and|as|asc|case|check|column|default|desc|distinct|else|end|except|for|from|grant|group|"
    "having|in|into|join|limit|not|null|on|or|order|primary|references|select|table|then|to|union|"
    "unique|user|when|where|with",
    re.IGNORECASE,
)
"""Words that both databases want in quotes where they are names."""
_SHORT_TYPES = {
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "double precision": "double",
    "integer": "int",
    "boolean": "bool",
}


class Detail(Enum):
    """How much of a table is written, from most to least."""

    FULL = "with comments and categories"
    COMMENTED = "with comments"
    BARE = "names, types and keys"
    NAMES = "names, and what points where"


_WITH_COMMENTS = (Detail.FULL, Detail.COMMENTED)


def table_as_text(
    table: TableDescription,
    detail: Detail,
    *,
    dialect: str,
    columns: Collection[str] | None = None,
) -> str:
    """`table` on one line; where `columns` are given, in lower case, only with those."""
    wanted = [
        _column(column, detail, dialect)
        for column in table.columns
        if columns is None or column.name.lower() in columns
    ]
    about = _one_line(table.description, _LONGEST_COMMENT) if detail in _WITH_COMMENTS else ""
    end = f" -- {about}" if about else ""
    return f"{table_name(table, dialect)}({', '.join(wanted)}){end}\n"


def samples_as_text(table: TableDescription) -> str:
    """A few rows of `table`, a line each, values in the order of its columns; or nothing."""
    names = [column.name for column in table.columns]
    rows = [[_value(row.get(name)) for name in names] for row in table.examples[:MOST_SAMPLES]]
    return "".join(f"-- {' | '.join(row)}\n" for row in rows)


def table_name(table: TableDescription, dialect: str) -> str:
    """The name as it stands in a query, its schema before it where it has one."""
    parts = [part for part in (table.schema_name, table.table_name) if part]
    return ".".join(_quoted(part, dialect) for part in parts)


def _column(column: Column, detail: Detail, dialect: str) -> str:
    words = [_quoted(column.name, dialect)]
    if detail is not Detail.NAMES:
        words.append(_short_type(column.data_type))
        words += ["key"] if column.is_primary_key else []
    target = column.foreign_key
    if target is not None and not (detail is Detail.NAMES and _is_plain_from_its_name(column)):
        words.append(f"-> {target.reference_table}.{target.field_name}")
    if about := _about(column, detail):
        words.append(f"/* {about} */")
    return " ".join(word for word in words if word)


def _is_plain_from_its_name(column: Column) -> bool:
    """Whether `column` is called like the one it points to, and not as half of all columns are."""
    name = column.name.lower()
    target = column.foreign_key
    return target is not None and name == target.field_name.lower() != "id"


def _about(column: Column, detail: Detail) -> str:
    if detail not in _WITH_COMMENTS:
        return ""
    said = _one_line(column.description, _LONGEST_COMMENT)
    values = _categories(column) if detail is Detail.FULL else ""
    return ": ".join(part for part in (said, values) if part)


def _categories(column: Column) -> str:
    values = column.categories or ()
    if not column.low_cardinality or len(values) > MOST_CATEGORIES:
        return ""
    return ", ".join(_value(value) for value in values)


def _short_type(data_type: str) -> str:
    """The type without its length, which no query needs."""
    name = re.sub(r"\s*\([^)]*\)", "", data_type).strip().lower()
    return _SHORT_TYPES.get(name, name)


def _quoted(name: str, dialect: str) -> str:
    plain = _PLAIN_NAME.get(dialect, _PLAIN_NAME["postgresql"])
    if plain.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _value(value: str | None) -> str:
    return "NULL" if value is None else _one_line(value, _LONGEST_VALUE)


def _one_line(text: str | None, longest: int) -> str:
    """`text` as part of a comment: no line breaks, no end of comment, and not too long."""
    line = " ".join((text or "").replace("*/", "* /").split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def names_of(tables: Iterable[TableDescription]) -> list[str]:
    """What the tables are called in messages to people."""
    return [".".join(part for part in (t.schema_name, t.table_name) if part) for t in tables]
