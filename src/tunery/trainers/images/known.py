"""What the base model draws, so that the tuned one keeps drawing it.

Pictures of a new thing under a new word pull on every word. Ruiz et al. 2023 (eq. 2) hold the
others in place with pictures that the base draws itself, learnt beside the new ones. Here the
base's own velocities along the way to these pictures are kept: what is learnt from them is free of
noise, and neither a second model nor a second pass through it is needed while training.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import torch
from diffusers import FluxPipeline
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tunery.modeling.flow import Flow, Prompts, encoded_prompts, generator
from tunery.trainers.images.captions import replaced

STEPS = 8
"""From noise to a picture; each gives one state to learn from."""
GUIDANCE = 3.5
"""For models that were distilled to take it: diffusers' default for drawing."""
_UNPROMPTED = 8
"""One prompt in so many is empty; guided drawing pushes away from it (Ho and Salimans 2022)."""
_AT_ONCE = 8
_SHORTEST_WORD = 3
_MOST_WORDS = 64
_TELLING = 1 / 3
"""The share of words that are good enough."""
_LOOKS = 4
_MIDWAY = 0.6


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
    captions: Sequence[str], trigger_word: str, words: Sequence[str], *, n: int, seed: int
) -> list[str]:
    """`n` prompts about anything but what is learnt now: captions with other words for it."""
    random = Random(seed)
    return [
        ""
        if place % _UNPROMPTED == 0
        else replaced(random.choice(captions), trigger_word, random.choice(words))
        for place in range(n)
    ]


@torch.no_grad()
def telling_words(
    pipeline: FluxPipeline,
    flow: Flow,
    latents: Tensor,
    captions: Sequence[str],
    trigger_word: str,
    *,
    seed: int,
) -> list[str]:
    """The words, of those that the base's text encoder knows, that it draws least like the trigger.

    What it draws as it draws a word that it has never seen cannot be held in place while that
    moves. So a word is judged by how it turns the flow for the first pictures, half on their way
    to noise; `latents` and `captions` are theirs.
    """
    random = Random(seed)
    words = _words(pipeline.tokenizer_2, trigger_word)
    words = random.sample(words, min(len(words), _MOST_WORDS))
    latents, captions = latents[:_LOOKS], captions[:_LOOKS]
    noise = torch.randn(latents.shape, generator=generator(seed, "words")).to(latents)
    states = (1 - _MIDWAY) * latents + _MIDWAY * noise
    times, guidance = (
        torch.full((len(latents),), value, device=flow.device) for value in (_MIDWAY, GUIDANCE)
    )

    def velocity(word: str) -> Tensor:
        said = [replaced(caption, trigger_word, word) for caption in captions]
        return flow.velocity(states, times, encoded_prompts(pipeline, said), guidance).float()

    own = velocity(trigger_word)
    turns = {word: float((velocity(word) - own).square().mean()) for word in words}
    return sorted(words, key=lambda word: -turns[word])[: math.ceil(len(words) * _TELLING)]


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
