"""The servers that are measured, ours and the rivals', each in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.servers import Server

START_S = 30.0


@contextmanager
def ours(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """This server, over a home folder below `folder`, its log kept short."""
    quiet = {"TUNERY_LOG_LEVEL": "warning", **(environment or {})}
    server = Server(folder / "home", environment=quiet)
    try:
        server.start()
        yield server
    finally:
        _end(server)


def _end(server: Server) -> None:
    if not server.is_running:
        return
    try:
        server.stop()
    except subprocess.TimeoutExpired:
        # What was measured stands; nothing may be left over that disturbs the next.
        server.kill()


@contextmanager
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of its OpenAI dialect, with its key."""
    headers = {"authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=f"{server.url}/v1", headers=headers, timeout=60) as connected:
        yield connected


@contextmanager
def rival(module: str, kept: Path) -> Iterator[int]:
    """`python -m MODULE KEPT PORT`; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", module, str(kept), str(port)])
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")
