"""Tables of connected databases: what a scan finds out, and what people say about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from hashlib import sha256

from tunery.core.access import Caller
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.ports import Clock, Shelves
from tunery.core.text_to_sql import (
    Column,
    DatabaseConnection,
    ForeignKey,
    Metadata,
    ScannedTable,
    ScanStatus,
    TableDescription,
)
from tunery.service.text_to_sql.connected import ConnectedDatabases, TableName
from tunery.service.text_to_sql.side_by_side import side_by_side

AT_ONCE = 4
"""So many tables of a database are scanned at the same time."""
LONGEST_SCAN = timedelta(minutes=15)
"""A scan comes to no further tables after this; one that began longer ago was cut off."""
_OUT_OF_TIME = (
    f"Not scanned: the tables before it took {LONGEST_SCAN.total_seconds() / 60:g} minutes. "
    "Scan it again."
)


@dataclass(frozen=True, kw_only=True)
class ColumnEdit:
    """What somebody says about a column; None leaves it as it is."""

    name: str
    description: str | None = None
    data_type: str | None = None
    is_primary_key: bool | None = None
    low_cardinality: bool | None = None
    categories: tuple[str, ...] | None = None
    foreign_key: ForeignKey | None = None


@dataclass(frozen=True, kw_only=True)
class TableEdit:
    """What somebody says about a table; None leaves it as it is."""

    description: str | None = None
    columns: Sequence[ColumnEdit] = ()
    metadata: Metadata | None = None


class Tables:
    """The use cases of table descriptions."""

    def __init__(self, store: Shelves, databases: ConnectedDatabases, clock: Clock) -> None:
        """Scans read `databases`; what they find is in `store`."""
        self._store = store
        self._databases = databases
        self._clock = clock

    def list(
        self, caller: Caller, connection_id: str, *, table_name: str | None = None
    ) -> Sequence[TableDescription]:
        """The tables of a connection, by name where one is given; none where it is unknown."""
        listed = self._store.tables.list(caller.project_id, parent=connection_id)
        return [
            self._as_of_now(table) for table in listed if table_name in (None, table.table_name)
        ]

    def get(self, caller: Caller, table_id: str) -> TableDescription:
        """One table; NotFound where the project has none."""
        return self._as_of_now(self._store.tables.get(caller.project_id, table_id))

    def edit(self, caller: Caller, table_id: str, edit: TableEdit) -> TableDescription:
        """Write down what people know of a table.

        Raises:
            NotFound: the project has no such table.
            InvalidValue: it has no column of that name; nothing is changed.
        """
        changed = self._store.tables.change(
            caller.project_id, table_id, lambda table: _edited(table, edit)
        )
        return self._as_of_now(changed)

    def refresh(self, caller: Caller, connection_id: str) -> Sequence[TableDescription]:
        """The connection's tables, after a look at which ones its database has now.

        Raises:
            NotFound: the project has no such connection.
            QueryFailed: the database is not to be reached.
        """
        connection = self._store.connections.get(caller.project_id, connection_id)
        self.keep_up(connection, self._databases.tables(connection))
        return self.list(caller, connection_id)

    def keep_up(
        self, connection: DatabaseConnection, found: Sequence[TableName], *, anew: bool = False
    ) -> None:
        """Describe tables that are new, as yet unscanned, and deprecate those that are gone.

        With `anew` what was scanned counts no longer; what people wrote about it stays.
        """
        listed = self._store.tables.list(connection.project_id, parent=connection.id)
        names = set(found)
        known = {(table.schema_name, table.table_name) for table in listed}
        # Whoever else adds them at this moment gives them the same ids.
        self._store.tables.add(
            [self._unscanned(connection, name) for name in found if name not in known]
        )
        for table in listed:
            there = (table.schema_name, table.table_name) in names
            if there and (anew or table.status is ScanStatus.DEPRECATED):
                self._change(table, lambda now: replace(now, status=ScanStatus.NOT_SCANNED))
            elif not there:
                self._change(table, lambda now: replace(now, status=ScanStatus.DEPRECATED))

    def begin_scan(
        self, caller: Caller, table_ids: Sequence[str], *, metadata: Metadata | None = None
    ) -> Sequence[TableDescription]:
        """These tables as being scanned; whoever asks goes on to call `scan`.

        Raises:
            NotFound: the project has no such table; none is scanned.
        """
        wanted = dict.fromkeys(table_ids)
        tables = [self._store.tables.get(caller.project_id, each) for each in wanted]
        return self._begun(tables, metadata)

    def begin_scan_of_all(
        self, caller: Caller, connection_id: str, *, metadata: Metadata | None = None
    ) -> Sequence[TableDescription]:
        """As `begin_scan`, with every table that the database has.

        Raises:
            NotFound: the project has no such connection.
        """
        connection = self._store.connections.get(caller.project_id, connection_id)
        listed = self._store.tables.list(caller.project_id, parent=connection.id)
        there = [table for table in listed if table.status is not ScanStatus.DEPRECATED]
        return self._begun(there, metadata)

    def scan(
        self,
        tables: Sequence[TableDescription],
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Sequence[TableDescription]:
        """What a scan made of `tables`: each scanned, or failed with the reason.

        Raises:
            Unavailable: `wanted` says no; what was begun is ended, and nothing else is.
        """
        ends = self._clock.now() + LONGEST_SCAN
        scanned = side_by_side(
            lambda table: self._scanned(table, ends), tables, at_once=AT_ONCE, wanted=wanted
        )
        return list(scanned)

    def scanned(
        self,
        project_id: str,
        connection: DatabaseConnection,
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Sequence[TableDescription]:
        """The connection's scanned tables, after those are scanned that are not yet.

        One that cannot be scanned says why in its description, and is left out.

        Raises:
            Unavailable: as `scan`.
        """
        listed = self._store.tables.list(project_id, parent=connection.id)
        done = (ScanStatus.SCANNED, ScanStatus.DEPRECATED)
        self.scan([table for table in listed if table.status not in done], wanted=wanted)
        known = self._store.tables.list(project_id, parent=connection.id)
        return [table for table in known if table.status is ScanStatus.SCANNED]

    def _begun(
        self, tables: Sequence[TableDescription], metadata: Metadata | None
    ) -> Sequence[TableDescription]:
        at = self._clock.now()

        def begun(now: TableDescription) -> TableDescription:
            return replace(
                now,
                status=ScanStatus.SYNCHRONIZING,
                last_schema_sync=at,
                error_message=None,
                metadata=now.metadata if metadata is None else metadata,
            )

        return [self._change(table, begun) for table in tables]

    def _scanned(self, table: TableDescription, ends: datetime) -> TableDescription:
        if self._clock.now() > ends:
            return self._fail(table, _OUT_OF_TIME)
        try:
            found = self._found(table)
        except (InvalidValue, QueryFailed) as error:
            return self._fail(table, error.message)
        at = self._clock.now()
        return self._change(table, lambda now: _with_scan(now, found, at=at))

    def _fail(self, table: TableDescription, why: str) -> TableDescription:
        at = self._clock.now()
        return self._change(table, lambda now: _failed(now, why, at=at))

    def _found(self, table: TableDescription) -> ScannedTable:
        connection = self._store.connections.get(table.project_id, table.db_connection_id)
        return self._databases.scan(connection, schema=table.schema_name, table=table.table_name)

    def _change(
        self, table: TableDescription, how: Callable[[TableDescription], TableDescription]
    ) -> TableDescription:
        """Change what is kept now, which may be another than the `table` that was read."""
        return self._store.tables.change(table.project_id, table.id, how)

    def _unscanned(self, connection: DatabaseConnection, name: TableName) -> TableDescription:
        schema, table = name
        return TableDescription(
            id=_table_id(connection.id, schema, table),
            project_id=connection.project_id,
            db_connection_id=connection.id,
            created_at=self._clock.now(),
            schema_name=schema,
            table_name=table,
        )

    def _as_of_now(self, table: TableDescription) -> TableDescription:
        """`table`, failed where its scan began too long ago ever to end."""
        began = table.last_schema_sync
        if table.status is not ScanStatus.SYNCHRONIZING or began is None:
            return table
        if began + LONGEST_SCAN > self._clock.now():
            return table
        return _failed(table, "The scan was interrupted. Start it again.", at=began)


def _table_id(connection_id: str, schema: str | None, table: str) -> str:
    """The id that this table has, whoever describes it first."""
    return sha256("\0".join([connection_id, schema or "", table]).encode()).hexdigest()[:24]


def _failed(table: TableDescription, why: str, *, at: datetime) -> TableDescription:
    return replace(table, status=ScanStatus.FAILED, error_message=why, last_schema_sync=at)


def _with_scan(table: TableDescription, found: ScannedTable, *, at: datetime) -> TableDescription:
    """`table` as the database has it, with what people said of it."""
    said = {column.name: column.description for column in table.columns}
    return replace(
        table,
        status=ScanStatus.SCANNED,
        table_schema=found.table_schema,
        columns=tuple(
            replace(column, description=said.get(column.name) or column.description)
            for column in found.columns
        ),
        examples=found.examples,
        last_schema_sync=at,
        error_message=None,
    )


def _edited(table: TableDescription, edit: TableEdit) -> TableDescription:
    known = {column.name: column for column in table.columns}
    for each in edit.columns:
        if each.name not in known:
            raise InvalidValue(
                f"Column {each.name} doesn't exist in {table.table_name}; "
                f"its columns are: {', '.join(known) or 'none, until it is scanned'}",
                param="columns",
                code="unknown_column",
            )
        known[each.name] = _edited_column(known[each.name], each)
    return replace(
        table,
        description=table.description if edit.description is None else edit.description,
        metadata=table.metadata if edit.metadata is None else edit.metadata,
        columns=tuple(known.values()),
    )


def _edited_column(column: Column, edit: ColumnEdit) -> Column:
    said = {
        each.name: value
        for each in fields(ColumnEdit)
        if (value := getattr(edit, each.name)) is not None
    }
    return replace(column, **said)
