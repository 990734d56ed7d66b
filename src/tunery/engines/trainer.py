"""One trainer process, and the attempts that are in it."""

import logging
import queue
import threading

import msgspec

from tunery.core.closable import Closable
from tunery.core.progress import Alive, AnyProgress, Died, Failed, Finished, Paused, RunRequest
from tunery.core.trainer_protocol import Begin, Leave, Pause, Said, said, to_line
from tunery.engines.child import Child, Process

logger = logging.getLogger(__name__)

SILENCE_S = 1.0
"""After so long without a word on an attempt, its worker is told that it is alive."""


class Trainer:
    """A process that carries out attempts on one base model until it is killed.

    Attributes:
        base: where that base model is, and in which form.
        takes_others: whether it takes more than its first attempt. One of images does not.
        need_bytes: the main memory that it was given.
        device: the GPU that it was given, if any.
    """

    def __init__(
        self, process: Process, first: RunRequest, *, need_bytes: int, device: str | None = None
    ) -> None:
        """Hand `process` its first attempt."""
        self.base = first.base
        self.takes_others = first.subject is None
        self.need_bytes = need_bytes
        self.device = device
        self._lock = threading.Lock()
        self._reports: dict[str, queue.SimpleQueue[AnyProgress]] = {}
        self._jobs: dict[str, str] = {}
        self._n_begun = 0
        self._has_spoken = False
        self._has_ended = False
        self._has_dropped = False
        self._note(first)
        self._child = Child(process, to_line(Begin(request=first, device=device)))
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def jobs(self) -> frozenset[str]:
        """The jobs whose attempts it carries out, none of which has ended."""
        with self._lock:
            return frozenset(self._jobs.values())

    @property
    def n_begun(self) -> int:
        """How many attempts it was handed so far."""
        return self._n_begun

    @property
    def has_spoken(self) -> bool:
        """Whether it said anything yet, which it does once its base model is loaded."""
        return self._has_spoken

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._has_ended

    @property
    def has_dropped(self) -> bool:
        """Whether the last attempt that was left was dropped before its end.

        Nobody knows what the process was in the middle of, nor whether it has listened.
        """
        return self._has_dropped

    @property
    def is_idle(self) -> bool:
        """Whether nobody reads what it says any more."""
        with self._lock:
            return not self._reports

    def begin(self, request: RunRequest) -> bool:
        """Hand it another attempt; False where it has ended already."""
        with self._lock:
            if self._has_ended:
                return False
            self._note(request)
        self._child.send(to_line(Begin(request=request)))
        return True

    def values(self, folder: str) -> Closable[AnyProgress]:
        """What it says of an attempt until that ends, `Alive` after each second of silence.

        Should the process end, that is a `Died`. Closing the iterator before drops the attempt.
        """
        reports = self._reports[folder]
        try:
            while True:
                try:
                    value = reports.get(timeout=SILENCE_S)
                except queue.Empty:
                    yield Alive()
                    continue
                yield value
                if _is_end(value):
                    return
        finally:
            self._leave(folder)

    def pause(self, folder: str) -> None:
        """Ask it to save a checkpoint of an attempt, and to end that with `Paused`."""
        self._child.send(to_line(Pause(folder=folder)))

    def kill(self) -> None:
        """End it now, with whatever is in it."""
        self._child.kill()

    def _note(self, request: RunRequest) -> None:
        self._reports[request.folder] = queue.SimpleQueue()
        self._jobs[request.folder] = request.job_id
        self._n_begun += 1

    def _leave(self, folder: str) -> None:
        with self._lock:
            del self._reports[folder]
            is_dropped = self._jobs.pop(folder, None) is not None
            self._has_dropped = is_dropped
        if is_dropped:
            self._child.send(to_line(Leave(folder=folder)))

    def _listen(self) -> None:
        try:
            for line in self._child.lines():
                if line is not None:
                    self._hear(said(line))
        except msgspec.DecodeError:
            # Nobody knows what else it gets wrong.
            logger.exception("process %d does not speak as a trainer does", self.pid)
            self._child.kill()
        self._bury()

    def _hear(self, heard: Said) -> None:
        with self._lock:
            self._has_spoken = True
            reports = self._reports.get(heard.folder)
            if _is_end(heard.progress):
                self._jobs.pop(heard.folder, None)
        if reports is not None:
            reports.put(heard.progress)

    def _bury(self) -> None:
        with self._lock:
            self._has_ended = True
            bereaved = [self._reports[folder] for folder in self._jobs]
            self._jobs.clear()
        if not bereaved:
            return
        epitaph = self._child.epitaph()
        logger.warning(
            "the trainer in process %d, with %d jobs: %s", self.pid, len(bereaved), epitaph
        )
        died = Died(message=f"The trainer ended without a word. {self._last_words()}")
        for reports in bereaved:
            reports.put(died)

    def _last_words(self) -> str:
        """For the owner of a job: where others' jobs were in it too, its log may speak of these."""
        return self._child.epitaph() if self._n_begun == 1 else self._child.ending()


def _is_end(value: AnyProgress) -> bool:
    return isinstance(value, Paused | Died | Failed | Finished)
