"""Uploads on their way from the socket to a sink: no second copy, constant memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from tunery.dialects.form import FormParser
from tunery.middleware import without_limit

BLOCK_BYTES = 1024**2


class Sink(Protocol):
    """Where a file's bytes go. Its methods block."""

    def write(self, block: bytes) -> None:
        """Append `block`."""

    def discard(self) -> None:
        """Leave nothing behind; a sink that was finished does nothing."""


AnySink = TypeVar("AnySink", bound=Sink)


@dataclass(frozen=True)
class Form(Generic[AnySink]):
    """A form whose bytes have all arrived."""

    fields: Mapping[str, str]
    filename: str | None
    """None where the client named none."""
    sink: AnySink
    """Holds the file, still to be finished."""


@asynccontextmanager
async def receive_form(
    request: Request, file_field: str, open_sink: Callable[[Mapping[str, str]], AnySink]
) -> AsyncIterator[Form[AnySink]]:
    """The form of `request`; its part `file_field` goes to a sink, in blocks, off the event loop.

    `open_sink` is given the fields that came before the file. At the end the sink is discarded.

    Raises:
        InvalidValue: the body is no such form.
    """
    form = FormParser(request.headers.get("content-type", ""), file_field)
    without_limit(request.scope)
    sink: AnySink | None = None
    blocks: Blocks | None = None
    try:
        async for chunk in _chunks(request):
            pieces = form.feed(chunk)
            if form.has_file and blocks is None:
                sink = await run_in_threadpool(open_sink, form.fields)
                blocks = Blocks(sink.write)
            if blocks is not None:
                for piece in pieces:
                    await blocks.push(piece)
        form.finish()
        assert sink is not None
        assert blocks is not None
        await blocks.flush()
        yield Form(form.fields, form.filename, sink)
    finally:
        if blocks is not None:
            await blocks.settle()
        if sink is not None:
            sink.discard()


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; a client that leaves ends it, and with that the form is not whole."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        return


class Blocks:
    """Gathers pieces to blocks, and has one written while the next one is gathered.

    So the socket is read and the block before it is hashed, checked and written at the same time,
    and whoever sends faster than that waits.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """`write` blocks; it is called in a thread, never twice at a time."""
        self._write = write
        self._pieces: list[memoryview] = []
        self._n_bytes = 0
        self._running: asyncio.Future[None] | None = None

    async def push(self, piece: memoryview) -> None:
        """Append `piece`; raises what writing an earlier one raised."""
        self._pieces.append(piece)
        self._n_bytes += len(piece)
        if self._n_bytes >= BLOCK_BYTES:
            await self._hand_over()

    async def flush(self) -> None:
        """Have everything written; raises what writing it raised."""
        await self._hand_over()
        await self._written()

    async def settle(self) -> None:
        """Wait until nothing is being written any more, whatever came of it."""
        if self._running is not None:
            # A future that is waited for so is not cancelled when the waiting task is.
            await asyncio.wait([self._running])
            self._running.exception()

    async def _hand_over(self) -> None:
        await self._written()
        block = b"".join(self._pieces)
        self._pieces, self._n_bytes = [], 0
        self._running = asyncio.get_running_loop().run_in_executor(None, self._write, block)

    async def _written(self) -> None:
        await self.settle()
        if self._running is not None:
            self._running.result()
            self._running = None
