"""The last layer, once it has attended, on rows alone whose next token is taught.

What comes after its attention gives nothing to any other row: the output projection and the MLP of
a row that teaches nothing would be computed to be thrown away.

Axes: `T` rows of a stream, `R` taught rows, `N` the same filled up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.linears import Flight, Place, Places
from tunery.modeling.rounding import rounded_up
from tunery.modeling.segments import Segment
from tunery.modeling.stream import Span

if TYPE_CHECKING:
    from tunery.modeling.stream import Stream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Narrowed:
    """What is left of a stream's rows when its last layer has attended.

    Attributes:
        spans: which of them belong to which adapter.
        rows: `(N,)` where each stands in the stream; what fills a span up is its first row again.
        place: `(R,)` where among them each taught row stands.
    """

    spans: Sequence[Span]
    rows: Tensor
    place: Tensor


def narrowed(stream: Stream) -> Narrowed:
    """The taught rows of a packed `stream`, each adapter's filled up as all of its rows are.

    How many an adapter has depends on nobody else, so its dropout masks are drawn as if alone.
    """
    spans: list[Span] = []
    taken: list[Tensor] = []
    place: list[Tensor] = []
    taught = first = 0
    runs = groupby(stream.segments, key=lambda segment: segment.adapter)
    for span, (_, run) in zip(stream.spans, runs, strict=True):
        n = sum(segment.n_taught for segment in run)
        end = first + rounded_up(n, stream.grain)
        fill = torch.full((end - first - n,), taught)
        taken += [torch.arange(taught, taught + n), fill]
        place.append(torch.arange(first, first + n))
        spans.append(Span(span.adapter, first, end))
        taught, first = taught + n, end
    rows = stream.taught.index_select(0, torch.cat(taken).to(stream.device))
    return Narrowed(spans=spans, rows=rows, place=torch.cat(place).to(stream.device))


def let_narrow(decoder: nn.Module, flight: Flight) -> bool:
    """Let the last layer of `decoder` go on with taught rows alone where a stream says so.

    The layer's own code runs on: its input is narrowed before it, but its first norm is handed
    every row, so that attention sees them, and the output projection of attention narrows too.

    Returns:
        Whether it has these parts.
    """
    layers = getattr(decoder, "layers", None)
    layer = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    norm = getattr(layer, "input_layernorm", None)
    projection = getattr(getattr(layer, "self_attn", None), "o_proj", None)
    if layer is None or not isinstance(norm, nn.Module) or not isinstance(projection, Place):
        return False
    own = layer.forward

    def forward(hidden_states: Tensor, *others: object, **more: object) -> object:
        left = _left(flight)
        if left is None:
            return own(hidden_states, *others, **more)
        flight.every_row = hidden_states
        return own(hidden_states.index_select(-2, left.rows), *others, **more)

    def every_row(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        rows, flight.every_row = flight.every_row, None
        return None if rows is None else (rows, *inputs[1:])

    def taught_rows(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        left = _left(flight)
        if left is None:
            return None
        flight.spans = left.spans
        return (inputs[0].index_select(-2, left.rows), *inputs[1:])

    layer.forward = forward
    norm.register_forward_pre_hook(every_row)
    projection.register_forward_pre_hook(taught_rows)
    return True


def _left(flight: Flight) -> Narrowed | None:
    return None if flight.stream is None else flight.stream.narrowed


class Passing(Protocol):
    """A pass over one segment."""

    def __call__(self, segment: Segment, *, narrow: bool) -> Tensor:
        """Its losses, with the last layer narrowed or as it is."""


@torch.enable_grad()
def agrees(decoder: nn.Module, places: Places, dtype: torch.dtype, losses: Passing) -> bool:
    """Whether losses and gradients are the same with the last layer narrowed; logs the answer.

    An adapter of two layers tries it: what the last one passes back shows in the other.
    """
    adapter = _trial_adapter(decoder, places)
    at = torch.arange(12)
    segment = Segment(ids=at, learn=at % 4 == 2, adapter=adapter)
    found: list[tuple[Tensor, Tensor]] = []
    try:
        for narrow in (False, True):
            nats = losses(segment, narrow=narrow)
            adapter.grad.zero_()
            (nats * torch.linspace(-1, 2, len(nats), device=nats.device)).sum().backward()
            found.append((nats.detach(), adapter.grad.clone()))
    except (RuntimeError, TypeError, ValueError, IndexError) as refused:
        _log.info("the last layer needs every row: %s", refused)
        return False
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2
    agree = all(
        bool((ours - theirs).norm() <= tolerance * theirs.norm())
        for theirs, ours in zip(*found, strict=True)
    )
    _log.info(
        "the last layer goes on with the taught rows alone"
        if agree
        else "the last layer needs every row: with the taught ones alone it gives something else"
    )
    return agree


def _trial_adapter(decoder: nn.Module, places: Places) -> Adapter:
    """One that changes what comes out of the last two layers."""
    layers = decoder.get_submodule("layers")
    assert isinstance(layers, nn.ModuleList)
    inside = {
        module.family
        for layer in list(layers)[-2:]
        for module in layer.modules()
        if isinstance(module, Place)
    }
    names = tuple(name for family in places.families if family in inside for name in family.names)
    adapter = Adapter(places, LoraConfig(r=2, target_modules=names))
    source = torch.Generator().manual_seed(0)
    for name, weight in adapter.named_weights():
        if ".lora_B." in name:
            weight.copy_(torch.randn(weight.shape, generator=source) * 0.02)
    adapter.refresh()
    return adapter
