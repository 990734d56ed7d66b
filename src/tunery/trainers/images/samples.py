"""What the model draws while it learns, for the same prompts and seed each time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxPipeline
from PIL import Image

from tunery.modeling.flow import Prompts
from tunery.modeling.flux import manner

MOST_PROMPTS = 4


class Sampler:
    """Draws with the transformer as it is at the moment.

    The VAE is read again each time, and let go: while training there is no use for it.
    """

    def __init__(
        self,
        pipeline: FluxPipeline,
        folder: Path,
        captions: Sequence[str],
        prompts: Prompts,
        empty: Prompts,
        *,
        side: int,
        seed: int,
        autocast: torch.dtype | None,
    ) -> None:
        """`folder` is the pipeline's own; `prompts` are those of `captions`, `empty` of none."""
        self._pipeline = pipeline
        self._vae = folder / "vae"
        self.captions = tuple(captions)
        self._prompts, self._empty = prompts, empty
        self._side = side
        self.seed = seed
        self._autocast = autocast

    def draw(self) -> Image.Image:
        """One picture for each caption, side by side."""
        pipeline = self._pipeline
        device = pipeline.transformer.device
        vae = AutoencoderKL.from_pretrained(
            self._vae, use_safetensors=True, local_files_only=True, dtype=pipeline.transformer.dtype
        )
        pipeline.register_modules(vae=vae.to(device))
        enabled = self._autocast is not None
        try:
            with torch.autocast(device.type, dtype=self._autocast, enabled=enabled):
                images = self._images()
        finally:
            pipeline.register_modules(vae=None)
        sheet = Image.new("RGB", (self._side * len(images), self._side))
        for place, image in enumerate(images):
            sheet.paste(image, (place * self._side, 0))
        return sheet

    def _images(self) -> list[Image.Image]:
        n = len(self.captions)
        how = manner(self._pipeline)
        # What makes embeddings of it is not held while training.
        if how.pop("negative_prompt", None) is not None:
            how["negative_prompt_embeds"] = self._empty.tokens.expand_as(self._prompts.tokens)
            how["negative_pooled_prompt_embeds"] = self._empty.pooled.expand_as(
                self._prompts.pooled
            )
        images: list[Image.Image] = self._pipeline(
            prompt_embeds=self._prompts.tokens,
            pooled_prompt_embeds=self._prompts.pooled,
            height=self._side,
            width=self._side,
            generator=[torch.Generator().manual_seed(self.seed + place) for place in range(n)],
            **how,
        ).images
        return images
