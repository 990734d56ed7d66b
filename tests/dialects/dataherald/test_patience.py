"""What waits for models and databases keeps nobody else waiting, and not too many wait."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.dataherald.requests import GOLDEN, TABLES, connected
from tests.dialects.dataherald.tuning import PROMPTS, prompted, scanned
from tests.dialects.world import World
from tunery.core.closable import Closable
from tunery.core.generation import GenerationRequest, Piece
from tunery.dialects.dataherald import patience

SOON_S = 30.0
N_SHARED_THREADS = 40
"""Starlette's, for all routes that block."""

Send = Callable[..., "Future[Any]"]


@pytest.fixture
def go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Models and databases answer once this is set."""
    event = threading.Event()
    generate, scan = world.generator.generate, world.databases.scan

    def slow_generate(request: GenerationRequest) -> Closable[Piece]:
        event.wait(SOON_S)
        yield from generate(request)

    def slow_scan(*args: Any, **named: Any) -> Any:  # noqa: ANN401
        event.wait(SOON_S)
        return scan(*args, **named)

    monkeypatch.setattr(world.generator, "generate", slow_generate)
    event.set()
    monkeypatch.setattr(world.databases, "scan", slow_scan)
    yield event
    event.set()


@pytest.fixture
def send(http: TestClient, go_on: threading.Event) -> Iterator[Send]:
    """Ask, and wait for no answer."""
    with ThreadPoolExecutor(100) as pool:
        yield lambda method, path, **more: pool.submit(http.request, method, path, **more)
        go_on.set()


def test_slow_models_and_scans_keep_no_other_request_waiting(
    http: TestClient, go_on: threading.Event, send: Send
) -> None:
    connection_id = scanned(http)
    path = f"{PROMPTS}/{prompted(http, connection_id)['id']}/sql-generations"
    go_on.clear()
    scan = {"db_connection_id": connection_id}
    asked = [
        *(send("POST", path, json={}) for _ in range(N_SHARED_THREADS)),
        *(send("POST", f"{TABLES}/sync-schemas", json=scan) for _ in range(N_SHARED_THREADS)),
    ]
    assert [each.result().text for each in wait(asked, timeout=1.0).done] == []
    assert send("GET", GOLDEN).result(SOON_S / 3).status_code == 200
    go_on.set()
    assert {each.result(SOON_S).status_code for each in asked} == {201}


def test_who_comes_when_the_line_is_full_is_told_to_come_again(
    http: TestClient, go_on: threading.Event, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "requests", patience.Queue(at_once=2, most_waiting=1))
    path = f"{PROMPTS}/{prompted(http, scanned(http))['id']}/sql-generations"
    go_on.clear()
    asked = {send("POST", path, json={}) for _ in range(4)}
    [refused] = wait(asked, timeout=SOON_S, return_when=FIRST_COMPLETED).done
    assert refused.result().status_code == 503
    assert refused.result().json() == {
        "detail": "The server is busy: 2 requests wait for models and databases, and 1 more for "
        "their turn. Try again later."
    }
    go_on.set()
    assert {each.result(SOON_S).status_code for each in asked - {refused}} == {201}
    assert connected(http)["alias"] == "shop"
