"""Cross-entropy of the taught rows, with logits that are never kept.

Axes: `R` taught rows, `d` width, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling import compiled, liger
from tunery.modeling.autograd import Context
from tunery.modeling.compiled_head import cross_entropy

# Logits that stand in memory at a time, in fp32: 128 MiB, and twice that on a GPU.
_CHUNK_ELEMENTS = {"cpu": 2**25, "cuda": 2**26}


Cross: TypeAlias = Callable[..., tuple[Tensor, Tensor, Tensor | None]]
"""A way to make what `by_chunks` makes, of the same arguments but for the grain."""


def by_chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    *,
    learns: bool,
    grain: int = 1,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cross-entropy of each row, whether its likeliest token was right, and, to learn, its slope.

    The gradient, `(R, d)`, is made chunk by chunk along with the rest, and the logits are dropped.
    """
    most = _CHUNK_ELEMENTS.get(hidden.device.type, _CHUNK_ELEMENTS["cpu"])
    chunk = max(grain, most // len(weight) // grain * grain)
    nats = torch.empty(len(hidden), device=hidden.device)
    correct = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
    dhidden = torch.empty_like(hidden) if learns else None
    is_compiled = compiled.serves(hidden, weight)
    for first in range(0, len(hidden), chunk):
        rows = slice(first, first + chunk)
        logits = F.linear(hidden[rows], weight, bias)
        if is_compiled:
            cross_entropy(
                logits, target[rows], learns=learns, nats=nats[rows], correct=correct[rows]
            )
            if dhidden is not None:
                torch.mm(logits, weight, out=dhidden[rows])
            continue
        logp = torch.log_softmax(logits, -1, dtype=torch.float32)
        want = target[rows, None]
        nats[rows] = -logp.gather(1, want)[:, 0]
        correct[rows] = logp.argmax(-1) == want[:, 0]
        if dhidden is not None:
            slope = logp.exp_().scatter_add_(1, want, logp.new_full(want.shape, -1.0))
            dhidden[rows] = slope.to(hidden.dtype) @ weight
    return nats, correct, dhidden


class _HeadContext(Context, Protocol):
    pass


class _Head(Function):
    """Keeps the gradient, which the forward pass makes."""

    @staticmethod
    def forward(
        ctx: _HeadContext,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        grain: int,
    ) -> tuple[Tensor, Tensor]:
        learns = ctx.needs_input_grad[0]
        if liger.serves(hidden, bias, by_chunks):
            nats, correct, dhidden = liger.by_liger(hidden, weight, bias, target, learns=learns)
        else:
            nats, correct, dhidden = by_chunks(
                hidden, weight, bias, target, learns=learns, grain=grain
            )
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
    nats, correct = _Head.apply(hidden, weight, bias, target, grain)
    return nats[:n], correct[:n]
