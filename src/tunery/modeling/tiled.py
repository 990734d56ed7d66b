"""Attention of a stream on a CPU, tile by tile: batched products with compiled loops around them.

Axes: `T` rows, `H` query heads, `K` key heads, `R = H / K`, `B` tiles of a shape, `Q` rows of it
that ask, `M` that are looked at, `d` and `e` the widths of a key and of a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from tunery.modeling import compiled
from tunery.modeling.autograd import Context
from tunery.modeling.compiled import Numbers, numbers, stretch
from tunery.modeling.compiled_attention import collect, lay_out, weigh, weigh_back

if TYPE_CHECKING:
    from tunery.modeling.attention import Manner
    from tunery.modeling.stream import Stream
    from tunery.modeling.tiles import Indices, Shape, Slots, Tiles

EVERYTHING = 1 << 40
"""A window that hides nothing."""

_NO_SINKS = np.empty(0, np.float32)


def serves(q: Tensor, k: Tensor, v: Tensor, manner: Manner) -> bool:
    """Whether `attention` can do it."""
    return manner.cap is None and compiled.serves(q, k, v)


def attention(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> Tensor:
    """Two batched products per shape. q `(T, H, d)`, k `(T, K, d)`, v `(T, K, e)`."""
    out: Tensor = _Tiled.apply(q, k, v, stream.tiles, manner)
    return out


class _TiledContext(Context, Protocol):
    tiles: Tiles
    manner: Manner
    sizes: tuple[int, int, int, int, int]


class _Tiled(Function):
    """The weights are kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: _TiledContext, q: Tensor, k: Tensor, v: Tensor, tiles: Tiles, manner: Manner
    ) -> Tensor:
        (t, h, d), heads, e = q.shape, k.shape[1], v.shape[2]
        asking, looked_at = tiles.asking, tiles.looked_at
        flat = _laid_out(q, asking, heads), *(_laid_out(x, looked_at, heads) for x in (k, v))
        outs = q.new_empty(asking.size * h * e)
        kept = []
        for shape, qs, ks, vs, out in zip(
            tiles.shapes,
            _matrices(flat[0], asking, heads, d),
            _matrices(flat[1], looked_at, heads, d),
            _matrices(flat[2], looked_at, heads, e),
            _matrices(outs, asking, heads, e),
            strict=True,
        ):
            p = torch.bmm(qs, ks.mT)
            weigh(
                numbers(p.view(-1)), *_weighing(shape, heads, h // heads, manner), sinks_of(manner)
            )
            torch.bmm(p, vs, out=out)
            kept.append(p)
        ctx.save_for_backward(*flat, *kept)
        ctx.tiles, ctx.manner, ctx.sizes = tiles, manner, (t, h, heads, d, e)
        return _collected(outs, asking, t, h, e, heads)

    @staticmethod
    def backward(ctx: _TiledContext, dout: Tensor) -> tuple[Tensor | None, ...]:
        tiles, (t, h, heads, d, e) = ctx.tiles, ctx.sizes
        asking, looked_at = tiles.asking, tiles.looked_at
        q, k, v, *kept = ctx.saved_tensors  # once: where layers are computed again, only once
        slopes = _laid_out(dout, asking, heads)
        dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
        room = dout.new_empty(max(p.numel() for p in kept))
        for shape, p, do, qs, ks, vs, dqs, dks, dvs in zip(
            tiles.shapes,
            kept,
            _matrices(slopes, asking, heads, e),
            _matrices(q, asking, heads, d),
            _matrices(k, looked_at, heads, d),
            _matrices(v, looked_at, heads, e),
            _matrices(dq, asking, heads, d),
            _matrices(dk, looked_at, heads, d),
            _matrices(dv, looked_at, heads, e),
            strict=True,
        ):
            ds = torch.bmm(do, vs.mT, out=room[: p.numel()].view(p.shape))
            torch.bmm(p.mT, do, out=dvs)
            weighing = _weighing(shape, heads, h // heads, ctx.manner)
            weigh_back(numbers(ds.view(-1)), numbers(p.view(-1)), *weighing)
            torch.bmm(ds, ks, out=dqs)
            torch.bmm(ds.mT, qs, out=dks)
        return (
            _collected(dq, asking, t, h, d, heads),
            _collected(dk, looked_at, t, heads, d, heads),
            _collected(dv, looked_at, t, heads, e, heads),
            None,
            None,
        )


def _matrices(flat: Tensor, slots: Slots, heads: int, width: int) -> list[Tensor]:
    """Each shape's part as `(B * heads, rows, width)`."""
    wide = flat.numel() // slots.size
    parts = flat.split([count * length * wide for count, length in slots.shapes])
    counts = (count for count, _ in slots.shapes)
    return [part.view(n * heads, -1, width) for part, n in zip(parts, counts, strict=True)]


def _laid_out(x: Tensor, slots: Slots, heads: int) -> Tensor:
    """`(T, H, d)` in the order of `slots`, `(tile, heads, slot, H / heads, d)`, flat."""
    _, h, width = x.shape
    if x.stride(2) != 1:
        x = x.contiguous()
    row_stride, head_stride, _ = x.stride()
    target = x.new_empty(slots.size * h * width)
    lay_out(
        stretch(x),
        row_stride,
        head_stride,
        heads,
        h // heads,
        width,
        slots.rows,
        slots.first,
        slots.length,
        numbers(target),
    )
    return target


def _collected(flat: Tensor, slots: Slots, t: int, h: int, width: int, heads: int) -> Tensor:
    """`(t, h, width)`: what the tiles have of each row, summed."""
    target = flat.new_empty(t, h, width)
    collect(
        numbers(flat),
        heads,
        h // heads * width,
        slots.begin,
        slots.by_row,
        slots.tiles,
        slots.first,
        slots.length,
        numbers(target.view(-1)),
    )
    return target


def _weighing(
    shape: Shape, heads: int, fold: int, manner: Manner
) -> tuple[Indices, Indices, int, int, int, int, int, float]:
    window = EVERYTHING if manner.window is None else manner.window
    rows, looked_at = shape.most_asks, shape.looked_at
    return shape.asks, shape.before, heads, fold, rows, looked_at, window, manner.scale


def sinks_of(manner: Manner) -> Numbers:
    """Its sinks, of which there may be none."""
    return (
        _NO_SINKS if manner.sinks is None else numbers(manner.sinks.detach().float().contiguous())
    )
