"""How a base answers many requests at once: in one batch, or one beside another in turn."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

import torch
from torch import Tensor

from tunery.modeling.base import Base
from tunery.modeling.batch import Batch
from tunery.modeling.cache import Cache
from tunery.modeling.choosing import Ask, Broken, Token
from tunery.modeling.reading import Portion, Reading
from tunery.modeling.sample import sample
from tunery.modeling.stream import Span

_log = logging.getLogger(__name__)

_PROBE = (range(3, 15), range(20, 29))
"""Tokens to try a model with."""


class Sampler(Protocol):
    """Continues sequences, each a token in a step, until they end or leave."""

    def join(self, asks: Sequence[Ask]) -> list[int]:
        """Continue these too; gives back the `index` of each one's tokens."""

    def leave(self, index: int) -> None:
        """Stop this one, if it is not over."""

    def step(self) -> list[Token | Broken]:
        """What came of the sequences; at most one thing of each."""


def sampler_for(base: Base) -> Sampler:
    """One batch for all, where the model allows it."""
    if reads_on(base):
        return Batch(base)
    _log.warning(
        "%s keeps more than keys and values: its requests do not share a batch, but take turns",
        type(base.model).__name__,
    )
    return Turnwise(base)


@torch.no_grad()
def reads_on(base: Base) -> bool:
    """Whether tokens read in pieces, in company, give what they give when read at once."""
    if not base.layout.packed:
        return False
    vocabulary: int = base.model.config.get_text_config().vocab_size
    rows = [[token % vocabulary for token in ids] for ids in _PROBE]
    try:
        pieces = _read_in_pieces(base, rows)
    except (RuntimeError, TypeError, ValueError) as refused:
        _log.info("does not read on: %s", refused)
        return False
    whole = torch.cat([_read_at_once(base, ids) for ids in rows])
    close = 1e-4 if base.dtype == torch.float32 else 5e-2
    scale = whole.abs().max().clamp(min=1)
    return bool(((pieces - whole).abs() <= close * scale).all())


def _read_in_pieces(base: Base, rows: Sequence[list[int]]) -> Tensor:
    """`(S, V)` logits: some tokens of each together, then one of each, then all that are left."""
    cache = Cache()
    memories = [cache.open(len(ids)) for ids in rows]
    for n_tokens in (7, 1, len(rows[0])):
        portions = [
            Portion(ids=ids[m.length : m.length + n_tokens], adapter=None, memory=m)
            for ids, m in zip(rows, memories, strict=True)
        ]
        reading = Reading(portions, base.device)
        logits = base.next_logits(reading)
    return logits


def _read_at_once(base: Base, ids: list[int]) -> Tensor:
    row = torch.tensor([ids], device=base.device)
    with base.carrying([Span(None, 0, len(ids))]):
        logits: Tensor = base.model(input_ids=row, use_cache=False).logits
    return logits[:, -1].float()


class Turnwise:
    """Sequences that came together are a batch of their own; the batches take turns."""

    def __init__(self, base: Base) -> None:
        """Nobody asks yet."""
        self._base = base
        self._indices = count()
        self._batches: list[_Together] = []

    def join(self, asks: Sequence[Ask]) -> list[int]:
        """Continue these too; gives back the `index` of each one's tokens."""
        indices = [next(self._indices) for _ in asks]
        self._batches.append(_Together(sample(self._base, asks), indices, set(indices)))
        return indices

    def leave(self, index: int) -> None:
        """Do not say any more of this one; its batch ends with its last."""
        for batch in self._batches:
            batch.wanted.discard(index)
        self._batches = [batch for batch in self._batches if batch.wanted]

    def step(self) -> list[Token | Broken]:
        """One more token of each batch."""
        said = [token for batch in self._batches for token in batch.step()]
        self._batches = [batch for batch in self._batches if batch.wanted]
        return said


@dataclass(eq=False)
class _Together:
    """A batch whose sequences began together.

    Attributes:
        tokens: what comes, by the sequence's place in the batch.
        indices: by that place, the index under which it is known.
        wanted: those that somebody still waits for.
    """

    tokens: Generator[Token, None, None]
    indices: Sequence[int]
    wanted: set[int]

    def step(self) -> list[Token | Broken]:
        """The next token that somebody waits for; of a batch that fails, its end."""
        try:
            token = next(one for one in self.tokens if self.indices[one.index] in self.wanted)
        except Exception as error:
            broken = [Broken(index=index, error=error) for index in sorted(self.wanted)]
            self.wanted.clear()
            return [*broken]
        index = self.indices[token.index]
        if token.finish is not None:
            self.wanted.discard(index)
        return [replace(token, index=index)]
