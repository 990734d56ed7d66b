"""How much goes through the model at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Budget:
    """How many rows go through the model at a time; less once memory has run out."""

    max_rows: int

    def halve(self) -> None:
        """Try with half, from now on."""
        self.max_rows = max(1, self.max_rows // 2)
