"""Every answer is what Dataherald's own types describe."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from tests.dialects.databases import AWAY, CUSTOMERS, EMPTY
from tests.dialects.dataherald.requests import (
    API,
    CONNECTIONS,
    GOLDEN,
    INSTRUCTIONS,
    TABLES,
    UNKNOWN,
    connected,
    connection,
    listed,
    record,
)
from tests.dialects.dataherald.tuning import (
    FINETUNINGS,
    GENERATIONS,
    PROMPTS,
    finetuned,
    generated,
    job_of,
    prompted,
    scanned,
    taught,
)
from tests.dialects.world import World, make_world
from tests.store.values import GOOD, OURS, claimed, saved, steps
from tests.wire.shapes import checker, shapes_beside
from tunery.core.errors import QueryFailed
from tunery.core.progress import Evaluated, Failed, Score

SCHEMA = shapes_beside(__file__)
check = checker(SCHEMA)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(world.app, headers={"x-api-key": OURS.key_id}) as client:
        yield client


def read(http: TestClient, finetuning: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = http.get(f"{FINETUNINGS}/{finetuning['id']}").json()
    return body


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_connections(http: TestClient, world: World) -> None:
    world.databases.shop.tables["sales", "leads"] = CUSTOMERS
    storage = {"name": "S3", "access_key_id": "a", "secret_access_key": "b", "bucket": "c"}
    made = connected(
        http,
        schemas=["sales"],
        llm_api_key="k",
        file_storage=storage,
        ssh_settings={"host": "h", "password": "p"},
        metadata={"a": [1]},
    )
    check("database_connection", made)
    check("database_connection", http.put(f"{CONNECTIONS}/{made['id']}", json=connection()).json())
    check("database_connections", listed(http, CONNECTIONS))


def test_tables_in_every_state(http: TestClient, world: World) -> None:
    made = str(connected(http)["id"])
    unscanned = listed(http, TABLES, db_connection_id=made)
    world.databases.shop.tables.pop((None, "orders"))
    begun = http.post(f"{TABLES}/sync-schemas", json={"db_connection_id": made}).json()
    ended = listed(http, TABLES, db_connection_id=made)
    refreshed = http.post(f"{TABLES}/refresh", json={"db_connection_id": made}).json()
    described = http.put(f"{TABLES}/{ended[0]['id']}", json={"description": "Who buys"}).json()
    seen = [*unscanned, *begun, *ended, *refreshed]
    assert {each["status"] for each in seen} == {
        "NOT_SCANNED",
        "SYNCHRONIZING",
        "SCANNED",
        "DEPRECATED",
        "FAILED",
    }
    check("table_descriptions", seen)
    check("table_description", described)
    check("table_description", http.get(f"{TABLES}/{ended[0]['id']}").json())


def test_golden_sqls_and_instructions(http: TestClient) -> None:
    made = connected(http)["id"]
    added = http.post(GOLDEN, json=[record(made), record(made, metadata={"a": 1})]).json()
    check("golden_sqls", added)
    check("golden_sqls", listed(http, GOLDEN))
    path = f"{GOLDEN}/{added[0]['id']}"
    check("golden_sql", http.put(path, json={"metadata": {"b": 2}}).json())
    check("golden_sql_deleted", http.delete(path).json())
    asked = {"db_connection_id": made, "instruction": "Round to cents."}
    instruction = http.post(INSTRUCTIONS, json=asked).json()
    check("instruction", instruction)
    check("instructions", listed(http, INSTRUCTIONS))
    path = f"{INSTRUCTIONS}/{instruction['id']}"
    check("instruction", http.put(path, json={"instruction": "Round.", "metadata": {}}).json())
    check("success", http.delete(path).json())


def test_a_finetuning_in_every_state(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    llm = {
        "model_provider": "local",
        "model_name": "tiny-chat",
        "model_parameters": {"n_epochs": 1},
    }
    made = finetuned(http, connection_id, base_llm=llm, metadata={"a": {"b": 1}})
    seen = [made]
    world.store.validated(claimed(world.store).lease, GOOD)
    seen.append(read(http, made))
    run = claimed(world.store)
    world.store.apply(run.lease, [*steps(1, 2), saved(2)])
    seen.append(read(http, made))
    key = {"authorization": f"Bearer {OURS.key_id}"}
    paused = http.post(f"/v1/fine_tuning/jobs/{job_of(world, made).id}/pause", headers=key)
    assert paused.json()["x_tunery"]["status"] == "paused"
    seen.append(read(http, made))
    seen.append(http.post(f"{FINETUNINGS}/{made['id']}/cancel").json())
    failing = finetuned(http, connection_id)
    world.store.apply(claimed(world.store).lease, [Failed(code="c", message="m")])
    seen.append(read(http, failing))
    finished = finetuned(http, connection_id)
    world.store.validated(claimed(world.store).lease, GOOD)
    score = Score(n=2, exact_match=0, execution_match=1)
    training = claimed(world.store)
    world.store.apply(training.lease, [*steps(1, 2), saved(2), Evaluated(base=score, tuned=score)])
    seen.append(read(http, finished))
    assert [one["status"] for one in seen] == [
        "validating_files",
        "queued",
        "running",
        "queued",
        "cancelled",
        "failed",
        "running",
    ]
    check("finetunings", seen)
    answer = http.get(FINETUNINGS)
    assert answer.status_code == 201
    check("finetunings", answer.json())
    path = f"{FINETUNINGS}/{failing['id']}"
    check("finetuning", http.put(path, json={"metadata": {"c": 1}}).json())
    check("success", http.delete(path).json())


def test_a_finished_finetuning(http: TestClient, world: World) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    model = world.finish(job_of(world, made).id)
    after = read(http, made)
    assert (after["status"], after["model_id"]) == ("succeeded", model)
    check("finetuning", after)


def test_prompts_and_generations(http: TestClient, world: World) -> None:
    connection_id = scanned(http)
    prompt = prompted(http, connection_id, schemas=None, metadata={"a": 1})
    check("prompt", prompt)
    check("prompt", http.put(f"{PROMPTS}/{prompt['id']}", json={}).json())
    check("prompts", listed(http, PROMPTS))
    world.databases.shop.results["SELECT nothing FROM orders"] = QueryFailed("no such column")
    good = generated(http, prompt["id"], sql="SELECT count(*) FROM orders")
    bad = generated(http, prompt["id"], sql="SELECT nothing FROM orders")
    written = generated(http, prompt["id"])
    assert (good["status"], bad["status"]) == ("VALID", "INVALID")
    for each in (good, bad, written):
        check("sql_generation", each)
    check("sql_generations", listed(http, GENERATIONS))
    path = f"{GENERATIONS}/{good['id']}"
    check("sql_generation", http.get(path).json())
    check("sql_generation", http.put(path, json={"metadata": {"a": 1}}).json())
    check("rows", http.get(f"{path}/execute").json())


def test_the_heart_beats(http: TestClient) -> None:
    check("heartbeat", http.get(f"{API}/heartbeat").json())


@pytest.mark.parametrize(
    ("kind", "method", "path", "body"),
    [
        ("service_error", "POST", CONNECTIONS, connection(connection_uri=EMPTY, metadata={})),
        ("service_error", "POST", CONNECTIONS, connection(connection_uri=AWAY)),
        ("service_error", "POST", CONNECTIONS, connection(connection_uri="x")),
        ("service_error", "POST", CONNECTIONS, connection(use_ssh=True)),
        ("service_error", "PUT", f"{CONNECTIONS}/nope", connection()),
        ("service_error", "PUT", f"{CONNECTIONS}/{UNKNOWN}", connection()),
        ("service_error", "POST", f"{TABLES}/refresh", {"db_connection_id": UNKNOWN}),
        ("service_error", "POST", GOLDEN, [record(UNKNOWN)]),
        ("service_error", "PUT", f"{GOLDEN}/nope", {}),
        ("service_error", "POST", FINETUNINGS, {"db_connection_id": UNKNOWN}),
        ("http_error", "GET", f"{TABLES}/nope", None),
        ("http_error", "GET", f"{TABLES}/{UNKNOWN}", None),
        ("http_error", "PUT", f"{GOLDEN}/{UNKNOWN}", {}),
        ("http_error", "DELETE", f"{INSTRUCTIONS}/{UNKNOWN}", None),
        ("http_error", "GET", f"{FINETUNINGS}/{UNKNOWN}", None),
        ("http_error", "GET", f"{API}/nothing", None),
        ("invalid", "POST", CONNECTIONS, {}),
        ("invalid", "POST", f"{TABLES}/sync-schemas", {}),
        ("invalid", "POST", GOLDEN, [{}]),
        ("invalid", "GET", TABLES, None),
        ("invalid", "POST", FINETUNINGS, {}),
    ],
)
def test_refusals(http: TestClient, kind: str, method: str, path: str, body: object) -> None:
    answer = http.request(method, path, json=body)
    assert 400 <= answer.status_code < 500
    check(kind, answer.json())
