"""What the model that a preference job began from says of the answers, kept for its later attempts.

The figures lie beside the job's checkpoints, named for all that decides them. A later attempt has
an adapter that has learnt, and would have to go back to ask again.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunery.core.progress import RunRequest
from tunery.trainers.text_data import Examples

_log = logging.getLogger(__name__)

_PATTERN = "reference-*.safetensors"


def key(request: RunRequest, examples: Examples) -> str:
    """What the figures for `examples` are called."""
    started_from = "\n".join(map(str, (*request.base, request.initial_adapter)))
    digest = hashlib.sha256(started_from.encode())
    for tensor in (examples.ids, examples.learn, examples.starts):
        digest.update(hashlib.sha256(tensor.numpy().tobytes()).digest())
    return digest.hexdigest()


def read(folder: Path, name: str) -> Tensor | None:
    """The figures `name` of an attempt of the same job; None where there are none.

    Args:
        folder: the attempt's own; those of the job's other attempts lie beside it.
        name: what `key` gave.
    """
    for path in folder.parent.glob(f"*/reference-{name}.safetensors"):
        try:
            return load_file(path)["reference"]
        except (SafetensorError, OSError) as damage:
            _log.warning("cannot use %s: %s", path.name, damage)
    return None


def keep(folder: Path, name: str, reference: Tensor) -> None:
    """Keep the figures, if there is room for them; it is no loss if not."""
    path = folder / f"reference-{name}.safetensors"
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"reference": reference.contiguous()}, partial)
        partial.rename(path)
    except (OSError, SafetensorError) as error:
        _log.warning("the reference is not kept: %s", error)
        partial.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove what the attempts of a finished job have kept."""
    for path in folder.parent.glob(f"*/{_PATTERN}"):
        path.unlink(missing_ok=True)
