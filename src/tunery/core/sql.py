"""SQL of the customer's: read, guarded and compared, without a database.

A statement is read twice: word by word (`core/sql_words.py`) and by sqlglot. Where the two do not
see the same quotes in the same places, it is refused.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from tunery.core.errors import InvalidValue
from tunery.core.sql_functions import denied_function, denied_schema, denied_table
from tunery.core.sql_rows import same_result
from tunery.core.sql_words import Kind, Word, words

__all__ = ["check_query", "is_ordered", "normalised", "same_result", "tables_in"]

_PARSERS = {"postgresql": "postgres", "sqlite": "sqlite"}
_CATALOG = "pg_catalog"
_BEGINNINGS = frozenset({"select", "with", "values", "("})
_QUERIES = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)
_EFFECTS = (exp.DDL, exp.DML, exp.Command, exp.Drop, exp.Alter, exp.Set, exp.Into, exp.Lock)
_PLAIN = (exp.Literal, exp.DPipe, exp.Paren, exp.Chr)
_MOST_TRIMMED = 200
_QUOTES = frozenset(
    {
        TokenType.STRING,
        TokenType.IDENTIFIER,
        TokenType.BYTE_STRING,
        TokenType.BIT_STRING,
        TokenType.HEX_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.RAW_STRING,
        TokenType.HEREDOC_STRING,
        TokenType.UNICODE_STRING,
    }
)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _bounded(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """`read`, whose recursion ends in an error of ours."""

    @functools.wraps(read)
    def reader(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except RecursionError:
            raise _invalid("It nests too deeply.") from None

    return reader


@_bounded
def check_query(sql: str, dialect: str) -> None:
    """Pass a single statement that reads, and reaches nothing but the database's own tables.

    Raises:
        InvalidValue: "invalid_sql" where it cannot be read, "not_read_only" where it is another
            kind of statement, or several, or calls a function that does more than compute.
    """
    parser = _parser(dialect)
    found = words(sql, parser)
    _check_beginning(found)
    _check_names(found, dialect)
    statement = _statement(sql, parser, found)
    if not isinstance(statement, _QUERIES):
        raise _not_read_only(f"It is {statement.key.upper()}, not a query.")
    for node in statement.walk():
        if isinstance(node, _EFFECTS):
            raise _not_read_only(f"It holds {_named(node)}.")
        if dialect == "sqlite":
            _check_trim(node)


@_bounded
def tables_in(sql: str, dialect: str) -> frozenset[str]:
    """The tables that a statement names, `schema.table` where it names the schema.

    What a WITH defines is none. Names are as the database folds them: in lower case where they are
    not quoted (PostgreSQL), always (SQLite).

    Raises:
        InvalidValue: it cannot be read.
    """
    found = (
        table
        for table in _read(sql, dialect).find_all(exp.Table)
        if isinstance(table.this, exp.Identifier) and not _is_defined_here(table)
    )
    return frozenset(".".join(_folded(part, dialect) for part in table.parts) for table in found)


@_bounded
def normalised(sql: str, dialect: str) -> str:
    """The same text for all writings of the same SQL.

    Case of keywords and names, white space, comments, needless quotes and the semicolon at the end
    do not matter; literals do.

    Raises:
        InvalidValue: it cannot be read.
    """
    statement = _read(sql, dialect)
    for identifier in statement.find_all(exp.Identifier):
        # A name in quotes keeps its case: PostgreSQL does so, and SQLite may read a string.
        if not identifier.quoted:
            identifier.set("this", identifier.name.lower())
        identifier.set("quoted", True)
    for function in statement.find_all(exp.Anonymous):
        if isinstance(function.this, str):
            function.set("this", function.this.lower())
    text: str = statement.sql(_parser(dialect), comments=False, normalize_functions=False)
    return text


@_bounded
def is_ordered(sql: str, dialect: str) -> bool:
    """Whether the order of a statement's rows means something: its outermost query has ORDER BY.

    Raises:
        InvalidValue: it cannot be read.
    """
    statement = _read(sql, dialect)
    while isinstance(statement, exp.Subquery) and not statement.args.get("order"):
        statement = statement.this
    return bool(statement.args.get("order"))


def _read(sql: str, dialect: str) -> exp.Expr:
    parser = _parser(dialect)
    return _statement(sql, parser, words(sql, parser))


def _statement(sql: str, parser: str, found: list[Word]) -> exp.Expr:
    if not found:
        raise _invalid("It is empty.")
    try:
        tokens = sqlglot.tokenize(sql, read=parser)
        _check_same_quotes(sql, tokens, found)
        parsed = Dialect.get_or_raise(parser).parser().parse(tokens, sql)
    except ParseError as error:
        raise _invalid(_first_problem(error)) from None
    except SqlglotError as error:
        raise _invalid(f"{error}") from None
    statements = [each for each in parsed if each and not isinstance(each, exp.Semicolon)]
    if len(statements) != 1:
        raise _not_read_only(f"It holds {len(statements)} statements, and may hold one.")
    return statements[0]


def _check_same_quotes(sql: str, tokens: list[Token], found: list[Word]) -> None:
    ours = [word.end for word in found if word.kind in (Kind.STRING, Kind.QUOTED)]
    # Among the hexadecimal strings there are numbers, such as 0x1f.
    quoted = (token for token in tokens if token.token_type in _QUOTES)
    theirs = [token.end for token in quoted if sql[token.end] in "'\"`]"]
    if ours != theirs:
        raise _invalid("It is open to reading where its quotes end; write it more plainly.")


def _first_problem(error: ParseError) -> str:
    if not error.errors:
        return "It is no statement."
    first = error.errors[0]
    return f"Line {first['line']}, column {first['col']}: {first['description']}"


def _check_beginning(found: list[Word]) -> None:
    if found and (found[0].kind is Kind.QUOTED or found[0].text not in _BEGINNINGS):
        raise _not_read_only(f"It begins with {found[0].text.upper()}.")


def _check_names(found: list[Word], dialect: str) -> None:
    """Refuse what a query may not name; by the words, whatever the parser makes of them."""
    before = ["", "", *(word.text for word in found)]
    for at, word in enumerate(found):
        following = found[at + 1] if at + 1 < len(found) else None
        sign = following.text if following is not None and following.kind is Kind.SIGN else ""
        if word.kind is Kind.NAME and word.text == "into":
            raise _not_read_only("It holds INTO, which makes a table.")
        if word.kind in (Kind.NAME, Kind.QUOTED):
            _check_name(word.text, before[at : at + 2], sign, dialect)


def _check_name(name: str, before: Sequence[str], sign: str, dialect: str) -> None:
    """Refuse `name` after the two words `before` and in front of `sign`."""
    if denied_table(name, dialect):
        raise _not_read_only(f"{name} tells of the server, not of what it keeps.")
    if dialect == "postgresql" and name.lower() == _CATALOG and sign != ".":
        raise _not_read_only(f"It calls something {name}, which is a schema's name.")
    # To PostgreSQL `x.f` is `f(x)` where x has no column f; of the catalog it is a table.
    is_called = sign == "(" or (
        dialect == "postgresql" and before[1] == "." and before[0].lower() != _CATALOG
    )
    if (is_called and denied_function(name, dialect)) or (
        sign == "." and denied_schema(name, dialect)
    ):
        raise _not_read_only(
            f"It calls {name}, which does more than compute, or reaches beyond the database's "
            "tables."
        )


def _check_trim(node: exp.Expr) -> None:
    """Refuse characters to trim that are not said outright, and few.

    SQLite looks through all of them for each character of the text, and nothing stops it.
    """
    characters = node.args.get("expression") if isinstance(node, (exp.Trim, exp.Unhex)) else None
    if characters is None:
        return
    is_plain = all(isinstance(each, _PLAIN) for each in characters.walk())
    if not is_plain or len(characters.sql()) > _MOST_TRIMMED:
        raise _invalid(f"What is trimmed must be a text of at most {_MOST_TRIMMED} characters.")


def _named(node: exp.Expr) -> str:
    return {"lock": "FOR UPDATE or FOR SHARE"}.get(node.key, node.key.upper())


def _is_defined_here(table: exp.Table) -> bool:
    """Whether a WITH around `table` gives that name to a query of its own."""
    name = table.name.lower()
    return not table.db and any(name == defined.lower() for defined in _names_in_sight(table))


def _names_in_sight(node: exp.Expr) -> Iterator[str]:
    """What is defined around `node`; inside of a definition, only what stands before it."""
    inside: exp.Expr | None = None
    at: exp.Expr | None = node
    while at is not None:
        defines = at.args.get("with_")
        if isinstance(defines, exp.With):
            yield from _names_before(defines, inside)
        inside = at if isinstance(at, exp.CTE) else inside
        at = at.parent


def _names_before(defines: exp.With, inside: exp.Expr | None) -> Iterator[str]:
    for definition in defines.expressions:
        if definition is inside and not defines.recursive:
            return
        yield definition.alias


def _folded(identifier: exp.Expr, dialect: str) -> str:
    keeps_case = dialect == "postgresql" and identifier.args.get("quoted")
    return identifier.name if keeps_case else identifier.name.lower()


def _parser(dialect: str) -> str:
    if dialect not in _PARSERS:
        raise InvalidValue(
            f"There is no dialect {dialect!r} here; there are {' and '.join(_PARSERS)}.",
            code="unsupported_database",
        )
    return _PARSERS[dialect]


def _invalid(problem: str) -> InvalidValue:
    return InvalidValue(f"The SQL cannot be read. {problem}", code="invalid_sql")


def _not_read_only(problem: str) -> InvalidValue:
    return InvalidValue(
        f"The SQL is not a single statement that only reads. {problem} Write one SELECT, with "
        "WITH or set operations as you like, or VALUES.",
        code="not_read_only",
    )
