"""Writing what an attempt leaves behind, on a disk that may be full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from tunery.core.errors import OutOfSpace
from tunery.core.progress import AnyProgress, CheckpointSaved, Metrics, Note
from tunery.trainers import checkpoint, disk

Write = Callable[[Path], None]
"""Writes a folder that is not there yet, or files into one that is."""


class Attempt(Protocol):
    """One attempt at a job.

    Attributes:
        saved_step: the step of its last checkpoint, or of the one that it began from.
    """

    saved_step: int

    def folder(self, name: str) -> tuple[str, Path]:
        """The blob key of something that it writes, and where it is."""


def checkpointed(attempt: Attempt, metrics: Metrics, write: Write) -> Iterator[AnyProgress]:
    """Have the checkpoint of a step written; a full disk does not end a job that can still learn.

    `write` makes the folder, or leaves nothing behind.
    """
    step = metrics.step
    key, folder = attempt.folder(checkpoint.name(step))
    try:
        write(folder)
    except OSError as error:
        if not disk.is_full(error):
            raise
        yield Note(
            level="warn",
            message=f"The disk is full: the checkpoint of step {step} was not saved. The job goes "
            f"on; its last checkpoint is that of step {attempt.saved_step}.",
        )
        return
    attempt.saved_step = step
    yield CheckpointSaved(step=step, folder=key, metrics=metrics)


def handed_over(attempt: Attempt, write: Write) -> str:
    """The blob key of the adapter's folder, into which `write` has put its files.

    Raises:
        OutOfSpace: the disk is full; nothing is left behind.
    """
    key, folder = attempt.folder("adapter")
    try:
        with checkpoint.whole(folder) as partial:
            write(partial)
    except OSError as error:
        if not disk.is_full(error):
            raise
        raise OutOfSpace(
            "The disk is full: the finished adapter could not be saved. Its weights are in the "
            f"checkpoint of step {attempt.saved_step}."
        ) from error
    return key
