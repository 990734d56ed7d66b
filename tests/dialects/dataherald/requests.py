"""What a client sends, made short."""

from typing import Any

from fastapi.testclient import TestClient

from tests.dialects.databases import SHOP

API = "/api/v1"
CONNECTIONS = f"{API}/database-connections"
TABLES = f"{API}/table-descriptions"
GOLDEN = f"{API}/golden-sqls"
INSTRUCTIONS = f"{API}/instructions"
UNKNOWN = "65f0000000000000000000ff"


def connection(**more: object) -> dict[str, object]:
    """The body that makes a connection to the shop."""
    return {"alias": "shop", "connection_uri": SHOP, **more}


def record(connection_id: object, **more: object) -> dict[str, object]:
    """A golden SQL."""
    body = {
        "db_connection_id": connection_id,
        "prompt_text": "How many orders are there?",
        "sql": "SELECT count(*) FROM orders",
    }
    return {**body, **more}


def connected(http: TestClient, **more: object) -> dict[str, Any]:
    """A connection that is there."""
    response = http.post(CONNECTIONS, json=connection(**more))
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def listed(http: TestClient, path: str, **query: str | int) -> list[dict[str, Any]]:
    """What a list answers."""
    response = http.get(path, params=query)
    assert response.status_code == 200, response.text
    body: list[dict[str, Any]] = response.json()
    return body
