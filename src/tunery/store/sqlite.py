"""The store in one SQLite file: nothing to install, written by this process alone.

WAL, so that readers never wait; `synchronous=FULL`, so that what was answered is durable (I11). A
process that is stopped inside a write transaction blocks every other writer, so only one process
may have the file open, and a lock file beside it sees to that. Writers take turns on one
connection; each reader has a connection of its own while it reads.
"""

import fcntl
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import GenerativeSelect

from tunery.core.errors import InvalidValue, TuneryError, Unavailable
from tunery.core.ports import Clock
from tunery.store.migrations import upgrade
from tunery.store.sql import SqlStore
from tunery.store.sql.database import Compiler, Parameters, Row, Transaction
from tunery.store.statements.query import Query
from tunery.store.times import to_us

T = TypeVar("T")

BUSY_TIMEOUT_S = 30.0
"""As long may something else, such as a backup, hold the file."""


def open_store(path: Path, clock: Clock) -> SqlStore:
    """The store in the file `path`, made or brought up to date first; its folder must be there.

    Raises:
        Unavailable: another server has it open, or a newer one has written it.
    """
    lock = _FolderLock(path)
    try:
        upgrade(f"sqlite:///{path}")
        return SqlStore(_Sqlite(path, clock, lock), clock)
    except DBAPIError as error:
        lock.release()
        raise Unavailable(f"The database {path} cannot be used: {error.orig}") from error
    except BaseException:
        lock.release()
        raise


class _SqliteCompiler(SQLiteCompiler):
    """Leaves out the `OFFSET 0` that SQLAlchemy binds a value for where none is asked for."""

    def limit_clause(self, select: GenerativeSelect, **more: object) -> str:
        limit, offset = select._limit_clause, select._offset_clause
        text = "" if limit is None else f"\n LIMIT {self.process(limit, **more)}"
        return text if offset is None else f"{text} OFFSET {self.process(offset, **more)}"


class _SqliteDialect(SQLiteDialect_pysqlite):
    statement_compiler = _SqliteCompiler


class _FolderLock:
    """Held while a server has the database open; the system frees it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}.lock").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise Unavailable(
                f"Another Tunery server is using {path}. Stop it, or choose another folder "
                "(TUNERY_HOME)."
            ) from None

    def release(self) -> None:
        self._file.close()


class _Sqlite:
    """The `Database` of one SQLite file."""

    reads_in_place = True

    def __init__(self, path: Path, clock: Clock, lock: _FolderLock) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock
        self._compiler = Compiler(_SqliteDialect(paramstyle="named"))
        self._writing = threading.Lock()
        self._closed = False
        self._writer = _connect(path)
        # As many as ever read at once; `pop` and `append` of a deque are atomic.
        self._readers: deque[sqlite3.Connection] = deque()

    def one(self, query: Query, parameters: Parameters) -> Row | None:
        """Read the first row, if there is one."""
        text = self._compiler.text(query)
        reader = self._reader()
        try:
            row: Row | None = reader.execute(text, parameters).fetchone()
        except UnicodeEncodeError:
            # What cannot be kept cannot be found.
            return None
        except sqlite3.OperationalError as error:
            raise _meant(error) from error
        finally:
            self._give_back(reader)
        return row

    def all(self, query: Query, parameters: Parameters) -> list[Row]:
        """Read every row."""
        text = self._compiler.text(query)
        reader = self._reader()
        try:
            return reader.execute(text, parameters).fetchall()
        except UnicodeEncodeError:
            return []
        except sqlite3.OperationalError as error:
            raise _meant(error) from error
        finally:
            self._give_back(reader)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction that is on the disk when this returns."""
        with self._writing:
            self._check_open()
            try:
                return self._commit(work)
            except (sqlite3.OperationalError, UnicodeEncodeError) as error:
                raise _meant(error) from error
            finally:
                # A full disk may have rolled it back already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def ping(self) -> None:
        """Raise `Unavailable` where the file cannot be read."""
        reader = self._reader()
        try:
            reader.execute("SELECT id FROM organisations LIMIT 1").fetchall()
        except sqlite3.OperationalError as error:
            raise _meant(error) from error
        finally:
            self._give_back(reader)

    def close(self) -> None:
        """Close every connection, and let another server in; a second call does nothing."""
        with self._writing:
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            self._writer.close()
            self._lock.release()

    def _commit(self, work: Callable[[Transaction], T]) -> T:
        self._writer.execute("BEGIN IMMEDIATE")
        result = work(_SqliteTransaction(self._writer, self._compiler, self._clock))
        self._writer.execute("COMMIT")
        return result

    def _reader(self) -> sqlite3.Connection:
        self._check_open()
        try:
            return self._readers.pop()
        except IndexError:
            return _connect(self._path)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        self._readers.append(reader)
        if self._closed:
            self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The database is closed; the server is shutting down.")


class _SqliteTransaction:
    """The writer's connection between BEGIN and COMMIT."""

    def __init__(self, writer: sqlite3.Connection, compiler: Compiler, clock: Clock) -> None:
        self._writer = writer
        self._compiler = compiler
        self._clock = clock

    def one(self, query: Query, parameters: Parameters) -> Row | None:
        found = self.all(query, parameters)
        return found[0] if found else None

    def all(self, query: Query, parameters: Parameters) -> list[Row]:
        return self._writer.execute(self._compiler.text(query), parameters).fetchall()

    def run(self, query: Query, parameters: Parameters) -> int:
        return self._writer.execute(self._compiler.text(query), parameters).rowcount

    def run_many(self, query: Query, parameters: Iterable[Parameters]) -> None:
        self._writer.executemany(self._compiler.text(query), parameters)

    def now_us(self) -> int:
        # SQLite has no clock but this process's, and no other process writes.
        return to_us(self._clock.now())


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _meant(error: sqlite3.OperationalError | UnicodeEncodeError) -> TuneryError:
    """The error in the domain's words."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidValue(f"{error.object!r} is not text: it has half of a character")
    return Unavailable(f"The database cannot be used now: {error}")
