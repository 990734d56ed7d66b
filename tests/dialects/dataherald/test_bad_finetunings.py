"""What is wrong with a finetuning is said in the words that Dataherald's clients read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import CUSTOMERS
from tests.dialects.dataherald.requests import UNKNOWN, connected
from tests.dialects.dataherald.tuning import FINETUNINGS, finetuned, golden, taught
from tests.dialects.world import World
from tests.store.values import OURS
from tunery.core.pages import PageRequest

PARAMETERS = "n_epochs, batch_size, learning_rate_multiplier"
PARAMETERS_AT = ["body", "base_llm", "model_parameters"]


@dataclass(frozen=True)
class Known:
    """What the cases may name, by `{name}` in their texts."""

    ids: Mapping[str, str]

    def filled(self, value: object) -> Any:  # noqa: ANN401
        match value:
            case str():
                return value.format_map(self.ids) if "{" in value else value
            case list():
                return [self.filled(each) for each in value]
            case dict():
                return {key: self.filled(each) for key, each in value.items()}
            case _:
                return value


@pytest.fixture
def known(http: TestClient, theirs: TestClient, world: World) -> Known:
    """Connections with and without schemas and with enough records or too few, also of others."""
    enough, records = taught(http)
    few, few_records = taught(http, 9)
    none, _ = taught(http, 0)
    _, foreign = taught(theirs)
    for schema in ("sales", "stock"):
        world.databases.shop.tables[schema, "leads"] = CUSTOMERS
    with_schemas = connected(http, schemas=["sales", "stock"])["id"]
    golden(http, with_schemas, 12, "SELECT count(*) FROM sales.leads")
    return Known(
        {
            "enough": enough,
            "record": records[0],
            "few": few,
            "few_record": few_records[0],
            "none": none,
            "their_record": foreign[0],
            "theirs": theirs.get("/api/v1/database-connections").json()[0]["id"],
            "schemas": with_schemas,
        }
    )


def service(
    body: dict[str, Any], code: str, message: str
) -> tuple[dict[str, Any], int, dict[str, Any]]:
    """A service error: the request comes back without its metadata."""
    asked = {"schemas": None, "alias": None, "base_llm": None, "golden_sqls": None, **body}
    if asked["base_llm"] is not None:
        nulls = dict.fromkeys(("model_provider", "model_name", "model_parameters"))
        asked["base_llm"] = {**nulls, **asked["base_llm"]}
    asked.pop("metadata", None)
    asked["golden_sqls"] = asked.pop("golden_records", None) or asked["golden_sqls"]
    error = {"error_code": code, "message": message, "description": None, "detail": asked}
    return body, 400, error


def fault(
    body: Any,  # noqa: ANN401
    loc: list[str],
    message: str,
    type: str = "value_error",
) -> tuple[Any, int, dict[str, Any]]:
    """A fault of the body's form."""
    return body, 422, {"detail": [{"loc": loc, "msg": message, "type": type}]}


def parameters(given: dict[str, Any], message: str) -> tuple[Any, int, dict[str, Any]]:
    body = {"db_connection_id": "{enough}", "base_llm": {"model_parameters": given}}
    return fault(body, PARAMETERS_AT, f"Value error, {message}")


CASES = {
    "connection unknown": service(
        {"db_connection_id": UNKNOWN},
        "database_connection_not_found",
        f"Database connection not found, {UNKNOWN}",
    ),
    "connection of another project": service(
        {"db_connection_id": "{theirs}"},
        "database_connection_not_found",
        "Database connection not found, {theirs}",
    ),
    "connection before all else": service(
        {"db_connection_id": UNKNOWN, "schemas": ["x"], "golden_sqls": ["nope"]},
        "database_connection_not_found",
        f"Database connection not found, {UNKNOWN}",
    ),
    "connection id malformed": service(
        {"db_connection_id": "12312312"},
        "invalid_object_id",
        "'12312312' is not a valid ObjectId; it must be 24 hexadecimal digits",
    ),
    "connection id empty": service(
        {"db_connection_id": ""},
        "invalid_object_id",
        "'' is not a valid ObjectId; it must be 24 hexadecimal digits",
    ),
    "schemas of a connection without": service(
        {"db_connection_id": "{enough}", "schemas": ["public"], "metadata": {"not": "shown"}},
        "schema_not_supported",
        "Connection {enough} was made without schemas, so none can be chosen; leave schemas out",
    ),
    "schema that is none of the connection's": service(
        {"db_connection_id": "{schemas}", "schemas": ["sales", "wages"]},
        "schema_not_supported",
        "Schema 'wages' is none of connection {schemas}; it has sales, stock",
    ),
    "schema before records": service(
        {"db_connection_id": "{schemas}", "schemas": ["wages"], "golden_sqls": ["nope"]},
        "schema_not_supported",
        "Schema 'wages' is none of connection {schemas}; it has sales, stock",
    ),
    "schema that no record names": service(
        {"db_connection_id": "{schemas}", "schemas": ["stock"]},
        "finetuning_not_created",
        "There are 0 golden records in stock to learn from; a finetuning needs at least 10",
    ),
    "record unknown": service(
        {"db_connection_id": "{enough}", "golden_sqls": ["{record}", UNKNOWN]},
        "golden_sql_not_found",
        f"Golden record not found, {UNKNOWN}",
    ),
    "record unknown, by the other name": service(
        {"db_connection_id": "{enough}", "golden_records": [UNKNOWN]},
        "golden_sql_not_found",
        f"Golden record not found, {UNKNOWN}",
    ),
    "record of another connection": service(
        {"db_connection_id": "{enough}", "golden_sqls": ["{few_record}"]},
        "golden_sql_not_found",
        "Golden record not found, {few_record}",
    ),
    "record of another project": service(
        {"db_connection_id": "{enough}", "golden_sqls": ["{their_record}"]},
        "golden_sql_not_found",
        "Golden record not found, {their_record}",
    ),
    "record id malformed": service(
        {"db_connection_id": "{enough}", "golden_sqls": ["{record}", "65677"]},
        "invalid_object_id",
        "'65677' is not a valid ObjectId; it must be 24 hexadecimal digits",
    ),
    "no records": service(
        {"db_connection_id": "{none}"},
        "golden_sql_not_found",
        "No golden sqls found for db_connection: {none}",
    ),
    "too few records": service(
        {"db_connection_id": "{few}"},
        "finetuning_not_created",
        "There are 9 golden records to learn from; a finetuning needs at least 10",
    ),
    "too few records named, one of them ten times": service(
        {"db_connection_id": "{enough}", "golden_sqls": ["{record}"] * 10},
        "finetuning_not_created",
        "There are 1 golden records to learn from; a finetuning needs at least 10",
    ),
    "engine unknown": service(
        {"db_connection_id": "{enough}", "base_llm": {"model_provider": "moon"}},
        "finetuning_not_created",
        "There is no engine or account 'moon'. Engines here: local. Accounts here: openai-main.",
    ),
    "model unknown": fault(
        {
            "db_connection_id": "{enough}",
            "base_llm": {"model_provider": "openai", "model_name": "gpt-3.5-turbo-1106"},
        },
        ["body", "base_llm", "model_name"],
        "Model gpt-3.5-turbo-1106 not supported. There is no base model 'gpt-3.5-turbo-1106'. "
        "Base models here: tiny-chat, org/model.",
    ),
    "parameter unknown": parameters(
        {"n_epoch": "1"}, f"there is no parameter 'n_epoch'; there are {PARAMETERS}"
    ),
    "number unreadable": parameters(
        {"n_epochs": "three"}, "n_epochs is 'three'; it must be a number or \"auto\""
    ),
    "number empty": parameters(
        {"batch_size": ""}, "batch_size is ''; it must be a number or \"auto\""
    ),
    "number in other digits": parameters(
        {"batch_size": "٣"}, "batch_size is '٣'; it must be a number or \"auto\""
    ),
    "number not whole": parameters({"n_epochs": 1.5}, "n_epochs is '1.5', no whole number"),
    "number without end": parameters({"n_epochs": "1e999"}, "n_epochs is '1e999', no whole number"),
    "number that is none": parameters(
        {"learning_rate_multiplier": "nan"},
        "learning_rate_multiplier is 'nan'; it must be a number or \"auto\"",
    ),
    "epochs out of range": parameters(
        {"n_epochs": "0"}, 'n_epochs is 0; it must be "auto" or from 1 to 50'
    ),
    "batch out of range": parameters(
        {"batch_size": 257}, 'batch_size is 257; it must be "auto" or from 1 to 256'
    ),
    "multiplier out of range": parameters(
        {"learning_rate_multiplier": "-1"},
        'learning_rate_multiplier is -1.0; it must be "auto" or above 0',
    ),
    "parameter that is no number": fault(
        {"db_connection_id": "{enough}", "base_llm": {"model_parameters": {"n_epochs": True}}},
        [*PARAMETERS_AT, "n_epochs"],
        "Input should be a valid string",
        "string_type",
    ),
    "parameters that are no map": fault(
        {"db_connection_id": "{enough}", "base_llm": {"model_parameters": ["n_epochs"]}},
        PARAMETERS_AT,
        "Input should be a valid dictionary",
        "dict_type",
    ),
    "no connection": fault({}, ["body", "db_connection_id"], "Field required", "missing"),
    "connection null": fault(
        {"db_connection_id": None},
        ["body", "db_connection_id"],
        "Input should be a valid string",
        "string_type",
    ),
    "records that are no list": fault(
        {"db_connection_id": "{enough}", "golden_sqls": "{record}"},
        ["body", "golden_sqls"],
        "Input should be a valid list",
        "list_type",
    ),
    "records under two names": fault(
        {"db_connection_id": "{enough}", "golden_sqls": ["{record}"], "golden_records": []},
        ["body"],
        "Value error, golden_sqls and golden_records are the same thing; send one of them",
    ),
    "metadata that is no map": fault(
        {"db_connection_id": "{enough}", "metadata": "sales"},
        ["body", "metadata"],
        "Input should be a valid dictionary",
        "dict_type",
    ),
    "model that is no object": fault(
        {"db_connection_id": "{enough}", "base_llm": "gpt-4"},
        ["body", "base_llm"],
        "Input should be a valid dictionary or object to extract fields from",
        "model_attributes_type",
    ),
    "alias that no database can keep": fault(
        {"db_connection_id": "{enough}", "alias": "a\0b"},
        ["body", "alias"],
        "Value error, must not hold the character U+0000",
    ),
    "alias without end": fault(
        {"db_connection_id": "{enough}", "alias": "a" * 513},
        ["body", "alias"],
        "String should have at most 512 characters",
        "string_too_long",
    ),
    "body that is a list": fault(
        [],
        ["body"],
        "Input should be a valid dictionary or object to extract fields from",
        "model_attributes_type",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_said_and_nothing_is_left(
    http: TestClient, world: World, known: Known, name: str
) -> None:
    body, status, said = CASES[name]
    answer = http.post(FINETUNINGS, json=known.filled(body))
    assert (answer.status_code, answer.json()) == (status, known.filled(said))
    everything = PageRequest(limit=10)
    assert world.store.jobs(OURS.project_id, everything, metadata=None).items == ()
    assert world.store.files(OURS.project_id, everything, purpose=None).items == ()


@pytest.mark.parametrize("content", [b"", b"{", b'{"db_connection_id": "\xff"}'])
def test_a_body_that_is_no_json_is_a_fault(http: TestClient, content: bytes) -> None:
    answer = http.post(FINETUNINGS, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"detail"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
    ],
)
@pytest.mark.parametrize("given", [UNKNOWN, "nonsense", "ftjob-nonsense", "{theirs}"])
def test_an_unknown_finetuning_is_not_found(
    http: TestClient, theirs: TestClient, method: str, path: str, given: str
) -> None:
    if given == "{theirs}":
        connection_id, _ = taught(theirs)
        given = finetuned(theirs, connection_id)["id"]
    body: dict[str, str] | None = {} if method == "PUT" else None
    answer = http.request(method, f"{FINETUNINGS}/{given}{path}", json=body)
    shown = given.removeprefix("ftjob-")
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Model not found, {shown}"})


@pytest.mark.parametrize("given", [UNKNOWN, "nonsense"])
def test_a_cancel_call_that_names_two_finetunings_ends_neither(
    http: TestClient, given: str
) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id)
    path = f"{FINETUNINGS}/{made['id']}"
    answer = http.post(f"{path}/cancel", json={"finetuning_id": given})
    why = (
        f"The body names the finetuning '{given}', and the path another one; leave the body out, "
        "or let both name the same"
    )
    assert (answer.status_code, answer.json()) == (400, {"detail": why})
    assert http.get(path).json() == made


@pytest.mark.parametrize("body", [{"metadata": []}, {"metadata": "x"}, [], "x"])
def test_metadata_that_is_no_map_changes_nothing(http: TestClient, body: object) -> None:
    connection_id, _ = taught(http)
    made = finetuned(http, connection_id, metadata={"kept": True})
    path = f"{FINETUNINGS}/{made['id']}"
    assert http.put(path, json=body).status_code == 422
    assert http.get(path).json() == made


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 25
