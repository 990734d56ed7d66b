"""Rows in OpenAI's chat format, drawn without repetition and written as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

Pair: TypeAlias = tuple[str, str]
"""What the user says, and the one right answer."""


def distinct_pairs(draws: Iterator[Pair], count: int) -> list[Pair]:
    """The first `count` of `draws` that differ in what the user says."""
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        question, answer = next(draws)
        pairs.setdefault(question, answer)
    return list(pairs.items())


def write_splits(folder: Path, system: str, pairs: list[Pair], sizes: Mapping[str, int]) -> None:
    """Cut `pairs` into files of `sizes` rows, one `<name>.jsonl` each, no row in two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for name, size in sizes.items():
        lines = [chat_row(system, *pair) for pair in pairs[first : first + size]]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        first += size


def chat_row(system: str, question: str, answer: str) -> str:
    """One line of a training file for OpenAI's fine-tuning API."""
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"
