"""What can end a job, as the last thing that its trainer reports."""

from __future__ import annotations

from collections.abc import Iterator

from tunery.core.errors import InvalidFile, TuneryError
from tunery.core.progress import AnyProgress, Failed
from tunery.trainers import disk, memory
from tunery.trainers.text_sft import NotFinite


def told(values: Iterator[AnyProgress]) -> Iterator[AnyProgress]:
    """`values`; what ends them for a reason that is known becomes a `Failed` in clear words.

    Anything else is a fault of ours and rises: the trainer dies, and the job goes on from its last
    checkpoint.
    """
    try:
        yield from values
    except (TuneryError, NotFinite, MemoryError, OSError, RuntimeError) as error:
        failed = _failure(error)
        if failed is None:
            raise
        yield failed


def _failure(error: Exception) -> Failed | None:
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
            param="learning_rate_multiplier",
        )
    if memory.is_out_of_memory(error):
        return Failed(
            code="out_of_memory",
            message="Out of memory, even with the smallest micro-batch. Use shorter rows, a "
            f"smaller base model or a smaller r. ({str(error).splitlines()[0]})",
        )
    if isinstance(error, OSError) and disk.is_full(error):
        return Failed(
            code="out_of_space",
            message="The disk is full. Make room; the job can then be started again.",
        )
    return None
