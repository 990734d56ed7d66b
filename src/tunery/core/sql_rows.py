"""Whether two queries gave the same result."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from tunery.core.text_to_sql import Rows

_TOLERANCE = 1e-6
"""Relative, between numbers of which one is binary floating point."""
_NOTHING = 1e-12
"""What is left of a sum of such numbers that cancels."""

_Number = int | float | Decimal
_Shape = object
"""A row with its numbers taken out: equal, or the rows are not the same."""
_Numbers = tuple[_Number, ...]
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?")
_NUMBER = object()


def same_result(a: Rows, b: Rows, *, ordered: bool) -> bool:
    """Whether `a` and `b` hold the same rows, as often each, and `ordered` in the same order.

    Columns count by their place, not by their names. Numbers compare as numbers, whatever their
    type; times also with ISO text, which is what some drivers give. A result that was cut short is
    not the same as any other.
    """
    if a.truncated or b.truncated or len(a.columns) != len(b.columns):
        return False
    if len(a.rows) != len(b.rows):
        return False
    left, right = [_taken_apart(row) for row in a.rows], [_taken_apart(row) for row in b.rows]
    if ordered:
        return all(map(_is_same, left, right))
    return _have_partners(left, right)


def _have_partners(
    left: Sequence[tuple[_Shape, _Numbers]], right: Sequence[tuple[_Shape, _Numbers]]
) -> bool:
    ours, theirs = _by_shape(left), _by_shape(right)
    return ours.keys() == theirs.keys() and all(
        _numbers_have_partners(numbers, theirs[shape]) for shape, numbers in ours.items()
    )


def _by_shape(rows: Sequence[tuple[_Shape, _Numbers]]) -> Mapping[_Shape, list[_Numbers]]:
    groups: dict[_Shape, list[_Numbers]] = defaultdict(list)
    for shape, numbers in rows:
        groups[shape].append(numbers)
    return groups


def _numbers_have_partners(left: list[_Numbers], right: list[_Numbers]) -> bool:
    if len(left) != len(right):
        return False
    free = sorted(right, key=_place)
    for numbers in sorted(left, key=_place):
        # Nearly always the first one; rows whose numbers nearly agree may be sorted otherwise.
        at = next((i for i, other in enumerate(free) if _are_close(numbers, other)), None)
        if at is None:
            return False
        del free[at]
    return True


def _place(numbers: _Numbers) -> tuple[tuple[bool, _Number], ...]:
    """Where to sort `numbers`; those that are not a number come last."""
    return tuple((True, 0) if number != number else (False, number) for number in numbers)


def _is_same(a: tuple[_Shape, _Numbers], b: tuple[_Shape, _Numbers]) -> bool:
    return a[0] == b[0] and _are_close(a[1], b[1])


def _are_close(a: _Numbers, b: _Numbers) -> bool:
    return len(a) == len(b) and all(map(_is_close, a, b))


def _is_close(a: _Number, b: _Number) -> bool:
    if a != a or b != b:
        return a != a and b != b
    if a == b:
        return True
    if not isinstance(a, float) and not isinstance(b, float):
        return False
    try:
        return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_NOTHING)
    except OverflowError:
        return False


def _taken_apart(row: Sequence[object]) -> tuple[_Shape, _Numbers]:
    numbers: list[_Number] = []
    return tuple(_shape(value, numbers) for value in row), tuple(numbers)


def _shape(value: object, numbers: list[_Number]) -> _Shape:
    match value:
        case int() | float() | Decimal():
            numbers.append(value)
            return _NUMBER
        case str():
            return _as_time(value) if _TIME.fullmatch(value) else value
        case datetime():
            return _moment(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            numbers.append(value.total_seconds())
            return "interval"
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case list() | tuple():
            return tuple(_shape(item, numbers) for item in value)
        case dict():
            ordered = sorted(value.items(), key=lambda item: str(item[0]))
            return tuple((str(key), _shape(item, numbers)) for key, item in ordered)
        case None:
            return None
    return str(value)


def _as_time(text: str) -> str:
    try:
        return _moment(datetime.fromisoformat(text))
    except ValueError:
        return text


def _moment(moment: datetime) -> str:
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).isoformat(" ")
