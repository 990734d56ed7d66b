import asyncio
import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.dialects import multipart
from tunery.dialects.multipart import Blocks


class Recorder:
    """A sink's `write` that is slow and notices being called twice at a time."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.written: list[bytes] = []
        self.busy = threading.Lock()
        self._fails_at = fails_at

    def write(self, block: bytes) -> None:
        assert self.busy.acquire(blocking=False), "two writes at a time"
        time.sleep(0.0005)
        self.written.append(block)
        self.busy.release()
        if len(self.written) == self._fails_at:
            raise OSError("injected")


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=20))
def test_everything_is_written_in_order_once_it_is_flushed(cuts: list[int]) -> None:
    data = bytes(n % 251 for n in range(1000))
    recorder = Recorder()

    async def send() -> None:
        blocks = Blocks(recorder.write)
        for a, b in pairwise(sorted({0, 1000, *cuts})):
            await blocks.push(memoryview(data)[a:b])
        await blocks.flush()
        assert b"".join(recorder.written) == data
        n_writes = len(recorder.written)
        await asyncio.sleep(0.002)
        assert len(recorder.written) == n_writes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multipart, "BLOCK_BYTES", 100)
        asyncio.run(send())


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_write_that_fails_is_raised_by_what_comes_after(fails_at: int) -> None:
    recorder = Recorder(fails_at=fails_at)

    async def send() -> None:
        blocks = Blocks(recorder.write)
        with pytest.raises(OSError, match="injected"):  # noqa: PT012
            for _ in range(2):
                await blocks.push(memoryview(bytes(multipart.BLOCK_BYTES)))
            await blocks.flush()
        await blocks.settle()
        assert len(recorder.written) == fails_at

    asyncio.run(send())


def test_a_task_that_is_cancelled_leaves_no_write_behind() -> None:
    recorder = Recorder()

    async def send() -> None:
        blocks = Blocks(recorder.write)
        try:
            while True:
                await blocks.push(memoryview(bytes(multipart.BLOCK_BYTES)))
        finally:
            await blocks.settle()
            assert not recorder.busy.locked()

    async def cancel() -> None:
        task = asyncio.create_task(send())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
