"""A receiver of webhooks on loopback: it answers as it is told, and remembers what it heard."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One POST."""

    target: str
    headers: dict[str, str]
    """By name, in lower case."""
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, headers: dict[str, str] | None = None) -> Answer:
    """Answer with this, and few words."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"heard")

    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who tells may hang up."""


class Receiver:
    """Answers by `answers`, in turn; with 200 once there are none left."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answers: list[Answer] = []
        self.heard: list[Heard] = []
        self.n_connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                receiver.heard.append(
                    Heard(
                        target=self.path,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=self.rfile.read(size),
                    )
                )
                answer = receiver.answers.pop(0) if receiver.answers else status(200)
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(_Server):
            def get_request(self) -> tuple[Any, Any]:
                receiver.n_connections += 1
                connection, address = super().get_request()
                if tls is not None:
                    connection = tls.wrap_socket(
                        connection, server_side=True, do_handshake_on_connect=False
                    )
                return connection, address

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(poll_interval=0.01), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
