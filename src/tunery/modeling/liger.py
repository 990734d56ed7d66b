"""Liger's cross-entropy in one kernel, on a GPU and where its package is installed.

Ours in chunks (`head`) keeps no logits either. What Liger (Hsu et al. 2024, section 3.2) adds is
one kernel that reads a chunk of logits twice and writes their gradient over them, where ours goes
over it some ten times, partly in fp32: a gain that grows with vocabulary over width.

Axes: `R` taught rows, `d` width, `V` vocabulary.
"""

from __future__ import annotations

import importlib.util
import logging
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tunery.modeling.passes import close

if TYPE_CHECKING:
    from tunery.modeling.head import Cross

_log = logging.getLogger(__name__)

# Logits that stand in memory at a time.
_CHUNK_ELEMENTS = 2**27

_PROBED = (37, 64, 1000)  # R, d, V
# Rounding may tie two tokens, and each names another.
_AGREEING = 0.9


def by_liger(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *, learns: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`(R,)` nats, `(R,)` whether the likeliest token was right, and the nats' gradient `(R, d)`.

    It is the inside of Liger's function: the function itself is for a loss that is one number.
    """
    from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_forward

    nats, _, _, likeliest, dhidden, _, _ = fused_linear_cross_entropy_forward(
        hidden,
        weight,
        target,
        bias=bias,
        reduction="none",
        return_predicted_tokens=True,
        compute_gradients=learns,
        weight_requires_grad=False,
        # Its chunks are R d / V rows times this; few rows make a slow product.
        chunk_mem_const=max(1, _CHUNK_ELEMENTS // max(1, hidden.numel())),
    )
    return nats, likeliest == target, dhidden if learns else None


def serves(hidden: Tensor, bias: Tensor | None, ours: Cross) -> bool:
    """Whether it is there, and gives what `ours` gives."""
    if hidden.device.type != "cuda":
        return False
    return _serves(hidden.device, hidden.dtype, bias is not None, ours)


@lru_cache
def _serves(device: torch.device, dtype: torch.dtype, has_bias: bool, ours: Cross) -> bool:
    if importlib.util.find_spec("liger_kernel") is None:
        _log.info("cross-entropy in chunks: liger-kernel is not installed")
        return False
    agrees = agree(by_liger, ours, device, dtype, has_bias=has_bias)
    if agrees:
        _log.info("cross-entropy by Liger's kernel")
    return agrees


def agree(
    theirs: Cross, ours: Cross, device: torch.device, dtype: torch.dtype, *, has_bias: bool
) -> bool:
    """Whether both give the same on a few rows; where not, the log says why."""
    n_rows, width, vocabulary = _PROBED
    source = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=source).mul_(scale).to(device, dtype)
        for shape, scale in (
            ((n_rows, width), 1.0),
            ((vocabulary, width), width**-0.5),
            ((vocabulary,), 0.1),
        )
    )
    target = torch.randint(vocabulary, (n_rows,), generator=source).to(device)
    inputs = hidden, weight, bias if has_bias else None, target
    try:
        with torch.no_grad():
            nats, correct, slope = theirs(*inputs, learns=True)
            plain_nats, plain_correct, plain_slope = ours(*inputs, learns=True)
    except Exception as refused:  # it compiles, and what it compiles with may lack anything
        _log.warning("cross-entropy in chunks, as Liger's kernel refuses: %s", refused)
        return False
    same = (
        close(nats, plain_nats)
        and slope is not None
        and plain_slope is not None
        and close(slope, plain_slope)
        and bool((correct == plain_correct).float().mean() >= _AGREEING)
    )
    if not same:
        _log.warning("cross-entropy in chunks, as Liger's kernel gives something else")
    return same
