"""Adapters side by side: a few rows of each are one batched product and not one for each adapter.

Axes: `T` rows, `A` adapters, `M` rows of each, `i` inputs of a family, `k` members that any of the
adapters targets, `o` outputs of these, `r` the largest rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunery.modeling.adapter import Adapter
from tunery.modeling.compiled import Numbers, numbers
from tunery.modeling.compiled_decoding import FEW_ROWS, add_shares, suits
from tunery.modeling.linears import Family
from tunery.modeling.stream import Span

_FEW_ROWS = 16
"""With more rows of each, one product for each adapter is no slower."""

_MOST_NUMBERS = 2**27
"""Larger adapters are not copied: a quarter of a gigabyte in bf16, half of one in fp32."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layer:
    """What the adapters hold for one family; zero where one has a smaller rank or no such target.

    Attributes:
        at: which members of the family any of them targets.
        down: `(A, k * r, i)`, scaled.
        up: `(A, r, o)`, the members side by side.
        columns: `(k + 1,)` where each member begins in `up`, and where the last one ends.
        places: `(k,)` where each begins in the family's joint output.
    """

    at: list[int]
    down: Tensor
    up: Tensor
    columns: Numbers
    places: Numbers


class Stack:
    """Adapters of consecutive spans, each in a seat, which it keeps until another one needs it.

    No row gets anything from another adapter's weights, not even multiplied by zero.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        """Seats for the adapters of `spans`; copies are made as families are asked for."""
        self._seats = [span.adapter for span in spans]
        known = [adapter for adapter in self._seats if adapter is not None]
        self._rank = max(adapter.config.r for adapter in known)
        self._device = known[0].master.device
        self._layers: dict[Family, _Layer | None] = {}
        self._arranged: list[tuple[int, int]] = []
        self._arrange(spans)

    def seat(self, spans: Sequence[Span]) -> bool:
        """Make ready for a pass of `spans`; False where their adapters do not fit in.

        Who comes takes the seat of one who is not there, and nobody else is copied again.
        """
        there = [span.adapter for span in spans]
        new = [adapter for adapter in there if adapter not in self._seats]
        free = [at for at, adapter in enumerate(self._seats) if adapter not in there]
        ranks = [adapter.config.r for adapter in new if adapter is not None]
        if len(new) > len(free) or max(ranks, default=0) > self._rank:
            return False
        for adapter, at in zip(new, free, strict=False):
            self._seats[at] = adapter
            for family, layer in tuple(self._layers.items()):
                part = adapter.parts.get(family) if adapter is not None else None
                if part is not None and (layer is None or not set(part.at) <= set(layer.at)):
                    del self._layers[family]
                elif layer is not None:
                    self._fill(family, layer, at)
        self._arrange(spans)
        return True

    def _arrange(self, spans: Sequence[Span]) -> None:
        """Note whose rows are whose."""
        arranged = [(self._seats.index(span.adapter), span.end - span.first) for span in spans]
        if arranged == self._arranged:
            return
        self._arranged = arranged
        seats, counts = zip(*arranged, strict=True)
        self._owners = np.repeat(seats, counts)
        self._table = self._place = None
        if counts != (1,) * len(spans) or seats != tuple(range(len(self._seats))):
            rows, place = _table(spans, seats, len(self._seats))
            self._table = torch.tensor(rows, device=self._device)
            self._place = torch.tensor(place, device=self._device)

    def add(self, family: Family, x: Tensor, y: Tensor) -> None:
        """Add to the family's joint output `y` what the adapters give for `x`, `(T, i)`."""
        if family not in self._layers:
            self._layers[family] = self._layer(family)
        layer = self._layers[family]
        if layer is None:
            return
        if len(x) <= FEW_ROWS and suits(layer.down.numel() + layer.up.numel(), x, y):
            self._add_by_loops(layer, x, y)
        else:
            self._add_by_products(layer, x, y)

    def _add_by_loops(self, layer: _Layer, x: Tensor, y: Tensor) -> None:
        source, down, up, target = (
            numbers(one.view(-1)) for one in (x.contiguous(), layer.down, layer.up, y)
        )
        add_shares(source, self._owners, down, up, self._rank, layer.columns, layer.places, target)

    def _add_by_products(self, layer: _Layer, x: Tensor, y: Tensor) -> None:
        rows = x if self._table is None else x.index_select(0, self._table)
        low = torch.bmm(rows.view(len(self._seats), -1, x.shape[1]), layer.down.mT)
        widths = np.diff(layer.columns).tolist()
        for part, up, place, width in zip(
            low.split(self._rank, 2), layer.up.split(widths, 2), layer.places, widths, strict=True
        ):
            more = torch.bmm(part, up).flatten(0, 1)
            more = more if self._place is None else more.index_select(0, self._place)
            y[:, place : place + width].add_(more)

    def _layer(self, family: Family) -> _Layer | None:
        parts = [one.parts.get(family) for one in self._seats if one is not None]
        at = sorted({member for part in parts if part for member in part.at})
        if not at:
            return None
        n, columns = len(self._seats), _begins([family.widths[member] for member in at])
        layer = _Layer(
            at=at,
            down=family.zeros(n, len(at) * self._rank, family.n_inputs),
            up=family.zeros(n, self._rank, columns[-1]),
            columns=columns,
            places=_begins(family.widths)[at],
        )
        for seat in range(n):
            self._fill(family, layer, seat)
        return layer

    def _fill(self, family: Family, layer: _Layer, seat: int) -> None:
        """Copy what the adapter in `seat` holds for `family`."""
        down, up, adapter = layer.down[seat].zero_(), layer.up[seat].zero_(), self._seats[seat]
        part = adapter.parts.get(family) if adapter is not None else None
        if adapter is None or part is None:
            return
        r = adapter.config.r
        for j, member in enumerate(part.at):
            place = layer.at.index(member)
            first, columns = place * self._rank, slice(*layer.columns[place : place + 2])
            torch.mul(part.down[j * r : (j + 1) * r], adapter.scale, out=down[first : first + r])
            up[:r, columns] = part.up[j].T


def _begins(widths: Sequence[int]) -> Numbers:
    """Where each of some side by side begins, and where the last one ends."""
    return np.cumsum([0, *widths])


def _table(
    spans: Sequence[Span], seats: Sequence[int], n_seats: int
) -> tuple[list[int], list[int]]:
    """Rows for `n_seats` to read, as many for each, and where among them each row stands.

    A seat with fewer rows reads one of them again; an empty one reads any.
    """
    most = max(span.end - span.first for span in spans)
    rows = [0] * (n_seats * most)
    place: list[int] = []
    for span, seat in zip(spans, seats, strict=True):
        for j, row in enumerate(range(span.first, span.first + most)):
            rows[seat * most + j] = row if row < span.end else span.first
        place += range(seat * most, seat * most + span.end - span.first)
    return rows, place


def worthwhile(spans: Sequence[Span]) -> bool:
    """Whether a stack of `spans` is faster than one product after another, and not too large."""
    adapters = [span.adapter for span in spans if span.adapter is not None]
    few = max(span.end - span.first for span in spans) <= _FEW_ROWS
    # One alone gains by the loops only, which are for a CPU.
    enough = len(adapters) > 1 or any(one.master.device.type == "cpu" for one in adapters)
    return few and enough and _size(adapters) <= _MOST_NUMBERS


def _size(adapters: Sequence[Adapter]) -> int:
    return len(adapters) * max(adapter.n_parameters for adapter in adapters)
