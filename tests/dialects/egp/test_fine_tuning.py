"""Scale's fine-tuning jobs, over the same jobs as every other door."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World
from tests.store.values import GOOD, OURS, claimed, steps
from tunery.core.progress import Failed

JOBS = "/v4/fine-tuning-jobs"
LR = 1e-3


def create(http: TestClient, world: World, **body: object) -> dict[str, Any]:
    answer = http.post(JOBS, json={"training_dataset_id": world.file(), **body})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def configured(**settings: object) -> dict[str, object]:
    return {"vendor_configuration": {"vendor": "LLMENGINE", "hyperparameters": settings}}


def test_a_job_is_exactly_as_the_published_page_has_it(http: TestClient, world: World) -> None:
    training, validation = world.file(), world.file()
    configuration = {
        "vendor": "LLMENGINE",
        "hyperparameters": {"epochs": "3", "lr": LR},
        "wandb_config": {"project": "p"},
        "suffix": "faq",
        "output": "s3://somewhere",
    }
    job = create(
        http,
        world,
        account_id=OURS.project_id,
        training_dataset_id=training,
        validation_dataset_id=validation,
        base_model_id="tiny-chat",
        vendor_configuration=configuration,
    )
    assert job == {
        "id": job["id"],
        "account_id": "ours",
        "created_at": "2026-09-21T12:00:00.250000Z",
        "created_by_user_id": OURS.user_id,
        "created_by_identity_type": "user",
        "status": "PENDING",
        "training_dataset_id": training,
        "validation_dataset_id": validation,
        "base_model_id": "tiny-chat",
        "vendor_configuration": configuration,
    }
    assert http.get(f"{JOBS}/{job['id']}").json() == job


def test_what_has_no_value_is_left_out(http: TestClient, world: World) -> None:
    job = create(http, world)
    absent = {"validation_dataset_id", "fine_tuned_model_id", "vendor_configuration"}
    assert not absent & job.keys()
    assert job["base_model_id"] == "tiny-chat"  # the server's own
    assert None not in job.values()


def test_nulls_are_as_good_as_nothing(http: TestClient, world: World) -> None:
    job = create(
        http,
        world,
        account_id=None,
        base_model_id=None,
        validation_dataset_id=None,
        fine_tuned_model_id=None,
        vendor_configuration={"suffix": None, "hyperparameters": {"epochs": None}},
    )
    assert job["vendor_configuration"] == {"vendor": "LAUNCH", "hyperparameters": {"epochs": None}}


@pytest.mark.parametrize("vendor", ["LAUNCH", "LLMENGINE", "OPENAI"])
def test_the_names_of_both_vendors_are_read_under_every_vendor(
    http: TestClient, world: World, vendor: str
) -> None:
    lora = {"r": "4", "lora_alpha": 8, "lora_dropout": "0.1", "target_modules": ["q_proj"]}
    settings = {
        "epochs": "2",
        "batch_size": 4.0,
        "learning_rate_multiplier": "0.5",
        "lr": "1e-3",
        "warmup_ratio": "0.1",
        "weight_decay": 0.001,
        "peft_config": {**lora, "bias": "none", "task_type": "CAUSAL_LM"},
    }
    given = {"vendor": vendor, "hyperparameters": settings}
    made = create(http, world, vendor_configuration=given)
    assert made["vendor_configuration"] == given
    job = world.store.job("ours", made["id"])
    asked = job.method.hyperparameters
    assert (asked.n_epochs, asked.batch_size, asked.learning_rate_multiplier) == (2, 4, 0.5)
    assert (asked.learning_rate, asked.warmup_ratio, asked.weight_decay) == (LR, 0.1, 0.001)
    assert (job.lora.r, job.lora.lora_alpha, job.lora.lora_dropout) == (4, 8, 0.1)
    assert job.lora.target_modules == ("q_proj",)


def test_two_names_of_one_thing_may_agree(http: TestClient, world: World) -> None:
    made = create(http, world, **configured(n_epochs=3, epochs="3"))
    assert world.store.job("ours", made["id"]).method.hyperparameters.n_epochs == 3


def test_a_tuned_model_is_gone_on_from_by_its_name(http: TestClient, world: World) -> None:
    model = world.finish(create(http, world)["id"])
    job = create(http, world, base_model_id=model)
    kept = world.store.job("ours", job["id"])
    assert (kept.requested_model, kept.initial_adapter) == (model, "runs/j/1/adapter")
    assert job["base_model_id"] == "tiny-chat"


def test_secrets_for_a_tracker_are_neither_kept_nor_given_back(
    http: TestClient, world: World
) -> None:
    config = {
        "api_key": "wandb-secret",
        "base_url": "https://wandb.example",
        "more": {"WANDB_API_KEY": "wandb-secret", "password": "wandb-secret", "entity": "e"},
        "list": [{"token": "wandb-secret"}, "https://me:wandb-secret@wandb.example"],
        "key": "wandb-secret",
        "headers": {"Authorization": "Bearer wandb-secret"},
        "proxy": "http://wandb-secret@proxy.example:3128/",
        "mail": "me@example.com",
    }
    job = create(http, world, vendor_configuration={"wandb_config": config})
    assert job["vendor_configuration"]["wandb_config"] == {
        "base_url": "https://wandb.example",
        "more": {"entity": "e"},
        "list": [{}],
        "headers": {},
        "mail": "me@example.com",
    }
    assert "wandb-secret" not in repr(world.store.job("ours", job["id"]))


def test_states_in_scales_words(http: TestClient, world: World) -> None:
    job = create(http, world)
    path = f"{JOBS}/{job['id']}"
    world.store.validated(claimed(world.store).lease, GOOD)
    assert http.get(path).json()["status"] == "PENDING"
    world.store.apply(claimed(world.store).lease, steps(1, 2))
    assert http.get(path).json()["status"] == "RUNNING"
    world.services.jobs.pause(OURS, job["id"])
    assert http.get(path).json()["status"] == "PENDING"
    world.services.jobs.cancel(OURS, job["id"])
    assert http.get(path).json()["status"] == "CANCELED"
    done = create(http, world)
    model = world.finish(done["id"])
    found = http.get(f"{JOBS}/{done['id']}").json()
    assert (found["status"], found["fine_tuned_model_id"]) == ("COMPLETED", model)


def test_the_reason_of_a_failure_is_an_event(http: TestClient, world: World) -> None:
    job = create(http, world)
    world.clock.advance(1.5)
    world.store.apply(claimed(world.store).lease, [Failed(code="c", message="It burst.")])
    assert http.get(f"{JOBS}/{job['id']}").json()["status"] == "FAILED"
    events = http.get(f"{JOBS}/{job['id']}/events").json()
    assert events[0]["message"] == f"Created fine-tuning job: {job['id']}"
    at = world.clock.now().timestamp()
    assert events[-1] == {"timestamp": at, "message": "It burst.", "level": "error"}


def test_all_events_are_given_however_many(http: TestClient, world: World) -> None:
    job = create(http, world)
    world.store.validated(claimed(world.store).lease, GOOD)
    run = claimed(world.store)
    world.store.apply(run.lease, steps(1, 2300))
    events = http.get(f"{JOBS}/{job['id']}/events").json()
    told = [event["message"] for event in events if event["message"].startswith("Step ")]
    assert len(told) == 2300
    assert [int(message[5:].split("/")[0]) for message in told] == list(range(1, 2301))


def test_pages_are_numbered_and_end(http: TestClient, world: World) -> None:
    ids = [create(http, world)["id"] for _ in range(5)][::-1]
    for number, want in ((1, ids[:2]), (2, ids[2:4]), (3, ids[4:]), (4, []), (2**40, [])):
        page = http.get(JOBS, params={"page": number, "limit": 2}).json()
        assert [job["id"] for job in page.pop("items")] == want
        assert page == {"current_page": number, "items_per_page": 2, "total_item_count": 5}
    assert http.get(JOBS).json()["items_per_page"] == 100


def test_a_deleted_job_is_unknown_and_its_model_stays(http: TestClient, world: World) -> None:
    done, running = create(http, world), None
    model = world.finish(done["id"])
    running = create(http, world)
    for job in (done, running):
        assert http.delete(f"{JOBS}/{job['id']}").json() == {"count": 1, "success": True}
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            gone = http.request(method, f"{JOBS}/{job['id']}{path}")
            assert gone.status_code == 404
            assert gone.json() == {"detail": f"There is no fine-tuning job '{job['id']}'."}
    assert http.get(JOBS).json()["items"] == []
    assert world.store.model("ours", model).name == model


def test_jobs_of_other_doors_are_shown_without_a_vendors_configuration(
    http: TestClient, world: World
) -> None:
    body = {"model": "tiny-chat", "training_file": world.file(), "suffix": "cats"}
    headers = {"authorization": f"Bearer {OURS.key_id}"}
    made = http.post("/v1/fine_tuning/jobs", json=body, headers=headers).json()
    [job] = http.get(JOBS).json()["items"]
    assert job["id"] == made["id"]
    assert "vendor_configuration" not in job
    digits = made["id"].removeprefix("ftjob-")
    assert http.get(f"{JOBS}/{digits}").json() == job


def test_a_repeated_create_is_answered_as_the_first(http: TestClient, world: World) -> None:
    body = {"training_dataset_id": world.file()}
    headers = {"Idempotency-Key": "one"}
    first, again = (http.post(JOBS, json=body, headers=headers).json() for _ in range(2))
    assert first == again
    assert len(http.get(JOBS).json()["items"]) == 1
    other = http.post(JOBS, json={**body, "base_model_id": "org/model"}, headers=headers)
    assert (other.status_code, other.headers["x-should-retry"]) == (409, "false")
    assert "idempotency" in json.dumps(other.json()).lower()


def test_an_account_is_the_keys_project_or_unknown(http: TestClient, world: World) -> None:
    for account, status in (("ours", 200), ("theirs", 404), ("nowhere", 404)):
        gone = {"detail": f"There is no account '{account}'; this key's account is 'ours'."}
        answers = [
            http.get(JOBS, params={"account_id": account}),
            http.get(JOBS, headers={"x-selected-account-id": account}),
            http.post(JOBS, json={"account_id": account, "training_dataset_id": world.file()}),
        ]
        for answer in answers:
            assert answer.status_code == status
            assert status == 200 or answer.json() == gone
    assert http.get(JOBS, headers={"x-selected-account-id": ""}).status_code == 200
    assert http.get(JOBS).json()["total_item_count"] == 1


def test_keys_are_looked_for_in_x_api_key_alone(world: World) -> None:
    with TestClient(world.app) as client:
        for headers in (
            {},
            {"x-api-key": ""},
            {"x-api-key": "wrong"},
            {"authorization": f"Bearer {OURS.key_id}"},
            {"x-key": OURS.key_id},
        ):
            refused = client.get(JOBS, headers=headers)
            assert refused.status_code == 401
            assert list(refused.json()) == ["detail"]


@pytest.mark.parametrize("path", ["/v4/nothing", "/v4/model-groups", f"{JOBS}/x/y"])
def test_unknown_paths_are_answered_in_the_doors_shape(http: TestClient, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_what_a_service_account_makes_says_so(http: TestClient, world: World) -> None:
    key = world.services.keys.create(OURS, name="nightly", service_account="pipeline")
    form = {"name": (None, "faq"), "schema_type": (None, "GENERATION")}
    with TestClient(world.app, headers={"x-api-key": key.secret}) as client:
        rows = (None, "input,output\n" + "a,b\n" * 10)
        dataset = client.post("/v4/training-datasets", files={"file": rows, **form}).json()
        job = create(client, world, training_dataset_id=dataset["id"])
        deployment = client.post("/v4/models/tiny-chat/deployments", json={"name": "d"}).json()
    model = http.get(f"/v4/models/{world.finish(job['id'])}").json()
    checkpoint = http.get(f"/v4/models/{model['id']}:ckpt-step-3").json()
    for made in (dataset, job, deployment, model, checkpoint):
        assert made["created_by_identity_type"] == "service_account"
        assert made["created_by_user_id"] == key.key.user_id != OURS.user_id
