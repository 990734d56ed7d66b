"""Keys over HTTP: made, seen and revoked by those of the same project."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World, make_world
from tests.store.values import OURS, THEIRS
from tunery.core.access import IdentityType

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


def test_a_key_says_whom_it_speaks_for(http: TestClient) -> None:
    mine = http.post(KEYS, json={"name": "mine"}).json()
    assert mine["owner"] == {"type": "user", "id": OURS.user_id, "name": None}
    account = http.post(KEYS, json={"name": "k", "service_account": "pipeline"}).json()
    assert account["owner"] == {
        "type": "service_account",
        "id": account["owner"]["id"],
        "name": "pipeline",
    }
    listed = [key["owner"] for key in http.get(KEYS).json()["data"]]
    assert listed == [account["owner"], mine["owner"], mine["owner"]]
    assert http.delete(f"{KEYS}/{account['id']}").json()["owner"] == account["owner"]


def test_what_a_service_account_makes_is_its_own(http: TestClient, world: World) -> None:
    made = http.post(KEYS, json={"name": "k", "service_account": "pipeline"}).json()
    headers = {"authorization": f"Bearer {made['key']}"}
    upload = http.post(
        "/v1/files",
        files={"file": ("notes.txt", b"text")},
        data={"purpose": "user_data"},
        headers=headers,
    )
    file = world.store.file(OURS.project_id, upload.json()["id"])
    assert file.created_by == made["owner"]["id"]
    assert file.created_by_type is IdentityType.SERVICE_ACCOUNT
    asked = {"model": "tiny-chat", "training_file": world.file()}
    created = http.post("/v1/fine_tuning/jobs", json=asked, headers=headers)
    job = world.store.job(OURS.project_id, created.json()["id"])
    assert (job.created_by, job.created_by_type) == (file.created_by, file.created_by_type)


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", 7])
def test_a_wrong_service_account_is_refused(http: TestClient, name: object) -> None:
    answer = http.post(KEYS, json={"name": "k", "service_account": name})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "service_account")
    assert len(http.get(KEYS).json()["data"]) == 1
