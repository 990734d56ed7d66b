"""What a model is told of a database before a question: as many tables as its context bears.

The tables stand in the database's own order, in training and in asking alike; which of them stand
there is decided by what the question says. In training those that the answer names are there in
any case. How much of each is written depends on the database and on the base model alone, so that
nothing but the tables' words tells the model which of them to use.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tunery.core.errors import InvalidValue
from tunery.core.text_to_sql import TableDescription
from tunery.service.text_to_sql.lengths import Lengths
from tunery.service.text_to_sql.relevance import Relevance, is_named, words
from tunery.service.text_to_sql.tables_as_text import (
    Detail,
    names_of,
    samples_as_text,
    table_as_text,
)

LONGEST_ANSWER = 512
"""SQL has so many tokens at most, and no more than a quarter of the context."""
MOST_TABLE_TOKENS = 4096
"""The tables have a quarter of the context, and never more than this."""
LONGEST_SMALL_CONTEXT = 2048
"""A model whose context is no longer is a small one: it gets the names, and nothing else."""
_TEMPLATE_TOKENS = 64
"""Room for what the chat template puts around the messages."""

_DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

Messages = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question as a model gets it."""

    messages: Messages
    n_tokens: int
    """About: of all messages, without what the chat template puts around them."""


def longest_answer(context: int) -> int:
    """The most tokens that SQL may have for a model with this context."""
    return min(LONGEST_ANSWER, context // 4)


class Booklet:
    """The tables of a database and what its administrator wants heeded, for one base model."""

    def __init__(
        self,
        *,
        dialect: str,
        tables: Sequence[TableDescription],
        instructions: Sequence[str],
        lengths: Lengths,
    ) -> None:
        """`tables` are in the database's own order, scanned.

        Raises:
            InvalidValue: there are none.
        """
        if not tables:
            raise InvalidValue(
                "No table of the database is scanned yet; scan them first (sync-schemas).",
                code="no_scanned_tables",
            )
        self._dialect = dialect
        self._tables = tables
        self._relevance = Relevance(tables)
        self._lengths = lengths
        self._head = _head(dialect, instructions)
        self._texts = {
            detail: [table_as_text(table, detail, dialect=dialect) for table in tables]
            for detail in Detail
        }
        self._samples = [samples_as_text(table) for table in tables]
        lengths.learn([self._head, *self._samples, *chain(*self._texts.values())])
        self._detail = self._usual_detail()

    @property
    def n_tables(self) -> int:
        """How many tables there are to choose from."""
        return len(self._tables)

    def asked(
        self, question: str, *, known_tables: Collection[str] = (), sql: str | None = None
    ) -> Asked:
        """The system and the user message; with `sql`, also the assistant's that gives it.

        `known_tables`, as the SQL names them, are told of in any case.

        Raises:
            InvalidValue: the question, the answer and the tables that must be there do not fit
                into the base model's context.
        """
        self._lengths.learn([question] if sql is None else [question, sql])
        known = [at for at, table in enumerate(self._tables) if is_named(table, known_tables)]
        room = self._room(question, sql)
        written = self._chosen(question, known, sql, room)
        system = self._head + "".join(text for at in sorted(written) for text in written[at])
        messages = [
            {"role": "system", "content": system.rstrip("\n")},
            {"role": "user", "content": question},
        ]
        parts = [self._head, question, *chain(*written.values())]
        if sql is not None:
            messages.append({"role": "assistant", "content": sql})
            parts.append(sql)
        return Asked(messages=messages, n_tokens=sum(self._lengths[part] for part in parts))

    def _room(self, question: str, sql: str | None) -> int:
        """How many tokens the tables may have."""
        context = self._lengths.context
        answer = longest_answer(context) if sql is None else self._lengths[sql]
        beside = self._lengths[self._head] + self._lengths[question] + answer + _TEMPLATE_TOKENS
        if beside >= context:
            raise InvalidValue(
                f"instructions, question and answer have about {beside} tokens; the base model's "
                f"context is {context}, and the tables need room too",
                code="context_length_exceeded",
            )
        return min(self._budget, context - beside)

    @property
    def _budget(self) -> int:
        return min(self._lengths.context // 4, MOST_TABLE_TOKENS)

    def _chosen(
        self, question: str, known: Sequence[int], sql: str | None, room: int
    ) -> Mapping[int, Sequence[str]]:
        """What is told of the tables that are told of, by their places."""
        ranked = self._relevance.ranked(question, frozenset(known))
        # Where nothing is known, the table that matters most must be there.
        needed = known or ranked[:1]
        texts, chosen = self._needed(needed, question, sql, room)
        room -= sum(self._lengths[text] for text in chosen.values())
        for at in ranked:
            if at not in chosen and self._lengths[texts[at]] <= room:
                chosen[at] = texts[at]
                room -= self._lengths[texts[at]]
        return self._with_samples(question, chosen, room)

    def _needed(
        self, needed: Sequence[int], question: str, sql: str | None, room: int
    ) -> tuple[Sequence[str], dict[int, str]]:
        """All tables as much as they can be written, and of them those that must be there."""
        for texts in self._less_and_less(question, sql):
            chosen = {at: texts[at] for at in needed}
            if sum(self._lengths[text] for text in chosen.values()) <= room:
                return texts, chosen
        names = ", ".join(names_of([self._tables[at] for at in needed]))
        n_tokens = sum(self._lengths[text] for text in chosen.values())
        raise InvalidValue(
            f"the tables that must be told of ({names}) have {n_tokens} tokens even in fewest "
            f"words; there is room for {room}. A base model with a longer context is needed.",
            code="context_length_exceeded",
        )

    def _less_and_less(self, question: str, sql: str | None) -> Iterator[Sequence[str]]:
        """All tables in fewer and fewer words, at last with no columns but those named."""
        details = list(Detail)
        for detail in details[details.index(self._detail) :]:
            yield self._texts[detail]
        yield [self._narrow(table, question, sql) for table in self._tables]

    def _narrow(self, table: TableDescription, question: str, sql: str | None) -> str:
        """`table` with its keys and what the SQL names; without SQL, what the question is about."""
        asked = words(question)
        columns = {
            column.name.lower()
            for column in table.columns
            if column.is_primary_key
            or column.foreign_key is not None
            or (words(column.name) & asked if sql is None else _names(sql, column.name))
        }
        return table_as_text(table, Detail.NAMES, dialect=self._dialect, columns=columns)

    def _with_samples(
        self, question: str, chosen: Mapping[int, str], room: int
    ) -> Mapping[int, Sequence[str]]:
        written = {at: [text] for at, text in chosen.items()}
        if self._detail is not Detail.FULL:
            return written
        # By the question alone: what the answer names must not be seen from what has samples.
        for at in self._relevance.ranked(question):
            if at in written and self._lengths[self._samples[at]] <= room:
                written[at].append(self._samples[at])
                room -= self._lengths[self._samples[at]]
        return written

    def _usual_detail(self) -> Detail:
        """As much as can be written of every table; if not all fit at all, of those that do.

        With fewer words a small model learns faster, and more: tiny-chat copies names out of a
        page of some 250 tokens, and loses its way in longer ones.
        """
        if self._lengths.context <= LONGEST_SMALL_CONTEXT:
            return Detail.NAMES
        for detail, texts in self._texts.items():
            if sum(self._lengths[text] for text in texts) <= self._budget:
                return detail
        return Detail.FULL


def _head(dialect: str, instructions: Sequence[str]) -> str:
    """What stands before the tables."""
    database = _DATABASES.get(dialect, "SQL")
    lines = [f"Answer with one {database} query."]
    if instructions:
        lines += ["Heed this:", *(f"- {' '.join(each.split())}" for each in instructions)]
    return "\n".join([*lines, "Tables:", ""])


def _names(sql: str, column: str) -> bool:
    """Whether `sql` has the name of `column` in it, as a word of its own."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", sql, re.IGNORECASE) is not None
