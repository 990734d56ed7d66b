"""Next tokens for a batch of sequences that begin together, each with an adapter or none.

A batch shares one pass over the base per token; the key-value cache (or whatever state the model
keeps) is transformers' own, so this serves every model. Nothing is held between two tokens but that
state, so a caller may stop at any one.

Axes: `B` sequences, `T` tokens of a pass, `V` vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.choosing import Ask, Broken, Chooser, Token, choose
from tunery.modeling.stream import Span


def sample(base: Base, asks: Sequence[Ask]) -> Generator[Token, None, None]:
    """Tokens as they come: one for each sequence that is not finished, and again.

    Raises:
        InvalidValue: a prompt is empty or fills the context.
        Unavailable: the model gives no numbers.
    """
    choosers = [Chooser(ask, base.context) for ask in asks]
    alive = list(range(len(asks)))
    logits, state = _begin(base, asks)
    while alive:
        chosen = choose(logits, alive, [choosers[index] for index in alive])
        tokens = [_unbroken(token) for token in chosen]
        yield from tokens
        last = {place: token.id for place, token in enumerate(tokens) if token.finish is None}
        alive = [alive[place] for place in last]
        if alive:
            state = state.select(list(last))
            logits = _advance(base, state, list(last.values()), [asks[i].adapter for i in alive])


def _unbroken(token: Token | Broken) -> Token:
    if isinstance(token, Broken):
        raise token.error
    return token


@dataclass(kw_only=True)
class _State:
    """What the model remembers of the sequences.

    Attributes:
        name: what the model calls its cache.
        cache: that cache.
        lengths: `(B,)` tokens seen of each.
        mask: `(B, T)` of 1 where there is a token and 0 where padding, or None without padding.
    """

    name: str
    cache: Cache
    lengths: Tensor
    mask: Tensor | None

    def select(self, places: Sequence[int]) -> _State:
        """The state of the sequences at `places` alone; one may be named more than once."""
        if list(places) == list(range(len(self.lengths))):
            return self
        index = torch.tensor(places, device=self.lengths.device)
        self.cache.reorder_cache(index)
        self.lengths = self.lengths[index]
        self.mask = None if self.mask is None else self.mask[index]
        return self


def _begin(base: Base, asks: Sequence[Ask]) -> tuple[Tensor, _State]:
    """`(B, V)` logits after the prompts; a prompt that several sequences share is read once."""
    places: dict[tuple[Adapter | None, tuple[int, ...]], int] = {}
    for ask in asks:
        places.setdefault((ask.adapter, tuple(ask.prompt)), len(places))
    index = [places[ask.adapter, tuple(ask.prompt)] for ask in asks]
    prompts = [list(prompt) for _, prompt in places]
    adapters = [adapter for adapter, _ in places]
    logits, state = _prefill(base, prompts, adapters)
    return logits[index], state.select(index)


@torch.no_grad()
def _prefill(
    base: Base, prompts: list[list[int]], adapters: Sequence[Adapter | None]
) -> tuple[Tensor, _State]:
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=base.device)
    lengths = torch.tensor([len(p) for p in prompts], device=base.device)
    at = torch.arange(width, device=base.device)
    mask = (at >= width - lengths[:, None]).long()
    padded = bool((lengths < width).any())
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    inputs: dict[str, object] = {"input_ids": ids, "position_ids": positions}
    if padded:
        inputs["attention_mask"] = mask
    out = _run(base, inputs, adapters, width)
    name = "past_key_values" if "past_key_values" in out else "cache_params"
    state = _State(name=name, cache=out[name], lengths=lengths, mask=mask if padded else None)
    return out["logits"][:, -1].float(), state


@torch.no_grad()
def _advance(
    base: Base, state: _State, last: Sequence[int], adapters: Sequence[Adapter | None]
) -> Tensor:
    """`(B, V)` logits after one more token of each sequence."""
    inputs: dict[str, object] = {
        "input_ids": torch.tensor(last, device=base.device)[:, None],
        "position_ids": state.lengths[:, None],
        state.name: state.cache,
    }
    if state.mask is not None:
        state.mask = torch.cat((state.mask, state.mask.new_ones(len(last), 1)), 1)
        if state.name == "past_key_values":  # a recurrent state has the padding behind it
            inputs["attention_mask"] = state.mask
    state.lengths = state.lengths + 1
    out = _run(base, inputs, adapters, 1)
    logits: Tensor = out["logits"][:, -1].float()
    return logits


def _run(
    base: Base, inputs: dict[str, object], adapters: Sequence[Adapter | None], width: int
) -> dict[str, Tensor]:
    """The model's output for `width` tokens of each sequence, through the adapters."""
    known = inspect.signature(base.model.forward).parameters
    inputs = {"use_cache": True, "logits_to_keep": 1, **inputs}
    with base.carrying(_spans(adapters, width)):
        out: dict[str, Tensor] = base.model(**{k: v for k, v in inputs.items() if k in known})
    return out


def _spans(adapters: Sequence[Adapter | None], width: int) -> list[Span]:
    """Rows of each run of sequences with the same adapter."""
    spans: list[Span] = []
    row = 0
    for adapter, run in groupby(adapters, key=lambda adapter: adapter):
        end = row + width * len(list(run))
        spans.append(Span(adapter, row, end))
        row = end
    return spans
