"""What memory there is, and what it looks like to run out of it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence

import torch

from tunery import main_memory
from tunery.core.errors import InvalidValue
from tunery.core.lora import LoraConfig
from tunery.core.progress import RunRequest
from tunery.modeling.adapter import n_parameters
from tunery.modeling.base import Base

# What torch's allocator for the CPU says; it has no exception of its own.
_CPU_WORDS = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator")

# Of each trained number: the master, its gradient on up to four sides, two moments, and a copy for
# products.
_COPIES = 8
_FP32 = 4


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that there was no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _CPU_WORDS)


def let_go(device: torch.device) -> None:
    """Give back what is cached but no longer used, so that a smaller try has room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def of_activations(base: Base, n_rows: int) -> int:
    """About how much a micro-batch takes beside the weights.

    Korthikanti et al. 2022, eq. 1 without the attention scores: 34 bytes per row, layer and unit
    of width in half precision; doubled here, for the parts that are kept in fp32.
    """
    config = base.model.config.get_text_config()
    return 68 * n_rows * int(config.hidden_size) * int(config.num_hidden_layers)


def peak_bytes(device: torch.device) -> int:
    """The most that this process has used so far: on the GPU, or in main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def available_bytes(device: torch.device) -> int:
    """How much a process could have: of the GPU, or of main memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    return main_memory.total_bytes()


def free_bytes(device: torch.device) -> int:
    """How much is free now: of the GPU, or of main memory."""
    if device.type == "cuda":
        return available_bytes(device)
    return main_memory.free_bytes()


def fits(base: Base, requests: Sequence[RunRequest]) -> bool:
    """Whether there is memory for the adapters of these attempts, their moments and gradients.

    A pass over many jobs needs no more than one over few: what goes through at a time is bounded.
    """
    need = sum(_trained_parameters(base, request) for request in requests)
    return _COPIES * _FP32 * need < free_bytes(base.device)


def _trained_parameters(base: Base, request: RunRequest) -> int:
    """How many numbers an attempt trains; none where its adapter cannot be made at all."""
    try:
        config = LoraConfig(
            r=request.r, lora_alpha=request.lora_alpha, target_modules=request.target_modules
        )
        return n_parameters(base.places, config)
    except InvalidValue:
        return 0
