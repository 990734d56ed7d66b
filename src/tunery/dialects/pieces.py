"""From a generator that blocks to answers over HTTP; who hangs up stops the work."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from tunery.core.closable import Closable
from tunery.core.errors import TuneryError
from tunery.core.generation import Piece, TokenLogprob
from tunery.dialects.answers import encode

Pieces = Closable[Piece]

HUNG_UP = 499
"""Nobody reads this answer; the number is nginx's, for the log."""
_NO_BUFFERING = {"cache-control": "no-cache", "x-accel-buffering": "no"}


@dataclass(kw_only=True)
class Said:
    """One answer as far as it has come."""

    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str = "stop"


@dataclass(kw_only=True)
class Collected:
    """All answers to one request."""

    said: dict[int, Said] = field(default_factory=dict)
    usage: tuple[int, int] = (0, 0)

    def add(self, piece: Piece) -> None:
        """Take in the next piece."""
        said = self.said.setdefault(piece.index, Said())
        said.text.append(piece.text)
        said.logprobs.extend(piece.logprobs)
        said.finish_reason = piece.finish_reason or said.finish_reason
        self.usage = piece.usage or self.usage


async def each(pieces: Pieces) -> AsyncGenerator[Piece, None]:
    """`pieces` without blocking; when this ends, for whatever reason, so does the work."""
    # A limiter of its own: many slow answers must not use up the threads of everything else.
    limiter = anyio.CapacityLimiter(1)
    try:
        while True:
            piece = await anyio.to_thread.run_sync(next, pieces, None, limiter=limiter)
            if piece is None:
                return
            yield piece
    finally:
        pieces.close()


async def collect(request: Request, pieces: Pieces) -> Collected | None:
    """All of `pieces`, or None where the caller hung up meanwhile."""
    collected = Collected()
    coming = each(pieces)
    try:
        async for piece in coming:
            collected.add(piece)
            if await request.is_disconnected():
                return None
    finally:
        await coming.aclose()
    return collected


@dataclass(frozen=True, kw_only=True)
class Ends:
    """How a dialect ends a stream of its."""

    failed: Callable[[TuneryError], bytes]
    """The event for what goes wrong on the way: the status line has gone out long since."""
    done: bytes = b""
    """The event behind the last one."""


async def stream(
    pieces: Pieces,
    chunks: Callable[[Piece], Iterable[msgspec.Struct]],
    ends: Ends,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`pieces` as server-sent chunks. The first is waited for, so that a refusal is an answer."""
    coming = each(pieces)
    first = await anext(coming)
    return StreamingResponse(
        _events(first, coming, chunks, ends),
        media_type="text/event-stream",
        headers={**_NO_BUFFERING, **(headers or {})},
    )


def event(data: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + data + b"\n\n"


async def _events(
    first: Piece,
    coming: AsyncGenerator[Piece, None],
    chunks: Callable[[Piece], Iterable[msgspec.Struct]],
    ends: Ends,
) -> AsyncIterator[bytes]:
    try:
        for chunk in chunks(first):
            yield event(encode(chunk))
        async for piece in coming:
            for chunk in chunks(piece):
                yield event(encode(chunk))
        if ends.done:
            yield ends.done
    except TuneryError as error:
        yield ends.failed(error)
    finally:
        await coming.aclose()
