"""A real server in a process of its own, for tests that talk to it as anyone else would."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

KEY = "test-key-that-is-long-enough-for-a-server"
START_S = 60.0


class Server:
    """`tunery serve` on loopback, over a home folder that outlives it."""

    def __init__(self, home: Path, *, environment: Mapping[str, str] | None = None) -> None:
        """Nothing is started yet."""
        self.home = home
        self.key = KEY
        self.port = _free_port()
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens; OpenAI's clients want `/v1` behind it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """Everything that it wrote to its terminal."""
        return self.home / "server.log"

    def start(self) -> None:
        """Start it and wait until it can take work."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tunery.cli", "serve", "--port", str(self.port)],
                env={
                    **os.environ,
                    "TUNERY_HOME": str(self.home),
                    "TUNERY_BOOTSTRAP_KEY": self.key,
                    **self._environment,
                },
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> int:
        """End it as Ctrl-C does; gives back its exit code."""
        return self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(timeout=60)
        self._process = None
        return code

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended since."""
        return self._process is not None

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
