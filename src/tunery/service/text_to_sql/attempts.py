"""One question answered with SQL: written, tried out, and once repaired where it fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from tunery.core import sql
from tunery.core.errors import InvalidValue, QueryFailed, Unavailable
from tunery.core.models import BaseModel
from tunery.core.text_to_sql import DatabaseConnection, FailedSql
from tunery.service.text_to_sql.booklet import Messages, longest_answer
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.side_by_side import aside
from tunery.service.text_to_sql.writer import SqlWriter, Written

LONGEST_S = 150.0
"""How long an answer may take, as at Dataherald's engine."""
TRIED_ROWS = 100
"""How many rows a trial looks at; what fails in a later one shows when it is executed."""
LONGEST_QUERY_S = 30.0

_Ask = Callable[[Messages], Written]


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
        question: str,
        *,
        schemas: Sequence[str] | None,
        base: BaseModel,
        adapter: str | None,
    ) -> Answer:
        """What the model writes, repaired once by the words of the database where it fails.

        Raises:
            InvalidValue: no table is scanned, or the question does not fit into the context.
            Unavailable: nothing can be generated now, or it took too long.
        """
        ends = monotonic() + self._longest_s

        def in_time() -> bool:
            return monotonic() < ends

        def answered() -> Answer:
            lengths = self._questions.lengths(base)
            booklet = self._questions.booklet(connection, lengths=lengths, schemas=schemas)
            longest = longest_answer(lengths.context)

            def ask(messages: Messages) -> Written:
                return self._writer.write(
                    messages, base=base, adapter=adapter, max_tokens=longest, wanted=in_time
                )

            return self._answered(connection, booklet.asked(question).messages, ask)

        try:
            return aside(answered, wanted=in_time)
        except Unavailable:
            if in_time():
                raise
            raise Unavailable(
                "SQL generation request timed out: it was not done within "
                f"{self._longest_s:g} seconds"
            ) from None

    def tried(self, connection: DatabaseConnection, given: str) -> Answer:
        """SQL that somebody brought, tried out and never rewritten.

        Raises:
            InvalidValue: it does not parse, or is not one single read-only statement.
        """
        sql.check_query(given, connection.dialect)
        return Answer(sql=given, error=self._fault(connection, given))

    def _answered(self, connection: DatabaseConnection, messages: Messages, ask: _Ask) -> Answer:
        first = ask(messages)
        error = self._fault(connection, first.sql)
        if error is None:
            return Answer(sql=first.sql, error=None, tokens_used=first.tokens_used)
        failed = FailedSql(sql=first.sql, error=error)
        try:
            second = ask([*messages, *_and_then(failed)])
        except InvalidValue:
            # With the database's words it no longer fits into the model's context.
            return Answer(sql=first.sql, error=error, tokens_used=first.tokens_used)
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


def _and_then(failed: FailedSql) -> Messages:
    """How the conversation goes on after SQL that failed."""
    return [
        {"role": "assistant", "content": failed.sql},
        {
            "role": "user",
            "content": f"That fails: {failed.error}\nAnswer with the corrected query alone.",
        },
    ]
