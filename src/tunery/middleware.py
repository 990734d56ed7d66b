"""What happens to every request, whichever door it came to. Plain ASGI: it costs microseconds."""

import logging
import secrets
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.core.errors import NotFound, TooLarge, TuneryError

logger = logging.getLogger("tunery.access")

Refusal = Callable[[str, TuneryError], ASGIApp]
"""The answer that says an error in the words of the door to which a path belongs."""

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

    def __init__(self, app: ASGIApp, *, max_bytes: int, refusal: Refusal) -> None:
        """Wrap `app`."""
        self._app = app
        self._max_bytes = max_bytes
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 in place of whatever comes of a body that is too large."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        reading = _Bounded(scope, receive, send, self._max_bytes, self._refusal)
        try:
            await self._app(scope, reading.receive, reading.send)
        except TooLarge:
            await reading.refuse()


def without_limit(scope: Scope) -> None:
    """Let the body of this request be of any length: its reader keeps to a limit of its own."""
    scope[_OF_ANY_LENGTH] = True


class _Bounded:
    """One request: what is read of its body, and how that is answered."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, max_bytes: int, refusal: Refusal
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._refusal = refusal
        self._n_read = 0
        self._is_over = False
        self._answered = False

    async def receive(self) -> Message:
        if self._scope.get(_OF_ANY_LENGTH):
            return await self._receive()
        declared = dict(self._scope["headers"]).get(b"content-length", b"0")
        if int(declared) > self._max_bytes:
            raise self._too_large()
        message = await self._receive()
        self._n_read += len(message.get("body", b""))
        if self._n_read > self._max_bytes:
            raise self._too_large()
        return message

    def _too_large(self) -> TooLarge:
        self._is_over = True
        return TooLarge(f"The request body is larger than {self._max_bytes} bytes.")

    async def send(self, message: Message) -> None:
        """Pass an answer on, but for what was made of our own error on the way."""
        if self._is_over:
            await self.refuse()
        else:
            await self._send(message)

    async def refuse(self) -> None:
        """Answer 413, once."""
        if not self._answered:
            self._answered = True
            answer = self._refusal(self._scope["path"], self._too_large())
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
