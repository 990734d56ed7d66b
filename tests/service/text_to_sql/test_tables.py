"""Scans find out what tables hold, and keep what people said about them."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.dialects.databases import CUSTOMERS, ORDERS
from tests.service.text_to_sql.wired import Wired
from tests.store.values import OURS, THEIRS
from tunery.core.errors import InvalidValue, NotFound, QueryFailed, Unavailable
from tunery.core.text_to_sql import Column, ForeignKey, ScannedTable, ScanStatus
from tunery.service.text_to_sql import tables
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.tables import LONGEST_SCAN, ColumnEdit, TableEdit, Tables


@pytest.fixture
def wired() -> Wired:
    return Wired()


def statuses(wired: Wired, connection_id: str) -> dict[str, ScanStatus]:
    return {each.table_name: each.status for each in wired.tables.list(OURS, connection_id)}


def test_a_scan_describes_each_table(wired: Wired) -> None:
    connection = wired.connect()
    wired.clock.advance(5)
    begun = wired.tables.begin_scan_of_all(OURS, connection.id, metadata={"by": "me"})
    assert {table.status for table in begun} == {ScanStatus.SYNCHRONIZING}
    assert wired.tables.list(OURS, connection.id) == begun
    wired.clock.advance(5)
    customers, orders = wired.tables.scan(begun)
    assert (customers.table_schema, customers.columns) == (
        CUSTOMERS.table_schema,
        CUSTOMERS.columns,
    )
    assert (customers.examples, orders.columns) == (CUSTOMERS.examples, ORDERS.columns)
    assert customers.status is ScanStatus.SCANNED
    assert customers.last_schema_sync == wired.clock.now()
    assert customers.metadata == {"by": "me"}
    assert wired.tables.list(OURS, connection.id) == [customers, orders]


def test_some_tables_can_be_scanned_by_id(wired: Wired) -> None:
    connection = wired.connect()
    _, orders = wired.tables.list(OURS, connection.id)
    assert len(wired.tables.begin_scan(OURS, [orders.id, orders.id])) == 1
    wired.tables.scan([orders])
    assert statuses(wired, connection.id) == {
        "customers": ScanStatus.NOT_SCANNED,
        "orders": ScanStatus.SCANNED,
    }


def test_an_unknown_id_keeps_every_table_from_being_scanned(wired: Wired) -> None:
    connection, theirs = wired.connect(), wired.connect(THEIRS)
    ours = wired.tables.list(OURS, connection.id)[0].id
    for unknown in ("0" * 24, wired.tables.list(THEIRS, theirs.id)[0].id):
        with pytest.raises(NotFound):
            wired.tables.begin_scan(OURS, [ours, unknown])
    with pytest.raises(NotFound):
        wired.tables.begin_scan_of_all(OURS, theirs.id)
    assert set(statuses(wired, connection.id).values()) == {ScanStatus.NOT_SCANNED}


def test_a_scan_that_fails_says_why(wired: Wired) -> None:
    connection = wired.connect()
    del wired.databases.shop.tables[None, "orders"]
    wired.tables.scan(wired.tables.begin_scan_of_all(OURS, connection.id))
    _, orders = wired.tables.list(OURS, connection.id)
    assert (orders.status, orders.error_message) == (ScanStatus.FAILED, "no such table: orders")
    wired.databases.shop.tables[None, "orders"] = ORDERS
    [orders] = wired.tables.scan(wired.tables.begin_scan(OURS, [orders.id]))
    assert (orders.status, orders.error_message) == (ScanStatus.SCANNED, None)


def test_a_scan_that_never_ended_reads_as_failed(wired: Wired) -> None:
    connection = wired.connect()
    wired.tables.begin_scan_of_all(OURS, connection.id)
    wired.clock.advance(LONGEST_SCAN.total_seconds() - 1)
    assert set(statuses(wired, connection.id).values()) == {ScanStatus.SYNCHRONIZING}
    wired.clock.advance(1)
    for table in wired.tables.list(OURS, connection.id):
        assert table == wired.tables.get(OURS, table.id)
        assert table.status is ScanStatus.FAILED
        assert "interrupted" in (table.error_message or "")


def test_a_scan_comes_to_no_further_tables_once_it_took_too_long(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = wired.connect()
    scan = wired.databases.scan

    def slow(uri: str, *, schema: str | None, table: str) -> ScannedTable:
        wired.clock.advance(LONGEST_SCAN.total_seconds() + 1)
        return scan(uri, schema=schema, table=table)

    monkeypatch.setattr(wired.databases, "scan", slow)
    monkeypatch.setattr(tables, "AT_ONCE", 1)
    customers, orders = wired.tables.scan(wired.tables.begin_scan_of_all(OURS, connection.id))
    assert customers.status is ScanStatus.SCANNED
    assert orders.status is ScanStatus.FAILED
    assert orders.error_message == (
        "Not scanned: the tables before it took 15 minutes. Scan it again."
    )


def test_a_scan_that_nobody_wants_any_more_begins_no_further_table(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = wired.connect()
    begun, go_on = threading.Event(), threading.Event()
    scan, asked = wired.databases.scan, []

    def stuck(uri: str, *, schema: str | None, table: str) -> ScannedTable:
        asked.append(table)
        begun.set()
        assert go_on.wait(60)
        return scan(uri, schema=schema, table=table)

    monkeypatch.setattr(wired.databases, "scan", stuck)
    monkeypatch.setattr(tables, "AT_ONCE", 1)
    with pytest.raises(Unavailable):
        wired.tables.scanned("ours", connection, wanted=lambda: not begun.is_set())
    go_on.set()
    assert asked == ["customers"]


def test_what_people_said_outlives_a_scan(wired: Wired) -> None:
    connection = wired.connect()
    customers = wired.tables.scanned("ours", connection)[0]
    edit = TableEdit(
        description="Who buys",
        columns=[
            ColumnEdit(name="name", description="The full name"),
            ColumnEdit(
                name="country",
                data_type="CHAR(2)",
                is_primary_key=True,
                low_cardinality=True,
                categories=("NL",),
                foreign_key=ForeignKey(field_name="code", reference_table="countries"),
            ),
        ],
        metadata={"owner": "sales"},
    )
    edited = wired.tables.edit(OURS, customers.id, edit)
    assert edited.columns[0] == customers.columns[0]
    assert edited.columns[1] == replace(customers.columns[1], description="The full name")
    assert edited.columns[2] == Column(
        name="country",
        data_type="CHAR(2)",
        is_primary_key=True,
        low_cardinality=True,
        categories=("NL",),
        foreign_key=ForeignKey(field_name="code", reference_table="countries"),
    )
    [again] = wired.tables.scan([customers])
    assert (again.description, again.metadata) == ("Who buys", {"owner": "sales"})
    assert again.columns == (
        CUSTOMERS.columns[0],
        replace(CUSTOMERS.columns[1], description="The full name"),
        CUSTOMERS.columns[2],
    )
    assert wired.tables.edit(OURS, customers.id, TableEdit()) == again


def test_what_is_said_during_a_scan_is_kept(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = wired.connect()
    customers = wired.tables.scanned("ours", connection)[0]
    scanning, said = threading.Event(), threading.Event()

    def slow(uri: str, *, schema: str | None, table: str) -> ScannedTable:
        scanning.set()
        assert said.wait(10)
        return CUSTOMERS

    monkeypatch.setattr(wired.databases, "scan", slow)
    scan = threading.Thread(target=wired.tables.scan, args=([customers],))
    scan.start()
    assert scanning.wait(10)
    edit = TableEdit(description="new", columns=[ColumnEdit(name="id", description="the key")])
    wired.tables.edit(OURS, customers.id, edit)
    said.set()
    scan.join(10)
    after = wired.tables.get(OURS, customers.id)
    assert (after.description, after.columns[0].description) == ("new", "the key")


def test_an_unknown_column_changes_nothing(wired: Wired) -> None:
    connection = wired.connect()
    customers = wired.tables.scanned("ours", connection)[0]
    edit = TableEdit(
        description="new",
        columns=[ColumnEdit(name="id", description="x"), ColumnEdit(name="nope")],
    )
    with pytest.raises(InvalidValue, match=r"Column nope doesn't exist.*id, name, country"):
        wired.tables.edit(OURS, customers.id, edit)
    assert wired.tables.get(OURS, customers.id) == customers


def test_a_refresh_adds_what_is_new_and_deprecates_what_is_gone(wired: Wired) -> None:
    connection = wired.connect()
    wired.tables.scanned("ours", connection)
    orders = wired.databases.shop.tables.pop((None, "orders"))
    wired.databases.shop.tables[None, "invoices"] = orders
    refreshed = wired.tables.refresh(OURS, connection.id)
    assert {each.table_name: each.status for each in refreshed} == {
        "customers": ScanStatus.SCANNED,
        "orders": ScanStatus.DEPRECATED,
        "invoices": ScanStatus.NOT_SCANNED,
    }
    begun = wired.tables.begin_scan_of_all(OURS, connection.id)
    assert [table.table_name for table in begun] == ["customers", "invoices"]
    wired.databases.shop.tables[None, "orders"] = orders
    assert wired.tables.refresh(OURS, connection.id)[1].status is ScanStatus.NOT_SCANNED


def test_two_servers_that_refresh_at_once_describe_a_table_once(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = wired.connect()
    wired.databases.shop.tables[None, "returns"] = ORDERS
    connected = ConnectedDatabases(wired.databases, wired.sealer)
    other_server = Tables(wired.store, connected, wired.clock)
    kept = wired.store.tables.list

    def overtaken(*args: Any, **named: Any) -> Any:  # noqa: ANN401
        before = kept(*args, **named)
        monkeypatch.undo()
        other_server.refresh(OURS, connection.id)
        return before

    monkeypatch.setattr(wired.store.tables, "list", overtaken)
    refreshed = wired.tables.refresh(OURS, connection.id)
    assert sorted(table.table_name for table in refreshed) == ["customers", "orders", "returns"]


def test_a_refresh_needs_the_database(wired: Wired) -> None:
    connection, theirs = wired.connect(), wired.connect(THEIRS)
    wired.databases.shop.failure = QueryFailed("the server is down")
    with pytest.raises(QueryFailed, match="down"):
        wired.tables.refresh(OURS, connection.id)
    with pytest.raises(NotFound):
        wired.tables.refresh(OURS, theirs.id)
    assert set(statuses(wired, connection.id).values()) == {ScanStatus.NOT_SCANNED}


def test_a_job_finds_every_table_scanned_that_can_be(wired: Wired) -> None:
    connection = wired.connect()
    customers, orders = wired.tables.list(OURS, connection.id)
    wired.tables.edit(OURS, customers.id, TableEdit(description="Who buys"))
    del wired.databases.shop.tables[None, "orders"]
    [scanned] = wired.tables.scanned("ours", connection)
    assert (scanned.id, scanned.description) == (customers.id, "Who buys")
    assert wired.tables.get(OURS, orders.id).status is ScanStatus.FAILED


def test_tables_can_be_asked_for_by_name(wired: Wired) -> None:
    connection = wired.connect()
    [orders] = wired.tables.list(OURS, connection.id, table_name="orders")
    assert orders.table_name == "orders"
    assert wired.tables.list(OURS, connection.id, table_name="none") == []
    assert wired.tables.list(OURS, "0" * 24) == []
    assert wired.tables.list(THEIRS, connection.id) == []
    with pytest.raises(NotFound):
        wired.tables.get(THEIRS, orders.id)
    with pytest.raises(NotFound):
        wired.tables.edit(THEIRS, orders.id, TableEdit(description="theirs"))
