"""What cannot be taken is refused as Dataherald's clients expect it, and leaves nothing behind."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.databases import AWAY, EMPTY
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
from tests.dialects.world import World

BAD_ID = "'nope' is not a valid ObjectId; it must be 24 hexadecimal digits"
OBJECT_ID = ("Value error, Must be a valid ObjectId", "value_error")
MISSING = ("Field required", "missing")
NO_NUL = ("Value error, must not hold the character U+0000", "value_error")
NO_HALF = ("Value error, holds half of a surrogate pair, which is no character", "value_error")
TOO_SHORT = ("String should have at least 3 characters", "string_too_short")
ASKED = {
    "alias": "shop",
    "use_ssh": False,
    "connection_uri": None,
    "schemas": None,
    "path_to_credentials_file": None,
    "llm_api_key": None,
    "ssh_settings": None,
    "file_storage": None,
}
"""How an error repeats what asked for a connection."""


def faults(*found: tuple[tuple[str | int, ...], tuple[str, str]]) -> tuple[int, object]:
    """422, with each fault: where, what, and of which kind."""
    detail = [{"loc": list(loc), "msg": what[0], "type": what[1]} for loc, what in found]
    return 422, {"detail": detail}


def refused(code: str, message: str, **detail: object) -> tuple[int, object]:
    """400, as services refuse."""
    body = {"error_code": code, "message": message, "description": None, "detail": detail}
    return 400, body


def unknown(what: str, status: int = 404) -> tuple[int, object]:
    """404, as FastAPI says it."""
    return status, {"detail": what}


def no_connection(**detail: object) -> tuple[int, object]:
    """What asks for an unknown connection."""
    message = f"Database connection not found, {UNKNOWN}"
    return refused("database_connection_not_found", message, **detail)


def nested(levels: int) -> dict[str, object]:
    return {"a": nested(levels - 1)} if levels else {}


THE_CONNECTION, THE_TABLE, THE_RECORD, THE_INSTRUCTION = (
    "the-connection",
    "the-table",
    "the-record",
    "the-instruction",
)
"""Stand for the ids of what is there."""

CASES: Mapping[str, tuple[str, str, object, tuple[int, object]]] = {
    "connect: no body": ("POST", CONNECTIONS, None, faults((("body",), MISSING))),
    "connect: no JSON": (
        "POST",
        CONNECTIONS,
        "{",
        faults((("body", 1), ("JSON decode error", "json_invalid"))),
    ),
    "connect: a list": (
        "POST",
        CONNECTIONS,
        [],
        faults(
            (
                ("body",),
                (
                    "Input should be a valid dictionary or object to extract fields from",
                    "model_attributes_type",
                ),
            )
        ),
    ),
    "connect: nothing": (
        "POST",
        CONNECTIONS,
        {},
        faults((("body", "alias"), MISSING), (("body", "connection_uri"), MISSING)),
    ),
    "connect: null alias": (
        "POST",
        CONNECTIONS,
        connection(alias=None),
        faults((("body", "alias"), ("Input should be a valid string", "string_type"))),
    ),
    "connect: NUL in alias": (
        "POST",
        CONNECTIONS,
        connection(alias="a\0"),
        faults((("body", "alias"), NO_NUL)),
    ),
    "connect: half a character": (
        "POST",
        CONNECTIONS,
        connection(alias="\ud800"),
        faults(
            (
                ("body", "alias"),
                (
                    "Input should be a valid string, unable to parse raw data as a unicode string",
                    "string_unicode",
                ),
            )
        ),
    ),
    "connect: long alias": (
        "POST",
        CONNECTIONS,
        connection(alias="a" * 513),
        faults(
            (("body", "alias"), ("String should have at most 512 characters", "string_too_long"))
        ),
    ),
    "connect: unprintable URI": (
        "POST",
        CONNECTIONS,
        connection(connection_uri="postgresql://a\0b"),
        faults(
            (
                ("body", "connection_uri"),
                ("Value error, must not hold characters that cannot be printed", "value_error"),
            )
        ),
    ),
    "connect: long URI": (
        "POST",
        CONNECTIONS,
        connection(connection_uri="x" * 9000),
        faults(
            (
                ("body", "connection_uri"),
                ("Value error, must not be longer than 8192 characters", "value_error"),
            )
        ),
    ),
    "connect: URI that is none": (
        "POST",
        CONNECTIONS,
        connection(connection_uri="nonsense"),
        refused(
            "invalid_database_uri_format", "*** is not a database that is served here", **ASKED
        ),
    ),
    "connect: empty URI": (
        "POST",
        CONNECTIONS,
        connection(connection_uri=" "),
        refused("invalid_database_uri_format", " is not a database that is served here", **ASKED),
    ),
    "connect: empty database": (
        "POST",
        CONNECTIONS,
        connection(connection_uri=EMPTY),
        refused(
            "empty_database",
            "The database of 'shop' cannot be used: there is no table or view that can be read",
            **ASKED,
        ),
    ),
    "connect: out of reach": (
        "POST",
        CONNECTIONS,
        connection(connection_uri=AWAY, metadata={"a": 1}),
        refused("invalid_database_connection", "cannot connect to ***", **ASKED),
    ),
    "connect: sealed by nobody": (
        "POST",
        CONNECTIONS,
        connection(connection_uri="sealed:00"),
        refused(
            "invalid_database_connection",
            "A secret came encrypted, but not as this server encrypts those of this project's "
            "connections; send it in clear",
            **ASKED,
        ),
    ),
    "connect: sealed key of nobody": (
        "POST",
        CONNECTIONS,
        connection(llm_api_key="sealed:00"),
        refused(
            "invalid_database_connection",
            "A secret came encrypted, but not as this server encrypts those of this project's "
            "connections; send it in clear",
            **ASKED,
        ),
    ),
    "connect: schemas where there are none": (
        "POST",
        CONNECTIONS,
        connection(connection_uri=EMPTY, schemas=["main"]),
        refused(
            "schema_not_supported",
            "A database of the kind sqlite has no schemas; leave them out",
            **{**ASKED, "schemas": ["main"]},
        ),
    ),
    "connect: schema with nothing in it": (
        "POST",
        CONNECTIONS,
        connection(schemas=["nowhere"]),
        refused(
            "empty_database",
            "The schemas nowhere of 'shop' cannot be used: there is no table or view that can "
            "be read",
            **{**ASKED, "schemas": ["nowhere"]},
        ),
    ),
    "connect: schemas as text": (
        "POST",
        CONNECTIONS,
        connection(schemas="public"),
        faults((("body", "schemas"), ("Input should be a valid list", "list_type"))),
    ),
    "connect: SSH": (
        "POST",
        CONNECTIONS,
        connection(use_ssh=True, ssh_settings={"host": "h", "password": "p"}),
        refused(
            "ssh_invalid_database_connection",
            "use_ssh is true, but this server opens no SSH tunnels; open one beside it, and let "
            "connection_uri name its end",
            **{
                **ASKED,
                "use_ssh": True,
                "ssh_settings": {
                    "host": "h",
                    "username": None,
                    "password": None,
                    "port": "22",
                    "private_key_password": None,
                },
            },
        ),
    ),
    "connect: neither with nor without SSH": (
        "POST",
        CONNECTIONS,
        connection(use_ssh="perhaps"),
        faults(
            (
                ("body", "use_ssh"),
                ("Input should be a valid boolean, unable to interpret input", "bool_parsing"),
            )
        ),
    ),
    "connect: a file of credentials": (
        "POST",
        CONNECTIONS,
        connection(path_to_credentials_file="/k.json"),
        refused(
            "invalid_database_connection",
            "path_to_credentials_file names a file, but this server reads none; it connects to "
            "PostgreSQL and SQLite, whose credentials stand in connection_uri",
            **{**ASKED, "path_to_credentials_file": "/k.json"},
        ),
    ),
    "connect: half a file storage": (
        "POST",
        CONNECTIONS,
        connection(file_storage={"name": "S3", "access_key_id": "a", "secret_access_key": "b"}),
        faults((("body", "file_storage", "bucket"), MISSING)),
    ),
    "connect: metadata that is a list": (
        "POST",
        CONNECTIONS,
        connection(metadata=[1]),
        faults((("body", "metadata"), ("Input should be a valid dictionary", "dict_type"))),
    ),
    "connect: metadata without end": (
        "POST",
        CONNECTIONS,
        connection(metadata=nested(40)),
        faults(
            (
                ("body", "metadata"),
                ("Value error, must not be nested more than 32 levels deep", "value_error"),
            )
        ),
    ),
    "connect: half a character in metadata": (
        "POST",
        CONNECTIONS,
        connection(metadata={"\ud800": 1}),
        faults((("body", "metadata"), NO_HALF)),
    ),
    "connect: NaN in metadata": (
        "POST",
        CONNECTIONS,
        connection(metadata={"a": [float("nan")]}),
        faults(
            (
                ("body", "metadata"),
                ("Value error, must not hold NaN or Infinity, which are not JSON", "value_error"),
            )
        ),
    ),
    "connect: much metadata": (
        "POST",
        CONNECTIONS,
        connection(metadata={"a": "x" * 70_000}),
        faults(
            (
                ("body", "metadata"),
                ("Value error, must not be larger than 65536 bytes as JSON", "value_error"),
            )
        ),
    ),
    "reconnect: bad id": (
        "PUT",
        f"{CONNECTIONS}/nope",
        connection(),
        refused("invalid_object_id", BAD_ID, **ASKED),
    ),
    "reconnect: unknown": (
        "PUT",
        f"{CONNECTIONS}/{UNKNOWN}",
        connection(llm_api_key="k", metadata={"a": 1}),
        no_connection(**ASKED),
    ),
    "reconnect: nothing": (
        "PUT",
        f"{CONNECTIONS}/{THE_CONNECTION}",
        {"alias": "new"},
        faults((("body", "connection_uri"), MISSING)),
    ),
    "reconnect: out of reach": (
        "PUT",
        f"{CONNECTIONS}/{THE_CONNECTION}",
        connection(connection_uri=AWAY),
        refused("invalid_database_connection", "cannot connect to ***", **ASKED),
    ),
    "connections cannot be deleted": (
        "DELETE",
        f"{CONNECTIONS}/{THE_CONNECTION}",
        None,
        unknown("Method Not Allowed", 405),
    ),
    "scan: nothing": (
        "POST",
        f"{TABLES}/sync-schemas",
        {},
        faults((("body", "ids"), ("Field required, or db_connection_id in its place", "missing"))),
    ),
    "scan: ids as text": (
        "POST",
        f"{TABLES}/sync-schemas",
        {"ids": "all"},
        faults((("body", "ids"), ("Input should be a valid list", "list_type"))),
    ),
    "scan: bad id": (
        "POST",
        f"{TABLES}/sync-schemas",
        {"ids": [THE_TABLE, "nope"]},
        faults((("body", "ids", 1), OBJECT_ID)),
    ),
    "scan: unknown id": (
        "POST",
        f"{TABLES}/sync-schemas",
        {"ids": [THE_TABLE, UNKNOWN]},
        unknown(f"Table description not found, {UNKNOWN}"),
    ),
    "scan: bad connection": (
        "POST",
        f"{TABLES}/sync-schemas",
        {"db_connection_id": "nope"},
        faults((("body", "db_connection_id"), OBJECT_ID)),
    ),
    "scan: unknown connection": (
        "POST",
        f"{TABLES}/sync-schemas",
        {"db_connection_id": UNKNOWN, "metadata": {}},
        no_connection(ids=None, db_connection_id=UNKNOWN),
    ),
    "refresh: nothing": (
        "POST",
        f"{TABLES}/refresh",
        {},
        faults((("body", "db_connection_id"), MISSING)),
    ),
    "refresh: bad connection": (
        "POST",
        f"{TABLES}/refresh",
        {"db_connection_id": f"{UNKNOWN}0"},
        faults((("body", "db_connection_id"), OBJECT_ID)),
    ),
    "refresh: unknown connection": (
        "POST",
        f"{TABLES}/refresh",
        {"db_connection_id": UNKNOWN},
        no_connection(db_connection_id=UNKNOWN),
    ),
    "tables: of nothing": (
        "GET",
        TABLES,
        None,
        faults((("query", "db_connection_id"), MISSING)),
    ),
    "table: bad id": ("GET", f"{TABLES}/nope", None, unknown(BAD_ID, 400)),
    "table: unknown": (
        "GET",
        f"{TABLES}/{UNKNOWN}",
        None,
        unknown(f"Table description not found, {UNKNOWN}"),
    ),
    "describe: bad id": ("PUT", f"{TABLES}/nope", {}, unknown(BAD_ID, 400)),
    "describe: unknown": (
        "PUT",
        f"{TABLES}/{UNKNOWN}",
        {"description": "x"},
        unknown(f"Table description not found, {UNKNOWN}"),
    ),
    "describe: column without a name": (
        "PUT",
        f"{TABLES}/{THE_TABLE}",
        {"description": "new", "columns": [{"description": "x"}]},
        faults((("body", "columns", 0, "name"), MISSING)),
    ),
    "describe: unknown column": (
        "PUT",
        f"{TABLES}/{THE_TABLE}",
        {"description": "new", "columns": [{"name": "nope"}]},
        unknown(
            "Column nope doesn't exist in customers; its columns are: none, until it is scanned",
            400,
        ),
    ),
    "describe: half a foreign key": (
        "PUT",
        f"{TABLES}/{THE_TABLE}",
        {"columns": [{"name": "id", "foreign_key": {"field_name": "id"}}]},
        faults((("body", "columns", 0, "foreign_key", "reference_table"), MISSING)),
    ),
    "add: one that is no array": (
        "POST",
        GOLDEN,
        record(THE_CONNECTION),
        faults((("body",), ("Input should be a valid list", "list_type"))),
    ),
    "add: nothing in it": (
        "POST",
        GOLDEN,
        [{}],
        faults(
            (("body", 0, "db_connection_id"), MISSING),
            (("body", 0, "prompt_text"), MISSING),
            (("body", 0, "sql"), MISSING),
        ),
    ),
    "add: bad connection": (
        "POST",
        GOLDEN,
        [record(THE_CONNECTION), record("nope")],
        faults((("body", 1, "db_connection_id"), OBJECT_ID)),
    ),
    "add: unknown connection": (
        "POST",
        GOLDEN,
        [record(THE_CONNECTION), record(UNKNOWN, metadata={"a": 1})],
        no_connection(items=[record(THE_CONNECTION), record(UNKNOWN)]),
    ),
    "add: short SQL": (
        "POST",
        GOLDEN,
        [record(THE_CONNECTION, sql="SE")],
        faults((("body", 0, "sql"), TOO_SHORT)),
    ),
    "add: short question": (
        "POST",
        GOLDEN,
        [record(THE_CONNECTION, prompt_text="ab")],
        faults((("body", 0, "prompt_text"), TOO_SHORT)),
    ),
    "add: NUL in SQL": (
        "POST",
        GOLDEN,
        [record(THE_CONNECTION, sql="SELECT '\0'")],
        faults((("body", 0, "sql"), NO_NUL)),
    ),
    "add: long SQL": (
        "POST",
        GOLDEN,
        [record(THE_CONNECTION, sql="x" * 40_000)],
        faults(
            (
                ("body", 0, "sql"),
                ("String should have at most 32768 characters", "string_too_long"),
            )
        ),
    ),
    "page 0": (
        "GET",
        f"{GOLDEN}?page=0",
        None,
        faults(
            (
                ("query", "page"),
                ("Input should be greater than or equal to 1", "greater_than_equal"),
            )
        ),
    ),
    "page beyond all numbers": (
        "GET",
        f"{GOLDEN}?page=99999999999999999999",
        None,
        faults(
            (
                ("query", "page"),
                ("Input should be less than or equal to 1000000", "less_than_equal"),
            )
        ),
    ),
    "limit 0": (
        "GET",
        f"{GOLDEN}?limit=0",
        None,
        faults(
            (
                ("query", "limit"),
                ("Input should be greater than or equal to 1", "greater_than_equal"),
            )
        ),
    ),
    "limit in words": (
        "GET",
        f"{INSTRUCTIONS}?limit=ten",
        None,
        faults(
            (
                ("query", "limit"),
                (
                    "Input should be a valid integer, unable to parse string as an integer",
                    "int_parsing",
                ),
            )
        ),
    ),
    "golden SQL: bad id": (
        "PUT",
        f"{GOLDEN}/nope",
        {"metadata": {}},
        refused("invalid_object_id", BAD_ID),
    ),
    "golden SQL: unknown": (
        "PUT",
        f"{GOLDEN}/{UNKNOWN}",
        {"metadata": {}},
        unknown(f"Golden record not found, {UNKNOWN}"),
    ),
    "golden SQL: metadata as text": (
        "PUT",
        f"{GOLDEN}/{THE_RECORD}",
        {"metadata": "x"},
        faults((("body", "metadata"), ("Input should be a valid dictionary", "dict_type"))),
    ),
    "delete golden SQL: bad id": (
        "DELETE",
        f"{GOLDEN}/nope",
        None,
        refused("invalid_object_id", BAD_ID),
    ),
    "instruct: nothing": (
        "POST",
        INSTRUCTIONS,
        {},
        faults((("body", "instruction"), MISSING), (("body", "db_connection_id"), MISSING)),
    ),
    "instruct: too short": (
        "POST",
        INSTRUCTIONS,
        {"db_connection_id": THE_CONNECTION, "instruction": "ab"},
        faults((("body", "instruction"), TOO_SHORT)),
    ),
    "instruct: unknown connection": (
        "POST",
        INSTRUCTIONS,
        {"db_connection_id": UNKNOWN, "instruction": "abc", "metadata": {"a": 1}},
        no_connection(db_connection_id=UNKNOWN, instruction="abc"),
    ),
    "instruction: bad id": (
        "PUT",
        f"{INSTRUCTIONS}/nope",
        {"instruction": "abc"},
        refused("invalid_object_id", BAD_ID),
    ),
    "instruction: unknown": (
        "PUT",
        f"{INSTRUCTIONS}/{UNKNOWN}",
        {"instruction": "abc"},
        unknown(f"Instruction not found, {UNKNOWN}"),
    ),
    "instruction: no words": (
        "PUT",
        f"{INSTRUCTIONS}/{THE_INSTRUCTION}",
        {"metadata": {}},
        faults((("body", "instruction"), MISSING)),
    ),
    "delete instruction: bad id": (
        "DELETE",
        f"{INSTRUCTIONS}/nope",
        None,
        refused("invalid_object_id", BAD_ID),
    ),
    "delete instruction: unknown": (
        "DELETE",
        f"{INSTRUCTIONS}/{UNKNOWN}",
        None,
        unknown(f"Instruction not found, {UNKNOWN}"),
    ),
    "instructions are not read one by one": (
        "GET",
        f"{INSTRUCTIONS}/{THE_INSTRUCTION}",
        None,
        unknown("Method Not Allowed", 405),
    ),
    "nothing there": ("GET", f"{API}/golden", None, unknown("Not Found")),
}


@pytest.fixture
def ids(http: TestClient) -> dict[str, str]:
    """The ids of what is there, under the names that stand for them."""
    made = connected(http)["id"]
    asked = {"db_connection_id": made, "instruction": "Round to cents."}
    return {
        THE_CONNECTION: made,
        THE_TABLE: listed(http, TABLES, db_connection_id=made)[0]["id"],
        THE_RECORD: http.post(GOLDEN, json=[record(made)]).json()[0]["id"],
        THE_INSTRUCTION: http.post(INSTRUCTIONS, json=asked).json()["id"],
    }


def everything(world: World) -> list[object]:
    """All that is kept."""
    store = world.store
    shelves = (store.connections, store.tables, store.golden_records, store.instructions)
    return [value for shelf in shelves for value in shelf.list("ours")]


def filled(text: str, ids: Mapping[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(name, value)
    return text


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_and_leaves_nothing(
    http: TestClient, world: World, ids: Mapping[str, str], case: str
) -> None:
    method, path, body, (status, expected) = CASES[case]
    before = everything(world)
    sent = body if isinstance(body, str) else json.dumps(body)
    answer = http.request(
        method,
        filled(path, ids),
        content=None if body is None else filled(sent, ids),
        headers={"content-type": "application/json"},
    )
    wanted: Any = json.loads(filled(json.dumps(expected), ids))
    assert (answer.status_code, answer.json()) == (status, wanted)
    assert everything(world) == before


BAD_SQL = {
    "no SQL": "Why is the sky blue?",
    "half an SQL": "SELECT (1",
    "a deletion": "DELETE FROM orders",
    "two statements": "SELECT 1; DROP TABLE orders",
    "brackets without end": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "a comment": "-- SELECT 1",
    "a file": "SELECT pg_read_file('/etc/passwd')",
}


@pytest.mark.parametrize("what", BAD_SQL)
def test_one_bad_sql_keeps_all_from_being_kept(
    http: TestClient, world: World, ids: Mapping[str, str], what: str
) -> None:
    before = everything(world)
    made = ids[THE_CONNECTION]
    items = [record(made), record(made, sql=BAD_SQL[what], metadata={"a": 1})]
    answer = http.post(GOLDEN, json=items)
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (400, "invalid_golden_sql")
    assert body["message"].startswith("Item 2 of 2: The SQL ")
    assert body["detail"] == {"items": [record(made), record(made, sql=BAD_SQL[what])]}
    assert set(body) == {"error_code", "message", "description", "detail"}
    assert everything(world) == before
