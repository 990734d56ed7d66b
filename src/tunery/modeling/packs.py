"""Large weights once more, in the order in which a CPU's products of a few rows read them.

The same product from oneDNN's own layout takes about half the time (measured: 8 rows by 512 x 2816,
fp32, 0.41 ms against 0.82). It costs the weights' memory once more.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

_LARGE = 2**18
"""Numbers of a weight from which on it is faster."""

_MOST_NUMBERS = 2**28
"""Of a model whose weights are copied: one gigabyte in fp32."""


class Packs:
    """Copies of weights, each made when it is first multiplied."""

    def __init__(self) -> None:
        """Nothing is copied yet."""
        self._packed: dict[Tensor, Tensor] = {}

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x`, `(T, i)`, by the frozen `weight`, `(o, i)`."""
        if weight.numel() < _LARGE:
            return F.linear(x, weight, bias)
        if weight not in self._packed:
            self._packed[weight] = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 16)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._packed[weight], bias, "none", [], ""
        )
        return out


def packs_for(weight: Tensor, n_parameters: int) -> Packs | None:
    """Copies for a model of so many parameters like `weight`, where there is a use in them."""
    useful = (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and n_parameters <= _MOST_NUMBERS
    )
    return Packs() if useful else None
