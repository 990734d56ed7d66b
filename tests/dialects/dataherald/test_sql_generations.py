"""SQL written for prompts: by whom, whether it runs, and the rows that it gives."""

import csv
import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import CUSTOMERS
from tests.dialects.dataherald.requests import TABLES, UNKNOWN, connected, listed
from tests.dialects.dataherald.tuning import (
    FINETUNINGS,
    GENERATIONS,
    PROMPTS,
    finetuned,
    generated,
    golden,
    prompted,
    scanned,
)
from tests.dialects.world import World
from tests.store.values import GOOD, OURS, claimed
from tunery.core.errors import QueryFailed, Unavailable
from tunery.core.text_to_sql import Rows
from tunery.dialects.dataherald.sql_generations.rows import as_csv, as_objects

COUNT = "SELECT count(*) FROM orders"
WRONG = "SELECT count(*) FROM ordres"
MISSING = 'relation "ordres" does not exist'
ASK = f"{PROMPTS}/sql-generations"


@pytest.fixture
def connection_id(http: TestClient) -> str:
    return scanned(http)


@pytest.fixture
def prompt_id(http: TestClient, connection_id: str) -> str:
    return str(prompted(http, connection_id)["id"])


def tuned(http: TestClient, world: World, connection_id: str, **more: object) -> tuple[str, str]:
    """A finished finetuning, and its model."""
    golden(http, connection_id, 12)
    made = finetuned(http, connection_id, **more)
    return str(made["id"]), world.finish(made["finetuning_job_id"])


def test_a_base_model_writes_sql_that_is_tried_out(
    http: TestClient, world: World, prompt_id: str
) -> None:
    world.generator.says = [f"```sql\n{COUNT};\n```"]
    made = generated(http, prompt_id, metadata={"by": "me"})
    assert made == {
        "id": made["id"],
        "metadata": {"by": "me"},
        "created_at": "2026-09-21T12:00:00.250000+00:00",
        "prompt_id": prompt_id,
        "finetuning_id": None,
        "status": "VALID",
        "completed_at": "2026-09-21T12:00:00.250000+00:00",
        "llm_config": {"llm_name": "tiny-chat", "api_base": None},
        "intermediate_steps": None,
        "sql": COUNT,
        "tokens_used": 7,
        "confidence_score": None,
        "error": None,
    }
    assert http.get(f"{GENERATIONS}/{made['id'].upper()}").json() == made
    assert world.databases.shop.asked == [COUNT]
    [request] = world.generator.asked
    assert (request.location, request.adapter, request.temperature) == ("/tiny-chat", None, 0)
    assert request.messages is not None
    assert "orders" in request.messages[0]["content"]
    assert request.messages[1] == {"role": "user", "content": "How many orders are there?"}


def test_a_tuned_model_writes_where_its_finetuning_is_named(
    http: TestClient, world: World, connection_id: str, prompt_id: str
) -> None:
    finetuning_id, _ = tuned(http, world, connection_id)
    for given in (finetuning_id, f"ftjob-{finetuning_id}"):
        world.generator.says = [COUNT]
        made = generated(http, prompt_id, finetuning_id=given, low_latency_mode=True)
        assert made["finetuning_id"] == finetuning_id
        assert (made["status"], made["sql"]) == ("VALID", COUNT)
    adapter = world.generator.asked[-1].adapter
    assert adapter is not None
    assert adapter.endswith("runs/j/1/adapter")


def test_a_tuned_model_is_told_of_the_schemas_that_it_learned(
    http: TestClient, world: World
) -> None:
    for schema in ("sales", "stock"):
        world.databases.shop.tables[schema, f"leads_{schema}"] = CUSTOMERS
    connection_id = connected(http, schemas=["sales", "stock"])["id"]
    http.post(f"{TABLES}/sync-schemas", json={"db_connection_id": connection_id})
    golden(http, connection_id, 12, "SELECT count(*) FROM sales.leads_sales")
    made = finetuned(http, connection_id, schemas=["sales"])
    world.finish(made["finetuning_job_id"])
    for more, told in (({}, ["sales"]), ({"schemas": ["stock"]}, ["stock"])):
        world.generator.says = [COUNT]
        prompt_id = prompted(http, connection_id, **more)["id"]
        generated(http, prompt_id, finetuning_id=made["id"])
        messages = world.generator.asked[-1].messages
        assert messages is not None
        named = [each for each in ("sales", "stock") if f"leads_{each}" in messages[0]["content"]]
        assert named == told


@pytest.mark.parametrize("name", ["gpt-4o-mini", "org/model", "openai-main/org/model", None, ""])
def test_a_model_is_chosen_by_name(
    http: TestClient, world: World, prompt_id: str, name: str | None
) -> None:
    world.generator.says = [COUNT]
    made = generated(http, prompt_id, llm_config={"llm_name": name}, finetuning_id="")
    assert made["llm_config"] == {"llm_name": name or "tiny-chat", "api_base": None}
    expected = "/org/model" if name and "org" in name else "/tiny-chat"
    assert world.generator.asked[0].location == expected


def test_a_tuned_model_can_be_chosen_by_name_too(
    http: TestClient, world: World, connection_id: str, prompt_id: str
) -> None:
    _, model = tuned(http, world, connection_id)
    world.generator.says = [COUNT]
    made = generated(http, prompt_id, llm_config={"llm_name": model})
    assert made["llm_config"]["llm_name"] == model
    assert world.generator.asked[0].adapter is not None


def test_sql_that_fails_is_repaired_once(http: TestClient, world: World, prompt_id: str) -> None:
    world.databases.shop.results[WRONG] = QueryFailed(MISSING)
    world.generator.says = [WRONG, COUNT]
    made = generated(http, prompt_id)
    assert (made["status"], made["sql"], made["error"]) == ("VALID", COUNT, None)
    assert made["tokens_used"] == 14
    assert made["intermediate_steps"] == [
        {
            "thought": "The first SQL failed and was written again.",
            "action": "run_sql",
            "action_input": WRONG,
            "observation": MISSING,
        }
    ]
    first, second = (request.messages or [] for request in world.generator.asked)
    assert second[:2] == first
    assert second[2] == {"role": "assistant", "content": WRONG}
    assert second[3]["role"] == "user"
    assert MISSING in second[3]["content"]


def test_sql_that_fails_twice_is_given_back_with_the_databases_words(
    http: TestClient, world: World, prompt_id: str
) -> None:
    again = "SELECT count(*) FROM oders"
    world.databases.shop.results[WRONG] = QueryFailed(MISSING)
    world.databases.shop.results[again] = QueryFailed('relation "oders" does not exist')
    world.generator.says = [WRONG, again, COUNT]
    made = generated(http, prompt_id)
    assert (made["status"], made["sql"]) == ("INVALID", again)
    assert made["error"] == 'relation "oders" does not exist'
    assert world.databases.shop.asked == [WRONG, again]


@pytest.mark.parametrize(
    "unsafe", ["DROP TABLE orders", "SELECT 1; DELETE FROM orders", "SELECT pg_sleep(9)", "Hello!"]
)
def test_what_does_more_than_read_is_never_run(
    http: TestClient, world: World, prompt_id: str, unsafe: str
) -> None:
    world.generator.says = [unsafe, unsafe]
    made = generated(http, prompt_id)
    assert (made["status"], made["sql"]) == ("INVALID", unsafe)
    assert made["error"].startswith("The SQL ")
    assert http.get(f"{GENERATIONS}/{made['id']}/execute").status_code == 400
    assert http.get(f"{GENERATIONS}/{made['id']}/csv-file").status_code == 400
    assert world.databases.shop.asked == []


def test_sql_that_came_along_is_only_tried_out(
    http: TestClient, world: World, prompt_id: str
) -> None:
    world.databases.shop.results[WRONG] = QueryFailed(MISSING)
    made = generated(http, prompt_id, sql=COUNT)
    assert (made["status"], made["sql"], made["tokens_used"]) == ("VALID", COUNT, 0)
    assert made["llm_config"] is None
    made = generated(http, prompt_id, sql=WRONG)
    assert (made["status"], made["sql"], made["error"]) == ("INVALID", WRONG, MISSING)
    assert made["intermediate_steps"] is None
    assert world.generator.asked == []


def test_a_question_and_its_sql_in_one_call(
    http: TestClient, world: World, connection_id: str
) -> None:
    world.generator.says = [COUNT]
    body = {"prompt": {"text": "How many?", "db_connection_id": connection_id, "metadata": {}}}
    answer = http.post(ASK, json={**body, "metadata": {"a": 1}})
    assert answer.status_code == 201
    [prompt] = listed(http, PROMPTS)
    made = answer.json()
    assert (made["prompt_id"], made["sql"], made["metadata"]) == (prompt["id"], COUNT, {"a": 1})
    assert (prompt["text"], prompt["metadata"]) == ("How many?", {})


def test_generations_are_listed_and_their_metadata_replaced(
    http: TestClient, theirs: TestClient, connection_id: str
) -> None:
    first, second = (prompted(http, connection_id)["id"] for _ in range(2))
    made = [generated(http, each, sql=COUNT) for each in (first, second, first)]
    assert listed(http, GENERATIONS) == listed(http, GENERATIONS, prompt_id="") == made
    assert listed(http, GENERATIONS, prompt_id=first.upper()) == [made[0], made[2]]
    assert listed(http, GENERATIONS, prompt_id=UNKNOWN) == []
    assert listed(theirs, GENERATIONS) == []
    path = f"{GENERATIONS}/{made[0]['id']}"
    changed = {**made[0], "metadata": {"b": 2}}
    assert http.put(path, json={"metadata": {"b": 2}}).json() == changed
    assert http.get(path).json() == changed


def test_rows_are_objects(http: TestClient, world: World, prompt_id: str) -> None:
    rows = tuple((number, f"name {number}") for number in range(300))
    world.databases.shop.results[COUNT] = Rows(columns=("id", "name"), rows=rows)
    made = generated(http, prompt_id, sql=COUNT)
    path = f"{GENERATIONS}/{made['id']}"
    answer = http.get(f"{path}/execute")
    assert answer.status_code == 200
    assert answer.json() == [{"id": n, "name": f"name {n}"} for n in range(100)]
    assert len(http.get(f"{path}/execute", params={"max_rows": 250}).json()) == 250
    for wrong in (0, -1, 10_001, "many"):
        assert http.get(f"{path}/execute", params={"max_rows": wrong}).status_code == 422


def test_all_rows_are_a_file(http: TestClient, world: World, prompt_id: str) -> None:
    rows = tuple((number, 'a "b", c\nd') for number in range(300))
    world.databases.shop.results[COUNT] = Rows(columns=("id", "id"), rows=rows)
    made = generated(http, prompt_id, sql=COUNT)
    answer = http.get(f"{GENERATIONS}/{made['id']}/csv-file")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{made["id"]}.csv"'
    lines = list(csv.reader(io.StringIO(answer.text)))
    assert lines == [["id", "id"], *([str(n), 'a "b", c\nd'] for n in range(300))]


def test_a_file_is_whole_or_refused(http: TestClient, world: World, prompt_id: str) -> None:
    world.databases.shop.results[COUNT] = Rows(columns=("n",), rows=((1,),) * 10_001)
    made = generated(http, prompt_id, sql=COUNT)
    answer = http.get(f"{GENERATIONS}/{made['id']}/csv-file")
    assert answer.status_code == 400
    assert "may have 10,000 rows" in answer.json()["detail"]


def test_a_database_that_refuses_is_heard(http: TestClient, world: World, prompt_id: str) -> None:
    made = generated(http, prompt_id, sql=COUNT)
    world.databases.shop.results[COUNT] = QueryFailed("permission denied")
    for path in ("execute", "csv-file"):
        answer = http.get(f"{GENERATIONS}/{made['id']}/{path}")
        assert (answer.status_code, answer.json()) == (400, {"detail": "permission denied"})


def test_values_of_every_type_can_be_written() -> None:
    values: list[tuple[object, Any]] = [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (1.5, 1.5),
        (float("inf"), None),
        (Decimal("12.50"), 12.5),
        (Decimal("3"), 3),
        (Decimal("NaN"), None),
        (date(2026, 11, 21), "2026-11-21"),
        (time(6, 30), "06:30:00"),
        (datetime(2026, 11, 21, 6, 30, tzinfo=UTC), "2026-11-21T06:30:00+00:00"),
        (b"\x00\xff", "00ff"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [Decimal("1"), {2: b"a"}]}, {"a": [1, {"2": "61"}]}),
    ]
    rows = Rows(columns=tuple(f"c{n}" for n in range(14)), rows=(tuple(v for v, _ in values),))
    assert list(as_objects(rows)[0].values()) == [expected for _, expected in values]
    assert as_csv(rows).splitlines()[1].startswith(",True,1180591620717411303424,1.5,,12.5,3,,2026")


def test_columns_of_the_same_name_keep_their_values() -> None:
    rows = Rows(columns=("id", "id", "id_2", ""), rows=((1, 2, 3, 4),))
    assert as_objects(rows) == [{"id": 1, "id_2_2": 2, "id_2": 3, "": 4}]


def test_numbers_beyond_all_measure_are_text() -> None:
    rows = Rows(columns=("n",), rows=((Decimal("9" * 5000),), (Decimal("-1.5E+400"),)))
    assert as_objects(rows) == [{"n": "9" * 5000}, {"n": "-1.5E+400"}]
    assert as_csv(rows) == f"n\n{'9' * 5000}\n-1.5E+400\n"


def error(code: str, message: str, **detail: object) -> dict[str, object]:
    asked = {
        "finetuning_id": None,
        "low_latency_mode": False,
        "llm_config": None,
        "evaluate": False,
        "sql": None,
    }
    return {
        "error_code": code,
        "message": message,
        "description": None,
        "detail": {**asked, **detail},
    }


def test_a_finetuning_must_have_succeeded(
    http: TestClient, world: World, connection_id: str, prompt_id: str
) -> None:
    golden(http, connection_id, 12)
    made = finetuned(http, connection_id)
    asked = {"finetuning_id": made["id"]}
    path = f"{PROMPTS}/{prompt_id}/sql-generations"

    def refusal(status: str) -> dict[str, object]:
        return error(
            "sql_generation_not_created",
            f"Finetuning({made['id']}) has the status {status}. Its model can write SQL once that "
            "is succeeded.",
            **asked,
        )

    answer = http.post(path, json=asked)
    assert (answer.status_code, answer.json()) == (400, refusal("validating_files"))
    world.store.validated(claimed(world.store).lease, GOOD)
    assert http.post(path, json=asked).json() == refusal("queued")
    http.post(f"{FINETUNINGS}/{made['id']}/cancel")
    assert http.post(path, json=asked).json() == refusal("cancelled")
    assert listed(http, GENERATIONS) == []


def test_a_finetuning_whose_model_is_gone_writes_nothing(
    http: TestClient, world: World, connection_id: str, prompt_id: str
) -> None:
    finetuning_id, model = tuned(http, world, connection_id)
    bearer = {"authorization": f"Bearer {OURS.key_id}"}
    assert http.delete(f"/v1/models/{model}", headers=bearer).status_code == 200
    answer = http.post(
        f"{PROMPTS}/{prompt_id}/sql-generations", json={"finetuning_id": finetuning_id}
    )
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "llm_model_not_supported"
    assert model in answer.json()["message"]


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "finetuning unknown": (
        {"finetuning_id": UNKNOWN},
        "sql_generation_not_created",
        f"Model not found, {UNKNOWN}",
    ),
    "finetuning malformed": (
        {"finetuning_id": "nonsense"},
        "sql_generation_not_created",
        "Model not found, nonsense",
    ),
    "low latency without a finetuning": (
        {"low_latency_mode": True},
        "sql_generation_not_created",
        "low_latency_mode is true, but only a finetuned model answers in low latency: name its "
        "finetuning_id, or leave low_latency_mode out",
    ),
    "a confidence score": (
        {"evaluate": True},
        "sql_generation_not_created",
        "evaluate is true, but this server gives no confidence scores; leave it out. How a "
        "finetuned model does on questions held out from it stands on its finetuning.",
    ),
    "another server": (
        {"llm_config": {"llm_name": None, "api_base": "http://example.com"}},
        "sql_generation_not_created",
        "llm_config.api_base names another server, but this one writes SQL with its own models; "
        "leave it out",
    ),
    "model unknown": (
        {"llm_config": {"llm_name": "gpt-4-turbo-preview", "api_base": None}},
        "llm_model_not_supported",
        "Model gpt-4-turbo-preview not supported. There is no base model 'gpt-4-turbo-preview'. "
        "Base models here: tiny-chat, org/model.",
    ),
    "sql that writes": (
        {"sql": "DELETE FROM orders"},
        "sql_injection",
        "The SQL is not a single statement that only reads. It begins with DELETE. Write one "
        "SELECT, with WITH or set operations as you like, or VALUES.",
    ),
    "two statements": (
        {"sql": "SELECT 1; SELECT 2"},
        "sql_injection",
        "The SQL is not a single statement that only reads. It holds 2 statements, and may hold "
        "one. Write one SELECT, with WITH or set operations as you like, or VALUES.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_and_nothing_is_left(
    http: TestClient, world: World, connection_id: str, name: str
) -> None:
    body, code, message = BAD[name]
    prompt = {"text": "How many?", "db_connection_id": connection_id}
    answer = http.post(ASK, json={**body, "prompt": {**prompt, "metadata": {"not": "shown"}}})
    shown = {**body, "prompt": {**prompt, "schemas": None}}
    assert (answer.status_code, answer.json()) == (400, error(code, message, **shown))
    assert listed(http, PROMPTS) == []
    prompt_id = prompted(http, connection_id)["id"]
    answer = http.post(f"{PROMPTS}/{prompt_id}/sql-generations", json=body)
    assert (answer.status_code, answer.json()) == (400, error(code, message, **body))
    assert listed(http, GENERATIONS) == []
    assert (world.generator.asked, world.databases.shop.asked) == ([], [])


@pytest.mark.parametrize("sql", ["SELECT (1", "SELECT * FROM 'a"])
def test_sql_that_does_not_parse_is_a_fault_of_the_body(
    http: TestClient, prompt_id: str, sql: str
) -> None:
    answer = http.post(f"{PROMPTS}/{prompt_id}/sql-generations", json={"sql": sql})
    assert answer.status_code == 422
    [fault] = answer.json()["detail"]
    assert fault["loc"] == ["body", "sql"]
    assert fault["msg"].startswith("The SQL cannot be read. ")


def test_an_unknown_prompt_is_a_service_error(http: TestClient, theirs: TestClient) -> None:
    foreign = prompted(theirs, connected(theirs)["id"])["id"]
    for unknown in (UNKNOWN, foreign):
        answer = http.post(f"{PROMPTS}/{unknown}/sql-generations", json={})
        expected = error("prompt_not_found", f"Prompt not found, {unknown}")
        assert (answer.status_code, answer.json()) == (400, expected)
    answer = http.post(f"{PROMPTS}/nonsense/sql-generations", json={})
    malformed = "'nonsense' is not a valid ObjectId; it must be 24 hexadecimal digits"
    assert (answer.status_code, answer.json()) == (400, error("invalid_object_id", malformed))


def test_a_database_of_which_nothing_is_known_cannot_be_asked(http: TestClient) -> None:
    prompt_id = prompted(http, connected(http)["id"])["id"]
    answer = http.post(f"{PROMPTS}/{prompt_id}/sql-generations", json={})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "sql_generation_not_created"
    assert "scan them first" in answer.json()["message"]


def test_a_model_that_cannot_be_asked_now_is_503(
    http: TestClient, world: World, prompt_id: str
) -> None:
    world.generator.pieces = []
    world.generator.failure = Unavailable("Generating text here needs PyTorch.")
    answer = http.post(f"{PROMPTS}/{prompt_id}/sql-generations", json={})
    said = error("sql_generation_not_created", "Generating text here needs PyTorch.")
    assert (answer.status_code, answer.json()) == (503, said)


def test_an_unknown_generation_is_not_found(
    http: TestClient, theirs: TestClient, connection_id: str
) -> None:
    foreign_prompt = prompted(theirs, scanned(theirs))["id"]
    foreign = generated(theirs, foreign_prompt, sql=COUNT)["id"]
    calls = (("GET", ""), ("PUT", ""), ("GET", "/execute"), ("GET", "/csv-file"))
    for method, path in calls:
        body: dict[str, str] | None = {} if method == "PUT" else None
        for unknown in (UNKNOWN, foreign):
            answer = http.request(method, f"{GENERATIONS}/{unknown}{path}", json=body)
            assert answer.status_code == 404
            assert answer.json() == {"detail": f"SQL Generation not found, {unknown}"}
        answer = http.request(method, f"{GENERATIONS}/nonsense{path}", json=body)
        assert answer.status_code == 400
        assert answer.json()["error_code"] == "invalid_object_id"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/sql-generations/{id}/nl-generations"),
        ("POST", "/api/v1/prompts/{id}/sql-generations/nl-generations"),
        ("GET", "/api/v1/nl-generations"),
        ("GET", "/api/v1/query-history"),
        ("POST", "/api/v1/stream-sql-generation"),
    ],
)
def test_what_is_left_out_is_an_unknown_path(http: TestClient, method: str, path: str) -> None:
    answer = http.request(method, path.replace("{id}", UNKNOWN))
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
