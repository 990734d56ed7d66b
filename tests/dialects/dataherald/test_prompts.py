"""Prompts are kept, listed and renamed; what is wrong with one is said."""

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import CUSTOMERS
from tests.dialects.dataherald.requests import UNKNOWN, connected, listed
from tests.dialects.dataherald.tuning import PROMPTS, prompted
from tests.dialects.world import World

MALFORMED: dict[str, object] = {
    "error_code": "invalid_object_id",
    "message": "'nonsense' is not a valid ObjectId; it must be 24 hexadecimal digits",
    "description": None,
    "detail": {},
}


def test_a_prompt_is_answered_whole(http: TestClient, world: World) -> None:
    world.databases.shop.tables["sales", "leads"] = CUSTOMERS
    connection_id = connected(http, schemas=["sales"])["id"]
    made = prompted(http, connection_id.upper(), schemas=["sales"], metadata={"by": "me"})
    assert made == {
        "id": made["id"],
        "metadata": {"by": "me"},
        "created_at": "2026-09-21T12:00:00.250000+00:00",
        "text": "How many orders are there?",
        "db_connection_id": connection_id,
        "schemas": ["sales"],
    }
    assert http.get(f"{PROMPTS}/{made['id'].upper()}").json() == made
    assert prompted(http, connection_id, schemas=[])["schemas"] is None


def test_prompts_are_listed_oldest_first(http: TestClient, theirs: TestClient) -> None:
    first, second = (connected(http)["id"] for _ in range(2))
    made = [prompted(http, each) for each in (first, second, first)]
    assert listed(http, PROMPTS) == listed(http, PROMPTS, db_connection_id="") == made
    assert listed(http, PROMPTS, db_connection_id=first.upper()) == [made[0], made[2]]
    assert listed(http, PROMPTS, db_connection_id=UNKNOWN) == []
    assert listed(theirs, PROMPTS) == listed(theirs, PROMPTS, db_connection_id=first) == []


def test_metadata_is_replaced_whole(http: TestClient) -> None:
    made = prompted(http, connected(http)["id"], metadata={"a": 1})
    path = f"{PROMPTS}/{made['id']}"
    assert http.put(path, json={"metadata": {"b": 2}}).json() == {**made, "metadata": {"b": 2}}
    assert http.put(path, json={}).json() == {**made, "metadata": None}
    assert http.get(path).json() == {**made, "metadata": None}


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        ({"db_connection_id": UNKNOWN}, 404, f"Database connection not found, {UNKNOWN}"),
        ({"db_connection_id": "nonsense"}, 400, MALFORMED),
        ({"schemas": ["public"]}, 400, "Connection {id} was made without schemas, so none can be "
         "chosen; leave schemas out"),
        ({"text": ""}, 422, [{"loc": ["body", "text"], "type": "string_too_short",
          "msg": "String should have at least 1 character"}]),
        ({"text": None}, 422, [{"loc": ["body", "text"], "type": "string_type",
          "msg": "Input should be a valid string"}]),
        ({"text": "\0"}, 422, [{"loc": ["body", "text"], "type": "value_error",
          "msg": "Value error, must not hold the character U+0000"}]),
        ({"text": "a" * 32769}, 422, [{"loc": ["body", "text"], "type": "string_too_long",
          "msg": "String should have at most 32768 characters"}]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_left(
    http: TestClient, change: dict[str, object], status: int, detail: object
) -> None:
    connection_id = connected(http)["id"]
    body = {"text": "How many?", "db_connection_id": connection_id, **change}
    answer = http.post(PROMPTS, json=body)
    if isinstance(detail, str):
        detail = detail.replace("{id}", connection_id)
    said = detail if detail is MALFORMED else {"detail": detail}
    assert (answer.status_code, answer.json()) == (status, said)
    assert listed(http, PROMPTS) == []


def test_an_unknown_prompt_is_not_found(http: TestClient, theirs: TestClient) -> None:
    foreign = prompted(theirs, connected(theirs)["id"])["id"]
    for unknown in (UNKNOWN, foreign):
        for answer in (
            http.get(f"{PROMPTS}/{unknown}"),
            http.put(f"{PROMPTS}/{unknown}", json={}),
        ):
            assert answer.status_code == 404
            assert answer.json() == {"detail": f"Prompt not found, {unknown}"}
    for answer in (http.get(f"{PROMPTS}/nonsense"), http.put(f"{PROMPTS}/nonsense", json={})):
        assert (answer.status_code, answer.json()) == (400, MALFORMED)
