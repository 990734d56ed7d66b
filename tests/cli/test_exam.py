"""The same questions to two models."""

from tests.cli.conftest import CommandLine
from tests.cli.fake import Asked, Canned, FakeServer
from tunery.cli.client import Client
from tunery.cli.exam import answers, n_right, questions

LINES = [
    '{"messages": [{"role": "system", "content": "Shout."}, '
    f'{{"role": "user", "content": "{word}"}}, '
    f'{{"role": "assistant", "content": "{word.upper()}"}}]}}'
    for word in ("one", "two", "three", "four")
]


def shouting(asked: Asked) -> Canned:
    """Answers rightly, but for one word."""
    word = asked.json["messages"][-1]["content"]
    said = "?" if word == "three" else f" {word.upper()}\n"
    return Canned({"choices": [{"message": {"content": said}}]})


def test_answers_come_in_the_order_of_the_questions_and_are_counted_when_exact(
    server: FakeServer, tunery: CommandLine
) -> None:
    server.on("POST /v1/chat/completions", shouting)
    asked = questions([*LINES, ""])
    with Client(server.url, "tnr-sk-test") as client:
        said = answers(client, "tiny-chat", asked)
    assert said == [" ONE\n", " TWO\n", "?", " FOUR\n"]
    assert n_right(asked, said) == 3
    sent = server.asked[0].json
    assert sent["temperature"] == 0.0
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
