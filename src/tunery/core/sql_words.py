"""SQL text as words, read by the rules that PostgreSQL and SQLite share.

What they would read differently from one another, or from our parser, is refused: a quote that ends
in another place hides code from whoever looks for it. So dollar quotes, nested comments, unicode
escapes, parameters and control characters are no part of the SQL that is taken here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, islice

from tunery.core.errors import InvalidValue

MOST_CHARACTERS = 64 * 1024
_MOST_WORDS = 10_000
_DEEPEST = 40
"""Brackets within brackets."""
_DEEPEST_SQUARE = 6
"""Our parser's time doubles with each."""
_MOST_SUBSCRIPTS = 100
"""Our parser takes time with the square of their number."""


class Kind(Enum):
    """What a word is."""

    NAME = "name"
    """A keyword, or an identifier without quotes."""
    QUOTED = "quoted"
    """An identifier in quotes; in SQLite it may also be a string."""
    STRING = "string"
    NUMBER = "number"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Word:
    """One word, and where its last character stands."""

    kind: Kind
    text: str
    """As written, except that a name is in lower case, and a quoted one without its quotes."""
    end: int


_BLANK = re.compile(r"(?:[ \t\n]|\r\n)+")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_ESCAPED = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*+'", re.DOTALL)
_STRING = re.compile(r"[bBnNxX]?'(?:[^']|'')*+'")
_QUOTED = re.compile(r'"(?:[^"]|"")*+"')
_SQLITE_QUOTED = re.compile(r"`(?:[^`]|``)*+`|\[[^\]]*\]")
_NUMBER = re.compile(
    r"(?>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?!\w)"
)
_NAME = re.compile(r"[^\W0-9]\w*")
_SIGNS = {
    "postgres": frozenset("-+*/<>=~!@#%^&|?()[],;:."),
    "sqlite": frozenset("-+*/<>=~!%&|(),;."),
}


def words(sql: str, dialect: str) -> list[Word]:
    """The words of `sql`, without comments; `dialect` is our parser's name of it.

    Raises:
        InvalidValue: it is too long, nests too deeply, or holds what is not taken here.
    """
    if len(sql) > MOST_CHARACTERS:
        raise _invalid(f"It has {len(sql)} characters, and may have {MOST_CHARACTERS}.")
    found = list(islice(_words(sql, dialect), _MOST_WORDS + 1))
    if len(found) > _MOST_WORDS:
        raise _invalid(f"It has more than {_MOST_WORDS} words.")
    _check_depth(found)
    return found


def _words(sql: str, dialect: str) -> Iterator[Word]:
    at, may_continue = 0, False
    while at < len(sql):
        if blank := _BLANK.match(sql, at):
            at = blank.end()
            continue
        if comment := _COMMENT.match(sql, at):
            _check_comment(comment[0])
            at = comment.end()
            continue
        word = _word(sql, at, dialect)
        _check_borders(sql, at, word)
        if may_continue and word.kind is Kind.STRING:
            # PostgreSQL joins it to the one before, and so reads backslashes in it.
            raise _invalid("A string follows one with backslash escapes; join them with ||.")
        may_continue = word.kind is Kind.STRING and sql[at] in "eE"
        at = word.end + 1
        yield word


def _word(sql: str, at: int, dialect: str) -> Word:
    if dialect == "postgres" and (escaped := _ESCAPED.match(sql, at)):
        return Word(Kind.STRING, escaped[0], escaped.end() - 1)
    if string := _STRING.match(sql, at):
        return Word(Kind.STRING, string[0], string.end() - 1)
    if quoted := _quoted(sql, at, dialect):
        mark = quoted[0][-1]
        return Word(Kind.QUOTED, quoted[0][1:-1].replace(mark * 2, mark), quoted.end() - 1)
    if number := _NUMBER.match(sql, at):
        return Word(Kind.NUMBER, number[0], number.end() - 1)
    if name := _NAME.match(sql, at):
        return Word(Kind.NAME, name[0].lower(), name.end() - 1)
    if _is_sign(sql, at, dialect):
        return Word(Kind.SIGN, sql[at], at)
    raise _invalid(_why_unreadable(sql, at))


def _is_sign(sql: str, at: int, dialect: str) -> bool:
    return sql[at] in _SIGNS[dialect] and not sql.startswith("/*", at)


def _why_unreadable(sql: str, at: int) -> str:
    if sql[at] in "'\"" or sql.startswith("/*", at):
        return f"What begins with {sql[at : at + 20]!r} has no end."
    if sql[at] in ".0123456789":
        return f"{sql[at : at + 20]!r} begins as a number and goes on as something else."
    if sql[at] in "$?:@":
        return (
            f"{sql[at]!r} stands outside of quotes; write values, not parameters, in plain quotes."
        )
    return f"{sql[at]!r} has no place in it outside of quotes."


def _quoted(sql: str, at: int, dialect: str) -> re.Match[str] | None:
    quoted = _QUOTED.match(sql, at)
    if quoted is None and dialect == "sqlite":
        quoted = _SQLITE_QUOTED.match(sql, at)
    return quoted


def _check_comment(comment: str) -> None:
    """Refuse what one of the databases ends sooner, or later, than the other."""
    if comment.startswith("/*") and "/*" in comment[1:]:
        raise _invalid("A comment holds another; PostgreSQL alone would nest them.")
    if "\r" in comment.replace("\r\n", "").removesuffix("\r"):
        raise _invalid("A comment holds a carriage return without a line feed.")


def _check_borders(sql: str, at: int, word: Word) -> None:
    """Refuse words that touch where it is open to reading which they are."""
    after = sql[word.end + 1 : word.end + 2]
    if word.kind in (Kind.NAME, Kind.NUMBER) and after in ("'", '"', "`", "$"):
        raise _invalid(f"{word.text!r} touches {after!r}; put a space between them.")
    if word.kind is Kind.NAME and word.text == "u" and re.match(r"&['\"]", sql[word.end + 1 :]):
        raise _invalid(
            f"{sql[at : at + 3]!r} is a unicode escape; write the characters themselves."
        )


def _check_depth(found: list[Word]) -> None:
    signs = [word.text for word in found if word.kind is Kind.SIGN]
    if _depth(signs, "([", ")]") > _DEEPEST or _depth(signs, "[", "]") > _DEEPEST_SQUARE:
        raise _invalid(
            f"It nests too deeply: more than {_DEEPEST} brackets, or {_DEEPEST_SQUARE} square ones."
        )
    if signs.count("[") > _MOST_SUBSCRIPTS:
        raise _invalid(f"It has more than {_MOST_SUBSCRIPTS} subscripts.")


def _depth(signs: list[str], opening: str, closing: str) -> int:
    """How many brackets are open at the same time."""
    depths = accumulate((sign in opening) - (sign in closing) for sign in signs)
    return max(depths, default=0)


def _invalid(problem: str) -> InvalidValue:
    return InvalidValue(f"The SQL cannot be read. {problem}", code="invalid_sql")
