"""Connections to databases of the customer's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from tunery.core.access import Caller
from tunery.core.errors import InvalidValue
from tunery.core.ids import new_id
from tunery.core.ports import Clock, Sealer, Shelves
from tunery.core.text_to_sql import DatabaseConnection, Metadata
from tunery.service.text_to_sql.connected import ConnectedDatabases, TableName
from tunery.service.text_to_sql.secrets import Secret, replaced
from tunery.service.text_to_sql.tables import Tables

_WITH_SCHEMAS = frozenset({"postgresql"})
"""The dialects whose databases have schemas to choose from."""


@dataclass(frozen=True, kw_only=True)
class NewConnection:
    """A database as its owner describes it."""

    alias: str
    uri: Secret
    schemas: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    echo: Mapping[str, object] = field(default_factory=dict)
    """What the door must give back; what is secret in it is a `Secret`."""


class Connections:
    """The use cases of database connections."""

    def __init__(
        self,
        *,
        store: Shelves,
        databases: ConnectedDatabases,
        sealer: Sealer,
        tables: Tables,
        clock: Clock,
    ) -> None:
        """`sealer` makes unreadable what `store` keeps."""
        self._store = store
        self._databases = databases
        self._sealer = sealer
        self._tables = tables
        self._clock = clock

    def create(self, caller: Caller, new: NewConnection) -> DatabaseConnection:
        """A connection that was tried out, with a description, yet unscanned, of each table.

        Raises:
            InvalidValue: the URI is none that is served here, or the database has no tables.
            QueryFailed: the database is not to be reached.
        """
        connection = self._sealed(caller, new, connection_id=new_id(""))
        found = self._tables_of(connection)
        # The tables first: nobody finds them while the connection is not there.
        self._tables.keep_up(connection, found)
        self._store.connections.add([connection])
        return connection

    def list(self, caller: Caller) -> Sequence[DatabaseConnection]:
        """The project's connections, oldest first."""
        return self._store.connections.list(caller.project_id)

    def get(self, caller: Caller, connection_id: str) -> DatabaseConnection:
        """One connection; NotFound where the project has none."""
        return self._store.connections.get(caller.project_id, connection_id)

    def replace(self, caller: Caller, connection_id: str, new: NewConnection) -> DatabaseConnection:
        """Describe a connection anew; it is tried out first, and its tables are kept up with.

        Where the URI is another one so may the database be: what was scanned is scanned again.

        Raises:
            NotFound: the project has no such connection.
            InvalidValue: as `create`; nothing is changed.
            QueryFailed: likewise.
        """
        before = self.get(caller, connection_id)
        sealed = self._sealed(caller, new, connection_id=connection_id)
        after = replace(sealed, created_at=before.created_at)
        found = self._tables_of(after)
        self._store.connections.replace([after])
        self._tables.keep_up(after, found, anew=self._uri(before) != self._uri(after))
        return after

    def _uri(self, connection: DatabaseConnection) -> str:
        return self._sealer.open(connection.sealed_uri, bound_to=connection.id)

    def _sealed(
        self, caller: Caller, new: NewConnection, *, connection_id: str
    ) -> DatabaseConnection:
        """The connection as it is kept, its secrets bound to its id."""
        ours = [each.id for each in self._store.connections.list(caller.project_id)]

        def clear(secret: Secret) -> str:
            return self._opened(secret.text, ours)

        def seal(secret: Secret) -> str:
            return self._sealer.seal(clear(secret), bound_to=connection_id)

        dialect = self._databases.dialect(clear(new.uri))
        if new.schemas and dialect not in _WITH_SCHEMAS:
            raise InvalidValue(
                f"A database of the kind {dialect} has no schemas; leave them out",
                param="schemas",
                code="schema_not_supported",
            )
        return DatabaseConnection(
            id=connection_id,
            project_id=caller.project_id,
            created_at=self._clock.now(),
            alias=new.alias,
            dialect=dialect,
            sealed_uri=seal(new.uri),
            schemas=new.schemas or None,
            metadata=new.metadata,
            echo=cast(Mapping[str, object], replaced(new.echo, seal)),
        )

    def _opened(self, text: str, connection_ids: Sequence[str]) -> str:
        """`text` in clear; what we gave back sealed, for whichever connection, is taken back."""
        if not self._sealer.is_sealed(text):
            return text
        for connection_id in connection_ids:
            try:
                return self._sealer.open(text, bound_to=connection_id)
            except InvalidValue:
                continue
        raise InvalidValue(
            "A secret came encrypted, but not as this server encrypts those of this project's "
            "connections; send it in clear"
        )

    def _tables_of(self, connection: DatabaseConnection) -> Sequence[TableName]:
        found = self._databases.tables(connection)
        if not found:
            where = f"schemas {', '.join(connection.schemas)}" if connection.schemas else "database"
            raise InvalidValue(
                f"The {where} of {connection.alias!r} cannot be used: there is no table or view "
                "that can be read",
                code="empty_database",
            )
        return found
