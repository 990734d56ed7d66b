"""Talking to a model: questions out, answers as they are written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import typer

from tunery.cli.client import Client, Json
from tunery.cli.failure import ExitCode, Failure, refusal
from tunery.cli.output import aside, print_object

CHAT_PATH = "/v1/chat/completions"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which model answers, and how freely."""

    model: str
    temperature: float = 0.0
    max_tokens: int | None = None
    seed: int | None = None

    def request(self, messages: list[Json], *, stream: bool) -> Json:
        """The body of a chat completion."""
        asked: Json = {
            "model": self.model,
            "messages": messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stream": stream,
        }
        return {name: value for name, value in asked.items() if value is not None}


@dataclass
class Conversation:
    """What was said so far."""

    system: str | None
    turns: list[Json] = field(default_factory=list)

    def ask(self, prompt: str) -> list[Json]:
        """All messages, `prompt` the last."""
        head: list[Json] = [{"role": "system", "content": self.system}] if self.system else []
        self.turns.append({"role": "user", "content": prompt})
        return head + self.turns

    def answered(self, text: str) -> None:
        """Keep the model's answer, for the next question."""
        self.turns.append({"role": "assistant", "content": text})


def ask(
    client: Client, sampling: Sampling, conversation: Conversation, prompt: str, *, as_json: bool
) -> None:
    """Ask once: print the text as it comes, or the whole completion object."""
    messages = conversation.ask(prompt)
    if as_json:
        return print_object(client.post(CHAT_PATH, sampling.request(messages, stream=False)))
    return _print_answer(client, sampling, conversation, messages)


def converse(client: Client, sampling: Sampling, conversation: Conversation) -> None:
    """Ask and answer in turn until the input ends."""
    aside().print(f"[dim]You are talking to {sampling.model}. Ctrl-D ends.[/]")
    while True:
        try:
            prompt = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return
        if prompt:
            _print_answer(client, sampling, conversation, conversation.ask(prompt))


def text_pieces(client: Client, request: Json) -> Iterator[str]:
    """The text of a streamed chat completion, piece by piece.

    Raises:
        Failure: the server refused, or could not finish.
    """
    for message in client.stream("POST", CHAT_PATH, body=request):
        if message.data == "[DONE]":
            return
        chunk = json.loads(message.data)
        if "error" in chunk:
            raise refusal(500, chunk)
        for choice in chunk["choices"]:
            yield choice["delta"].get("content") or ""
    raise Failure(
        "The answer broke off.",
        next_step="Ask again; the server's log says more.",
        code=ExitCode.UNREACHABLE,
    )


def _print_answer(
    client: Client, sampling: Sampling, conversation: Conversation, messages: list[Json]
) -> None:
    pieces = []
    for piece in text_pieces(client, sampling.request(messages, stream=True)):
        typer.echo(piece, nl=False)
        pieces.append(piece)
    typer.echo()
    conversation.answered("".join(pieces))
