"""What is wrong with a line of a data file, in words that its owner can act on."""

from dataclasses import dataclass
from typing import Literal

MOST_PROBLEMS = 100
"""As many problems as one report names; the rest are counted."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong (or doubtful) with one line, and what would be right."""

    line: int | None
    """From 1; None where the whole file is meant."""
    field: str | None
    """The path inside the line, such as `messages[2].role`."""
    message: str
    """What is wrong and what would be right, worded to stand behind the field's name."""
    level: Literal["error", "warning"] = "error"
    file: Literal["training", "validation"] = "training"

    def __str__(self) -> str:
        """The problem as one line of text."""
        what = f"{self.field} {self.message}" if self.field else self.message
        return what if self.line is None else f"line {self.line}: {what}"
