"""How well a pipeline draws what it is asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from diffusers import FluxPipeline
from torch import Tensor

from scripts.tiny_image.judge import Judge, colours
from scripts.tiny_image.parts import TEXT_TOKENS
from scripts.tiny_image.pictures import INKS, KNOWN, PAPERS, SIDE

STEPS = 16
GUIDANCE = 3.0
_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The shares of pictures that have what was asked for."""

    shape: float
    ink: float
    paper: float
    pictures: Tensor


def draw(
    pipeline: FluxPipeline, prompts: Sequence[str], *, guidance: float = GUIDANCE, seed: int = 0
) -> Tensor:
    """(N, 3, SIDE, SIDE), from 0 to 1."""
    guided = {"true_cfg_scale": guidance, "negative_prompt": ""} if guidance > 1 else {}
    found = [
        pipeline(
            list(prompts[start : start + _AT_ONCE]),
            height=SIDE,
            width=SIDE,
            num_inference_steps=STEPS,
            max_sequence_length=TEXT_TOKENS,
            guidance_scale=0.0,
            generator=torch.Generator().manual_seed(seed + start),
            output_type="np",
            **guided,
        ).images
        for start in range(0, len(prompts), _AT_ONCE)
    ]
    return torch.cat([torch.from_numpy(some) for some in found]).permute(0, 3, 1, 2)


def measured(
    pipeline: FluxPipeline,
    judge: Judge,
    *,
    words: Sequence[str] = KNOWN,
    shape: str | None = None,
    n: int = 80,
    guidance: float = GUIDANCE,
    seed: int = 1_000,
) -> Drawing:
    """`n` pictures of `words` in turn; of each word its own shape is wanted, or `shape`."""
    random = Random(seed)
    asked = []
    for place in range(n):
        ink = random.choice(list(INKS))
        paper = random.choice([paper for paper in PAPERS if paper != ink])
        asked.append((words[place % len(words)], ink, paper))
    prompts = [f"a {ink} {word} on a {paper} background" for word, ink, paper in asked]
    pictures = draw(pipeline, prompts, guidance=guidance, seed=seed)
    found = [colours(picture) for picture in pictures]
    seen = judge.shapes(pictures)
    return Drawing(
        shape=_share(s == (shape or word) for s, (word, _, _) in zip(seen, asked, strict=True)),
        ink=_share(c[0] == ink for c, (_, ink, _) in zip(found, asked, strict=True)),
        paper=_share(c[1] == paper for c, (_, _, paper) in zip(found, asked, strict=True)),
        pictures=pictures,
    )


def _share(each: Iterable[bool]) -> float:
    values = list(each)
    return sum(values) / len(values)
