"""A file's tokens, kept beside a job's checkpoints: its preflight makes them for all attempts.

They are named for all that decides them: the file, the tokenizer with its template, and what is
done with rows that are too long.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tunery.trainers.text_data import Examples, Overlong

_log = logging.getLogger(__name__)

# Smaller files are tokenised in less time than it takes to look for their tokens.
WORTH_BYTES = 2**14

_PATTERN = "tokens-*.safetensors"
_COUNTS = ("width", "n_dropped", "n_cut", "n_silent")
# Goes up when the same file would give other tokens.
_VERSION = "1"
# Whatever a tokenizer may be read from; weights have other endings.
_OF_TOKENIZERS = (".json", ".jinja", ".model", ".txt")


def key(path: Path, base: Path, context: int | None, overlong: Overlong) -> str:
    """What the tokens of `path` are called, for the base model in the folder `base`."""
    of_tokenizer = [
        file for file in sorted(base.rglob("*")) if file.suffix in _OF_TOKENIZERS and file.is_file()
    ]
    about = (
        [_digest(file) for file in (path, *of_tokenizer)],
        [file.name for file in of_tokenizer],
        context,
        overlong,
        transformers.__version__,
        _VERSION,
    )
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(folder: Path, name: str, read: Callable[[], Examples]) -> Examples:
    """The examples `name`, as they were kept for this job, or read now and kept.

    Args:
        folder: the attempt's own; beside it lie those of the job's preflight and other attempts.
        name: what `key` gave.
        read: makes the examples.
    """
    for path in folder.parent.glob(f"*/tokens-{name}.safetensors"):
        try:
            return _load(path)
        except (SafetensorError, OSError) as damage:
            _log.warning("cannot use %s: %s", path.name, damage)
    examples = read()
    keep(folder, name, examples)
    return examples


def keep(folder: Path, name: str, examples: Examples) -> None:
    """Write them into `folder`, if there is room for them; it is no loss if not."""
    path = folder / f"tokens-{name}.safetensors"
    tensors = {"ids": examples.ids, "learn": examples.learn, "starts": examples.starts}
    counts = {name: str(getattr(examples, name)) for name in _COUNTS}
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata=counts)
        partial.rename(path)
    except (OSError, SafetensorError) as error:
        _log.warning("tokens are not kept: %s", error)
        partial.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove what was kept for a job that has finished."""
    for path in folder.parent.glob(f"*/{_PATTERN}"):
        path.unlink(missing_ok=True)


def _load(path: Path) -> Examples:
    with safe_open(path, "pt") as file:
        counts = file.metadata() or {}
        return Examples(
            ids=file.get_tensor("ids"),
            learn=file.get_tensor("learn"),
            starts=file.get_tensor("starts"),
            width=int(counts.get("width", 1)),
            n_dropped=int(counts.get("n_dropped", 0)),
            n_cut=int(counts.get("n_cut", 0)),
            n_silent=int(counts.get("n_silent", 0)),
        )
