"""SQLite files within one folder."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tunery.core.errors import InvalidValue, QueryFailed
from tunery.databases.source import Purpose, Result

_LONGEST_VALUE_BYTES = {Purpose.QUERY: 1024**2, Purpose.CATALOG: 16 * 1024**2}
"""SQLite makes and reads no longer text or blob for us.

Some of its functions take time with the square of the length, and nothing stops them on the way.
"""
_LONGEST_PATTERN = 1000
"""A LIKE takes time with the power of the wildcards in its pattern."""
_STEPS = 200
"""So many instructions of SQLite's machine pass between two looks at the clock.

One of them may call a function that takes a second; fewer make queries slower.
"""

_WRITE_VERSION = 18
_LOGGED = b"\x02\x02"
"""What a file with a write-ahead log has at that place of its header, for writers and readers."""

_READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
    }
)
_DENIED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "regexp"})
"""`regexp` is Python's: a pattern that backtracks would hold the whole server."""
_CATALOG_PRAGMAS = frozenset(
    {
        "database_list",
        "table_info",
        "table_xinfo",
        "table_list",
        "foreign_key_list",
        "index_list",
        "index_info",
    }
)
_PRAGMAS = {
    # Full-text tables ask for it themselves.
    Purpose.QUERY: frozenset({"data_version"}),
    Purpose.CATALOG: frozenset({"data_version"}) | _CATALOG_PRAGMAS,
}


@dataclass(frozen=True, kw_only=True)
class SqliteSource:
    """A file within the folder."""

    path: Path
    dialect: str = "sqlite"

    @contextmanager
    def connect(self, purpose: Purpose, *, timeout_s: float) -> Iterator[Connection]:
        """A connection that is allowed to read, and no more."""
        deadline = time.monotonic() + timeout_s
        with ExitStack() as ends:
            engine = create_engine("sqlite://", creator=self._opened, poolclass=NullPool)
            ends.callback(engine.dispose)
            try:
                with engine.connect() as connection:
                    # After SQLAlchemy's own first look, which asks for more.
                    raw = _raw(connection)
                    raw.set_authorizer(_authorizer(purpose))
                    raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE_BYTES[purpose])
                    self.limit(connection, timeout_s)
                    yield connection
            except DBAPIError:
                if time.monotonic() > deadline:
                    raise QueryFailed(
                        f"The query took longer than {timeout_s:g} seconds, and was stopped."
                    ) from None
                raise

    @contextmanager
    def rows(self, connection: Connection, sql: str, *, most: int) -> Iterator[Result]:
        """The first rows of `sql`; a percent sign in it means itself."""
        options = connection.execution_options(no_parameters=True)
        with options.exec_driver_sql(sql) as result:
            yield tuple(result.keys()), islice(result, most)

    def limit(self, connection: Connection, timeout_s: float) -> None:
        """Let the statements from here on take `timeout_s` together."""
        deadline = time.monotonic() + timeout_s
        _raw(connection).set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)

    def _opened(self) -> sqlite3.Connection:
        options = "mode=ro&immutable=1" if _is_at_rest(self.path) else "mode=ro"
        raw = sqlite3.connect(
            f"file:{quote(str(self.path))}?{options}",
            uri=True,
            timeout=5.0,
            check_same_thread=False,
        )
        raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LONGEST_PATTERN)
        raw.text_factory = lambda text: text.decode(errors="replace")
        # A schema can call functions too, in views and defaults: only those that are harmless.
        raw.executescript("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;")
        return raw


def sqlite_source(url: URL, folder: Path | None) -> SqliteSource:
    """The file that `url` names.

    Raises:
        InvalidValue: it lies outside of `folder`, or asks for what is not taken.
    """
    if folder is None:
        raise _invalid(
            "SQLite files are not served here; the operator of this server can name a folder of "
            "them in TUNERY_SQLITE_FOLDER.",
            code="unsupported_database",
        )
    name = url.database or ""
    if url.host or url.username or url.password or url.port or url.query:
        raise _invalid("A connection URI of SQLite is sqlite:///file.db, without any options.")
    if not name or name.startswith(("file:", ":")) or "\x00" in name:
        raise _invalid("A connection URI of SQLite names a file: sqlite:///file.db.")
    return SqliteSource(path=_within(folder, name))


def _within(folder: Path, name: str) -> Path:
    """The file, links followed, in the folder; whether it is there is seen when it is opened."""
    home = folder.resolve()
    try:
        path = (home / name).resolve()
        # Who opens a pipe waits until somebody writes into it.
        is_odd = path.exists() and not path.is_file()
    except (OSError, RuntimeError, ValueError):
        path, is_odd = home, True
    if is_odd or not path.is_relative_to(home):
        raise _invalid(
            "The connection URI names no file within the folder of SQLite files of this server "
            "(TUNERY_SQLITE_FOLDER).",
            code="host_not_allowed",
        )
    return path


def _is_at_rest(path: Path) -> bool:
    """Whether `path` has a write-ahead log, and nobody has it open.

    Whoever opens it then makes files beside it, readers too; and what we made would be ours, so
    that its owner could not write any more.
    """
    if path.with_name(f"{path.name}-wal").exists():
        return False
    try:
        with path.open("rb") as file:
            return file.read(20)[_WRITE_VERSION:] == _LOGGED
    except OSError:
        return False


def _authorizer(purpose: Purpose) -> Callable[..., int]:
    pragmas = _PRAGMAS[purpose]

    def decide(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        is_allowed = (
            action in _READS
            or (action == sqlite3.SQLITE_FUNCTION and second not in _DENIED_FUNCTIONS)
            or (action == sqlite3.SQLITE_PRAGMA and first in pragmas)
            # Asked for with each virtual table, json_each too; done to a real one it fails.
            or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master")
        )
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

    return decide


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _invalid(message: str, *, code: str = "invalid_database_uri_format") -> InvalidValue:
    return InvalidValue(message, param="connection_uri", code=code)
