"""Cross-entropy of the taught rows, with logits that are never kept.

Axes: `R` taught rows, `d` width, `V` vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling.autograd import Context

# Logits that stand in memory at a time, in fp32: 128 MiB.
_CHUNK_ELEMENTS = 2**25


class _HeadContext(Context, Protocol):
    pass


class _Head(Function):
    """The gradient is made chunk by chunk in the forward pass, and the logits are dropped."""

    @staticmethod
    def forward(
        ctx: _HeadContext,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        nats = torch.empty(len(hidden), device=hidden.device)
        correct = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
        learns = ctx.needs_input_grad[0]
        dhidden = torch.empty_like(hidden) if learns else None
        for first in range(0, len(hidden), chunk):
            rows = slice(first, first + chunk)
            logits = F.linear(hidden[rows], weight, bias)
            logp = torch.log_softmax(logits, -1, dtype=torch.float32)
            want = target[rows, None]
            nats[rows] = -logp.gather(1, want)[:, 0]
            correct[rows] = logp.argmax(-1) == want[:, 0]
            if dhidden is not None:
                slope = logp.exp_().scatter_add_(1, want, logp.new_full(want.shape, -1.0))
                dhidden[rows] = slope.to(hidden.dtype) @ weight
        ctx.save_for_backward(dhidden)
        ctx.mark_non_differentiable(correct)
        return nats, correct

    @staticmethod
    def backward(ctx: _HeadContext, dnats: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (dhidden,) = ctx.saved_tensors
        return (dhidden * dnats[:, None]).to(dhidden.dtype), None, None, None, None


def next_token_nats(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    *,
    grain: int = 1,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each taught token.

    Args:
        hidden: `(R, d)` last hidden state of the taught rows.
        weight: `(V, d)` of the output projection.
        bias: `(V,)` of it.
        target: `(R,)` the token that each row should give.
        grain: fill the rows up to a multiple of this, so that shapes recur.

    Returns:
        `(R,)` each token's nats, differentiable in `hidden`; `(R,)` whether the likeliest token was
        the right one.
    """
    n = len(hidden)
    if more := -n % grain:
        hidden = F.pad(hidden, (0, 0, 0, more))
        target = F.pad(target, (0, more))
    chunk = max(grain, _CHUNK_ELEMENTS // len(weight) // grain * grain)
    nats, correct = _Head.apply(hidden, weight, bias, target, chunk)
    return nats[:n], correct[:n]
