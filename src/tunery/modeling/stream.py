"""Segments of tokens laid end to end, several adapters in one stream, nothing padded.

Axes: `T` rows of the stream, `S` sequences, `B` sequences of one length group, `M` rows of its
longest one, `Q` rows of those that ask, `R` taught rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling.by_rows import Lines, lines
from tunery.modeling.rounding import recurring_count, rounded_up
from tunery.modeling.segments import Fork, Line, Segment
from tunery.modeling.tiles import Tiles, tiles

if TYPE_CHECKING:
    from tunery.modeling.adapter import Adapter
    from tunery.modeling.narrowing import Narrowed

# A length group may hold this many times the rows that are really in it.
_PADDING_LIMIT = 1.15


@dataclass(frozen=True)
class Span:
    """Rows `first` to `end` belong to `adapter`.

    Attributes:
        lengths: in a grid, of each of its lines without the padding; None in a stream.
    """

    adapter: Adapter | None
    first: int
    end: int
    lengths: tuple[int, ...] | None = None

    def dropout_mask(self, n_inputs: int) -> Tensor | None:
        """`(end - first, n_inputs)`: the adapter's next draw; None where nothing is dropped.

        How far others make it pad its lines changes no draw: it would not be as alone.
        """
        if self.adapter is None:
            return None
        if self.lengths is None:
            return self.adapter.dropout_mask(self.end - self.first, n_inputs)
        n_lines, longest = len(self.lengths), max(self.lengths)
        drawn = self.adapter.dropout_mask(n_lines * longest, n_inputs)
        if drawn is None:
            return None
        width = (self.end - self.first) // n_lines
        return F.pad(drawn.view(n_lines, longest, -1), (0, 0, 0, width - longest)).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences of about one length, as rows of a padded table.

    Attributes:
        rows: `(B, M)` rows of the stream, -1 where padded.
        asks: `(B, M)` whether a row asks here: it is neither padding nor repeated.
        asking: `(B, Q)` the rows that do, -1 where padded; all rows where none is repeated.
        repeated: `(B,)` how many rows are repeated before those; None where none is.
        padded: whether there is padding among those that ask.
    """

    rows: Tensor
    asks: Tensor
    asking: Tensor
    repeated: Tensor | None
    padded: bool

    @cached_property
    def own_rows(self) -> Tensor:
        """`(B, M)` rows to read; padding reads its own segment, as a neighbour may hold a NaN."""
        return _filled(self.rows)

    @cached_property
    def own_asking(self) -> Tensor:
        """`(B, Q)` the same of the rows that ask."""
        return _filled(self.asking)

    @cached_property
    def again(self) -> Tensor:
        """`(B, M)` whether a row is repeated."""
        return (self.rows >= 0) & ~self.asks


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """A packed stream as kernels for variable lengths take it, `N` sequences end to end.

    A sequence's last row that asks is the last one that it looks at.

    Attributes:
        asking: `(N + 1,)` int32, where among the rows of the stream each begins that asks.
        looked_at: `(N + 1,)` int32, the same among `keys`.
        most_asking: rows of the longest that asks.
        most_looked_at: the most that one looks at.
        keys: which rows are looked at, one sequence's after another's; None where they are those
            of the stream, as nothing is repeated.
    """

    asking: Tensor
    looked_at: Tensor
    most_asking: int
    most_looked_at: int
    keys: Tensor | None


def _filled(rows: Tensor) -> Tensor:
    return torch.where(rows < 0, rows[:, :1], rows).clamp(min=0)


class Stream:
    """Segments end to end, sorted by adapter; or, with `grid`, one padded row for each.

    The grid is for models whose state would run from one segment into the next.

    Attributes:
        segments: in the order of the stream.
        spans: which rows belong to which adapter; together all rows.
        ids: `(1, T)`, or `(S, width)` of a grid.
        positions: like `ids`; each segment counts from 0.
        taught: `(R,)` rows whose next token is taught.
        target: `(R,)` that next token.
        counts: `(S,)` how many of these rows each sequence has; a fork has two sequences.
        narrowed: the rows that come out of the last layer; None is all.
    """

    narrowed: Narrowed | None = None

    def __init__(
        self,
        segments: Sequence[Segment | Fork],
        device: torch.device,
        *,
        grid: bool = False,
        grain: int = 1,
        sides: Mapping[Adapter, Adapter] | None = None,
    ) -> None:
        """Lay out `segments`, of which each teaches something.

        Args:
            segments: the segments, in any order; in a grid there are no forks.
            device: where the pass runs.
            grid: one padded row per segment.
            grain: fill each adapter's rows up to a multiple of this many, so that shapes recur.
            sides: for some adapters, which side of theirs takes the gradient.
        """
        self.segments = _by_adapter(segments)
        self.device, self.grid, self.grain = device, grid, grain
        lengths = [segment.n_rows for segment in self.segments]
        width = max(lengths) if grid else None
        self.starts, self.spans = _lay_out(self.segments, width, grain, sides or {})
        self.size = self.spans[-1].end
        self._fill(len(self.segments) if grid else 1)
        self._index: dict[tuple[str, int, int, int], tuple[Tensor, Tensor]] = {}
        self._masks: dict[tuple[int, int | None], Tensor] = {}
        self._fork_masks: dict[tuple[int, int | None], Tensor] = {}

    def _fill(self, n_lines: int) -> None:
        """Write token ids, positions and targets, on the CPU, and move them over once."""
        ids, positions = torch.zeros(2, self.size, dtype=torch.long)
        taught, target = [], []
        self._lines: list[Line] = []
        for segment, start in zip(self.segments, self.starts, strict=True):
            for line in segment.lines:
                source, rows = line.segment, line.rows + start
                ids[rows] = source.ids[: source.n_rows].long()
                positions[rows] = torch.arange(source.n_rows)
                taught.append(rows[source.taught])
                target.append(source.ids[1:][source.taught].long())
                self._lines.append(Line(source, rows, line.n_repeated))
        self.ids = ids.view(n_lines, -1).to(self.device)
        self.positions = positions.view(n_lines, -1).to(self.device)
        self.counts = torch.tensor([len(rows) for rows in taught]).to(self.device)
        self.taught, self.target = (torch.cat(parts).to(self.device) for parts in (taught, target))

    @cached_property
    def groups(self) -> list[Group]:
        """Whole sequences, and those that repeat something, each with its like; none of a grid."""
        if self.grid:
            return []
        whole = [line for line in self._lines if not line.n_repeated]
        forked = [line for line in self._lines if 0 < line.n_repeated < len(line.rows)]
        return [
            self._group([lines[i] for i in members])
            for lines in (whole, forked)
            for members in _alike([len(line.rows) for line in lines], self.grain)
        ]

    @cached_property
    def lines(self) -> Lines:
        """All sequences, for the compiled attention of a few rows at a time."""
        return lines([(line.rows.numpy(), line.n_repeated) for line in self._lines])

    @cached_property
    def tiles(self) -> Tiles:
        """All sequences, cut for attention by products with compiled loops around them."""
        lines = [(line.rows.numpy(), line.n_repeated) for line in self._lines]
        return tiles(lines, self.size, self.grain)

    @cached_property
    def sequences(self) -> Sequences:
        """What asks and what is looked at, end to end; rows that only fill up are one more each."""
        asking, looked_at = [0], [0]
        keys: list[Tensor] = []

        def add(rows: Tensor, n_repeated: int) -> None:
            asking.append(asking[-1] + len(rows) - n_repeated)
            looked_at.append(looked_at[-1] + len(rows))
            keys.append(rows)

        for line in self._lines:
            own = line.rows[line.n_repeated :]
            if len(own):
                if int(own[0]) > asking[-1]:
                    add(torch.arange(asking[-1], int(own[0])), 0)
                add(line.rows, line.n_repeated)
        if asking[-1] < self.size:
            add(torch.arange(asking[-1], self.size), 0)
        repeats = looked_at[-1] > self.size
        bounds = [torch.tensor(edges, dtype=torch.int32) for edges in (asking, looked_at)]
        return Sequences(
            asking=bounds[0].to(self.device),
            looked_at=bounds[1].to(self.device),
            most_asking=int(bounds[0].diff().max()),
            most_looked_at=int(bounds[1].diff().max()),
            keys=torch.cat(keys).to(self.device) if repeats else None,
        )

    def _group(self, lines: list[Line]) -> Group:
        repeated = torch.tensor([line.n_repeated for line in lines])
        rows = self._table([line.rows for line in lines])
        if not repeated.any():
            real = rows >= 0
            padded = not bool(real.all())
            return Group(rows=rows, asks=real, asking=rows, repeated=None, padded=padded)
        asking = self._table([line.rows[line.n_repeated :] for line in lines])
        repeated = F.pad(repeated, (0, len(rows) - len(repeated))).to(self.device)
        at = torch.arange(rows.shape[1], device=self.device)
        asks = (rows >= 0) & (at >= repeated[:, None])
        return Group(rows=rows, asks=asks, asking=asking, repeated=repeated, padded=True)

    def _table(self, lines: list[Tensor]) -> Tensor:
        """`(B, M)` of `lines`, -1 where padded."""
        count, longest = len(lines), max(map(len, lines))
        if self.grain > 1:
            count = recurring_count(count)
            longest = rounded_up(longest, self.grain // 2)
        table = torch.full((count, longest), -1, dtype=torch.long)
        for at, rows in enumerate(lines):
            table[at, : len(rows)] = rows
        return table.to(self.device)

    def query_rows(self, group: int, heads: int, fold: int) -> tuple[Tensor, Tensor]:
        """Rows of a `(T * heads, d)` matrix in the order `(B, heads / fold, fold, Q)`.

        Returns:
            Where to read, and where to write; padding writes to the row after the last.
        """
        table = self.groups[group]
        return self._rows(("query", group, heads, fold), table.own_asking, table.asking >= 0)

    def key_rows(self, group: int, heads: int) -> tuple[Tensor, Tensor]:
        """The same in the order `(B, heads, M)`; what is repeated is written like padding."""
        table = self.groups[group]
        return self._rows(("key", group, heads, 1), table.own_rows, table.asks)

    def repeated_rows(self, group: int, heads: int) -> Tensor:
        """Where `key_rows` are to be written that are repeated; all else after the last row."""
        table = self.groups[group]
        return self._rows(("again", group, heads, 1), table.own_rows, table.again)[1]

    def _rows(
        self, key: tuple[str, int, int, int], rows: Tensor, written: Tensor
    ) -> tuple[Tensor, Tensor]:
        if key not in self._index:
            _, _, heads, fold = key
            head = torch.arange(heads, device=self.device).view(1, heads // fold, fold, 1)
            read = rows[:, None, None] * heads + head
            write = torch.where(written[:, None, None], read, self.size * heads)
            self._index[key] = read.flatten(), write.flatten()
        return self._index[key]

    def mask(self, longest: int, window: int | None) -> Tensor:
        """`(M, M)` of 0 where a row may look and minus infinity where not, fp32."""
        key = longest, window
        if key not in self._masks:
            at = torch.arange(longest, device=self.device)
            self._masks[key] = _mask(at[:, None] - at, window)
        return self._masks[key]

    def fork_mask(self, group: int, window: int | None) -> Tensor:
        """`(B, Q, M)`, the same for rows that ask after others that are repeated."""
        key = group, window
        if key not in self._fork_masks:
            table = self.groups[group]
            assert table.repeated is not None
            at = torch.arange(table.rows.shape[1], device=self.device)
            asking = table.repeated[:, None] + torch.arange(table.asking.shape[1], device=at.device)
            # Padding asks as the last row does: whatever looks nowhere gets a NaN.
            back = asking.clamp(max=len(at) - 1)[:, :, None] - at
            self._fork_masks[key] = _mask(back, window)
        return self._fork_masks[key]

    @cached_property
    def gathered(self) -> Tensor:
        """`(T,)` for each row, where it stands among all groups' asking rows, one after another.

        Rows that only fill a span up point one past the end.
        """
        real = torch.cat([group.rows[group.asks] for group in self.groups])
        place = torch.full((self.size,), len(real), dtype=torch.long, device=self.device)
        place[real] = torch.arange(len(real), device=self.device)
        return place


def _mask(back: Tensor, window: int | None) -> Tensor:
    """0 where a row may look so far `back` and minus infinity where not, fp32."""
    hidden = back < 0 if window is None else (back < 0) | (back >= window)
    return torch.zeros(back.shape, device=back.device).masked_fill_(hidden, -torch.inf)


def _by_adapter(segments: Sequence[Segment | Fork]) -> list[Segment | Fork]:
    """Adapters in the order of their first segment; each one's segments in the order given."""
    order: dict[Adapter | None, list[Segment | Fork]] = {}
    for segment in segments:
        order.setdefault(segment.adapter, []).append(segment)
    return [segment for group in order.values() for segment in group]


def _lay_out(
    segments: Sequence[Segment | Fork],
    width: int | None,
    grain: int,
    sides: Mapping[Adapter, Adapter],
) -> tuple[list[int], list[Span]]:
    """Each segment's first row, and each adapter's span, filled up to a multiple of `grain`."""
    starts: list[int] = []
    spans: list[Span] = []
    row = first = begun = 0
    for i, segment in enumerate(segments):
        starts.append(row)
        row += width or segment.n_rows
        if i + 1 == len(segments) or segments[i + 1].adapter is not segment.adapter:
            row = first + rounded_up(row - first, grain)
            lengths = tuple(each.n_rows for each in segments[begun : i + 1])
            adapter = (
                None if segment.adapter is None else sides.get(segment.adapter, segment.adapter)
            )
            spans.append(Span(adapter, first, row, lengths if width else None))
            first, begun = row, i + 1
    return starts, spans


def _alike(lengths: list[int], grain: int) -> Iterator[list[int]]:
    """Indices of `lengths`, in groups of about the same; with a grain, in steps of half of it."""
    group: list[int] = []
    real, step = 0, grain // 2
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        n = lengths[i]
        if grain > 1:
            full = bool(group) and rounded_up(n, step) != rounded_up(lengths[group[0]], step)
        else:
            full = bool(group) and n * (len(group) + 1) > _PADDING_LIMIT * (real + n)
        if full:
            yield group
            group, real = [], 0
        group.append(i)
        real += n
    if group:
        yield group
