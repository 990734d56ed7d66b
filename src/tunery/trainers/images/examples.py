"""What is learnt from, ready for the transformer: encoded once, before the first step.

Pictures of one size lie on one shelf, with what the base model draws at that size.
"""

from __future__ import annotations

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
from tunery.modeling.flux import native_side, pixel_multiple
from tunery.trainers.images.buckets import bucket, fitted, largest
from tunery.trainers.images.known import Known, draw, known_prompts
from tunery.trainers.images.pictures import Picture

N_KNOWN = 64
"""How many prompts the base draws before the first step."""


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
    seed: int,
) -> list[Encoded]:
    """Every picture and caption through VAE and text encoders, which are not needed after that."""
    rows = by_size(
        [picture.image.size for picture in pictures],
        native_side=native_side(pipeline),
        multiple=pixel_multiple(pipeline),
        priority=priority,
    )
    n = sum(map(len, rows.values()))
    others = known_prompts(captions, trigger_word, pipeline.tokenizer_2, N_KNOWN, seed)
    found, start = [], 0
    for size, places in rows.items():
        end = start + round(N_KNOWN * len(places) / n)
        some = others[start : max(end, start + 1)]
        found.append(
            Encoded(
                size=size,
                latents=torch.cat([_latents(pipeline, pictures[p].image, size) for p in places]),
                prompts=encoded_prompts(pipeline, [captions[place] for place in places]),
                known_prompts=None if priority == "speed" else encoded_prompts(pipeline, some),
            )
        )
        start = min(end, N_KNOWN - 1)
    return found


def by_size(
    sizes: Sequence[Size], *, native_side: int, multiple: int, priority: Priority
) -> dict[Size, list[int]]:
    """The places of the pictures to learn from, by the size that each is learnt at."""
    rows = defaultdict(list)
    for place, size in enumerate(sizes):
        rows[bucket(size, native_side=native_side, multiple=multiple)].append(place)
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
