"""Causal attention inside each segment of a stream, registered with transformers.

No mask over the stream is ever built: that would be quadratic in the micro-batch. Segments of about
one length are a batch; short ones are two batched matrix products with a softmax between them, long
ones go to torch's fused attention, which does not keep the weights. On a GPU the whole stream goes
to one kernel, where that serves (`varlen`), and on a CPU to compiled loops, a few rows at a time
(`by_rows`) or around products of tiles (`tiled`).

Axes: `T` rows, `H` query heads, `K` key heads, `R = H / K`, `B` sequences of a group, `M` rows of
its longest, `Q` of them ask, `d` and `e` the widths of a key and of a value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)
from transformers import AttentionInterface

from tunery.modeling import by_rows, tiled, varlen
from tunery.modeling.autograd import Context

if TYPE_CHECKING:
    from tunery.modeling.linears import Flight
    from tunery.modeling.stream import Group, Stream

SEGMENTS = "tunery-segments"

# Rows from which on the fused kernel is faster on a CPU; its backward is slow on short ones.
_LONG_ON_CPU = 512


class NotPackable(RuntimeError):
    """A model's attention needs what a stream of rows cannot give: its rows are padded instead."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a layer attends.

    Attributes:
        scale: multiplies the product of query and key.
        window: how many rows back it looks, its own counted; `None` is all.
        cap: `cap * tanh(score / cap)` bends the scores (Gemma 2).
        sinks: `(H,)` score of one more key per head that takes weight and gives nothing (GPT-OSS).
    """

    scale: float
    window: int | None = None
    cap: float | None = None
    sinks: Tensor | None = None


def register() -> None:
    """Let transformers find `segment_attention`; without a mask function it builds no mask."""
    AttentionInterface.register(SEGMENTS, segment_attention)


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **rest: object,
) -> tuple[Tensor, None]:
    """Attention in the shape that transformers asks for: `(1, H, T, d)` in, `(1, T, H, e)` out."""
    for name in ("position_bias", "block_mask", "head_mask"):
        if rest.get(name) is not None:
            raise NotPackable(f"attention with {name}")
    if attention_mask is not None:
        raise NotPackable("attention with a mask of the model's own")
    flight = _flight_of(module)
    manner = Manner(
        scale=scaling if scaling is not None else query.shape[-1] ** -0.5,
        window=sliding_window,
        cap=softcap,
        sinks=s_aux,
    )
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if flight.reading is not None:
        return flight.reading.attention(module, q, k, v, manner)[None], None
    stream = flight.stream
    if stream is None:
        raise RuntimeError("segment attention outside a stream")
    return _way(q, k, v, stream, manner)(q, k, v, stream, manner)[None], None


def _flight_of(module: nn.Module) -> Flight:
    flight: Flight = module.flight  # type: ignore[assignment]
    return flight


def _way(
    q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner
) -> Callable[[Tensor, Tensor, Tensor, Stream, Manner], Tensor]:
    """What computes it fastest."""
    if is_plain(manner):
        if varlen.serves(q, k, v):
            return varlen.attention
        if _is_long(stream):
            return fused
    if by_rows.serves(q, k, v, stream, manner):
        return by_rows.attention
    return tiled.attention if tiled.serves(q, k, v, manner) else by_products


def _is_long(stream: Stream) -> bool:
    if stream.device.type != "cpu":
        return True
    return max(group.rows.shape[1] for group in stream.groups) >= _LONG_ON_CPU


def is_plain(manner: Manner) -> bool:
    """Whether torch's fused attention can do it."""
    return manner.cap is None and manner.sinks is None


def fused(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> Tensor:
    """Torch's fused attention, group by group. Padding stands last, so causal order hides it."""
    parts = [_fused_group(q, k, v, stream, group, manner) for group in stream.groups]
    parts.append(q.new_zeros(1, q.shape[1], v.shape[2]))  # for rows that only fill a span
    return torch.cat(parts).index_select(0, stream.gathered)


def _fused_group(
    q: Tensor, k: Tensor, v: Tensor, stream: Stream, group: Group, manner: Manner
) -> Tensor:
    count, longest = group.rows.shape
    rows = group.own_rows.flatten()
    qg, kg, vg = (
        x.index_select(0, rows).unflatten(0, (count, longest)).transpose(1, 2) for x in (q, k, v)
    )
    window = manner.window if manner.window is not None and manner.window < longest else None
    out = F.scaled_dot_product_attention(
        qg,
        kg,
        vg,
        attn_mask=None if window is None else stream.mask(longest, window).to(q.dtype),
        is_causal=window is None,
        scale=manner.scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out.transpose(1, 2)[group.asks]


def by_products(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> Tensor:
    """Two batched products per group. q `(T, H, d)`, k `(T, K, d)`, v `(T, K, e)`."""
    out: Tensor = _Products.apply(q, k, v, stream, manner)
    return out


class _ProductsContext(Context, Protocol):
    stream: Stream
    manner: Manner
    sizes: tuple[int, int, int, int, int]


class _Products(Function):
    """Attention by batched products, with its gradient."""

    @staticmethod
    def forward(
        ctx: _ProductsContext, q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner
    ) -> Tensor:
        (t, h, d), kv_heads, e = q.shape, k.shape[1], v.shape[2]
        flat = [x.reshape(-1, x.shape[2]) for x in (q, k, v)]
        out = _rows(q, stream, t * h + 1, e)
        kept: list[Tensor | None] = []
        for index in range(len(stream.groups)):
            read_q, write_q = stream.query_rows(index, h, h // kv_heads)
            read_k, _ = stream.key_rows(index, kv_heads)
            n = stream.groups[index].rows.shape[0] * kv_heads
            qg = flat[0].index_select(0, read_q).view(n, -1, d)
            kg, vg = (x.index_select(0, read_k).view(n, -1, x.shape[1]) for x in flat[1:])
            p, bend = _weights(qg, kg, stream, index, manner)
            out.index_copy_(0, write_q, torch.bmm(p, vg).view(-1, e))
            kept += [qg, kg, vg, p, bend]
        ctx.save_for_backward(*kept)
        ctx.stream, ctx.manner, ctx.sizes = stream, manner, (t, h, kv_heads, d, e)
        return out[: t * h].view(t, h, e)

    @staticmethod
    def backward(ctx: _ProductsContext, dout: Tensor) -> tuple[Tensor | None, ...]:
        stream, (t, h, kv_heads, d, e) = ctx.stream, ctx.sizes
        saved = ctx.saved_tensors  # once: where layers are computed again, only once
        dout = dout.reshape(-1, e)
        dq, dk, dv = (
            _rows(dout, stream, t * heads + 1, width)
            for heads, width in ((h, d), (kv_heads, d), (kv_heads, e))
        )
        repeats = any(group.repeated is not None for group in stream.groups)
        again_k, again_v = (torch.zeros_like(x) if repeats else None for x in (dk, dv))
        for index, group in enumerate(stream.groups):
            q, k, v, p, bend = saved[5 * index : 5 * index + 5]
            read_q, write_q = stream.query_rows(index, h, h // kv_heads)
            _, write_k = stream.key_rows(index, kv_heads)
            do = dout.index_select(0, read_q).view(q.shape[0], -1, e)
            dp = torch.bmm(do, v.transpose(1, 2))
            ds = torch._softmax_backward_data(dp, p, -1, p.dtype)
            if bend is not None:
                ds.mul_(1 - bend * bend)
            dv_group = torch.bmm(p.transpose(1, 2), do).view(-1, e)
            dv.index_copy_(0, write_k, dv_group)
            dq.index_copy_(0, write_q, torch.bmm(ds, k).mul_(ctx.manner.scale).view(-1, d))
            dk_group = torch.bmm(ds.transpose(1, 2), q).mul_(ctx.manner.scale).view(-1, d)
            dk.index_copy_(0, write_k, dk_group)
            if group.repeated is not None and again_k is not None and again_v is not None:
                write_again = stream.repeated_rows(index, kv_heads)
                again_k.index_copy_(0, write_again, dk_group)
                again_v.index_copy_(0, write_again, dv_group)
        if again_k is not None and again_v is not None:
            # What a fork shares is looked at from both of its sequences.
            dk.add_(again_k)
            dv.add_(again_v)
        return (
            dq[:-1].view(t, h, d),
            dk[:-1].view(t, kv_heads, d),
            dv[:-1].view(t, kv_heads, e),
            None,
            None,
        )


def _rows(like: Tensor, stream: Stream, n: int, width: int) -> Tensor:
    """Room for `n` rows; zeros where the groups do not write every one."""
    return like.new_zeros(n, width) if stream.grain > 1 else like.new_empty(n, width)


def _weights(
    q: Tensor, k: Tensor, stream: Stream, index: int, manner: Manner
) -> tuple[Tensor, Tensor | None]:
    """How much each row takes from each other, `(B * K, R * Q, M)`, and `tanh` where capped."""
    group = stream.groups[index]
    (count, longest), asking = group.rows.shape, group.asking.shape[1]
    fold = q.shape[1] // asking
    window = manner.window if manner.window is not None and manner.window < longest else None
    scores, bend = torch.bmm(q, k.transpose(1, 2)).mul_(manner.scale), None
    if manner.cap is not None:
        bend = scores.div_(manner.cap).tanh_()
        scores = bend * manner.cap
    # Added in place: as the first summand of one fused product, the mask is written out for each.
    alike = group.repeated is None
    masks = stream.mask(longest, window) if alike else stream.fork_mask(index, window)[:, None]
    scores.view(count, -1, asking, longest).add_(masks.to(q.dtype))
    p = softmax(scores, manner.sinks, count, fold)
    if group.padded:
        real = (group.asking >= 0).to(p.dtype)[:, None, :, None]
        p.view(count, -1, asking, longest).mul_(real)
    return p, bend


def softmax(scores: Tensor, sinks: Tensor | None, count: int, fold: int) -> Tensor:
    """Weights from `(B * K, R * M, M)` scores; `B` is `count`, `R` is `fold`; sinks take some."""
    if sinks is None:
        return torch.softmax(scores, -1)  # sums in fp32 by itself
    n, rows, _ = scores.shape
    sink = sinks.view(1, n // count, fold, 1, 1).expand(count, -1, -1, rows // fold, 1)
    wide = torch.cat((scores, sink.reshape(n, rows, 1).to(scores.dtype)), -1)
    weights = torch.softmax(wide, -1, dtype=torch.float32)[..., :-1]
    return weights.to(scores.dtype).contiguous()
