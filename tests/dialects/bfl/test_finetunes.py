"""Finetunes at BFL's door: what is asked for, what is told of it, and what is left of it."""

import base64
import re

import pytest
from fastapi.testclient import TestClient

from tests.dialects.bfl.calls import (
    FINETUNE,
    NEVER,
    asked,
    details,
    finetuned,
    ready,
    result,
)
from tests.dialects.pictures import encoded, pictures
from tests.dialects.world import World
from tests.store.values import GOOD, OURS, claimed, saved, steps
from tunery.core.files import Format
from tunery.core.job import JobStatus
from tunery.core.method import Subject
from tunery.core.picture_sets import MOST_PICTURES
from tunery.core.preflight import REQUEST_MODERATED
from tunery.core.progress import Failed
from tunery.dialects.bfl.results.mapping import STATUS
from tunery.service.jobs import Jobs


def test_every_state_has_a_word() -> None:
    assert set(STATUS) == set(JobStatus)
    assert set(STATUS.values()) == {"Pending", "Ready", "Error"}


def test_all_that_is_asked_for_reaches_the_job(http: TestClient, world: World) -> None:
    finetune_id = finetuned(
        http,
        mode="character",
        trigger_word="TEAPT",
        iterations=150,
        learning_rate=0.00001,
        captioning=False,
        priority="speed",
        finetune_type="lora",
        lora_rank=16,
    )
    job = world.services.jobs.get(OURS, finetune_id)
    assert job.method == Subject(
        trigger_word="TEAPT",
        mode="character",
        iterations=150,
        learning_rate=0.00001,
        captioning=False,
        priority="speed",
        finetune_type="lora",
    )
    assert (job.lora.r, job.lora.lora_alpha) == (16, 16)
    assert (job.base_model, job.webhook) == ("tiny-image", None)


def test_what_is_left_out_is_bfls_default(http: TestClient, world: World) -> None:
    job = world.services.jobs.get(OURS, finetuned(http))
    assert job.method == Subject(mode="product")
    assert job.method.hyperparameters.learning_rate == "auto"
    assert job.lora.r == 32
    nulls = finetuned(http, learning_rate=None, webhook_url=None, webhook_secret=None)
    assert world.services.jobs.get(OURS, nulls).method == job.method


def test_the_archive_is_kept_as_a_file_of_pictures(http: TestClient, world: World) -> None:
    job = world.services.jobs.get(OURS, finetuned(http))
    file = world.services.files.get(OURS, job.training_file)
    assert (file.format, file.n_rows) == (Format.PICTURES, 2)


@pytest.mark.parametrize(
    "file_data",
    [
        "data:application/zip;base64," + encoded(pictures()),
        "data:;base64," + encoded(pictures()),
        base64.encodebytes(pictures()).decode(),
        base64.encodebytes(pictures()).decode().replace("\n", "\r\n"),
        f" {encoded(pictures())}\n",
    ],
    ids=["data URI", "short data URI", "line feeds", "carriage returns", "space around"],
)
def test_base64_may_come_as_clients_write_it(http: TestClient, file_data: str) -> None:
    assert http.post(FINETUNE, json=asked(file_data=file_data)).status_code == 200


def test_fields_that_nobody_knows_are_ignored(http: TestClient) -> None:
    assert http.post(FINETUNE, json=asked(region="us", num_images=3)).status_code == 200


def test_the_answer_says_where_to_ask(http: TestClient) -> None:
    answer = http.post(FINETUNE, json=asked()).json()
    finetune_id = answer["finetune_id"]
    assert answer == {
        "finetune_id": finetune_id,
        "id": finetune_id,
        "polling_url": f"http://testserver/v1/get_result?id={finetune_id}",
    }
    assert http.get(answer["polling_url"]).json()["status"] == "Pending"


def test_the_answer_names_the_webhook_where_there_is_one(http: TestClient, world: World) -> None:
    told = {"webhook_url": "https://me.example/told?x=1", "webhook_secret": "s3cret-word"}
    answer = http.post(FINETUNE, json=asked(**told)).json()
    assert (answer["status"], answer["webhook_url"]) == ("Pending", told["webhook_url"])
    assert answer["id"] == answer["finetune_id"]
    webhook = world.services.jobs.get(OURS, answer["id"]).webhook
    assert webhook is not None
    assert (webhook.door, webhook.url) == ("bfl", told["webhook_url"])
    assert webhook.link_base == "http://testserver"
    assert webhook.secret != told["webhook_secret"]


def test_links_begin_with_the_public_url_where_there_is_one(
    http: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(world.services.__dict__, "public_url", "https://tunery.example.com/sub/")
    url = http.post(FINETUNE, json=asked()).json()["polling_url"]
    assert url.startswith("https://tunery.example.com/sub/v1/get_result?id=ftjob-")


def test_details_tell_what_was_asked_and_what_became_of_it(http: TestClient, world: World) -> None:
    finetune_id = finetuned(http, trigger_word="TEAPT", finetune_type="lora", lora_rank=16)
    found = details(http, finetune_id)
    assert found == {
        "finetune_id": finetune_id,
        "finetune_comment": "my teapot",
        "trigger_word": "TEAPT",
        "mode": "product",
        "iterations": 300,
        "learning_rate": None,
        "captioning": True,
        "priority": "quality",
        "finetune_type": "lora",
        "lora_rank": 16,
        "timestamp": "2026-09-21T12:00:00.250Z",
        "status": "Pending",
        "base_model": "tiny-image",
        "training_file": found["training_file"],
        "fine_tuned_model": None,
    }
    model = world.finish(finetune_id)
    after = details(http, finetune_id)
    assert (after["status"], after["fine_tuned_model"]) == ("Ready", model)
    assert after["learning_rate"] == GOOD.resolved.learning_rate
    assert details(http, finetuned(http, learning_rate=0.002))["learning_rate"] == 0.002


def test_details_of_a_job_of_text_leave_null_what_it_lacks(http: TestClient, world: World) -> None:
    body = {"model": "tiny-chat", "training_file": world.file()}
    bearer = {"authorization": f"Bearer {OURS.key_id}"}
    job_id = http.post("/v1/fine_tuning/jobs", json=body, headers=bearer).json()["id"]
    found = details(http, job_id)
    lacking = ("finetune_comment", "trigger_word", "mode", "captioning", "priority")
    assert [found[name] for name in (*lacking, "finetune_type", "iterations")] == [None] * 7
    assert (found["base_model"], found["lora_rank"]) == ("tiny-chat", 16)
    world.finish(job_id)
    assert details(http, job_id)["iterations"] == GOOD.total_steps
    assert result(http, job_id)["result"] == {"finetune_id": job_id}


def test_the_list_has_ids_newest_first(http: TestClient, world: World) -> None:
    made = [finetuned(http) for _ in range(3)]
    assert http.get("/v1/my_finetunes").json() == {"finetunes": made[::-1]}
    http.post("/v1/delete_finetune", json={"finetune_id": made[1]})
    assert http.get("/v1/my_finetunes").json() == {"finetunes": [made[2], made[0]]}


def test_progress_is_the_share_of_steps(http: TestClient, world: World) -> None:
    finetune_id = finetuned(http)
    assert result(http, finetune_id)["progress"] is None
    world.store.validated(claimed(world.store).lease, GOOD)
    assert result(http, finetune_id)["progress"] == 0
    world.store.apply(claimed(world.store).lease, [*steps(1, 40), saved(40)])
    assert result(http, finetune_id) == {
        "id": finetune_id,
        "status": "Pending",
        "result": None,
        "progress": 0.4,
        "details": None,
        "preview": None,
    }
    world.services.jobs.pause(OURS, finetune_id)
    assert result(http, finetune_id)["progress"] == 0.4


def test_a_finetune_that_is_ready_names_itself(http: TestClient, world: World) -> None:
    finetune_id = ready(http, world)
    assert result(http, finetune_id) == {
        "id": finetune_id,
        "status": "Ready",
        "result": {"finetune_id": finetune_id},
        "progress": None,
        "details": None,
        "preview": None,
    }


@pytest.mark.parametrize(
    ("code", "status"), [(REQUEST_MODERATED, "Request Moderated"), ("trainer_died", "Error")]
)
def test_a_finetune_that_failed_says_why(
    http: TestClient, world: World, code: str, status: str
) -> None:
    finetune_id = finetuned(http)
    world.store.apply(claimed(world.store).lease, [Failed(code=code, message="It is so.")])
    found = result(http, finetune_id)
    assert (found["status"], found["details"]) == (status, {"message": "It is so."})
    assert (found["result"], found["progress"]) == (None, None)
    assert details(http, finetune_id)["status"] == status


def test_more_pictures_than_a_finetune_may_have_are_for_validation_to_refuse(
    http: TestClient, world: World
) -> None:
    finetune_id = finetuned(http, file_data=encoded(pictures(MOST_PICTURES + 1)))
    job = world.services.jobs.get(OURS, finetune_id)
    assert world.services.files.get(OURS, job.training_file).n_rows == MOST_PICTURES + 1


def test_a_cancelled_finetune_has_come_to_nothing(http: TestClient, world: World) -> None:
    finetune_id = finetuned(http)
    world.services.jobs.cancel(OURS, finetune_id)
    found = result(http, finetune_id)
    assert found["status"] == "Error"
    assert found["details"] == {"message": "The finetune was cancelled"}


@pytest.mark.parametrize("task_id", [NEVER, "nope", "", "\N{SNOWMAN}", "a" * 5000, "ftjob-"])
def test_an_unknown_task_is_answered_and_not_refused(http: TestClient, task_id: str) -> None:
    assert result(http, task_id) == {
        "id": task_id,
        "status": "Task not found",
        "result": None,
        "progress": None,
        "details": None,
        "preview": None,
    }


def test_deleting_answers_all_four_fields(http: TestClient, world: World) -> None:
    finetune_id = ready(http, world)
    answer = http.post("/v1/delete_finetune", json={"finetune_id": finetune_id})
    assert answer.status_code == 200
    gone = answer.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", gone.pop("timestamp"))
    assert gone == {
        "status": "success",
        "message": "Finetune deleted",
        "deleted_finetune_id": finetune_id,
    }
    assert result(http, finetune_id)["status"] == "Task not found"


def test_a_create_call_that_comes_again_makes_no_second_finetune(
    http: TestClient, world: World
) -> None:
    headers = {"idempotency-key": "the same"}
    made = [http.post(FINETUNE, json=asked(), headers=headers) for _ in range(2)]
    assert made[0].json() == made[1].json()
    assert len(http.get("/v1/my_finetunes").json()["finetunes"]) == 1
    for other in ({"trigger_word": "X"}, {"file_data": encoded(pictures(3))}):
        refused = http.post(FINETUNE, json=asked(**other), headers=headers)
        assert refused.status_code == 409
        assert list(refused.json()) == ["detail"]


def test_the_digest_that_makes_a_call_known_is_not_of_its_encoding(http: TestClient) -> None:
    headers = {"idempotency-key": "the same"}
    one = http.post(FINETUNE, json=asked(), headers=headers).json()
    prefixed = asked(file_data="data:application/zip;base64," + encoded(pictures()))
    assert http.post(FINETUNE, json=prefixed, headers=headers).json() == one


def test_what_nobody_foresaw_is_told_without_its_inside(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(Jobs, "get", fails)
    answer = http.get("/v1/finetune_details", params={"finetune_id": NEVER})
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert "ZeroDivisionError" in answer.json()["detail"]
