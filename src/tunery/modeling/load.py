"""A base model and its tokenizer from a folder or the Hugging Face cache.

Weights are read from safetensors alone, and no code that comes with a model is ever run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tunery.core.errors import Unsupported
from tunery.core.hyperparameters import Precision
from tunery.core.models import Quantization
from tunery.modeling.folders import resolve_base
from tunery.modeling.quantized import pack_linears


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model, and where it came from."""

    model: PreTrainedModel
    folder: Path

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's, read at the first use."""
        return load_tokenizer(self.folder)


def default_device() -> torch.device:
    """CUDA where there is a device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_precision(device: torch.device) -> Precision:
    """bf16 on CUDA; fp32 on a CPU, as only some multiply in bf16."""
    return "bf16" if device.type == "cuda" else "fp32"


def default_dtype(device: torch.device) -> torch.dtype:
    """The same as torch's word."""
    return dtype_of(default_precision(device))


@overload
def dtype_of(precision: Precision) -> torch.dtype: ...


@overload
def dtype_of(precision: Precision | None) -> torch.dtype | None: ...


def dtype_of(precision: Precision | None) -> torch.dtype | None:
    """Torch's word for `precision`."""
    match precision:
        case "fp32":
            return torch.float32
        case "bf16":
            return torch.bfloat16
        case None:
            return None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def context_length(folder: Path) -> int | None:
    """The longest row that the model in `folder` takes, in tokens; None where it does not say."""
    return context_of(_config(folder))


def context_of(config: PreTrainedConfig) -> int | None:
    """The same, of a model's configuration."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)


def load_model(
    model: str,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    quantization: Quantization | None = None,
) -> Loaded:
    """The base model `model`, as `resolve_base` understands it, ready on its device.

    With a `quantization`, its linear layers are kept in that form; the whole model then stands in
    main memory once, and each layer goes to the device as it is made smaller.

    Raises:
        InvalidValue: there is no such model.
        Unsupported: it has no safetensors, is no causal language model of transformers, or is
            quantized already.
    """
    folder = resolve_base(model)
    device = device or default_device()
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        config=_usable_config(folder),
        dtype=dtype or default_dtype(device),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    match quantization:
        case "nf4":
            pack_linears(loaded, loaded.get_output_embeddings(), device)
        case None:
            pass
    return Loaded(model=loaded.to(device), folder=folder)


def _config(folder: Path) -> PreTrainedConfig:
    config: PreTrainedConfig = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return config


def _usable_config(folder: Path) -> PreTrainedConfig:
    """The configuration of a causal language model that is not quantized."""
    try:
        config = _config(folder)
        _ = AutoModelForCausalLM._model_mapping[type(config)]
    except (KeyError, ValueError) as unknown:
        raise Unsupported(
            f"the base model in {folder.name} is no causal language model that transformers "
            f"knows: {unknown}",
            param="model",
        ) from unknown
    if getattr(config, "quantization_config", None) is not None:
        raise Unsupported(
            f"the weights in {folder.name} are quantized already; take the model that they were "
            "made of, and the setting `quantize` keeps that in four bits",
            param="model",
        )
    return config
