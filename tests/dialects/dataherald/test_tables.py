"""Tables are scanned after the answer, and described by people."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import CUSTOMERS
from tests.dialects.dataherald.requests import TABLES, connected, listed
from tests.dialects.world import World


@pytest.fixture
def connection_id(http: TestClient) -> str:
    return str(connected(http)["id"])


def table(http: TestClient, connection_id: str, name: str) -> dict[str, Any]:
    [found] = listed(http, TABLES, db_connection_id=connection_id, table_name=name)
    return found


def test_a_scan_is_answered_at_once_and_done_after(http: TestClient, connection_id: str) -> None:
    orders = table(http, connection_id, "orders")
    answer = http.post(f"{TABLES}/sync-schemas", json={"ids": [orders["id"]]})
    assert answer.status_code == 201
    [begun] = answer.json()
    assert begun["status"] == "SYNCHRONIZING"
    assert begun["last_schema_sync"] == "2026-09-21T12:00:00.250000+00:00"
    scanned = table(http, connection_id, "orders")
    assert scanned == {
        "id": orders["id"],
        "db_connection_id": connection_id,
        "schema_name": None,
        "table_name": "orders",
        "description": None,
        "table_schema": "CREATE TABLE orders (id INTEGER, customer_id INTEGER, total REAL)",
        "columns": [
            {
                "name": "id",
                "is_primary_key": True,
                "data_type": "INTEGER",
                "description": None,
                "low_cardinality": False,
                "categories": None,
                "foreign_key": None,
            },
            {
                "name": "customer_id",
                "is_primary_key": False,
                "data_type": "INTEGER",
                "description": None,
                "low_cardinality": False,
                "categories": None,
                "foreign_key": {"field_name": "id", "reference_table": "customers"},
            },
            {
                "name": "total",
                "is_primary_key": False,
                "data_type": "REAL",
                "description": None,
                "low_cardinality": False,
                "categories": None,
                "foreign_key": None,
            },
        ],
        "examples": [],
        "last_schema_sync": "2026-09-21T12:00:00.250000+00:00",
        "status": "SCANNED",
        "error_message": None,
        "metadata": None,
        "created_at": "2026-09-21T12:00:00.250000+00:00",
    }
    assert http.get(f"{TABLES}/{orders['id']}").json() == scanned
    assert table(http, connection_id, "customers")["status"] == "NOT_SCANNED"


def test_all_tables_of_a_connection_can_be_scanned(http: TestClient, connection_id: str) -> None:
    body = {"db_connection_id": connection_id, "metadata": {"run": 1}}
    answer = http.post(f"{TABLES}/sync-schemas", json=body)
    assert [each["status"] for each in answer.json()] == ["SYNCHRONIZING"] * 2
    tables = listed(http, TABLES, db_connection_id=connection_id)
    assert [each["status"] for each in tables] == ["SCANNED"] * 2
    assert [each["metadata"] for each in tables] == [{"run": 1}] * 2
    assert tables[0]["examples"] == [{"id": "1", "name": "Ada", "country": "NL"}]
    assert tables[0]["columns"][2]["categories"] == ["NL", "PT"]


def test_no_ids_scan_nothing(http: TestClient, connection_id: str) -> None:
    answer = http.post(f"{TABLES}/sync-schemas", json={"ids": []})
    assert (answer.status_code, answer.json()) == (201, [])


def test_a_scan_that_fails_is_shown_with_the_reason(
    http: TestClient, connection_id: str, world: World
) -> None:
    del world.databases.shop.tables[None, "orders"]
    http.post(f"{TABLES}/sync-schemas", json={"db_connection_id": connection_id})
    orders = table(http, connection_id, "orders")
    assert (orders["status"], orders["error_message"]) == ("FAILED", "no such table: orders")
    assert table(http, connection_id, "customers")["status"] == "SCANNED"


def test_a_refresh_shows_what_is_new_and_what_is_gone(
    http: TestClient, connection_id: str, world: World
) -> None:
    del world.databases.shop.tables[None, "orders"]
    world.databases.shop.tables[None, "invoices"] = CUSTOMERS
    answer = http.post(f"{TABLES}/refresh", json={"db_connection_id": connection_id})
    assert answer.status_code == 201
    assert [(each["table_name"], each["status"]) for each in answer.json()] == [
        ("customers", "NOT_SCANNED"),
        ("orders", "DEPRECATED"),
        ("invoices", "NOT_SCANNED"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"description": "x" * 32_769},
        {"columns": [{"name": "x" * 513}]},
        {"columns": [{"name": "id", "description": "x" * 32_769}]},
        {"columns": [{"name": "id", "data_type": "x" * 513}]},
        {"columns": [{"name": "id", "categories": ["x"] * 1001}]},
        {"columns": [{"name": "id", "categories": ["x" * 513]}]},
    ],
)
def test_what_people_say_of_tables_has_an_end(
    http: TestClient, connection_id: str, said: dict[str, object]
) -> None:
    before = listed(http, TABLES, db_connection_id=connection_id)
    answer = http.put(f"{TABLES}/{before[0]['id']}", json=said)
    assert answer.status_code == 422
    assert "at most" in answer.json()["detail"][0]["msg"]
    assert listed(http, TABLES, db_connection_id=connection_id) == before


def test_people_describe_tables_and_columns(http: TestClient, connection_id: str) -> None:
    http.post(f"{TABLES}/sync-schemas", json={"db_connection_id": connection_id})
    customers = table(http, connection_id, "customers")
    path = f"{TABLES}/{customers['id']}"
    body = {
        "description": "Who buys",
        "columns": [
            {"name": "name", "description": "The full name"},
            {
                "name": "country",
                "categories": ["NL"],
                "is_primary_key": False,
                "foreign_key": {"field_name": "code", "reference_table": "countries"},
            },
        ],
        "metadata": {"owner": "sales"},
    }
    answer = http.put(path, json=body)
    assert answer.status_code == 200
    described = answer.json()
    assert (described["description"], described["metadata"]) == ("Who buys", {"owner": "sales"})
    assert described["columns"][1]["description"] == "The full name"
    assert described["columns"][2]["categories"] == ["NL"]
    assert described["columns"][2]["foreign_key"]["reference_table"] == "countries"
    assert http.put(path, json={}).json() == described
    assert http.get(path).json() == described


def test_an_unknown_connection_has_no_tables(http: TestClient) -> None:
    assert listed(http, TABLES, db_connection_id="nonsense") == []
