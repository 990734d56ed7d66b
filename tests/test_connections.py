"""What a connection may send before anybody knows whose it is."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tunery.connections import MOST_HEAD_BYTES, BoundedHttp
from tunery.listening import listen

LINE = b"x-some: " + b"y" * 1000 + b"\r\n"
START = b"POST / HTTP/1.1\r\nhost: a\r\n"


async def how_much(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    n_bytes, more = 0, True
    while more:
        message = await receive()
        n_bytes, more = n_bytes + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(n_bytes).encode()})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with listen("127.0.0.1", 0) as listening:
        config = uvicorn.Config(
            how_much, http=BoundedHttp, lifespan="off", log_config=None, server_header=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


def answered(address: tuple[str, int], pieces: Iterator[bytes]) -> bytes:
    """The first that is said to `pieces`, of which no more are sent than are wanted."""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.001)
            return connection.recv(65536)
        except ConnectionError:
            return b""


def test_headers_without_end_are_refused(address: tuple[str, int]) -> None:
    sent: list[bytes] = []

    def flood() -> Iterator[bytes]:
        yield START
        while len(sent) < 20 * MOST_HEAD_BYTES // len(LINE):
            sent.append(LINE)
            yield LINE

    assert b"200" not in answered(address, flood()).split(b"\r\n")[0]
    assert len(sent) < 10 * MOST_HEAD_BYTES // len(LINE)


def test_one_header_without_end_is_refused_too(address: tuple[str, int]) -> None:
    pieces = iter([START, b"x-some: ", *[b"y" * 8192] * 12])
    assert b"200" not in answered(address, pieces).split(b"\r\n")[0]


def test_long_bodies_and_large_heads_that_end_are_taken(address: tuple[str, int]) -> None:
    body = b"z" * (4 * MOST_HEAD_BYTES)
    head = START + LINE * 40 + b"content-length: %d\r\n\r\n" % len(body)
    said = answered(address, iter([head[:20_000], head[20_000:] + body[:10], body[10:]]))
    assert said.startswith(b"HTTP/1.1 200")
    assert str(len(body)).encode() in said
