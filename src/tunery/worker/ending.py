"""What is left to do once a model is trained: an exam, and the file with its metrics."""

import logging
from collections.abc import Callable

from tunery.core.errors import LeaseLost, TuneryError
from tunery.core.ports import Blobs, Clock, Examiner, Run
from tunery.core.progress import Evaluated, Finished, Note, Paused
from tunery.worker.results import write_step_metrics
from tunery.worker.store import WorkStore

logger = logging.getLogger(__name__)


class Ending:
    """Ends a run whose trainer has finished."""

    def __init__(self, *, store: WorkStore, examiner: Examiner, blobs: Blobs, clock: Clock) -> None:
        """`examiner` asks the models of jobs that have golden records."""
        self._store = store
        self._examiner = examiner
        self._blobs = blobs
        self._clock = clock

    def carry(self, run: Run, finished: Finished, wanted: Callable[[], bool]) -> None:
        """Record what the run has made; let go of it if it is no longer `wanted` before that.

        Whoever goes on with it then finds all its steps done, and ends it at once.

        Raises:
            LeaseLost: the job is somebody else's, or cancelled.
            OutOfSpace: the metrics did not fit on the disk.
        """
        examined = self._examined(run, finished, wanted)
        if isinstance(examined, Paused):
            self._store.apply(run.lease, [examined])
            return
        file = write_step_metrics(
            run.job, self._store.metrics(run.job.id), blobs=self._blobs, clock=self._clock
        )
        self._store.publish_result_file(run.lease, file)
        said = [] if examined is None else [examined]
        self._store.apply(run.lease, [*said, finished])

    def _examined(
        self, run: Run, finished: Finished, wanted: Callable[[], bool]
    ) -> Evaluated | Note | Paused | None:
        """How the model did; no exam that fails costs anybody the model."""
        if run.job.sql_source is None:
            return None

        def tell(message: str) -> None:
            self._store.apply(run.lease, [Note(message=message)])

        try:
            return self._examiner.examine(run.job, finished.adapter, wanted=wanted, tell=tell)
        except LeaseLost:
            raise
        except TuneryError as error:
            return _no_exam(error.message) if wanted() else Paused()
        except Exception as error:
            logger.exception("the exam of %s failed", run.job.id)
            return _no_exam(f"{type(error).__name__}. The server's log says more.")


def _no_exam(why: str) -> Note:
    return Note(message=f"The tuned model was not examined: {why}", level="warn")
