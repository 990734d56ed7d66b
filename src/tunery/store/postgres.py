"""The store in PostgreSQL.

Reads are single statements, each its own transaction. A write that conflicts with another one, or
whose connection is lost before its COMMIT is sent, is done again; once COMMIT is on its way nobody
here knows how it ended, so that is `Unavailable`, and an idempotency key makes the repeat safe.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import psycopg
from psycopg import Connection, errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from tunery.core.errors import InvalidValue, Unavailable
from tunery.core.ports import Clock
from tunery.store.migrations import upgrade
from tunery.store.sql import SqlStore
from tunery.store.sql.database import Compiler, Parameters, Row, Transaction
from tunery.store.statements.query import Query

T = TypeVar("T")

MOST_CONNECTIONS = 16
WAIT_S = 10
"""As long does a request wait for a connection, and a new connection for the server."""
MOST_CONFLICTS = 8
MOST_LOSSES = 3
"""As often is something tried that conflicts with others, or whose connection is lost."""

_Client = Connection[TupleRow]
_CONFLICTS = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    # Two servers that make the same first row at once: the second one will find it there.
    errors.UniqueViolation,
)
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)
_NOW_US = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def open_store(url: str, clock: Clock) -> SqlStore:
    """The store in the database at `url`, whose tables are made or brought up to date first.

    Raises:
        Unavailable: the database does not answer, or a newer server has written it.
    """
    try:
        upgrade(url)
    except DBAPIError as error:
        raise _unavailable(error) from error
    return SqlStore(_Postgres(url), clock)


class _Postgres:
    """The `Database` of one PostgreSQL database."""

    reads_in_place = False

    def __init__(self, url: str) -> None:
        self._compiler = Compiler(make_url("postgresql+psycopg://").get_dialect()())
        self._pool: ConnectionPool[_Client] = ConnectionPool(
            url,
            min_size=1,
            max_size=MOST_CONNECTIONS,
            timeout=WAIT_S,
            kwargs=_options(url),
            open=True,
        )

    def one(self, query: Query, parameters: Parameters) -> Row | None:
        """Read the first row, if there is one."""
        text = self._compiler.text(query)
        try:
            return self._again(lambda client: client.execute(text, parameters).fetchone())
        except InvalidValue:
            # What cannot be kept cannot be found.
            return None

    def all(self, query: Query, parameters: Parameters) -> list[Row]:
        """Read every row."""
        text = self._compiler.text(query)
        try:
            return self._again(lambda client: client.execute(text, parameters).fetchall())
        except InvalidValue:
            return []

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction that is durable when this returns."""

        def once(client: _Client) -> T:
            committing = False
            try:
                with client.transaction():
                    result = work(_PostgresTransaction(client, self._compiler))
                    committing = True
            except _LOST as error:
                if not committing or isinstance(error, _CONFLICTS):
                    raise
                raise Unavailable(
                    f"The database was lost while it wrote, perhaps in vain: {error}"
                ) from error
            return result

        return self._again(once)

    def ping(self) -> None:
        """Raise `Unavailable` where the database does not answer."""
        self._again(lambda client: client.execute("SELECT 1").fetchall())

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self._pool.close()

    def _again(self, once: Callable[[_Client], T]) -> T:
        """The result of `once`, tried again while that is safe and may help."""
        losses = 0
        for attempt in itertools.count(1):
            try:
                with self._pool.connection() as client:
                    return once(client)
            except (PoolTimeout, PoolClosed) as error:
                raise _unavailable(error) from error
            except _CONFLICTS:
                if attempt >= MOST_CONFLICTS:
                    raise
                time.sleep(random.uniform(0, 0.002 * 2**attempt))
            except _LOST as error:
                losses += 1
                if losses >= MOST_LOSSES:
                    raise _unavailable(error) from error
                # The others that lie in the pool were probably lost too.
                self._pool.check()
            except (psycopg.DataError, UnicodeEncodeError) as error:
                raise InvalidValue(f"A value cannot be kept: {error}") from error
        raise AssertionError("counting has no end")


class _PostgresTransaction:
    """A connection between BEGIN and COMMIT."""

    def __init__(self, client: _Client, compiler: Compiler) -> None:
        self._client = client
        self._compiler = compiler

    def one(self, query: Query, parameters: Parameters) -> Row | None:
        return self._client.execute(self._compiler.text(query), parameters).fetchone()

    def all(self, query: Query, parameters: Parameters) -> list[Row]:
        return self._client.execute(self._compiler.text(query), parameters).fetchall()

    def run(self, query: Query, parameters: Parameters) -> int:
        return self._client.execute(self._compiler.text(query), parameters).rowcount

    def run_many(self, query: Query, parameters: Iterable[Parameters]) -> None:
        with self._client.cursor() as cursor:
            cursor.executemany(self._compiler.text(query), list(parameters))

    def now_us(self) -> int:
        row = self._client.execute(_NOW_US).fetchone()
        assert row is not None
        return int(row[0])


def _options(url: str) -> dict[str, object]:
    options: dict[str, object] = {"autocommit": True}
    if "connect_timeout" not in conninfo_to_dict(url):
        options["connect_timeout"] = WAIT_S
    return options


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"The database cannot be used now: {error}")
