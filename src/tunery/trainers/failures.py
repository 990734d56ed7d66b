"""What can end a job, as the last thing that its trainer reports."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from tunery.core.errors import InvalidFile, TuneryError
from tunery.core.progress import Died, Failed
from tunery.trainers import disk, memory

Value = TypeVar("Value")
Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)

# Of where a fault came from, so much is told.
_LAST_LINES = 3


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What a job's owner can change."""

    rate: str
    """The parameter by which learning is slowed down."""
    less_memory: str
    """What needs less memory, to stand behind "Use"."""


FOR_ROWS = Advice(
    rate="learning_rate_multiplier",
    less_memory="shorter rows, a smaller base model or a smaller r",
)
FOR_PICTURES = Advice(
    rate="learning_rate",
    less_memory='finetune_type "lora", a smaller lora_rank or a smaller base model',
)


class NotFinite(ArithmeticError):
    """A loss or a gradient is infinite or not a number."""


def told(
    attempt: Generator[Value, Answer, None], advice: Advice = FOR_ROWS
) -> Generator[Value | Failed | Died, Answer, None]:
    """`attempt`; what ends it for a reason that is known becomes a `Failed` in clear words.

    Anything else is a fault of ours: `Died`, and the job goes on from its last checkpoint.
    """
    try:
        yield from attempt
    except (TuneryError, NotFinite, MemoryError, OSError, RuntimeError) as error:
        yield _failure(error, advice) or death(error)
    except Exception as error:
        yield death(error)


def death(error: Exception) -> Died:
    """What is reported of an attempt that ends by a fault of ours."""
    _log.error("an attempt has died", exc_info=error)
    lines = traceback.format_exception(error)
    return Died(message=f"The trainer met a fault of its own. {''.join(lines[-_LAST_LINES:])}")


def _failure(error: Exception, advice: Advice) -> Failed | None:
    if isinstance(error, TuneryError):
        code = error.code or "training_failed"
        message = f"The job failed: {error.message}"
        if isinstance(error, InvalidFile):
            message = f"The job failed due to an invalid file. {error.message}"
        return Failed(code=code, message=message, param=error.param)
    if isinstance(error, NotFinite):
        return Failed(
            code="not_finite",
            message=f"Learning went out of bounds: {error}. A lower learning rate usually helps; "
            "the checkpoints saved so far can be used.",
            param=advice.rate,
        )
    if memory.is_out_of_memory(error):
        return Failed(
            code="out_of_memory",
            message="Out of memory, even with the smallest micro-batch. Use "
            f"{advice.less_memory}.{_in_brackets(error)}",
        )
    if isinstance(error, OSError) and disk.is_full(error):
        return Failed(
            code="out_of_space",
            message="The disk is full. Make room; the job can then be started again.",
        )
    return None


def _in_brackets(error: Exception) -> str:
    """The first line of what `error` says, if it says anything: Python's own says nothing."""
    said, _, _ = str(error).partition("\n")
    return f" ({said})" if said else ""
