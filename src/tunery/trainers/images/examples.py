"""What is learnt from, ready for the transformer: encoded once, before the first step.

Pictures of one size lie on one shelf, with what the base model draws at that size.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import Tensor

from tunery.core.method import Priority
from tunery.modeling.flow import Flow, Prompts, Size, encoded_pictures, encoded_prompts
from tunery.modeling.flux import is_small, native_side, pixel_multiple
from tunery.trainers.images.buckets import bucket, fitted, largest
from tunery.trainers.images.known import STEPS, Known, draw, known_prompts, telling_words
from tunery.trainers.images.pictures import Picture

MOST_KNOWN = 128
"""How many prompts the base draws before the first step, at the most."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The pictures of one size and what is said of them, as the transformer takes them."""

    size: Size
    latents: Tensor
    """(N, T, C)."""
    prompts: Prompts
    known_prompts: Prompts | None


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What is learnt at one size."""

    flow: Flow
    latents: Tensor
    prompts: Prompts
    known: Known | None

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.latents)


def encoded(
    pipeline: FluxPipeline,
    pictures: Sequence[Picture],
    captions: Sequence[str],
    *,
    trigger_word: str,
    priority: Priority,
    n_learnt: int,
    seed: int,
    autocast: torch.dtype | None,
) -> list[Encoded]:
    """Every picture and caption through VAE and text encoders, which are not needed after that.

    Pictures will be learnt `n_learnt` times in all, and half as many states of what is known; so
    there is no need to draw more of these.
    """
    n_known = min(MOST_KNOWN, math.ceil(n_learnt / 2 / STEPS))
    rows = by_size(pipeline, [picture.image.size for picture in pictures], priority)
    n = sum(map(len, rows.values()))
    found = []
    for size, places in rows.items():
        latents = torch.cat([_latents(pipeline, pictures[place].image, size) for place in places])
        said = [captions[place] for place in places]
        others = None
        if priority != "speed":
            flow = Flow(pipeline, size, autocast=autocast)
            words = telling_words(pipeline, flow, latents, said, trigger_word, seed=seed)
            share = math.ceil(n_known * len(places) / n)
            prompts = known_prompts(said, trigger_word, words, n=share, seed=seed)
            others = encoded_prompts(pipeline, prompts)
        found.append(
            Encoded(
                size=size,
                latents=latents,
                prompts=encoded_prompts(pipeline, said),
                known_prompts=others,
            )
        )
    return found


def by_size(
    pipeline: FluxPipeline, sizes: Sequence[Size], priority: Priority
) -> dict[Size, list[int]]:
    """The places of the pictures to learn from, by the size that each is learnt at.

    A model that draws nothing but its own square learns nothing but that.
    """
    side, multiple = native_side(pipeline), pixel_multiple(pipeline)
    rows = defaultdict(list)
    for place, size in enumerate(sizes):
        wanted = (side, side)
        if not is_small(pipeline):
            wanted = bucket(size, native_side=side, multiple=multiple)
        rows[wanted].append(place)
    if priority == "high_res_only":
        best = largest(list(rows))
        return {best: rows[best]}
    return dict(rows)


def shelved(
    pipeline: FluxPipeline,
    encoded: Sequence[Encoded],
    *,
    seed: int,
    autocast: torch.dtype | None,
) -> list[Shelf]:
    """`encoded`, with what the transformer draws as it is now."""
    shelves = []
    for some in encoded:
        flow = Flow(pipeline, some.size, autocast=autocast)
        prompts = some.known_prompts
        known = None if prompts is None else draw(flow, prompts, seed=seed)
        shelves.append(Shelf(flow=flow, latents=some.latents, prompts=some.prompts, known=known))
    return shelves


def _latents(pipeline: FluxPipeline, image: Image.Image, size: Size) -> Tensor:
    """(1, T, C), in fp32."""
    pixels = torch.from_numpy(np.array(fitted(image, size)))
    return encoded_pictures(pipeline, pixels.permute(2, 0, 1)[None] / 127.5 - 1).float()
