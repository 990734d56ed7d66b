"""Checkpoints: an adapter, and all that is needed to go on as if nothing had happened.

A checkpoint is a folder with the adapter in PEFT's layout, the optimizer's moments, the state of
the dropout's random numbers, and how far the job has come. It appears whole or not at all: it is
written under another name, every file reaches the disk, a manifest names each with its sha256, and
then the folder is renamed. Nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from safetensors.torch import load_file, save_file

from tunery.modeling.adapter import WEIGHTS, Adapter, restore, save_adapter
from tunery.modeling.optimizer import AdamW

MANIFEST = "manifest.json"
_OPTIMIZER = "optimizer.safetensors"
_POSITION = "position.json"
_PIECE_BYTES = 1024**2

# The folders of checkpoints begin so; the step follows in eight digits, so that they sort by age.
_PREFIX = "step-"


class DamagedCheckpoint(Exception):
    """A checkpoint is not what was written: a file is missing, or its bytes are others."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job has come, and what it must agree on to go on.

    Data position and learning rate follow from `step`, `seed` and the numbers of rows and steps.
    """

    step: int
    total_steps: int
    n_rows: int
    batch_size: int
    seed: int
    trained_tokens: int
    max_rows: int
    """Rows of a micro-batch, which running out of memory may have halved."""


def name(step: int) -> str:
    """What the folder of the checkpoint of a step is called."""
    return f"{_PREFIX}{step:08d}"


def save(
    folder: Path, *, adapter: Adapter, optimizer: AdamW, position: Position, base_model: str
) -> None:
    """Write a checkpoint.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    with whole(folder) as partial:
        save_adapter(adapter, partial, base_model=base_model)
        state = {**optimizer.state(), "dropout": adapter.dropout.get_state()}
        save_file(state, partial / _OPTIMIZER)
        (partial / _POSITION).write_bytes(msgspec.json.encode(position))


def size_bytes(adapter: Adapter) -> int:
    """What a checkpoint of `adapter` takes: its weights and two moments, fp32."""
    return 3 * 4 * adapter.n_parameters


def candidates(asked: Path) -> list[Path]:
    """The checkpoint that was asked for, then the job's earlier ones, the newest first."""
    others = [
        folder
        for folder in asked.parent.parent.glob(f"*/{_PREFIX}*")
        if folder != asked and folder.name < asked.name
    ]
    return [asked, *sorted(others, key=lambda folder: folder.name, reverse=True)]


def load(folder: Path, *, adapter: Adapter, optimizer: AdamW) -> Position:
    """Set `adapter` and `optimizer` to what they were.

    Raises:
        DamagedCheckpoint: the checkpoint is not whole.
    """
    verify(folder)
    restore(adapter, load_file(folder / WEIGHTS))
    state = load_file(folder / _OPTIMIZER)
    optimizer.restore(state)
    adapter.dropout.set_state(state["dropout"])
    return msgspec.json.decode((folder / _POSITION).read_bytes(), type=Position)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to write files into; at the end of the block it is `folder`, durably.

    Whatever goes wrong before that, nothing is left of it.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _seal(partial)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync_folder(folder.parent)


def verify(folder: Path) -> None:
    """Raise `DamagedCheckpoint` unless every file is as the manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        for name, sha256 in manifest["sha256"].items():
            if _sha256(folder / name) != sha256:
                raise DamagedCheckpoint(f"{name} of checkpoint {folder.name} has changed")
    except (OSError, KeyError, ValueError) as damage:
        raise DamagedCheckpoint(f"checkpoint {folder.name} is not whole: {damage}") from damage


def _seal(folder: Path) -> None:
    """Write the manifest, and bring every file to the disk."""
    sums = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    text = json.dumps({"sha256": sums}, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
