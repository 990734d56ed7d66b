"""The server over HTTP, like any other client of it."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx

from tunery.cli.failure import ExitCode, Failure, refusal
from tunery.cli.sse import Message, messages

Json = dict[str, Any]
"""An object of the API as it came."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# A probe of time and memory loads the model, which takes a while on a small machine.
_TIMEOUT = httpx.Timeout(600, connect=5)
# The stream says something at least every few seconds; longer silence is a broken connection.
_STREAM_TIMEOUT = httpx.Timeout(60, connect=5)


class Client:
    """Requests to one server with one key. Whatever goes wrong is a `Failure`."""

    def __init__(self, url: str, key: str | None) -> None:
        """`url` is the server's root, with or without `/v1`."""
        self.url = url.rstrip("/").removesuffix("/v1")
        self.key = key
        # The second is where the calls for images look.
        headers = {"Authorization": f"Bearer {key}", "x-key": key} if key else {}
        # A proxy meant for the outside world does not know this machine.
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=_TIMEOUT,
            trust_env=not is_loopback(self.url),
        )

    def __enter__(self) -> "Client":
        """The client itself; its connections are closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Json:
        """The object at `path`."""
        return self._object(self._http.build_request("GET", path, params=dict(params or {})))

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, idempotency: str | None = None
    ) -> Json:
        """What `path` answers to `body`; with `idempotency`, once however often it is sent."""
        headers = {"Idempotency-Key": idempotency} if idempotency else {}
        return self._object(
            self._http.build_request("POST", path, json=body or {}, headers=headers)
        )

    def delete(self, path: str) -> Json:
        """What `path` answers when it is deleted."""
        return self._object(self._http.build_request("DELETE", path))

    def upload(self, name: str, content: BinaryIO, *, purpose: str) -> Json:
        """The file object of `content`, sent as it is read."""
        return self._object(
            self._http.build_request(
                "POST", "/v1/files", data={"purpose": purpose}, files={"file": (name, content)}
            )
        )

    @contextmanager
    def download(self, path: str) -> Iterator[httpx.Response]:
        """The answer of `path`, its body not yet read."""
        with self._open(self._http.build_request("GET", path)) as response:
            yield response

    def stream(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[Message]:
        """The server-sent events of `path`, those behind `last_event_id` where one is given."""
        headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        request = self._http.build_request(
            method, path, json=body, headers=headers, timeout=_STREAM_TIMEOUT
        )
        with self._open(request) as response:
            yield from messages(response.iter_lines())

    def _object(self, request: httpx.Request) -> Json:
        with self._open(request) as response:
            response.read()
        return _parsed(response)

    @contextmanager
    def _open(self, request: httpx.Request) -> Iterator[httpx.Response]:
        with self._reaching():
            response = self._http.send(request, stream=True)
            with closing(response):
                if response.is_error:
                    response.read()
                    raise _refused(response)
                yield response

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise Failure(
                f"Cannot reach {self.url}: {error or type(error).__name__}.",
                next_step="Start the server with `tunery serve`, or set TUNERY_URL to where it is.",
                code=ExitCode.UNREACHABLE,
            ) from error


def is_loopback(url: str) -> bool:
    """Whether `url` is on this machine."""
    return urlsplit(url).hostname in LOOPBACK


def segment(name: str) -> str:
    """`name` as one part of a path: a model's name may hold a slash."""
    return quote(name, safe=":")


def _refused(response: httpx.Response) -> Failure:
    body = _parsed(response)
    return refusal(response.status_code, body, request_id=response.headers.get("x-request-id"))


def _parsed(response: httpx.Response) -> Json:
    """The JSON object in `response`; what answers with anything else is no server of ours."""
    try:
        body = response.json()
    except ValueError as error:
        raise _stranger(response) from error
    if not isinstance(body, dict):
        raise _stranger(response)
    return body


def _stranger(response: httpx.Response) -> Failure:
    return Failure(
        f"{response.url} did not answer with a JSON object (status {response.status_code}).",
        next_step="Check that TUNERY_URL names a Tunery server.",
        code=ExitCode.UNREACHABLE,
    )
