"""A FLUX transformer as what it learns to be: the velocity of a flow from pictures to noise.

At time 0 there is a picture's latents, at time 1 noise. Axes: `B` rows, `T` packed latents of a
picture, `C` channels of one, `L` tokens of a prompt, `D` and `P` widths of the two text encoders.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor

from tunery.modeling.flux import token_limit

Size = tuple[int, int]
"""Width and height, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What the text encoders make of some prompts."""

    tokens: Tensor
    """(B, L, D), from T5."""
    pooled: Tensor
    """(B, P), from CLIP."""

    def __len__(self) -> int:
        """How many prompts."""
        return len(self.pooled)

    def __getitem__(self, rows: Tensor | slice) -> Prompts:
        """Some of them."""
        return Prompts(tokens=self.tokens[rows], pooled=self.pooled[rows])


def joined(prompts: Sequence[Prompts]) -> Prompts:
    """All of them, in that order."""
    return Prompts(
        tokens=torch.cat([some.tokens for some in prompts]),
        pooled=torch.cat([some.pooled for some in prompts]),
    )


@torch.no_grad()
def encoded_prompts(pipeline: FluxPipeline, prompts: Sequence[str]) -> Prompts:
    """`prompts` as the transformer takes them."""
    tokens, pooled, _ = pipeline.encode_prompt(
        list(prompts), None, max_sequence_length=token_limit(pipeline)
    )
    return Prompts(tokens=tokens, pooled=pooled)


@torch.no_grad()
def encoded_pictures(pipeline: FluxPipeline, pictures: Tensor) -> Tensor:
    """(B, T, C): the likeliest latents of `pictures` (B, 3, height, width), from -1 to 1."""
    config = pipeline.vae.config
    found = pipeline.vae.encode(pictures.to(pipeline.vae.device, pipeline.vae.dtype))
    latents = (found.latent_dist.mode() - config.shift_factor) * config.scaling_factor
    packed: Tensor = pipeline._pack_latents(latents, *latents.shape)
    return packed


class Flow:
    """The velocity field at one size of pictures.

    Attributes:
        shape: `T` and `C` of its states.
    """

    def __init__(
        self, pipeline: FluxPipeline, size: Size, *, autocast: torch.dtype | None = None
    ) -> None:
        """A field that shares the pipeline's transformer; `autocast` is for its products."""
        self.transformer: FluxTransformer2DModel = pipeline.transformer
        self.device = self.transformer.device
        self._autocast = autocast
        width, height = (side // (2 * pipeline.vae_scale_factor) for side in size)
        self.shape = (width * height, int(self.transformer.config.in_channels))
        self._places = FluxPipeline._prepare_latent_image_ids(
            1, height, width, self.device, torch.float32
        )
        self._shift = _shift(pipeline, width * height)

    def velocity(
        self, states: Tensor, times: Tensor, prompts: Prompts, guidance: Tensor | None = None
    ) -> Tensor:
        """(B, T, C): where `states` (B, T, C) go at `times` (B,), noise being ahead.

        `guidance` (B,) is for models that were distilled to take it, and ignored by others.
        """
        guided = bool(self.transformer.config.guidance_embeds)
        enabled = self._autocast is not None
        with torch.autocast(self.device.type, dtype=self._autocast, enabled=enabled):
            found: Tensor = self.transformer(
                hidden_states=states,
                timestep=times,
                guidance=guidance if guided else None,
                pooled_projections=prompts.pooled,
                encoder_hidden_states=prompts.tokens,
                txt_ids=torch.zeros(prompts.tokens.shape[1], 3, device=self.device),
                img_ids=self._places,
                return_dict=False,
            )[0]
        return found

    def shifted(self, times: Tensor) -> Tensor:
        """`times` moved towards noise, as far as pictures of this size ask for.

        Esser et al. 2024, eq. 23: the more latents there are, the more noise it takes to hide what
        they show. A model that was made without has a shift of 1, which changes nothing.
        """
        return self._shift * times / (1 + (self._shift - 1) * times)


def _shift(pipeline: FluxPipeline, n_latents: int) -> float:
    """The pipeline's own shift, as its schedule for drawing has it."""
    config = pipeline.scheduler.config
    if not config.use_dynamic_shifting:
        return float(config.shift)
    return math.exp(
        calculate_shift(
            n_latents,
            config.base_image_seq_len,
            config.max_image_seq_len,
            config.base_shift,
            config.max_shift,
        )
    )


def generator(*words: object) -> torch.Generator:
    """Random numbers that follow from `words` alone, the same on every machine."""
    digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
