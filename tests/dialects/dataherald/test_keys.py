"""A key opens the door in either header, and nothing else does."""

import time

import pytest
from fastapi.testclient import TestClient

from tests.dialects.dataherald.requests import API, CONNECTIONS
from tests.dialects.world import World
from tests.store.values import OURS


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": OURS.key_id},
        {"authorization": f"Bearer {OURS.key_id}"},
        {"authorization": f"bearer  {OURS.key_id} "},
        {"x-api-key": OURS.key_id, "authorization": "Bearer another"},
        {"x-api-key": "", "authorization": f"Bearer {OURS.key_id}"},
    ],
)
def test_a_key_is_found_where_clients_put_it(world: World, headers: dict[str, str]) -> None:
    assert TestClient(world.app).get(CONNECTIONS, headers=headers).json() == []


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "No API key was sent."),
        ({"x-api-key": " "}, "No API key was sent."),
        ({"authorization": f"Basic {OURS.key_id}"}, "No API key was sent."),
        ({"x-key": OURS.key_id}, "No API key was sent."),
        ({"x-api-key": "wrong-key"}, "Incorrect API key provided"),
    ],
)
def test_without_a_key_nothing_is_answered(
    world: World, headers: dict[str, str], detail: str
) -> None:
    answer = TestClient(world.app).get(CONNECTIONS, headers=headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"detail"}
    assert answer.json()["detail"].startswith(detail)
    assert "wrong-key" not in answer.text


def test_the_heart_beats_for_everybody(world: World) -> None:
    answer = TestClient(world.app).get(f"{API}/heartbeat")
    assert answer.status_code == 200
    assert list(answer.json()) == ["nanosecond heartbeat"]
    assert abs(answer.json()["nanosecond heartbeat"] - time.time_ns()) < 60e9


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", f"{API}/nothing", 404, "Not Found"),
        ("PATCH", CONNECTIONS, 405, "Method Not Allowed"),
    ],
)
def test_unknown_paths_are_answered_as_fastapi_does(
    http: TestClient, method: str, path: str, status: int, detail: str
) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
