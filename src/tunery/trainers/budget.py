"""How much goes through the model at a time, and what is done when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from tunery.core.progress import Note
from tunery.modeling.base import Base
from tunery.trainers import memory

Value = TypeVar("Value")

_log = logging.getLogger(__name__)


@dataclass
class Budget:
    """How many rows go through the model at a time; less once memory has run out."""

    max_rows: int

    def halve(self) -> None:
        """Try with half, from now on."""
        self.max_rows = max(1, self.max_rows // 2)


def fitting(
    base: Base, budget: Budget, attempt: Callable[[], Value]
) -> Generator[Note, None, Value]:
    """What `attempt` gives; each time that memory runs out, again with half of the budget."""
    while True:
        try:
            return attempt()
        except (MemoryError, RuntimeError) as error:
            if not memory.is_out_of_memory(error) or budget.max_rows == 1:
                raise
            _log.warning("out of memory with %d rows: %s", budget.max_rows, error)
        # Outside of the handler, which holds on to the tensors of the pass that failed.
        before = budget.max_rows
        budget.halve()
        memory.let_go(base.device)
        yield Note(
            level="warn",
            message=f"Out of memory with {before} tokens at a time; going on with "
            f"{budget.max_rows}. This changes nothing but the pace.",
        )
