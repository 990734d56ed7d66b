"""A job as a store keeps it, and what a rule makes of it."""

from dataclasses import dataclass

from tunery.core.errands import Errand
from tunery.core.events import Checkpoint, NewEvent
from tunery.core.job import FineTuningJob
from tunery.core.models import FineTunedModel


@dataclass(frozen=True, kw_only=True)
class Record:
    """A job as everyone sees it, who holds it, and how it has fared."""

    job: FineTuningJob
    owner: str | None = None
    """The worker that may report on the job; None where it waits or is over."""
    token: int = 0
    """Rises by one at each claim and never falls (I2)."""
    lease_until_us: int | None = None
    """By the database's clock (I4)."""
    deaths: int = 0
    """How often its trainer has died since its last new checkpoint."""
    last_event: int = 0
    """The number of its newest event."""
    deleted_at_us: int | None = None
    """Since when no caller knows it; then it is over too."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a rule decided. A store writes all of it in one transaction, or nothing."""

    record: Record
    """The job as it is from now on; a store numbers the events."""
    kept: tuple[Checkpoint, ...]
    """The checkpoints that are listed from now on, by step."""
    published: tuple[Checkpoint, ...] = ()
    """New checkpoints; one that is not among those kept is retired at once."""
    events: tuple[NewEvent, ...] = ()
    model: FineTunedModel | None = None
    """The tuned model that the job has made."""
    errands: tuple[Errand, ...] = ()
    """What is to be done because of it."""
