"""What only PostgreSQL does."""

import socket
import tracemalloc
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.databases.conftest import Door, Names
from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.sql import check_query
from tunery.databases import customers, postgresql
from tunery.databases.customers import CustomerDatabases

HARMLESS = {
    *("amvalidate", "array_sample", "array_shuffle", "clock_timestamp", "current_query"),
    *("currtid2", "currval", "gen_random_uuid", "lastval", "random", "random_normal", "setseed"),
    *("timeofday", "txid_status", "uuidv4", "uuidv7"),
    *("pg_database_size", "pg_indexes_size", "pg_relation_size", "pg_table_size"),
    *("pg_total_relation_size",),
    # Parts of the server that no statement can call.
    *("bernoulli", "system", "brinhandler", "bthandler", "ginhandler", "gisthandler"),
    *("hashhandler", "spghandler", "heap_tableam_handler", "plpgsql_call_handler"),
    *("plpgsql_inline_handler", "plpgsql_validator", "dsnowball_init", "dsnowball_lexize"),
}
"""Functions whose result changes from call to call, without an effect."""


@pytest.fixture
def sales(socket_uri: str) -> str:
    """A schema of its own, with types that only PostgreSQL has."""
    with psycopg.connect(socket_uri, autocommit=True) as client:
        client.execute(
            """
            DROP SCHEMA IF EXISTS sales CASCADE; CREATE SCHEMA sales;
            CREATE TYPE sales.state AS ENUM ('open', 'closed');
            CREATE TABLE sales.leads (
              a INT, b INT, state sales.state, place POINT, tags TEXT[], facts JSONB, raw BYTEA,
              at TIMESTAMPTZ, customer INT REFERENCES public.customers (id), boss INT, bosses INT,
              PRIMARY KEY (a, b), FOREIGN KEY (boss, bosses) REFERENCES sales.leads (a, b)
            );
            INSERT INTO sales.leads VALUES (1, 1, 'open', '(1,2)', '{x,y}', '{"k": 1}', '\\x00ff',
              '2024-05-01 12:00+00', 1, NULL, NULL);
            CREATE MATERIALIZED VIEW sales.seen AS SELECT state FROM sales.leads;
            """
        )
    return "sales"


def test_a_schema_is_looked_at_where_it_is_asked_for(
    databases: CustomerDatabases, uri: str, sales: str
) -> None:
    assert databases.tables(uri, schemas=[sales]) == [(sales, "leads"), (sales, "seen")]
    assert (None, "leads") not in databases.tables(uri)


def test_a_scan_knows_types_of_postgresqls_own(
    databases: CustomerDatabases, uri: str, sales: str
) -> None:
    scanned = databases.scan(uri, schema=sales, table="leads")
    columns = {column.name: column for column in scanned.columns}

    assert "PRIMARY KEY (a, b)" in scanned.table_schema
    assert "REFERENCES sales.leads (a, b)" in scanned.table_schema
    assert (columns["place"].data_type, columns["tags"].data_type) == ("point", "TEXT[]")
    assert columns["state"].categories == ("open",)
    assert columns["raw"].categories is None
    assert columns["customer"].foreign_key is not None
    assert columns["customer"].foreign_key.reference_table == "customers"
    assert scanned.examples[0]["raw"] == "\\x00ff"
    assert scanned.examples[0]["facts"] == '{"k": 1}'


def test_a_scan_of_very_many_rows_ends_in_time(
    databases: CustomerDatabases, uri: str, socket_uri: str
) -> None:
    with psycopg.connect(socket_uri, autocommit=True) as client:
        client.execute(
            "DROP TABLE IF EXISTS big; CREATE UNLOGGED TABLE big AS SELECT g AS n, g % 3 AS kind,"
            " repeat('x', 300) AS long FROM generate_series(1, 300000) g"
        )

    scanned = databases.scan(uri, schema=None, table="big")

    kinds = [column.categories for column in scanned.columns]
    assert kinds == [None, ("0", "1", "2"), None]
    assert scanned.examples[0]["long"] == "x" * 200 + "…"
    with psycopg.connect(socket_uri, autocommit=True) as client:
        client.execute("DROP TABLE big")


def test_no_function_with_effects_passes_the_guard(socket_uri: str) -> None:
    with psycopg.connect(socket_uri) as client:
        found = client.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND prorettype NOT IN"
            " ('trigger'::regtype, 'event_trigger'::regtype)"
        ).fetchall()
    assert len(found) > 200

    passed = set()
    for (name,) in found:
        for sql in (f'SELECT * FROM "{name}"(1)', f"SELECT x.{name} FROM x", f"SELECT (1).{name}"):
            with suppress(InvalidValue):
                check_query(sql, "postgresql")
                passed.add(name)

    assert passed <= HARMLESS


@pytest.mark.parametrize(
    "sql",
    [
        "select ('PG_VERSION'::text).pg_read_file",
        "select name.pg_read_file from unnest(array['PG_VERSION']) name",
    ],
)
def test_no_file_of_the_servers_is_read_by_a_function_without_brackets(
    databases: CustomerDatabases, uri: str, sql: str
) -> None:
    with pytest.raises(InvalidValue, match="pg_read_file"):
        databases.run(uri, sql, max_rows=1, timeout_s=5)


@pytest.mark.parametrize(
    "sql",
    [
        "select nextval('s')",
        "select set_config('transaction_read_only', 'off', false)",
        "select lo_creat(-1)",
        "select 1 into x",
        "select * from customers for update",
        "copy customers to stdout",
        "copy customers to program 'true'",
    ],
)
def test_the_server_itself_refuses_what_the_guard_would(
    databases: CustomerDatabases,
    uri: str,
    socket_uri: str,
    sql: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with psycopg.connect(socket_uri, autocommit=True) as client:
        client.execute("CREATE SEQUENCE IF NOT EXISTS s")
    monkeypatch.setattr(customers, "check_query", lambda sql, dialect: None)

    with pytest.raises(QueryFailed):
        databases.run(uri, sql, max_rows=1, timeout_s=5)


def test_a_name_is_asked_once_and_its_address_connected_to(
    databases: CustomerDatabases, uri: str, door: Door, names: Names
) -> None:
    databases.run(uri, "select * from customers", max_rows=1, timeout_s=5)

    assert names.asked == ["db.internal"]
    assert door.visits == 1


def test_a_folder_of_sockets_is_used_where_it_is_listed(socket_uri: str) -> None:
    folder = socket_uri.partition("?host=")[2]

    listed = CustomerDatabases(Addresses([folder]), None)
    assert listed.run(socket_uri, "select 1", max_rows=1, timeout_s=5).rows == ((1,),)

    with pytest.raises(InvalidValue, match="TUNERY_ALLOW_HOSTS"):
        CustomerDatabases(Addresses([]), None).run(socket_uri, "select 1", max_rows=1, timeout_s=5)


def test_a_database_that_is_not_there_is_named_without_the_password(
    databases: CustomerDatabases, uri: str
) -> None:
    with pytest.raises(QueryFailed, match='database "nowhere" does not exist') as failed:
        databases.tables(uri.rpartition("/")[0] + "/nowhere")

    assert "s3cret-word" not in failed.value.message


def test_a_host_that_nobody_answers_for_is_said_to_be_so(databases: CustomerDatabases) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(QueryFailed, match=r"[Cc]onnection refused") as failed:
        databases.tables(f"postgresql://ann:s3cret-word@db.internal:{port}/x")

    assert "s3cret-word" not in failed.value.message


def test_a_host_that_is_unknown_for_a_while_fails_a_query(databases: CustomerDatabases) -> None:
    with pytest.raises(QueryFailed, match=r"no host 'gone\.example'"):
        databases.run("postgresql://a:b@gone.example/x", "select 1", max_rows=1, timeout_s=1)
    with pytest.raises(InvalidValue, match=r"no host 'gone\.example'"):
        databases.dialect("postgresql://a:b@gone.example/x")


def test_a_server_that_falls_silent_is_hung_up_on(
    databases: CustomerDatabases, uri: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_GRACE_S", 0.2)
    door.mute_at = b"say no more"

    with pytest.raises(QueryFailed, match="did not answer within 1 seconds"):
        databases.run(uri, "select 'say no more'", max_rows=1, timeout_s=1)


def test_what_the_servers_own_environment_says_is_not_used(
    databases: CustomerDatabases, uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "passwords"))

    found = databases.run(uri, "select count(*) from customers", max_rows=1, timeout_s=5)

    assert found.rows == ((4,),)


def test_values_keep_their_types(databases: CustomerDatabases, uri: str) -> None:
    sql = "select 1, 1.5, 'a', null, true, array[1, 2], '{\"a\": 1}'::jsonb"

    found = databases.run(uri, sql, max_rows=1, timeout_s=5)

    assert found.rows[0][2:] == ("a", None, True, [1, 2], {"a": 1})


def test_rows_of_any_size_are_in_memory_one_at_a_time(
    databases: CustomerDatabases, uri: str
) -> None:
    tracemalloc.start()
    try:
        found = databases.run(
            uri,
            "select repeat('a', 8000000) from generate_series(1, 12)",
            max_rows=100,
            timeout_s=60,
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(found.rows) == 12
    assert found.truncated
    assert peak < 60_000_000


def test_a_server_that_would_fill_the_memory_is_hung_up_on(
    databases: CustomerDatabases, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_MOST_BYTES", 8 * 1024**2)
    monkeypatch.setattr(postgresql, "_LOOK_S", 0.001)

    with pytest.raises(QueryFailed, match="sent more than 8 MiB"):
        databases.run(uri, "select repeat('a', 100000000)", max_rows=1, timeout_s=60)


def test_very_long_numbers_count_by_their_digits(databases: CustomerDatabases, uri: str) -> None:
    many = "select (repeat('9', 60000))::numeric from generate_series(1, 2000)"

    found = databases.run(uri, many, max_rows=2000, timeout_s=60)

    assert found.truncated
    assert 200 < len(found.rows) < 400


def test_a_query_without_rows_still_has_columns(databases: CustomerDatabases, uri: str) -> None:
    found = databases.run(uri, "select 1 as a, 2 as b where false", max_rows=5, timeout_s=5)

    assert (found.columns, found.rows, found.truncated) == (("a", "b"), (), False)
