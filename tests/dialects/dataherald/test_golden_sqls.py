"""Golden SQLs come in arrays and go out in pages; instructions one by one."""

import pytest
from fastapi.testclient import TestClient

from tests.dialects.dataherald.requests import (
    API,
    GOLDEN,
    INSTRUCTIONS,
    connected,
    listed,
    record,
)


@pytest.fixture
def connection_id(http: TestClient) -> str:
    return str(connected(http)["id"])


def test_golden_sqls_are_answered_whole(http: TestClient, connection_id: str) -> None:
    body = [record(connection_id, metadata={"n": 1}), record(connection_id.upper())]
    answer = http.post(GOLDEN, json=body)
    assert answer.status_code == 201
    first, second = answer.json()
    assert first == {
        "id": first["id"],
        "db_connection_id": connection_id,
        "prompt_text": "How many orders are there?",
        "sql": "SELECT count(*) FROM orders",
        "metadata": {"n": 1},
        "created_at": "2026-09-21T12:00:00.250000+00:00",
    }
    assert second["db_connection_id"] == connection_id
    assert listed(http, GOLDEN) == [first, second]
    assert http.post(GOLDEN, json=[]).json() == []


def test_golden_sqls_are_listed_by_page(http: TestClient, connection_id: str) -> None:
    other = connected(http)["id"]
    ours = http.post(GOLDEN, json=[record(connection_id)] * 12).json()
    theirs = http.post(GOLDEN, json=[record(other)]).json()
    assert listed(http, GOLDEN) == ours[:10]
    assert listed(http, GOLDEN, page=2) == [*ours[10:], *theirs]
    assert listed(http, GOLDEN, page=2, limit=5) == ours[5:10]
    assert listed(http, GOLDEN, page=1_000_000, limit=10_000) == []
    assert listed(http, GOLDEN, db_connection_id=other) == theirs
    assert listed(http, GOLDEN, db_connection_id="nonsense") == []
    assert listed(http, GOLDEN, db_connection_id="", limit=100) == [*ours, *theirs]


def test_metadata_is_replaced_whole(http: TestClient, connection_id: str) -> None:
    [made] = http.post(GOLDEN, json=[record(connection_id, metadata={"a": 1})]).json()
    path = f"{GOLDEN}/{made['id'].upper()}"
    answer = http.put(path, json={"metadata": {"b": [2, None, {"c": "é\0"}]}})
    assert answer.json() == {**made, "metadata": {"b": [2, None, {"c": "é\0"}]}}
    assert http.put(path, json={}).json() == {**made, "metadata": None}


def test_a_golden_sql_can_be_deleted_any_number_of_times(
    http: TestClient, connection_id: str
) -> None:
    [made] = http.post(GOLDEN, json=[record(connection_id)]).json()
    for _ in range(2):
        answer = http.delete(f"{GOLDEN}/{made['id']}")
        assert (answer.status_code, answer.json()) == (200, {"status": True})
    assert listed(http, GOLDEN) == []


def test_the_older_path_is_another_name(http: TestClient, connection_id: str) -> None:
    older = f"{API}/golden-records"
    made = http.post(older, json=[record(connection_id)]).json()
    assert listed(http, older) == listed(http, GOLDEN) == made
    assert http.put(f"{older}/{made[0]['id']}", json={}).json() == made[0]
    assert http.delete(f"{older}/{made[0]['id']}").json() == {"status": True}


def test_an_instruction_lives(http: TestClient, connection_id: str) -> None:
    body = {"db_connection_id": connection_id, "instruction": "Round to cents."}
    answer = http.post(INSTRUCTIONS, json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made == {
        **body,
        "id": made["id"],
        "metadata": None,
        "created_at": "2026-09-21T12:00:00.250000+00:00",
    }
    other = http.post(INSTRUCTIONS, json={**body, "db_connection_id": connected(http)["id"]})
    assert listed(http, INSTRUCTIONS) == [made, other.json()]
    assert listed(http, INSTRUCTIONS, db_connection_id=connection_id) == [made]
    assert listed(http, INSTRUCTIONS, page=2, limit=1) == [other.json()]
    path = f"{INSTRUCTIONS}/{made['id']}"
    changed = http.put(path, json={"instruction": "Round to euros.", "metadata": {"a": 1}})
    assert changed.json() == {**made, "instruction": "Round to euros.", "metadata": {"a": 1}}
    assert http.put(path, json={"instruction": "Round."}).json()["metadata"] is None
    answer = http.delete(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    assert http.delete(path).status_code == 404
    assert listed(http, INSTRUCTIONS) == [other.json()]
