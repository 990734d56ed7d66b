"""Starting trainers in milliseconds: the server's side of `tunery.trainers.warm`.

Only on Linux: elsewhere a process that has loaded PyTorch cannot be forked safely.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
"""After so long without the warm parent, a trainer starts from cold."""


class ForkedProcess:
    """A child of the warm parent, with the part of `subprocess.Popen`'s surface that is used."""

    def __init__(self, module: str, address: str) -> None:
        """Fork it.

        Raises:
            OSError: the warm parent is not there, could not fork, or does not answer.
        """
        with ExitStack() as opened:
            self._connection = opened.enter_context(socket.socket(socket.AF_UNIX))
            self._connection.settimeout(LONGEST_WAIT_S)
            self._connection.connect(address)
            self.stdin, self.stdout, self.stderr = map(
                opened.enter_context, self._hand_over(module)
            )
            self._answers = opened.enter_context(self._connection.makefile("r"))
            if not (pid := self._answers.readline()):
                raise ConnectionResetError("the warm parent did not fork")
            self.pid = int(pid)
            self._connection.settimeout(None)
            opened.pop_all()
        self._code: int | None = None
        self._lock = threading.Lock()

    def wait(self) -> int:
        """Its exit code, negative where a signal ended it, as soon as it has ended."""
        with self._lock:
            if self._code is None:
                # No answer: the warm parent was killed, and takes nobody's exit code any more.
                self._code = int(self._answers.readline() or -signal.SIGKILL)
                self._answers.close()
                self._connection.close()
            return self._code

    def kill(self) -> None:
        """End it now."""
        if self._code is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                # It has ended meanwhile, which is all that was wanted.
                return

    def _hand_over(self, module: str) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        stdin_read, stdin_write = os.pipe()
        stdout_read, stdout_write = os.pipe()
        stderr_read, stderr_write = os.pipe()
        ours = (
            os.fdopen(stdin_write, "wb"),
            os.fdopen(stdout_read, "rb"),
            os.fdopen(stderr_read, "rb"),
        )
        theirs = [stdin_read, stdout_write, stderr_write]
        try:
            socket.send_fds(self._connection, [module.encode()], theirs)
        except OSError:
            for pipe in ours:
                pipe.close()
            raise
        finally:
            for end in theirs:
                os.close(end)
        return ours


class WarmParent:
    """Starts the warm parent and keeps it; `fork` asks it for a child."""

    def __init__(self) -> None:
        """Start it; it is ready some seconds later."""
        self._folder = tempfile.TemporaryDirectory(prefix="tunery-")
        self._address = str(Path(self._folder.name) / "trainers")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tunery.trainers.warm", self._address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._begun_at = time.monotonic()
        self._ready = threading.Event()
        self._closed = False
        self._waiter = threading.Thread(target=self._await, daemon=True)
        self._waiter.start()

    @property
    def is_ready(self) -> bool:
        """Whether it can fork now."""
        return self._ready.is_set() and self._process.poll() is None

    @property
    def has_failed(self) -> bool:
        """Whether it ended by itself."""
        return self._process.poll() is not None

    @property
    def is_late(self) -> bool:
        """Whether it takes longer than anyone should wait."""
        return not self.is_ready and time.monotonic() > self._begun_at + LONGEST_WAIT_S

    def wait_until_ready(self) -> bool:
        """Wait for its imports; False where it ended instead, or takes too long."""
        self._waiter.join(LONGEST_WAIT_S)
        return self.is_ready

    def fork(self, module: str) -> ForkedProcess:
        """A child that runs `module`; OSError where the parent is gone."""
        return ForkedProcess(module, self._address)

    def close(self) -> None:
        """End it; its children end when their own standard inputs close."""
        self._closed = True
        self._process.kill()
        self._process.wait()
        self._waiter.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()

    def _await(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline():
            self._ready.set()
        elif not self._closed:
            logger.warning("the warm parent of trainers ended; trainers start from cold")
