"""`tunery models`."""

import io
import json

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.fake import Canned, FakeServer
from tests.cli.objects import TUNED, Json, page, refused

CHAT = "/v1/chat/completions"


def streamed(*pieces: str) -> Canned:
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return Canned(
        raw="".join([*lines, "data: [DONE]\n\n"]).encode(), content_type="text/event-stream"
    )


def model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1790000000, "owned_by": "tunery"}


def test_models_are_listed(server: FakeServer, tunery: CommandLine) -> None:
    server.on("GET /v1/models", page(model("tiny-chat"), model(TUNED)))
    ended = tunery("models", "list")
    assert "tiny-chat" in ended.out
    assert TUNED in ended.out


def test_one_question_prints_the_answer_as_it_comes(
    server: FakeServer, tunery: CommandLine
) -> None:
    server.on(f"POST {CHAT}", streamed("SELECT", " 1;"))
    ended = tunery("models", "chat", TUNED, "One?", "--system", "SQL only.", "--seed", "3")
    assert ended.out == "SELECT 1;\n"
    assert server.last(f"POST {CHAT}").json == {
        "model": TUNED,
        "messages": [
            {"role": "system", "content": "SQL only."},
            {"role": "user", "content": "One?"},
        ],
        "temperature": 0.0,
        "seed": 3,
        "stream": True,
    }


def test_json_prints_the_whole_completion(server: FakeServer, tunery: CommandLine) -> None:
    completion = {"id": "chatcmpl-1", "object": "chat.completion", "choices": []}
    server.on(f"POST {CHAT}", completion)
    assert tunery("models", "chat", TUNED, "One?", "--json").json == completion
    assert server.last(f"POST {CHAT}").json["stream"] is False


def test_a_piped_question_is_asked(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("One?\n"))
    server.on(f"POST {CHAT}", streamed("1"))
    assert tunery("models", "chat", TUNED).out == "1\n"


def test_nothing_to_ask_is_bad_input(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert tunery("models", "chat", TUNED).code == 2


def test_a_conversation_remembers_what_was_said(
    server: FakeServer, tunery: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("One?\n\nTwo?\n"))
    server.on(f"POST {CHAT}", streamed("1"), streamed("2"))
    assert tunery("models", "chat", TUNED).code == 0
    roles = [turn["role"] for turn in server.last(f"POST {CHAT}").json["messages"]]
    assert roles == ["user", "assistant", "user"]


def test_an_answer_that_fails_on_the_way_is_an_error(
    server: FakeServer, tunery: CommandLine
) -> None:
    broken = f"data: {json.dumps(refused('The child died.'))}\n\n".encode()
    server.on(f"POST {CHAT}", Canned(raw=broken, content_type="text/event-stream"))
    ended = tunery("models", "chat", TUNED, "One?")
    assert ended.code == 4
    assert "The child died." in ended.err


def test_an_answer_that_breaks_off_is_an_error(server: FakeServer, tunery: CommandLine) -> None:
    server.on(f"POST {CHAT}", Canned(raw=b"", content_type="text/event-stream"))
    assert tunery("models", "chat", TUNED, "One?").code == 4


def test_a_model_name_travels_in_the_path_with_its_slash_escaped(
    server: FakeServer, tunery: CommandLine
) -> None:
    path = "/v1/models/ft:Qwen%2FQwen3-0.6B:org-default::01234567"
    server.on(f"DELETE {path}", {"id": "x", "object": "model", "deleted": True})
    ended = tunery("models", "delete", "ft:Qwen/Qwen3-0.6B:org-default::01234567", "--json")
    assert ended.json["deleted"] is True
