"""Rows of a database as JSON objects and as CSV, whatever types its driver gives."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal

from tunery.core.text_to_sql import Rows

_MOST_DIGITS = 300
"""Before the point. What has more is beyond the numbers of most readers, and becomes text."""

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def as_objects(rows: Rows) -> list[dict[str, Plain]]:
    """Each row by its columns' names."""
    names = _unlike_each_other(rows.columns)
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows.rows]


def as_csv(rows: Rows) -> str:
    """A line of names and one for each row; NULL is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows([_plain(value) for value in row] for row in rows.rows)
    return text.getvalue()


def _unlike_each_other(columns: Sequence[str]) -> Sequence[str]:
    """The names; one that came before gets the number of its column, and loses no value."""
    names: list[str] = []
    for number, column in enumerate(columns, start=1):
        name = column
        while name in names or (name != column and name in columns):
            name = f"{name}_{number}"
        names.append(name)
    return names


def _plain(value: object) -> Plain:
    """`value` in what JSON has; numbers that it has not are null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _number(value)
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case _:
            return str(value)


def _number(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if value.adjusted() > _MOST_DIGITS:
        return str(value)
    return int(value) if value == value.to_integral_value() else float(value)
