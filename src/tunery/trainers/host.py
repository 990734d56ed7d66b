"""The attempts in a trainer process: they come, go and are paused between two passes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeAlias

from tunery.core.progress import AnyProgress, Died, Failed, Finished, Note, Paused, RunRequest
from tunery.core.trainer_protocol import AnyCommand, Begin, Leave, Pause
from tunery.modeling.base import Base
from tunery.trainers import memory
from tunery.trainers.asks import Ask, Rows
from tunery.trainers.attempt import carry_out
from tunery.trainers.company import Company
from tunery.trainers.failures import told
from tunery.trainers.preparation import rows_at_a_time

Attempt: TypeAlias = Generator[AnyProgress | Ask, Rows, None]


@dataclass(eq=False)
class Guest:
    """An attempt that is here; `pause` asks it to let go."""

    request: RunRequest
    pause: Event = field(default_factory=Event)


@dataclass(frozen=True, eq=False)
class Ready:
    """An attempt whose data is in memory."""

    guest: Guest
    attempt: Attempt
    first: AnyProgress


Inbox: TypeAlias = SimpleQueue[AnyCommand | Ready]


class Host:
    """Carries out attempts on one base.

    Their data is read in a thread beside the passes; all else is done by whoever calls `serve`.
    """

    def __init__(self, base: Base, inbox: Inbox, say: Callable[[str, AnyProgress], None]) -> None:
        """Obey what comes into `inbox`, and `say` of each folder what its attempt reports."""
        self._base, self._inbox, self._say = base, inbox, say
        self._company: Company[AnyProgress] = Company(base, rows_at_a_time(base))
        self._guests: dict[str, Guest] = {}
        self._waiting: list[Guest] = []
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")

    def serve(self, first: Begin) -> None:
        """Carry attempts out, beginning with the `first`, as long as this process lives."""
        self._obey(first)
        while True:
            self.turn()

    def turn(self) -> None:
        """Obey what has come, waiting for it where nobody learns; then make one pass."""
        for message in self._messages():
            self._obey(message)
        for folder, progress in self._company.round():
            self._report(folder, progress)

    def _messages(self) -> Iterator[AnyCommand | Ready]:
        idle = not len(self._company)
        while True:
            try:
                yield self._inbox.get(block=idle)
            except Empty:
                return
            idle = False

    def _obey(self, message: AnyCommand | Ready) -> None:
        match message:
            case Begin(request=request):
                guest = self._guests[request.folder] = Guest(request)
                self._waiting.append(guest)
                self._admit()
            case Ready(guest=guest) if self._guests.get(guest.request.folder) is guest:
                self._company.join(guest.request.folder, message.attempt)
                self._report(guest.request.folder, message.first)
            case Ready():
                message.attempt.close()
            case Pause(folder=folder):
                if folder in self._guests:
                    self._guests[folder].pause.set()
            case Leave(folder=folder):
                self._company.leave(folder)
                self._forget(folder)

    def _admit(self) -> None:
        """Begin with those that wait, in their order, while there is memory for one more."""
        while self._waiting:
            guest = self._waiting[0]
            beside = len(self._guests) - len(self._waiting)
            if beside and not memory.fits(self._base, guest.request):
                self._say(guest.request.folder, _waits(beside))
                return
            self._waiting.pop(0)
            self._reader.submit(self._read, guest)

    def _read(self, guest: Guest) -> None:
        """Let an attempt come as far as it can beside others' passes."""
        attempt = told(carry_out(guest.request, self._base, guest.pause))
        first = next(attempt)
        assert not isinstance(first, Ask), "an attempt speaks before it asks"
        self._inbox.put(Ready(guest, attempt, first))

    def _report(self, folder: str, progress: AnyProgress) -> None:
        if isinstance(progress, Paused | Died | Failed | Finished):
            self._company.leave(folder)
            self._forget(folder)
        self._say(folder, progress)

    def _forget(self, folder: str) -> None:
        guest = self._guests.pop(folder, None)
        if guest in self._waiting:
            self._waiting.remove(guest)
        self._admit()


def _waits(beside: int) -> Note:
    return Note(
        message=f"Waiting for memory: {beside} other jobs are learning on the same base model, and "
        "the job begins when one of them has ended."
    )
