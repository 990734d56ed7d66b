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


@dataclass(frozen=True, eq=False)
class _Layer:
    """What the adapters hold for one family; zero where one has a smaller rank or no such target.

    Attributes:
        down: `(A, k * r, i)`, scaled.
        up: `(A, r, o)`, the members side by side.
        columns: `(k + 1,)` where each member begins in `up`, and where the last one ends.
        places: `(k,)` where each begins in the family's joint output.
    """

    down: Tensor
    up: Tensor
    columns: Numbers
    places: Numbers


class Stack:
    """The adapters of consecutive spans.

    No row meets another adapter's weights, not even multiplied by zero.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        """Copies are made as families are asked for."""
        self._adapters = [span.adapter for span in spans]
        self._counts = [span.end - span.first for span in spans]
        self._rank = max(one.config.r for one in self._adapters if one is not None)
        self._layers: dict[Family, _Layer | None] = {}
        self._owners = np.repeat(np.arange(len(spans)), self._counts)
        device = next(one.master.device for one in self._adapters if one is not None)
        self._table = self._place = None
        if max(self._counts) > 1:
            self._table, self._place = _table(spans, device)

    def fits(self, spans: Sequence[Span]) -> bool:
        """Whether these are the adapters of `spans`, each with as many rows."""
        same = [span.end - span.first for span in spans] == self._counts
        return same and [span.adapter for span in spans] == self._adapters

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
        low = torch.bmm(rows.view(len(self._adapters), -1, x.shape[1]), layer.down.mT)
        widths = np.diff(layer.columns).tolist()
        for part, up, place, width in zip(
            low.split(self._rank, 2), layer.up.split(widths, 2), layer.places, widths, strict=True
        ):
            more = torch.bmm(part, up).flatten(0, 1)
            more = more if self._place is None else more.index_select(0, self._place)
            y[:, place : place + width].add_(more)

    def _layer(self, family: Family) -> _Layer | None:
        parts = [one.parts.get(family) if one else None for one in self._adapters]
        at = sorted({member for part in parts if part for member in part.at})
        if not at:
            return None
        n, r = len(parts), self._rank
        columns = _begins([family.widths[member] for member in at])
        down = family.zeros(n, len(at) * r, family.n_inputs)
        up = family.zeros(n, r, columns[-1])
        for i, (adapter, part) in enumerate(zip(self._adapters, parts, strict=True)):
            if adapter is None or part is None:
                continue
            own = adapter.config.r
            for j, member in enumerate(part.at):
                place = at.index(member)
                rows = part.down[j * own : (j + 1) * own]
                down[i, place * r : place * r + own] = rows * adapter.scale
                up[i, :own, columns[place] : columns[place + 1]] = part.up[j].T
        return _Layer(down, up, columns, _begins(family.widths)[at])


def _begins(widths: Sequence[int]) -> Numbers:
    """Where each of some side by side begins, and where the last one ends."""
    return np.cumsum([0, *widths])


def _table(spans: Sequence[Span], device: torch.device) -> tuple[Tensor, Tensor]:
    """`(A * M,)` rows to read, and `(T,)` where among them each row stands.

    An adapter with fewer rows reads its first one again.
    """
    most = max(span.end - span.first for span in spans)
    rows = [
        row if row < span.end else span.first
        for span in spans
        for row in range(span.first, span.first + most)
    ]
    place = [i * most + j for i, span in enumerate(spans) for j in range(span.end - span.first)]
    return torch.tensor(rows, device=device), torch.tensor(place, device=device)


def worthwhile(spans: Sequence[Span]) -> bool:
    """Whether a stack of `spans` is faster than one product after another, and not too large."""
    adapters = [span.adapter for span in spans if span.adapter is not None]
    few = max(span.end - span.first for span in spans) <= _FEW_ROWS
    # One alone gains by the loops only, which are for a CPU.
    enough = len(adapters) > 1 or any(one.master.device.type == "cpu" for one in adapters)
    return few and enough and _size(adapters) <= _MOST_NUMBERS


def _size(adapters: Sequence[Adapter]) -> int:
    return len(adapters) * max(adapter.n_parameters for adapter in adapters)
