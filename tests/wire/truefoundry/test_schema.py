"""Every job that a gateway client sees is what TrueFoundry's schema describes, in every state."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator, ValidationError

from tests.dialects.world import World, make_world
from tests.store.values import GOOD, OURS, claimed, saved, steps
from tests.wire.shapes import checker, shapes_beside
from tunery.core.progress import Failed

SCHEMA = shapes_beside(__file__)
check = checker(SCHEMA)
JOB = SCHEMA["$defs"]["job"]
ROW = {"messages": [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]}

# Without `/v1` no header is needed; with it, any of them shows who is asking.
CLIENTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("", {}),
    ("", {"x-tfy-provider-name": "openai-main"}),
    ("/v1", {"x-tfy-metadata": '{"team": "paint"}'}),
)


class Door:
    """A gateway client's view of a world."""

    def __init__(self, http: TestClient, world: World, prefix: str) -> None:
        self.http = http
        self.world = world
        self.jobs = f"{prefix}/fine_tuning/jobs"

    def created(self, **more: object) -> dict[str, Any]:
        body = {"model": "tiny-chat", "training_file": self.world.file(), **more}
        return self._job(self.http.post(self.jobs, json=body))

    def seen(self, job: dict[str, Any]) -> dict[str, Any]:
        return self._job(self.http.get(f"{self.jobs}/{job['id']}"))

    def moved(self, job: dict[str, Any], move: str) -> dict[str, Any]:
        return self._job(self.http.post(f"{self.jobs}/{job['id']}/{move}"))

    def queued(self, **more: object) -> dict[str, Any]:
        job = self.created(**more)
        self.world.store.validated(claimed(self.world.store).lease, GOOD)
        return self.seen(job)

    def running(self) -> dict[str, Any]:
        job = self.queued(metadata={"k": "v"}, suffix="s", validation_file=self.world.file())
        run = claimed(self.world.store)
        self.world.store.apply(run.lease, [*steps(1, 2, valid_loss=0.5), saved(2)])
        return self.seen(job)

    def failed(self) -> dict[str, Any]:
        job = self.created()
        self.world.store.apply(claimed(self.world.store).lease, [Failed(code="c", message="m")])
        return self.seen(job)

    def finished(self) -> dict[str, Any]:
        job = self.created()
        self.world.finish(job["id"])
        return self.seen(job)

    def _job(self, answer: Any) -> dict[str, Any]:  # noqa: ANN401
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job


MAKERS: dict[str, tuple[str, Callable[[Door], dict[str, Any]]]] = {
    "validating_files": ("queued", Door.created),
    "queued": ("queued", Door.queued),
    "running": ("running", Door.running),
    "paused": ("queued", lambda door: door.moved(door.queued(), "pause")),
    "succeeded": ("succeeded", Door.finished),
    "failed": ("failed", Door.failed),
    "cancelled": ("cancelled", lambda door: door.moved(door.running(), "cancel")),
}


@pytest.fixture(params=CLIENTS, ids=str)
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    prefix, headers = request.param
    world = make_world(tmp_path)
    headers = {"authorization": f"Bearer {OURS.key_id}", **headers}
    with TestClient(world.app, headers=headers) as http:
        yield Door(http, world, prefix)


def test_the_schema_is_one_and_can_fail() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    with pytest.raises(ValidationError):
        Draft202012Validator(JOB).validate({"object": "fine_tuning.job"})


@pytest.mark.parametrize("status", MAKERS)
def test_every_field_of_a_job_in_every_state(door: Door, status: str) -> None:
    word, made = MAKERS[status]
    job = made(door)
    assert (job["status"], job["x_tunery"]["status"]) == (word, status)
    # Every field that the schema knows is there, the optional ones too.
    assert set(JOB["properties"]) <= set(job)
    check("job", job)
    page = door.http.get(door.jobs, params={"limit": 100}).json()
    check("job_page", page)
    assert job in page["data"]
    check("job", door.seen(job))


def test_what_is_null_becomes_a_value_in_time(door: Door) -> None:
    new = door.created()
    door.moved(new, "cancel")
    running = door.running()
    door.moved(running, "cancel")
    done = door.finished()
    for field in ("finished_at", "fine_tuned_model", "trained_tokens"):
        assert new[field] is None
        assert done[field] is not None
    assert new["validation_file"] is None
    assert running["validation_file"] is not None
    assert running["estimated_finish"] is not None
    assert done["estimated_finish"] is None
    assert running["metadata"]["k"] == "v"


def test_moves_answer_the_schemas_job(door: Door) -> None:
    job = door.queued()
    for move in ("pause", "resume", "cancel"):
        check("job", door.moved(job, move))


def test_files(door: Door) -> None:
    data = b"".join(json.dumps(ROW).encode() + b"\n" for _ in range(10))
    files = door.jobs.replace("/fine_tuning/jobs", "/files")
    upload = {"file": ("rows.jsonl", data)}
    file = door.http.post(files, files=upload, headers={"x-tfy-file-purpose": "fine-tune"}).json()
    check("file", file)
    check("file", door.http.get(f"{files}/{file['id']}").json())
