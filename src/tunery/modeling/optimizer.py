"""AdamW over one adapter's flat buffers, and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from tunery.modeling.adapter import Adapter

Decay = Literal["cosine", "linear", "constant"]


class NonFiniteGradient(ArithmeticError):
    """A gradient is infinite or not a number; the weights are as they were."""


class TooLargeStep(ArithmeticError):
    """A step is longer than any weight can be; the weights are as they were."""


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), gradient clipped.

    Moments are fp32, like the masters: in bf16 half of an update is lost at a rate of 1e-4.

    Attributes:
        n_steps: steps taken.
        moment: running mean of the gradient.
        variance: running mean of its square.
    """

    def __init__(
        self,
        adapter: Adapter,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        """Begin with empty moments. Defaults are those of torch, without decay."""
        self.adapter = adapter
        self.betas, self.eps = betas, eps
        self.weight_decay, self.max_grad_norm = weight_decay, max_grad_norm
        self.n_steps = 0
        self.moment, self.variance = (torch.zeros_like(adapter.master) for _ in range(2))

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """Take one step along the gradient that stands in the adapter, and clear it.

        Returns:
            The gradient's norm before clipping.

        Raises:
            NonFiniteGradient: it is not a finite number. It never reaches the weights.
            TooLargeStep: the rate does not fit into fp32.
        """
        gradient, weights = self.adapter.grad, self.adapter.master
        norm = float(gradient.norm())
        if not math.isfinite(norm):
            gradient.zero_()
            raise NonFiniteGradient(f"the norm of the gradient is {norm}")
        first, second = self.betas
        length = learning_rate / (1 - first ** (self.n_steps + 1))
        if not length <= torch.finfo(weights.dtype).max:
            gradient.zero_()
            raise TooLargeStep(f"the learning rate is {learning_rate}")
        gradient.mul_(min(1.0, self.max_grad_norm / (norm + 1e-6)))
        self.n_steps += 1
        self.moment.lerp_(gradient, 1 - first)
        self.variance.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (self.variance / (1 - second**self.n_steps)).sqrt_().add_(self.eps)
        if self.weight_decay:
            weights.mul_(1 - learning_rate * self.weight_decay)
        weights.addcdiv_(self.moment, spread, value=-length)
        gradient.zero_()
        self.adapter.refresh()
        return norm

    def state(self) -> dict[str, Tensor]:
        """All that is needed to go on, as tensors for a safetensors file."""
        return {
            "moment": self.moment.detach().cpu().clone(),
            "variance": self.variance.detach().cpu().clone(),
            "n_steps": torch.tensor(self.n_steps),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        self.moment.copy_(state["moment"])
        self.variance.copy_(state["variance"])
        self.n_steps = int(state["n_steps"])


def learning_rate(
    step: int, *, n_steps: int, peak: float, warmup: float = 0.03, decay: Decay = "cosine"
) -> float:
    """The rate of `step`, counted from 1: up to `peak` over a share of all steps, then to zero.

    Args:
        step: which optimizer step.
        n_steps: how many there are in all.
        peak: the highest rate.
        warmup: the share of steps over which it rises.
        decay: how it falls from there.
    """
    n_warmup = math.ceil(warmup * n_steps)
    if step <= n_warmup:
        return peak * step / n_warmup
    if decay == "constant":
        return peak
    done = (step - 1 - n_warmup) / max(1, n_steps - n_warmup)
    if decay == "linear":
        return peak * (1 - done)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
