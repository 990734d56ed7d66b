"""What another project has is answered as what nobody has: on every route, in every place (S1).

The calls are made from the table of routes and the schema that the application serves, so that a
new route, parameter or body is asked or makes this fail.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from tests.dialects.dataherald.requests import INSTRUCTIONS, TABLES, connection, listed
from tests.dialects.dataherald.tuning import finetuned, generated, prompted, scanned, taught
from tests.dialects.pictures import encoded, picture, pictures
from tests.dialects.world import World, make_world
from tests.store.values import GOOD, OURS, THEIRS, claimed, saved, steps
from tunery.core.access import Caller
from tunery.core.pages import PageRequest
from tunery.core.ports import Shelf
from tunery.dialects import DIALECTS
from tunery.store.memory import MemoryStore

ID = "{id}"
"""Stands for the id in question."""

JOBS = "/v1/fine_tuning/jobs"
SCALE = "/v4/fine-tuning-jobs"

KINDS: Mapping[str, tuple[str, ...]] = {
    "fine_tuning_job_id": ("job", "digits"),
    "finetuning_id": ("job", "digits"),
    "finetune_id": ("job", "digits", "finetune"),
    "id": ("job", "digits", "finetune", "image"),
    "file_id": ("file",),
    "training_dataset_id": ("file",),
    "upload_id": ("upload",),
    "model": ("model", "checkpoint"),
    "model_id": ("model", "checkpoint"),
    "model_instance_id": ("model",),
    "deployment_id": ("deployment",),
    "model_deployment_id": ("deployment",),
    "key_id": ("key",),
    "db_connection_id": ("connection",),
    "table_description_id": ("table",),
    "golden_sql_id": ("record",),
    "instruction_id": ("instruction",),
    "prompt_id": ("prompt",),
    "sql_generation_id": ("generation",),
    "account_id": ("project",),
    "x-selected-account-id": ("project",),
    "last-event-id": ("event",),
}
"""What a parameter names; of several kinds all are asked."""

CURSORS: Mapping[str, str] = {
    JOBS: "job",
    f"{JOBS}/{{fine_tuning_job_id}}/events": "event",
    f"{JOBS}/{{fine_tuning_job_id}}/checkpoints": "checkpoint id",
    "/v1/files": "file",
}
"""What `after` names in each list."""

PLAIN = frozenset(
    {
        "expires",
        "idempotency-key",
        "limit",
        "max_rows",
        "model_group_id",  # there are no groups
        "model_type",
        "order",
        "page",
        "purpose",
        "signature",
        "sort_by",
        "sort_order",
        "table_name",
        "view",
    }
)
"""Parameters that name nothing of anybody's."""

LINKS = "/v1/images/"
"""What lies here is opened by a signature, whoever asks; the tests of its door say by which."""

SENT: Mapping[str, Mapping[str, Any]] = {
    "/uploads/{upload_id}/parts": {"files": {"data": ("part", b"abc")}},
    "/uploads/{upload_id}/complete": {"json": {"part_ids": []}},
    "/database-connections/{db_connection_id}": {"json": connection()},
    "/table-descriptions/{table_description_id}": {"json": {"description": "mine"}},
    "/instructions/{instruction_id}": {"json": {"instruction": "abc"}},
    "/prompts/{prompt_id}/sql-generations": {"json": {"sql": "SELECT 1"}},
    "/{model_deployment_id}/completions": {"json": {"prompt": "Hi"}},
    "/{model_deployment_id}/chat-completions": {"json": {"prompt": "Hi", "chat_history": []}},
    "/{model_deployment_id}/execute": {"json": {"prompt": "Hi"}},
    "/{model_id}/deployments": {"json": {"name": "mine"}},
    **{
        path: {"json": {"metadata": {"a": 1}}}
        for path in (
            "/golden-sqls/{golden_sql_id}",
            "/golden-records/{golden_sql_id}",
            "/finetunings/{finetuning_id}",
            "/prompts/{prompt_id}",
            "/sql-generations/{sql_generation_id}",
        )
    },
}
"""What is sent to change what a path names, by the path's end."""


Ids = tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """A call that names something of the given kind in its body."""

    kind: str
    body: Mapping[str, Any]


ROWS = b"".join(
    b'{"messages": [{"role": "user", "content": "%d"}, {"role": "assistant", "content": "4"}]}\n'
    % number
    for number in range(12)
)
_PLACE = re.compile(r"\{(\w+)(?::path)?\}")
_OWN = re.compile(r"\{own (?P<kind>[^}]*)\}")
_CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
BODIES: Mapping[tuple[str, str], list[Ask]] = {
    ("POST", JOBS): [
        Ask("file", {"model": "tiny-chat", "training_file": ID}),
        Ask("file", {"model": "tiny-chat", "training_file": "{own file}", "validation_file": ID}),
        Ask("model", {"model": ID, "training_file": "{own file}"}),
        Ask("checkpoint", {"model": ID, "training_file": "{own file}"}),
        Ask("model", {"model": f"openai-main/{ID}", "training_file": "{own file}"}),
    ],
    ("POST", SCALE): [
        Ask("file", {"base_model_id": "tiny-chat", "training_dataset_id": ID}),
        Ask("file", {"training_dataset_id": "{own file}", "validation_dataset_id": ID}),
        Ask("model", {"base_model_id": ID, "training_dataset_id": "{own file}"}),
        Ask("checkpoint", {"base_model_id": ID, "training_dataset_id": "{own file}"}),
        Ask("project", {"account_id": ID, "training_dataset_id": "{own file}"}),
    ],
    ("POST", "/v1/chat/completions"): [
        Ask("model", {**_CHAT, "model": ID}),
        Ask("checkpoint", {**_CHAT, "model": ID}),
        Ask("model", {**_CHAT, "model": f"openai-main/{ID}"}),
    ],
    ("POST", "/v1/completions"): [
        Ask("model", {"prompt": "Hi", "model": ID}),
        Ask("checkpoint", {"prompt": "Hi", "model": ID}),
    ],
    ("POST", "/v4/completions"): [
        Ask("model", {"prompt": "Hi", "model": ID}),
        Ask("checkpoint", {"prompt": "Hi", "model": ID}),
        Ask("project", {"prompt": "Hi", "model": "tiny-chat", "account_id": ID}),
    ],
    ("POST", "/v4/chat-completions"): [
        Ask("model", {**_CHAT, "model": ID}),
        Ask("checkpoint", {**_CHAT, "model": ID}),
        Ask("project", {**_CHAT, "model": "tiny-chat", "account_id": ID}),
    ],
    ("POST", "/v4/models/{model_deployment_id}/completions"): [],
    ("POST", "/v4/models/{model_deployment_id}/chat-completions"): [],
    ("POST", "/v4/models/{model_instance_id}/deployments/{model_deployment_id}/execute"): [],
    ("POST", "/v4/models/{model_id}/deployments"): [
        Ask("project", {"name": "mine", "account_id": ID})
    ],
    ("POST", "/v1/uploads"): [],
    ("POST", "/v1/uploads/{upload_id}/complete"): [Ask("part", {"part_ids": [ID]})],
    ("POST", "/v1/finetune"): [],
    ("POST", "/v1/delete_finetune"): [
        Ask("finetune", {"finetune_id": ID}),
        Ask("finetune digits", {"finetune_id": ID}),
    ],
    ("POST", "/v1/flux-pro-finetuned"): [
        Ask("finetune", {"finetune_id": ID}),
        Ask("finetune digits", {"finetune_id": ID}),
    ],
    ("POST", "/v1/flux-pro-1.1-ultra-finetuned"): [Ask("finetune", {"finetune_id": ID})],
    ("POST", "/v1/flux-pro-1.0-fill-finetuned"): [
        Ask("finetune", {"finetune_id": ID, "image": encoded(picture())})
    ],
    ("POST", "/tunery/v1/keys"): [],
}
"""The bodies of all doors but Dataherald's, whose own test has them."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A client with the key of a project, and what the project has, by kind."""

    http: TestClient
    ids: Mapping[str, str]


@contextmanager
def project(world: World, caller: Caller) -> Iterator[Project]:
    """A project with one of everything."""
    secret = caller.key_id
    key = {"authorization": f"Bearer {secret}", "x-api-key": secret, "x-key": secret}
    with TestClient(world.app, headers=key) as http:
        ids = made(http, world, caller)
        yield Project(http=http, ids={kind: str(each) for kind, each in ids.items()})


def made(http: TestClient, world: World, caller: Caller) -> Mapping[str, object]:
    """The ids of new things, by kind."""
    body = {"model": "tiny-chat", "training_file": world.file(caller)}
    done = http.post(JOBS, json=body).json()["id"]
    model = world.finish(done)
    archive = {"file_data": encoded(pictures()), "finetune_comment": "", "mode": "style"}
    finetune = http.post("/v1/finetune", json=archive).json()["id"]
    world.finish(finetune)
    image = http.post("/v1/flux-pro-finetuned", json={"finetune_id": finetune}).json()["id"]
    job = http.post(JOBS, json=body).json()["id"]
    world.store.validated(claimed(world.store).lease, GOOD)
    run = claimed(world.store)
    world.store.apply(run.lease, [*steps(1, 1), saved(1), *steps(2, 2), saved(2)])
    connection_id, records = taught(http)
    scanned(http)
    prompt = prompted(http, connection_id)["id"]
    upload = {"bytes": 3, "filename": "a", "mime_type": "text/plain", "purpose": "batch"}
    upload_id = http.post("/v1/uploads", json=upload).json()["id"]
    part = http.post(f"/v1/uploads/{upload_id}/parts", files={"data": ("part", b"abc")})
    instruction = {"db_connection_id": connection_id, "instruction": "abc"}
    deployment = http.post(f"/v4/models/{model}/deployments", json={"name": "second"})
    file = http.post("/v1/files", files={"file": ("a.jsonl", ROWS)}, data={"purpose": "fine-tune"})
    return {
        "project": caller.project_id,
        "finetune": finetune,
        "finetune digits": finetune.removeprefix("ftjob-"),
        "image": image,
        "job": job,
        "digits": job.removeprefix("ftjob-"),
        "event": http.get(f"{JOBS}/{job}/events").json()["data"][0]["id"],
        "checkpoint id": http.get(f"{JOBS}/{job}/checkpoints").json()["data"][0]["id"],
        "model": model,
        "checkpoint": f"{model}:ckpt-step-3",
        "deployment": deployment.json()["id"],
        "file": file.json()["id"],
        "upload": upload_id,
        "part": part.json()["id"],
        "key": http.post("/tunery/v1/keys", json={"name": "second"}).json()["id"],
        "connection": connection_id,
        "table": listed(http, TABLES, db_connection_id=connection_id)[0]["id"],
        "record": records[0],
        "instruction": http.post(INSTRUCTIONS, json=instruction).json()["id"],
        "finetuning": finetuned(http, connection_id)["id"],
        "prompt": prompt,
        "generation": generated(http, prompt, sql="SELECT 1")["id"],
    }


@dataclass(frozen=True, kw_only=True)
class Two:
    """Two projects of one world."""

    store: MemoryStore
    ours: Project
    theirs: Project

    def compare(self, kinds: Ids, method: str, path: str, **more: Any) -> None:  # noqa: ANN401
        """We learn nothing of what is theirs, nothing happens to it, and the call is a real one."""
        reals = tuple(self.theirs.ids[kind] for kind in kinds)
        nevers = tuple(never(real) for real in reals)
        before = self.snapshot()
        ours = [self.asked(self.ours, named, method, path, more) for named in (reals, nevers)]
        assert ours[0] == ours[1]
        assert self.snapshot() == before
        nobodys = self.asked(self.theirs, nevers, method, path, more)
        control = self.asked(self.theirs, reals, method, path, more)
        # Else the call would say and do nothing even for the owner, and prove nothing here.
        assert control != nobodys or self.snapshot() != before

    def asked(
        self, asker: Project, named: Ids, method: str, path: str, more: Mapping[str, Any]
    ) -> object:
        """What is answered, with the id taken out."""
        more = {name: filled(value, named, asker) for name, value in more.items()}
        answer = asker.http.request(method, filled(path, named, asker), **more)
        assert answer.status_code < 500, answer.text
        secret = {"x-request-id", "content-length"}
        headers = {name: value for name, value in answer.headers.items() if name not in secret}
        text = answer.text
        for each in named:
            for part in (each, each.removeprefix("ftjob-"), each.partition(":ckpt-step-")[0]):
                text = text.replace(part, ID)
        return answer.status_code, headers, text

    def snapshot(self) -> list[object]:
        """All that they have."""
        store, ids, name = self.store, self.theirs.ids, self.theirs.ids["project"]
        every = PageRequest(limit=1000)
        shelves: tuple[Shelf[Any], ...] = (
            store.connections,
            store.tables,
            store.golden_records,
            store.instructions,
            store.prompts,
            store.sql_generations,
            store.deployments,
        )
        return [
            store.jobs(name, every, metadata=None, without_metadata=False),
            store.events(name, ids["job"], every),
            store.checkpoints(name, ids["job"], every),
            store.files(name, every, purpose=None),
            store.upload(name, ids["upload"]),
            store.parts(name, ids["upload"]),
            store.models(name),
            store.image_generation(name, ids["image"]),
            store.n_pending_images(name),
            store.keys(name),
            *(shelf.list(name) for shelf in shelves),
        ]


def filled(value: Any, named: Ids, asker: Project) -> Any:  # noqa: ANN401
    """`value` with the ids in question in their places, and the asker's own in theirs."""
    match value:
        case str():
            for each in named:
                value = value.replace(ID, each, 1)
            return _OWN.sub(lambda found: asker.ids[found["kind"]], value)
        case Mapping():
            return {name: filled(each, named, asker) for name, each in value.items()}
        case list():
            return [filled(each, named, asker) for each in value]
        case _:
            return value


def never(real: str) -> str:
    """An id of the same form that nothing has."""
    if real in (OURS.project_id, THEIRS.project_id):
        return "nobody"
    made = re.sub(r"[0-9a-f]{8,}(?=(:ckpt-step-\d+|-\d+)?$)", lambda m: "f" * len(m[0]), real)
    assert made != real
    assert len(made) == len(real)
    return made


def application() -> FastAPI:
    """Every door, and nothing behind it."""
    app = FastAPI()
    for router in DIALECTS:
        app.include_router(router)
    return app


APP = application()
OPERATIONS: list[tuple[str, str, Mapping[str, Any]]] = [
    (method.upper(), path, operation)
    for path, operations in APP.openapi()["paths"].items()
    for method, operation in operations.items()
]
"""Method, path and description of every route that is documented; the others are the same ones."""


def named_in_paths() -> Iterator[tuple[str, str, Ids]]:
    """Method, path and kinds for all that can be named in a path, `{id}` in the places.

    Where a path names several things, each of them may be another's, and all of them.
    """
    for route in iter_route_contexts(APP.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        path, methods = str(route.path), sorted(route.methods or ())
        if path.startswith(LINKS):
            continue
        choices = itertools.product(*([None, *KINDS[name]] for name in _PLACE.findall(path)))
        for kinds, method in itertools.product(choices, methods):
            # Whoever asks, a checkpoint has no deployments and is not deleted by itself.
            is_refused = "/deployments" in path or method == "DELETE"
            if any(kinds) and not ("checkpoint" in kinds and is_refused):
                yield method, in_places(path, kinds), tuple(filter(None, kinds))


def in_places(path: str, kinds: Sequence[str | None]) -> str:
    """`path` with `{id}` where a kind is given, and the asker's own thing elsewhere."""
    given = iter(kinds)

    def place(found: re.Match[str]) -> str:
        return f"{{own {KINDS[found[1]][0]}}}" if next(given) is None else ID

    return _PLACE.sub(place, path)


def named_in_parameters() -> Iterator[tuple[str, str, str, str]]:
    """Method, path, parameter and kind for what can be named in a query or a header."""
    for method, path, operation in OPERATIONS:
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path" or name in PLAIN or name == "last-event-id":
                continue
            kinds = (CURSORS[path],) if name == "after" else KINDS[name]
            for kind in kinds:
                yield method, path, f"{parameter['in']} {name}", kind


def named_in_bodies() -> Iterator[tuple[str, str, Ask]]:
    """Method, path and call for what can be named in the bodies of all doors but Dataherald's."""
    for method, path, operation in OPERATIONS:
        kinds = operation.get("requestBody", {}).get("content", {})
        if "application/json" in kinds and not path.startswith("/api/v1/"):
            yield from ((method, path, ask) for ask in BODIES[method, path])


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    world = make_world(tmp_path / "blobs")
    with project(world, OURS) as ours, project(world, THEIRS) as theirs:
        yield Two(store=world.store, ours=ours, theirs=theirs)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Two projects that keep what they have."""
    world = make_world(tmp_path_factory.mktemp("two"))
    with project(world, OURS) as ours, project(world, THEIRS) as theirs:
        yield Two(store=world.store, ours=ours, theirs=theirs)


@pytest.fixture
def pair(request: pytest.FixtureRequest, method: str, path: str) -> Two:
    """Two projects; new ones where the owner's own call ends something."""
    ends = method == "DELETE" or path.endswith(
        ("/cancel", "/complete", "/pause", "/delete_finetune")
    )
    found: Two = request.getfixturevalue("two" if ends else "lasting")
    return found


def sent(method: str, path: str) -> Mapping[str, Any]:
    """What goes with a call to change something."""
    if method not in ("POST", "PUT"):
        return {}
    ends = [end for end in SENT if re.search(f"{_PLACE.sub('{.*?}', end)}$", path)]
    return SENT[ends[0]] if ends else {}


@pytest.mark.parametrize(("method", "path", "kinds"), list(named_in_paths()))
def test_what_a_path_names_is_unknown(pair: Two, method: str, path: str, kinds: Ids) -> None:
    pair.compare(kinds, method, path, **sent(method, path))


@pytest.mark.parametrize(("method", "path", "parameter", "kind"), list(named_in_parameters()))
def test_what_a_query_or_header_names_is_unknown(
    pair: Two, method: str, path: str, parameter: str, kind: str
) -> None:
    where, name = parameter.split()
    path = in_places(path, [None] * path.count("{"))
    given = {"params" if where == "query" else "headers": {name: ID}}
    pair.compare((kind,), method, path, **sent(method, path), **given)


@pytest.mark.parametrize(("method", "path", "ask"), list(named_in_bodies()), ids=str)
def test_what_a_body_names_is_unknown(pair: Two, method: str, path: str, ask: Ask) -> None:
    path = in_places(path, [None] * path.count("{"))
    pair.compare((ask.kind,), method, path, json=ask.body)


def test_another_projects_event_is_none_to_go_on_from(lasting: Two) -> None:
    path, event = f"{JOBS}/{{own job}}/events", lasting.theirs.ids["event"]
    headers = {"accept": "text/event-stream", "last-event-id": ID}
    answers = [
        lasting.asked(lasting.ours, (named,), "GET", path, {"headers": headers})
        for named in (event, never(event))
    ]
    assert answers[0] == answers[1]


def test_an_idempotency_key_is_its_projects_own(two: Two) -> None:
    headers = {"idempotency-key": "the same"}
    made = [
        each.http.post(
            JOBS, json={"model": "tiny-chat", "training_file": each.ids["file"]}, headers=headers
        )
        for each in (two.ours, two.theirs)
    ]
    assert [answer.status_code for answer in made] == [200, 200]
    assert made[0].json()["id"] != made[1].json()["id"]
