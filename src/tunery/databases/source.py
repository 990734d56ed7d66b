"""What each kind of database does in its own way."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

from sqlalchemy import Connection


class Purpose(Enum):
    """What a connection is for."""

    CATALOG = "catalog"
    """To look at tables; the statements are ours."""
    QUERY = "query"
    """To run a statement that came from outside."""


Result = tuple[Sequence[str], Iterable[Sequence[object]]]
"""The names of the columns, and the rows."""


class Source(Protocol):
    """A database that may be read, and how to get there."""

    @property
    def dialect(self) -> str:
        """The kind of database."""

    def connect(self, purpose: Purpose, *, timeout_s: float) -> AbstractContextManager[Connection]:
        """A connection that can only read, and whose statements end in time.

        Raises:
            QueryFailed: the database is not to be reached, or took too long.
        """

    def rows(
        self, connection: Connection, sql: str, *, most: int
    ) -> AbstractContextManager[Result]:
        """The first rows of a statement that came from outside, read one after the other."""

    def limit(self, connection: Connection, timeout_s: float) -> None:
        """Let each statement from here on take `timeout_s` at most."""
