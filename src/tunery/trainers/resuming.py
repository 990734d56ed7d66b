"""Going on from the last whole checkpoint of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from tunery.core.errors import InvalidValue
from tunery.core.progress import Note, RunRequest
from tunery.trainers.checkpoint import DamagedCheckpoint, candidates


class Position(Protocol):
    """How far a job has come."""

    @property
    def step(self) -> int:
        """The last step that was taken."""


Place = TypeVar("Place", bound=Position)


def resumed(request: RunRequest, load: Callable[[Path], Place]) -> tuple[Place | None, list[Note]]:
    """What `load` makes of the checkpoint that was asked for, or of the last whole one before it.

    None where the job begins anew: nothing that was tried has left a trace, as a checkpoint is
    verified before it is used. What there is to say of it comes beside.
    """
    if request.resume_from is None:
        return None, []
    notes: list[Note] = []
    for folder in candidates(Path(request.blobs) / request.resume_from):
        try:
            position = load(folder)
        except DamagedCheckpoint as damage:
            notes.append(Note(level="warn", message=f"Not going on from there: {damage}."))
            continue
        going_on = Note(message=f"Going on from the checkpoint of step {position.step}.")
        return position, [*notes, going_on]
    return None, [*notes, Note(level="warn", message="No checkpoint is whole; starting again.")]


def check_same(beginning: object, position: object, names: Iterable[str]) -> None:
    """Refuse, with InvalidValue, to go on with other data or another plan than before."""
    for name in names:
        before, now = getattr(position, name), getattr(beginning, name)
        if before != now:
            raise InvalidValue(
                f"the checkpoint was made with {name} {before}, and the job now has {now}; a job "
                "can only go on with the same data and settings",
                param=name,
            )
