"""The `Databases` port."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import inspect

from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.sql import check_query
from tunery.core.text_to_sql import Rows, ScannedTable
from tunery.databases.failures import in_its_own_words
from tunery.databases.results import bounded
from tunery.databases.scanning import scanned, table_names
from tunery.databases.source import Purpose, Source
from tunery.databases.uris import source

_CATALOG_S = 30.0
"""How long tables may be looked at."""


class CustomerDatabases:
    """Databases by their URIs. A connection is made for each call, and closed after it."""

    def __init__(self, addresses: Addresses, sqlite_folder: Path | None) -> None:
        """Servers may lie at `addresses`, SQLite files in `sqlite_folder`; None: nowhere.

        Raises:
            InvalidValue: `sqlite_folder` is no folder.
        """
        if sqlite_folder is not None and not sqlite_folder.is_dir():
            raise InvalidValue(
                f"sqlite_folder (TUNERY_SQLITE_FOLDER) is {sqlite_folder}, and there is no such "
                "folder.",
                param="sqlite_folder",
            )
        self._addresses = addresses
        self._sqlite_folder = sqlite_folder

    def dialect(self, uri: str) -> str:
        """What kind of database `uri` names.

        Raises:
            InvalidValue: it is no SQLAlchemy URI, or one of a kind that is not served here; or it
                lies where this server may not look.
        """
        return self._source(uri).dialect

    def tables(
        self, uri: str, *, schemas: Sequence[str] | None = None
    ) -> Sequence[tuple[str | None, str]]:
        """The tables and views: schema, where one was asked for, and name.

        Raises:
            InvalidValue: as `dialect`.
            QueryFailed: the database is not to be reached, or has no such schema.
        """
        there = self._reached(uri)
        with in_its_own_words(), there.connect(Purpose.CATALOG, timeout_s=_CATALOG_S) as connection:
            inspector = inspect(connection)
            return [
                (schema, name)
                for schema in ([None] if schemas is None else schemas)
                for name in table_names(inspector, schema)
            ]

    def scan(self, uri: str, *, schema: str | None, table: str) -> ScannedTable:
        """What there is to know about a table, as `scanning` finds it out; raises as `tables`."""
        there = self._reached(uri)
        with in_its_own_words(), there.connect(Purpose.CATALOG, timeout_s=_CATALOG_S) as connection:
            return scanned(connection, there, schema=schema, table=table, within_s=_CATALOG_S)

    def run(self, uri: str, sql: str, *, max_rows: int, timeout_s: float) -> Rows:
        """The result of a single read-only statement.

        Raises:
            InvalidValue: as `dialect`; or the statement is not single, or does not only read.
            QueryFailed: the database is not to be reached, refuses it, or takes too long.
        """
        there = self._reached(uri)
        check_query(sql, there.dialect)
        with (
            in_its_own_words(),
            there.connect(Purpose.QUERY, timeout_s=timeout_s) as connection,
            # One row more tells whether there were more.
            there.rows(connection, sql, most=max_rows + 1) as (columns, rows),
        ):
            return bounded(columns, rows, max_rows)

    def _source(self, uri: str) -> Source:
        return source(uri, addresses=self._addresses, sqlite_folder=self._sqlite_folder)

    def _reached(self, uri: str) -> Source:
        """The database behind a URI that was good once; a host may be unknown for a while."""
        try:
            return self._source(uri)
        except InvalidValue as error:
            if error.code != "unknown_host":
                raise
            raise QueryFailed(error.message) from None
