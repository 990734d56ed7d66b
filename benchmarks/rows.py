"""Training rows for the measurements: chats of mixed lengths, as small jobs have them."""

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.bases import TINY_CHAT
from benchmarks.operations import RowSize

_TEXT = """
the order has not come and I would like to know where it is please send another one to my address
in the city because this was for a friend who has waited since the first week of May we can give
back what you paid or change the colour if there are still some of them at hand thank you for your
message our team looks at every parcel that goes out and tells you when
"""
_WORDS = _TEXT.split()
_SYSTEM = "Answer in the name of the shop, friendly and short."


def write_chats(path: Path, n_rows: int, *, seed: int) -> Path:
    """Questions and answers, some with an instruction before and some with a second turn.

    Their lengths are log-normal: most are short, a few are ten times as long.
    """
    source = random.Random(seed)
    _write(path, [{"messages": _chat(source)} for _ in range(n_rows)])
    return path


def write_preferences(path: Path, n_rows: int, *, seed: int) -> Path:
    """Each chat with its own last answer, and with that of the next."""
    source = random.Random(seed)
    chats = [_chat(source) for _ in range(n_rows + 1)]
    rows = [
        {
            "input": {"messages": chat[:-1]},
            "preferred_output": chat[-1:],
            "non_preferred_output": other[-1:],
        }
        for chat, other in pairwise(chats)
    ]
    _write(path, rows)
    return path


def sizes(path: Path) -> list[RowSize]:
    """Of each chat in `path`, as the template of the measured models has it."""
    tokenizer = AutoTokenizer.from_pretrained(TINY_CHAT)
    chats = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    encoded = tokenizer.apply_chat_template(
        chats, return_dict=True, return_assistant_tokens_mask=True
    )
    return [_size(taught) for taught in encoded["assistant_masks"]]


def _size(taught: Sequence[int]) -> RowSize:
    last = max(at for at, is_taught in enumerate(taught) if is_taught)
    return RowSize(tokens=len(taught), seen=last, taught=sum(taught))


def _write(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _chat(source: random.Random) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": _SYSTEM}] if source.random() < 0.5 else []
    for _ in range(2 if source.random() < 0.2 else 1):
        messages.append({"role": "user", "content": _text(source, median=18)})
        messages.append({"role": "assistant", "content": _text(source, median=14)})
    return messages


def _text(source: random.Random, *, median: int) -> str:
    n_words = median * source.lognormvariate(0, 0.6)
    return " ".join(source.choices(_WORDS, k=max(3, min(120, round(n_words)))))
