"""What the base model draws, so that the tuned one keeps drawing it.

Pictures of a new thing under a new word pull on every word. Ruiz et al. 2023 (eq. 2) hold the
others in place with pictures that the base draws itself, learnt beside the new ones. Here the
base's own velocities along the way to these pictures are kept: what is learnt from them is free of
noise, and neither a second model nor a second pass through it is needed while training.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tunery.modeling.flow import Flow, Prompts, generator
from tunery.trainers.images.captions import replaced

STEPS = 8
"""From noise to a picture; each gives one state to learn from."""
GUIDANCE = 3.5
"""For models that were distilled to take it: diffusers' default for drawing."""
_UNPROMPTED = 8
"""One prompt in so many is empty; guided drawing pushes away from it (Ho and Salimans 2022)."""
_AT_ONCE = 8
_SHORTEST_WORD = 4


@dataclass(frozen=True, kw_only=True)
class Known:
    """The base's velocities at states on its way from noise to pictures."""

    prompts: Prompts
    """`M` of them."""
    times: Tensor
    """(S,)."""
    states: Tensor
    """(M, S, T, C)."""
    velocities: Tensor
    """(M, S, T, C)."""


def known_prompts(
    captions: Sequence[str],
    trigger_word: str,
    tokenizer: PreTrainedTokenizerBase,
    n: int,
    seed: int,
) -> list[str]:
    """`n` prompts about anything but what is learnt now.

    They are the captions with other words, of those that the text encoder knows, for the trigger.
    """
    random = Random(seed)
    words = _words(tokenizer, trigger_word)
    return [
        ""
        if place % _UNPROMPTED == 0
        else replaced(random.choice(captions), trigger_word, random.choice(words))
        for place in range(n)
    ]


@torch.no_grad()
def draw(flow: Flow, prompts: Prompts, *, seed: int) -> Known:
    """What the transformer of `flow`, as it is now, does with `prompts`."""
    times = flow.shifted(torch.linspace(1, 0, STEPS + 1))
    noise = torch.randn(len(prompts), *flow.shape, generator=generator(seed, "known"))
    states, velocities = [], []
    for start in range(0, len(prompts), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        way = _way(flow, prompts[rows], noise[rows].to(flow.device), times.to(flow.device))
        states.append(way[0])
        velocities.append(way[1])
    return Known(
        prompts=prompts,
        times=times[:-1],
        states=torch.cat(states),
        velocities=torch.cat(velocities),
    )


def _way(flow: Flow, prompts: Prompts, state: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """States and velocities (B, S, T, C) of Euler's method from `state` at time 1 to time 0."""
    guidance = torch.full((len(prompts),), GUIDANCE, device=flow.device)
    states, velocities = [], []
    for now, then in pairwise(times):
        velocity = flow.velocity(state, now.expand(len(prompts)), prompts, guidance).float()
        states.append(state)
        velocities.append(velocity)
        state = state + (then - now) * velocity
    return torch.stack(states, 1), torch.stack(velocities, 1)


def _words(tokenizer: PreTrainedTokenizerBase, trigger_word: str) -> list[str]:
    """Tokens that are whole words, as byte-level tokenizers and SentencePiece write them."""
    letters = set(string.ascii_letters)
    words = [token[1:] for token in tokenizer.get_vocab() if token[:1] in ("Ġ", "▁")]
    return sorted(
        word
        for word in words
        if len(word) >= _SHORTEST_WORD and letters.issuperset(word) and word != trigger_word
    ) or [""]
