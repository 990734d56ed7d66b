"""Every answer is what OpenAI's own schema describes."""

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
from tunery.core.files import Format
from tunery.core.progress import Failed

SCHEMA = shapes_beside(__file__)
check = checker(SCHEMA)
JOBS = "/v1/fine_tuning/jobs"
ROW = {"messages": [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"authorization": f"Bearer {OURS.key_id}"}) as client:
        yield client


def created(http: TestClient, world: World, **more: object) -> dict[str, Any]:
    body = {"model": "tiny-chat", "training_file": world.file(), **more}
    job: dict[str, Any] = http.post(JOBS, json=body).json()
    return job


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_job_in_every_state(http: TestClient, world: World) -> None:
    job = created(http, world, metadata={"k": "v"}, suffix="s")
    path = f"{JOBS}/{job['id']}"
    seen = [job]
    world.store.validated(claimed(world.store).lease, GOOD)
    seen.append(http.get(path).json())
    run = claimed(world.store)
    world.store.apply(run.lease, [*steps(1, 2, valid_loss=0.5), saved(2, valid_loss=0.5)])
    seen.append(http.get(path).json())
    seen.append(http.post(f"{path}/pause").json())
    seen.append(http.post(f"{path}/cancel").json())
    failing = created(http, world)
    world.store.apply(claimed(world.store).lease, [Failed(code="c", message="m")])
    seen.append(http.get(f"{JOBS}/{failing['id']}").json())
    finished = created(http, world)
    world.finish(finished["id"])
    seen.append(http.get(f"{JOBS}/{finished['id']}").json())
    assert [one["x_tunery"]["status"] for one in seen] == [
        "validating_files",
        "queued",
        "running",
        "paused",
        "cancelled",
        "failed",
        "succeeded",
    ]
    for one in seen:
        check("job", one)
    preferring = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.5}}}
    preferences = world.file(format=Format.PREFERENCE)
    job_on_pairs = created(http, world, training_file=preferences, method=preferring)
    assert job_on_pairs["method"]["type"] == "dpo"
    check("job", job_on_pairs)
    check("job_page", http.get(JOBS).json())
    for kind in ("event", "checkpoint"):
        page = http.get(f"{path}/{kind}s").json()
        assert page["data"]
        check(f"{kind}_page", page)
    check("checkpoint_page", http.get(f"{JOBS}/{failing['id']}/checkpoints").json())


def test_files_and_uploads(http: TestClient) -> None:
    data = b"\n".join(json.dumps(ROW).encode() for _ in range(3))
    file = http.post(
        "/v1/files", files={"file": ("a.jsonl", data)}, data={"purpose": "fine-tune"}
    ).json()
    check("file", file)
    check("file", http.get(f"/v1/files/{file['id']}").json())
    check("file_page", http.get("/v1/files").json())
    check("deleted", http.delete(f"/v1/files/{file['id']}").json())
    check("file_page", http.get("/v1/files").json())
    body = {
        "bytes": len(data),
        "filename": "a.jsonl",
        "mime_type": "text/jsonl",
        "purpose": "fine-tune",
    }
    upload = http.post("/v1/uploads", json=body).json()
    check("upload", upload)
    path = f"/v1/uploads/{upload['id']}"
    part = http.post(f"{path}/parts", files={"data": ("part", data)}).json()
    check("upload_part", part)
    check("upload", http.post(f"{path}/complete", json={"part_ids": [part["id"]]}).json())


def test_models_and_answers(http: TestClient, world: World) -> None:
    model = world.finish(created(http, world)["id"])
    check("model_list", http.get("/v1/models").json())
    check("model", http.get(f"/v1/models/{model}").json())
    chat = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "logprobs": True}
    check("chat_completion", http.post("/v1/chat/completions", json=chat).json())
    streamed = http.post(
        "/v1/chat/completions",
        json={**chat, "stream": True, "stream_options": {"include_usage": True}},
    )
    *chunks, done = [line[6:] for line in streamed.text.split("\n\n") if line]
    assert done == "[DONE]"
    for chunk in chunks:
        check("chat_chunk", json.loads(chunk))
    text = {"model": model, "prompt": "Hi", "logprobs": 1}
    check("completion", http.post("/v1/completions", json=text).json())
    check("deleted", http.delete(f"/v1/models/{model}").json())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{JOBS}/nope", None),
        ("GET", "/v1/nothing", None),
        ("GET", "/v1/files/file-nope", None),
        ("GET", "/v1/models/nope", None),
        ("POST", JOBS, {}),
        ("POST", JOBS, {"model": "tiny-chat", "training_file": "file-nope"}),
        ("POST", "/v1/chat/completions", {"model": "x"}),
        ("POST", "/v1/uploads", {}),
        ("PUT", JOBS, {}),
    ],
)
def test_refusals(http: TestClient, method: str, path: str, body: object) -> None:
    answer = http.request(method, path, json=body)
    assert answer.status_code >= 400
    check("error", answer.json())
