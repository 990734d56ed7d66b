"""Attention of a stream on a CPU in one compiled loop, for narrow heads and short sequences.

Batched products of so little are mostly the asking for them.

Axes: `T` rows, `H` query heads, `K` key heads, `d` and `e` the widths of a key and of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from tunery.modeling import compiled
from tunery.modeling.autograd import Context
from tunery.modeling.compiled import numbers, stretch
from tunery.modeling.compiled_rows import Heads, Sizes, attend, attend_back
from tunery.modeling.rounding import rounded_up
from tunery.modeling.tiled import EVERYTHING, sinks_of
from tunery.modeling.vectors import WIDTH

if TYPE_CHECKING:
    from tunery.modeling.attention import Manner
    from tunery.modeling.stream import Stream

# Heads of which bf16 products are slower (measured: 32 numbers, a fifth; 64, a tenth faster). fp32
# ones are slower at any width.
_NARROW = 32
# A sequence's weights of one head are at hand at once: a megabyte.
_SHORT = 512
# The loop is one thread's; more of them are faster with products.
_FEW_THREADS = 2

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, eq=False)
class Lines:
    """The sequences of a stream, one after another.

    Attributes:
        rows: the rows of the stream that each looks at.
        begin: where each begins among them, and the end of the last.
        repeated: how many rows at the beginning of each do not ask in it.
        kept: where the weights of each begin, of one head, and the end of the last.
        longest: rows of the longest.
    """

    rows: Indices
    begin: Indices
    repeated: Indices
    kept: Indices
    longest: int


def lines(found: Sequence[tuple[Indices, int]]) -> Lines:
    """From the rows of each sequence, and how many of them at its beginning do not ask."""
    lengths = np.array([len(rows) for rows, _ in found])
    repeated = np.array([n_repeated for _, n_repeated in found])
    weights = (lengths - repeated) * [rounded_up(int(n), WIDTH) for n in lengths]
    return Lines(
        rows=np.concatenate([rows for rows, _ in found]),
        begin=np.concatenate(([0], np.cumsum(lengths))),
        repeated=repeated,
        kept=np.concatenate(([0], np.cumsum(weights))),
        longest=int(lengths.max()),
    )


def serves(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> bool:
    """Whether `attention` can do it, and is faster than products."""
    narrow = q.dtype == torch.float32 or max(q.shape[2], v.shape[2]) <= _NARROW
    return (
        manner.cap is None
        and narrow
        and compiled.serves(q, k, v)
        and torch.get_num_threads() <= _FEW_THREADS
        and stream.lines.longest <= _SHORT
    )


def attention(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> Tensor:
    """Attention of q `(T, H, d)` on k `(T, K, d)` and v `(T, K, e)`, `(T, H, e)`."""
    out: Tensor = _ByRows.apply(q, k, v, stream.lines, manner)
    return out


class _ByRowsContext(Context, Protocol):
    lines: Lines
    manner: Manner


class _ByRows(Function):
    """The weights are kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: _ByRowsContext, q: Tensor, k: Tensor, v: Tensor, lines: Lines, manner: Manner
    ) -> Tensor:
        out = q.new_zeros(q.shape[0], q.shape[1], v.shape[2])  # no sequence has rows that fill up
        weights = q.new_empty(int(lines.kept[-1]) * q.shape[1])
        attend(
            _heads(q),
            _heads(k),
            _heads(v),
            _sizes(q, k, v),
            _places(lines),
            EVERYTHING if manner.window is None else manner.window,
            manner.scale,
            sinks_of(manner),
            numbers(out.view(-1)),
            numbers(weights),
        )
        ctx.save_for_backward(q, k, v, weights)
        ctx.lines, ctx.manner = lines, manner
        return out

    @staticmethod
    def backward(ctx: _ByRowsContext, dout: Tensor) -> tuple[Tensor | None, ...]:
        manner, (q, k, v, weights) = ctx.manner, ctx.saved_tensors
        dq, dk, dv = (x.new_zeros(x.shape) for x in (q, k, v))
        attend_back(
            _heads(dout),
            _heads(q),
            _heads(k),
            _heads(v),
            _sizes(q, k, v),
            _places(ctx.lines),
            EVERYTHING if manner.window is None else manner.window,
            manner.scale,
            numbers(weights),
            numbers(dq.view(-1)),
            numbers(dk.view(-1)),
            numbers(dv.view(-1)),
        )
        return dq, dk, dv, None, None


def _heads(x: Tensor) -> Heads:
    if x.stride(2) != 1:
        x = x.contiguous()
    row_stride, head_stride, _ = x.stride()
    return stretch(x), row_stride, head_stride


def _sizes(q: Tensor, k: Tensor, v: Tensor) -> Sizes:
    return q.shape[1], k.shape[1], q.shape[2], v.shape[2]


def _places(lines: Lines) -> tuple[Indices, Indices, Indices, Indices]:
    return lines.rows, lines.begin, lines.repeated, lines.kept
