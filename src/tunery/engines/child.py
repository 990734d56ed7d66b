"""A child process that is given one line and answers with many.

It runs in a session of its own, so that a Ctrl-C in the terminal of the server reaches it only
through the server, which lets it save a checkpoint first. Its standard input stays open for as
long as it is wanted: when that closes, by our choice or by our death, the child ends.
"""

import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import IO, Protocol

LOG_LINES = 50
_LAST_WORDS_S = 1.0


class Process(Protocol):
    """What is used of `subprocess.Popen`, and what a forked child of the warm parent offers."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """The writing end of its standard input."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """The reading end of its standard output."""

    @property
    def stderr(self) -> IO[bytes] | None:
        """The reading end of its standard error."""

    def wait(self) -> int:
        """Its exit code once it has ended, negative where a signal ended it."""

    def kill(self) -> None:
        """End it now."""


def cold(module: str) -> Process:
    """`python -m <module>` in a new interpreter."""
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


class Child:
    """A process that is fed through a pipe and read in threads."""

    def __init__(self, process: Process, first_line: bytes) -> None:
        """Hand `process` its `first_line`."""
        self._process = process
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.send(first_line)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Write a line to its standard input; one that has ended does not mind."""
        stdin = _pipe(self._process.stdin)
        try:
            stdin.write(line)
            stdin.flush()
        except (BrokenPipeError, ValueError):
            # It is gone: whoever reads its lines will see that.
            return

    def lines(self, *, silence_s: float | None = None) -> Iterator[bytes | None]:
        """Its lines as they come, None after each `silence_s` without one, until it has ended."""
        while True:
            try:
                line = self._lines.get(timeout=silence_s)
            except queue.Empty:
                yield None
                continue
            if not line:
                return
            yield line

    def kill(self) -> None:
        """End it now, wait until it has ended, and close every pipe."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        try:
            _pipe(self._process.stdin).close()
        except BrokenPipeError:
            # Closing flushes what a dead child never read.
            return

    def ending(self) -> str:
        """How it ended, in a sentence."""
        return _ending(self._process.wait())

    def epitaph(self) -> str:
        """How it ended, and the last lines that it wrote to its standard error."""
        ending = self.ending()
        # A child of its own may hold the pipe open: what has been read by then must do.
        self._readers[1].join(timeout=_LAST_WORDS_S)
        log = "\n".join(self._log)
        return f"{ending}\n{log}" if log else ending

    def _read_lines(self) -> None:
        with _pipe(self._process.stdout) as stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put(b"")

    def _read_log(self) -> None:
        with _pipe(self._process.stderr) as stderr:
            for line in stderr:
                self._log.append(line.decode(errors="replace").rstrip())


def _ending(code: int) -> str:
    if code >= 0:
        return f"It ended with exit code {code}."
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"It was killed by {signal.Signals(-code).name}{hint}."


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the child was started without this pipe")
    return stream
