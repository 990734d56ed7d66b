"""Captions by a model that looks at pictures, such as BLIP, where one is set up."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from tunery.core.errors import InvalidValue, Unsupported
from tunery.modeling.folders import model_folder, require_safetensors
from tunery.modeling.load import default_device, default_dtype

_MOST_TOKENS = 48


def describer(name: str) -> Callable[[Image.Image], str]:
    """Something that says what is on a picture: the model `name`, which lives as long as it.

    Args:
        name: a folder, or a Hugging Face id, which is looked up in the ordinary cache and never
            fetched. No code that comes with a model is ever run.

    Raises:
        Unsupported: there is no such model, it has no safetensors, or it is of another kind.
    """
    device = default_device()
    try:
        folder = model_folder(name)
        require_safetensors(folder, f"the captioning model {name!r}")
        processor = AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        model = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=default_dtype(device),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        ).to(device)
    except (InvalidValue, Unsupported, OSError, ValueError) as unusable:
        raise Unsupported(
            f"pictures cannot be captioned with {name!r}: {unusable}", param="captioning"
        ) from unusable

    @torch.no_grad()
    def describe(image: Image.Image) -> str:
        seen = processor(images=image, return_tensors="pt").to(device, model.dtype)
        said = model.generate(**seen, max_new_tokens=_MOST_TOKENS, do_sample=False)
        words: str = processor.batch_decode(said, skip_special_tokens=True)[0]
        return words.strip()

    return describe
