"""Every answer of Scale's door is what its own schema describes; nothing in one is null."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from tests.dialects.world import World, make_world
from tests.store.values import GOOD, OURS, claimed, saved, steps
from tests.wire.shapes import checker, shapes_beside
from tunery.core.generation import Piece, TokenLogprob
from tunery.core.job import JobStatus
from tunery.core.progress import Failed

SCHEMA = shapes_beside(__file__)
check = checker(SCHEMA)
JOBS = "/v4/fine-tuning-jobs"
DATASETS = "/v4/training-datasets"
CSV = "input,output\n" + "Hi,Hello\n" * 10


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"x-api-key": OURS.key_id}) as client:
        yield client


def created(http: TestClient, world: World, **more: object) -> dict[str, Any]:
    body = {"training_dataset_id": world.file(), **more}
    job: dict[str, Any] = http.post(JOBS, json=body).json()
    return job


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "configuration",
    [
        None,
        {"hyperparameters": {"epochs": "3"}},
        {"vendor": "LAUNCH", "suffix": "s", "output": "o", "wandb_config": {"api_key": "x"}},
        {"vendor": "LLMENGINE", "hyperparameters": {"lr": 0.001, "peft_config": {"r": 4}}},
        {"vendor": "OPENAI", "hyperparameters": {"n_epochs": 2}, "suffix": "s"},
    ],
)
def test_a_job_in_every_state(
    http: TestClient, world: World, configuration: dict[str, Any] | None
) -> None:
    more: dict[str, Any] = {"validation_dataset_id": world.file()}
    if configuration is not None:
        more["vendor_configuration"] = configuration
    job = created(http, world, **more)
    path = f"{JOBS}/{job['id']}"
    seen, states = [job], [JobStatus.VALIDATING_FILES]

    def look(which: str) -> None:
        seen.append(http.get(f"{JOBS}/{which}").json())
        states.append(world.store.job("ours", which).status)

    world.store.validated(claimed(world.store).lease, GOOD)
    look(job["id"])
    run = claimed(world.store)
    world.store.apply(run.lease, [*steps(1, 2, valid_loss=0.5), saved(2, valid_loss=0.5)])
    look(job["id"])
    world.services.jobs.pause(OURS, job["id"])
    look(job["id"])
    world.services.jobs.cancel(OURS, job["id"])
    look(job["id"])
    failing = created(http, world, **more)
    world.store.apply(claimed(world.store).lease, [Failed(code="c", message="m")])
    look(failing["id"])
    finished = created(http, world, **more)
    world.finish(finished["id"])
    look(finished["id"])
    assert set(states) == set(JobStatus)
    for one in seen:
        check("job", one)
    assert seen[-1]["fine_tuned_model_id"]
    check("job_page", http.get(JOBS).json())
    for which in (job, failing, finished):
        events = http.get(f"{JOBS}/{which['id']}/events").json()
        assert events
        check("events", events)
    check("deleted", http.delete(path).json())


def test_jobs_of_openais_door(http: TestClient, world: World) -> None:
    headers = {"authorization": f"Bearer {OURS.key_id}"}
    body = {"model": "gpt-4o-mini", "training_file": world.file(), "metadata": {"k": "v"}}
    made = http.post("/v1/fine_tuning/jobs", json=body, headers=headers).json()
    check("job", http.get(f"{JOBS}/{made['id']}").json())
    check("job_page", http.get(JOBS).json())


def test_datasets(http: TestClient, world: World) -> None:
    form = {"name": (None, "faq"), "schema_type": (None, "GENERATION")}
    dataset = http.post(DATASETS, files={"file": (None, CSV), **form}).json()
    check("dataset", dataset)
    path = f"{DATASETS}/{dataset['id']}"
    check("dataset", http.get(path).json())
    check("dataset", http.get(f"{DATASETS}/{world.file()}").json())
    check("dataset_page", http.get(DATASETS).json())
    contents = http.get(f"{path}/contents").json()
    assert len(contents) == 10
    check("contents", contents)
    check("deleted", http.delete(path).json())
    check("dataset_page", http.get(DATASETS, params={"page": 9}).json())


def test_models_deployments_and_answers(http: TestClient, world: World) -> None:
    tuned = world.finish(created(http, world)["id"])
    check("model_page", http.get("/v4/models", params={"view": "Deployments"}).json())
    for name in (tuned, "tiny-chat", f"{tuned}:ckpt-step-3"):
        check("model", http.get(f"/v4/models/{name}").json())
        check("deployment_page", http.get(f"/v4/models/{name}/deployments").json())
    body = {"name": "d", "deployment_metadata": {"k": 1}}
    made = http.post(f"/v4/models/{tuned}/deployments", json=body).json()
    check("deployment", made)
    check("deployment", http.get(f"/v4/models/{tuned}/deployments/{made['id']}").json())
    check("deployment_page", http.get("/v4/model-deployments").json())
    token = TokenLogprob(token="Hi", logprob=-0.5, bytes=[72], top=[("Ho", -1.0, [72])])
    world.generator.pieces = [
        Piece(text="Hi", logprobs=[token]),
        Piece(finish_reason="stop", usage=(1, 1)),
    ]
    prompt, chat = {"prompt": "x"}, {"prompt": "x", "chat_history": []}
    named = {"model": tuned, "messages": [{"role": "user", "content": "x"}]}
    calls: tuple[tuple[str, dict[str, Any], str], ...] = (
        (f"models/{made['id']}/completions", prompt, "deployment_completion"),
        (f"models/{made['id']}/chat-completions", chat, "deployment_completion"),
        (f"models/{tuned}/deployments/{made['id']}/execute", chat, "deployment_completion"),
        ("completions", {"model": tuned, **prompt}, "completion"),
        ("chat-completions", named, "chat_completion"),
    )
    for path, asked, kind in calls:
        check(kind, http.post(f"/v4/{path}", json=asked).json())
        streamed = http.post(f"/v4/{path}", json={**asked, "stream": True}).text
        chunks = [json.loads(line[6:]) for line in streamed.split("\n\n") if line]
        assert len(chunks) == 2
        for chunk in chunks:
            check(f"{kind}_chunk", chunk)


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", f"{JOBS}/nope", None, "refusal"),
        ("GET", f"{JOBS}?page=0", None, "validation_error"),
        ("POST", JOBS, {}, "validation_error"),
        ("POST", JOBS, {"training_dataset_id": "nope"}, "validation_error"),
        ("GET", "/v4/nothing", None, "refusal"),
        ("PUT", JOBS, {}, "refusal"),
        ("POST", DATASETS, {}, "validation_error"),
        ("GET", "/v4/models/nope", None, "refusal"),
        ("POST", "/v4/completions", {"model": "nope", "prompt": "x"}, "refusal"),
        ("GET", f"{JOBS}?account_id=nope", None, "refusal"),
    ],
)
def test_refusals(http: TestClient, method: str, path: str, body: object, kind: str) -> None:
    answer = http.request(method, path, json=body)
    assert answer.status_code >= 400
    check(kind, answer.json())
