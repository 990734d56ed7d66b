"""The local engine: trainer processes on this machine."""

import importlib.util
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable, Unsupported
from tunery.core.hyperparameters import Precision
from tunery.core.job import FineTuningJob
from tunery.core.method import Subject
from tunery.core.ports import Blobs, Catalog, Run
from tunery.core.preflight import Preflight
from tunery.core.progress import AnyProgress
from tunery.engines import room
from tunery.engines.child import Child
from tunery.engines.picture_survey import survey
from tunery.engines.requests import Requests
from tunery.engines.starting import Starter
from tunery.engines.trainers import Trainers

SILENCE_S = 1.0
"""So often a preflight is asked whether it is still wanted."""

MOST_PREFLIGHTS = 2
"""So many files are looked through at the same time; each takes a process with a tokenizer."""

DRY_RUN_PATIENCE_S = 3.0
"""So long a dry run waits for its turn; meanwhile it holds a thread that answers requests."""

NOT_INSTALLED = (
    "Local training is not installed on this server. To install it: pip install 'tunery[train]'"
)


class LocalEngine:
    """Carries out jobs in child processes, which end when this process does.

    Text jobs on one base model share one (`engines.trainers`).
    """

    def __init__(
        self,
        *,
        blobs: Blobs,
        catalog: Catalog,
        checkpoint_seconds: float = 300.0,
        threads: int | None = None,
        caption_model: str | None = None,
        precision: Precision | None = None,
    ) -> None:
        """No process is started yet. `caption_model` describes pictures without a caption."""
        self._requests = Requests(
            blobs=blobs,
            catalog=catalog,
            checkpoint_seconds=checkpoint_seconds,
            threads=threads,
            caption_model=caption_model,
            precision=precision,
        )
        self._lock = threading.Lock()
        self._preflights = threading.BoundedSemaphore(MOST_PREFLIGHTS)
        self._children: dict[str, Child] = {}
        self._closed = False
        self._starter = Starter()
        self._trainers = Trainers(
            lambda: self._starter.process("tunery.trainers"),
            can_start=self._starter.is_ready,
            weights_bytes=catalog.weights_bytes,
            devices=room.devices(),
        )

    def start(self) -> None:
        """Begin to import what every trainer needs."""
        if installed():
            self._starter.warm_up()

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
        """Train in a child process; closing the iterator drops the job there."""
        yield from self._trainers.run(self._requests.run(run))

    def pause(self, run: Run) -> None:
        """Ask the trainer to save a checkpoint of `run` and to let go of it."""
        self._trainers.pause(run.folder)

    def cancel(self, run: Run) -> None:
        """Nothing runs elsewhere, and closing the iterator of `run` was enough here."""
        self._trainers.forget(run.job.id)

    def ready(self) -> bool:
        """Whether a trainer can start, or none ever will because PyTorch is not installed."""
        return not self._closed and self._starter.is_ready()

    def close(self) -> None:
        """End every child."""
        with self._lock:
            self._closed = True
            children = list(self._children.values())
        for child in children:
            child.kill()
        self._trainers.close()
        self._starter.close()

    def _start(self, key: str, module: str, first_line: bytes) -> Child:
        self._starter.wait_until_ready()
        child = Child(self._starter.process(module), first_line)
        with self._lock:
            self._children[key] = child
            closed = self._closed
        if closed:
            self._end(key)
            raise Unavailable("This server is shutting down.")
        return child

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
    """Whether PyTorch and what goes with it are here; asking does not import them."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers", "numba"))
