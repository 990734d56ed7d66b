"""How a table is written for a model."""

import pytest

from tests.service.text_to_sql.shop import CUSTOMERS, ORDERS, key, one_of, table, text
from tunery.core.text_to_sql import Column, ForeignKey
from tunery.service.text_to_sql.tables_as_text import Detail, samples_as_text, table_as_text


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        (
            Detail.FULL,
            "orders(id int key, customer_id int -> customers.id, "
            "status text /* open, paid, sent */)\n",
        ),
        (
            Detail.COMMENTED,
            "orders(id int key, customer_id int -> customers.id, status text)\n",
        ),
        (Detail.NAMES, "orders(id, customer_id -> customers.id, status)\n"),
    ],
)
def test_a_table_is_one_line_with_its_keys_and_what_it_points_to(detail: Detail, text: str) -> None:
    assert table_as_text(ORDERS, detail, dialect="sqlite") == text


def test_descriptions_are_comments_that_a_bare_table_does_without() -> None:
    described = table("t", text("a", description="what\nis */ in it"), description="of all  things")
    full = table_as_text(described, Detail.COMMENTED, dialect="sqlite")
    assert full == "t(a varchar /* what is * / in it */) -- of all things\n"
    assert table_as_text(described, Detail.BARE, dialect="sqlite") == "t(a varchar)\n"


def test_what_is_long_is_cut() -> None:
    long = table("t", key(), description="word " * 100)
    assert len(table_as_text(long, Detail.FULL, dialect="sqlite")) < 200
    many = table("t", one_of("a", *(f"value {n}" for n in range(40))))
    assert table_as_text(many, Detail.FULL, dialect="sqlite") == "t(a text)\n"


@pytest.mark.parametrize(
    ("name", "postgresql", "sqlite"),
    [
        ("orders", "orders", "orders"),
        ("Orders", '"Orders"', "Orders"),
        ("order lines", '"order lines"', '"order lines"'),
        ("order", '"order"', '"order"'),
        ('a"b', '"a""b"', '"a""b"'),
    ],
)
def test_names_are_written_as_queries_must_write_them(
    name: str, postgresql: str, sqlite: str
) -> None:
    written = table(name, Column(name="x", data_type="timestamp without time zone"))
    for dialect, expected in (("postgresql", postgresql), ("sqlite", sqlite)):
        text = table_as_text(written, Detail.BARE, dialect=dialect)
        assert text == f"{expected}(x timestamp)\n"


@pytest.mark.parametrize(
    ("column", "target", "names"),
    [
        ("customer_id", "customer_id", "t(customer_id)\n"),
        ("Customer_ID", "customer_id", "t(Customer_ID)\n"),
        ("buyer", "customer_id", "t(buyer -> customers.customer_id)\n"),
        ("id", "id", "t(id -> customers.id)\n"),
    ],
)
def test_what_a_name_says_already_is_not_said_where_words_are_dear(
    column: str, target: str, names: str
) -> None:
    key = ForeignKey(field_name=target, reference_table="customers")
    pointing = table("t", Column(name=column, data_type="INTEGER", foreign_key=key))
    assert table_as_text(pointing, Detail.NAMES, dialect="sqlite") == names
    full = f"t({column} int -> customers.{target})\n"
    assert table_as_text(pointing, Detail.FULL, dialect="sqlite") == full


def test_a_schema_stands_before_the_name() -> None:
    sales = table("orders", key(), schema="sales")
    assert table_as_text(sales, Detail.BARE, dialect="postgresql") == "sales.orders(id int key)\n"


def test_samples_are_rows_in_the_order_of_the_columns() -> None:
    assert samples_as_text(CUSTOMERS) == "-- 1 | Ada | Oslo\n"
    assert samples_as_text(ORDERS) == ""
