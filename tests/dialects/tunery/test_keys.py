"""Keys over HTTP: made, seen and revoked by those of the same project."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World, make_world
from tests.store.values import OURS, THEIRS

KEYS = "/tunery/v1/keys"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"authorization": f"Bearer {OURS.key_id}"}) as client:
        yield client


def test_a_key_opens_the_door_until_it_is_revoked(http: TestClient) -> None:
    made = http.post(KEYS, json={"name": "nightly"}).json()
    assert (made["object"], made["name"], made["revoked_at"]) == ("key", "nightly", None)
    assert made["hint"] == made["key"][-4:]
    headers = {"authorization": f"Bearer {made['key']}"}
    assert http.get("/v1/models", headers=headers).status_code == 200
    revoked = http.delete(f"{KEYS}/{made['id']}").json()
    assert revoked["revoked_at"] is not None
    assert http.get("/v1/models", headers=headers).status_code == 401


def test_the_list_never_shows_a_secret(http: TestClient) -> None:
    made = http.post(KEYS, json={"name": "nightly"}).json()
    page = http.get(KEYS).json()
    assert [key["id"] for key in page["data"]] == [made["id"], OURS.key_id]
    assert all("key" not in key for key in page["data"])
    assert made["key"] not in http.get(KEYS).text


def test_a_key_ends_when_it_says(http: TestClient, world: World) -> None:
    until = int(world.clock.now().timestamp()) + 60
    made = http.post(KEYS, json={"name": "short", "expires_at": until}).json()
    assert made["expires_at"] == until
    headers = {"authorization": f"Bearer {made['key']}"}
    assert http.get(KEYS, headers=headers).status_code == 200
    world.clock.advance(61)
    assert http.get(KEYS, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "name"), ({"name": ""}, "name"), ({"name": "x", "expires_at": 1}, "expires_at")],
)
def test_wrong_wishes_are_refused(http: TestClient, body: dict[str, object], param: str) -> None:
    answer = http.post(KEYS, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_key_cannot_lock_its_owner_out(http: TestClient) -> None:
    answer = http.delete(f"{KEYS}/{OURS.key_id}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "key_id")


def test_another_projects_keys_are_unknown(http: TestClient) -> None:
    for key_id in (THEIRS.key_id, "key_nope"):
        answer = http.delete(f"{KEYS}/{key_id}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "key_id")
