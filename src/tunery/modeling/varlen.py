"""Attention of a whole stream in one kernel: flash attention for variable lengths, on a GPU.

Nothing is padded and nothing gathered but what a fork repeats. The kernel (Dao 2023,
FlashAttention-2) comes with torch; it is used for the shapes in which a probe finds that it gives
what plain attention gives.

Axes: `T` rows, `H` query heads, `K` key heads, `d` and `e` the widths of a key and of a value.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling.passes import same

if TYPE_CHECKING:
    from tunery.modeling.attention import Manner
    from tunery.modeling.stream import Stream

_log = logging.getLogger(__name__)

# What the kernel has code for (torch, `aten/src/ATen/native/transformers/cuda/flash_attn`).
_DTYPES = (torch.float16, torch.bfloat16)
_WIDEST_HEAD = 256
_HEAD_STEP = 8

# The probe's sequences: how many rows ask, and how many they look at.
_PROBED = ((5, 5), (40, 40), (9, 21))
_PROBED_WINDOW = 12


class Kernel(Protocol):
    """`torch.nn.attention.varlen.varlen_attn`, as far as it is used."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: float | None,
        window_size: tuple[int, int],
        enable_gqa: bool,
    ) -> Tensor:
        """`(T, H, e)`: each sequence's last query stands at its last key, and none looks ahead."""


def attention(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> Tensor:
    """Causal attention inside each sequence. q `(T, H, d)`, k `(T, K, d)`, v `(T, K, e)`."""
    kernel = _kernel()
    if kernel is None:
        raise RuntimeError("this torch has no attention for variable lengths")
    return by_kernel(kernel, q, k, v, stream, manner)


def by_kernel(
    kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner
) -> Tensor:
    """The same by `kernel`."""
    sequences = stream.sequences
    if sequences.keys is not None:
        k, v = (x.index_select(0, sequences.keys) for x in (k, v))
    return kernel(
        q,
        k,
        v,
        sequences.asking,
        sequences.looked_at,
        sequences.most_asking,
        sequences.most_looked_at,
        scale=manner.scale,
        window_size=_window(manner.window, sequences.most_looked_at),
        enable_gqa=q.shape[1] != k.shape[1],
    )


def _window(window: int | None, longest: int) -> tuple[int, int]:
    """Rows that a row sees to its left and right, its own not counted; -1 is all."""
    return (-1 if window is None or window >= longest else window - 1), 0


def serves(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether the kernel is there for such rows, and right."""
    if q.device.type != "cuda":
        return False
    return _serves(q.device, q.dtype, q.shape[1], k.shape[1], q.shape[2], v.shape[2])


@lru_cache
def _serves(
    device: torch.device, dtype: torch.dtype, heads: int, kv_heads: int, width: int, value: int
) -> bool:
    shape = f"{heads} heads of {width} over {kv_heads} of {value}, {dtype}"
    kernel = _kernel()
    has_code = dtype in _DTYPES and width == value <= _WIDEST_HEAD and width % _HEAD_STEP == 0
    if kernel is None or not has_code:
        _log.warning("no flash attention for variable lengths for %s: by groups", shape)
        return False
    agrees = agrees_with_plain(kernel, device, dtype, (heads, kv_heads, width))
    if agrees:
        _log.info("flash attention for variable lengths for %s", shape)
    else:
        _log.warning("flash attention for variable lengths errs for %s: by groups", shape)
    return agrees


def _kernel() -> Kernel | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    kernel: Kernel = varlen_attn  # type: ignore[assignment]  # asked for nothing but its output
    return kernel


def agrees_with_plain(
    kernel: Kernel, device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> bool:
    """Whether `kernel` gives plain attention's values and gradients.

    Args:
        kernel: what is asked.
        device: where.
        dtype: of its inputs.
        shape: query heads, key heads and their width.
    """
    heads, kv_heads, width = shape
    asking, looked_at = ([0, *(sizes)] for sizes in zip(*_PROBED, strict=True))
    bounds = [
        torch.tensor(sizes, device=device).cumsum(0).to(torch.int32)
        for sizes in (asking, looked_at)
    ]
    source = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(sum(rows), n, width, generator=source).to(device, dtype)
        for rows, n in ((asking, heads), (looked_at, kv_heads), (looked_at, kv_heads))
    )

    def theirs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat([_plain(q, k, v, window) for window in (None, _PROBED_WINDOW)])

    def ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        outs = [
            kernel(
                q,
                k,
                v,
                bounds[0],
                bounds[1],
                max(asking),
                max(looked_at),
                scale=width**-0.5,
                window_size=_window(window, max(looked_at)),
                enable_gqa=heads != kv_heads,
            )
            for window in (None, _PROBED_WINDOW)
        ]
        return torch.cat(outs)

    return same(theirs, ours, q, k, v)


def _plain(q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """The probe's sequences by matrix products in fp32."""
    outs = []
    first_asking = first = 0
    for n_asking, n in _PROBED:
        rows = [q[first_asking : first_asking + n_asking]] + [x[first : first + n] for x in (k, v)]
        qs, ks, vs = (x.transpose(0, 1).float() for x in rows)
        back = torch.arange(n - n_asking, n, device=q.device)[:, None]
        back = back - torch.arange(n, device=q.device)
        seen = back >= 0 if window is None else (back >= 0) & (back < window)
        out = F.scaled_dot_product_attention(qs, ks, vs, attn_mask=seen, enable_gqa=True)
        outs.append(out.transpose(0, 1).to(q.dtype))
        first_asking, first = first_asking + n_asking, first + n
    return torch.cat(outs)
