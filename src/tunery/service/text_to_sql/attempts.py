"""One question answered with SQL: written, tried out, and once repaired where it fails."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from time import monotonic

from tunery.core import sql
from tunery.core.errors import InvalidValue, QueryFailed, Unavailable
from tunery.core.models import BaseModel
from tunery.core.text_to_sql import DatabaseConnection, FailedSql, Prompt
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.writer import SqlWriter, Written

LONGEST_S = 150.0
"""How long an answer may take, as at Dataherald's engine."""
TRIED_ROWS = 100
"""How many rows a trial looks at; what fails in a later one shows when it is executed."""
LONGEST_QUERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """SQL, and what came of trying it out."""

    sql: str
    error: str | None
    """None where it runs."""
    repaired: FailedSql | None = None
    """The first attempt, where there was a second."""
    tokens_used: int = 0


class Attempts:
    """Gets SQL from models and databases to agree, within a time."""

    def __init__(
        self,
        *,
        questions: Questions,
        writer: SqlWriter,
        databases: ConnectedDatabases,
        longest_s: float = LONGEST_S,
    ) -> None:
        """`questions` says what a model is asked, `writer` what it answers."""
        self._questions = questions
        self._writer = writer
        self._databases = databases
        self._longest_s = longest_s

    def answer(
        self,
        connection: DatabaseConnection,
        prompt: Prompt,
        *,
        base: BaseModel,
        adapter: str | None,
    ) -> Answer:
        """What the model writes, repaired once by the words of the database where it fails.

        Raises:
            InvalidValue: no table is scanned, or the question does not fit into the context.
            Unavailable: nothing can be generated now, or it took too long.
        """
        ends = monotonic() + self._longest_s

        def attempt() -> Answer:
            return self._answered(connection, prompt, base, adapter, lambda: monotonic() < ends)

        # In a thread of its own, which ends by itself at the model's next word after the time.
        thread = ThreadPoolExecutor(max_workers=1)
        try:
            return thread.submit(attempt).result(self._longest_s)
        except TookTooLong:
            raise Unavailable(
                "SQL generation request timed out: it had not ended after "
                f"{self._longest_s:g} seconds"
            ) from None
        finally:
            thread.shutdown(wait=False)

    def tried(self, connection: DatabaseConnection, given: str) -> Answer:
        """SQL that somebody brought, tried out and never rewritten.

        Raises:
            InvalidValue: it does not parse, or is not one single read-only statement.
        """
        sql.check_query(given, connection.dialect)
        return Answer(sql=given, error=self._fault(connection, given))

    def _answered(
        self,
        connection: DatabaseConnection,
        prompt: Prompt,
        base: BaseModel,
        adapter: str | None,
        wanted: Callable[[], bool],
    ) -> Answer:
        messages = self._questions.messages(
            connection, prompt.text, base=base, schemas=prompt.schemas
        )
        first = self._writer.write(messages, base=base, adapter=adapter, wanted=wanted)
        error = self._fault(connection, first.sql)
        if error is None:
            return Answer(sql=first.sql, error=None, tokens_used=first.tokens_used)
        failed = FailedSql(sql=first.sql, error=error)
        try:
            second = self._writer.write(
                [*messages, *_and_then(failed)], base=base, adapter=adapter, wanted=wanted
            )
        except InvalidValue:
            # With the database's words it no longer fits into the model's context.
            return Answer(sql=first.sql, error=error, tokens_used=first.tokens_used)
        return self._repaired(connection, failed, first, second)

    def _repaired(
        self, connection: DatabaseConnection, failed: FailedSql, first: Written, second: Written
    ) -> Answer:
        return Answer(
            sql=second.sql,
            error=self._fault(connection, second.sql),
            repaired=failed,
            tokens_used=first.tokens_used + second.tokens_used,
        )

    def _fault(self, connection: DatabaseConnection, written: str) -> str | None:
        """Why `written` does not run; what could do more than read is not tried."""
        try:
            sql.check_query(written, connection.dialect)
            self._databases.run(connection, written, max_rows=TRIED_ROWS, timeout_s=LONGEST_QUERY_S)
        except (InvalidValue, QueryFailed) as error:
            return error.message
        return None


def _and_then(failed: FailedSql) -> list[dict[str, str]]:
    """How the conversation goes on after SQL that failed."""
    return [
        {"role": "assistant", "content": failed.sql},
        {
            "role": "user",
            "content": f"That fails: {failed.error}\nAnswer with the corrected query alone.",
        },
    ]
