"""Another project's ids are answered exactly as unknown ones, on every route of this door."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

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
    prompted,
    scanned,
    taught,
)
from tests.dialects.world import World
from tunery.dialects import dataherald

ID = "{id}"
"""Stands for the id in question, in a path, a query or a body."""


@dataclass(frozen=True)
class Ask:
    """A call that names something of the given kind."""

    kind: str
    path: str
    body: object = None


def asks(connection_id: str) -> Mapping[tuple[str, str], list[Ask]]:
    """What can be asked of each route, by method and path; `connection_id` is the caller's."""
    generation = {"sql": "SELECT 1"}
    metadata: dict[str, object] = {"metadata": {"a": 1}}
    prompt = {"text": "How many?", "db_connection_id": ID}
    ours = {"text": "How many?", "db_connection_id": connection_id}
    return {
        ("GET", f"{API}/heartbeat"): [],
        ("POST", CONNECTIONS): [],
        ("GET", CONNECTIONS): [],
        ("PUT", f"{CONNECTIONS}/{{db_connection_id}}"): [
            Ask("connection", f"{CONNECTIONS}/{ID}", connection())
        ],
        ("POST", f"{TABLES}/sync-schemas"): [
            Ask("table", f"{TABLES}/sync-schemas", {"ids": [ID]}),
            Ask("connection", f"{TABLES}/sync-schemas", {"db_connection_id": ID}),
        ],
        ("POST", f"{TABLES}/refresh"): [
            Ask("connection", f"{TABLES}/refresh", {"db_connection_id": ID})
        ],
        ("GET", TABLES): [Ask("connection", f"{TABLES}?db_connection_id={ID}")],
        ("GET", f"{TABLES}/{{table_description_id}}"): [Ask("table", f"{TABLES}/{ID}")],
        ("PUT", f"{TABLES}/{{table_description_id}}"): [
            Ask("table", f"{TABLES}/{ID}", {"description": "mine"})
        ],
        **{
            (method, f"{golden}{rest}"): found
            for golden in (GOLDEN, f"{API}/golden-records")
            for (method, rest), found in {
                ("POST", ""): [Ask("connection", golden, [record(ID)])],
                ("GET", ""): [Ask("connection", f"{golden}?db_connection_id={ID}")],
                ("PUT", "/{golden_sql_id}"): [Ask("record", f"{golden}/{ID}", metadata)],
                ("DELETE", "/{golden_sql_id}"): [Ask("record", f"{golden}/{ID}")],
            }.items()
        },
        ("POST", INSTRUCTIONS): [
            Ask("connection", INSTRUCTIONS, {"db_connection_id": ID, "instruction": "abc"})
        ],
        ("GET", INSTRUCTIONS): [Ask("connection", f"{INSTRUCTIONS}?db_connection_id={ID}")],
        ("PUT", f"{INSTRUCTIONS}/{{instruction_id}}"): [
            Ask("instruction", f"{INSTRUCTIONS}/{ID}", {"instruction": "abc"})
        ],
        ("DELETE", f"{INSTRUCTIONS}/{{instruction_id}}"): [
            Ask("instruction", f"{INSTRUCTIONS}/{ID}")
        ],
        ("POST", FINETUNINGS): [
            Ask("connection", FINETUNINGS, {"db_connection_id": ID}),
            Ask("record", FINETUNINGS, {"db_connection_id": connection_id, "golden_sqls": [ID]}),
        ],
        ("GET", FINETUNINGS): [Ask("connection", f"{FINETUNINGS}?db_connection_id={ID}")],
        ("GET", f"{FINETUNINGS}/{{finetuning_id}}"): [Ask("finetuning", f"{FINETUNINGS}/{ID}")],
        ("PUT", f"{FINETUNINGS}/{{finetuning_id}}"): [
            Ask("finetuning", f"{FINETUNINGS}/{ID}", metadata)
        ],
        ("POST", f"{FINETUNINGS}/{{finetuning_id}}/cancel"): [
            Ask("finetuning", f"{FINETUNINGS}/{ID}/cancel"),
            Ask("finetuning", f"{FINETUNINGS}/{ID}/cancel", {"finetuning_id": ID}),
        ],
        ("DELETE", f"{FINETUNINGS}/{{finetuning_id}}"): [Ask("finetuning", f"{FINETUNINGS}/{ID}")],
        ("POST", PROMPTS): [Ask("connection", PROMPTS, prompt)],
        ("GET", PROMPTS): [Ask("connection", f"{PROMPTS}?db_connection_id={ID}")],
        ("GET", f"{PROMPTS}/{{prompt_id}}"): [Ask("prompt", f"{PROMPTS}/{ID}")],
        ("PUT", f"{PROMPTS}/{{prompt_id}}"): [Ask("prompt", f"{PROMPTS}/{ID}", metadata)],
        ("POST", f"{PROMPTS}/sql-generations"): [
            Ask("connection", f"{PROMPTS}/sql-generations", {**generation, "prompt": prompt}),
            Ask(
                "finetuning",
                f"{PROMPTS}/sql-generations",
                {"finetuning_id": ID, "prompt": ours},
            ),
        ],
        ("POST", f"{PROMPTS}/{{prompt_id}}/sql-generations"): [
            Ask("prompt", f"{PROMPTS}/{ID}/sql-generations", generation),
        ],
        ("GET", GENERATIONS): [Ask("prompt", f"{GENERATIONS}?prompt_id={ID}")],
        ("GET", f"{GENERATIONS}/{{sql_generation_id}}"): [Ask("generation", f"{GENERATIONS}/{ID}")],
        ("PUT", f"{GENERATIONS}/{{sql_generation_id}}"): [
            Ask("generation", f"{GENERATIONS}/{ID}", metadata)
        ],
        ("GET", f"{GENERATIONS}/{{sql_generation_id}}/execute"): [
            Ask("generation", f"{GENERATIONS}/{ID}/execute")
        ],
        ("GET", f"{GENERATIONS}/{{sql_generation_id}}/csv-file"): [
            Ask("generation", f"{GENERATIONS}/{ID}/csv-file")
        ],
    }


def routes() -> list[tuple[str, str]]:
    """Method and path of every route of this door."""
    app = FastAPI()
    app.include_router(dataherald.router)
    paths = app.openapi()["paths"]
    shown = [(method.upper(), path) for path in paths for method in paths[path]]
    # The older name of golden SQLs is not shown.
    hidden = [
        (method, path.replace(GOLDEN, f"{API}/golden-records"))
        for method, path in shown
        if path.startswith(GOLDEN)
    ]
    return sorted(shown + hidden)


ROUTES = routes()


@pytest.fixture
def theirs_ids(theirs: TestClient) -> dict[str, str]:
    """What another project has, by kind."""
    made, records = taught(theirs)
    scanned(theirs)
    prompt = prompted(theirs, made)["id"]
    asked = {"db_connection_id": made, "instruction": "abc"}
    return {
        "connection": made,
        "table": listed(theirs, TABLES, db_connection_id=made)[0]["id"],
        "record": records[0],
        "instruction": theirs.post(INSTRUCTIONS, json=asked).json()["id"],
        "finetuning": finetuned(theirs, made)["id"],
        "prompt": prompt,
        "generation": generated(theirs, prompt, sql="SELECT 1")["id"],
    }


def filled(value: object, named: str) -> Any:  # noqa: ANN401
    """`value` with the id in its place."""
    match value:
        case str():
            return value.replace(ID, named)
        case dict():
            return {name: filled(each, named) for name, each in value.items()}
        case list():
            return [filled(each, named) for each in value]
        case _:
            return value


def everything(world: World) -> list[object]:
    """All that is kept, of both projects."""
    store = world.store
    shelves = (
        store.connections,
        store.tables,
        store.golden_records,
        store.instructions,
        store.prompts,
        store.sql_generations,
    )
    kept: list[object] = []
    for project in ("ours", "theirs"):
        kept += [value for shelf in shelves for value in shelf.list(project)]
        kept += store.connected_jobs(project, None)
    return kept


def test_every_route_is_asked() -> None:
    assert sorted(asks("")) == ROUTES
    named = {(method, path) for (method, path), found in asks("").items() if found}
    assert {(method, path) for method, path in ROUTES if "{" in path} <= named


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_is_theirs_is_unknown(
    http: TestClient,
    world: World,
    theirs_ids: Mapping[str, str],
    method: str,
    path: str,
) -> None:
    ours = str(connected(http)["id"])
    before = everything(world)
    for ask in asks(ours)[method, path]:
        answers = []
        for named in (theirs_ids[ask.kind], UNKNOWN):
            answer = http.request(method, filled(ask.path, named), json=filled(ask.body, named))
            shown = answer.text.replace(named, ID)
            answers.append((answer.status_code, shown, answer.headers["content-type"]))
        assert answers[0] == answers[1]
        assert answers[0][0] in {200, 201, 400, 404}
        if answers[0][0] < 400:
            assert answers[0][1] in {"[]", '{"status":true}'}
    assert everything(world) == before
