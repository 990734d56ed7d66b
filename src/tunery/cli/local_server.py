"""A server on this machine for as long as a command needs one."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tunery.cli.client import Client
from tunery.cli.connection import own_url, stored_key
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.output import aside
from tunery.settings import Settings

_START_S = 120.0
_STOP_S = 30.0
_LOOK_EVERY_S = 0.2
_LOG_LINES = 10


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """A server that answers, and the process that it runs in where that is ours."""

    client: Client
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def wait(self) -> None:
        """Stay with a server of our own until Ctrl-C.

        Raises:
            Failure: it ended before that.
        """
        if self.process is not None:
            self.process.wait()
            raise _ended("The server ended by itself", self.log)


@contextmanager
def local_server(settings: Settings) -> Iterator[LocalServer]:
    """A server over the home of `settings`: the one that is running there, else one of our own.

    Raises:
        Failure: the port belongs to somebody else, or the server cannot start.
    """
    log = settings.home / "server.log"
    if _is_taken(settings.port):
        with _running(settings) as client:
            yield LocalServer(client=client, log=log)
        return
    # What trains here is its owner's alone, as in `tunery.wiring.ground`.
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log.touch()
    said_before = log.stat().st_size
    process = _start(settings, log)
    try:
        if not _becomes_ready(own_url(settings), process):
            raise _ended("The server did not start", log, said_before)
        with Client(own_url(settings), _key(settings)) as client:
            yield LocalServer(client=client, log=log, process=process)
    finally:
        _stop(process)


def _running(settings: Settings) -> Client:
    """The server that listens already, if our key opens it."""
    client = Client(own_url(settings), _key(settings))
    try:
        client.get("/v1/models")
    except Failure as failure:
        client.__exit__(None, None, None)
        raise Failure(
            f"Port {settings.port} is taken by another program, or by a Tunery server of another "
            "home folder.",
            next_step=f"Choose another port: `tunery demo --port {settings.port + 1}`, or "
            f"`TUNERY_PORT={settings.port + 1} make demo`.",
            code=ExitCode.BAD_INPUT,
        ) from failure
    aside().print(f"A server is running on port {settings.port} already; using it.")
    return client


def _start(settings: Settings, log: Path) -> "subprocess.Popen[bytes]":
    """The server in a process of its own, which a Ctrl-C at the terminal does not reach."""
    command = [sys.executable, "-m", "tunery.cli", "serve", "--host", settings.host]
    command += ["--port", str(settings.port), "--home", str(settings.home)]
    with log.open("ab") as out:
        # Standard output says the key at first start, and no log may hold one.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=out,
            start_new_session=True,
        )


def _becomes_ready(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the server can take work; False where it ended, or takes too long."""
    deadline = time.monotonic() + _START_S
    with aside().status("Starting the server …"):
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_EVERY_S)
    return True


def _ended(what: str, log: Path, said_before: int = 0) -> Failure:
    """Why a server is no more, in the last of what it said behind the first `said_before` bytes."""
    said = log.read_bytes()[said_before:].decode(errors="replace").splitlines()
    return Failure(
        "\n".join([f"{what}. Its last words:", *said[-_LOG_LINES:]]),
        next_step=f"Mend what it says; all of it is in {log}.",
        code=ExitCode.UNREACHABLE,
    )


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _key(settings: Settings) -> str | None:
    """The key of this home; TUNERY_API_KEY may be meant for another server, and comes last."""
    return stored_key(settings.home) or settings.bootstrap_key or os.environ.get("TUNERY_API_KEY")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Let the server save what is running, and end it where it takes too long."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    with aside().status("Stopping the server; a job that is running saves a checkpoint …"):
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
