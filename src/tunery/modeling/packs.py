"""Products of a few rows on a CPU, whose time is what it takes to read the weights.

Small weights are read as they lie, by a compiled loop, which has less to begin with. Large ones are
kept once more, in oneDNN's own layout: from it the same product takes about half the time
(measured: 8 rows by 512 x 2816, fp32, 0.41 ms against 0.82).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling.compiled import numbers
from tunery.modeling.compiled_decoding import FEW_ROWS, multiply

_LARGE = 2**18
"""Numbers of a weight from which on a copy in oneDNN's layout is faster."""

_MOST_NUMBERS = 2**28
"""Of a model whose weights are copied: one gigabyte in fp32."""

_NO_BIAS = np.empty(0, np.float32)


class Packs:
    """Copies of weights, each made when it is first multiplied."""

    def __init__(self) -> None:
        """Nothing is copied yet."""
        self._packed: dict[Tensor, Tensor] = {}

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x`, `(T, i)`, by the frozen `weight`, `(o, i)`."""
        if weight.numel() < _LARGE:
            return _small(x, weight, bias)
        if weight not in self._packed:
            self._packed[weight] = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 16)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._packed[weight], bias, "none", [], ""
        )
        return out


def _small(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not 0 < len(x) <= FEW_ROWS:
        return F.linear(x, weight, bias)
    y = x.new_empty(len(x), len(weight))
    more = _NO_BIAS if bias is None else numbers(bias)
    rows, weights = (numbers(matrix.contiguous().view(-1)) for matrix in (x, weight))
    multiply(rows, weights, more, len(weight), numbers(y.view(-1)))
    return y


def packs_for(weight: Tensor, n_parameters: int) -> Packs | None:
    """Copies for a model of so many parameters like `weight`, where there is a use in them."""
    useful = (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and n_parameters <= _MOST_NUMBERS
    )
    return Packs() if useful else None
