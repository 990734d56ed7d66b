"""Asking models for text at Scale's door, whole and in pieces."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dialects.world import World
from tunery.core.errors import Unavailable
from tunery.core.generation import Piece, TokenLogprob

USER = {"role": "user", "content": "Hi"}
LAST = {
    "completions": [[""]],
    "finish_reason": "stop",
    "prompt_tokens": 5,
    "response_tokens": 2,
}
"""The last piece of any stream."""


@pytest.fixture
def deployment(http: TestClient) -> str:
    made = http.post("/v4/models/tiny-chat/deployments", json={"name": "d"}).json()
    return str(made["id"])


def events(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.split("\n\n") if line]


def test_a_deployment_continues_a_text(http: TestClient, world: World, deployment: str) -> None:
    body = {
        "prompt": "Once",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop_sequences": ["."],
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "top_k": -1,
        "chat_template_kwargs": {},
        "model_request_parameters": {"bindings": {}},
    }
    answer = http.post(f"/v4/models/{deployment}/completions", json=body)
    assert answer.json() == {
        "completions": [["Hello"]],
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "response_tokens": 2,
    }
    [asked] = world.generator.asked
    assert (asked.prompt, asked.messages, asked.location) == ("Once", None, "/tiny-chat")
    assert (asked.temperature, asked.top_p, asked.max_tokens) == (0.5, 0.9, 7)
    assert asked.stop == (".",)


def test_a_deployment_answers_a_prompt_after_a_history(
    http: TestClient, world: World, deployment: str
) -> None:
    history = [
        {"role": "system", "content": "Be kind."},
        USER,
        {"role": "assistant", "content": "Ho"},
    ]
    path = f"/v4/models/{deployment}/chat-completions"
    assert http.post(path, json={"chat_history": history, "prompt": "So?"}).status_code == 200
    assert http.post(path, json={"chat_history": [], "prompt": "So?"}).status_code == 200
    execute = f"/v4/models/tiny-chat/deployments/{deployment}/execute"
    assert http.post(execute, json={"chat_history": [], "prompt": "So?"}).status_code == 200
    first, second, third = world.generator.asked
    new = {"role": "user", "content": "So?"}
    assert (first.messages, first.prompt, first.max_tokens) == ([*history, new], None, 100)
    assert second.messages == third.messages == [new]


def test_log_probabilities_are_those_of_the_tokens(
    http: TestClient, world: World, deployment: str
) -> None:
    token = TokenLogprob(token="Hi", logprob=-0.5, bytes=[72, 105], top=[("Ho", -1.0, [72, 111])])
    world.generator.pieces = [
        Piece(text="Hi", logprobs=[token], finish_reason="length", usage=(1, 1))
    ]
    body = {"prompt": "x", "logprobs": True, "top_logprobs": 1}
    answer = http.post(f"/v4/models/{deployment}/completions", json=body).json()
    top = [{"token": "Ho", "logprob": -1.0, "bytes": [72, 111]}]
    content = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": top}]
    assert answer["choices"] == [{"index": 0, "logprobs": {"content": content}}]
    assert world.generator.asked[0].logprobs == 1


def test_a_model_is_asked_by_its_name(http: TestClient, world: World) -> None:
    parameters = {"max_tokens": 9, "stop_sequences": ["x"], "topP": 0.5, "topK": 0}
    body = {"model": "gpt-4o-mini", "prompt": "Once", "model_parameters": parameters}
    usage = {"prompt": 5, "completion": 2, "total": 7}
    assert http.post("/v4/completions", json=body).json() == {
        "completion": {"text": "Hello", "finish_reason": "stop"},
        "token_usage": usage,
    }
    chat = {"model": "tiny-chat", "messages": [USER], "instructions": "Be kind."}
    assert http.post("/v4/chat-completions", json=chat).json() == {
        "chat_completion": {
            "message": {"role": "assistant", "content": "Hello"},
            "finish_reason": "stop",
        },
        "token_usage": usage,
    }
    completed, chatted = world.generator.asked
    assert (completed.temperature, completed.max_tokens, completed.top_p) == (0.2, 9, 0.5)
    assert (chatted.temperature, chatted.max_tokens) == (0.2, None)
    assert chatted.messages == [{"role": "system", "content": "Be kind."}, USER]


def test_only_the_last_messages_are_remembered(http: TestClient, world: World) -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(5)]
    body = {
        "model": "tiny-chat",
        "messages": messages,
        "memory_strategy": {"name": "last_k", "params": {"k": 2}},
    }
    assert http.post("/v4/chat-completions", json=body).status_code == 200
    assert world.generator.asked[0].messages == messages[2:]


@pytest.mark.parametrize(
    ("path", "body", "first", "last"),
    [
        (
            "completions",
            {"model": "tiny-chat", "prompt": "x"},
            {"completions": [["Hel"]], "completion": {"text": "Hel"}},
            {
                **LAST,
                "completion": {"text": "", "finish_reason": "stop"},
                "token_usage": {"prompt": 5, "completion": 2, "total": 7},
            },
        ),
        (
            "chat-completions",
            {"model": "tiny-chat", "messages": [USER]},
            {
                "completions": [["Hel"]],
                "chat_completion": {"message": {"role": "assistant", "content": "Hel"}},
            },
            {
                **LAST,
                "chat_completion": {
                    "message": {"role": "assistant", "content": ""},
                    "finish_reason": "stop",
                },
                "token_usage": {"prompt": 5, "completion": 2, "total": 7},
            },
        ),
        (
            "models/{}/completions",
            {"prompt": "x"},
            {"completions": [["Hel"]]},
            LAST,
        ),
        (
            "models/{}/chat-completions",
            {"prompt": "x", "chat_history": []},
            {"completions": [["Hel"]]},
            LAST,
        ),
    ],
)
def test_streams_end_by_closing(
    http: TestClient,
    deployment: str,
    path: str,
    body: dict[str, Any],
    first: dict[str, Any],
    last: dict[str, Any],
) -> None:
    answer = http.post("/v4/" + path.format(deployment), json={**body, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = events(answer.text)
    assert (chunks[0], chunks[-1], len(chunks)) == (first, last, 3)


def test_what_goes_wrong_on_the_way_is_an_error_event(
    http: TestClient, world: World, deployment: str
) -> None:
    world.generator.pieces = [Piece(text="Hel")]
    world.generator.failure = Unavailable("The model went away.")
    body = {"prompt": "x", "stream": True}
    answer = http.post(f"/v4/models/{deployment}/completions", json=body)
    told = answer.text.split("\n\n")[1]
    assert told == 'event: error\ndata: {"detail":"The model went away."}'
    whole = http.post(f"/v4/models/{deployment}/completions", json={"prompt": "x"})
    assert (whole.status_code, whole.json()) == (503, {"detail": "The model went away."})


def test_an_unknown_model_is_not_found_before_anything_is_said(http: TestClient) -> None:
    for stream in (False, True):
        body = {"model": "ft:nope", "prompt": "x", "stream": stream}
        answer = http.post("/v4/completions", json=body)
        assert answer.status_code == 404
        assert list(answer.json()) == ["detail"]
