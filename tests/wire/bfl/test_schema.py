"""Every answer of BFL's door is what the vendor describes, in every state."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from tests.dialects.pictures import encoded, picture, pictures
from tests.dialects.world import World, make_world
from tests.store.values import GOOD, OURS, claimed, saved, steps
from tests.wire.shapes import checker, shapes_beside
from tunery.core.image_generations import GenerationStatus
from tunery.core.job import JobStatus
from tunery.core.preflight import REQUEST_MODERATED
from tunery.core.progress import Failed
from tunery.dialects import NOTICES

SCHEMA = shapes_beside(__file__)
check = checker(SCHEMA)
ASKED = {"file_data": encoded(pictures()), "finetune_comment": "tea", "mode": "product"}
WEBHOOK = {"webhook_url": "https://me.example/told", "webhook_secret": "s3cret-word"}
PATHS = ("flux-pro-finetuned", "flux-pro-1.1-ultra-finetuned", "flux-pro-1.0-fill-finetuned")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"x-key": OURS.key_id}) as client:
        yield client


def created(http: TestClient, **more: object) -> str:
    answer = http.post("/v1/finetune", json={**ASKED, **more}).json()
    check("finetune_with_webhook" if more else "finetune", answer)
    return str(answer["finetune_id"])


def seen(http: TestClient, task_id: str) -> Any:  # noqa: ANN401
    """How a task stands, checked."""
    found = http.get("/v1/get_result", params={"id": task_id}).json()
    check("result", found)
    return found["status"]


def told(world: World) -> None:
    """Check every webhook that waits to be sent."""
    while errand := world.store.take_errand("tell", 30):
        notice = errand.notice
        assert notice is not None
        is_job = notice.subject.startswith("ftjob-")
        generation = None if is_job else world.store.image_generation("ours", notice.subject)
        body = json.loads(NOTICES[notice.webhook.door](world.services.links)(notice, generation))
        check("ready_notice" if notice.outcome == "succeeded" else "failure_notice", body)
        world.store.finish_errand(errand)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("more", [{}, WEBHOOK], ids=["polled", "told"])
def test_a_finetune_in_every_state(http: TestClient, world: World, more: Mapping[str, Any]) -> None:
    states, words = set(), set()

    def look(finetune_id: str) -> None:
        states.add(world.services.jobs.get(OURS, finetune_id).status)
        words.add(seen(http, finetune_id))
        answer = http.get("/v1/finetune_details", params={"finetune_id": finetune_id})
        check("finetune_details", answer.json())

    finetune_id = created(http, **more)
    look(finetune_id)
    world.store.validated(claimed(world.store).lease, GOOD)
    look(finetune_id)
    world.store.apply(claimed(world.store).lease, [*steps(1, 2), saved(2)])
    look(finetune_id)
    world.services.jobs.pause(OURS, finetune_id)
    look(finetune_id)
    world.services.jobs.cancel(OURS, finetune_id)
    look(finetune_id)
    for code in (REQUEST_MODERATED, "trainer_died"):
        failed = created(http, **more)
        world.store.apply(claimed(world.store).lease, [Failed(code=code, message="m")])
        look(failed)
    finished = created(http, **more)
    world.finish(finished)
    look(finished)
    assert states == set(JobStatus)
    assert words == {"Pending", "Ready", "Error", "Request Moderated"}
    check("finetunes", http.get("/v1/my_finetunes").json())
    told(world)
    deleted = http.post("/v1/delete_finetune", json={"finetune_id": finished})
    check("deleted", deleted.json())
    assert seen(http, finished) == "Task not found"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("more", [{}, WEBHOOK], ids=["polled", "told"])
def test_an_image_in_every_state(
    http: TestClient, world: World, path: str, more: Mapping[str, Any]
) -> None:
    finetune_id = created(http)
    world.finish(finetune_id)
    body = {"finetune_id": finetune_id, "image": encoded(picture()), **more}
    states, words = set(), set()
    for error in (None, "It is so."):
        answer = http.post(f"/v1/{path}", json=body).json()
        check("async_webhook_response" if more else "async_response", answer)
        words.add(seen(http, answer["id"]))
        states.add(world.store.image_generation("ours", answer["id"]).status)
        states.add(world.draw(answer["id"], error=error).status)
        words.add(seen(http, answer["id"]))
    assert states == set(GenerationStatus)
    assert words == {"Pending", "Ready", "Error"}
    told(world)


def test_jobs_of_other_doors(http: TestClient, world: World) -> None:
    headers = {"authorization": f"Bearer {OURS.key_id}"}
    body = {"model": "gpt-4o-mini", "training_file": world.file(), "suffix": "s"}
    made = http.post("/v1/fine_tuning/jobs", json=body, headers=headers).json()["id"]
    for _ in range(2):
        assert seen(http, made) in ("Pending", "Ready")
        answer = http.get("/v1/finetune_details", params={"finetune_id": made}).json()
        check("finetune_details", answer)
        if world.store.job("ours", made).status is not JobStatus.SUCCEEDED:
            world.finish(made)


def test_nothing_yet(http: TestClient) -> None:
    check("finetunes", http.get("/v1/my_finetunes").json())
    check("credits", http.get("/v1/credits").json())
    assert seen(http, "nope") == "Task not found"


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", "/v1/finetune", {"mode": "dog"}, "validation_error"),
        ("POST", "/v1/finetune", {**ASKED, "file_data": "UEs="}, "validation_error"),
        ("POST", "/v1/flux-pro-finetuned", {}, "validation_error"),
        ("POST", "/v1/flux-pro-finetuned", {"finetune_id": "nope"}, "refusal"),
        ("POST", "/v1/flux-pro-1.0-canny-finetuned", {}, "validation_error"),
        ("POST", "/v1/flux-pro-1.0-depth-finetuned", {}, "validation_error"),
        ("POST", "/v1/delete_finetune", {}, "validation_error"),
        ("POST", "/v1/delete_finetune", {"finetune_id": "nope"}, "refusal"),
        ("GET", "/v1/finetune_details", None, "validation_error"),
        ("GET", "/v1/finetune_details?finetune_id=nope", None, "refusal"),
        ("GET", "/v1/get_result", None, "validation_error"),
        ("GET", "/v1/images/9f0e0000-0000-4000-8000-000000000000", None, "refusal"),
        ("PUT", "/v1/finetune", {}, "refusal"),
    ],
)
def test_refusals(http: TestClient, method: str, path: str, body: object, kind: str) -> None:
    answer = http.request(method, path, json=body)
    assert answer.status_code >= 400
    check(kind, answer.json())


def test_a_wrong_key(http: TestClient) -> None:
    answer = http.get("/v1/credits", headers={"x-key": "nope"})
    assert answer.status_code == 403
    check("refusal", answer.json())
