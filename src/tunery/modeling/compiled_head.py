"""Cross-entropy of rows of logits as a compiled loop, for a CPU; their slope takes their place.

Axes: `R` rows, `V` vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from tunery.modeling.compiled import Numbers, exp, kernel, numbers, read, rounded

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
# Below it a token's share of the rest is none: it would be too small to be a normal number.
_LEAST = np.float32(-80.0)


@intrinsic  # type: ignore[untyped-decorator]
def _maximum(_: object, one: Any, other: Any) -> Any:  # noqa: ANN401
    """The larger of two fp32 numbers; NaN where one is (IEEE 754). A loop of it is a vector's."""
    signature = types.float32(one, other)

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        number = ir.FloatType()
        kind = ir.FunctionType(number, [number, number])
        named = builder.module.declare_intrinsic("llvm.maximum", [number], kind)
        return builder.call(named, arguments)

    return signature, generate


@kernel
def _cross(
    logits: Numbers,
    target: Numbers,
    learns: bool,
    shares: Numbers,
    nats: Numbers,
    correct: Numbers,
) -> None:
    v = shares.size
    for r in range(target.size):
        row, want = logits[r * v : r * v + v], target[r]
        most = read(row[0])
        for i in range(v):
            most = _maximum(most, read(row[i]))
        for i in range(v):
            below = read(row[i]) - most
            share = exp(below)
            shares[i] = _ZERO if below < _LEAST else share
        # Apart from what is written: beside it, the order of the sum would hang on where the rows
        # happen to lie in memory.
        total = _ZERO
        for i in range(v):
            total += shares[i]
        wanted = read(row[want])
        nats[r] = np.log(total) + most - wanted
        earlier = 0  # of several likeliest tokens, the first counts
        if wanted == most:
            for i in range(want):
                earlier += read(row[i]) == most
        correct[r] = wanted == most and earlier == 0
        if learns:
            each = _ONE / total
            taught = shares[want]
            for i in range(v):
                row[i] = rounded(row, shares[i] * each)
            row[want] = rounded(row, taught * each - _ONE)


def cross_entropy(
    logits: Tensor, target: Tensor, *, learns: bool, nats: Tensor, correct: Tensor
) -> None:
    """Fill in `(R,)` nats and whether the likeliest token was right.

    Args:
        logits: `(R, V)`; to learn, the nats' slope in them is written in their place.
        target: `(R,)` tokens.
        learns: whether anything does.
        nats: `(R,)` fp32.
        correct: `(R,)` booleans.
    """
    v = logits.shape[1]
    if len(target) and not 0 <= int(target.min()) <= int(target.max()) < v:
        raise IndexError(f"a target is none of {v} tokens")
    shares = torch.empty(v)
    arrays = (numbers(x) for x in (shares, nats, correct))
    _cross(numbers(logits.view(-1)), numbers(target), learns, *arrays)
