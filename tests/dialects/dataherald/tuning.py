"""Finetunings, prompts and SQL generations as a client makes them."""

from typing import Any

from fastapi.testclient import TestClient

from tests.dialects.dataherald.requests import API, GOLDEN, TABLES, connected, record
from tests.dialects.world import World
from tests.store.values import OURS
from tunery.core.job import FineTuningJob

FINETUNINGS = f"{API}/finetunings"
PROMPTS = f"{API}/prompts"
GENERATIONS = f"{API}/sql-generations"


def taught(http: TestClient, n: int = 12, **more: object) -> tuple[str, list[str]]:
    """The id of a connection, and those of its golden records."""
    connection_id = str(connected(http, **more)["id"])
    return connection_id, golden(http, connection_id, n)


def golden(
    http: TestClient, connection_id: str, n: int, sql: str = "SELECT count(*) FROM orders"
) -> list[str]:
    """The ids of new golden records."""
    answer = http.post(GOLDEN, json=[record(connection_id, sql=sql)] * n)
    assert answer.status_code == 201, answer.text
    return [str(each["id"]) for each in answer.json()]


def finetuned(http: TestClient, connection_id: str, **more: object) -> dict[str, Any]:
    """A new finetuning."""
    answer = http.post(FINETUNINGS, json={"db_connection_id": connection_id, **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def job_of(world: World, finetuning: dict[str, Any]) -> FineTuningJob:
    """The job that a finetuning is."""
    return world.store.job(OURS.project_id, finetuning["finetuning_job_id"])


def scanned(http: TestClient, **more: object) -> str:
    """The id of a connection whose tables are scanned."""
    connection_id = str(connected(http, **more)["id"])
    answer = http.post(f"{TABLES}/sync-schemas", json={"db_connection_id": connection_id})
    assert answer.status_code == 201, answer.text
    return connection_id


def prompted(http: TestClient, connection_id: str, **more: object) -> dict[str, Any]:
    """A new prompt."""
    body = {"text": "How many orders are there?", "db_connection_id": connection_id, **more}
    answer = http.post(PROMPTS, json=body)
    assert answer.status_code == 201, answer.text
    prompt: dict[str, Any] = answer.json()
    return prompt


def generated(http: TestClient, prompt_id: object, **more: object) -> dict[str, Any]:
    """SQL for a prompt."""
    answer = http.post(f"{PROMPTS}/{prompt_id}/sql-generations", json=more)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body
