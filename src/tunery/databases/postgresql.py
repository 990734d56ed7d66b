"""PostgreSQL, through psycopg 3."""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from sqlalchemy import URL, Connection, create_engine, event, func, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.databases.source import Purpose, Result

if TYPE_CHECKING:
    import psycopg

_CONNECT_S = 10
_LOCK_S = 5.0
_GRACE_S = 3.0
"""How long after the database should have ended a statement we hang up."""
_LOOK_S = 0.05
_MOST_BYTES = 128 * 1024**2
"""From one connection. A message of PostgreSQL's may have 2 GiB, and libpq makes room for it."""
_BEFORE_RECEIVED = "=8B24I3Q"
"""What stands before the number of bytes received in Linux's `struct tcp_info`."""
_MOST_ADDRESSES = 4
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_OPTIONS: Mapping[str, frozenset[str] | None] = {
    "application_name": None,
    "connect_timeout": frozenset(str(seconds) for seconds in range(1, _CONNECT_S + 1)),
    "sslmode": _SSL_MODES,
    # The others are paths of files on this machine.
    "sslrootcert": frozenset({"system"}),
    "channel_binding": frozenset({"disable", "prefer", "require"}),
    "target_session_attrs": frozenset(
        {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}
    ),
}
"""What may stand behind the `?` of a URI, and with which values; None: any short text."""
_LONGEST_OPTION = 63
_NOWHERE = "/dev/null/none"
"""A file that cannot be. Left unsaid, libpq looks into files of whoever runs this server."""


@dataclass(frozen=True, kw_only=True)
class PostgresSource:
    """A PostgreSQL database at addresses that may be connected to."""

    where: Mapping[str, object] = field(repr=False)
    """Parameters of libpq, all that it would otherwise take from its surroundings."""
    dialect: str = "postgresql"

    @contextmanager
    def connect(self, purpose: Purpose, *, timeout_s: float) -> Iterator[Connection]:
        """A connection within one read-only transaction.

        Its limits hold for the transaction alone: behind a pooler the session is not ours.
        """
        watch = _Watch(timeout_s)
        with ExitStack() as ends:
            ends.callback(watch.end)
            engine = create_engine(
                "postgresql+psycopg://",
                creator=lambda: watch.over(_connected(self.where)),
                poolclass=NullPool,
            )
            ends.callback(engine.dispose)
            event.listen(engine, "handle_error", _keep)
            try:
                with engine.connect() as connection:
                    connection.execution_options(postgresql_readonly=True)
                    self.limit(connection, timeout_s)
                    yield connection
            except DBAPIError:
                if watch.why is not None:
                    raise QueryFailed(watch.why) from None
                raise

    @contextmanager
    def rows(self, connection: Connection, sql: str, *, most: int) -> Iterator[Result]:
        """The first rows of `sql`, by a cursor, so that the server makes no more of them.

        A cursor is declared for one query and nothing else, says the server too. Of the rows, which
        may be of any size, one is in memory at a time.
        """
        import psycopg

        raw = cast(psycopg.Connection, connection.connection.driver_connection)
        declare = f"DECLARE answer NO SCROLL CURSOR FOR {sql}"
        try:
            with raw.cursor() as cursor:
                # Binary chooses the protocol in which the server takes only one statement.
                cursor.execute(declare.encode(), binary=True)
                cursor.execute("FETCH FORWARD 0 FROM answer")
                columns = tuple(column.name for column in cursor.description or ())
                rows = cursor.stream(f"FETCH FORWARD {most:d} FROM answer".encode())
                # Where not all are taken, the rest is called off before the cursor is closed.
                with closing(cast(Generator[tuple[object, ...], None, None], rows)):
                    yield columns, rows
        except psycopg.Error as error:
            raise DBAPIError(None, None, error) from None

    def limit(self, connection: Connection, timeout_s: float) -> None:
        """Let each statement from here on take `timeout_s` at most."""
        limits = {
            "statement_timeout": _milliseconds(timeout_s),
            "lock_timeout": _milliseconds(min(timeout_s, _LOCK_S)),
            # The guard reads quotes as they are read so.
            "standard_conforming_strings": "on",
        }
        each = [func.set_config(name, value, True) for name, value in limits.items()]
        connection.execute(select(*each))


def postgres_source(url: URL, addresses: Addresses) -> PostgresSource:
    """The database that `url` names.

    Raises:
        InvalidValue: it lies where this server may not look, or asks for what is not taken.
    """
    query = dict(url.query)
    folder = query.pop("host", None) if not url.host else None
    if not url.username:
        raise _invalid("The connection URI names no user.")
    if url.host and "@" in url.host:
        # What stands before it is the end of a password, and in no message.
        raise _invalid("The connection URI has more than one @; one in a password is written %40.")
    database = url.database or url.username
    if "=" in database or "://" in database or "\x00" in f"{database}{url.username}{url.password}":
        raise _invalid("The connection URI names a database, user or password that cannot be.")
    return PostgresSource(
        where={
            # All that libpq would else take from environment, service file or home folder.
            "user": url.username,
            "password": str(url.password or ""),
            "dbname": database,
            "connect_timeout": _CONNECT_S,
            "sslmode": "prefer",
            "sslcertmode": "disable",
            "sslkey": _NOWHERE,
            "passfile": _NOWHERE,
            "gssencmode": "disable",
            "krbsrvname": "postgres",
            "options": "",
            "client_encoding": "utf8",
            "application_name": "tunery",
            **_checked(query),
            **_place(url, folder, addresses),
        }
    )


def _checked(query: Mapping[str, Sequence[str] | str]) -> Mapping[str, str]:
    """The options of a URI, all of which are harmless."""
    checked = {}
    for name, value in query.items():
        if name not in _OPTIONS:
            raise _invalid(
                f"The connection URI has the option {name[:_LONGEST_OPTION]!r}; the options are "
                f"{', '.join(_OPTIONS)}."
            )
        allowed = _OPTIONS[name]
        is_text = isinstance(value, str) and len(value) <= _LONGEST_OPTION and value.isprintable()
        if not is_text or (allowed is not None and value not in allowed):
            wanted = ", ".join(sorted(allowed)) if allowed else "a short text"
            raise _invalid(f"The option {name} of the connection URI must be one of: {wanted}.")
        checked[name] = str(value)
    return checked


def _place(
    url: URL, folder: Sequence[str] | str | None, addresses: Addresses
) -> Mapping[str, object]:
    port = url.port if url.port is not None else 5432
    if not 0 < port < 2**16:
        raise _invalid(f"The connection URI has the port {port}.")
    if folder is not None:
        return {"host": _socket_folder(folder, addresses), "port": port}
    if not url.host:
        raise _invalid("The connection URI names no host.")
    found = addresses.resolve(url.host, port)[:_MOST_ADDRESSES]
    # The name stays beside its addresses: TLS compares it with the certificate.
    return {
        "host": ",".join([url.host] * len(found)),
        "hostaddr": ",".join(map(str, found)),
        "port": port,
    }


def _socket_folder(folder: Sequence[str] | str, addresses: Addresses) -> str:
    is_path = isinstance(folder, str) and folder.startswith("/") and "," not in folder
    if not is_path or not addresses.lists(str(folder)):
        raise InvalidValue(
            "The connection URI names a host among its options, where only a folder of sockets may "
            "stand that the operator of this server lists in TUNERY_ALLOW_HOSTS.",
            param="connection_uri",
            code="host_not_allowed",
        )
    return str(folder)


def _connected(where: Mapping[str, object]) -> "psycopg.Connection":
    # Imported where it is needed: few servers have such a connection, and it takes its time.
    import psycopg

    # Prepared statements would outlive the transaction, on a session that a pooler shares out.
    return psycopg.connect(**where, prepare_threshold=None)  # type: ignore[arg-type]


class _Watch:
    """Hangs up on a server that keeps us waiting, or would fill our memory."""

    def __init__(self, timeout_s: float) -> None:
        self.why: str | None = None
        """Why it hung up, if it did."""
        self._timeout_s = timeout_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._socket: socket.socket | None = None

    def over(self, connection: "psycopg.Connection") -> "psycopg.Connection":
        """Begin to watch `connection`."""
        # Its own handle: the number of a closed one may belong to somebody else by then.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._thread.start()
        return connection

    def end(self) -> None:
        """Watch no longer."""
        self._is_over.set()
        if self._socket is not None:
            self._thread.join()
            self._socket.close()

    def _look(self) -> None:
        assert self._socket is not None
        until = time.monotonic() + self._timeout_s + _GRACE_S
        while self.why is None and not self._is_over.wait(_LOOK_S):
            if time.monotonic() > until:
                self.why = f"The database did not answer within {self._timeout_s:g} seconds."
            elif _n_received(self._socket) > _MOST_BYTES:
                self.why = f"The database sent more than {_MOST_BYTES // 1024**2} MiB."
        if self.why is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _n_received(connection: socket.socket) -> int:
    """How many bytes came in; 0 where the system does not say (anything but TCP on Linux)."""
    if connection.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
        return 0
    place = struct.calcsize(_BEFORE_RECEIVED)
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, place + 8)
    return int.from_bytes(info[place:], sys.byteorder)


def _keep(context: ExceptionContext) -> None:
    """Let SQLAlchemy close cursor and connection as ever, whatever became of the server."""
    context.is_disconnect = False


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _invalid(message: str) -> InvalidValue:
    return InvalidValue(message, param="connection_uri", code="invalid_database_uri_format")
