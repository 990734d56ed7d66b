"""Requests advance together, and one that fails harms no other."""

from collections.abc import Mapping, Sequence

import pytest

from tunery.core.errors import InvalidValue
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.inference.protocol import Answer, Begin, Counted, Measure, Refused, Said, Stop
from tunery.inference.turns import Turns
from tunery.modeling.choosing import Ask, Broken, Token


def ask(number: int, prompt: str) -> Begin:
    return Begin(number, GenerationRequest(location="m", prompt=prompt))


class Counting:
    """A sampler that says a token of each sequence in every step, and knows who left."""

    def __init__(self) -> None:
        self.joined: dict[int, str] = {}
        self.n_joined = 0

    def join(self, asks: Sequence[Ask]) -> list[int]:
        raise AssertionError("nobody asks for this here")

    def begin(self, prompt: str) -> int:
        self.n_joined += 1
        self.joined[self.n_joined] = prompt
        return self.n_joined

    def leave(self, index: int) -> None:
        self.joined.pop(index, None)

    def step(self) -> list[Token | Broken]:
        return [self._said(index, prompt) for index, prompt in self.joined.items()]

    def _said(self, index: int, prompt: str) -> Token | Broken:
        if prompt == "broken later":
            return Broken(index=index, error=FileNotFoundError(2, "No file", "/home/somebody/it"))
        return Token(index=index, id=0)


class Scripted:
    """As many words as the prompt says, after a silent token; "bad" and "broken" fail."""

    def __init__(self, sampler: Counting, request: GenerationRequest) -> None:
        match request.prompt:
            case "bad":
                raise InvalidValue("too long", param="prompt", code="context_length_exceeded")
            case "broken":
                raise FileNotFoundError(2, "No such file", "/home/somebody/adapter")
        self.sampler, self.over = sampler, False
        prompt = request.prompt or ""
        self._index = sampler.begin(prompt)
        self._left = int(prompt) if prompt.isdigit() else 10**9
        self._silent = True

    def take(self, said: Mapping[int, Token | Broken]) -> list[Piece]:
        token = said[self._index]
        if isinstance(token, Broken):
            raise token.error
        if self._silent:
            self._silent = False
            return []
        self._left -= 1
        self.over = self._left == 0
        if self.over:
            self.close()
        return [Piece(text="x")]

    def close(self) -> None:
        self.sampler.leave(self._index)


def turns_of(said: list[Answer], *samplers: Counting) -> Turns:
    """Requests by turns to each of `samplers`, as to so many bases."""
    homes = samplers or (Counting(),)
    return Turns(
        lambda request: Scripted(homes[len(request.prompt or "") % len(homes)], request),
        words,
        said.append,
    )


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
    turns = turns_of(said)
    turns.take(ask(1, "endless"))
    turns.take(ask(2, "2"))
    rounds(turns, said, 4)
    assert [answer.number for answer in said] == [1, 2, 1, 2, 1]
    assert said[3] == Said(2, [Piece(text="x")], last=True)


def test_nobody_is_answered_after_hanging_up() -> None:
    said: list[Answer] = []
    turns = turns_of(said)
    turns.take(ask(1, "endless"))
    rounds(turns, said, 2)
    turns.take(Stop(1))
    assert len(rounds(turns, said, 3)) == 1


def test_who_hangs_up_computes_no_more() -> None:
    sampler = Counting()
    turns = turns_of([], sampler)
    turns.take(ask(1, "endless"))
    turns.take(ask(2, "endless"))
    turns.round()
    turns.take(Stop(1))
    assert len(sampler.joined) == 1


def test_more_requests_than_fit_wait_and_are_served() -> None:
    said: list[Answer] = []
    turns = turns_of(said)
    for number in range(40):
        turns.take(ask(number, "1"))
    turns.take(Stop(39))
    rounds(turns, said, 12)
    assert {a.number for a in said if isinstance(a, Said) and a.last} == set(range(39))


def test_a_request_that_fails_ends_alone_and_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[Answer] = []
    turns = turns_of(said)
    for number, prompt in enumerate(["bad", "broken", "1"]):
        turns.take(ask(number, prompt))
    rounds(turns, said, 3)
    assert said[0] == Refused(0, "invalid", "too long", "prompt", "context_length_exceeded")
    assert isinstance(said[1], Refused)
    assert said[1].reason == "unavailable"
    assert "(FileNotFoundError)" in said[1].message
    assert "/home/somebody" not in said[1].message
    assert "/home/somebody/adapter" in capfd.readouterr().err
    assert said[-1] == Said(2, [Piece(text="x")], last=True)


def test_a_request_that_fails_in_the_middle_ends_alone(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[Answer] = []
    sampler = Counting()
    turns = turns_of(said, sampler)
    turns.take(ask(1, "broken later"))
    turns.take(ask(2, "2"))
    rounds(turns, said, 4)
    assert isinstance(said[0], Refused)
    assert said[0].number == 1
    assert [answer.number for answer in said[1:]] == [2, 2]
    assert sampler.joined == {}
    assert "/home/somebody/it" in capfd.readouterr().err


def test_requests_on_different_bases_take_turns() -> None:
    said: list[Answer] = []
    samplers = Counting(), Counting()
    turns = turns_of(said, *samplers)
    turns.take(ask(1, "endless"))
    turns.take(ask(2, "12"))
    rounds(turns, said, 3)
    assert [sampler.n_joined for sampler in samplers] == [1, 1]
    assert sorted(answer.number for answer in said) == [1, 1, 2, 2]


def test_lengths_are_told_at_once_whoever_else_waits() -> None:
    said: list[Answer] = []
    turns = turns_of(said)
    turns.take(ask(1, "endless"))
    turns.take(Measure(2, "m", ("one two", "")))
    turns.take(Measure(3, "elsewhere", ("one",)))
    assert said == [
        Counted(2, Measured(context=96, n_tokens=(2, 0))),
        Refused(3, "invalid", "there is no model elsewhere", "model", "invalid_value"),
    ]
