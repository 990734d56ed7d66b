"""The databases behind connections: what is sealed is opened here, and nowhere else."""

import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tunery.core.errors import InvalidValue, QueryFailed, TuneryError
from tunery.core.ports import Databases, Sealer
from tunery.core.text_to_sql import DatabaseConnection, Rows, ScannedTable
from tunery.service.text_to_sql.secrets import without_secrets

logger = logging.getLogger(__name__)

TableName = tuple[str | None, str]
"""The schema, where one was asked for, and the name."""


class ConnectedDatabases:
    """The `Databases` port by connection; no error of it shows what is secret in a URI."""

    def __init__(self, databases: Databases, sealer: Sealer) -> None:
        """The URI of each connection is sealed by `sealer`, bound to the connection's id."""
        self._databases = databases
        self._sealer = sealer

    def dialect(self, uri: str) -> str:
        """What kind of database `uri` names.

        Raises:
            InvalidValue: it is none that is served here.
        """
        with _hidden(uri):
            return self._databases.dialect(uri)

    def tables(self, connection: DatabaseConnection) -> Sequence[TableName]:
        """The tables and views in the connection's schemas.

        Raises:
            InvalidValue: the URI is none that is served here.
            QueryFailed: the database is not to be reached, or has no such schema.
        """
        uri = self._uri(connection)
        with _hidden(uri):
            return self._databases.tables(uri, schemas=connection.schemas)

    def scan(
        self, connection: DatabaseConnection, *, schema: str | None, table: str
    ) -> ScannedTable:
        """What there is to know about a table; raises as `tables`."""
        uri = self._uri(connection)
        with _hidden(uri):
            return self._databases.scan(uri, schema=schema, table=table)

    def run(
        self, connection: DatabaseConnection, sql: str, *, max_rows: int, timeout_s: float
    ) -> Rows:
        """The result of a single read-only statement; raises as `tables`."""
        uri = self._uri(connection)
        with _hidden(uri):
            return self._databases.run(uri, sql, max_rows=max_rows, timeout_s=timeout_s)

    def _uri(self, connection: DatabaseConnection) -> str:
        return self._sealer.open(connection.sealed_uri, bound_to=connection.id)


@contextmanager
def _hidden(uri: str) -> Iterator[None]:
    """Errors come out without what is secret in `uri`, and without those they were made from."""
    try:
        yield
    except QueryFailed as error:
        raise QueryFailed(
            without_secrets(error.message, uri), param=error.param, code=error.code
        ) from None
    except InvalidValue as error:
        raise InvalidValue(
            without_secrets(error.message, uri), param=error.param, code=error.code
        ) from None
    except TuneryError:
        raise
    except Exception as error:
        # What a driver says may hold the URI, so the log has where it was said, not what.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.warning("%s while asking a database:\n%s", type(error).__name__, where)
        raise QueryFailed(
            f"The database cannot be read ({type(error).__name__}). The server's log says more."
        ) from None
