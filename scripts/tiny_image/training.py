"""What each training here does: a schedule, a step, a mean of the weights, and saving it all."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_CLIP_NORM = 1.0


def rate(step: int, n_steps: int, *, warm_up: int, flat: float = 0.0, floor: float = 0.02) -> float:
    """The share of the peak rate at `step`: up, flat for a share of the steps, then down to 0."""
    falling = (1 - step / n_steps) / (1 - flat)
    return min(1.0, (step + 1) / warm_up) * min(1.0, max(floor, falling))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, learning_rate: float) -> float:
    """One step down the gradient of `loss`, whose value is given back."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    nn.utils.clip_grad_norm_(weights, _CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, *, share: float = 0.003) -> None:
    """Move the weights of `average` towards those of `model`: a mean at first, then exponential."""
    weight = max(share, 1 / (step + 1))
    for kept, now in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(now, weight)


class Saved:
    """A training that can go on where it was stopped: what it has, in one file."""

    def __init__(self, path: Path, things: Sequence[Any], generator: torch.Generator) -> None:
        """`things` have a `state_dict`, and take one back."""
        self._path = path
        self._things = things
        self._generator = generator

    def steps(self, n_steps: int, *, every: int) -> Iterator[int]:
        """The steps yet to take; what there is is saved after each `every` of them."""
        for step in range(self._restored(), n_steps):
            yield step
            if (step + 1) % every == 0 or step + 1 == n_steps:
                self._save(step + 1)

    def _restored(self) -> int:
        if not self._path.exists():
            return 0
        kept = torch.load(self._path, weights_only=True)
        for thing, state in zip(self._things, kept["states"], strict=True):
            thing.load_state_dict(state)
        self._generator.set_state(kept["generator"])
        step: int = kept["step"]
        return step

    def _save(self, step: int) -> None:
        kept = {
            "step": step,
            "states": [thing.state_dict() for thing in self._things],
            "generator": self._generator.get_state(),
        }
        torch.save(kept, self._path.with_suffix(".new"))
        self._path.with_suffix(".new").replace(self._path)
