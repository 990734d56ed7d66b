"""A job's events as a stream: all of them, in order, once, and no longer than the job."""

import json
import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World
from tests.store.values import OURS, THEIRS
from tunery.core.events import Event
from tunery.core.pages import Page, PageRequest

STREAM = {"accept": "text/event-stream"}


@pytest.fixture
def job_id(http: TestClient, world: World) -> str:
    body = {"model": "tiny-chat", "training_file": world.file()}
    created: str = http.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    return created


def read(http: TestClient, job_id: str, **headers: str) -> list[dict[str, Any]]:
    path = f"/v1/fine_tuning/jobs/{job_id}/events"
    events = []
    with http.stream("GET", path, headers={**STREAM, **headers}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
    return events


def test_a_finished_job_is_told_from_the_beginning_to_the_end(
    http: TestClient, world: World, job_id: str
) -> None:
    world.finish(job_id)
    listed = http.get(f"/v1/fine_tuning/jobs/{job_id}/events", params={"limit": 100}).json()
    assert read(http, job_id) == listed["data"][::-1]


def test_a_stream_goes_on_until_the_job_is_over(
    http: TestClient, world: World, job_id: str
) -> None:
    def later() -> None:
        time.sleep(0.5)
        world.finish(job_id, n_steps=250)

    worker = threading.Thread(target=later)
    worker.start()
    events = read(http, job_id)
    worker.join()
    numbers = [int(event["id"].rsplit("-", 1)[1]) for event in events]
    assert numbers == list(range(1, len(events) + 1))
    assert sum(event["type"] == "metrics" for event in events) == 250
    assert events[-1]["message"] == "The job has successfully completed"


def test_a_stream_is_taken_up_where_it_broke_off(
    http: TestClient, world: World, job_id: str
) -> None:
    world.finish(job_id)
    events = read(http, job_id)
    assert read(http, job_id, **{"last-event-id": events[2]["id"]}) == events[3:]


def test_who_has_heard_everything_is_told_not_to_come_again(
    http: TestClient, world: World, job_id: str
) -> None:
    world.finish(job_id)
    last = read(http, job_id)[-1]["id"]
    path = f"/v1/fine_tuning/jobs/{job_id}/events"
    assert http.get(path, headers={**STREAM, "last-event-id": last}).status_code == 204


def test_a_wrong_place_and_an_unknown_job_are_refused(http: TestClient, job_id: str) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}/events"
    wrong = http.get(path, headers={**STREAM, "last-event-id": "ftevent-1"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "Last-Event-ID")
    theirs = {**STREAM, "authorization": f"Bearer {THEIRS.key_id}"}
    assert http.get(path, headers=theirs).status_code == 404


def test_a_stream_ends_when_its_job_is_deleted(
    http: TestClient, world: World, job_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/v1/fine_tuning/jobs/{job_id}/events"
    n_asked = 0
    read_events = world.store.events

    def then_deleted(project_id: str, job_id: str, page: PageRequest) -> Page[Event]:
        nonlocal n_asked
        n_asked += 1
        found = read_events(project_id, job_id, page)
        world.services.jobs.delete(OURS, job_id)
        return found

    world.store.events = then_deleted  # type: ignore[method-assign]
    events = read(http, job_id)
    assert [event["message"] for event in events][:1] == [f"Created fine-tuning job: {job_id}"]
    assert n_asked == 1
    assert caplog.records == []
    assert http.get(path, headers=STREAM).status_code == 404
