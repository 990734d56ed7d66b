"""Scale's models and deployments: every model by its name, every tuned one ready at once."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World
from tests.store.values import GOOD, OURS, THEIRS, claimed, saved, steps
from tunery.core.pages import PageRequest
from tunery.core.progress import Failed

MODELS = "/v4/models"


@pytest.fixture
def tuned(http: TestClient, world: World) -> str:
    return made(http, world)


def made(http: TestClient, world: World, **body: object) -> str:
    body = {"training_dataset_id": world.file(), **body}
    job = http.post("/v4/fine-tuning-jobs", json=body).json()
    return world.finish(job["id"])


def names(page: dict[str, Any]) -> list[str]:
    return [item["name"] for item in page["items"]]


def test_a_tuned_model_has_a_ready_deployment_of_its_own(
    http: TestClient, world: World, tuned: str
) -> None:
    model = http.get(f"{MODELS}/{tuned}").json()
    digits = world.store.model("ours", tuned).job_id.removeprefix("ftjob-")
    own = {
        "id": f"dpl_{digits}",
        "account_id": "ours",
        "created_at": "2026-09-21T12:00:00.250000Z",
        "created_by_user_id": OURS.user_id,
        "created_by_identity_type": "user",
        "name": tuned,
        "status": "READY",
        "model_instance_id": tuned,
    }
    assert (model["id"], model["base_model_id"], model["deployment_count"]) == (
        tuned,
        "tiny-chat",
        1,
    )
    assert (model["model_type"], model["supports_multi_turn"]) == ("CHAT_COMPLETION", True)
    assert model["request_schema"]["properties"]["chat_history"]["type"] == "array"
    assert model["response_schema"]["$ref"].endswith("CompletionObject")
    assert "deployments" not in model
    shown = http.get(f"{MODELS}/{tuned}", params={"view": "Deployments,ModelGroup"}).json()
    assert shown["deployments"] == [own]
    assert http.get(f"{MODELS}/{tuned}/deployments").json()["items"] == [own]
    assert http.get(f"{MODELS}/{tuned}/deployments/{own['id']}").json() == own
    assert http.get("/v4/model-deployments").json()["items"] == [own]


def test_names_with_slashes_and_colons_are_found_escaped_or_not(
    http: TestClient, world: World
) -> None:
    tuned = made(http, world, base_model_id="org/model")
    assert tuned.startswith("ft:org/model:")
    for name in ("org/model", "tiny-chat", tuned):
        for path in (name, name.replace("/", "%2F").replace(":", "%3A")):
            assert http.get(f"{MODELS}/{path}").json()["id"] == name
            page = http.get(f"{MODELS}/{path}/deployments").json()
            assert page["total_item_count"] == int(name == tuned)
    deployment = http.post(f"{MODELS}/org%2Fmodel/deployments", json={"name": "d"}).json()
    path = f"{MODELS}/org%2Fmodel/deployments/{deployment['id']}"
    assert http.get(path).json() == deployment
    asked = http.post(f"{path}/execute", json={"prompt": "Hi"})
    assert asked.json()["completions"] == [["Hello"]]
    assert world.generator.asked[-1].location == "/org/model"


def test_more_deployments_can_be_made_of_base_and_tuned_models(
    http: TestClient, world: World, tuned: str
) -> None:
    metadata = {"team": "paint", "n": [1, {"x": None}]}
    body = {
        "name": "second",
        "account_id": "ours",
        "deployment_metadata": metadata,
        "wait_for_ready": True,
    }
    for model, before in ((tuned, 1), ("tiny-chat", 0)):
        world.clock.advance(1)
        deployment = http.post(f"{MODELS}/{model}/deployments", json=body).json()
        assert (deployment["status"], deployment["name"]) == ("READY", "second")
        assert deployment["model_instance_id"] == model
        assert deployment["deployment_metadata"] == metadata
        assert http.get(f"{MODELS}/{model}").json()["deployment_count"] == before + 1
        assert deployment in http.get(f"{MODELS}/{model}/deployments").json()["items"]
        other = "tiny-chat" if model == tuned else tuned
        assert http.get(f"{MODELS}/{other}/deployments/{deployment['id']}").status_code == 404
        answer = http.post(f"{MODELS}/{deployment['id']}/completions", json={"prompt": "Hi"})
        assert answer.json()["completions"] == [["Hello"]]
    page = http.get("/v4/model-deployments", params={"sort_by": "name:desc,created_at:desc"})
    assert names(page.json()) == ["second", "second", tuned]
    moments = [item["created_at"] for item in page.json()["items"]]
    assert moments[0] > moments[1]


def test_an_alias_and_the_name_behind_it_have_the_same_deployments(http: TestClient) -> None:
    made = http.post(f"{MODELS}/gpt-4o-mini/deployments", json={"name": "d"}).json()
    assert made["model_instance_id"] == "tiny-chat"
    for name in ("gpt-4o-mini", "tiny-chat"):
        assert http.get(f"{MODELS}/{name}/deployments").json()["items"] == [made]
        assert http.get(f"{MODELS}/{name}/deployments/{made['id']}").json() == made


def test_deployments_go_with_their_model(http: TestClient, world: World, tuned: str) -> None:
    body = {"name": "second"}
    second = http.post(f"{MODELS}/{tuned}/deployments", json=body).json()["id"]
    own = http.get(f"{MODELS}/{tuned}/deployments").json()["items"][0]["id"]
    headers = {"authorization": f"Bearer {OURS.key_id}"}
    assert http.delete(f"/v1/models/{tuned}", headers=headers).status_code == 200
    for deployment in (own, second):
        gone = http.get(f"{MODELS}/{tuned}/deployments/{deployment}")
        assert gone.status_code == 404
        asked = http.post(f"{MODELS}/{deployment}/completions", json={"prompt": "Hi"})
        assert asked.status_code == 404
        assert asked.json() == {"detail": f"There is no deployment '{deployment}'."}
    assert http.get(f"{MODELS}/{tuned}/deployments").status_code == 404
    assert http.get("/v4/model-deployments").json()["items"] == []
    assert world.store.deployments.count("ours") == 0


def test_a_model_outlives_its_job(http: TestClient, world: World, tuned: str) -> None:
    job_id = world.store.model("ours", tuned).job_id
    assert http.delete(f"/v4/fine-tuning-jobs/{job_id}").status_code == 200
    own = http.get(f"{MODELS}/{tuned}/deployments").json()["items"][0]["id"]
    answer = http.post(f"{MODELS}/{own}/completions", json={"prompt": "Hi"})
    assert answer.json()["completions"] == [["Hello"]]


def test_models_are_listed_by_type_in_order_and_in_pages(
    http: TestClient, world: World, tuned: str
) -> None:
    assert names(http.get(MODELS).json()) == ["tiny-chat", "org/model", "tiny-image", tuned]
    assert names(http.get(MODELS, params={"sort_by": "id:desc"}).json()) == [
        "tiny-image",
        "tiny-chat",
        "org/model",
        tuned,
    ]
    by_base = http.get(MODELS, params={"sort_by": "base_model_id:desc,name:asc"}).json()
    assert names(by_base) == [tuned, "org/model", "tiny-chat", "tiny-image"]
    second = http.get(MODELS, params={"page": 2, "limit": 3}).json()
    assert (names(second), second["total_item_count"]) == ([tuned], 4)
    assert http.get(MODELS, params={"page": 3, "limit": 3}).json()["items"] == []
    assert len(http.get(MODELS, params={"model_type": "CHAT_COMPLETION"}).json()["items"]) == 4
    for nothing in ({"model_type": "EMBEDDING"}, {"model_group_id": "any"}):
        page = http.get(MODELS, params=nothing).json()
        assert (page["items"], page["total_item_count"]) == ([], 0)
    with_deployments = http.get(MODELS, params={"view": "Deployments"}).json()["items"]
    assert [len(model["deployments"]) for model in with_deployments] == [0, 0, 0, 1]


def test_checkpoints_are_shown_and_not_deployed(http: TestClient, tuned: str) -> None:
    name = f"{tuned}:ckpt-step-3"
    assert http.get(f"{MODELS}/{name}").json()["deployment_count"] == 0
    assert http.get(f"{MODELS}/{name}/deployments").json()["items"] == []
    refused = http.post(f"{MODELS}/{name}/deployments", json={"name": "d"})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["path", "model_id"]


def test_a_checkpoint_is_its_jobs_makers_also_where_no_model_came_of_it(
    http: TestClient, world: World
) -> None:
    job = http.post("/v4/fine-tuning-jobs", json={"training_dataset_id": world.file()}).json()
    world.store.validated(claimed(world.store).lease, GOOD)
    run = claimed(world.store)
    world.store.apply(run.lease, [*steps(1, 3), saved(3), Failed(code="c", message="m")])
    [checkpoint] = world.store.checkpoints("ours", job["id"], PageRequest(limit=1)).items
    found = http.get(f"{MODELS}/{checkpoint.model}").json()
    assert found["created_by_user_id"] == job["created_by_user_id"] == OURS.user_id


def test_other_projects_have_their_own_models(http: TestClient, world: World, tuned: str) -> None:
    with TestClient(world.app, headers={"x-api-key": THEIRS.key_id}) as theirs:
        assert names(theirs.get(MODELS).json()) == ["tiny-chat", "org/model", "tiny-image"]
        assert theirs.get("/v4/model-deployments").json()["items"] == []
        theirs.post(f"{MODELS}/tiny-chat/deployments", json={"name": "d"})
    assert http.get(f"{MODELS}/tiny-chat").json()["deployment_count"] == 0
    assert http.get(f"{MODELS}/{tuned}").json()["deployment_count"] == 1
