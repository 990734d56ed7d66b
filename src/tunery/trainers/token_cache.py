"""A long file's tokens, kept beside a job's checkpoints for its later attempts.

They are named for all that decides them: the file, the tokenizer with its template, and what is
done with rows that are too long.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tunery.modeling.chat import Chat
from tunery.trainers.text_data import Examples, Overlong

_log = logging.getLogger(__name__)

# Smaller files are tokenised in less time than it takes to look for their tokens.
WORTH_BYTES = 4 * 2**20

_PATTERN = "tokens-*.safetensors"
_COUNTS = ("width", "n_dropped", "n_cut", "n_silent")
# Goes up when the same file would give other tokens.
_VERSION = "1"


def key(path: Path, chat: Chat, context: int | None, overlong: Overlong) -> str:
    """What the tokens of `path` are called."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    for part in (
        chat.tokenizer.backend_tokenizer.to_str(),
        str(chat.tokenizer.chat_template),
        str(chat.tokenizer.eos_token),
        str(context),
        overlong,
        _VERSION,
    ):
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def cached(folder: Path, name: str, read: Callable[[], Examples]) -> Examples:
    """The examples `name`, from an attempt of the same job, or read now and kept.

    Args:
        folder: the attempt's own; those of the job's other attempts lie beside it.
        name: what `key` gave.
        read: makes the examples.
    """
    for path in folder.parent.glob(f"*/tokens-{name}.safetensors"):
        try:
            return _load(path)
        except (SafetensorError, OSError) as damage:
            _log.warning("cannot use %s: %s", path.name, damage)
    examples = read()
    _save(folder / f"tokens-{name}.safetensors", examples)
    return examples


def forget(folder: Path) -> None:
    """Remove what the attempts of a finished job have kept."""
    for path in folder.parent.glob(f"*/{_PATTERN}"):
        path.unlink(missing_ok=True)


def _save(path: Path, examples: Examples) -> None:
    """Keep the tokens, if there is room for them; it is no loss if not."""
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
