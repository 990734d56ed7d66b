"""The store in this process's memory: gone with it, and otherwise held to the same suite."""

from tunery.core.ports import Clock
from tunery.store.memory.errands import MemoryErrands
from tunery.store.memory.files import MemoryFiles
from tunery.store.memory.jobs import MemoryJobs
from tunery.store.memory.keys import MemoryKeys
from tunery.store.memory.models import MemoryModels
from tunery.store.memory.runs import MemoryRuns
from tunery.store.memory.shelves import MemoryShelves
from tunery.store.memory.state import State
from tunery.store.memory.uploads import MemoryUploads


class MemoryStore(
    MemoryKeys,
    MemoryFiles,
    MemoryUploads,
    MemoryJobs,
    MemoryModels,
    MemoryRuns,
    MemoryErrands,
    MemoryShelves,
):
    """The whole `Store` port on dictionaries."""

    reads_in_place = True
    """A read costs less than handing it to another thread."""

    def __init__(self, clock: Clock) -> None:
        """An empty store; `clock` is its database's clock too."""
        super().__init__(State(), clock)

    def ping(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing is held."""
