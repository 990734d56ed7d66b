"""The whole way over real databases: connected to, scanned, and nothing secret left on disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.postgres import Postgres
from tests.store.values import OURS, MovableClock, first_key
from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.text_to_sql import ScanStatus
from tunery.databases.customers import CustomerDatabases
from tunery.sealing import AesSealer
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.connections import Connections, NewConnection
from tunery.service.text_to_sql.golden_records import GoldenRecords, NewGoldenRecord
from tunery.service.text_to_sql.secrets import Secret
from tunery.service.text_to_sql.tables import Tables
from tunery.store import sqlite

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER REFERENCES customers (id),
    total NUMERIC(10, 2)
);
INSERT INTO customers VALUES (1, 'Ada', 'NL'), (2, 'Bo', 'PT');
INSERT INTO orders VALUES (1, 1, 9.5);
"""
PASSWORD = "very-s3cret-word"


@dataclass(frozen=True)
class Real:
    """The use cases over one real database, and the file in which all is kept."""

    uri: str
    kept_in: Path
    connections: Connections
    tables: Tables
    golden_records: GoldenRecords


@pytest.fixture(params=["sqlite", "postgres"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The shop in a real database."""
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
            shop.executescript(SHOP)
        yield "sqlite:///shop.db"
        return
    running: Postgres = request.getfixturevalue("postgres_server")
    with running.database() as url:
        with psycopg.connect(url) as shop:
            shop.execute(SHOP)
            shop.execute("CREATE SCHEMA sales; CREATE TABLE sales.leads (id INTEGER)")
        # The server asks for none, and nobody sees the one that it is given.
        yield make_url(url).set(password=PASSWORD).render_as_string(hide_password=False)


@pytest.fixture
def real(uri: str, tmp_path: Path) -> Iterator[Real]:
    socket = make_url(uri).query.get("host", "localhost")
    allowed = [socket] if isinstance(socket, str) else list(socket)
    databases = CustomerDatabases(Addresses(allowed), sqlite_folder=tmp_path)
    sealer, clock = AesSealer(tmp_path), MovableClock()
    kept_in = tmp_path / "tunery.db"
    with closing(sqlite.open_store(kept_in, clock)) as store:
        store.add_project(OURS, first_key(OURS))
        connected = ConnectedDatabases(databases, sealer)
        tables = Tables(store, connected, clock)
        yield Real(
            uri=uri,
            kept_in=kept_in,
            connections=Connections(
                store=store, databases=connected, sealer=sealer, tables=tables, clock=clock
            ),
            tables=tables,
            golden_records=GoldenRecords(store, clock),
        )


def connect(real: Real, uri: str | None = None, **more: object) -> NewConnection:
    return NewConnection(alias="shop", uri=Secret(uri or real.uri), echo=more)


def test_a_shop_is_connected_to_and_scanned(real: Real) -> None:
    connection = real.connections.create(OURS, connect(real))
    listed = real.tables.list(OURS, connection.id)
    assert sorted(table.table_name for table in listed) == ["customers", "orders"]
    scanned = {table.table_name: table for table in real.tables.scanned("ours", connection)}
    customers, orders = scanned["customers"], scanned["orders"]
    assert customers.status is orders.status is ScanStatus.SCANNED
    assert [column.name for column in customers.columns] == ["id", "name", "country"]
    assert customers.columns[0].is_primary_key
    assert customers.columns[2].categories == ("NL", "PT")
    assert len(customers.examples) == 2
    key = orders.columns[1].foreign_key
    assert key is not None
    assert key.reference_table == "customers"
    assert "CREATE TABLE" in (orders.table_schema or "")


def test_golden_records_are_read_in_the_databases_own_dialect(real: Real) -> None:
    connection = real.connections.create(OURS, connect(real))
    written = {
        "sqlite": "SELECT strftime('%Y', 'now'), `id` FROM orders",
        "postgresql": "SELECT date_trunc('year', now()), total::int FROM orders",
    }
    record = NewGoldenRecord(
        db_connection_id=connection.id, prompt_text="This year?", sql=written[connection.dialect]
    )
    assert len(real.golden_records.add(OURS, [record])) == 1


def test_nothing_secret_is_on_disk_in_clear(real: Real) -> None:
    connection = real.connections.create(OURS, connect(real, llm_api_key=Secret("sk-in-the-clear")))
    real.connections.replace(
        OURS, connection.id, connect(real, connection.sealed_uri, llm_api_key=Secret("sk-again"))
    )
    files = [real.kept_in, *real.kept_in.parent.glob(f"{real.kept_in.name}-*")]
    kept = b"".join(file.read_bytes() for file in files)
    assert connection.id.encode() in kept
    for secret in (real.uri, PASSWORD, "sk-in-the-clear", "sk-again"):
        assert secret.encode() not in kept


def test_what_is_not_there_is_refused_without_a_secret(real: Real) -> None:
    nowhere = (
        "sqlite:///none.db"
        if real.uri.startswith("sqlite")
        else real.uri.replace("/tunery_", "/no_tunery_")
    )
    with pytest.raises((InvalidValue, QueryFailed)) as caught:
        real.connections.create(OURS, connect(real, nowhere))
    assert PASSWORD not in str(caught.value)
    assert real.connections.list(OURS) == []


def test_the_tables_of_a_schema_are_found(real: Real) -> None:
    new = NewConnection(alias="shop", uri=Secret(real.uri), schemas=("sales",))
    if real.uri.startswith("sqlite"):
        with pytest.raises(InvalidValue, match="no schemas"):
            real.connections.create(OURS, new)
        return
    connection = real.connections.create(OURS, new)
    [leads] = real.tables.scanned("ours", connection)
    assert (leads.schema_name, leads.table_name) == ("sales", "leads")
