"""What happens to every request, whichever door it came to. Plain ASGI: it costs microseconds."""

import logging
import secrets
import time

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.core.errors import TooLarge

logger = logging.getLogger("tunery.access")


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
    """Refuses a body above the limit. Uploads are multipart, and have a limit of their own."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        """Wrap `app`."""
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 where the length is declared, and stop reading where it is not."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if headers.get(b"content-type", b"").startswith(b"multipart/"):
            await self._app(scope, receive, send)
            return
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._max_bytes:
            await _refuse(send, self._max_bytes)
            return
        await self._app(scope, _bounded(receive, self._max_bytes), send)


def _bounded(receive: Receive, max_bytes: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > max_bytes:
            raise TooLarge(_too_large(max_bytes))
        return message

    return bounded


async def _refuse(send: Send, max_bytes: int) -> None:
    error = {
        "message": _too_large(max_bytes),
        "type": "invalid_request_error",
        "param": None,
        "code": TooLarge.default_code,
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps({"error": error})})


def _too_large(max_bytes: int) -> str:
    return f"The request body is larger than {max_bytes} bytes."


def _log(scope: Scope, status: int, request_id: str, seconds: float) -> None:
    logger.info(
        "%s %s %d %.1f ms %s", scope["method"], scope["path"], status, seconds * 1e3, request_id
    )
