"""Requests advance together, and one that fails harms no other."""

import itertools
from collections.abc import Iterator, Sequence

import pytest

from tunery.core.errors import InvalidValue
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.inference.protocol import Answer, Begin, Counted, Measure, Refused, Said, Stop
from tunery.inference.turns import Turns


def ask(number: int, prompt: str) -> Begin:
    return Begin(number, GenerationRequest(location="m", prompt=prompt))


def scripted(request: GenerationRequest) -> Iterator[Piece | None]:
    """As many words as the prompt says; "bad" and "broken" fail in two ways."""
    match request.prompt:
        case "bad":
            raise InvalidValue("too long", param="prompt", code="context_length_exceeded")
        case "broken":
            raise FileNotFoundError(2, "No such file", "/home/somebody/adapter")
        case "endless":
            yield from (Piece(text="x") for _ in itertools.count())
        case words:
            yield None
            yield from (Piece(text="x") for _ in range(int(words or 0)))


def words(location: str, texts: Sequence[str]) -> Measured:
    """A token a word; there is no model but "m"."""
    if location != "m":
        raise InvalidValue(f"there is no model {location}", param="model")
    return Measured(context=96, n_tokens=tuple(len(text.split()) for text in texts))


def rounds(turns: Turns, said: list[Answer], n: int) -> list[Answer]:
    for _ in range(n):
        turns.round()
    return said


def test_a_short_request_is_done_long_before_a_long_one() -> None:
    said: list[Answer] = []
    turns = Turns(scripted, words, said.append)
    turns.take(ask(1, "endless"))
    turns.take(ask(2, "2"))
    rounds(turns, said, 4)
    assert [answer.number for answer in said] == [1, 1, 2, 1, 2, 1, 2]
    assert said[-1] == Said(2, last=True)


def test_nobody_is_answered_after_hanging_up() -> None:
    said: list[Answer] = []
    turns = Turns(scripted, words, said.append)
    turns.take(ask(1, "endless"))
    rounds(turns, said, 2)
    turns.take(Stop(1))
    assert len(rounds(turns, said, 3)) == 2


def test_more_requests_than_fit_wait_and_are_served() -> None:
    said: list[Answer] = []
    turns = Turns(scripted, words, said.append)
    for number in range(40):
        turns.take(ask(number, "1"))
    turns.take(Stop(39))
    rounds(turns, said, 12)
    assert {a.number for a in said if isinstance(a, Said) and a.last} == set(range(39))


def test_a_request_that_fails_ends_alone_and_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[Answer] = []
    turns = Turns(scripted, words, said.append)
    for number, prompt in enumerate(["bad", "broken", "1"]):
        turns.take(ask(number, prompt))
    rounds(turns, said, 3)
    assert said[0] == Refused(0, "invalid", "too long", "prompt", "context_length_exceeded")
    assert isinstance(said[1], Refused)
    assert said[1].reason == "unavailable"
    assert "(FileNotFoundError)" in said[1].message
    assert "/home/somebody" not in said[1].message
    assert "/home/somebody/adapter" in capfd.readouterr().err
    assert said[-1] == Said(2, last=True)


def test_lengths_are_told_at_once_whoever_else_waits() -> None:
    said: list[Answer] = []
    turns = Turns(scripted, words, said.append)
    turns.take(ask(1, "endless"))
    turns.take(Measure(2, "m", ("one two", "")))
    turns.take(Measure(3, "elsewhere", ("one",)))
    assert said == [
        Counted(2, Measured(context=96, n_tokens=(2, 0))),
        Refused(3, "invalid", "there is no model elsewhere", "model", "invalid_value"),
    ]
