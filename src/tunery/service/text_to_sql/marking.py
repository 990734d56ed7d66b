"""Whether SQL is what a golden record says, or at least gives the same."""

import threading
from dataclasses import dataclass

from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.sql import check_query, is_ordered, normalised, same_result
from tunery.core.text_to_sql import DatabaseConnection, Rows
from tunery.service.text_to_sql.booklet import Messages
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.golden_sql import AT_ONCE, LONGEST_RUN_S

_MOST_ROWS = 10_000
"""Results are compared up to so many rows."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A golden record that was not trained on."""

    messages: Messages
    """The question, as the model gets it."""
    sql: str
    result: Rows


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How good an answer is."""

    is_exact: bool
    """The same SQL, but for how it is written."""
    is_right: bool
    """SQL with the same result."""


class Marking:
    """Compares with what the database says."""

    def __init__(self, connection: DatabaseConnection, databases: ConnectedDatabases) -> None:
        """All SQL is run in the database behind `connection`."""
        self._connection = connection
        self._databases = databases
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def held_out(self, row: Messages) -> HeldOut:
        """A row of a training file, with the result of its SQL.

        Raises:
            QueryFailed: the SQL runs no longer.
        """
        sql = row[-1]["content"]
        return HeldOut(messages=row[:-1], sql=sql, result=self._run(sql))

    def mark(self, asked: HeldOut, sql: str) -> Mark:
        """How good `sql` is as an answer to `asked`; what does not run, or may not, is wrong."""
        dialect = self._connection.dialect
        try:
            check_query(sql, dialect)
            if normalised(sql, dialect) == normalised(asked.sql, dialect):
                return Mark(is_exact=True, is_right=True)
            result = self._run(sql)
        except (InvalidValue, QueryFailed):
            return Mark(is_exact=False, is_right=False)
        ordered = is_ordered(asked.sql, dialect)
        return Mark(is_exact=False, is_right=same_result(asked.result, result, ordered=ordered))

    def _run(self, sql: str) -> Rows:
        with self._turns:
            return self._databases.run(
                self._connection, sql, max_rows=_MOST_ROWS, timeout_s=LONGEST_RUN_S
            )
