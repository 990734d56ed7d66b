"""Adapters side by side: a few rows of each are one batched product and not one for each adapter.

Axes: `T` rows, `A` adapters, `M` rows of each, `i` inputs of a family, `o` outputs of one
member, `k` members that any of the adapters targets, `r` the largest rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunery.modeling.adapter import Adapter
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
        down: `(A, i, k * r)`, scaled.
        up: by member, `(A, r, o)`.
    """

    down: Tensor
    up: dict[int, Tensor]


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
        device = next(one.master.device for one in self._adapters if one is not None)
        self._table = self._place = None
        if max(self._counts) > 1:
            self._table, self._place = _table(spans, device)

    def fits(self, spans: Sequence[Span]) -> bool:
        """Whether these are the adapters of `spans`, each with as many rows."""
        same = [span.end - span.first for span in spans] == self._counts
        return same and [span.adapter for span in spans] == self._adapters

    def add(self, family: Family, x: Tensor, outputs: Sequence[Tensor]) -> None:
        """Add to `outputs`, each member's `(T, o)`, what the adapters give for `x`, `(T, i)`."""
        if family not in self._layers:
            self._layers[family] = self._layer(family)
        layer = self._layers[family]
        if layer is None:
            return
        rows = x if self._table is None else x.index_select(0, self._table)
        low = torch.bmm(rows.view(len(self._adapters), -1, x.shape[1]), layer.down)
        lows = low.split_with_sizes([self._rank] * len(layer.up), 2)
        for part, (at, up) in zip(lows, layer.up.items(), strict=True):
            more = torch.bmm(part, up).flatten(0, 1)
            outputs[at].add_(more if self._place is None else more.index_select(0, self._place))

    def _layer(self, family: Family) -> _Layer | None:
        parts = [one.parts.get(family) if one else None for one in self._adapters]
        at = sorted({member for part in parts if part for member in part.at})
        if not at:
            return None
        n, r = len(parts), self._rank
        down = family.zeros(n, family.n_inputs, len(at) * r)
        up = {member: family.zeros(n, r, family.widths[member]) for member in at}
        for i, (adapter, part) in enumerate(zip(self._adapters, parts, strict=True)):
            if adapter is None or part is None:
                continue
            own = adapter.config.r
            for j, member in enumerate(part.at):
                first = at.index(member) * r
                rows = part.down[j * own : (j + 1) * own]
                down[i, :, first : first + own] = rows.T * adapter.scale
                up[member][i, :own] = part.up[j].T
        return _Layer(down, up)


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
    return few and len(adapters) > 1 and _size(adapters) <= _MOST_NUMBERS


def _size(adapters: Sequence[Adapter]) -> int:
    return len(adapters) * max(adapter.n_parameters for adapter in adapters)
