"""Questions about a database as messages to a model: one builder for training and for asking."""

from collections.abc import Collection, Sequence

from tunery.core.models import BaseModel
from tunery.core.ports import Generator, Shelves
from tunery.core.text_to_sql import DatabaseConnection, ScanStatus, TableDescription
from tunery.service.text_to_sql.booklet import Booklet, Messages
from tunery.service.text_to_sql.lengths import Lengths


class Questions:
    """Makes messages of questions."""

    def __init__(self, shelves: Shelves, generator: Generator) -> None:
        """`generator` says how long texts are for a base model."""
        self._shelves = shelves
        self._generator = generator

    def messages(
        self,
        connection: DatabaseConnection,
        question: str,
        *,
        base: BaseModel,
        schemas: Sequence[str] | None = None,
        known_tables: Collection[str] = (),
    ) -> Messages:
        """The system message, with the tables that matter to `question`, and the user's.

        Raises:
            InvalidValue: no table is scanned, or it does not all fit into the model's context.
            Unavailable: tokens cannot be counted now.
        """
        booklet = self.booklet(connection, lengths=self.lengths(base), schemas=schemas)
        return booklet.asked(question, known_tables=known_tables).messages

    def lengths(self, base: BaseModel) -> Lengths:
        """How long texts are for `base`."""
        return Lengths(self._generator, base)

    def booklet(
        self,
        connection: DatabaseConnection,
        *,
        lengths: Lengths,
        schemas: Sequence[str] | None = None,
    ) -> Booklet:
        """What there is to say of the scanned tables, of `schemas` alone where they are given.

        One that is being scanned again is known as it was.

        Raises:
            InvalidValue: there are none.
        """
        instructions = self._shelves.instructions.list(connection.project_id, parent=connection.id)
        return Booklet(
            dialect=connection.dialect,
            tables=self._scanned(connection, schemas),
            instructions=[each.instruction for each in instructions],
            lengths=lengths,
        )

    def _scanned(
        self, connection: DatabaseConnection, schemas: Sequence[str] | None
    ) -> list[TableDescription]:
        tables = self._shelves.tables.list(connection.project_id, parent=connection.id)
        return [
            table
            for table in tables
            if _is_known(table) and (schemas is None or table.schema_name in schemas)
        ]


def _is_known(table: TableDescription) -> bool:
    scanned_again = table.status is ScanStatus.SYNCHRONIZING and bool(table.columns)
    return table.status is ScanStatus.SCANNED or scanned_again
