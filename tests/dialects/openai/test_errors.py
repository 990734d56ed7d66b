"""Every refusal has OpenAI's shape, whoever refuses."""

import json

import pytest
from fastapi.testclient import TestClient
from openai import AuthenticationError, OpenAI

from tests.dialects.world import World
from tests.store.values import OURS
from tunery.core import errors
from tunery.core.problems import Problem
from tunery.dialects.openai.errors import render
from tunery.middleware import RequestIds

SHAPE = {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "No API key"),
        ({"authorization": "Basic abc"}, "No API key"),
        ({"authorization": "Bearer "}, "No API key"),
        ({"authorization": "Bearer short"}, "Incorrect API key provided: ...."),
        ({"authorization": f"bearer tnr-sk-{'x' * 40}"}, "provided: tnr-sk-...xxxx."),
    ],
)
def test_without_a_good_key_nothing_opens(
    http: TestClient, headers: dict[str, str], words: str
) -> None:
    http.headers.clear()
    for path in ("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/x", "/v1/models", "/v1/files"):
        answer = http.get(path, headers=headers)
        assert answer.status_code == 401
        error = answer.json()["error"]
        assert set(error) == SHAPE
        assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
        assert words in error["message"]


def test_the_official_client_knows_a_wrong_key(http: TestClient) -> None:
    del http.headers["authorization"]
    sdk = OpenAI(base_url="http://testserver/v1", api_key="wrong", http_client=http)
    with pytest.raises(AuthenticationError):
        sdk.models.list()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/v1/models/", 404, "model_not_found"),
        ("POST", "/v1/fine_tuning/alpha/graders/run", 404, "unknown_url"),
        ("PUT", "/v1/fine_tuning/jobs", 405, "method_not_supported"),
        ("POST", "/v1/fine_tuning/jobs/x", 405, "method_not_supported"),
    ],
)
def test_unknown_paths_and_methods_have_the_shape_too(
    http: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == SHAPE
    assert answer.json()["error"]["code"] == code


def test_a_body_that_is_no_json_is_said(http: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for body, words in (
        (b"{", "not valid JSON"),
        (b"", "body is missing"),
        (b"[]", "must be a JSON object"),
    ):
        answer = http.post("/v1/fine_tuning/jobs", content=body, headers=headers)
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]
        assert answer.json()["error"]["param"] is None


def test_problems_of_a_file_are_lines_of_the_message_and_data_beside_it() -> None:
    problems = [
        Problem(line=line, field="messages[0].role", message="is wrong") for line in range(1, 31)
    ]
    answer = render(errors.InvalidFile("The file has 30 errors.", problems, param="training_file"))
    assert answer.status_code == 400
    error = json.loads(bytes(answer.body))["error"]
    lines = error["message"].splitlines()
    assert lines[0] == "The file has 30 errors."
    assert lines[1] == str(problems[0])
    assert lines[-1] == "... and 10 more under error.x_tunery.problems."
    assert len(lines) == 22
    assert len(error["x_tunery"]["problems"]) == 30
    assert error["x_tunery"]["problems"][0]["line"] == 1


def test_what_nobody_foresaw_has_the_shape_and_an_id_and_shows_no_inside(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(project_id: str) -> None:
        raise FileNotFoundError(2, "No such file", "/home/somebody/secret")

    monkeypatch.setattr(world.store, "models", fail)
    key = {"authorization": f"Bearer {OURS.key_id}"}
    with TestClient(RequestIds(world.app), headers=key) as client:
        answer = client.get("/v1/models")

    assert answer.status_code == 500
    assert set(answer.json()["error"]) == SHAPE
    assert answer.headers["x-request-id"].startswith("req_")
    assert "secret" not in answer.text
    assert "/home/somebody/secret" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "param", "code"),
    [
        (errors.NotFound("job", "j"), 404, "fine_tune_id", "fine_tune_not_found"),
        (errors.NotFound("file", "f"), 404, "id", None),
        (errors.NotFound("upload", "u"), 404, "upload_id", None),
        (errors.NotFound("model", "m", param="model"), 404, "model", "model_not_found"),
        (errors.NotFound("checkpoint", "c"), 404, "model", "model_not_found"),
        (errors.NotFound("key", "k"), 404, "key_id", None),
        (errors.InvalidValue("no", param="r"), 400, "x_tunery.r", "invalid_value"),
        (errors.InvalidTransition("no"), 400, None, "invalid_state"),
        (errors.Unsupported("no", param="engine"), 400, "x_tunery.engine", "unsupported"),
        (errors.TooLarge("no"), 413, None, "too_large"),
        (errors.Conflict("no"), 409, None, "idempotency_key_reused"),
        (errors.Unavailable("no"), 503, None, "unavailable"),
        (errors.Unauthenticated("no"), 401, None, "invalid_api_key"),
    ],
)
def test_every_error_of_the_core_has_its_place(
    error: errors.TuneryError, status: int, param: str | None, code: str | None
) -> None:
    answer = render(error)
    body = json.loads(bytes(answer.body))["error"]
    assert set(body) == SHAPE
    assert (answer.status_code, body["param"], body["code"]) == (status, param, code)
    assert body["type"] == ("server_error" if status >= 500 else "invalid_request_error")
