"""Next tokens for a batch of sequences, each with an adapter of its own or none.

A batch shares one pass over the base per token; the key-value cache (or whatever state the model
keeps) is transformers' own. Nothing is held between two tokens but that state, so a caller may stop
at any one.

Axes: `B` sequences, `T` tokens of a pass, `V` vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from tunery.core.errors import InvalidValue
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.stream import Span


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """One sequence to continue.

    Attributes:
        prompt: its token ids, at least one.
        adapter: what speaks; `None` is the base.
        max_tokens: how many more at most; `None` is as many as the context holds.
        temperature: 0 takes the likeliest token.
        top_p: samples from the fewest tokens that together are so likely (Holtzman et al. 2020).
        seed: of the draws; the same seed gives the same tokens on the same device.
        stop_ids: tokens that end it.
        top_logprobs: how many likeliest tokens to name at each place; `None` gives no
            log-probabilities at all.
    """

    prompt: Sequence[int]
    adapter: Adapter | None = None
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop_ids: frozenset[int] = frozenset()
    top_logprobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class Token:
    """One more token of a sequence.

    Attributes:
        index: which of the sequences.
        id: the token; where `finish` is "stop", the one that ended it, which is no text.
        logprob: its log-probability at temperature 1, where asked for.
        top: the likeliest tokens and their log-probabilities.
        finish: set on a sequence's last token.
    """

    index: int
    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    finish: Literal["stop", "length"] | None = None


def sample(base: Base, asks: Sequence[Ask]) -> Generator[Token, None, None]:
    """Tokens as they come: one for each sequence that is not finished, and again.

    Raises:
        InvalidValue: a prompt is empty or fills the context.
    """
    limits = [_limit(ask, base.context) for ask in asks]
    draws = [_generator(ask.seed) for ask in asks]
    alive = list(range(len(asks)))
    n_tokens = 0
    logits, state = _begin(base, asks)
    while alive:
        n_tokens += 1
        tokens = [
            _token(index, row, asks[index], draws[index], last=n_tokens == limits[index])
            for index, row in zip(alive, logits, strict=True)
        ]
        yield from tokens
        going = [place for place, token in enumerate(tokens) if token.finish is None]
        alive = [alive[place] for place in going]
        if alive:
            last = [tokens[place].id for place in going]
            logits = _advance(base, state.select(going), last, [asks[i].adapter for i in alive])


def _limit(ask: Ask, context: int | None) -> int:
    """How many tokens `ask` may get."""
    if not ask.prompt:
        raise InvalidValue("the prompt is empty; it must hold at least one token", param="prompt")
    room = None if context is None else context - len(ask.prompt)
    if room is not None and room < 1:
        raise InvalidValue(
            f"the prompt has {len(ask.prompt)} tokens; the model takes {context}, and the answer "
            "needs one",
            param="prompt",
        )
    limits = [n for n in (ask.max_tokens, room) if n is not None]
    if not limits:
        raise InvalidValue(
            "max_tokens is not given, and the base model has no limit of its own; say one",
            param="max_tokens",
        )
    return min(limits)


def _generator(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def _token(index: int, logits: Tensor, ask: Ask, draw: torch.Generator, *, last: bool) -> Token:
    """The next token of one sequence, given its `(V,)` logits."""
    chosen = _choose(logits, ask, draw)
    finish: Literal["stop", "length"] | None = "length" if last else None
    if chosen in ask.stop_ids:
        finish = "stop"
    if ask.top_logprobs is None:
        return Token(index=index, id=chosen, finish=finish)
    logp = torch.log_softmax(logits, -1)
    values, ids = logp.topk(ask.top_logprobs)
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return Token(index=index, id=chosen, logprob=float(logp[chosen]), top=top, finish=finish)


def _choose(logits: Tensor, ask: Ask, draw: torch.Generator) -> int:
    if ask.temperature == 0:
        return int(logits.argmax())
    likely = torch.softmax(logits / ask.temperature, -1).cpu()
    if ask.top_p >= 1:
        return int(torch.multinomial(likely, 1, generator=draw))
    values, ids = likely.sort(descending=True)
    before = values.cumsum(0) - values
    values = values.masked_fill(before >= max(ask.top_p, 0.0), 0.0)
    values[0] = values[0].clamp(min=torch.finfo(values.dtype).tiny)
    return int(ids[torch.multinomial(values, 1, generator=draw)])


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
