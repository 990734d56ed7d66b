"""What is found wrong in one row while it is read through, and words to say it in."""

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tunery.core.problems import MOST_PROBLEMS

_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


@dataclass(frozen=True)
class Finding:
    """One thing wrong or doubtful in a row."""

    field: str | None
    message: str
    level: Literal["error", "warning"] = "error"
    once: bool = False
    """Whether saying it for the first such row of a file is enough."""


@dataclass
class Findings:
    """Everything found in one row, up to a bound."""

    found: list[Finding] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        """Whether training cannot use the row."""
        return any(finding.level == "error" for finding in self.found)

    def error(self, path: str | None, message: str) -> None:
        """Something that training cannot do with."""
        self._add(Finding(path, message))

    def warn(self, path: str | None, message: str, *, once: bool = False) -> None:
        """Something that training can do with, but is likely not meant."""
        self._add(Finding(path, message, "warning", once))

    def _add(self, finding: Finding) -> None:
        if len(self.found) < MOST_PROBLEMS:
            self.found.append(finding)


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    return _KINDS[type(value)]


def shown(value: object) -> str:
    """`value` as JSON, cut to fit in a sentence, with nothing in it that moves a cursor."""
    cut = value[:80] if isinstance(value, str) else value
    text = json.dumps(cut, ensure_ascii=False)
    text = text if text.isprintable() else json.dumps(cut)
    return text if len(text) <= 60 else f"{text[:57]}..."


def named(key: str) -> str:
    """A key as part of a path."""
    return key if key.isprintable() and len(key) <= 60 else shown(key)


def one_of(options: Iterable[str]) -> str:
    """`options` as they stand in a sentence."""
    *others, last = [f'"{option}"' for option in options]
    return f"{', '.join(others)} or {last}" if others else last


def near(word: str, options: Collection[str]) -> str | None:
    """The option that `word` was likely meant to be."""
    folded = {option.casefold(): option for option in options}
    close = difflib.get_close_matches(word.casefold()[:80], folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None
