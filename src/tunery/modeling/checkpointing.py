"""Layers whose inner values are not kept for backward, but computed again there.

Gradient checkpointing (Chen et al. 2016, section 4.2): of a layer only its input is kept. A step
takes a third longer and a small part of the memory, so it is done only where it has to be.

Axes: `T` rows of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

if TYPE_CHECKING:
    from tunery.modeling.adapter import Adapter
    from tunery.modeling.linears import Flight
    from tunery.modeling.stream import Span, Stream


# Beside what is kept, a pass needs some logits, and one layer's gradients at a time.
_BESIDE_BYTES = 2**31
# Of what is free before any job is there.
_FOR_ADAPTERS = 0.2
# The allocator cannot use all of what is free.
_MARGIN = 1.15

Carrying = Callable[["Sequence[Span]", "Stream | None"], AbstractContextManager[None]]


def let_recompute(decoder: nn.Module, flight: Flight, carrying: Carrying) -> int:
    """Let the layers of `decoder` be computed again where `flight.recompute` says so.

    Args:
        decoder: the model below its head.
        flight: what the layers know of the pass under way.
        carrying: puts the spans and the stream of a pass into `flight` again.

    Returns:
        How many layers there are that can be.
    """
    layers: list[str] = []
    for name, module in decoder.named_modules():
        inside = any(name.startswith(f"{layer}.") for layer in layers)
        if isinstance(module, GradientCheckpointingLayer) and not inside:
            layers.append(name)
            module.forward = _recomputing(module.forward, flight, carrying)
    return len(layers)


def _recomputing(
    own: Callable[..., object], flight: Flight, carrying: Carrying
) -> Callable[..., object]:
    def forward(*inputs: object, **more: object) -> object:
        if not (flight.recompute and torch.is_grad_enabled()):
            return own(*inputs, **more)
        return checkpoint(
            partial(own, **more),
            *inputs,
            use_reentrant=False,
            # The frozen model draws nothing; what adapters draw is `_again`'s matter.
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), _again(flight, carrying)),
        )

    return forward


def _again(flight: Flight, carrying: Carrying) -> AbstractContextManager[None]:
    """The pass under way, to be gone through once more: same rows, same dropout masks."""
    spans, stream = tuple(flight.spans or ()), flight.stream
    dropping = [s.adapter for s in spans if s.adapter and s.adapter.config.lora_dropout]
    drawn = _states(dropping)

    @contextmanager
    def again() -> Iterator[None]:
        later = _states(dropping)
        _set_states(dropping, drawn)
        try:
            with carrying(spans, stream):
                yield
        finally:
            _set_states(dropping, later)

    return again()


def _states(adapters: Sequence[Adapter]) -> list[Tensor]:
    return [adapter.dropout.get_state() for adapter in adapters]


def _set_states(adapters: Sequence[Adapter], states: Sequence[Tensor]) -> None:
    for adapter, state in zip(adapters, states, strict=True):
        adapter.dropout.set_state(state)


def kept_bytes(run: Callable[[], object], frozen: nn.Module) -> int:
    """What autograd keeps for the backward of `run`, each storage once, without `frozen`."""
    known = {weight.untyped_storage().data_ptr() for weight in frozen.parameters()}
    found: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address comes twice

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
            alive.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        run()
    return sum(found.values())


def free_bytes(device: torch.device) -> int | None:
    """What can still be had of the GPU; None for main memory, which is not watched here."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def rows_that_fit(free: int, kept_per_row: float) -> int:
    """How many rows a pass may have that keeps so much of each, where adapters will take a part."""
    room = free * (1 - _FOR_ADAPTERS) - _BESIDE_BYTES
    return max(0, int(room / _MARGIN / kept_per_row))


def fits(kept: int, free: int) -> bool:
    """Whether a pass that keeps so many bytes for its backward has room in so many."""
    return kept * _MARGIN + _BESIDE_BYTES <= free
