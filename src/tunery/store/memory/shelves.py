"""What the doors keep beside jobs, files and models."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tunery.core.errors import NotFound
from tunery.core.pages import NumberedPage
from tunery.core.ports import Clock
from tunery.store import shelves
from tunery.store.memory.state import Part, State
from tunery.store.shelves import Kind, Shelved

Kept = TypeVar("Kept", bound=Shelved)


class MemoryShelf(Generic[Kept]):
    """The `Shelf` port on a dictionary."""

    def __init__(self, lock: threading.RLock, kind: Kind[Kept]) -> None:
        """An empty shelf."""
        self._lock = lock
        self._kind = kind
        self._values: dict[str, Kept] = {}

    def add(self, values: Sequence[Kept]) -> None:
        """Keep `values`, all of them or none; one whose id is there already stays as it is."""
        written = {value.id: self._written(value) for value in values}
        with self._lock:
            for value_id, value in written.items():
                self._values.setdefault(value_id, value)

    def get(self, project_id: str, value_id: str) -> Kept:
        """One value; NotFound where the project has none."""
        value = self._values.get(value_id)
        if value is None or value.project_id != project_id:
            raise NotFound(self._kind.name, value_id)
        return value

    def list(
        self, project_id: str, *, parent: str | None = None, page: NumberedPage | None = None
    ) -> Sequence[Kept]:
        """The project's values, oldest first; those of `parent`; all of them without a `page`."""
        of_parent = self._kind.parent
        with self._lock:
            found = [each for each in self._values.values() if each.project_id == project_id]
        if parent is not None:
            found = [each for each in found if of_parent is not None and of_parent(each) == parent]
        return found if page is None else found[page.offset : page.offset + page.limit]

    def count(self, project_id: str, *, parent: str | None = None) -> int:
        """How many values `list` would give without a page."""
        return len(self.list(project_id, parent=parent))

    def replace(self, values: Sequence[Kept]) -> None:
        """Keep `values` in the places of those with their ids, all of them or none.

        Raises:
            NotFound: the project has none with that id.
        """
        written = {value.id: self._written(value) for value in values}
        with self._lock:
            for value in written.values():
                self.get(value.project_id, value.id)
            self._values |= written

    def change(self, project_id: str, value_id: str, how: Callable[[Kept], Kept]) -> Kept:
        """Keep what `how` makes of a value, which nobody else changes meanwhile.

        Raises:
            NotFound: the project has none with that id.
        """
        with self._lock:
            changed = how(self.get(project_id, value_id))
            self._values[value_id] = self._written(changed)
            return changed

    def delete(self, project_id: str, value_id: str) -> None:
        """Forget a value; NotFound where the project has none."""
        with self._lock:
            self.get(project_id, value_id)
            del self._values[value_id]

    def _written(self, value: Kept) -> Kept:
        """`value` as it comes back from any store."""
        return self._kind.decoded(self._kind.encoded(value))


class MemoryShelves(Part):
    """The `Shelves` port."""

    def __init__(self, state: State, clock: Clock) -> None:
        """Empty shelves, under the lock that the rest of the store has."""
        super().__init__(state, clock)
        self.connections = MemoryShelf(state.lock, shelves.CONNECTION)
        self.tables = MemoryShelf(state.lock, shelves.TABLE)
        self.golden_records = MemoryShelf(state.lock, shelves.GOLDEN_RECORD)
        self.instructions = MemoryShelf(state.lock, shelves.INSTRUCTION)
        self.prompts = MemoryShelf(state.lock, shelves.PROMPT)
        self.sql_generations = MemoryShelf(state.lock, shelves.SQL_GENERATION)
        self.deployments = MemoryShelf(state.lock, shelves.DEPLOYMENT)
