"""Pieces that statements are made of."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Insert,
    Select,
    Table,
    insert,
)
from sqlalchemy import bindparam as parameter
from sqlalchemy import literal_column as word

NEWEST = 2**63 - 1
"""Above every sequence: where a list that begins with the newest begins."""


def value(name: str, column: Column[Any]) -> BindParameter[Any]:
    """The parameter `name`, of the column's type."""
    return parameter(name, type_=column.type)


def number(name: str) -> BindParameter[int]:
    """The whole number `name`."""
    return parameter(name, type_=BigInteger())


def given(column: Column[Any]) -> ColumnElement[bool]:
    """The column equals the parameter of its name."""
    return column == value(column.name, column)


def new(table: Table, columns: Iterable[Column[Any]]) -> Insert:
    """Insert one row, each column from the parameter of its name."""
    return insert(table).values({each.name: value(each.name, each) for each in columns}).inline()


def one_of(column: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """The column is one of these words of ours, which are part of the statement's text."""
    return column.in_([word(f"'{each}'") for each in values])


def page(query: Select[Any], sequence: Column[Any], *, ascending: bool) -> Select[Any]:
    """As many rows as `count`, behind the one with the sequence `after`."""
    behind = sequence > number("after") if ascending else sequence < number("after")
    order = sequence.asc() if ascending else sequence.desc()
    return query.where(behind).order_by(order).limit(number("count"))


def numbered(query: Select[Any], sequence: Column[Any]) -> Select[Any]:
    """As many rows as `count`, the newest first, behind as many as `skipped`.

    A deep page reads all those before it, if only in an index. That is for doors whose clients
    have page numbers and nothing else; every other list goes on behind a sequence.
    """
    return query.order_by(sequence.desc()).limit(number("count")).offset(number("skipped"))
