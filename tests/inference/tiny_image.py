"""Adapters for tiny-image, and requests to it."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxPipeline
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image

from tunery.bases.catalog import BUILT_IN
from tunery.core.image_generations import ImageSettings, PaintRequest
from tunery.modeling.flux import load_pipeline

TINY_IMAGE = str(BUILT_IN / "tiny-image")
SETTINGS = ImageSettings(
    prompt="a red circle on a white background",
    strength=1.0,
    width=64,
    height=64,
    steps=4,
    guidance=3.0,
    seed=7,
    format="png",
)


def write_image_adapter(folder: Path, *, seed: int = 0) -> Path:
    """An adapter that changes what tiny-image draws, at random."""
    torch.manual_seed(seed)
    pipeline = load_pipeline(TINY_IMAGE, device=torch.device("cpu"))
    layers = ["to_q", "to_k", "to_v", "to_out.0"]
    # Adapters begin as nothing; not so this one.
    config = LoraConfig(r=4, lora_alpha=4, target_modules=layers, init_lora_weights=False)
    pipeline.transformer.add_adapter(config)
    FluxPipeline.save_lora_weights(
        folder, transformer_lora_layers=get_peft_model_state_dict(pipeline.transformer)
    )
    return folder


def asked(adapter: Path | str | None = None, **changes: object) -> PaintRequest:
    """A small image; `changes` are to its settings."""
    return PaintRequest(
        location=TINY_IMAGE,
        adapter=None if adapter is None else str(adapter),
        settings=replace(SETTINGS, **changes),  # type: ignore[arg-type]
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels(image: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
