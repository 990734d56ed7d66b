"""A server on loopback that gives canned answers and keeps what it was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


@dataclass(frozen=True)
class Canned:
    """One answer."""

    body: object = None
    status: int = 200
    raw: bytes | None = None
    content_type: str = "application/json"
    breaks_off: bool = False
    """Whether the connection is closed before the promised end."""

    @property
    def content(self) -> bytes:
        return json.dumps(self.body).encode() if self.raw is None else self.raw


Answer = Callable[[Asked], Canned]


@dataclass
class FakeServer:
    """Answers by method and path: one after another, and the last for ever."""

    answers: dict[str, list[Canned | Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, route: str, *answers: Canned | Answer | object) -> None:
        """Answer `route`, such as `GET /v1/models`; what is no `Canned` is sent as JSON."""
        self.answers[route] = [
            answer if isinstance(answer, Canned) or callable(answer) else Canned(answer)
            for answer in answers
        ]

    def last(self, route: str) -> Asked:
        """The last request of `route`."""
        return next(a for a in reversed(self.asked) if f"{a.method} {a.path}" == route)

    def answer(self, asked: Asked) -> Canned:
        self.asked.append(asked)
        waiting = self.answers.get(f"{asked.method} {asked.path}")
        if waiting is None:
            return Canned({"error": {"message": f"no {asked.path}"}}, status=404)
        chosen = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return chosen if isinstance(chosen, Canned) else chosen(asked)


def serving(fake: FakeServer) -> ThreadingHTTPServer:
    """A listening server of `fake`'s answers, not yet serving."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            parts = urlsplit(self.path)
            body = self._body()
            canned = fake.answer(
                Asked(self.command, parts.path, parts.query, dict(self.headers), body)
            )
            content = canned.content
            self.send_response(canned.status)
            self.send_header("Content-Type", canned.content_type)
            self.send_header("Content-Length", str(len(content) + canned.breaks_off))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = canned.breaks_off

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_POST = do_DELETE = respond  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """The tests' output is for the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.port = server.server_address[1]
    return server
