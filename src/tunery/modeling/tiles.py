"""A stream's attention cut into tiles: rows that ask, against all rows that the last one sees.

What lies behind a tile's last row is not multiplied with. Tiles of one shape are a batch.

Axes: `T` rows of the stream, `N` tiles, `B` of them of one shape, `Q` rows of it that ask, `M` that
are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tunery.modeling.compiled import Numbers, kernel
from tunery.modeling.rounding import recurring_count, rounded_up
from tunery.modeling.vectors import WIDTH

# Rows of a tile that ask: fewer skip more of what no row sees, but make more and smaller products.
_TILE = 64

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, eq=False)
class Shape:
    """Tiles of one shape, one after another.

    Attributes:
        most_asks: rows of each that ask, padding with them, `Q`.
        looked_at: rows of each that are looked at, a multiple of `WIDTH`, `M`.
        asks: `(B,)` how many rows ask without the padding, which follows them.
        before: `(B,)` how many more the first of them sees, besides itself.
    """

    most_asks: int
    looked_at: int
    asks: Indices
    before: Indices


@dataclass(frozen=True, eq=False)
class Slots:
    """Where tiles have rows of a stream, one slot after another.

    Attributes:
        shapes: how many tiles of each shape there are, and how many slots each has.
        rows: the row of the stream in each slot, -1 where padded.
        first: `(N,)` each tile's first slot.
        length: `(N,)` how many slots it has.
        tiles: the tile of each slot.
        begin: `(T + 1,)` where each row's begin in `by_row`.
        by_row: the slots that each row is in, one row's after another's.
    """

    shapes: tuple[tuple[int, int], ...]
    rows: Indices
    first: Indices
    length: Indices
    tiles: Indices
    begin: Indices
    by_row: Indices

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Tiles:
    """All tiles of a stream."""

    shapes: tuple[Shape, ...]
    asking: Slots
    looked_at: Slots


def tiles(lines: Sequence[tuple[Indices, int]], n_rows: int, grain: int) -> Tiles:
    """Cut sequences into tiles.

    Args:
        lines: the rows of each sequence, and how many of them at its beginning do not ask.
        n_rows: rows of the stream.
        grain: what shapes are to be a multiple of, so that they recur.
    """
    alike: dict[tuple[int, int], list[tuple[Indices, int, int]]] = {}
    step = max(WIDTH, grain // 2)
    for rows, first in lines:
        for begin, end in _cuts(first, len(rows)):
            shape = rounded_up(end - begin, step), rounded_up(end, step)
            alike.setdefault(shape, []).append((rows, begin, end))
    shapes: list[Shape] = []
    asking, looked_at = _Filling(), _Filling()
    for (most_asks, most_looked_at), members in sorted(alike.items(), key=lambda item: item[0]):
        count = len(members)
        if grain > 1:
            count = recurring_count(count)
        asks, before = np.zeros((2, count), np.int64)
        for at, (_, begin, end) in enumerate(members):
            asks[at], before[at] = end - begin, begin
        shapes.append(Shape(most_asks, most_looked_at, asks, before))
        asking.add([rows[begin:end] for rows, begin, end in members], count, most_asks)
        looked_at.add([rows[:end] for rows, _, end in members], count, most_looked_at)
    return Tiles(tuple(shapes), asking.slots(n_rows), looked_at.slots(n_rows))


def _cuts(first: int, n: int) -> list[tuple[int, int]]:
    """The rows from `first` to `n` in tiles; a short rest belongs to the one before."""
    cuts: list[tuple[int, int]] = []
    while first < n:
        end = first - first % _TILE + _TILE
        if n - end <= _TILE // 2:
            end = n
        cuts.append((first, end))
        first = end
    return cuts


class _Filling:
    """Slots in the making."""

    def __init__(self) -> None:
        self._shapes: list[tuple[int, int]] = []
        self._rows: list[Indices] = []

    def add(self, tiles: list[Indices], count: int, length: int) -> None:
        """A shape of `count` tiles with `length` slots each."""
        table = np.full((count, length), -1, np.int64)
        for slots, rows in zip(table, tiles, strict=False):
            slots[: len(rows)] = rows
        self._shapes.append((count, length))
        self._rows.append(table.ravel())

    def slots(self, n_rows: int) -> Slots:
        rows = np.concatenate(self._rows)
        counts, lengths = np.array(self._shapes).T
        length = np.repeat(lengths, counts)
        first = np.cumsum(length) - length
        tile_of = np.repeat(np.arange(len(length)), length)
        begin, by_row = np.zeros(n_rows + 1, np.int64), np.empty(len(rows), np.int64)
        _sort(rows, begin, by_row)
        return Slots(tuple(self._shapes), rows, first, length, tile_of, begin, by_row[: begin[-1]])


@kernel
def _sort(rows: Numbers, begin: Numbers, by_row: Numbers) -> None:
    """Find the slots of each row, in their own order."""
    for row in rows:
        if row >= 0:
            begin[row + 1] += 1
    for row in range(1, begin.size):
        begin[row] += begin[row - 1]
    at = begin.copy()
    for slot in range(rows.size):
        row = rows[slot]
        if row >= 0:
            by_row[at[row]] = slot
            at[row] += 1
