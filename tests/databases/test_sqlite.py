"""What only SQLite does."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.text_to_sql import ForeignKey
from tunery.databases import customers
from tunery.databases.customers import CustomerDatabases

SHOP = "sqlite:///shop.db"


def run(databases: CustomerDatabases, sql: str, uri: str = SHOP) -> object:
    return databases.run(uri, sql, max_rows=10, timeout_s=2).rows


@pytest.mark.parametrize(
    "sql",
    [
        "attach 'other.db' as other",
        "attach ':memory:' as other",
        "pragma query_only = off",
        "update sqlite_master set sql = ''",
        "delete from sqlite_master",
        "pragma table_info(customers)",
        "select * from pragma_database_list",
        "vacuum into 'copy.db'",
        "select load_extension('x')",
        "select 'a' regexp '(a+)+$'",
        "begin immediate",
        "create temp table x (a)",
        "reindex",
        "analyze",
    ],
)
def test_the_file_is_read_and_nothing_else_even_where_the_guard_slept(
    databases: CustomerDatabases, folder: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customers, "check_query", lambda sql, dialect: None)
    before = sorted(path.name for path in folder.iterdir())

    with pytest.raises(QueryFailed):
        run(databases, sql)

    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_pattern_that_backtracks_is_not_run(databases: CustomerDatabases) -> None:
    with pytest.raises(QueryFailed, match="regexp"):
        run(databases, "select 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' regexp '(a+)+$'")


@pytest.mark.parametrize("sql", ["select zeroblob(1000000000)", "select hex(zeroblob(16000000))"])
def test_a_value_that_would_fill_the_memory_is_not_made(
    databases: CustomerDatabases, sql: str
) -> None:
    with pytest.raises(QueryFailed, match="too big"):
        run(databases, sql)


def test_a_value_that_is_too_long_for_a_query_is_still_scanned(
    databases: CustomerDatabases, folder: Path
) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as client, client:
        client.execute("create table long (a text)")
        client.execute("insert into long values (replace(hex(zeroblob(1000000)), '0', 'a'))")

    assert databases.scan(SHOP, schema=None, table="long").examples == ({"a": "a" * 200 + "…"},)
    with pytest.raises(QueryFailed, match="too big"):
        run(databases, "select a from long")


def test_the_clock_is_looked_at_between_costly_calls(databases: CustomerDatabases) -> None:
    counted = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 9999)"
    long = "replace(hex(zeroblob(400000 + i)), '0', 'a')"
    began = time.monotonic()

    with pytest.raises(QueryFailed, match=r"longer than 0\.2 seconds"):
        databases.run(
            SHOP, f"{counted} select sum(length({long})) from n", max_rows=1, timeout_s=0.2
        )

    assert time.monotonic() - began < 3


@pytest.mark.parametrize("is_open", [True, False])
def test_a_file_with_a_log_is_read_and_nothing_left_beside_it(
    databases: CustomerDatabases, folder: Path, is_open: bool
) -> None:
    writer = sqlite3.connect(folder / "logged.db", isolation_level=None)
    writer.executescript("pragma journal_mode = wal; create table t (a); insert into t values (1)")
    if not is_open:
        writer.close()
    before = sorted(folder.iterdir())

    assert run(databases, "select a from t", "sqlite:///logged.db") == ((1,),)
    assert databases.tables("sqlite:///logged.db") == [(None, "t")]

    assert sorted(folder.iterdir()) == before
    writer.close()


def test_a_view_calls_no_function_that_a_query_could_not(
    databases: CustomerDatabases, folder: Path
) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as client:
        client.execute("create view bad as select load_extension('x') as a")

    with pytest.raises(QueryFailed):
        run(databases, "select * from bad")


def test_a_link_that_leads_out_of_the_folder_is_not_followed(
    databases: CustomerDatabases, folder: Path
) -> None:
    (folder / "link.db").symlink_to(folder.parent / "secret.db")
    (folder / "up").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")

    for name in ("link.db", "up/secret.db", "loop/x.db"):
        with pytest.raises((InvalidValue, QueryFailed)):
            run(databases, "select 1", f"sqlite:///{name}")


def test_what_is_no_file_is_not_waited_for(databases: CustomerDatabases, folder: Path) -> None:
    os.mkfifo(folder / "pipe.db")
    (folder / "sub.db").mkdir()

    for name in ("pipe.db", "sub.db"):
        with pytest.raises(InvalidValue, match="names no file"):
            databases.tables(f"sqlite:///{name}")


def test_a_link_within_the_folder_is_followed(databases: CustomerDatabases, folder: Path) -> None:
    (folder / "today.db").symlink_to("shop.db")

    assert run(databases, "select count(*) from customers", "sqlite:///today.db") == ((4,),)
    whole = f"sqlite:///{folder / 'shop.db'}"
    assert run(databases, "select count(*) from customers", whole) == ((4,),)


def test_an_odd_name_is_only_a_name(databases: CustomerDatabases, folder: Path) -> None:
    (folder / "shop.db").rename(folder / "a b%20?mode=rwc#.db")

    uri = "sqlite:///a b%20%3Fmode=rwc#.db".replace(" ", "%20")
    with pytest.raises((InvalidValue, QueryFailed)):
        run(databases, "select 1", uri)


@pytest.mark.parametrize("name", ["nowhere.db", "sub/nowhere.db", "text.db"])
def test_what_is_no_database_says_so(databases: CustomerDatabases, folder: Path, name: str) -> None:
    (folder / "text.db").write_text("This is no database, but it is long enough to be one." * 99)

    with pytest.raises(QueryFailed, match=r"unable to open|not a database"):
        databases.tables(f"sqlite:///{name}")

    assert not (folder / "nowhere.db").exists()


def test_without_a_folder_there_are_no_files(folder: Path) -> None:
    nowhere = CustomerDatabases(Addresses([]), None)

    with pytest.raises(InvalidValue, match="TUNERY_SQLITE_FOLDER") as refused:
        nowhere.dialect(f"sqlite:///{folder / 'shop.db'}")

    assert refused.value.code == "unsupported_database"


def test_a_folder_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="TUNERY_SQLITE_FOLDER"):
        CustomerDatabases(Addresses([]), tmp_path / "nowhere")


def test_broken_text_is_read_as_far_as_it_goes(databases: CustomerDatabases) -> None:
    assert run(databases, "select cast(x'61ff62' as text)") == (("a\ufffdb",),)


def test_a_key_that_points_nowhere_is_left_out(databases: CustomerDatabases, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as client:
        client.execute("create table keyless (a)")
        client.execute("create table t (a references keyless, b references nowhere (c))")

    scanned = databases.scan(SHOP, schema=None, table="t")

    assert scanned.columns[0].foreign_key is None
    assert scanned.columns[1].foreign_key == ForeignKey(field_name="c", reference_table="nowhere")


def test_virtual_tables_are_read(databases: CustomerDatabases, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as client, client:
        client.execute("create virtual table notes using fts5 (body)")
        client.execute("insert into notes values ('a red box')")

    assert run(databases, "select body from notes where notes match 'red'") == (("a red box",),)
    assert run(databases, "select value from json_each('[1, 2]')") == ((1,), (2,))
    assert databases.scan(SHOP, schema=None, table="notes").examples == ({"body": "a red box"},)


def test_a_long_column_goes_without_categories(databases: CustomerDatabases, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "shop.db")) as client, client:
        client.execute("create table t (long text, many integer, blob blob, untyped)")
        client.executemany(
            "insert into t values (?, ?, ?, ?)", [("x" * 51, n, b"\x00\xff", n) for n in range(61)]
        )

    scanned = databases.scan(SHOP, schema=None, table="t")

    assert [column.low_cardinality for column in scanned.columns] == [False] * 4
    assert [column.data_type for column in scanned.columns][2:] == ["BLOB", "ANY"]
    assert scanned.examples[0]["blob"] == "00ff"
