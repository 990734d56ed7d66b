"""What BFL's door tells by webhook."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.bfl.calls import PRO, begun, finetuned, ready, result
from tests.dialects.world import DRAWN, World
from tests.store.values import FINISHED, GOOD, OURS, claimed
from tunery.core.preflight import REQUEST_MODERATED
from tunery.core.progress import Failed
from tunery.dialects import NOTICES

TOLD = {"webhook_url": "https://me.example/told"}


def told(world: World) -> dict[str, Any]:
    """The body of the webhook that waits to be sent."""
    errand = world.store.take_errand("tell", 30)
    assert errand is not None
    notice = errand.notice
    assert notice is not None
    generation = None
    if not notice.subject.startswith("ftjob-"):
        generation = world.store.image_generation(errand.project_id, notice.subject)
    body = NOTICES[notice.webhook.door](world.services.links)(notice, generation)
    found: dict[str, Any] = json.loads(body)
    assert found["id"] == notice.subject
    return found


def test_a_finetune_that_is_ready(http: TestClient, world: World) -> None:
    finetune_id = finetuned(http, **TOLD)
    world.store.validated(claimed(world.store).lease, GOOD)
    world.store.apply(claimed(world.store).lease, [FINISHED])
    assert told(world) == {
        "id": finetune_id,
        "status": "Ready",
        "result": {"finetune_id": finetune_id},
        "timestamp": "2026-09-21T12:00:00.250Z",
    }


@pytest.mark.parametrize(
    ("code", "status"), [(REQUEST_MODERATED, "Request Moderated"), ("trainer_died", "Error")]
)
def test_a_finetune_that_failed(http: TestClient, world: World, code: str, status: str) -> None:
    finetune_id = finetuned(http, **TOLD)
    world.store.apply(claimed(world.store).lease, [Failed(code=code, message="It is so.")])
    assert told(world) == {
        "id": finetune_id,
        "status": status,
        "error": code,
        "message": "It is so.",
        "timestamp": "2026-09-21T12:00:00.250Z",
    }


def test_a_finetune_that_was_cancelled(http: TestClient, world: World) -> None:
    world.services.jobs.cancel(OURS, finetuned(http, **TOLD))
    found = told(world)
    assert (found["status"], found["error"]) == ("Error", "cancelled")
    assert found["message"]


def test_an_image_that_is_ready_comes_with_a_link(http: TestClient, world: World) -> None:
    generation_id = begun(http, PRO, ready(http, world), prompt="TOK", seed=7, **TOLD)
    world.draw(generation_id)
    found = told(world)
    polled = result(http, generation_id)["result"]
    assert found == {
        "id": generation_id,
        "status": "Ready",
        "result": polled,
        "timestamp": found["timestamp"],
    }
    with TestClient(world.app) as nobody:
        assert nobody.get(found["result"]["sample"]).content == DRAWN


def test_an_image_that_failed(http: TestClient, world: World) -> None:
    generation_id = begun(http, PRO, ready(http, world), **TOLD)
    world.draw(generation_id, error="It is so.")
    found = told(world)
    assert (found["status"], found["message"]) == ("Error", "It is so.")
    assert found["error"]


def test_without_a_webhook_nobody_is_told(http: TestClient, world: World) -> None:
    world.draw(begun(http, PRO, ready(http, world)))
    assert world.store.take_errand("tell", 30) is None
