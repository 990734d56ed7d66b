"""Next tokens chosen from logits, each sequence in its own manner.

Axes: `B` sequences, `V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tunery.core.errors import InvalidValue, Unavailable
from tunery.modeling.adapter import Adapter


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


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A sequence that cannot go on: `index` as in `Token`, and why."""

    index: int
    error: Exception


class Chooser:
    """Chooses one sequence's tokens, to its last."""

    def __init__(self, ask: Ask, context: int | None) -> None:
        """A model takes `context` tokens.

        Raises:
            InvalidValue: the prompt is empty or fills the context.
        """
        self._ask = ask
        self._n_left = _limit(ask, context)
        self._draw = _generator(ask.seed)

    def token(self, index: int, logits: Tensor, likeliest: int) -> Token:
        """The next one, given its `(V,)` logits and the likeliest among them."""
        ask = self._ask
        self._n_left -= 1
        chosen = likeliest if ask.temperature == 0 else _drawn(logits, ask, self._draw)
        finish: Literal["stop", "length"] | None = None if self._n_left else "length"
        if chosen in ask.stop_ids:
            finish = "stop"
        if ask.top_logprobs is None:
            return Token(index=index, id=chosen, finish=finish)
        logp = torch.log_softmax(logits, -1)
        values, ids = logp.topk(ask.top_logprobs)
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        return Token(index=index, id=chosen, logprob=float(logp[chosen]), top=top, finish=finish)


def choose(
    logits: Tensor, indices: Sequence[int], choosers: Sequence[Chooser]
) -> list[Token | Broken]:
    """The next token of each sequence, given `(B, V)` logits; one of no numbers breaks alone."""
    likeliest: list[int] = logits.argmax(-1).tolist()
    broken: list[bool] = logits.isnan().any(-1).tolist()
    return [
        Broken(index=index, error=_no_number())
        if broken[row]
        else chooser.token(index, logits[row], likeliest[row])
        for row, (index, chooser) in enumerate(zip(indices, choosers, strict=True))
    ]


def _no_number() -> Unavailable:
    return Unavailable(
        "The model gave something that is not a number (NaN): its adapter or its base is damaged."
    )


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


def _drawn(logits: Tensor, ask: Ask, draw: torch.Generator) -> int:
    likely = torch.softmax(logits / ask.temperature, -1).cpu()
    if ask.top_p >= 1:
        return int(torch.multinomial(likely, 1, generator=draw))
    values, ids = likely.sort(descending=True)
    before = values.cumsum(0) - values
    values = values.masked_fill(before >= max(ask.top_p, 0.0), 0.0)
    values[0] = values[0].clamp(min=torch.finfo(values.dtype).tiny)
    return int(ids[torch.multinomial(values, 1, generator=draw)])
