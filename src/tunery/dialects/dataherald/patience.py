"""Threads for what waits for models and for customers' databases, so that nothing else does.

All other routes share some forty threads, which minutes of waiting would use up.
"""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Response

from tunery.core.errors import Unavailable

P = ParamSpec("P")
Result = TypeVar("Result")


class Queue:
    """Work in threads of its own, a few at a time, the rest in a line that ends somewhere."""

    def __init__(self, *, at_once: int, most_waiting: int) -> None:
        """Nobody waits yet."""
        self._limiter = CapacityLimiter(at_once)
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._n_inside = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`.

        Raises:
            Unavailable: the line is full.
        """
        if self._n_inside >= self._at_once + self._most_waiting:
            raise Unavailable(
                f"The server is busy: {self._at_once} requests wait for models and databases, and "
                f"{self._most_waiting} more for their turn. Try again later."
            )
        self._n_inside += 1
        try:
            return await to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._n_inside -= 1


requests = Queue(at_once=16, most_waiting=64)
scans = Queue(at_once=2, most_waiting=1000)


def patient(route: Callable[P, Response]) -> Callable[P, Awaitable[Response]]:
    """`route` in the queue of `requests`."""

    @wraps(route)
    async def in_turn(*args: P.args, **kwargs: P.kwargs) -> Response:
        return await requests.run(partial(route, *args, **kwargs))

    return in_turn
