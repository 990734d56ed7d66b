"""Claim, run, apply: one thread per slot, each with one job at a time."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing

from tunery.core.closable import Closable
from tunery.core.errors import LeaseLost, NotFound, OutOfSpace, TuneryError
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.ports import (
    Blobs,
    Catalog,
    Clock,
    Engine,
    Examiner,
    Run,
    TrainingSets,
    Work,
)
from tunery.core.progress import (
    Alive,
    AnyProgress,
    CheckpointSaved,
    Died,
    Failed,
    Finished,
    Paused,
    Sampled,
)
from tunery.worker.ending import Ending
from tunery.worker.lease import Heartbeat
from tunery.worker.results import samples_event, write_samples
from tunery.worker.store import WorkStore
from tunery.worker.validation import Validation, death

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How long an idle slot waits before it asks for work again, unless it is woken."""

VALIDATIONS = 2
"""So many jobs are validated at once: one may wait long for a customer's database."""


class Worker:
    """Carries out jobs with engines, and records what they report. The store is the only state."""

    def __init__(
        self,
        *,
        store: WorkStore,
        engines: Mapping[str, Engine],
        catalog: Catalog,
        blobs: Blobs,
        clock: Clock,
        training_sets: TrainingSets,
        examiner: Examiner,
        owner: str,
        slots: int,
        lease_s: float,
        patience_s: float = 15.0,
    ) -> None:
        """`patience_s` is how long `stop` waits for running jobs to save a checkpoint."""
        self._store = store
        self._engines = engines
        self._blobs = blobs
        self._clock = clock
        self._validation = Validation(
            store=store, engines=engines, catalog=catalog, training_sets=training_sets
        )
        self._ending = Ending(store=store, examiner=examiner, blobs=blobs, clock=clock)
        self._owner = owner
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._let_go_at = float("inf")
        self._threads = [
            # Slots of their own: whoever made a job learns soon what is wrong with its files,
            # however long those before it train.
            threading.Thread(target=self._work, args=(work,), name=f"{work} {slot}", daemon=True)
            for work, n_slots in (("validation", VALIDATIONS), ("training", slots))
            for slot in range(n_slots)
        ]

    def start(self) -> None:
        """Begin to claim jobs."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something waits: look at once."""
        self._bell.set()

    def stop(self) -> None:
        """Claim no more, let running jobs save a checkpoint, and give every lease back."""
        self._let_go_at = time.monotonic() + self._patience_s
        self._stopping.set()
        self._bell.set()
        for thread in self._threads:
            thread.join()

    def _work(self, waits_for: Work) -> None:
        while not self._stopping.is_set():
            worked = self._worked(waits_for)
            if not worked and self._bell.wait(POLL_S) and not self._stopping.is_set():
                self._bell.clear()

    def _worked(self, waits_for: Work) -> bool:
        """Claim a job and take it as far as it goes; whatever happens, this slot lives on."""
        try:
            run = self._store.claim(self._owner, self._lease_s, waits_for)
            if run is not None:
                self._carry(run)
        except TuneryError as error:
            # The store or a disk failed: a lease runs out, and its job is claimed again.
            logger.warning("work was interrupted: %s", error)
            return False
        except Exception:
            # So it is with what nobody foresaw.
            logger.exception("work was interrupted")
            return False
        return run is not None

    def _carry(self, run: Run) -> None:
        try:
            with self._heartbeat(run) as heartbeat:
                if run.job.status is JobStatus.VALIDATING_FILES:
                    self._validate(run, heartbeat)
                else:
                    self._follow(run, heartbeat)
        except LeaseLost:
            self._abandon(run)
        except OutOfSpace as error:
            # The worker's own file did not fit. The job's owner is told, and what was learnt is in
            # the last checkpoint.
            self._store.apply(run.lease, [Died(message=error.message)])

    def _heartbeat(self, run: Run) -> Heartbeat:
        def renew() -> None:
            self._store.renew(run.lease, self._lease_s)

        return Heartbeat(renew, run.job.id, lease_s=self._lease_s)

    def _validate(self, run: Run, heartbeat: Heartbeat) -> None:
        """Build the job's files where they are yet to be, and queue the job or fail it."""

        def wanted() -> bool:
            return not (heartbeat.lost.is_set() or self._stopping.is_set())

        self._validation.carry(run, wanted)
        self.wake()

    def _follow(self, run: Run, heartbeat: Heartbeat) -> None:
        """Record a run's progress until it ends, is asked to let go, or is somebody else's."""
        finished = self._trained(run, heartbeat)
        if finished is not None:
            # The job has left its trainer by now, and does not keep others out during an exam.
            self._ending.carry(run, finished, self._as_long_as_it_runs(run, heartbeat))

    def _trained(self, run: Run, heartbeat: Heartbeat) -> Finished | None:
        """What the engine has made in the end; None where it is not, or not yet, at the end."""
        engine = self._engines[run.job.engine]
        asked_to_pause = False
        with closing(_guarded(engine.run(run), run)) as values:
            for value in values:
                if heartbeat.lost.is_set():
                    raise LeaseLost(f"the lease of {run.job.id} could not be renewed")
                if isinstance(value, Finished):
                    return value
                status = self._record(run, value)
                if isinstance(value, Paused | Died | Failed):
                    return None
                # Paused, or paused and resumed meanwhile: it must be let go of before it goes on.
                unwanted = status is not JobStatus.RUNNING
                if not asked_to_pause and (unwanted or self._stopping.is_set()):
                    engine.pause(run)
                    asked_to_pause = True
                if time.monotonic() > self._let_go_at:
                    # No checkpoint in time: give the lease back, and resume from the last one.
                    self._store.apply(run.lease, [Paused()])
                    return None
        return None

    def _as_long_as_it_runs(self, run: Run, heartbeat: Heartbeat) -> Callable[[], bool]:
        """Whether `run` is still to go on; the store is asked once a second at most."""
        asked_at, status = float("-inf"), JobStatus.RUNNING

        def wanted() -> bool:
            nonlocal asked_at, status
            if heartbeat.lost.is_set():
                raise LeaseLost(f"the lease of {run.job.id} could not be renewed")
            if time.monotonic() > asked_at + POLL_S:
                asked_at, status = time.monotonic(), self._store.apply(run.lease, [Alive()])
            return status is JobStatus.RUNNING and not self._stopping.is_set()

        return wanted

    def _record(self, run: Run, value: AnyProgress) -> JobStatus:
        if isinstance(value, Sampled):
            file = write_samples(run.job, value, blobs=self._blobs, clock=self._clock)
            self._store.publish_samples(run.lease, file, samples_event(value, file))
        status = self._store.apply(run.lease, [value])
        if isinstance(value, CheckpointSaved):
            self._discard_retired(run)
        return status

    def _discard_retired(self, run: Run) -> None:
        for checkpoint in self._store.retired_checkpoints(run.job.id):
            self._blobs.delete(checkpoint.folder)
            self._store.forget_checkpoint(checkpoint)

    def _abandon(self, run: Run) -> None:
        """The job was cancelled, or is another worker's: stop what this attempt left running."""
        logger.info("no longer the worker of %s", run.job.id)
        if self._is_cancelled(run.job):
            self._engines[run.job.engine].cancel(run)

    def _is_cancelled(self, job: FineTuningJob) -> bool:
        try:
            return self._store.job(job.project_id, job.id).status is JobStatus.CANCELLED
        except NotFound:
            # Deleted, which cancels a job that is not over.
            return True


def _guarded(values: Closable[AnyProgress], run: Run) -> Closable[AnyProgress]:
    """`values`; should the engine itself fail, that is a death like a trainer's."""
    with closing(values):
        try:
            yield from values
        except LeaseLost:
            raise
        except Exception as error:
            yield death(run, error)
