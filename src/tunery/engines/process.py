"""The local engine: trainer processes on this machine."""

import importlib.util
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable, Unsupported
from tunery.core.job import FineTuningJob
from tunery.core.method import Subject
from tunery.core.ports import Blobs, Catalog, Run
from tunery.core.preflight import Preflight
from tunery.core.progress import (
    Alive,
    AnyProgress,
    Died,
    Failed,
    Finished,
    Paused,
)
from tunery.core.trainer_protocol import Begin, Pause, said, to_line
from tunery.engines.child import Child, Process, cold
from tunery.engines.picture_survey import survey
from tunery.engines.requests import Requests
from tunery.engines.warm import WarmParent

logger = logging.getLogger(__name__)

SILENCE_S = 1.0
"""After so long without a line from the trainer, the worker is told that the run is alive."""

MOST_PREFLIGHTS = 2
"""So many files are looked through at the same time; each takes a process with a tokenizer."""

DRY_RUN_PATIENCE_S = 3.0
"""So long a dry run waits for its turn; meanwhile it holds a thread that answers requests."""

NOT_INSTALLED = (
    "Local training is not installed on this server. To install it: pip install 'tunery[train]'"
)


class LocalEngine:
    """Carries out jobs in child processes, which end when this process does."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        catalog: Catalog,
        checkpoint_seconds: float = 300.0,
        threads: int | None = None,
        caption_model: str | None = None,
    ) -> None:
        """No process is started yet. `caption_model` describes pictures without a caption."""
        self._requests = Requests(
            blobs=blobs,
            catalog=catalog,
            checkpoint_seconds=checkpoint_seconds,
            threads=threads,
            caption_model=caption_model,
        )
        self._lock = threading.Lock()
        self._preflights = threading.BoundedSemaphore(MOST_PREFLIGHTS)
        self._children: dict[str, Child] = {}
        self._closed = False
        self._warm: WarmParent | None = None

    def start(self) -> None:
        """Begin to import what every trainer needs, where trainers can be forked from that."""
        if sys.platform == "linux" and installed():
            self._warm = WarmParent()

    def check(self, job: FineTuningJob) -> None:
        """Raise `Unsupported` where PyTorch is not installed; else every job can run."""
        if not installed():
            raise Unsupported(NOT_INSTALLED, param="engine")

    def preflight(
        self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Preflight:
        """The report of a child that tokenises the files as the trainer will.

        Raises:
            Unsupported: PyTorch is not installed.
            Unavailable: the child ended without a report, and the message has its last words; or
                the report is no longer `wanted`; or too many wait for an estimate.
        """
        self.check(job)
        if isinstance(job.method, Subject):
            return survey(Path(self._requests.path(job.training_file)))
        request = self._requests.preflight(job, job.method, estimate=estimate)
        question = msgspec.json.encode(request) + b"\n"
        with self._preflight_turn(wanted, DRY_RUN_PATIENCE_S if estimate else math.inf):
            line = self._answer("tunery.trainers.preflight", question, wanted)
        return msgspec.json.decode(line, type=Preflight)

    def run(self, run: Run) -> Closable[AnyProgress]:
        """Train in a child process; closing the iterator kills it."""
        begin = to_line(Begin(request=self._requests.run(run)))
        child = self._start(run.folder, "tunery.trainers", begin)
        try:
            for line in child.lines(silence_s=SILENCE_S):
                value = Alive() if line is None else said(line).progress
                yield value
                if isinstance(value, Finished | Failed | Paused | Died):
                    return
            yield Died(message=f"The trainer ended without a word. {child.epitaph()}")
        finally:
            self._end(run.folder)

    def pause(self, run: Run) -> None:
        """Ask the trainer to save a checkpoint and to end."""
        with self._lock:
            child = self._children.get(run.folder)
        if child is not None:
            child.send(to_line(Pause(folder=run.folder)))

    def cancel(self, run: Run) -> None:
        """Nothing runs elsewhere: closing the iterator of `run` was enough."""

    def ready(self) -> bool:
        """Whether a trainer can start, or none ever will because PyTorch is not installed.

        Where the warm parent has ended by itself, trainers start from cold.
        """
        if self._closed:
            return False
        return self._warm is None or self._warm.is_ready or self._warm.has_failed

    def close(self) -> None:
        """End every child."""
        with self._lock:
            self._closed = True
            children = list(self._children.values())
        for child in children:
            child.kill()
        if self._warm is not None:
            self._warm.close()

    def _start(self, key: str, module: str, first_line: bytes) -> Child:
        child = Child(self._process(module), first_line)
        with self._lock:
            self._children[key] = child
            closed = self._closed
        if closed:
            self._end(key)
            raise Unavailable("This server is shutting down.")
        logger.info("started %s as process %d", module, child.pid)
        return child

    def _process(self, module: str) -> Process:
        if self._warm is not None and self._warm.wait_until_ready():
            try:
                return self._warm.fork(module)
            except OSError:
                logger.warning("the warm parent of trainers is gone; starting from cold")
        return cold(module)

    def _end(self, key: str) -> None:
        with self._lock:
            child = self._children.pop(key)
        child.kill()

    @contextmanager
    def _preflight_turn(self, wanted: Callable[[], bool], patience_s: float) -> Iterator[None]:
        deadline = time.monotonic() + patience_s
        while not self._preflights.acquire(timeout=SILENCE_S):
            _check_wanted(wanted)
            if time.monotonic() > deadline:
                raise Unavailable("Too many dry runs at once; try again shortly.")
        try:
            yield
        finally:
            self._preflights.release()

    def _answer(self, module: str, request: bytes, wanted: Callable[[], bool]) -> bytes:
        """The one line that `module` answers to `request`."""
        key = f"{module} {threading.get_ident()}"
        child = self._start(key, module, request)
        try:
            for line in child.lines(silence_s=SILENCE_S):
                if line is not None:
                    return line
                _check_wanted(wanted)
            raise Unavailable(f"The files could not be read through. {child.epitaph()}")
        finally:
            self._end(key)


def _check_wanted(wanted: Callable[[], bool]) -> None:
    if not wanted():
        raise Unavailable("Nobody waits for what was asked any more.")


def installed() -> bool:
    """Whether PyTorch and transformers are here; asking does not import them."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
