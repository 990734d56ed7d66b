"""From a generator that blocks to answers over HTTP; who hangs up stops the work."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence

import anyio
import anyio.to_thread
import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from tunery.core.errors import TuneryError
from tunery.core.generation import Piece
from tunery.core.ports import Closable
from tunery.dialects.answers import encode
from tunery.dialects.openai.errors import render
from tunery.dialects.openai.sampling.answers import Collected

Pieces = Closable[Piece]

_NO_BUFFERING = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def in_turn(generations: Sequence[Pieces], n: int) -> Pieces:
    """Several generations of `n` answers each as one, the answers numbered through."""
    read = written = 0
    try:
        for place, pieces in enumerate(generations):
            for piece in pieces:
                usage = piece.usage
                if usage is not None:
                    read, written = read + usage[0], written + usage[1]
                    usage = (read, written) if place == len(generations) - 1 else None
                yield msgspec.structs.replace(piece, index=place * n + piece.index, usage=usage)
    finally:
        for pieces in generations:
            pieces.close()


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


async def stream(
    pieces: Pieces,
    chunks: Callable[[Piece], Iterable[msgspec.Struct]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`pieces` as server-sent chunks. The first is waited for, so that a refusal is an answer."""
    coming = each(pieces)
    first = await anext(coming)
    return StreamingResponse(
        _lines(first, coming, chunks),
        media_type="text/event-stream",
        headers={**_NO_BUFFERING, **(headers or {})},
    )


async def _lines(
    first: Piece,
    coming: AsyncGenerator[Piece, None],
    chunks: Callable[[Piece], Iterable[msgspec.Struct]],
) -> AsyncIterator[bytes]:
    try:
        for chunk in chunks(first):
            yield _line(encode(chunk))
        async for piece in coming:
            for chunk in chunks(piece):
                yield _line(encode(chunk))
        yield _line(b"[DONE]")
    except TuneryError as error:
        # The status line has gone out long since; clients raise what stands under `error`.
        yield _line(bytes(render(error).body))
    finally:
        await coming.aclose()


def _line(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
