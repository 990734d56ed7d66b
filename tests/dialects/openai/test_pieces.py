"""Who hangs up stops the work."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

import anyio
from fastapi import Request

from tunery.core.closable import Closable
from tunery.core.generation import Piece
from tunery.dialects.openai.sampling.answers import Heading
from tunery.dialects.openai.sampling.chunks import ChatChunks
from tunery.dialects.openai.sampling.pieces import in_turn, stream
from tunery.dialects.pieces import collect

HEAD = Heading(id="chatcmpl-1", created=1, model="m")


class Endless:
    """Text for ever, until it is closed."""

    def __init__(self) -> None:
        self.n_given = 0
        self.is_closed = False

    def pieces(self) -> Closable[Piece]:
        try:
            for _ in itertools.count():
                self.n_given += 1
                yield Piece(text="x")
        finally:
            self.is_closed = True


class Caller:
    """A request whose sender goes away after some looks at it."""

    def __init__(self, patience: int) -> None:
        self._looks = itertools.count(1)
        self._patience = patience

    async def is_disconnected(self) -> bool:
        return next(self._looks) >= self._patience


def test_a_whole_answer_is_given_up_when_nobody_waits_for_it() -> None:
    endless = Endless()
    request = cast(Request, Caller(patience=5))
    assert anyio.run(collect, request, endless.pieces()) is None
    assert endless.is_closed
    assert endless.n_given == 5


def test_a_stream_is_given_up_when_its_reader_goes() -> None:
    endless = Endless()

    async def hang_up() -> None:
        response = await stream(endless.pieces(), ChatChunks(HEAD, with_usage=False).of)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            while len(sent) < 4:
                await anyio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401
            sent.append(message)

        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        await response(scope, receive, send)

    anyio.run(hang_up)
    assert endless.is_closed


def test_several_generations_are_numbered_through_and_counted_together() -> None:
    def one(text: str, usage: tuple[int, int]) -> Closable[Piece]:
        yield Piece(index=0, text=text)
        yield Piece(index=1, text=text, finish_reason="stop", usage=usage)

    pieces = list(in_turn([one("a", (1, 2)), one("b", (3, 4))], 2))
    assert [(piece.index, piece.text) for piece in pieces] == [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (3, "b"),
    ]
    assert [piece.usage for piece in pieces] == [None, None, None, (4, 6)]


def test_closing_the_whole_closes_every_generation() -> None:
    both = Endless(), Endless()
    generations = [one.pieces() for one in both]
    whole: Iterator[Piece] = in_turn(generations, 1)
    next(whole)
    cast(Any, whole).close()
    assert both[0].is_closed
    assert list(generations[1]) == []
