"""TrueFoundry's gateway: what its headers choose, its words, and what it refuses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from tests.dialects.world import World
from tests.store.values import GOOD, claimed
from tunery.core.errors import InvalidValue
from tunery.core.job import JobStatus
from tunery.dialects.openai import gateway

JOBS = "/fine_tuning/jobs"
RESOLVED = "x-tfy-resolved-model"
ROWS = b"".join(
    b'{"messages": [{"role": "user", "content": "%d"}, {"role": "assistant", "content": "4"}]}\n'
    % number
    for number in range(12)
)
Headers = Mapping[str, str]


def create(
    http: TestClient,
    world: World,
    headers: Headers | None = None,
    path: str = f"/v1{JOBS}",
    **more: object,
) -> dict[str, Any]:
    body = {"model": "tiny-chat", "training_file": world.file(), **more}
    answer = http.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def upload(http: TestClient, headers: Headers | None = None, **fields: str) -> dict[str, Any]:
    answer = http.post(
        "/v1/files", files={"file": ("rows.jsonl", ROWS)}, data=fields, headers=headers
    )
    assert answer.status_code == 200, answer.text
    file: dict[str, Any] = answer.json()
    return file


def test_metadata_joins_the_jobs_own_which_wins(http: TestClient, world: World) -> None:
    headers = {"x-tfy-metadata": '{"team": "paint", "stage": "test"}'}
    job = create(http, world, headers, metadata={"stage": "prod", "n": "1"})
    assert job["metadata"] == {"team": "paint", "stage": "prod", "n": "1"}
    assert create(http, world, headers)["metadata"] == {"team": "paint", "stage": "test"}
    assert create(http, world, {"x-tfy-metadata": "{}"})["metadata"] is None
    assert create(http, world, {"x-tfy-metadata": "{}"}, metadata={})["metadata"] == {}
    assert create(http, world, headers, metadata=None)["metadata"] is not None
    listed = http.get(JOBS, params={"metadata[team]": "paint"}).json()["data"]
    assert len(listed) == 3


def test_metadata_is_text_in_utf_8_or_escaped(http: TestClient, world: World) -> None:
    body = {"model": "tiny-chat", "training_file": world.file()}
    for text in ('{"équipe": "色"}', json.dumps({"équipe": "色"})):
        answer = http.post(JOBS, json=body, headers=[(b"x-tfy-metadata", text.encode())])
        assert answer.json()["metadata"] == {"équipe": "色"}


def test_sixteen_pairs_in_all_are_taken(http: TestClient, world: World) -> None:
    headers = {"x-tfy-metadata": json.dumps({f"h{n}": "v" * 128 for n in range(16)})}
    assert len(create(http, world, headers)["metadata"]) == 16
    same = {f"h{n}": "own" for n in range(16)}
    assert create(http, world, headers, metadata=same)["metadata"] == same


def test_provider_name_chooses_engine_or_account(http: TestClient, world: World) -> None:
    for name in ("openai-main", "local"):
        job = create(http, world, {"x-tfy-provider-name": name}, x_tunery={"r": 4, "engine": "x"})
        assert (job["x_tunery"]["engine"], job["x_tunery"]["r"]) == ("local", 4)


def test_provider_model_stands_in_place_of_the_bodys(http: TestClient, world: World) -> None:
    for name, base in (
        ("org/model", "org/model"),
        ("gpt-4o-mini", "tiny-chat"),
        ("openai-main/org/model", "org/model"),
    ):
        job = create(http, world, {"x-tfy-provider-model": name}, model="anything")
        assert (job["model"], job["x_tunery"]["requested_model"]) == (base, name)


def test_what_a_provider_may_want_rides_along_unseen(http: TestClient, world: World) -> None:
    headers = {
        "x-tfy-provider-name": "openai-main",
        "x-tfy-provider-model": "tiny-chat",
        "x-tfy-vertex-storage-bucket-name": "my-bucket",
        "x-tfy-vertex-region": "europe-west4",
    }
    kept = {
        "provider-name": "openai-main",
        "provider-model": "tiny-chat",
        "vertex-storage-bucket-name": "my-bucket",
        "vertex-region": "europe-west4",
    }
    job = create(http, world, headers)
    assert "my-bucket" not in json.dumps(job)
    assert world.store.job("ours", job["id"]).echo == {"truefoundry": kept}
    assert world.store.job("ours", create(http, world)["id"]).echo == {}
    file = upload(http, {**headers, "x-tfy-file-purpose": "fine-tune"})
    assert world.store.file("ours", file["id"]).echo == {"truefoundry": kept}
    assert world.store.file("ours", upload(http, purpose="batch")["id"]).echo == {}


def test_a_file_in_parts_keeps_what_comes_with_its_completion(
    http: TestClient, world: World
) -> None:
    headers = {"x-tfy-vertex-region": "europe-west4", "x-tfy-file-purpose": "fine-tune"}
    body = {"bytes": len(ROWS), "filename": "a.jsonl", "mime_type": "text/jsonl"}
    path = f"/uploads/{http.post('/uploads', json=body, headers=headers).json()['id']}"
    part = http.post(f"{path}/parts", files={"data": ("part", ROWS)}, headers=headers).json()
    complete = {"part_ids": [part["id"]]}
    moon = {"x-tfy-provider-name": "moon"}
    assert http.post(f"{path}/complete", json=complete, headers=moon).status_code == 400
    done = http.post(f"{path}/complete", json=complete, headers=headers).json()
    assert (done["status"], done["file"]["purpose"]) == ("completed", "fine-tune")
    echo = world.store.file("ours", done["file"]["id"]).echo
    assert echo == {"truefoundry": {"vertex-region": "europe-west4"}}


def test_a_repeat_is_one_only_where_the_headers_choose_the_same(
    http: TestClient, world: World
) -> None:
    training, key = world.file(), {"idempotency-key": "abc"}
    headers = {
        "x-tfy-metadata": '{"team": "paint", "stage": "test"}',
        "x-tfy-provider-name": "openai-main",
        "x-tfy-provider-model": "tiny-chat",
        "x-tfy-vertex-region": "europe-west4",
    }
    again = {**headers, "x-tfy-metadata": '{"stage":"test","team":"paint"}', "x-tfy-other": "1"}
    first = create(http, world, {**headers, **key}, training_file=training)
    assert create(http, world, {**again, **key}, training_file=training) == first
    body = {"model": "tiny-chat", "training_file": training}
    for name, other in (
        ("x-tfy-metadata", '{"team": "brush"}'),
        ("x-tfy-provider-name", "local"),
        ("x-tfy-provider-model", "org/model"),
        ("x-tfy-vertex-region", "us-east1"),
    ):
        answer = http.post(JOBS, json=body, headers={**headers, **key, name: other})
        assert answer.status_code == 409, name
        without = {kept: value for kept, value in {**headers, **key}.items() if kept != name}
        assert http.post(JOBS, json=body, headers=without).status_code == 409, name
    assert len(http.get(JOBS).json()["data"]) == 1


def test_a_dry_run_heeds_the_headers(http: TestClient, world: World) -> None:
    report = create(http, world, {"x-tfy-provider-model": "org/model"}, x_tunery={"dry_run": True})
    assert report["model"] == "org/model"
    assert http.get(JOBS).json()["data"] == []


def test_the_purpose_of_a_header_holds_where_the_form_has_none(http: TestClient) -> None:
    header = {"x-tfy-file-purpose": "batch"}
    assert upload(http, header)["purpose"] == "batch"
    assert upload(http, header, purpose="fine-tune")["purpose"] == "fine-tune"
    body = {"bytes": 3, "filename": "a.jsonl", "mime_type": "text/jsonl"}
    made = http.post("/uploads", json=body, headers=header).json()
    assert made["purpose"] == "batch"
    made = http.post("/uploads", json={**body, "purpose": "fine-tune"}, headers=header).json()
    assert made["purpose"] == "fine-tune"


def test_a_training_file_by_header_is_checked_like_any(http: TestClient) -> None:
    header = {"x-tfy-file-purpose": "fine-tune"}
    assert upload(http, header)["purpose"] == "fine-tune"
    bad = http.post("/files", files={"file": ("rows.jsonl", b"[1]\n")}, headers=header)
    assert bad.status_code == 400
    assert "Line 1 is not a dictionary" in bad.json()["error"]["message"]


READS_ACCEPT: tuple[Headers, ...] = (
    {"x-tfy-metadata": "no json"},
    {"x-tfy-metadata": '["a"]'},
    {"x-tfy-provider-name": "moon"},
    {"x-tfy-provider-model": "no such model"},
    {"x-tfy-file-purpose": "nonsense"},
    {"x-tfy-vertex-region": ""},
    {"x-tfy-request-timeout": "soon"},
)


@pytest.mark.parametrize("headers", READS_ACCEPT, ids=str)
def test_on_reads_every_header_is_accepted_and_changes_nothing(
    http: TestClient, world: World, headers: Headers
) -> None:
    file = upload(http, purpose="fine-tune")
    job = create(http, world, path=JOBS, training_file=file["id"])
    world.store.validated(claimed(world.store).lease, GOOD)
    one = f"{JOBS}/{job['id']}"
    for path in (
        JOBS,
        one,
        f"{one}/events",
        f"{one}/checkpoints",
        "/files",
        f"/files/{file['id']}",
        f"/files/{file['id']}/content",
        "/models",
        "/models/tiny-chat",
    ):
        assert http.get(path, headers=headers).content == http.get(path).content
    for move in ("pause", "resume", "cancel"):
        assert http.post(f"{one}/{move}", headers=headers).status_code == 200
    chat = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Hi"}]}
    assert http.post("/v1/chat/completions", json=chat, headers=headers).status_code == 200
    assert http.delete(f"/files/{file['id']}", headers=headers).status_code == 200


ADDRESSED: tuple[tuple[str, dict[str, str]], ...] = (
    ("", {}),
    ("", {"x-tfy-metadata": "{}"}),
    ("/v1", {"x-tfy-anything": "at all"}),
)


@pytest.mark.parametrize(("prefix", "headers"), ADDRESSED, ids=str)
def test_a_job_shows_only_words_of_the_gateways_schema(
    http: TestClient, world: World, prefix: str, headers: dict[str, str]
) -> None:
    jobs = f"{prefix}{JOBS}"
    job = create(http, world, headers, path=jobs)
    assert (job["status"], job["x_tunery"]["status"]) == ("queued", "validating_files")
    path = f"{jobs}/{job['id']}"
    for seen in (
        http.get(path, headers=headers).json(),
        http.get(jobs, headers=headers).json()["data"][0],
    ):
        assert seen == job
    assert http.get(f"/v1{JOBS}/{job['id']}").json()["status"] == "validating_files"
    assert http.get(f"/v1{JOBS}").json()["data"][0]["status"] == "validating_files"
    world.store.validated(claimed(world.store).lease, GOOD)
    for move, word, own in (
        ("pause", "queued", "paused"),
        ("resume", "queued", "queued"),
        ("cancel", "cancelled", "cancelled"),
    ):
        moved = http.post(f"{path}/{move}", headers=headers).json()
        assert (moved["status"], moved["x_tunery"]["status"]) == (word, own)


def test_every_status_has_a_word_in_both_tables() -> None:
    words = {"queued", "running", "succeeded", "failed", "cancelled"}
    assert set(gateway.STATUS) == set(JobStatus)
    assert set(gateway.STATUS.values()) == words


@pytest.mark.parametrize(("prefix", "headers"), ADDRESSED, ids=str)
def test_the_resolved_model_is_answered_to_gateway_clients(
    http: TestClient, world: World, prefix: str, headers: dict[str, str]
) -> None:
    body = {"model": "openai-main/gpt-4o-mini", "training_file": world.file()}
    made = http.post(f"{prefix}{JOBS}", json=body, headers=headers)
    path = f"{prefix}{JOBS}/{made.json()['id']}"
    answers = [made, http.get(path, headers=headers)]
    answers += [http.post(f"{path}/{move}", headers=headers) for move in ("cancel",)]
    chat = {"model": "openai-main/gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    for stream in (False, True):
        asked = {**chat, "stream": stream}
        answers.append(http.post(f"{prefix}/chat/completions", json=asked, headers=headers))
        text = {"model": "openai-main/gpt-4o-mini", "prompt": "Hi", "stream": stream}
        answers.append(http.post(f"{prefix}/completions", json=text, headers=headers))
    assert [answer.headers[RESOLVED] for answer in answers] == ["tiny-chat"] * 7


def test_others_are_not_bothered_with_it(http: TestClient, world: World) -> None:
    job = create(http, world)
    chat = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Hi"}]}
    for answer in (
        http.get(f"/v1{JOBS}/{job['id']}"),
        http.post("/v1/chat/completions", json=chat),
        http.post("/v1/chat/completions", json={**chat, "stream": True}),
    ):
        assert answer.status_code == 200
        assert RESOLVED not in answer.headers


def test_a_tuned_model_resolves_to_its_own_name_whatever_is_in_it(
    http: TestClient, world: World
) -> None:
    model = world.finish(create(http, world, suffix="цвет 色")["id"])
    assert "цвет 色" in model
    chat = {"model": f"openai-main/{model}", "messages": [{"role": "user", "content": "Hi"}]}
    answer = http.post("/chat/completions", json=chat)
    assert answer.status_code == 200
    assert unquote(answer.headers[RESOLVED]) == model


BODY: dict[str, Any] = {"model": "tiny-chat", "training_file": "FILE"}
OBJECT_OF_STRINGS = (
    'x-tfy-metadata: it must be a JSON object of strings, such as {"team": "paint"}; '
)
Case = tuple[Headers, dict[str, Any], tuple[str | None, ...]]
KNOWN = "Engines here: local. Accounts here: openai-main."
PURPOSES = "it must be one of assistants, batch, fine-tune, vision, user_data, evals"
PRINTABLE = "it must have 1 to 512 printable characters."


def bad_metadata(text: str, why: str) -> Case:
    return {"x-tfy-metadata": text}, {}, (f"{OBJECT_OF_STRINGS}{why}", "x-tfy-metadata")


def bad_header(name: str, text: str, why: str) -> Case:
    return {name: text}, {}, (f"{name}: {why}", name)


def pairs(n: int, letter: str = "k") -> dict[str, str]:
    return {f"{letter}{number}": "" for number in range(n)}


# Headers, what the body has otherwise than a good one, and the message, param and code answered.
BAD_JOBS: list[Case] = [
    bad_metadata("", "Invalid JSON: EOF while parsing a value at line 1 column 0."),
    bad_metadata("team", "Invalid JSON: expected ident at line 1 column 2."),
    bad_metadata("{", "Invalid JSON: EOF while parsing an object at line 1 column 1."),
    bad_metadata("{'a': 'b'}", "Invalid JSON: key must be a string at line 1 column 2."),
    bad_metadata('{"a": "b"} x', "Invalid JSON: trailing characters at line 1 column 12."),
    bad_metadata("null", "Input should be an object."),
    bad_metadata('"team"', "Input should be an object."),
    bad_metadata("7", "Input should be an object."),
    bad_metadata("[]", "Input should be an object."),
    bad_metadata('[["team", "paint"]]', "Input should be an object."),
    bad_metadata('{"a": 1}', "at 'a': Input should be a valid string."),
    bad_metadata('{"a": true}', "at 'a': Input should be a valid string."),
    bad_metadata('{"a": null}', "at 'a': Input should be a valid string."),
    bad_metadata('{"a": ["b"]}', "at 'a': Input should be a valid string."),
    bad_metadata('{"a": {"b": "c"}}', "at 'a': Input should be a valid string."),
    bad_metadata('{"b": "ok", "a": 1.5}', "at 'a': Input should be a valid string."),
    bad_metadata(
        json.dumps({"a": "v" * 129}), "at 'a': String should have at most 128 characters."
    ),
    bad_metadata(
        json.dumps({"k" * 65: ""}),
        f"at '{'k' * 65}': String should have at most 64 characters.",
    ),
    bad_metadata(
        json.dumps(pairs(17)),
        "Dictionary should have at most 16 items after validation, not more.",
    ),
    bad_metadata('{"a": "\\u0000"}', "at 'a': Value error, must not hold the character U+0000."),
    bad_metadata(
        '{"a": "\\ud83d"}',
        "Invalid JSON: unexpected end of hex escape at line 1 column 14.",
    ),
    bad_metadata("[" * 500, "Invalid JSON: recursion limit exceeded at line 1 column 202."),
    (
        {"x-tfy-metadata": json.dumps(pairs(9))},
        {"metadata": pairs(8, "b")},
        (
            "x-tfy-metadata: with the 8 pairs of metadata there are 17; a job has at most 16.",
            "x-tfy-metadata",
        ),
    ),
    (
        {"x-tfy-metadata": '{"k": "fine"}'},
        {"metadata": {"k": "v" * 513}},
        (
            "Invalid value for 'metadata.k': String should have at most 512 characters.",
            "metadata.k",
            None,
        ),
    ),
    (
        {"x-tfy-metadata": '{"k": "fine"}'},
        {"metadata": {"k": 1}},
        ("Invalid value for 'metadata.k': Input should be a valid string.", "metadata.k", None),
    ),
    bad_header("x-tfy-provider-name", "moon", f"There is no engine or account 'moon'. {KNOWN}"),
    bad_header(
        "x-tfy-provider-name",
        "OpenAI-main",
        f"There is no engine or account 'OpenAI-main'. {KNOWN}",
    ),
    bad_header(
        "x-tfy-provider-name",
        "openai-main/",
        f"There is no engine or account 'openai-main/'. {KNOWN}",
    ),
    bad_header(
        "x-tfy-provider-name", "m" * 512, f"There is no engine or account '{'m' * 80}'. {KNOWN}"
    ),
    bad_header("x-tfy-provider-name", "m" * 513, PRINTABLE),
    bad_header("x-tfy-provider-name", "", PRINTABLE),
    bad_header("x-tfy-provider-name", "mo\ton", PRINTABLE),
    (
        {"x-tfy-provider-model": "moon"},
        {},
        (
            "x-tfy-provider-model: There is no base model 'moon'. Base models here: tiny-chat, "
            "org/model.",
            "x-tfy-provider-model",
            "model_not_found",
        ),
    ),
    (
        {"x-tfy-provider-model": "moon/base"},
        {},
        (
            "x-tfy-provider-model: There is no base model 'moon/base'. Base models here: "
            f"tiny-chat, org/model. {KNOWN}",
            "x-tfy-provider-model",
            "model_not_found",
        ),
    ),
    (
        {"x-tfy-provider-model": "ft:tiny-chat:org-a::12345678"},
        {},
        (
            "x-tfy-provider-model: There is no model 'ft:tiny-chat:org-a::12345678'.",
            "x-tfy-provider-model",
            "model_not_found",
        ),
    ),
    bad_header("x-tfy-provider-model", "", PRINTABLE),
    bad_header("x-tfy-provider-model", "m" * 513, PRINTABLE),
    bad_header("x-tfy-vertex-storage-bucket-name", "", PRINTABLE),
    bad_header("x-tfy-vertex-storage-bucket-name", "b" * 513, PRINTABLE),
    bad_header("x-tfy-vertex-region", "", PRINTABLE),
    bad_header("x-tfy-file-purpose", "nonsense", f"purpose is 'nonsense'; {PURPOSES}"),
    bad_header("x-tfy-file-purpose", "", f"purpose is ''; {PURPOSES}"),
    (
        {},
        {"model": "moon/tiny-chat"},
        (
            "There is no base model 'moon/tiny-chat'. Base models here: tiny-chat, org/model. "
            f"{KNOWN}",
            "model",
            "model_not_found",
        ),
    ),
    (
        {},
        {"model": "openai-main/moon"},
        (
            "There is no base model 'moon'. Base models here: tiny-chat, org/model. " + KNOWN,
            "model",
            "model_not_found",
        ),
    ),
    (
        {},
        {"x_tunery": {"engine": "moon"}},
        (f"There is no engine or account 'moon'. {KNOWN}", "x_tunery.engine"),
    ),
    (
        {"x-tfy-provider-model": "tiny-chat"},
        {"training_file": "file-nope"},
        (
            "There is no file 'file-nope'; upload it first.",
            "training_file",
        ),
    ),
    (
        {"x-tfy-provider-model": "tiny-chat"},
        {"model": None},
        ("Invalid value for 'model': Input should be a valid string.", "model", None),
    ),
    (
        {"x-tfy-metadata": "{}"},
        {"hyperparameters": {"n_epochs": 0}},
        (
            'n_epochs is 0; it must be "auto" or from 1 to 50',
            "hyperparameters.n_epochs",
        ),
    ),
    (
        {"x-tfy-metadata": "{}"},
        {"x_tunery": {"r": 0}},
        ("r is 0; it must be from 1 to 512", "x_tunery.r"),
    ),
]


def refusal(
    message: str | None, param: str | None, code: str | None = "invalid_value"
) -> dict[str, Any]:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return {"error": error}


@pytest.mark.parametrize(("headers", "more", "error"), BAD_JOBS, ids=str)
@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_a_job_that_cannot_be_is_refused_word_for_word_and_leaves_nothing(
    http: TestClient,
    world: World,
    headers: Headers,
    more: dict[str, Any],
    error: tuple[str | None, ...],
    prefix: str,
) -> None:
    body = {**BODY, "training_file": world.file(), **more}
    key = {"idempotency-key": "abc"}
    answer = http.post(f"{prefix}{JOBS}", json=body, headers={**headers, **key})
    assert (answer.status_code, answer.json()) == (400, refusal(*error))
    assert http.get(JOBS).json()["data"] == []
    # Not even the idempotency key is used up.
    good = {**BODY, "training_file": body["training_file"]}
    if more.get("training_file") is None:
        assert http.post(f"{prefix}{JOBS}", json=good, headers=key).status_code == 200


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (headers, error)
        for headers, more, error in BAD_JOBS
        # Which model a header means shows only when a job is made.
        if not more and error[2:] != ("model_not_found",)
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/files", "/v1/uploads"])
def test_a_bad_header_on_an_upload_is_refused_and_leaves_nothing(
    http: TestClient, tmp_path: Path, headers: Headers, error: tuple[str | None, ...], path: str
) -> None:
    if path == "/files":
        answer = http.post(
            path, files={"file": ("rows.jsonl", ROWS)}, data={"purpose": "batch"}, headers=headers
        )
    else:
        body = {"bytes": 3, "filename": "a", "mime_type": "text/plain", "purpose": "batch"}
        answer = http.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()) == (400, refusal(*error))
    assert http.get("/files").json()["data"] == []
    assert [one for one in (tmp_path / "blobs").rglob("*") if one.is_file()] == []


@pytest.mark.parametrize(
    "name", ["x-tfy-metadata", "x-tfy-provider-name", "x-tfy-vertex-region", "x-tfy-file-purpose"]
)
def test_a_header_that_is_no_text_is_refused(world: World, name: str) -> None:
    scope = {"type": "http", "headers": [(name.encode(), b'{"a": "\xff"}')], "app": world.app}
    with pytest.raises(InvalidValue, match="it is not UTF-8") as refused:
        gateway.choice(Request(scope))
    assert refused.value.param == name


def test_a_header_that_comes_twice_is_refused(http: TestClient, world: World) -> None:
    for name in ("x-tfy-metadata", "x-tfy-provider-name", "x-tfy-file-purpose"):
        twice = [(name, "{}"), (name, "{}")]
        body = {**BODY, "training_file": world.file()}
        answer = http.post(JOBS, json=body, headers=twice)
        expected = refusal(f"{name}: it came 2 times; send it once.", name)
        assert (answer.status_code, answer.json()) == (400, expected)


@pytest.mark.parametrize(
    ("path", "message"),
    [("/files", None), ("/uploads", {"bytes": 3, "filename": "a", "mime_type": "text/plain"})],
)
def test_a_purpose_that_nobody_says_is_missing(
    http: TestClient, path: str, message: dict[str, Any] | None
) -> None:
    if message is None:
        answer = http.post(path, files={"file": ("rows.jsonl", ROWS)})
    else:
        answer = http.post(path, json=message)
    missing = "Missing required parameter: 'purpose'."
    expected = refusal(missing, "purpose", "missing_required_parameter")
    assert (answer.status_code, answer.json()) == (400, expected)
