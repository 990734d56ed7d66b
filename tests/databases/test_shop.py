"""What both kinds of database give of the same shop."""

import threading
from collections.abc import Sequence
from decimal import Decimal

import pytest

from tests.databases.conftest import Door
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.sql import same_result
from tunery.core.text_to_sql import Column, ForeignKey
from tunery.databases import customers
from tunery.databases.customers import CustomerDatabases

SQLITE = "sqlite:///shop.db"


@pytest.fixture(params=["postgresql", "sqlite"])
def shop(request: pytest.FixtureRequest) -> str:
    """The shop's URI in each kind."""
    return SQLITE if request.param == "sqlite" else str(request.getfixturevalue("uri"))


def test_tables_and_views_are_found_by_name(databases: CustomerDatabases, shop: str) -> None:
    assert databases.tables(shop) == [(None, "Odd Orders"), (None, "customers"), (None, "names")]


def test_the_kind_is_said_without_a_connection(
    databases: CustomerDatabases, uri: str, door: Door
) -> None:
    assert databases.dialect(uri) == "postgresql"
    assert databases.dialect(SQLITE) == "sqlite"
    assert door.visits == 0


def test_a_scan_tells_columns_keys_categories_and_examples(
    databases: CustomerDatabases, shop: str
) -> None:
    scanned = databases.scan(shop, schema=None, table="customers")

    assert [column.name for column in scanned.columns] == ["id", "name", "country", "note"]
    assert scanned.columns[0].is_primary_key
    assert not scanned.columns[0].low_cardinality
    assert scanned.columns[2] == Column(
        name="country", data_type="VARCHAR(2)", low_cardinality=True, categories=("NL", "PT")
    )
    assert scanned.columns[3].categories == ("x",)
    assert scanned.examples[0] == {"id": "1", "name": "Ada", "country": "NL", "note": "NULL"}
    assert len(scanned.examples) == 3


def test_a_scan_writes_the_table_without_what_only_writers_need(
    databases: CustomerDatabases, shop: str
) -> None:
    scanned = databases.scan(shop, schema=None, table="Odd Orders")
    lines = scanned.table_schema.splitlines()

    assert lines[0] == 'CREATE TABLE "Odd Orders" ('
    assert lines[2:] == [
        "  customer_id INTEGER,",
        "  total NUMERIC(10, 2),",
        "  paid BOOLEAN,",
        "  PRIMARY KEY (id),",
        "  FOREIGN KEY(customer_id) REFERENCES customers (id)",
        ")",
    ]
    assert scanned.columns[1].foreign_key == ForeignKey(
        field_name="id", reference_table="customers"
    )


def test_a_view_is_scanned_like_a_table(databases: CustomerDatabases, shop: str) -> None:
    scanned = databases.scan(shop, schema=None, table="names")

    assert scanned.examples[0] == {"name": "Ada"}
    assert scanned.table_schema.startswith("CREATE TABLE names (")


@pytest.mark.parametrize("table", ["nowhere", "pg_class", "sqlite_master", 'x"; drop table y'])
def test_a_table_that_is_not_there_is_said_so(
    databases: CustomerDatabases, shop: str, table: str
) -> None:
    with pytest.raises(QueryFailed, match="There is no table"):
        databases.scan(shop, schema=None, table=table)


@pytest.mark.parametrize("schema", ["nowhere", "pg_catalog", "information_schema", ""])
def test_a_schema_that_is_not_there_is_said_so(
    databases: CustomerDatabases, shop: str, schema: str
) -> None:
    with pytest.raises(QueryFailed, match="There is no schema"):
        databases.tables(shop, schemas=[schema])


def test_a_query_gives_its_rows(databases: CustomerDatabases, shop: str) -> None:
    sql = "SELECT o.total, '100%' AS p, c.* FROM \"Odd Orders\" o JOIN customers c ON c.id = o.id"

    found = databases.run(shop, sql + " ORDER BY 1;", max_rows=10, timeout_s=5)

    assert found.columns == ("total", "p", "id", "name", "country", "note")
    assert [row[1:4] for row in found.rows] == [("100%", 1, "Ada"), ("100%", 2, "Bo")]
    assert [Decimal(str(row[0])) for row in found.rows] == [Decimal("2.5"), Decimal(10)]
    assert not found.truncated
    assert same_result(found, found, ordered=True)


@pytest.mark.parametrize(("max_rows", "truncated"), [(1, True), (3, True), (4, False), (9, False)])
def test_a_result_is_cut_at_the_rows_that_were_asked_for(
    databases: CustomerDatabases, shop: str, max_rows: int, truncated: bool
) -> None:
    found = databases.run(shop, "select id from customers", max_rows=max_rows, timeout_s=5)

    assert len(found.rows) == min(max_rows, 4)
    assert found.truncated is truncated


def test_a_long_value_is_cut_and_the_result_said_to_be(
    databases: CustomerDatabases, shop: str
) -> None:
    long = (
        "replace(hex(zeroblob(100000)), '00', 'ab')" if shop == SQLITE else "repeat('ab', 100000)"
    )

    found = databases.run(shop, f"select {long}, 1", max_rows=1, timeout_s=5)

    assert len(str(found.rows[0][0])) == 64 * 1024
    assert found.truncated


def test_a_result_is_cut_at_its_size(databases: CustomerDatabases, shop: str) -> None:
    long = "hex(zeroblob(30000))" if shop == SQLITE else "repeat('a', 60000)"
    counted = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)"
    many = f"{counted} select {long} from n"

    found = databases.run(shop, many, max_rows=2000, timeout_s=20)

    assert found.truncated
    assert 200 < len(found.rows) < 400


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select nam from customers", "nam"),
        ("select * from nowhere", "nowhere"),
        ("select nosuch(1)", "nosuch"),
    ],
)
def test_a_query_that_fails_says_so_in_the_databases_words(
    databases: CustomerDatabases, shop: str, sql: str, words: str
) -> None:
    with pytest.raises(QueryFailed, match=words) as failed:
        databases.run(shop, sql, max_rows=1, timeout_s=5)

    assert "s3cret-word" not in failed.value.message
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_what_a_database_says_steers_no_terminal(databases: CustomerDatabases, shop: str) -> None:
    with pytest.raises(QueryFailed, match="red") as failed:
        databases.run(shop, 'select * from "\x1b[31mred"', max_rows=1, timeout_s=5)

    assert failed.value.message.isprintable()


ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


def test_a_query_that_takes_too_long_is_stopped(databases: CustomerDatabases, shop: str) -> None:
    with pytest.raises(QueryFailed, match=r"longer than 0\.3 seconds|statement timeout"):
        databases.run(shop, ENDLESS, max_rows=1, timeout_s=0.3)


@pytest.mark.parametrize(
    "sql",
    ["delete from customers", "select 1; select 2", "select pg_sleep(9), load_extension('x')", "x"],
)
def test_what_does_more_than_read_never_reaches_a_database(
    databases: CustomerDatabases, shop: str, sql: str, door: Door
) -> None:
    with pytest.raises(InvalidValue):
        databases.run(shop, sql, max_rows=1, timeout_s=5)

    assert door.visits == 0


@pytest.mark.parametrize(
    "sql",
    [
        "insert into customers values (9, 'X', 'NL', null)",
        "update customers set name = 'X'",
        "delete from customers",
        "drop table customers",
        "create table x (a int)",
        "with a as (delete from customers returning id) select * from a",
        "select 1; delete from customers",
    ],
)
def test_a_database_refuses_to_write_even_where_the_guard_slept(
    databases: CustomerDatabases, shop: str, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customers, "check_query", lambda sql, dialect: None)

    with pytest.raises(QueryFailed):
        databases.run(shop, sql, max_rows=1, timeout_s=5)

    assert len(databases.run(shop, "select * from customers", max_rows=9, timeout_s=5).rows) == 4


def test_many_queries_at_once_do_not_meet(databases: CustomerDatabases, shop: str) -> None:
    found: dict[int, Sequence[tuple[object, ...]]] = {}

    def ask(n: int) -> None:
        found[n] = databases.run(shop, f"select {n}", max_rows=1, timeout_s=10).rows

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {n: ((n,),) for n in range(12)}
