"""What a worker needs of the store."""

from typing import Protocol

from tunery.core.ports import JobStore, RunStore


class WorkStore(RunStore, JobStore, Protocol):
    """What a worker reads and records."""
