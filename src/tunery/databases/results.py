"""Rows of a result, within limits of number and size."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from tunery.core.text_to_sql import Rows

_LONGEST_VALUE = 64 * 1024
"""Characters or bytes; what is longer is cut."""
_MOST_BYTES = 16 * 1024**2
"""Of a whole result, about."""


def bounded(columns: Sequence[str], found: Iterable[Sequence[object]], max_rows: int) -> Rows:
    """The first `max_rows` rows; what was left out or cut makes the result a truncated one."""
    rows: list[tuple[object, ...]] = []
    size, truncated = 0, False
    for row in found:
        if size > _MOST_BYTES:
            truncated = True
            break
        if len(rows) == max_rows:
            # The last one that was asked for: nothing has to be called off.
            truncated = True
            continue
        kept = tuple(_kept(value) for value in row)
        truncated = truncated or any(map(_is_cut, row))
        size += sum(map(_size, kept))
        rows.append(kept)
    return Rows(columns=tuple(columns), rows=tuple(rows), truncated=truncated)


def _kept(value: object) -> object:
    if not _is_cut(value):
        return value
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return value[:_LONGEST_VALUE]
    return str(value)[:_LONGEST_VALUE]


def _is_cut(value: object) -> bool:
    return _size(value) > _LONGEST_VALUE


def _size(value: object) -> int:
    match value:
        case str() | bytes() | bytearray() | memoryview():
            return len(value)
        case dict() | list() | tuple() | Decimal():
            # A NUMERIC of PostgreSQL's has up to 131,072 digits before its point.
            return len(str(value))
    return 16
