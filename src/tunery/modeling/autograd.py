"""The part of torch's autograd context that the hand-written passes use, for the type checker."""

from typing import Protocol

from torch import Tensor


class Context(Protocol):
    """What `torch.autograd.Function` hands to `forward` and `backward` as `ctx`."""

    needs_input_grad: tuple[bool, ...]

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What `save_for_backward` was given."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for the backward pass."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that an output has no gradient."""
