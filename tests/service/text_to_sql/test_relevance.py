"""Which tables a question is about."""

import time
from dataclasses import replace

import pytest

from tests.service.text_to_sql.shop import SHOP, table, text
from tunery.service.text_to_sql.relevance import Relevance, is_named, words

NAMES = [table.table_name for table in SHOP]


def ranked(question: str, *known: str) -> list[str]:
    places = Relevance(SHOP).ranked(question, {NAMES.index(name) for name in known})
    assert sorted(places) == list(range(len(SHOP)))
    return [NAMES[place] for place in places]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Which customers live in the town of Oslo?", "customers"),
        ("What does the dearest product cost, by its price?", "products"),
        ("Who sits at which desk?", "staff"),
        ("How many are paid?", "orders"),
    ],
)
def test_the_table_that_shares_the_most_words_comes_first(question: str, first: str) -> None:
    assert ranked(question)[0] == first


def test_what_a_table_is_joined_to_comes_before_strangers() -> None:
    assert ranked("What is the price?")[:2] == ["products", "order_lines"]
    assert ranked("Which town?")[:2] == ["customers", "orders"]


def test_a_database_of_thousands_of_tables_is_searched_at_once() -> None:
    tables = [
        replace(SHOP[at % len(SHOP)], table_name=f"{SHOP[at % len(SHOP)].table_name}_{at}")
        for at in range(3000)
    ]
    began = time.process_time()
    assert len(Relevance(tables).ranked("Which customers live in the town of Oslo?")) == 3000
    assert time.process_time() - began < 2.0


def test_known_tables_come_before_all_others() -> None:
    assert set(ranked("Which town?", "staff", "products")[:2]) == {"staff", "products"}


def test_a_question_that_says_nothing_leaves_the_databases_own_order() -> None:
    assert ranked("And then?") == NAMES


@pytest.mark.parametrize(
    "forms",
    [
        "order orders ordered ordering",
        "category categories",
        "price prices priced pricing",
        "ship ships shipped shipping",
        "address addresses",
        "status statuses",
        "box boxes",
        "name names named",
    ],
)
def test_the_forms_of_a_word_are_one_word(forms: str) -> None:
    assert len(words(forms)) == 1


def test_names_are_read_as_the_words_they_are_made_of() -> None:
    assert words("customerOrders") == words("customer_orders") == words("Customer orders")
    assert words("XMLFile2024") == {"xml", "fil", "2024"}


def test_a_table_is_known_by_its_name_with_or_without_its_schema() -> None:
    sales = table("Orders", text("a"), schema="sales")
    for name in ("orders", "ORDERS", "sales.orders"):
        assert is_named(sales, [name])
    for name in ("other.orders", "order", "sales"):
        assert not is_named(sales, [name])
    assert is_named(table("Odd.Orders", text("a")), ["odd.orders"])
    assert is_named(table("Orders", text("a")), ["main.orders"])
