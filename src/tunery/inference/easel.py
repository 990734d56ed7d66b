"""Base models ready to draw, with the adapters used last."""

import gc
import itertools
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from diffusers import FluxInpaintPipeline, FluxPipeline
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from safetensors import SafetensorError, safe_open
from torch import nn

from tunery.core.errors import InvalidValue
from tunery.inference.shelf import Recent
from tunery.modeling.flux import load_pipeline

_BASES = 1
"""A FLUX.1 pipeline takes 34 GB in bf16."""
_ADAPTERS = 8


class Easel:
    """A base model that draws with one of its adapters, or without."""

    def __init__(self, pipeline: FluxPipeline) -> None:
        """Nothing but the base model is used yet."""
        self.pipeline = pipeline
        self.filling = FluxInpaintPipeline(**pipeline.components)
        self.filling.set_progress_bar_config(disable=True)
        self._adapters: Recent[str, str] = Recent(_ADAPTERS, let_go=pipeline.delete_adapters)
        self._names = (f"adapter_{number}" for number in itertools.count())

    def use(self, adapter: str | None, strength: float) -> None:
        """From now on, draw with the adapter in that folder; at strength 0, as without one.

        Raises:
            InvalidValue: there is no such adapter, or it is none for this base model.
        """
        if adapter is not None and not (Path(adapter) / LORA_WEIGHT_NAME_SAFE).is_file():
            raise InvalidValue(
                "The adapter of the model is gone; the model may have been deleted.", param="model"
            )
        if adapter is None or strength == 0:
            # Off, and not only at no weight: the picture must be the base model's to the last bit.
            self.pipeline.disable_lora()
            return
        name = self._adapters.get(adapter, lambda: self._loaded(Path(adapter)))
        self.pipeline.enable_lora()
        self.pipeline.set_adapters(name, strength)

    def _loaded(self, folder: Path) -> str:
        """The name under which the pipeline knows the adapter in `folder` now."""
        if not self._fits(folder / LORA_WEIGHT_NAME_SAFE):
            raise InvalidValue(
                "The adapter of the model cannot be used with its base model: it is broken, or was "
                "made for another one.",
                param="model",
            )
        name = next(self._names)
        with warnings.catch_warnings():
            # Several adapters in one model are what is wanted here.
            warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
            self.pipeline.load_lora_weights(
                folder,
                weight_name=LORA_WEIGHT_NAME_SAFE,
                adapter_name=name,
                local_files_only=True,
                use_safetensors=True,
            )
        return name

    def _fits(self, file: Path) -> bool:
        """Whether the layers in `file` are the transformer's, and of its shapes.

        Asked first, as diffusers pads what is too small and widens the base for what is too large.
        """
        layers = dict(self.pipeline.transformer.named_modules())
        try:
            with safe_open(file, framework="pt") as tensors:
                shapes = {key: tensors.get_slice(key).get_shape() for key in tensors.offset_keys()}
        except SafetensorError:
            return False
        return bool(shapes) and all(
            _has_shape(layers.get(layer), which, shape)
            for key, shape in shapes.items()
            for layer, which in [_place(key)]
        )


def _place(key: str) -> tuple[str, str]:
    """The layer and the matrix, "A" or "B", that a tensor is; both empty where it is neither."""
    found = re.fullmatch(r"transformer\.(.+)\.lora_([AB])\.weight", key)
    return (found[1], found[2]) if found else ("", "")


def _has_shape(layer: nn.Module | None, which: str, shape: Sequence[int]) -> bool:
    match which:
        case "A":
            return getattr(layer, "in_features", None) == shape[-1]
        case "B":
            return getattr(layer, "out_features", None) == shape[0]
        case _:
            return False


class Easels:
    """Base models by where they lie; the memory holds one."""

    def __init__(self) -> None:
        """Nothing is loaded before it is asked for."""
        self._easels: Recent[str, Easel] = Recent(_BASES)

    def easel(self, location: str) -> Easel:
        """The base model at `location`.

        Raises:
            InvalidValue: there is none.
            Unsupported: it is no FLUX pipeline.
        """
        return self._easels.get(location, lambda: _ready(location))


def _ready(location: str) -> Easel:
    # A transformer that had adapters refers to itself: the last one would still be in memory.
    gc.collect()
    return Easel(load_pipeline(location))
