"""Finetunings: made of golden SQL, followed, stopped, and the same jobs at every door."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import CUSTOMERS
from tests.dialects.dataherald.requests import UNKNOWN, connected
from tests.dialects.dataherald.tuning import FINETUNINGS, finetuned, golden, job_of, taught
from tests.dialects.world import World
from tests.store.values import GOOD, OURS, claimed, steps
from tunery.core.errors import LeaseLost, NotFound
from tunery.core.hyperparameters import Hyperparameters
from tunery.core.job import JobStatus
from tunery.core.progress import Evaluated, Failed, Score
from tunery.core.text_to_sql import SqlSource
from tunery.dialects.dataherald.finetunings.mapping import OVER, STATUS
from tunery.service.text_to_sql import finetunings

OPENAI_JOBS = "/v1/fine_tuning/jobs"
BEARER = {"authorization": f"Bearer {OURS.key_id}"}


def read(http: TestClient, finetuning: dict[str, Any]) -> dict[str, Any]:
    answer = http.get(f"{FINETUNINGS}/{finetuning['id']}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def listed(http: TestClient, **query: str) -> list[str]:
    answer = http.get(FINETUNINGS, params=query)
    assert answer.status_code == 201
    return [each["id"] for each in answer.json()]


def test_a_connection_with_too_many_records_must_name_some(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id, records = taught(http, 12)
    monkeypatch.setattr(finetunings, "MOST_GOLDEN_RECORDS", 11)
    answer = http.post(FINETUNINGS, json={"db_connection_id": connection_id})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "finetuning_not_created"
    assert answer.json()["message"] == (
        "There are 12 golden records to learn from; a finetuning takes at most 11; name those "
        "that it should learn from"
    )
    assert finetuned(http, connection_id, golden_sqls=records[1:])["golden_sqls"] == records[1:]


def test_a_new_finetuning_is_what_the_document_shows(http: TestClient, world: World) -> None:
    connection_id, records = taught(http)
    made = finetuned(
        http,
        connection_id,
        alias="my_model",
        base_llm={
            "model_provider": "openai",
            "model_name": "gpt-4o-mini",
            "model_parameters": {"n_epochs": 1},
        },
        metadata={"team": {"name": "sales"}},
    )
    job = job_of(world, made)
    assert made == {
        "id": job.id.removeprefix("ftjob-"),
        "alias": "my_model",
        "db_connection_id": connection_id,
        "schemas": None,
        "status": "validating_files",
        "error": None,
        "base_llm": {
            "model_provider": "openai",
            "model_name": "tiny-chat",
            "model_parameters": {"n_epochs": "1"},
        },
        "finetuning_file_id": job.training_file,
        "finetuning_job_id": job.id,
        "model_id": None,
        "created_at": "2026-09-21T12:00:00.250000",
        "golden_records": records,
        "golden_sqls": records,
        "metadata": {"team": {"name": "sales"}},
        "evaluation": None,
    }
    assert read(http, made) == made


def test_the_job_knows_what_it_will_be_made_of(http: TestClient, world: World) -> None:
    connection_id, records = taught(http)
    made = finetuned(
        http,
        connection_id,
        base_llm={
            "model_parameters": {
                "n_epochs": "3",
                "batch_size": 4,
                "learning_rate_multiplier": "0.5",
            }
        },
    )
    job = job_of(world, made)
    assert job.sql_source == SqlSource(
        db_connection_id=connection_id, golden_records=tuple(records)
    )
    assert job.method.hyperparameters == Hyperparameters(
        n_epochs=3, batch_size=4, learning_rate_multiplier=0.5
    )
    assert (job.requested_model, job.engine, job.overlong) == ("tiny-chat", "local", "error")
    assert made["base_llm"] == {
        "model_provider": "local",
        "model_name": "tiny-chat",
        "model_parameters": {
            "n_epochs": "3",
            "batch_size": "4",
            "learning_rate_multiplier": "0.5",
        },
    }
    with pytest.raises(NotFound):  # it is only reserved
        world.store.file(OURS.project_id, job.training_file)


@pytest.mark.parametrize(("n", "holds_some_out"), [(10, False), (11, False), (12, True)])
def test_a_validation_file_is_reserved_where_records_can_be_spared(
    http: TestClient, world: World, n: int, holds_some_out: bool
) -> None:
    connection_id, _ = taught(http, n)
    job = job_of(world, finetuned(http, connection_id))
    assert (job.validation_file is not None) is holds_some_out
    assert job.validation_file != job.training_file


@pytest.mark.parametrize(
    "base_llm",
    [
        None,
        {},
        {"model_provider": None, "model_name": None, "model_parameters": None},
        {"model_provider": "", "model_name": "", "model_parameters": {}},
        {"model_parameters": {"n_epochs": "auto", "batch_size": " auto "}},
    ],
)
def test_what_is_not_said_is_the_servers_choice(
    http: TestClient, world: World, base_llm: object
) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id, base_llm=base_llm, alias=None, metadata=None)
    assert job_of(world, made).method.hyperparameters == Hyperparameters()
    assert made["base_llm"]["model_provider"] == "local"
    assert made["base_llm"]["model_name"] == "tiny-chat"
    assert made["alias"] == "shop_2026092112"


@pytest.mark.parametrize("provider", ["openai", "OpenAI", "local", "openai-main"])
def test_a_provider_is_a_kind_of_account_or_the_name_of_an_engine(
    http: TestClient, provider: str
) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id, base_llm={"model_provider": provider})
    assert made["base_llm"]["model_provider"] == provider


def test_records_go_by_either_name_and_count_once(http: TestClient, world: World) -> None:
    connection_id, records = taught(http, 14)
    chosen = records[:12]
    for name in ("golden_sqls", "golden_records"):
        made = finetuned(http, connection_id, **{name: [*chosen, chosen[0].upper()]})
        assert made["golden_records"] == made["golden_sqls"] == chosen
    both = finetuned(http, connection_id, golden_sqls=chosen, golden_records=chosen)
    assert both["golden_sqls"] == chosen
    nothing: list[str] | None
    for nothing in ([], None):
        assert finetuned(http, connection_id, golden_sqls=nothing)["golden_sqls"] == records


def test_schemas_choose_among_the_records(http: TestClient, world: World) -> None:
    for schema in ("sales", "stock"):
        world.databases.shop.tables[schema, "leads"] = CUSTOMERS
    connection_id = connected(http, schemas=["sales", "stock"])["id"]
    sales = golden(http, connection_id, 10, "SELECT count(*) FROM sales.leads")
    both = golden(http, connection_id, 1, "SELECT 1 FROM stock.leads, SALES.leads AS l")
    golden(http, connection_id, 10, "SELECT count(*) FROM stock.leads AS sales")
    made = finetuned(http, connection_id, schemas=["sales"])
    assert made["golden_records"] == [*sales, *both]
    assert made["schemas"] == ["sales"]
    assert len(finetuned(http, connection_id)["golden_records"]) == 21


def test_the_list_has_what_has_a_connection(http: TestClient, world: World) -> None:
    first, _ = taught(http)
    second, _ = taught(http)
    made = [finetuned(http, each)["id"] for each in (first, second, first)]
    training = world.file()
    other = {"model": "tiny-chat", "training_file": training}
    assert http.post(OPENAI_JOBS, json=other, headers=BEARER).status_code == 200
    assert listed(http) == made[::-1]
    assert listed(http, db_connection_id="") == made[::-1]
    assert listed(http, db_connection_id=first.upper()) == [made[2], made[0]]
    assert listed(http, db_connection_id=second) == [made[1]]
    assert listed(http, db_connection_id=UNKNOWN) == []
    assert listed(http, db_connection_id="nonsense") == []


def test_another_projects_finetunings_are_not_listed(http: TestClient, theirs: TestClient) -> None:
    connection_id, _ = taught(http)
    finetuned(http, connection_id)
    assert listed(theirs) == listed(theirs, db_connection_id=connection_id) == []


def test_every_status_has_a_word_in_lower_case() -> None:
    assert set(STATUS) == set(JobStatus)
    assert set(OVER) == {status for status in JobStatus if status.is_final}
    assert STATUS[JobStatus.PAUSED] == "queued"
    assert all(word == word.lower() for word in STATUS.values())


def test_a_finetuning_lives(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    validation = claimed(world.store)
    world.store.validated(validation.lease, GOOD)
    assert read(http, made) == {**made, "status": "queued"}
    run = claimed(world.store)
    world.store.apply(run.lease, steps(1, 2))
    assert read(http, made) == {**made, "status": "running"}
    paused = http.post(f"{OPENAI_JOBS}/{made['id']}/pause", headers=BEARER)
    assert paused.json()["x_tunery"]["status"] == "paused"
    assert read(http, made) == {**made, "status": "queued"}


def test_a_finished_finetuning_has_its_model_and_its_evaluation(
    http: TestClient, world: World
) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    validation = claimed(world.store)
    world.store.validated(validation.lease, GOOD)
    run = claimed(world.store)
    base = Score(n=2, exact_match=0, execution_match=1)
    tuned = Score(n=2, exact_match=1, execution_match=2)
    world.store.apply(run.lease, [*steps(1, 2), Evaluated(base=base, tuned=tuned)])
    assert read(http, made)["evaluation"] == {
        "base": {"n": 2, "exact_match": 0, "execution_match": 1},
        "tuned": {"n": 2, "exact_match": 1, "execution_match": 2},
    }
    again = finetuned(http, connection_id)
    model = world.finish(again["finetuning_job_id"])
    done = read(http, again)
    assert done == {**again, "status": "succeeded", "model_id": model}


def test_a_failed_finetuning_says_why(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    why = 'golden record 65: relation "ordres" does not exist'
    world.store.apply(claimed(world.store).lease, [Failed(code="invalid_golden_sql", message=why)])
    assert read(http, made) == {**made, "status": "failed", "error": why}


def test_metadata_is_replaced_whole(http: TestClient) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id, alias="a", metadata={"one": 1, "two": [2]})
    path = f"{FINETUNINGS}/{made['id']}"
    answer = http.put(path, json={"metadata": {"three": {"3": None}}})
    assert (answer.status_code, answer.json()) == (
        200,
        {**made, "metadata": {"three": {"3": None}}},
    )
    assert read(http, made) == answer.json()
    assert http.put(path, json={}).json() == {**made, "metadata": None}


@pytest.mark.parametrize("body", [None, {}, {"finetuning_id": ""}, "id", "whole id"])
def test_a_finetuning_is_cancelled_with_a_body_or_without(http: TestClient, body: object) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    named = {"id": made["id"], "whole id": made["finetuning_job_id"]}
    if isinstance(body, str):
        body = {"finetuning_id": named[body], "metadata": {"left": "alone"}}
    answer = http.post(f"{FINETUNINGS}/{made['id']}/cancel", json=body)
    cancelled = {**made, "status": "cancelled", "error": "Fine tuning cancelled by the user"}
    assert (answer.status_code, answer.json()) == (200, cancelled)
    assert read(http, made) == cancelled


def test_what_is_over_cannot_be_cancelled(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    finished, failed, cancelled = (finetuned(http, connection_id) for _ in range(3))
    http.post(f"{FINETUNINGS}/{cancelled['id']}/cancel")
    world.finish(finished["finetuning_job_id"])
    world.store.apply(claimed(world.store).lease, [Failed(code="c", message="m")])
    for made, why in (
        (finished, "Model has already succeeded. Cannot cancel."),
        (failed, "Model has already failed. Cannot cancel."),
        (cancelled, "Model has already been cancelled."),
    ):
        answer = http.post(f"{FINETUNINGS}/{made['id']}/cancel")
        assert (answer.status_code, answer.json()) == (400, {"detail": why})


def test_a_running_finetuning_is_cancelled_by_its_deletion(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    world.store.validated(claimed(world.store).lease, GOOD)
    run = claimed(world.store)
    answer = http.delete(f"{FINETUNINGS}/{made['id']}")
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})
    with pytest.raises(LeaseLost):
        world.store.apply(run.lease, steps(1, 1))
    assert listed(http) == []
    assert http.get(f"{OPENAI_JOBS}/{made['id']}", headers=BEARER).status_code == 404
    gone = {"detail": f"Model not found, {made['id']}"}
    for answer in (
        http.get(f"{FINETUNINGS}/{made['id']}"),
        http.delete(f"{FINETUNINGS}/{made['id']}"),
        http.post(f"{FINETUNINGS}/{made['id']}/cancel"),
        http.put(f"{FINETUNINGS}/{made['id']}", json={}),
    ):
        assert (answer.status_code, answer.json()) == (404, gone)


def test_a_deleted_finetuning_leaves_its_model(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    model = world.finish(made["finetuning_job_id"])
    assert http.delete(f"{FINETUNINGS}/{made['id']}").status_code == 200
    answer = http.get(f"/v1/models/{model}", headers=BEARER)
    assert answer.status_code == 200


def test_a_job_of_another_door_can_be_read_changed_and_ended_here(
    http: TestClient, world: World
) -> None:
    body = {
        "model": "gpt-4o-mini",
        "training_file": world.file(),
        "metadata": {"team": "paint"},
        "suffix": "colours",
        "hyperparameters": {"n_epochs": 2},
    }
    answer = http.post(OPENAI_JOBS, json=body, headers=BEARER)
    job_id = answer.json()["id"]
    digits = job_id.removeprefix("ftjob-")
    seen = http.get(f"{FINETUNINGS}/{digits}").json()
    assert seen == http.get(f"{FINETUNINGS}/{job_id}").json()
    assert seen == {
        "id": digits,
        "alias": "colours",
        "db_connection_id": "",
        "schemas": None,
        "status": "validating_files",
        "error": None,
        "base_llm": {
            "model_provider": "local",
            "model_name": "tiny-chat",
            "model_parameters": {"n_epochs": "2"},
        },
        "finetuning_file_id": body["training_file"],
        "finetuning_job_id": job_id,
        "model_id": None,
        "created_at": "2026-09-21T12:00:00.250000",
        "golden_records": [],
        "golden_sqls": [],
        "metadata": {"team": "paint"},
        "evaluation": None,
    }
    changed = http.put(f"{FINETUNINGS}/{digits}", json={"metadata": {"a": 1}}).json()
    assert changed == {**seen, "metadata": {"a": 1}}
    assert http.post(f"{FINETUNINGS}/{digits}/cancel").json()["status"] == "cancelled"
    assert http.delete(f"{FINETUNINGS}/{digits}").json() == {"status": "success"}
    assert http.get(f"{FINETUNINGS}/{digits}").status_code == 404


def test_the_same_job_is_seen_at_openais_door(http: TestClient) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id, base_llm={"model_parameters": {"batch_size": "8"}})
    job = http.get(f"{OPENAI_JOBS}/{made['id']}", headers=BEARER).json()
    assert job["id"] == made["finetuning_job_id"]
    assert job["status"] == made["status"] == "validating_files"
    assert job["training_file"] == made["finetuning_file_id"]
    assert job["hyperparameters"]["batch_size"] == 8
    assert "alias" not in (job["metadata"] or {})


def test_a_repeated_create_call_is_answered_as_before(http: TestClient) -> None:
    connection_id, records = taught(http, 10)
    key = {"idempotency-key": "once"}
    body = {"db_connection_id": connection_id, "golden_records": records}
    first = http.post(FINETUNINGS, json=body, headers=key).json()
    http.delete(f"/api/v1/golden-sqls/{records[0]}")
    assert http.post(FINETUNINGS, json=body, headers=key).json() == first
    other = http.post(
        FINETUNINGS, json={"db_connection_id": connection_id, "alias": "b"}, headers=key
    )
    assert (other.status_code, other.json()["error_code"]) == (400, "finetuning_not_created")
    assert listed(http) == [first["id"]]
