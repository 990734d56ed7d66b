"""What happens to every request, whichever door it came to. Plain ASGI: it costs microseconds."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.core.access import Caller
from tunery.core.errors import NotFound, TooLarge, TooSlow, TuneryError

logger = logging.getLogger("tunery.access")

Refusal = Callable[[str, TuneryError], ASGIApp]
"""The answer that says an error in the words of the door to which a path belongs."""

LARGE_AT_A_TIME = 2
"""So many bodies above the common limit are in memory at the same time; others wait, unread.

Of one project it is one at a time, however many it sends: others are to come to their turn too.
"""
LARGE_WITHIN_S = 600.0
"""So long may one of them take to arrive: it keeps others waiting."""
MOST_VALUES = 100_000
"""Of one of them, which is large for its few long texts.

Each value becomes an object: ninety megabytes of small ones would take gigabytes, and hold the
server for many seconds.
"""

_OF_ANY_LENGTH = "tunery.body_of_any_length"


class RequestIds:
    """Gives each request an id: on its answer as `x-request-id`, and in its line of the log."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{secrets.token_hex(12)}"
        began = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id.encode()))
                if logger.isEnabledFor(logging.INFO):
                    _log(scope, message["status"], request_id, time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Refuses to read a body above the limit, but for what takes it `without_limit`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        refusal: Refusal,
        of_paths: Mapping[str, int] | None = None,
        large_within_s: float = LARGE_WITHIN_S,
    ) -> None:
        """Wrap `app`; `of_paths` are the limits of those that have another one.

        Of bodies above `max_bytes` a few are read at a time, each within `large_within_s`.
        """
        self._app = app
        self._max_bytes = max_bytes
        self._of_paths = of_paths or {}
        self._refusal = refusal
        self._room = _Room(asyncio.Semaphore(LARGE_AT_A_TIME), large_within_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 in place of whatever comes of a body that is too large."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        limits = _Limits(self._max_bytes, self._of_paths.get(scope["path"], self._max_bytes))
        reading = _Bounded(scope, receive, send, limits, self._refusal, self._room)
        try:
            await self._app(scope, reading.receive, reading.send)
        except (TooLarge, TooSlow):
            await reading.refuse()
        finally:
            reading.leave()


def without_limit(scope: Scope) -> None:
    """Let the body of this request be of any length: its reader keeps to a limit of its own."""
    scope[_OF_ANY_LENGTH] = True


@dataclass(frozen=True)
class _Limits:
    """How large a body may be: `common` without more ado, and `most` in its turn."""

    common: int
    most: int


@dataclass(frozen=True)
class _Room:
    """Where there are turns for large bodies."""

    turns: asyncio.Semaphore
    within_s: float
    _of_projects: MutableMapping[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Those that anybody holds or waits for."""

    def of_caller(self, scope: Scope) -> asyncio.Lock:
        """Who has it may wait for a turn: one of each project, and each of those without one."""
        caller = scope.get("state", {}).get("caller")
        if not isinstance(caller, Caller):
            return asyncio.Lock()
        return self._of_projects.setdefault(caller.project_id, asyncio.Lock())


class _Bounded:
    """One request: what is read of its body, and how that is answered."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: _Limits,
        refusal: Refusal,
        room: _Room,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limits = limits
        self._refusal = refusal
        self._room = room
        self._n_read = 0
        self._n_commas = 0
        self._own_place: asyncio.Lock | None = None
        self._has_turn = False
        self._until: float | None = None
        self._over: TuneryError | None = None
        self._answered = False

    async def receive(self) -> Message:
        if self._scope.get(_OF_ANY_LENGTH):
            return await self._receive()
        declared = int(dict(self._scope["headers"]).get(b"content-length", b"0"))
        self._check(declared)
        if max(declared, self._n_read) > self._limits.common:
            await self._take_turn()
        message = await self._received_in_time()
        body = message.get("body", b"")
        self._n_read += len(body)
        self._n_commas += body.count(b",")
        self._check(max(declared, self._n_read))
        if not message.get("more_body", False):
            self._until = None
        return message

    async def _take_turn(self) -> None:
        if not self._has_turn:
            own_place = self._room.of_caller(self._scope)
            await own_place.acquire()
            self._own_place = own_place
            await self._room.turns.acquire()
            self._has_turn = True
            self._until = asyncio.get_running_loop().time() + self._room.within_s

    def leave(self) -> None:
        """The request is over: let the next one have its turn."""
        if self._has_turn:
            self._room.turns.release()
        if self._own_place is not None:
            self._own_place.release()

    async def _received_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._until):
                return await self._receive()
        except TimeoutError:
            within = f"{self._room.within_s:g} seconds"
            self._over = TooSlow(f"The request body did not arrive within {within}.")
            raise self._over from None

    def _check(self, n_bytes: int) -> None:
        if n_bytes > self._limits.most:
            self._over = TooLarge(f"The request body is larger than {self._limits.most} bytes.")
            raise self._over
        # JSON has a comma between any two values, unless one is nested in the other.
        if n_bytes > self._limits.common and self._n_commas > MOST_VALUES:
            self._over = TooLarge(
                f"The request body is larger than {self._limits.common} bytes and holds more than "
                f"{MOST_VALUES} values."
            )
            raise self._over

    async def send(self, message: Message) -> None:
        """Pass an answer on, but for what was made of our own error on the way."""
        if self._over is not None:
            await self.refuse()
        else:
            await self._send(message)

    async def refuse(self) -> None:
        """Answer why it was not read, once."""
        if self._over is not None and not self._answered:
            self._answered = True
            answer = self._refusal(self._scope["path"], self._over)
            await answer(self._scope, self._receive, self._send)


class NoNul:
    """Refuses a path or query with a NUL in it: it names nothing, and PostgreSQL chokes on it."""

    def __init__(self, app: ASGIApp, *, refusal: Refusal) -> None:
        """Wrap `app`."""
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 where there is one."""
        answer = self._app
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope["query_string"]):
            error = NotFound("URL", scope["path"], message="The URL has a NUL character in it.")
            answer = self._refusal(scope["path"], error)
        await answer(scope, receive, send)


def _log(scope: Scope, status: int, request_id: str, seconds: float) -> None:
    logger.info(
        "%s %s %d %.1f ms %s", scope["method"], scope["path"], status, seconds * 1e3, request_id
    )
