"""Models by the names that programs use, whatever characters are in them."""

from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from openai import NotFoundError, OpenAI

from tests.dialects.world import World
from tests.store.values import THEIRS


@pytest.fixture
def tuned(world: World, http: TestClient) -> str:
    body = {"model": "org/model", "training_file": world.file(), "suffix": "cats"}
    job = http.post("/v1/fine_tuning/jobs", json=body).json()
    return world.finish(job["id"])


def test_the_list_holds_bases_and_tuned_models(sdk: OpenAI, tuned: str) -> None:
    models = {model.id: model for model in sdk.models.list()}
    assert set(models) == {"tiny-chat", "org/model", "tiny-image", tuned}
    assert models["tiny-chat"].owned_by == "tunery"
    assert tuned.startswith("ft:org/model:org-a:cats:")


@pytest.mark.parametrize("safe", ["/:", ":", "/", ""])
@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_names_are_found_escaped_or_not(
    http: TestClient, tuned: str, safe: str, prefix: str
) -> None:
    for name in ("tiny-chat", "org/model", tuned, f"{tuned}:ckpt-step-3", "gpt-4o-mini"):
        answer = http.get(f"{prefix}/models/{quote(name, safe=safe)}")
        assert (answer.status_code, answer.json()["id"]) == (200, name)


def test_a_model_says_what_it_was_made_from(http: TestClient, tuned: str) -> None:
    assert http.get(f"/v1/models/{tuned}").json()["x_tunery"]["base_model"] == "org/model"
    assert http.get("/v1/models/gpt-4o-mini").json()["x_tunery"]["base_model"] == "tiny-chat"


def test_an_account_may_stand_before_every_name(http: TestClient, tuned: str) -> None:
    for name in ("tiny-chat", "org/model", tuned, f"{tuned}:ckpt-step-3", "gpt-4o-mini"):
        answer = http.get(f"/v1/models/openai-main/{name}")
        assert (answer.status_code, answer.json()["id"]) == (200, f"openai-main/{name}")
        alone = http.get(f"/v1/models/{name}").json()
        assert answer.json() == {**alone, "id": f"openai-main/{name}"}
        chat = {"model": f"openai-main/{name}", "messages": [{"role": "user", "content": "Hi"}]}
        assert http.post("/v1/chat/completions", json=chat).json()["model"] == chat["model"]
    assert http.get("/v1/models/other/tiny-chat").status_code == 404
    assert http.delete(f"/v1/models/openai-main/{tuned}").json()["deleted"]
    assert http.get(f"/v1/models/{tuned}").status_code == 404


def test_a_deleted_model_is_gone_with_its_checkpoints(sdk: OpenAI, tuned: str) -> None:
    deleted = sdk.models.delete(tuned)
    assert (deleted.id, deleted.object, deleted.deleted) == (tuned, "model", True)
    for name in (tuned, f"{tuned}:ckpt-step-3"):
        with pytest.raises(NotFoundError):
            sdk.models.retrieve(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tiny-chat", "tiny-chat is a base model"),
        ("gpt-4o-mini", "tiny-chat is a base model"),
        ("ft:tiny-chat:o:s:1:ckpt-step-3", "delete ft:tiny-chat:o:s:1."),
    ],
)
def test_bases_and_single_checkpoints_cannot_be_deleted(
    http: TestClient, name: str, words: str
) -> None:
    answer = http.delete(f"/v1/models/{name}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["nope", "ft:nope:o::1", "ft:nope:o::1:ckpt-step-7"])
def test_an_unknown_model_is_not_found(http: TestClient, name: str) -> None:
    for answer in (http.get(f"/v1/models/{name}"), http.delete(f"/v1/models/{name}-x")):
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_another_projects_model_is_as_unknown_as_any(http: TestClient, tuned: str) -> None:
    theirs = {"authorization": f"Bearer {THEIRS.key_id}"}
    assert http.get(f"/v1/models/{tuned}", headers=theirs).status_code == 404
    assert http.delete(f"/v1/models/{tuned}", headers=theirs).status_code == 404
    listed = http.get("/v1/models", headers=theirs).json()["data"]
    assert tuned not in {model["id"] for model in listed}


def test_a_model_of_images_is_not_asked_for_text(http: TestClient) -> None:
    chat = {"model": "tiny-image", "messages": [{"role": "user", "content": "hi"}]}
    answer = http.post("/v1/chat/completions", json=chat)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "model")
    assert error["message"] == (
        "tiny-image draws images and cannot be asked for text; POST /v1/flux-pro-finetuned draws "
        "with a finetune of it."
    )
