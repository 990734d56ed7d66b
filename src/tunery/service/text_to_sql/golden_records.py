"""Golden records: questions, and the SQL that is known to answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunery.core import sql
from tunery.core.access import Caller
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.ids import new_id
from tunery.core.pages import NumberedPage
from tunery.core.ports import Clock, Shelves
from tunery.core.text_to_sql import DatabaseConnection, GoldenRecord, Metadata
from tunery.service.text_to_sql.schemas import is_in_one_of

_SHOWN = 200
"""How much of a refused SQL its error repeats."""


@dataclass(frozen=True, kw_only=True)
class NewGoldenRecord:
    """A golden record as somebody brings it."""

    db_connection_id: str
    prompt_text: str
    sql: str
    metadata: Metadata | None = None


class GoldenRecords:
    """The use cases of golden records."""

    def __init__(self, store: Shelves, clock: Clock) -> None:
        """`store` keeps them."""
        self._store = store
        self._clock = clock

    def add(self, caller: Caller, new: Sequence[NewGoldenRecord]) -> Sequence[GoldenRecord]:
        """Keep all of `new`, or none.

        Raises:
            NotFound: the project has no such connection.
            InvalidValue: an SQL does not parse, does more than read, or names no schema of its
                connection where that has some.
        """
        connections = self._connections(caller, new)
        for number, record in enumerate(new, start=1):
            _check(record, connections[record.db_connection_id], f"Item {number} of {len(new)}")
        now = self._clock.now()
        records = [
            GoldenRecord(
                id=new_id(""),
                project_id=caller.project_id,
                db_connection_id=record.db_connection_id,
                created_at=now,
                prompt_text=record.prompt_text,
                sql=record.sql,
                metadata=record.metadata,
            )
            for record in new
        ]
        self._store.golden_records.add(records)
        return records

    def list(
        self, caller: Caller, page: NumberedPage, *, connection_id: str | None = None
    ) -> Sequence[GoldenRecord]:
        """The project's golden records, oldest first; those of a connection."""
        return self._store.golden_records.list(caller.project_id, parent=connection_id, page=page)

    def set_metadata(
        self, caller: Caller, record_id: str, metadata: Metadata | None
    ) -> GoldenRecord:
        """Replace the metadata whole; NotFound where the project has no such record."""
        return self._store.golden_records.change(
            caller.project_id, record_id, lambda now: replace(now, metadata=metadata)
        )

    def delete(self, caller: Caller, record_id: str) -> None:
        """Forget a record; nothing happens where the project has none such."""
        try:
            self._store.golden_records.delete(caller.project_id, record_id)
        except NotFound:
            return

    def _connections(
        self, caller: Caller, new: Sequence[NewGoldenRecord]
    ) -> Mapping[str, DatabaseConnection]:
        wanted = {record.db_connection_id for record in new}
        return {each: self._store.connections.get(caller.project_id, each) for each in wanted}


def _check(record: NewGoldenRecord, connection: DatabaseConnection, which: str) -> None:
    try:
        sql.check_query(record.sql, connection.dialect)
    except InvalidValue as error:
        raise _invalid(record, f"{which}: {error.message}") from error
    if connection.schemas is None:
        return
    named = sql.tables_in(record.sql, connection.dialect)
    if not any(is_in_one_of(table, connection.schemas) for table in named):
        wanted = " or ".join(connection.schemas)
        raise _invalid(
            record,
            f"{which} names no table of {wanted}, the schemas of its connection; write "
            f"{connection.schemas[0]}.table",
        )


def _invalid(record: NewGoldenRecord, why: str) -> InvalidValue:
    return InvalidValue(
        f"{why} (its SQL: {record.sql[:_SHOWN]})", param="sql", code="invalid_golden_sql"
    )
