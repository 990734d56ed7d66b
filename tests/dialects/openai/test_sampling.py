"""Chat and text completions, as the official client reads them."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import APIError, BadRequestError, InternalServerError, NotFoundError, OpenAI

from tests.dialects.world import World
from tunery.core.errors import InvalidValue, Unavailable
from tunery.core.generation import Piece, TokenLogprob

MESSAGES: Any = [{"role": "user", "content": "Hi"}]
CHAT = "/v1/chat/completions"
LOGPROBS = [
    TokenLogprob(token="Hel", logprob=-0.5, bytes=[72, 101, 108], top=[("Hel", -0.5, [72])]),
    TokenLogprob(token="lo", logprob=-1.0, bytes=[108, 111], top=[("lo", -1.0, [108, 111])]),
]
TWO_ANSWERS = [
    Piece(index=1, text="B"),
    Piece(index=0, text="A"),
    Piece(index=1, finish_reason="length"),
    Piece(index=0, finish_reason="stop", usage=(4, 6)),
]


def lines(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line]


def refused(http: TestClient, path: str = CHAT, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    needed = {"messages": MESSAGES} if path == CHAT else {"prompt": "Hi"}
    answer = http.post(path, json={"model": "tiny-chat", **needed, **more})
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_an_answer_has_its_text_its_end_and_its_usage(sdk: OpenAI, world: World) -> None:
    answer = sdk.chat.completions.create(model="tiny-chat", messages=MESSAGES)
    assert answer.model == "tiny-chat"
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello")
    assert (choice.finish_reason, choice.logprobs) == ("stop", None)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 7)
    [asked] = world.generator.asked
    assert (asked.location, asked.adapter) == ("/tiny-chat", None)
    assert asked.messages == MESSAGES
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.n) == (1.0, 1.0, None, 1)
    assert world.generator.n_closed == 1


def test_what_is_asked_reaches_the_model(sdk: OpenAI, world: World) -> None:
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    sdk.chat.completions.create(
        model="gpt-4o-mini",
        messages=MESSAGES,
        temperature=0,
        top_p=0.5,
        max_tokens=9,
        max_completion_tokens=7,
        n=2,
        stop="\n",
        seed=3,
        logprobs=True,
        top_logprobs=2,
        tools=tools,
        presence_penalty=0,
        response_format={"type": "text"},
        user="me",
    )
    [asked] = world.generator.asked
    assert (asked.temperature, asked.top_p, asked.max_tokens) == (0.0, 0.5, 7)
    assert (asked.n, asked.stop, asked.seed, asked.logprobs) == (2, ("\n",), 3, 2)
    assert asked.tools == tools
    sdk.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, tools=tools, tool_choice="none", stop=["a", "b"]
    )
    assert world.generator.asked[1].tools is None
    assert world.generator.asked[1].stop == ("a", "b")


def test_tuned_models_and_checkpoints_answer_by_name(sdk: OpenAI, world: World) -> None:
    job = sdk.fine_tuning.jobs.create(model="tiny-chat", training_file=world.file())
    model = world.finish(job.id)
    for name, folder in ((model, "runs/j/1/adapter"), (f"{model}:ckpt-step-3", "runs/c/3")):
        answer = sdk.chat.completions.create(model=name, messages=MESSAGES)
        assert answer.model == name
        adapter = world.generator.asked[-1].adapter
        assert adapter is not None
        assert adapter.endswith(folder)


def test_several_answers_are_in_order(sdk: OpenAI, world: World) -> None:
    world.generator.pieces = TWO_ANSWERS
    answer = sdk.chat.completions.create(model="tiny-chat", messages=MESSAGES, n=2)
    found = [(one.index, one.message.content, one.finish_reason) for one in answer.choices]
    assert found == [(0, "A", "stop"), (1, "B", "length")]


def test_a_stream_begins_with_the_role_and_ends_with_done(http: TestClient) -> None:
    body = {"model": "tiny-chat", "messages": MESSAGES, "stream": True}
    answer = http.post(CHAT, json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = lines(answer.text)
    assert done == "[DONE]"
    choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]
    assert len({json.loads(chunk)["id"] for chunk in chunks}) == 1


def test_a_stream_ends_with_the_usage_where_it_is_asked_for(sdk: OpenAI, world: World) -> None:
    world.generator.pieces = TWO_ANSWERS
    chunks = list(
        sdk.chat.completions.create(
            model="tiny-chat",
            messages=MESSAGES,
            n=2,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10
    assert all(chunk.usage is None for chunk in chunks[:-1])
    text = {
        index: "".join(
            chunk.choices[0].delta.content or ""
            for chunk in chunks[:-1]
            if chunk.choices[0].index == index
        )
        for index in (0, 1)
    }
    assert text == {0: "A", 1: "B"}


def test_log_probabilities_come_whole_and_in_a_stream(sdk: OpenAI, world: World) -> None:
    world.generator.pieces = [
        Piece(text="Hello", logprobs=LOGPROBS),
        Piece(finish_reason="stop", usage=(1, 2)),
    ]
    answer = sdk.chat.completions.create(
        model="tiny-chat", messages=MESSAGES, logprobs=True, top_logprobs=1
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [token.token for token in logprobs.content] == ["Hel", "lo"]
    assert logprobs.content[1].top_logprobs[0].bytes == [108, 111]
    chunks = list(
        sdk.chat.completions.create(
            model="tiny-chat", messages=MESSAGES, logprobs=True, stream=True
        )
    )
    streamed = chunks[1].choices[0].logprobs
    assert streamed is not None
    assert streamed.content == logprobs.content


def test_a_completion_continues_each_of_its_prompts(sdk: OpenAI, world: World) -> None:
    answer = sdk.completions.create(model="tiny-chat", prompt=["One", "Two"], max_tokens=3)
    assert [(one.index, one.text) for one in answer.choices] == [(0, "Hello"), (1, "Hello")]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 4)
    assert [asked.prompt for asked in world.generator.asked] == ["One", "Two"]
    assert world.generator.asked[0].messages is None
    assert world.generator.asked[0].max_tokens == 3


@pytest.mark.parametrize("unsaid", [{}, {"max_tokens": None}])
def test_a_completion_of_unsaid_length_has_16_tokens(
    http: TestClient, world: World, unsaid: dict[str, None]
) -> None:
    http.post("/v1/completions", json={"model": "tiny-chat", "prompt": "One", **unsaid})
    assert world.generator.asked[0].max_tokens == 16


def test_a_completions_log_probabilities_say_where_each_token_begins(
    sdk: OpenAI, world: World
) -> None:
    world.generator.pieces = [
        Piece(text="Hello", logprobs=LOGPROBS, finish_reason="length", usage=(1, 2))
    ]
    answer = sdk.completions.create(model="tiny-chat", prompt="Say ", logprobs=1)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == ["Hel", "lo"]
    assert logprobs.text_offset == [4, 7]
    assert logprobs.top_logprobs == [{"Hel": -0.5}, {"lo": -1.0}]


def test_a_completion_streams(http: TestClient) -> None:
    body = {
        "model": "tiny-chat",
        "prompt": "Say",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    *chunks, done = lines(http.post("/v1/completions", json=body).text)
    assert done == "[DONE]"
    read = [json.loads(chunk) for chunk in chunks]
    assert "".join(one["choices"][0]["text"] for one in read[:-1]) == "Hello"
    assert read[-2]["choices"][0]["finish_reason"] == "stop"
    assert (read[-1]["choices"], read[-1]["usage"]["total_tokens"]) == ([], 7)


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "asistant", "content": "x"}]}, "messages[0].role", "assistant"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
                ]
            },
            "messages[0].content[0].type",
            "image_url",
        ),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"n": 200}, "n", "128"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"stop": ""}, "stop[0]", "at least 1 character"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"tool_choice": "required"}, "tool_choice", '"auto" or "none"'),
        ({"tool_choice": {"type": "function"}}, "tool_choice", '"auto" or "none"'),
        ({"response_format": {"type": "json_object"}}, "response_format", "schema"),
        ({"presence_penalty": 1}, "presence_penalty", "only 0"),
        ({"frequency_penalty": -1}, "frequency_penalty", "only 0"),
        ({"logit_bias": {"1": 2}}, "logit_bias", "leave it out"),
        ({"functions": [{"name": "f"}]}, "functions", "tools"),
        ({"modalities": ["audio"]}, "modalities", "text"),
    ],
)
def test_what_would_not_be_honoured_is_refused(
    http: TestClient, world: World, more: dict[str, Any], param: str, words: str
) -> None:
    error = refused(http, **more)
    assert error["param"] == param
    assert words in error["message"]
    assert world.generator.asked == []


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": [[1, 2, 3]]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"suffix": "end"}, "suffix"),
        ({"logprobs": 6}, "logprobs"),
    ],
)
def test_what_a_completion_cannot_do_is_refused(
    http: TestClient, more: dict[str, Any], param: str
) -> None:
    assert refused(http, "/v1/completions", **more)["param"] == param


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, '{"model": "m", "messages": [{"role": "user", "content": "\\ud83d"}]}'),
        ("/v1/completions", '{"model": "m", "prompt": "\\ud83d"}'),
        ("/v1/completions", '{"model": "\\ud83d", "prompt": "Hi"}'),
        ("/v1/completions", '{"model": "\\u0000", "prompt": "Hi"}'),
    ],
)
def test_half_a_character_is_refused(http: TestClient, path: str, body: str) -> None:
    answer = http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_of_the_model_is_an_answer_and_no_broken_stream(
    sdk: OpenAI, world: World, stream: bool
) -> None:
    world.generator.pieces = []
    world.generator.failure = InvalidValue(
        "too long", param="messages", code="context_length_exceeded"
    )
    with pytest.raises(BadRequestError) as wrong:
        sdk.chat.completions.create(model="tiny-chat", messages=MESSAGES, stream=stream)
    assert (wrong.value.code, wrong.value.param) == ("context_length_exceeded", "messages")
    world.generator.failure = Unavailable("no torch here")
    with pytest.raises(InternalServerError, match="no torch here"):
        sdk.chat.completions.create(model="tiny-chat", messages=MESSAGES, stream=stream)
    with pytest.raises(NotFoundError):
        sdk.chat.completions.create(model="nope", messages=MESSAGES, stream=stream)


def test_a_stream_that_fails_half_way_says_so(sdk: OpenAI, world: World) -> None:
    world.generator.failure = Unavailable("the child died")
    chunks = sdk.chat.completions.create(model="tiny-chat", messages=MESSAGES, stream=True)
    with pytest.raises(APIError, match="the child died"):
        list(chunks)
    assert world.generator.n_closed == 1
