"""Norm, gate and rotary passes as compiled loops, for a CPU: each number is read once or twice.

Rows may stand apart in memory, as where several linears gave one joint product; only within a row
must numbers follow each other.

Axes: `T` rows, `d` width; of rotary `(B, T, H, d)` sequences, their rows, heads, a head's width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from tunery.modeling.autograd import Context
from tunery.modeling.compiled import Numbers, exp, inline, kernel, numbers, read, rounded, stretch

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


@kernel
def _norm(
    x: Numbers, apart: int, weight: Numbers, eps: float, y: Numbers, inverse: Numbers
) -> None:
    d = weight.size
    for t in range(inverse.size):
        row, out = x[t * apart : t * apart + d], y[t * d : t * d + d]
        squares = _ZERO
        for i in range(d):
            squares += read(row[i]) * read(row[i])
        scale = np.float32(_ONE / np.sqrt(squares / np.float32(d) + np.float32(eps)))
        inverse[t] = scale
        for i in range(d):  # the unit row is rounded before it is weighed, as transformers does
            unit = read(rounded(out, read(row[i]) * scale))
            out[i] = rounded(out, unit * read(weight[i]))


@kernel
def _norm_slope(
    dy: Numbers,
    dy_apart: int,
    x: Numbers,
    x_apart: int,
    weight: Numbers,
    inverse: Numbers,
    dx: Numbers,
) -> None:
    d = weight.size
    for t in range(inverse.size):
        slope, row = dy[t * dy_apart : t * dy_apart + d], x[t * x_apart : t * x_apart + d]
        out, scale = dx[t * d : t * d + d], inverse[t]
        along = _ZERO
        for i in range(d):
            along += read(slope[i]) * read(weight[i]) * read(row[i])
        along = along * scale * scale / np.float32(d)
        for i in range(d):
            g = read(slope[i]) * read(weight[i])
            out[i] = rounded(out, (g - along * read(row[i])) * scale)


@inline
def _sigmoid(x: Any) -> Any:  # noqa: ANN401
    return _ONE / (_ONE + exp(-x))


@kernel
def _gate(gate: Numbers, gate_apart: int, up: Numbers, up_apart: int, d: int, y: Numbers) -> None:
    for t in range(y.size // d):
        g, u = gate[t * gate_apart : t * gate_apart + d], up[t * up_apart : t * up_apart + d]
        out = y[t * d : t * d + d]
        for i in range(d):
            passed = read(g[i])
            out[i] = rounded(out, passed * _sigmoid(passed) * read(u[i]))


@kernel
def _gate_slopes(
    dy: Numbers,
    dy_apart: int,
    gate: Numbers,
    gate_apart: int,
    up: Numbers,
    up_apart: int,
    d: int,
    both: Numbers,
) -> None:
    for t in range(both.size // (2 * d)):
        slope = dy[t * dy_apart : t * dy_apart + d]
        g, u = gate[t * gate_apart : t * gate_apart + d], up[t * up_apart : t * up_apart + d]
        dgate = both[t * 2 * d : t * 2 * d + d]
        dup = both[t * 2 * d + d : t * 2 * d + 2 * d]
        for i in range(d):
            x, s = read(g[i]), read(slope[i])
            share = _sigmoid(x)
            dgate[i] = rounded(dgate, s * read(u[i]) * share * (_ONE + x * (_ONE - share)))
            dup[i] = rounded(dup, s * x * share)


@kernel
def _turn(
    x: Numbers,
    sizes: tuple[int, int, int, int],
    strides: tuple[int, int, int],
    cos: Numbers,
    sin: Numbers,
    width: int,
    sign: float,
    y: Numbers,
) -> None:
    n, rows, heads, d = sizes
    half, side = width // 2, np.float32(sign)
    alike = n if cos.size == rows * width else 1  # sequences with the same angles
    for b in range(n):
        for t in range(rows):
            angle = (b // alike * rows + t) * width
            c, s = cos[angle : angle + half], sin[angle : angle + half]
            for h in range(heads):
                first = b * strides[0] + t * strides[1] + h * strides[2]
                left, right = x[first : first + half], x[first + half : first + width]
                at = ((b * rows + t) * heads + h) * d
                low, high = y[at : at + half], y[at + half : at + width]
                for i in range(half):
                    along, across = read(c[i]), read(s[i]) * side
                    low[i] = rounded(low, read(left[i]) * along - read(right[i]) * across)
                    high[i] = rounded(high, read(right[i]) * along + read(left[i]) * across)
                for i in range(width, d):
                    y[at + i] = x[first + i]


class _Norm(Function):
    """Root-mean-square norm of `(…, d)` with a frozen weight (Zhang & Sennrich 2019, eq. 4)."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, inverse = _normed(x, weight, eps)
        ctx.save_for_backward(x, inverse, weight)
        return y

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, weight = ctx.saved_tensors
        dx = torch.empty_like(x, memory_format=torch.contiguous_format)
        _norm_slope(*_rows(dy), *_rows(x), numbers(weight), numbers(inverse), numbers(dx.view(-1)))
        return dx, None, None


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm of `(…, d)` with a frozen weight."""
    if x.shape[-1:] != weight.shape:
        raise ValueError(f"a norm of {weight.numel()} numbers got {x.shape[-1]}")
    if torch.is_grad_enabled():
        out: Tensor = _Norm.apply(x, weight, eps)
        return out
    return _normed(x, weight, eps)[0]


def _normed(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The norm, and what its rows were multiplied by."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    inverse = torch.empty(x.numel() // x.shape[-1])
    _norm(*_rows(x), numbers(weight), eps, numbers(y.view(-1)), numbers(inverse))
    return y, inverse


class _Gate(Function):
    """`silu(gate) * up`."""

    @staticmethod
    def forward(ctx: Context, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return _gated(gate, up)

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d = gate.shape[-1]
        # Side by side, as the joint product of the two gave them.
        both = torch.empty(*gate.shape[:-1], 2 * d, dtype=gate.dtype)
        _gate_slopes(*_rows(dy), *_rows(gate), *_rows(up), d, numbers(both.view(-1)))
        return both[..., :d], both[..., d:]


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up` of `(…, d)`."""
    if gate.shape != up.shape:
        raise ValueError(f"a gate of {tuple(gate.shape)} for {tuple(up.shape)}")
    if torch.is_grad_enabled():
        out: Tensor = _Gate.apply(gate, up)
        return out
    return _gated(gate, up)


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    y = torch.empty_like(gate, memory_format=torch.contiguous_format)
    _gate(*_rows(gate), *_rows(up), gate.shape[-1], numbers(y.view(-1)))
    return y


class _Turn(Function):
    """Rotary embedding in halves (Su et al. 2021); backward turns the other way."""

    @staticmethod
    def forward(
        ctx: Context, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        return _turned(q, cos, sin, 1.0), _turned(k, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Context, dq: Tensor, dk: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(dq, cos, sin, -1.0), _turned(dk, cos, sin, -1.0), None, None


def turns(x: Tensor, cos: Tensor) -> bool:
    """Whether `turned` can turn `x` by such angles."""
    if x.dim() != 4 or cos.dim() != 3:
        return False
    n, rows, width = cos.shape
    return n in (1, x.shape[0]) and rows == x.shape[1] and width <= x.shape[3]


def turned(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary embedding of q and k `(B, T, H, d)`, by angles `(B or 1, T, width)`."""
    if torch.is_grad_enabled():
        out: tuple[Tensor, Tensor] = _Turn.apply(q, k, cos, sin)
        return out
    return _turned(q, cos, sin, 1.0), _turned(k, cos, sin, 1.0)


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    if x.stride(3) != 1:
        x = x.contiguous()
    b, t, h, d = x.shape
    of_b, of_t, of_h, _ = x.stride()
    angles = numbers(cos.contiguous().view(-1)), numbers(sin.contiguous().view(-1))
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    _turn(
        stretch(x),
        (b, t, h, d),
        (of_b, of_t, of_h),
        *angles,
        cos.shape[-1],
        sign,
        numbers(y.view(-1)),
    )
    return y


def _rows(x: Tensor) -> tuple[Numbers, int]:
    """The memory of `(…, d)`, and how far apart rows begin in it."""
    d = x.shape[-1]
    if x.is_contiguous():
        return numbers(x.view(-1)), d
    rows = x.reshape(-1, d)
    if rows.stride(1) != 1:
        rows = rows.contiguous()
    return stretch(rows), rows.stride(0)
