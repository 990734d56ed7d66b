"""Work that is done in a child process, so that the server never loads torch."""

import importlib.util
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Generic, Protocol, TypeVar

import msgspec

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable
from tunery.inference.protocol import Refused, Stop, to_line

logger = logging.getLogger(__name__)


class Numbered(Protocol):
    """What is said on one request."""

    @property
    def number(self) -> int:
        """The request that it belongs to."""


Answer = TypeVar("Answer", bound=Numbered)
Command = Callable[[int], msgspec.Struct]
"""What is asked, once it has a number."""


class Child(Generic[Answer]):
    """A process that is started when it is first asked, and again if it died.

    Any number of threads may ask at once.
    """

    def __init__(
        self,
        *,
        module: str,
        spoken: Callable[[bytes], Answer | Refused],
        needs: Sequence[str],
        not_installed: str,
        threads: int | None,
    ) -> None:
        """No process is started yet.

        Args:
            module: what the process runs; it speaks `protocol`.
            spoken: what a line that it says means.
            needs: the packages without which there is no use in starting it.
            not_installed: what the caller is told where one of these is missing.
            threads: how many the process computes with; None leaves it to torch.
        """
        self._module = module
        self._spoken = spoken
        self._needs = needs
        self._not_installed = not_installed
        self._threads = threads
        self._lock = threading.Lock()
        self._process: _Process[Answer] | None = None
        self._closed = False

    def answers(
        self,
        command: Command,
        *,
        is_last: Callable[[Answer], bool],
        failure: str,
    ) -> Closable[Answer]:
        """What it says to `command`, to the last word; closing the iterator stops the work.

        Raises:
            TuneryError: the child refused.
            Unavailable: it cannot be started or died: `failure`, and how.
        """
        process = self._living()
        number, answers = process.ask(command)
        over = False
        try:
            while not over:
                answer = answers.get()
                if answer is None:
                    raise Unavailable(f"{failure} {process.ending()}")
                over = isinstance(answer, Refused) or is_last(answer)
                if isinstance(answer, Refused):
                    raise answer.error()
                yield answer
        finally:
            process.end(number, stop=not over)

    def close(self) -> None:
        """End the process; whoever waits for it is told."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _living(self) -> "_Process[Answer]":
        with self._lock:
            if self._closed:
                raise Unavailable("This server is shutting down.")
            if self._process is None or not self._process.lives:
                self._process = self._started(self._process)
            return self._process

    def _started(self, dead: "_Process[Answer] | None") -> "_Process[Answer]":
        if dead is not None:
            logger.warning("starting %s again. %s", self._module, dead.ending())
            dead.kill()
        if any(importlib.util.find_spec(package) is None for package in self._needs):
            raise Unavailable(self._not_installed)
        environment = dict(os.environ)
        if self._threads is not None:
            environment["OMP_NUM_THREADS"] = str(self._threads)
        return _Process(self._module, self._spoken, environment)


class _Process(Generic[Answer]):
    """The process, its answers sorted by the number of the request that they belong to.

    It has a session of its own, so that a Ctrl-C in the server's terminal reaches the server alone;
    it ends when its standard input closes, by our choice or by our death.
    """

    def __init__(
        self,
        module: str,
        spoken: Callable[[bytes], Answer | Refused],
        environment: Mapping[str, str],
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._module = module
        self._spoken = spoken
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Answer | Refused | None]] = {}
        self._last = 0
        self._ended = False
        self._readers = [
            threading.Thread(target=self._read_answers, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        logger.info("started %s as process %d", module, self._process.pid)

    @property
    def lives(self) -> bool:
        """Whether it still answers."""
        return not self._ended

    def ask(self, command: Command) -> tuple[int, "queue.SimpleQueue[Answer | Refused | None]"]:
        """Ask, and get a number and where the answers will be; None is the end of the child."""
        answers: queue.SimpleQueue[Answer | Refused | None] = queue.SimpleQueue()
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = answers
            if self._ended:
                answers.put(None)
            self._send(to_line(command(number)))
        return number, answers

    def end(self, number: int, *, stop: bool) -> None:
        """Wait for no further answers under `number`; with `stop`, there may still be some."""
        with self._lock:
            del self._waiting[number]
            if stop:
                self._send(to_line(Stop(number)))

    def ending(self) -> str:
        """How it ended; what it wrote to its standard error is in the log, not for callers."""
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"The inference process {how}."

    def kill(self) -> None:
        """End it now, and wait until it has ended."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        with self._lock:
            self._close_stdin()

    def _send(self, line: bytes) -> None:
        stdin = _pipe(self._process.stdin)
        try:
            stdin.write(line)
            stdin.flush()
        except (BrokenPipeError, ValueError):
            # It is gone: whoever waits for an answer is told when its output ends.
            return

    def _close_stdin(self) -> None:
        try:
            _pipe(self._process.stdin).close()
        except BrokenPipeError:
            # Closing flushes what a dead child never read.
            return

    def _read_answers(self) -> None:
        try:
            with _pipe(self._process.stdout) as stdout:
                for line in stdout:
                    self._hand_out(self._spoken(line))
        except msgspec.DecodeError:
            logger.exception("%s said what is none of our words", self._module)
            self._process.kill()
        with self._lock:
            self._ended = True
            for waiting in self._waiting.values():
                waiting.put(None)

    def _hand_out(self, answer: Answer | Refused) -> None:
        with self._lock:
            waiting = self._waiting.get(answer.number)
        if waiting is not None:
            waiting.put(answer)

    def _read_log(self) -> None:
        with _pipe(self._process.stderr) as stderr:
            for line in stderr:
                logger.info("inference: %s", line.decode(errors="replace").rstrip())


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the child was started without this pipe")
    return stream
