"""Which trainer process carries out which attempt.

- Text jobs on one base model share a process: the base is in memory once, and they step together.
- An image job has a process of its own, and there is one of these at a time: beside another it
  would only be slower, and each takes the memory of a base.
- A process that dies takes all its jobs along, and nobody knows which of them it was. So these jobs
  are *suspects*: one at a time, each in a process of its own, until it has ended or saved a
  checkpoint. The guilty one then dies alone, as often as a store lets it.
- A further process is started only where it has room (`engines.room`); the first one always is.
  Each has a GPU of its own where there are any; a job on a base that others learn on takes a free
  GPU too, and joins the others where there is none.
- Who waits for room is served in the order of arrival, and nobody who came later overtakes.
- A process that nobody needs is kept for a while: the next job finds its base in memory.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable
from tunery.core.progress import (
    Alive,
    AnyProgress,
    CheckpointSaved,
    Died,
    Failed,
    Finished,
    Note,
    Paused,
    RunRequest,
)
from tunery.engines import room
from tunery.engines.child import Process
from tunery.engines.trainer import SILENCE_S, Trainer

IDLE_S = 60.0
"""So long a process without jobs is kept."""

WARMING_UP = ""
"""Nothing worth telling."""
FOR_ROOM = "Waiting for memory: other jobs have taken it"
FOR_PICTURES = "Waiting for another image job: they are trained one at a time"
FOR_SUSPECTS = (
    "Waiting for other jobs that were in the trainer when it died: "
    "each goes on alone until it has saved a checkpoint"
)


class Trainers:
    """The trainer processes of this machine."""

    def __init__(
        self,
        start: Callable[[], Process],
        *,
        can_start: Callable[[], bool],
        weights_bytes: Callable[[str], int],
        devices: Sequence[str] = (),
    ) -> None:
        """No process is started yet.

        Args:
            start: makes one, at once.
            can_start: whether it is time for that.
            weights_bytes: the size of the weights of a base model, by its name.
            devices: the GPUs that they compute on; without any, they do on the processor.
        """
        self._start = start
        self._can_start = can_start
        self._weights_bytes = weights_bytes
        # The last is taken first: models that are asked something are on the first one.
        self._devices = tuple(reversed(devices))
        self._changed = threading.Condition()
        self._trainers: list[Trainer] = []
        self._trainer_of: dict[str, Trainer] = {}
        self._waiting: dict[str, bool] = {}
        """By folder, the attempts that have no process yet; True once one is asked to pause."""
        self._queue: list[str] = []
        """By folder, those of them that wait for room; the first is the next."""
        self._suspects: set[str] = set()
        self._closed = False

    def run(self, request: RunRequest) -> Closable[AnyProgress]:
        """Carry out an attempt; closing the iterator before its end drops it.

        Raises:
            Unavailable: the processes were ended for good.
        """
        trainer = yield from self._placed(request)
        if trainer is None:
            yield Paused()
            return
        try:
            with closing(trainer.values(request.folder)) as values:
                for value in values:
                    self._judge(request.job_id, trainer, value)
                    yield value
        finally:
            self._left(request.folder, trainer)

    def pause(self, folder: str) -> None:
        """Ask an attempt to save a checkpoint and to end with `Paused`."""
        with self._changed:
            trainer = self._trainer_of.get(folder)
            if folder in self._waiting:
                self._waiting[folder] = True
                self._changed.notify_all()
        if trainer is not None:
            trainer.pause(folder)

    def forget(self, job_id: str) -> None:
        """The job does not come back, so it is under suspicion no longer."""
        with self._changed:
            self._suspects.discard(job_id)

    def close(self) -> None:
        """End every process; no other is started."""
        with self._changed:
            self._closed = True
            trainers, self._trainers = self._trainers, []
            self._changed.notify_all()
        for trainer in trainers:
            trainer.kill()

    def _placed(self, request: RunRequest) -> Generator[AnyProgress, None, Trainer | None]:
        """The process that has got the attempt; None where it was asked to pause before that."""
        folder = request.folder
        told = WARMING_UP
        with self._changed:
            self._waiting[folder] = False
        try:
            while True:
                with self._changed:
                    if self._waiting[folder]:
                        return None
                    placed = self._place(request)
                if isinstance(placed, Trainer):
                    return placed
                yield Alive() if placed in (WARMING_UP, told) else Note(message=placed)
                told = placed
                with self._changed:
                    if not self._waiting[folder]:
                        self._changed.wait(SILENCE_S)
        finally:
            with self._changed:
                del self._waiting[folder]
                self._leave_queue(folder)

    def _place(self, request: RunRequest) -> Trainer | str:
        """The process that has got the attempt now, or what it waits for."""
        if self._closed:
            raise Unavailable("This server is shutting down.")
        if not self._can_start():
            return WARMING_UP
        if (others := self._waits_for(request)) is not None:
            self._leave_queue(request.folder)
            return others
        if request.folder not in self._queue:
            self._queue.append(request.folder)
        trainer = self._found(request) if self._queue[0] == request.folder else None
        if trainer is None:
            return FOR_ROOM
        self._leave_queue(request.folder)
        self._trainer_of[request.folder] = trainer
        return trainer

    def _waits_for(self, request: RunRequest) -> str | None:
        """Whose turn it is before that of `request`, if anyone's."""
        alive = self._alive()
        if request.subject is not None:
            return None if all(trainer.takes_others for trainer in alive) else FOR_PICTURES
        if request.job_id not in self._suspects:
            return None
        return FOR_SUSPECTS if any(trainer.jobs & self._suspects for trainer in alive) else None

    def _found(self, request: RunRequest) -> Trainer | None:
        """The process that the attempt was handed to; None where a new one has no room."""
        found = [trainer for trainer in self._alive() if self._may_join(request, trainer)]
        if not self._devices:
            # On one processor jobs learn faster together.
            return _joined(request, found) or self._started(request)
        idle = [trainer for trainer in found if trainer.is_idle]
        fewest_first = sorted(found, key=lambda trainer: len(trainer.jobs))
        return _joined(request, idle) or self._started(request) or _joined(request, fewest_first)

    def _started(self, request: RunRequest) -> Trainer | None:
        """A new process with the attempt, for which idle ones make room; None where they cannot."""
        need = room.need_bytes(self._weights_bytes(request.base_model), on_gpu=bool(self._devices))
        idle = [trainer for trainer in self._alive() if trainer.is_idle]
        while not self._fits(need):
            if not idle:
                return None
            self._retire(idle.pop(0))
        device = next(iter(self._free_devices()), None)
        trainer = Trainer(self._start(), request, need_bytes=need, device=device)
        self._trainers.append(trainer)
        return trainer

    def _may_join(self, request: RunRequest, trainer: Trainer) -> bool:
        return (
            trainer.takes_others
            and request.subject is None
            and trainer.base == request.base
            and request.job_id not in self._suspects
            and not trainer.jobs & self._suspects
        )

    def _fits(self, need: int) -> bool:
        others = self._alive()
        if not others:
            return True
        if self._devices and not self._free_devices():
            return False
        loading = [trainer.need_bytes for trainer in others if not trainer.has_spoken]
        return room.has_room(need, still_loading=loading)

    def _free_devices(self) -> list[str]:
        taken = {trainer.device for trainer in self._alive()}
        return [device for device in self._devices if device not in taken]

    def _judge(self, job_id: str, trainer: Trainer, value: AnyProgress) -> None:
        with self._changed:
            if isinstance(value, CheckpointSaved | Finished | Failed):
                self._suspects.discard(job_id)
                self._changed.notify_all()
            elif isinstance(value, Died) and trainer.has_ended and trainer.takes_others:
                self._suspects.add(job_id)

    def _left(self, folder: str, trainer: Trainer) -> None:
        with self._changed:
            del self._trainer_of[folder]
            if trainer.is_idle:
                if trainer.takes_others and not (trainer.has_ended or trainer.has_dropped):
                    self._retire_later(trainer)
                else:
                    self._retire(trainer)
            self._changed.notify_all()

    def _retire_later(self, trainer: Trainer) -> None:
        n_begun = trainer.n_begun

        def retire() -> None:
            with self._changed:
                if trainer.n_begun == n_begun:
                    self._retire(trainer)
                    self._changed.notify_all()

        timer = threading.Timer(IDLE_S, retire)
        timer.daemon = True
        timer.start()

    def _retire(self, trainer: Trainer) -> None:
        if trainer in self._trainers:
            self._trainers.remove(trainer)
            trainer.kill()

    def _alive(self) -> list[Trainer]:
        return [trainer for trainer in self._trainers if not trainer.has_ended]

    def _leave_queue(self, folder: str) -> None:
        if folder in self._queue:
            self._queue.remove(folder)


def _joined(request: RunRequest, trainers: Sequence[Trainer]) -> Trainer | None:
    """The first of `trainers` that took the attempt; None where all have ended."""
    return next((trainer for trainer in trainers if trainer.begin(request)), None)
