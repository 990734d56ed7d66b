"""What the shared code needs of a database: statements compiled once, reads, and transactions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from sqlalchemy import Dialect

from tunery.core.ports import Clock
from tunery.store.statements.query import Query
from tunery.store.times import to_us

T = TypeVar("T")

Row = tuple[Any, ...]
"""A row as the driver gives it: the columns in the order that the statement names them."""

Parameters = Mapping[str, object]


class Transaction(Protocol):
    """Reads and writes that happen together or not at all."""

    def one(self, query: Query, parameters: Parameters) -> Row | None:
        """The first row, if there is one."""

    def all(self, query: Query, parameters: Parameters) -> list[Row]:
        """Every row."""

    def run(self, query: Query, parameters: Parameters) -> int:
        """How many rows the statement wrote."""

    def run_many(self, query: Query, parameters: Iterable[Parameters]) -> None:
        """Write once for each of `parameters`."""

    def now_us(self) -> int:
        """The time by the database's clock: that of the leases (I4)."""


class Database(Protocol):
    """A database that many threads use at once."""

    reads_in_place: bool

    def one(self, query: Query, parameters: Parameters) -> Row | None:
        """Read the first row, if there is one."""

    def all(self, query: Query, parameters: Parameters) -> list[Row]:
        """Read every row."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction that is durable when this returns (I11).

        `work` may be called again after a conflict with another transaction.
        """

    def ping(self) -> None:
        """Raise `Unavailable` where the database does not answer."""

    def close(self) -> None:
        """Let go of every connection."""


class Compiler:
    """The text of each statement for one database's driver, made when it is first needed."""

    def __init__(self, dialect: Dialect) -> None:
        """`dialect` writes named parameters."""
        self._dialect = dialect
        self._texts: dict[Query, str] = {}

    def text(self, query: Query) -> str:
        """The statement as the driver takes it."""
        found = self._texts.get(query)
        return self._compiled(query) if found is None else found

    def _compiled(self, query: Query) -> str:
        compiled = query.statement.compile(dialect=self._dialect)
        bound = [name for name, value in compiled.params.items() if value is not None]
        if bound:
            raise TypeError(f"{bound} are bound in the statement itself: {compiled}")
        return self._texts.setdefault(query, str(compiled))


class Part:
    """The base of each part of the store: a database, and the time of everything but leases."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Both are used from many threads."""
        self._database = database
        self._clock = clock

    def _now_us(self) -> int:
        return to_us(self._clock.now())
