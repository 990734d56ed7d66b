"""What the doors keep beside jobs, files and models."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Table

from tunery.core.errors import NotFound
from tunery.core.pages import NumberedPage
from tunery.core.ports import Clock
from tunery.store import shelves, tables
from tunery.store.shelves import Kind, Shelved
from tunery.store.sql.database import Database, Part, Transaction
from tunery.store.statements.shelves import ShelfStatements
from tunery.store.times import to_us

Kept = TypeVar("Kept", bound=Shelved)


class SqlShelf(Generic[Kept]):
    """The `Shelf` port over one table."""

    def __init__(self, database: Database, kind: Kind[Kept], table: Table) -> None:
        """Keep values of `kind` in `table`."""
        self._database = database
        self._kind = kind
        self._statements = ShelfStatements(table)

    def add(self, values: Sequence[Kept]) -> None:
        """Keep `values`, all of them or none; one whose id is there already stays as it is."""
        rows = [
            {
                "id": value.id,
                "project_id": value.project_id,
                "created_at_us": to_us(value.created_at),
                **self._changing(value),
            }
            for value in values
        ]
        if rows:
            self._database.write(lambda tx: tx.run_many(self._statements.new, rows))

    def get(self, project_id: str, value_id: str) -> Kept:
        """One value; NotFound where the project has none."""
        row = self._database.one(self._statements.get, {"project_id": project_id, "id": value_id})
        if row is None:
            raise NotFound(self._kind.name, value_id)
        return self._kind.decoded(row[0])

    def list(
        self, project_id: str, *, parent: str | None = None, page: NumberedPage | None = None
    ) -> Sequence[Kept]:
        """The project's values, oldest first; those of `parent`; all of them without a `page`."""
        query = self._statements.lists[parent is not None, page is not None]
        which = _which(project_id, parent)
        if page is not None:
            which |= {"count": page.limit, "skipped": page.offset}
        return [self._kind.decoded(row[0]) for row in self._database.all(query, which)]

    def count(self, project_id: str, *, parent: str | None = None) -> int:
        """How many values `list` would give without a page."""
        query = self._statements.counts[parent is not None]
        row = self._database.one(query, _which(project_id, parent))
        return 0 if row is None else int(row[0])

    def replace(self, values: Sequence[Kept]) -> None:
        """Keep `values` in the places of those with their ids, all of them or none.

        Raises:
            NotFound: the project has none with that id.
        """
        written = [(value.project_id, value.id, self._changing(value)) for value in values]

        def work(tx: Transaction) -> None:
            for project_id, value_id, changing in written:
                self._rewrite(tx, project_id, value_id, changing)

        self._database.write(work)

    def change(self, project_id: str, value_id: str, how: Callable[[Kept], Kept]) -> Kept:
        """Keep what `how` makes of a value, which nobody else changes meanwhile.

        Raises:
            NotFound: the project has none with that id.
        """
        # Read first: what cannot be kept is found out there, and is in no transaction's way.
        self.get(project_id, value_id)

        def work(tx: Transaction) -> Kept:
            row = tx.one(self._statements.lock, {"project_id": project_id, "id": value_id})
            if row is None:
                raise NotFound(self._kind.name, value_id)
            changed = how(self._kind.decoded(row[0]))
            self._rewrite(tx, project_id, value_id, self._changing(changed))
            return changed

        return self._database.write(work)

    def delete(self, project_id: str, value_id: str) -> None:
        """Forget a value; NotFound where the project has none."""
        self.get(project_id, value_id)
        which = {"project_id": project_id, "id": value_id}
        if not self._database.write(lambda tx: tx.run(self._statements.delete, which)):
            raise NotFound(self._kind.name, value_id)

    def _rewrite(
        self, tx: Transaction, project_id: str, value_id: str, changing: dict[str, str]
    ) -> None:
        which = {"of_project": project_id, "value_id": value_id}
        if not tx.run(self._statements.replace, {**which, **changing}):
            raise NotFound(self._kind.name, value_id)

    def _changing(self, value: Kept) -> dict[str, str]:
        """The columns that can be written again."""
        columns = {"value": self._kind.encoded(value)}
        if self._kind.parent is not None:
            columns["parent"] = self._kind.parent(value)
        return columns


class SqlShelves(Part):
    """The `Shelves` port."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """A shelf for each table."""
        super().__init__(database, clock)
        self.connections = SqlShelf(database, shelves.CONNECTION, tables.database_connections)
        self.tables = SqlShelf(database, shelves.TABLE, tables.table_descriptions)
        self.golden_records = SqlShelf(database, shelves.GOLDEN_RECORD, tables.golden_records)
        self.instructions = SqlShelf(database, shelves.INSTRUCTION, tables.instructions)
        self.prompts = SqlShelf(database, shelves.PROMPT, tables.prompts)
        self.sql_generations = SqlShelf(database, shelves.SQL_GENERATION, tables.sql_generations)
        self.deployments = SqlShelf(database, shelves.DEPLOYMENT, tables.deployments)


def _which(project_id: str, parent: str | None) -> dict[str, object]:
    which: dict[str, object] = {"project_id": project_id}
    return which if parent is None else which | {"parent": parent}
