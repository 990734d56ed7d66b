"""Calls of BFL's door, and what becomes of them."""

from typing import Any

from fastapi.testclient import TestClient

from tests.dialects.pictures import encoded, pictures
from tests.dialects.world import World

FINETUNE = "/v1/finetune"
PRO = "/v1/flux-pro-finetuned"
ULTRA = "/v1/flux-pro-1.1-ultra-finetuned"
FILL = "/v1/flux-pro-1.0-fill-finetuned"
NEVER = "ftjob-" + "0" * 24


def asked(**more: object) -> dict[str, Any]:
    """The body of a create call."""
    return {
        "file_data": encoded(pictures()),
        "finetune_comment": "my teapot",
        "mode": "product",
        **more,
    }


def finetuned(http: TestClient, **more: object) -> str:
    """The id of a new finetune."""
    answer = http.post(FINETUNE, json=asked(**more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["finetune_id"])


def ready(http: TestClient, world: World, **more: object) -> str:
    """The id of a finetune that can draw."""
    finetune_id = finetuned(http, **more)
    world.finish(finetune_id)
    return finetune_id


def begun(http: TestClient, path: str, finetune_id: str, **more: object) -> str:
    """The id of an image that was asked for."""
    answer = http.post(path, json={"finetune_id": finetune_id, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def result(http: TestClient, task_id: str) -> dict[str, Any]:
    """How a task stands."""
    answer = http.get("/v1/get_result", params={"id": task_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def details(http: TestClient, finetune_id: str) -> dict[str, Any]:
    """What is known of a finetune."""
    answer = http.get("/v1/finetune_details", params={"finetune_id": finetune_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["finetune_details"]
    return found
