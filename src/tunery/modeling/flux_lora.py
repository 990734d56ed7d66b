"""LoRA on a FLUX transformer: what is adapted, how it is kept in files, and how it is extracted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME_SAFE
from safetensors.torch import save_file
from torch import Tensor, nn

WEIGHTS = LORA_WEIGHT_NAME_SAFE
"""The name of the file that `FluxPipeline.load_lora_weights` looks for."""
_PREFIX = "transformer"
_BLOCKS = ("transformer_blocks.", "single_transformer_blocks.")

# Below this, the singular values of a matrix cost little; above, only the largest are looked for.
_SMALL = 1024
_MORE_DIRECTIONS = 16
_PASSES = 4


@dataclass(frozen=True, kw_only=True)
class Lora:
    """An adapter: of each adapted layer the matrices A (r, in) and B (out, r).

    The layer's weight becomes W + lora_alpha / r · B A.
    """

    r: int
    lora_alpha: float
    layers: Mapping[str, tuple[Tensor, Tensor]]


def adapted_layers(transformer: FluxTransformer2DModel) -> dict[str, nn.Linear]:
    """All linear layers of the blocks by name: attention, MLP and modulation.

    The last make shifts and gates of the time and the pooled prompt. diffusers' recipe for FLUX
    leaves them out; with them, a new word is told from others much sooner.
    """
    return {
        name: module
        for name, module in transformer.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(_BLOCKS)
    }


def save_lora(lora: Lora, folder: Path) -> None:
    """Write `lora` as `FluxPipeline.load_lora_weights` takes it."""
    tensors = {
        f"{_PREFIX}.{name}.lora_{which}.weight": matrix.detach().float().cpu().contiguous()
        for name, matrices in lora.layers.items()
        for which, matrix in zip("AB", matrices, strict=True)
    }
    config = {
        f"{_PREFIX}.r": lora.r,
        f"{_PREFIX}.lora_alpha": lora.lora_alpha,
        f"{_PREFIX}.target_modules": sorted(lora.layers),
    }
    metadata = {"format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(config)}
    save_file(tensors, folder / WEIGHTS, metadata=metadata)


def extracted(difference: Tensor, r: int) -> tuple[Tensor, Tensor, float]:
    """The matrices A (r, in) and B (out, r) whose product is nearest to `difference` (out, in).

    Eckart and Young 1936: the `r` largest singular values make it. Of a matrix with fewer than `r`
    of them, all are kept, and the rest is zero.

    Returns:
        A, B, and the share of the squared difference that they keep.
    """
    left, values, right = _largest(difference.float(), r)
    kept = float(values.square().sum() / difference.float().square().sum().clamp_min(1e-30))
    roots = values.sqrt()
    missing = r - len(values)
    a = nn.functional.pad(roots[:, None] * right, (0, 0, 0, missing))
    b = nn.functional.pad(left * roots, (0, missing))
    return a, b, kept


def _largest(matrix: Tensor, r: int) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V^T of the `r` largest singular values; of large matrices as Halko et al. 2011."""
    if min(matrix.shape) <= _SMALL:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        with torch.random.fork_rng(devices=[matrix.device] if matrix.is_cuda else []):
            torch.manual_seed(0)
            left, values, v = torch.svd_lowrank(matrix, q=r + _MORE_DIRECTIONS, niter=_PASSES)
        right = v.T
    return left[:, :r], values[:r], right[:r]
