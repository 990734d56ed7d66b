"""The attempts in a trainer process: they come, go and are paused between two passes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeAlias

from tunery.core.progress import AnyProgress, Died, Failed, Finished, Note, Paused, RunRequest
from tunery.core.trainer_protocol import AnyCommand, Begin, Leave, Pause
from tunery.modeling.base import Base
from tunery.trainers import memory
from tunery.trainers.asks import Alone, Ask
from tunery.trainers.attempt import Attempt, carry_out
from tunery.trainers.company import Company
from tunery.trainers.failures import death, told
from tunery.trainers.preparation import rows_at_a_time

_log = logging.getLogger(__name__)

# A long file does not keep a short one waiting, nor many of them the passes.
_READERS = 4


@dataclass(eq=False)
class Guest:
    """An attempt that is here.

    Attributes:
        pause: asks it to let go.
        waits: whether it has been told that it waits for memory.
    """

    request: RunRequest
    pause: Event = field(default_factory=Event)
    waits: bool = False


@dataclass(frozen=True, eq=False)
class Ready:
    """An attempt whose data is in memory, and the first thing that it said."""

    attempt: Attempt
    first: AnyProgress


Inbox: TypeAlias = SimpleQueue[AnyCommand | Future[Ready]]


class Host:
    """Carries out attempts on one base.

    Their data is read in threads beside the passes; all else is done by whoever calls `serve`.
    """

    def __init__(
        self, base: Base, first: RunRequest, inbox: Inbox, say: Callable[[str, AnyProgress], None]
    ) -> None:
        """Obey what comes into `inbox`, and `say` of each folder what its attempt reports.

        `base` is the one that the `first` attempt asks for, which begins here.
        """
        self._base, self._inbox, self._say = base, inbox, say
        self._company: Company[AnyProgress] = Company(base, rows_at_a_time(base))
        self._kept = first.base
        self._guests: dict[str, Guest] = {}
        self._waiting: list[Guest] = []
        self._being_read: dict[Future[Ready], Guest] = {}
        self._readers = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="reader")
        self._begin(first)

    def serve(self) -> None:
        """Carry attempts out, as long as this process lives."""
        self._get_ready()
        while True:
            self.turn()

    def turn(self) -> None:
        """Obey what has come, waiting for it where nobody learns; then make one pass."""
        self._admit()
        for message in self._messages():
            self._obey(message)
        self._admit()
        for folder, progress in self._company.round():
            self._report(folder, progress)

    def _get_ready(self) -> None:
        """Try the base out while the first attempt's data is read."""
        self._admit()
        try:
            self._base.prepare()
        except Exception:
            # The first pass tries again, and tells its attempt.
            _log.warning("the base could not be tried out", exc_info=True)

    def _messages(self) -> Iterator[AnyCommand | Future[Ready]]:
        idle = not len(self._company)
        while True:
            try:
                yield self._inbox.get(block=idle)
            except Empty:
                return
            idle = False

    def _obey(self, message: AnyCommand | Future[Ready]) -> None:
        match message:
            case Begin(request=request):
                self._begin(request)
            case Pause(folder=folder) if folder in self._guests:
                self._pause(self._guests[folder])
            case Pause():
                # It has ended meanwhile.
                return
            case Leave(folder=folder):
                self._company.leave(folder)
                self._forget(folder)
            case Future():
                self._join(message)

    def _begin(self, request: RunRequest) -> None:
        if request.folder in self._guests:
            _log.error("%s has begun already", request.folder)
            return
        if request.base != self._kept:
            other = RuntimeError(f"it was sent to a process that has {self._kept[0]}")
            self._say(request.folder, death(other))
            return
        guest = self._guests[request.folder] = Guest(request)
        self._waiting.append(guest)

    def _pause(self, guest: Guest) -> None:
        """Let an attempt go after its next step; one that waits has nothing to save."""
        guest.pause.set()
        if guest in self._waiting:
            self._report(guest.request.folder, Paused())

    def _admit(self) -> None:
        """Begin with those that wait, in their order, while there is memory for one more."""
        while self._waiting and len(self._being_read) < _READERS:
            guest = self._waiting[0]
            beside = len(self._guests) - len(self._waiting)
            reading = [other.request for other in self._being_read.values()]
            if beside and not memory.fits(self._base, [*reading, guest.request]):
                self._let_wait(beside)
                return
            self._waiting.pop(0)
            read = self._readers.submit(self._read, guest)
            self._being_read[read] = guest
            read.add_done_callback(self._inbox.put)

    def _let_wait(self, beside: int) -> None:
        """Say, once, to all that wait what they wait for."""
        for guest in self._waiting:
            if not guest.waits:
                guest.waits = True
                self._say(guest.request.folder, _waits(beside))

    def _read(self, guest: Guest) -> Ready:
        """Let an attempt come as far as it can beside others' passes."""
        attempt = told(carry_out(guest.request, self._base, guest.pause))
        first = next(attempt)
        assert not isinstance(first, Ask | Alone), "an attempt speaks before it asks"
        return Ready(attempt, first)

    def _join(self, read: Future[Ready]) -> None:
        """Take an attempt into the company, if it has not left while it was read."""
        guest = self._being_read.pop(read)
        folder = guest.request.folder
        is_here = self._guests.get(folder) is guest
        try:
            ready = read.result()
        except Exception as error:
            if is_here:
                self._report(folder, death(error))
            return
        if not is_here:
            ready.attempt.close()
            return
        self._company.join(folder, ready.attempt)
        self._report(folder, ready.first)

    def _report(self, folder: str, progress: AnyProgress) -> None:
        if isinstance(progress, Paused | Died | Failed | Finished):
            self._company.leave(folder)
            self._forget(folder)
        self._say(folder, progress)

    def _forget(self, folder: str) -> None:
        guest = self._guests.pop(folder, None)
        if guest in self._waiting:
            self._waiting.remove(guest)


def _waits(beside: int) -> Note:
    others = "another job is" if beside == 1 else f"{beside} other jobs are"
    return Note(
        message=f"Waiting for memory: {others} learning on the same base model, and the job begins "
        "when there is room again."
    )
