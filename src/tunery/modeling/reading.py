"""A pass that reads the next tokens of sequences whose earlier ones are remembered.

Rows lie end to end as in a stream of segments. A sequence that reads one token attends together
with the others of its table; one that reads several, as of a prompt, attends alone.

Axes: `T` rows, `H` query heads, `K` key heads, `R = H / K`, `B` sequences of a table, `C` tokens
looked at, `M` rows of one sequence, `d` and `e` the widths of a key and of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling import tiled
from tunery.modeling.adapter import Adapter
from tunery.modeling.attention import Manner, is_plain, softmax
from tunery.modeling.cache import Memory, Table
from tunery.modeling.compiled import Numbers, stretch
from tunery.modeling.compiled_decoding import attend, suits
from tunery.modeling.rounding import rounded_up
from tunery.modeling.stream import Span

_WIDTHS = 16
"""A table is looked at up to its longest sequence, rounded up to a multiple of this."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Portion:
    """The next tokens of one sequence.

    Attributes:
        ids: at least one.
        adapter: what reads them; `None` is the base.
        memory: what is remembered of the tokens before; it has room for these.
    """

    ids: Sequence[int]
    adapter: Adapter | None
    memory: Memory


class Reading:
    """Portions end to end, those of one adapter together.

    Attributes:
        portions: in the order of the rows.
        spans: which rows belong to which adapter; together all rows.
        ids: `(1, T)` token ids.
        positions: `(1, T)` of each in its sequence.
        ends: `(S,)` the last row of each portion.
    """

    def __init__(self, portions: Sequence[Portion], device: torch.device) -> None:
        """Lay out `portions`."""
        self.portions = _by_adapter(portions)
        lengths = [len(portion.ids) for portion in self.portions]
        ends = list(accumulate(lengths))
        starts = [end - n for end, n in zip(ends, lengths, strict=True)]
        self.spans = _spans(self.portions)
        ids = [token for portion in self.portions for token in portion.ids]
        positions = [
            portion.memory.length + i for portion in self.portions for i in range(len(portion.ids))
        ]
        self.ids, self.positions = torch.tensor([[ids], [positions]], device=device)
        self.ends = torch.tensor(ends, device=device) - 1
        self._parts = _parts(self.portions, starts, device)
        order = [row for part in self._parts for row in part.rows]
        self._place = _inverse(order, device)

    def attention(
        self, layer: nn.Module, q: Tensor, k: Tensor, v: Tensor, manner: Manner
    ) -> Tensor:
        """`(T, H, e)`; q is `(T, H, d)`, k `(T, K, d)` and v `(T, K, e)`. k and v are kept."""
        found = [part.attention(layer, q, k, v, manner) for part in self._parts]
        rows = found[0] if len(found) == 1 else torch.cat(found)
        return rows if self._place is None else rows.index_select(0, self._place)

    def note(self) -> None:
        """Remember, after the pass, that these tokens have been read."""
        for portion in self.portions:
            portion.memory.length += len(portion.ids)


def _by_adapter(portions: Sequence[Portion]) -> list[Portion]:
    """Those of one adapter together; where each has its own, in the order of a table's slots."""
    first: dict[Adapter | None, int] = {}
    for slot, portion in enumerate(sorted(portions, key=lambda one: one.memory.slot)):
        first.setdefault(portion.adapter, slot)
    return sorted(portions, key=lambda one: (first[one.adapter], one.memory.slot))


def _spans(portions: Sequence[Portion]) -> list[Span]:
    spans: list[Span] = []
    row = 0
    for adapter, run in groupby(portions, key=lambda portion: portion.adapter):
        end = row + sum(len(portion.ids) for portion in run)
        spans.append(Span(adapter, row, end))
        row = end
    return spans


def _parts(
    portions: Sequence[Portion], starts: Sequence[int], device: torch.device
) -> list[_Single | _Several]:
    """Single rows by table; several rows of one sequence by themselves."""
    single: dict[Table, dict[int, Memory]] = {}
    several: list[_Single | _Several] = []
    for portion, start in zip(portions, starts, strict=True):
        if len(portion.ids) == 1:
            single.setdefault(portion.memory.table, {})[start] = portion.memory
        else:
            several.append(_Several(portion.memory, start, len(portion.ids), device))
    return [_Single(table, memories, device) for table, memories in single.items()] + several


def _inverse(order: Sequence[int], device: torch.device) -> Tensor | None:
    """Where in `order` each number stands; None where each stands in its own place."""
    if all(place == row for place, row in enumerate(order)):
        return None
    return torch.tensor(order, device=device).argsort()


class _Single:
    """One row of each of several sequences of a table."""

    def __init__(self, table: Table, memories: dict[int, Memory], device: torch.device) -> None:
        """`memories` by their row of the pass."""
        self._table, self._device = table, device
        self.rows = list(memories)
        self._slots = [memory.slot for memory in memories.values()]
        self._lengths = [memory.length for memory in memories.values()]
        self._masks: dict[tuple[int | None, int], Tensor] = {}
        self._targets: dict[int, Tensor] = {}

    def attention(
        self, layer: nn.Module, q: Tensor, k: Tensor, v: Tensor, manner: Manner
    ) -> Tensor:
        keys, values = self._table.layer(layer, k, v)
        looked_at = sum(self._lengths) * k.shape[1] * (k.shape[2] + v.shape[2])
        if manner.cap is None and suits(looked_at, q, k, v):
            return self._by_loops(q, k, v, keys, values, manner)
        self._write(keys, k)
        self._write(values, v)
        return self._by_products(q, keys, values, manner)

    def _by_loops(
        self, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, manner: Manner
    ) -> Tensor:
        q, k, v = (x if x.stride(2) == 1 else x.contiguous() for x in (q, k, v))
        (_, h, d), n_keys, e = q.shape, k.shape[1], v.shape[2]
        out = q.new_empty(len(self.rows), h, e)
        attend(
            stretch(q),
            stretch(k),
            stretch(v),
            tuple(x.stride()[:2] for x in (q, k, v)),
            (n_keys, h // n_keys, self._table.capacity, d, e),
            *self._readers,
            tiled.EVERYTHING if manner.window is None else manner.window,
            manner.scale,
            tiled.sinks_of(manner),
            stretch(keys),
            stretch(values),
            stretch(out),
        )
        return out

    @cached_property
    def _readers(self) -> tuple[Numbers, Numbers, Numbers]:
        """Of each sequence its row, its slot, and how many of its tokens have been read."""
        return np.array(self.rows), np.array(self._slots), np.array(self._lengths)

    def _by_products(self, q: Tensor, keys: Tensor, values: Tensor, manner: Manner) -> Tensor:
        """All slots of the table together; who reads nothing now, gets somebody's question."""
        n_slots, n_keys = len(self._table.memories), keys.shape[1]
        every = self._slots == list(range(n_slots))
        asked = q if every and len(q) == n_slots else q.index_select(0, self._reader)
        asked = asked.reshape(n_slots * n_keys, -1, q.shape[2])
        known_keys, known_values = (
            rows[:n_slots].flatten(0, 1)[:, : self._width] for rows in (keys, values)
        )
        p = _weights(asked, known_keys, self._mask(manner.window, n_keys), manner, n_slots)
        out = torch.bmm(p, known_values).view(n_slots, q.shape[1], values.shape[3])
        return out if every else out.index_select(0, self._own)

    def _write(self, table: Tensor, new: Tensor) -> None:
        """Put each row behind what its sequence has in `table`, `(room, K, C, d)`."""
        n_keys, width = new.shape[1:]
        if n_keys not in self._targets:
            head = torch.arange(n_keys, device=self._device)
            lines = self._own[:, None] * n_keys + head
            target = lines * self._table.capacity + self._at[:, None]
            self._targets[n_keys] = target.flatten()
        if len(self.rows) != len(new):
            new = new.index_select(0, self._written)
        new = new.reshape(-1, width)
        table.view(-1, width).index_copy_(0, self._targets[n_keys], new)

    def _mask(self, window: int | None, n_keys: int) -> Tensor:
        """`(B * K, 1, C)` of 0 where a sequence may look and minus infinity where not, fp32."""
        key = window, n_keys
        if key not in self._masks:
            last = self._at.new_zeros(len(self._table.memories)).index_copy_(0, self._own, self._at)
            back = last[:, None] - torch.arange(self._width, device=self._device)
            mask = _mask(back, window).repeat_interleave(n_keys, 0)
            self._masks[key] = mask[:, None]
        return self._masks[key]

    @property
    def _width(self) -> int:
        return min(rounded_up(max(self._lengths) + 1, _WIDTHS), self._table.capacity)

    @cached_property
    def _own(self) -> Tensor:
        """Each sequence's slot."""
        return torch.tensor(self._slots, device=self._device)

    @cached_property
    def _at(self) -> Tensor:
        """Where in its slot each one's token is put."""
        return torch.tensor(self._lengths, device=self._device)

    @cached_property
    def _written(self) -> Tensor:
        """The row of each."""
        return torch.tensor(self.rows, device=self._device)

    @cached_property
    def _reader(self) -> Tensor:
        """By slot, the row that asks it."""
        reader = self._written.new_full((len(self._table.memories),), self.rows[0])
        return reader.index_copy_(0, self._own, self._written)


class _Several:
    """Several rows of one sequence."""

    def __init__(self, memory: Memory, start: int, n_rows: int, device: torch.device) -> None:
        self._memory, self._device = memory, device
        self.rows = range(start, start + n_rows)
        self._past = memory.length
        self._masks: dict[int | None, Tensor] = {}

    def attention(
        self, layer: nn.Module, q: Tensor, k: Tensor, v: Tensor, manner: Manner
    ) -> Tensor:
        keys, values = (rows[self._memory.slot] for rows in self._memory.table.layer(layer, k, v))
        rows, end = slice(self.rows.start, self.rows.stop), self._past + len(self.rows)
        keys[:, self._past : end] = k[rows].transpose(0, 1)
        values[:, self._past : end] = v[rows].transpose(0, 1)
        asked, mask = q[rows].transpose(0, 1), self._mask(manner.window)
        attend = _fused if is_plain(manner) else _by_products
        return attend(asked, keys[:, :end], values[:, :end], mask, manner).transpose(0, 1)

    def _mask(self, window: int | None) -> Tensor:
        """`(M, C)` of 0 where a row may look and minus infinity where not, fp32."""
        if window not in self._masks:
            end = self._past + len(self.rows)
            at = torch.arange(end, device=self._device)
            self._masks[window] = _mask(at[self._past :, None] - at, window)
        return self._masks[window]


def _mask(back: Tensor, window: int | None) -> Tensor:
    hidden = back < 0 if window is None else (back < 0) | (back >= window)
    return torch.zeros(back.shape, device=back.device).masked_fill_(hidden, -torch.inf)


def _fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, manner: Manner) -> Tensor:
    """Torch's fused attention; q `(H, M, d)`, k `(K, C, d)`, v `(K, C, e)`."""
    return F.scaled_dot_product_attention(
        q[None],
        k[None],
        v[None],
        attn_mask=mask.to(q.dtype)[None, None],
        scale=manner.scale,
        enable_gqa=q.shape[0] != k.shape[0],
    )[0]


def _by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, manner: Manner) -> Tensor:
    """The same for caps and sinks, which torch's does not know."""
    n_heads, n_rows, _ = q.shape
    asked = q.reshape(k.shape[0], -1, q.shape[2])
    fold = n_heads // k.shape[0]
    p = _weights(asked, k, mask.repeat(fold, 1)[None], manner, 1)
    return torch.bmm(p, v).view(n_heads, n_rows, -1)


def _weights(q: Tensor, k: Tensor, mask: Tensor, manner: Manner, count: int) -> Tensor:
    """How much each row takes from each token; q `(B * K, R * M, d)`, k `(B * K, C, d)`."""
    if manner.cap is None:
        scores = torch.baddbmm(mask.to(q.dtype), q, k.transpose(1, 2), alpha=manner.scale)
    else:
        bend = torch.bmm(q, k.transpose(1, 2)).mul_(manner.scale / manner.cap).tanh_()
        scores = (bend * manner.cap).add_(mask)
    n_heads = 0 if manner.sinks is None else len(manner.sinks)
    return softmax(scores, manner.sinks, count, n_heads * count // len(q))
