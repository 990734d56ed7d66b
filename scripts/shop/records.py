"""Golden records, and questions that are not among them: right by what the database answers.

A question is taken where its SQL gives rows, the same ones however ties are broken, and where wrong
SQL gives others: a condition left out or turned round, another word in its place, and nearly always
another number (two thresholds with no row between them say the same).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from sqlalchemy import Connection

from scripts.shop.questions import KINDS, VALUES, Kind, Question, asked
from scripts.shop.tables import SEED

N_GOLDEN = 200
N_QUESTIONS = 60

NUMBERS = ("age", "price")
_MOST_ALIKE = 0.1
"""The share of other numbers that may give the same rows."""

Result = tuple[tuple[object, ...], ...]
Answer = Callable[[str], Result]


@dataclass(frozen=True, kw_only=True)
class Records:
    """What a model is taught, and what it is asked then; no SQL is in both."""

    golden: Sequence[Question]
    questions: Sequence[Question]


def records(connection: Connection) -> Records:
    """The shop's records, by what its database answers; always the same."""
    found = _distinct(_good(_answers(connection)))
    questions = list(islice(found, N_QUESTIONS))
    kept_back = {question.sql for question in questions}
    golden = (question for question in found if question.sql not in kept_back)
    return Records(golden=list(islice(golden, N_GOLDEN)), questions=questions)


def wrong_sql(question: Question) -> Iterator[str]:
    """The SQL of `question` with a condition left out, or with one or the order turned round."""
    yield from _without_a_condition(question.sql)
    for was, becomes in ((" > ", " < "), (" < ", " > "), (" desc", "")):
        if was in question.sql:
            yield question.sql.replace(was, becomes)


def other_values(question: Question, name: str) -> list[str]:
    """The SQL of `question` with every other value of `name`."""
    others = (value for value in VALUES[name] if value != question.values[name])
    return [question.kind.sql.format(**{**question.values, name: other}) for other in others]


def _without_a_condition(sql: str) -> Iterator[str]:
    """`sql` with one of its conditions less; they stand between WHERE and GROUP BY or the end."""
    found = re.fullmatch(r"(.*) where (.*?)( group by .*)?", sql)
    if found is None:
        return
    head, conditions, tail = found[1], found[2].split(" and "), found[3] or ""
    for left_out in conditions:
        kept = " and ".join(each for each in conditions if each != left_out)
        yield f"{head} where {kept}{tail}" if kept else f"{head}{tail}"


def tie_broken(sql: str) -> Iterator[str]:
    """An ordered query with its ties broken in either way, by its first column."""
    found = re.fullmatch(r"(select (\w+) .* desc)( limit \d+)", sql)
    if found is not None:
        yield f"{found[1]}, {found[2]}{found[3]}"
        yield f"{found[1]}, {found[2]} desc{found[3]}"


def is_good(question: Question, answer: Answer) -> bool:
    """Whether its SQL gives rows that no wrong SQL gives."""
    right = answer(question.sql)
    if not right or None in right[0]:
        return False
    if any(answer(sql) != right for sql in tie_broken(question.sql)):
        return False
    if any(answer(sql) == right for sql in wrong_sql(question)):
        return False
    return all(_tells_apart(question, name, answer) for name in question.slots)


def _tells_apart(question: Question, name: str, answer: Answer) -> bool:
    right = answer(question.sql)
    others = other_values(question, name)
    n_alike = sum(answer(sql) == right for sql in others)
    return n_alike <= (_MOST_ALIKE * len(others) if name in NUMBERS else 0)


def _answers(connection: Connection) -> Answer:
    """What the database answers, remembered; rows without ORDER BY in an order of our own."""

    @cache
    def answer(sql: str) -> Result:
        rows = [tuple(row) for row in connection.exec_driver_sql(sql)]
        return tuple(rows if " order by " in sql else sorted(rows, key=repr))

    return answer


def _good(answer: Answer) -> Iterator[Question]:
    """Good questions without end, every phrasing as often as any other."""
    rng = random.Random(SEED)
    ways: list[tuple[Kind, str]] = [(kind, text) for kind in KINDS for text in kind.phrasings]
    while True:
        for kind, phrasing in rng.sample(ways, len(ways)):
            question = asked(rng, kind, phrasing)
            while not is_good(question, answer):
                question = asked(rng, kind, phrasing)
            yield question


def _distinct(questions: Iterator[Question]) -> Iterator[Question]:
    """Every question but once."""
    seen: set[str] = set()
    for question in questions:
        if question.text not in seen:
            seen.add(question.text)
            yield question
