"""Claim, run, apply: one thread per slot, each with one job at a time."""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Protocol

from tunery.core.errors import LeaseLost, OutOfSpace, TuneryError
from tunery.core.events import NewEvent
from tunery.core.hyperparameters import resolve, total_steps
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.ports import (
    Blobs,
    Catalog,
    Clock,
    Closable,
    Engine,
    JobStore,
    Run,
    RunStore,
    Validated,
    Work,
)
from tunery.core.preflight import Preflight, refusal
from tunery.core.progress import AnyProgress, CheckpointSaved, Died, Failed, Finished, Paused
from tunery.worker.lease import Heartbeat
from tunery.worker.results import write_step_metrics

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How long an idle slot waits before it asks for work again, unless it is woken."""


class WorkStore(RunStore, JobStore, Protocol):
    """What a worker reads and records."""


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
        owner: str,
        slots: int,
        lease_s: float,
        patience_s: float = 15.0,
    ) -> None:
        """`patience_s` is how long `stop` waits for running jobs to save a checkpoint."""
        self._store = store
        self._engines = engines
        self._catalog = catalog
        self._blobs = blobs
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._let_go_at = float("inf")
        self._threads = [
            # A slot of its own: whoever made a job learns soon what is wrong with its files,
            # however long those before it train.
            threading.Thread(target=self._work, args=(work,), name=f"{work} {slot}", daemon=True)
            for slot, work in enumerate(["validation", *["training"] * slots])
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
            with Heartbeat(self._store, run.lease, lease_s=self._lease_s) as heartbeat:
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

    def _validate(self, run: Run, heartbeat: Heartbeat) -> None:
        """Read the job's files as the trainer will, and queue the job or fail it."""

        def wanted() -> bool:
            return not (heartbeat.lost.is_set() or self._stopping.is_set())

        engine = self._engines[run.job.engine]
        try:
            report = engine.preflight(run.job, estimate=False, wanted=wanted)
        except TuneryError as error:
            self._store.apply(run.lease, [_refused(error) if wanted() else Paused()])
            return
        except Exception as error:
            self._store.apply(run.lease, [_death(run, error)])
            return
        if (refused := refusal(report)) is not None:
            self._store.apply(run.lease, [refused])
            return
        self._store.validated(run.lease, self._outcome(run.job, report))
        self.wake()

    def _outcome(self, job: FineTuningJob, report: Preflight) -> Validated:
        resolved = resolve(
            job.method.hyperparameters,
            n_examples=report.n_examples,
            defaults=self._catalog.resolve(job.base_model).defaults,
        )
        warnings = [problem for problem in report.problems if problem.level == "warning"]
        notes = [NewEvent(message=str(problem), level="warn") for problem in warnings[:20]]
        if report.n_warnings > len(notes):
            more = report.n_warnings - len(notes)
            notes.append(NewEvent(message=f"{more} more warnings about the data", level="warn"))
        if report.n_overlong and job.overlong != "error":
            done = "dropped" if job.overlong == "drop" else "cut"
            message = f"{report.n_overlong} rows are longer than {report.context} tokens: {done}"
            notes.append(NewEvent(message=message, level="warn"))
        steps = total_steps(resolved, n_examples=report.n_examples)
        return Validated(resolved=resolved, total_steps=steps, notes=tuple(notes))

    def _follow(self, run: Run, heartbeat: Heartbeat) -> None:
        """Record a run's progress until it ends, is asked to let go, or is somebody else's."""
        engine = self._engines[run.job.engine]
        asked_to_pause = False
        with closing(_guarded(engine.run(run), run)) as values:
            for value in values:
                if heartbeat.lost.is_set():
                    raise LeaseLost(f"the lease of {run.job.id} could not be renewed")
                status = self._record(run, value)
                if isinstance(value, Paused | Died | Failed | Finished):
                    return
                # Paused, or paused and resumed meanwhile: it must be let go of before it goes on.
                unwanted = status is not JobStatus.RUNNING
                if not asked_to_pause and (unwanted or self._stopping.is_set()):
                    engine.pause(run)
                    asked_to_pause = True
                if time.monotonic() > self._let_go_at:
                    # No checkpoint in time: give the lease back, and resume from the last one.
                    self._store.apply(run.lease, [Paused()])
                    return

    def _record(self, run: Run, value: AnyProgress) -> JobStatus:
        if isinstance(value, Finished):
            file = write_step_metrics(
                run.job, self._store.metrics(run.job.id), blobs=self._blobs, clock=self._clock
            )
            self._store.publish_result_file(run.lease, file)
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
        job = self._store.job(run.job.project_id, run.job.id)
        if job.status is JobStatus.CANCELLED:
            self._engines[job.engine].cancel(run)


def _guarded(values: Closable[AnyProgress], run: Run) -> Closable[AnyProgress]:
    """`values`; should the engine itself fail, that is a death like a trainer's."""
    with closing(values):
        try:
            yield from values
        except LeaseLost:
            raise
        except Exception as error:
            yield _death(run, error)


def _death(run: Run, error: Exception) -> Died:
    """For the handler of `error`: the job goes on as after the death of a trainer."""
    logger.exception("the engine of %s failed", run.job.id)
    return Died(message=f"{type(error).__name__}: {error}")


def _refused(error: TuneryError) -> Failed:
    return Failed(code=error.code or "validation_failed", message=error.message, param=error.param)
