"""Upload a training file and check its rows, against the usual way: `python -m benchmarks.upload`.

Both servers hash the file, check every row, write it and fsync. Each upload is deleted before the
next, and the client sends from the page cache, so that what is measured is the server.
"""

import json
import random
import socket
import tempfile
import time
from pathlib import Path

from tests.servers import KEY

from benchmarks import servers
from benchmarks.comparison import Comparison, show

MEGABYTES = 100
ROUNDS = 5
RIVAL = "FastAPI UploadFile + one pydantic model per line"
_BOUNDARY = b"a-line-that-no-row-has"
_BEFORE = (
    b'--%(b)s\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
    b'--%(b)s\r\nContent-Disposition: form-data; name="file"; filename="train.jsonl"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
) % {b"b": _BOUNDARY}
_AFTER = b"\r\n--%s--\r\n" % _BOUNDARY


def comparisons() -> list[Comparison]:
    """The two servers, asked in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "train.jsonl"
        _make(data)
        kept = folder / "rival"
        kept.mkdir()
        with (
            servers.ours(folder) as server,
            servers.rival("benchmarks.rival_upload", kept) as rival_port,
        ):
            ours, theirs = [], []
            for port in (server.port, rival_port):
                _upload(port, data)
            for _ in range(ROUNDS):
                ours.append(_upload(server.port, data))
                theirs.append(_upload(rival_port, data))
    what = f"upload and check {MEGABYTES} MB"
    return [Comparison(what=what, rival=RIVAL, unit="MB/s", ours=ours, theirs=theirs)]


def _make(path: Path) -> None:
    """Conversations of three messages, some 800 bytes each, no two the same."""
    chosen = random.Random(7)
    words = ("the", "of", "and", "to", "in", "is", "it", "you", "that", "he", "was", "for", "on")
    with path.open("wb") as file:
        while file.tell() < MEGABYTES * 1_000_000:
            question = f"{file.tell()} " + " ".join(chosen.choices(words, k=60))
            messages = [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": f"{question}?\n"},
                {"role": "assistant", "content": " ".join(chosen.choices(words, k=120))},
            ]
            file.write(json.dumps({"messages": messages}).encode() + b"\n")


def _upload(port: int, data: Path) -> float:
    """Megabytes per second of one upload, from connecting to the last byte of the answer."""
    length = len(_BEFORE) + data.stat().st_size + len(_AFTER)
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection, data.open("rb") as file:
        connection.sendall(_head("POST", "/v1/files", length) + _BEFORE)
        connection.sendfile(file)
        connection.sendall(_AFTER)
        answer = _answer(connection)
    took = time.perf_counter() - began
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_head("DELETE", f"/v1/files/{answer['id']}", 0))
        _answer(connection)
    return data.stat().st_size / 1e6 / took


def _head(method: str, path: str, length: int) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: multipart/form-data; boundary={_BOUNDARY.decode()}\r\n"
        f"content-length: {length}\r\nconnection: close\r\n\r\n"
    ).encode()


def _answer(connection: socket.socket) -> dict[str, str]:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(received.decode())
    answer: dict[str, str] = json.loads(body)
    return answer


if __name__ == "__main__":
    show(comparisons())
