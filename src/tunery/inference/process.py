"""A generator whose work is done in a child process, so that the server never loads torch."""

import importlib.util
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

import msgspec

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.inference.protocol import (
    Answer,
    Begin,
    Command,
    Counted,
    Measure,
    Refused,
    Said,
    Stop,
    spoken,
    to_line,
)

logger = logging.getLogger(__name__)

NOT_INSTALLED = (
    "Generating text here needs PyTorch, which is not installed on this server. "
    "To install it: pip install 'tunery[train]'"
)


class ChildGenerator:
    """Text from `python -m tunery.inference`, started when it is first asked, and again if it died.

    Any number of threads may ask at once; the child serves them in turn, token by token.
    """

    def __init__(self, *, module: str = "tunery.inference", threads: int | None = None) -> None:
        """No process is started before there is something to generate."""
        self._module = module
        self._threads = threads
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        """Text as it comes; closing the iterator stops the work.

        Raises:
            InvalidValue: the request cannot be met, such as a prompt longer than the context.
            Unavailable: PyTorch is not installed, or the child died.
        """
        child = self._living()
        number, answers = child.ask(lambda number: Begin(number, request))
        over = False
        try:
            while not over:
                answer = answers.get()
                if answer is None:
                    raise Unavailable(f"Generating text failed. {child.ending()}")
                over = not isinstance(answer, Said) or answer.last
                if isinstance(answer, Refused):
                    raise answer.error()
                yield from answer.pieces if isinstance(answer, Said) else ()
        finally:
            child.end(number, stop=not over)

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """How long `texts` are for the base model at `location`; no weights are loaded.

        Raises:
            InvalidValue: there is no such model.
            Unavailable: PyTorch is not installed, or the child died.
        """
        child = self._living()
        number, answers = child.ask(lambda number: Measure(number, location, tuple(texts)))
        try:
            answer = answers.get()
        finally:
            child.end(number, stop=False)
        if isinstance(answer, Refused):
            raise answer.error()
        if not isinstance(answer, Counted):
            raise Unavailable(f"Counting tokens failed. {child.ending()}")
        return answer.measured

    def close(self) -> None:
        """End the child; whoever waits for it is told."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.kill()

    def _living(self) -> "_Child":
        with self._lock:
            if self._closed:
                raise Unavailable("This server is shutting down.")
            if self._child is None or not self._child.lives:
                self._child = self._started(self._child)
            return self._child

    def _started(self, dead: "_Child | None") -> "_Child":
        if dead is not None:
            logger.warning("starting inference again. %s", dead.ending())
            dead.kill()
        if importlib.util.find_spec("torch") is None:
            raise Unavailable(NOT_INSTALLED)
        environment = dict(os.environ)
        if self._threads is not None:
            environment["OMP_NUM_THREADS"] = str(self._threads)
        return _Child(self._module, environment)


class _Child:
    """The process, its answers sorted by the number of the request that they belong to.

    It has a session of its own, so that a Ctrl-C in the server's terminal reaches the server alone;
    it ends when its standard input closes, by our choice or by our death.
    """

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Answer | None]] = {}
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

    def ask(
        self, command: Callable[[int], Command]
    ) -> tuple[int, "queue.SimpleQueue[Answer | None]"]:
        """Ask, and get a number and where the answers will be; None is the end of the child."""
        answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
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
                    self._hand_out(spoken(line))
        except msgspec.DecodeError:
            logger.exception("the inference process said what is none of our words")
            self._process.kill()
        with self._lock:
            self._ended = True
            for waiting in self._waiting.values():
                waiting.put(None)

    def _hand_out(self, answer: Answer) -> None:
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
