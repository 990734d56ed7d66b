"""The document's own example is what the schema takes, and what we answer has its shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from tests.dialects.dataherald.tuning import FINETUNINGS, finetuned, taught
from tests.dialects.world import World, make_world
from tests.store.values import OURS

SCHEMA = json.loads((Path(__file__).parent / "schema.json").read_text())

EXAMPLE: dict[str, Any] = {
    "id": "6579a8d94bc1d0fa6c0ee3a1",
    "db_connection_id": "6579a8d94bc1d0fa6c0ee3a2",
    "alias": "my_model",
    "status": "validating_files",
    "error": None,
    "base_llm": {
        "model_provider": "openai",
        "model_name": "gpt-3.5-turbo-1106",
        "model_parameters": {"n_epochs": "1"},
    },
    "finetuning_file_id": None,
    "finetuning_job_id": None,
    "model_id": None,
    "created_at": "2023-12-13T17:35:53.263485",
    "golden_records": ["656777c9eb4e22533dc43fce", "656777ceeb4e22533dc43fcf"],
    "metadata": None,
}
"""A finetuning in the shape of the seed, "List Finetunings"; its ids are ours."""


def faults(value: object) -> list[str]:
    schema = {"$ref": "#/$defs/finetuning", "$defs": SCHEMA["$defs"]}
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"x-api-key": OURS.key_id}) as client:
        yield client


def test_the_example_is_what_the_schema_takes() -> None:
    assert faults(EXAMPLE) == []


@pytest.mark.parametrize("name", EXAMPLE)
def test_the_schema_misses_what_is_left_out(name: str) -> None:
    rest = {key: value for key, value in EXAMPLE.items() if key != name}
    assert faults(rest) == [f"'{name}' is a required property"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "VALIDATING_FILES"},
        {"status": "paused"},
        {"id": "ftjob-6579a8d94bc1d0fa6c0ee3a1"},
        {"alias": None},
        {"db_connection_id": None},
        {"created_at": "2023-12-13T17:35:53.263485+00:00"},
        {"base_llm": {**EXAMPLE["base_llm"], "model_parameters": {"n_epochs": 1}}},
        {"golden_records": [1]},
        {"metadata": []},
    ],
)
def test_the_schema_refuses_what_no_client_knows(wrong: dict[str, object]) -> None:
    assert len(faults({**EXAMPLE, **wrong})) == 1


def test_what_we_answer_has_the_fields_of_the_example(http: TestClient) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    assert set(made) - set(EXAMPLE) == {"schemas", "golden_sqls", "evaluation"}
    assert set(EXAMPLE) <= set(made)
    assert set(made["base_llm"]) == set(EXAMPLE["base_llm"])
    assert faults(made) == []


def test_a_job_of_another_door_has_them_too(http: TestClient, world: World) -> None:
    body = {"model": "tiny-chat", "training_file": world.file()}
    bearer = {"authorization": f"Bearer {OURS.key_id}"}
    job = http.post("/v1/fine_tuning/jobs", json=body, headers=bearer).json()
    assert faults(http.get(f"{FINETUNINGS}/{job['id']}").json()) == []
    world.finish(job["id"])
    assert faults(http.get(f"{FINETUNINGS}/{job['id']}").json()) == []
