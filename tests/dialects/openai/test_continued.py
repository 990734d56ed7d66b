"""OpenAI's `model` may be a tuned model or a checkpoint of one: the job goes on from there."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.openai.test_fine_tuning import JOBS, create, dpo, refused
from tests.dialects.world import World
from tunery.core.files import Format


@pytest.mark.parametrize(
    ("checkpoint", "adapter"), [("", "runs/j/1/adapter"), (":ckpt-step-3", "runs/c/3")]
)
@pytest.mark.parametrize(
    ("method", "format_"),
    [({}, Format.CHAT), (dpo(), Format.PREFERENCE)],
    ids=["supervised", "dpo"],
)
def test_a_job_goes_on_from_a_tuned_model_or_a_checkpoint(
    checkpoint: str,
    adapter: str,
    method: dict[str, Any],
    format_: Format,
    http: TestClient,
    world: World,
) -> None:
    model = world.finish(create(http, world)["id"]) + checkpoint
    job = create(http, world, model=model, training_file=world.file(format=format_), **method)
    assert job["model"] == "tiny-chat"
    kept = world.store.job("ours", job["id"])
    assert (kept.base_model, kept.requested_model) == ("tiny-chat", model)
    assert kept.initial_adapter == adapter
    said = [event["message"] for event in http.get(f"{JOBS}/{job['id']}/events").json()["data"]]
    assert f"Goes on from {model}, whose base model is tiny-chat" in said


@pytest.mark.parametrize("checkpoint", ["", ":ckpt-step-3"])
def test_a_job_that_goes_on_shows_the_shape_of_the_adapter_that_it_began_with(
    checkpoint: str, http: TestClient, world: World
) -> None:
    shape = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj"]}
    first = create(http, world, x_tunery=shape)["id"]
    model = world.finish(first) + checkpoint
    asked = {"r": 32, "target_modules": "all-linear", "lora_dropout": 0.25}
    second = create(http, world, model=model, x_tunery=asked)
    assert {name: second["x_tunery"][name] for name in shape} == shape
    assert second["x_tunery"]["lora_dropout"] == 0.25
    third = create(http, world, model=world.finish(second["id"]))
    assert third["x_tunery"]["r"] == 4


@pytest.mark.parametrize("end", [":ckpt-step-7", ":ckpt-step-0", "x"])
def test_what_was_never_saved_cannot_be_gone_on_from(
    end: str, http: TestClient, world: World
) -> None:
    model = world.finish(create(http, world)["id"]) + end
    error = refused(http, world, model=model)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
