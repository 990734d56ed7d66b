"""One job, made at any door and read at all of them: one id, one time, states that agree."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.dataherald.tuning import finetuned, taught
from tests.dialects.pictures import encoded, pictures
from tests.dialects.world import World, make_world
from tests.store.values import FINISHED, GOOD, OURS, claimed, saved, steps
from tunery.core.job import JobStatus
from tunery.core.progress import Failed

STATES = tuple(JobStatus)
_SAME = {status: status.value for status in JobStatus} | {JobStatus.PAUSED: "queued"}


def _seconds(moment: int) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _iso(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(microsecond=0)


def _naive_iso(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(microsecond=0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Where a door's job has what all jobs have."""

    training_file: str
    base_model: Callable[[Mapping[str, Any]], str]
    tuned_model: str
    when: Callable[[Any], datetime]


OPENAI = Fields(
    training_file="training_file",
    base_model=lambda job: str(job["model"]),
    tuned_model="fine_tuned_model",
    when=_seconds,
)
SCALE = Fields(
    training_file="training_dataset_id",
    base_model=lambda job: str(job["base_model_id"]),
    tuned_model="fine_tuned_model_id",
    when=_iso,
)
DATAHERALD = Fields(
    training_file="finetuning_file_id",
    base_model=lambda job: str(job["base_llm"]["model_name"]),
    tuned_model="model_id",
    when=_naive_iso,
)


BFL = Fields(
    training_file="training_file",
    base_model=lambda job: str(job["base_model"]),
    tuned_model="fine_tuned_model",
    when=_iso,
)


@dataclass(frozen=True, kw_only=True)
class Door:
    """How a vendor's clients ask for jobs."""

    name: str
    path: str
    headers: Mapping[str, str]
    words: Mapping[JobStatus, str]
    fields: Fields
    deletes: bool = False

    def read(self, http: TestClient, job_id: str) -> dict[str, Any]:
        answer = self.ask(http, job_id)
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def ask(self, http: TestClient, job_id: str, method: str = "GET") -> Any:  # noqa: ANN401
        return http.request(method, f"{self.path}/{job_id}", headers=self.headers)

    def listed(self, http: TestClient) -> Sequence[str]:
        """The ids of a list, as the core writes them."""
        answer = http.get(self.path, headers=self.headers).json()
        if isinstance(answer, dict):
            answer = answer["data"] if "data" in answer else answer["items"]
        return ["ftjob-" + str(job["id"]).removeprefix("ftjob-") for job in answer]


class BflDoor(Door):
    """Its ids travel in queries and bodies."""

    def read(self, http: TestClient, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = super().read(http, job_id)["finetune_details"]
        query = {"id": job_id}
        result = http.get("/v1/get_result", params=query, headers=self.headers).json()
        assert (result["id"], result["status"]) == (job["finetune_id"], job["status"])
        return {**job, "id": job["finetune_id"], "created_at": job["timestamp"]}

    def ask(self, http: TestClient, job_id: str, method: str = "GET") -> Any:  # noqa: ANN401
        named = {"finetune_id": job_id}
        if method == "DELETE":
            return http.post("/v1/delete_finetune", json=named, headers=self.headers)
        return http.get("/v1/finetune_details", params=named, headers=self.headers)

    def listed(self, http: TestClient) -> Sequence[str]:
        answer = http.get("/v1/my_finetunes", headers=self.headers)
        ids: list[str] = answer.json()["finetunes"]
        return ids


DOORS = {
    door.name: door
    for door in (
        Door(
            name="openai",
            path="/v1/fine_tuning/jobs",
            headers={"authorization": f"Bearer {OURS.key_id}"},
            words=_SAME,
            fields=OPENAI,
        ),
        Door(
            name="truefoundry",
            path="/fine_tuning/jobs",
            headers={
                "authorization": f"Bearer {OURS.key_id}",
                "x-tfy-provider-name": "openai-main",
            },
            words=_SAME | {JobStatus.VALIDATING_FILES: "queued"},
            fields=OPENAI,
        ),
        Door(
            name="scale",
            path="/v4/fine-tuning-jobs",
            headers={"x-api-key": OURS.key_id},
            words={
                JobStatus.VALIDATING_FILES: "PENDING",
                JobStatus.QUEUED: "PENDING",
                JobStatus.RUNNING: "RUNNING",
                JobStatus.PAUSED: "PENDING",
                JobStatus.SUCCEEDED: "COMPLETED",
                JobStatus.FAILED: "FAILED",
                JobStatus.CANCELLED: "CANCELED",
            },
            fields=SCALE,
            deletes=True,
        ),
        Door(
            name="dataherald",
            path="/api/v1/finetunings",
            headers={"x-api-key": OURS.key_id},
            words=_SAME,
            fields=DATAHERALD,
            deletes=True,
        ),
        BflDoor(
            name="bfl",
            path="/v1/finetune",
            headers={"x-key": OURS.key_id},
            words={
                JobStatus.VALIDATING_FILES: "Pending",
                JobStatus.QUEUED: "Pending",
                JobStatus.RUNNING: "Pending",
                JobStatus.PAUSED: "Pending",
                JobStatus.SUCCEEDED: "Ready",
                JobStatus.FAILED: "Error",
                JobStatus.CANCELLED: "Error",
            },
            fields=BFL,
        ),
    )
}


def made(http: TestClient, world: World, door: Door) -> str:
    """The id of a new job, made at `door`."""
    if door.name == "dataherald":
        http.headers["x-api-key"] = OURS.key_id
        connection_id, _ = taught(http)
        return str(finetuned(http, connection_id)["finetuning_job_id"])
    if door.name == "bfl":
        body = {"file_data": encoded(pictures()), "finetune_comment": "tea", "mode": "product"}
        return str(http.post(door.path, json=body, headers=door.headers).json()["id"])
    file, model = door.fields.training_file, "base_model_id" if door.name == "scale" else "model"
    body = {file: world.file(), model: "tiny-chat"}
    answer = http.post(door.path, json=body, headers=door.headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def moved(world: World, job_id: str, state: JobStatus) -> None:
    """Carry the job, which alone waits, as far as `state`."""
    store = world.store
    if state is JobStatus.VALIDATING_FILES:
        return
    world.clock.advance(60)
    if state is JobStatus.CANCELLED:
        world.services.jobs.cancel(OURS, job_id)
        return
    validation = claimed(store)
    if state is JobStatus.FAILED:
        store.apply(validation.lease, [Failed(code="c", message="m")])
        return
    store.validated(validation.lease, GOOD)
    if state is JobStatus.PAUSED:
        world.services.jobs.pause(OURS, job_id)
    if state in (JobStatus.RUNNING, JobStatus.SUCCEEDED):
        run = claimed(store)
        store.apply(run.lease, [*steps(1, 3), saved(3)])
        if state is JobStatus.SUCCEEDED:
            store.apply(run.lease, [FINISHED])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "blobs")


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app) as client:
        yield client


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("maker", DOORS)
def test_a_job_made_at_one_door_is_the_same_at_all(
    http: TestClient, world: World, maker: str, state: JobStatus
) -> None:
    job_id = made(http, world, DOORS[maker])
    moved(world, job_id, state)
    job = world.services.jobs.get(OURS, job_id)
    assert job.status is state
    base_model = "tiny-image" if maker == "bfl" else "tiny-chat"
    for door in DOORS.values():
        seen, fields = door.read(http, job_id), door.fields
        assert door.read(http, job_id.removeprefix("ftjob-")) == seen
        assert "ftjob-" + seen["id"].removeprefix("ftjob-") == job_id
        assert seen["status"] == door.words[state], door.name
        assert fields.when(seen["created_at"]) == job.created_at.replace(microsecond=0)
        assert seen[fields.training_file] == job.training_file
        assert fields.base_model(seen) == base_model
        assert seen.get(fields.tuned_model) == job.fine_tuned_model
        assert (job.fine_tuned_model is None) == (state is not JobStatus.SUCCEEDED)
        if fields is OPENAI:
            ended = seen["finished_at"]
            assert (None if ended is None else _seconds(ended)) == _whole(job.finished_at)
            assert (ended is None) == (not state.is_final)


def _whole(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(microsecond=0)


@pytest.mark.parametrize("maker", ["openai", "bfl"])
@pytest.mark.parametrize("name", [name for name in DOORS if name not in ("scale", "bfl")])
def test_a_cancel_at_one_door_is_seen_at_all(
    http: TestClient, world: World, name: str, maker: str
) -> None:
    # Scale's door and BFL's have none: there a delete ends a job.
    door = DOORS[name]
    job_id = made(http, world, DOORS[maker])
    answer = http.post(f"{door.path}/{job_id}/cancel", headers=door.headers)
    assert answer.status_code == 200, answer.text
    for other in DOORS.values():
        assert other.read(http, job_id)["status"] == other.words[JobStatus.CANCELLED]


def test_lists_hold_what_their_clients_can_use(http: TestClient, world: World) -> None:
    ids = {name: made(http, world, door) for name, door in DOORS.items()}
    newest_first = list(ids.values())[::-1]
    for name in ("openai", "truefoundry", "scale"):
        assert DOORS[name].listed(http) == newest_first
    # Dataherald's clients can use what has a database connection.
    assert DOORS["dataherald"].listed(http) == [ids["dataherald"]]
    # And BFL's what draws.
    assert DOORS["bfl"].listed(http) == [ids["bfl"]]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("maker", DOORS)
@pytest.mark.parametrize("deleter", [door.name for door in DOORS.values() if door.deletes])
def test_a_job_deleted_at_one_door_is_unknown_at_all(
    http: TestClient, world: World, deleter: str, maker: str, state: JobStatus
) -> None:
    job_id = made(http, world, DOORS[maker])
    moved(world, job_id, state)
    model = world.services.jobs.get(OURS, job_id).fine_tuned_model
    assert DOORS[deleter].ask(http, job_id, "DELETE").status_code == 200
    unknown = "ftjob-" + "0" * 24
    for door in DOORS.values():
        for method in ("GET", "DELETE") if door.deletes else ("GET",):
            gone, never = door.ask(http, job_id, method), door.ask(http, unknown, method)
            assert gone.status_code == never.status_code == 404
            assert _without(gone.text, job_id) == _without(never.text, unknown)
        assert door.listed(http) == []
    # What it was doing is over, and what it made stays.
    assert world.store.claim("worker-2", 30) is None
    if model is not None:
        assert world.store.model("ours", model).job_id == job_id
    if model is not None and maker != "bfl":
        chat = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        headers = DOORS["openai"].headers
        assert http.post("/v1/chat/completions", json=chat, headers=headers).status_code == 200


@pytest.mark.parametrize("state", STATES)
def test_an_image_finetune_deleted_at_its_door_is_unknown_at_all(
    http: TestClient, world: World, state: JobStatus
) -> None:
    job_id = made(http, world, DOORS["bfl"])
    moved(world, job_id, state)
    job = world.services.jobs.get(OURS, job_id)
    assert DOORS["bfl"].ask(http, job_id, "DELETE").status_code == 200
    for door in DOORS.values():
        assert door.ask(http, job_id).status_code == 404
        assert door.listed(http) == []
    assert DOORS["bfl"].ask(http, job_id, "DELETE").status_code == 404
    # Here what it made goes with it, and what it learnt from.
    assert world.store.claim("worker-2", 30) is None
    assert list(world.store.models("ours")) == []
    assert not world.blobs.path(f"files/{job.training_file}").exists()


@pytest.mark.parametrize("maker", [name for name in DOORS if name != "bfl"])
def test_bfls_door_deletes_no_job_of_text(http: TestClient, world: World, maker: str) -> None:
    job_id = made(http, world, DOORS[maker])
    assert DOORS["bfl"].ask(http, job_id, "DELETE").status_code == 404
    for door in DOORS.values():
        assert door.read(http, job_id)


def _without(text: str, job_id: str) -> str:
    return text.replace(job_id, "ID").replace(job_id.removeprefix("ftjob-"), "ID")
