"""Checkpoints of an image job: an adapter that can be drawn with, and all that is needed to go on.

The folder is made as `trainers.checkpoint` says. Beside the adapter, which for a full tuning is
extracted anew each time, it holds the weights as they are learnt, with the optimizer's moments.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunery.modeling.flux_lora import save_lora
from tunery.trainers.checkpoint import verify, whole
from tunery.trainers.images.weights import Parameters, Weights

_LEARNT = "learnt.safetensors"
_POSITION = "position.json"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job has come, and what it must agree on to go on.

    Pictures, noise and times of a step, and its learning rate, follow from these alone.
    """

    step: int
    total_steps: int
    n_pictures: int
    data_sha256: str
    batch_size: int
    finetune_type: str
    r: int
    seed: int
    max_rows: int
    """Rows of a micro-batch, which running out of memory may have halved."""


def save(
    folder: Path, *, weights: Weights, optimizer: torch.optim.AdamW, position: Position
) -> None:
    """Write a checkpoint.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    with whole(folder) as partial:
        lora, _ = weights.lora()
        save_lora(lora, partial)
        save_file(_state(weights.parameters, optimizer), partial / _LEARNT)
        (partial / _POSITION).write_bytes(msgspec.json.encode(position))


def position(folder: Path) -> Position:
    """How far the job had come there.

    Raises:
        DamagedCheckpoint: the checkpoint is not whole.
    """
    verify(folder)
    return msgspec.json.decode((folder / _POSITION).read_bytes(), type=Position)


def restore(folder: Path, *, weights: Weights, optimizer: torch.optim.AdamW) -> None:
    """Set `weights` and `optimizer` to what they were there; `position` has looked at it before."""
    _restore(weights.parameters, optimizer, load_file(folder / _LEARNT))


def size_bytes(parameters: Parameters) -> int:
    """What a checkpoint takes, an adapter of the same size included: weights and two moments."""
    return 4 * 4 * sum(weight.numel() for weight in parameters.values())


def _state(parameters: Parameters, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    found = {}
    for name, weight in parameters.items():
        found[f"{name}:weight"] = weight.detach()
        for moment in _MOMENTS:
            found[f"{name}:{moment}"] = optimizer.state[weight][moment]
    return {name: tensor.cpu().contiguous() for name, tensor in found.items()}


@torch.no_grad()
def _restore(
    parameters: Parameters, optimizer: torch.optim.AdamW, state: dict[str, Tensor]
) -> None:
    for name, weight in parameters.items():
        weight.copy_(state[f"{name}:weight"])
        optimizer.state[weight] = {
            moment: state[f"{name}:{moment}"].to(weight.device) for moment in _MOMENTS
        }
