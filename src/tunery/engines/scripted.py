"""An engine that replays a list of progress: for tests and demonstrations of everything else."""

import threading
from collections.abc import Callable, Sequence

from tunery.core.closable import Closable
from tunery.core.job import FineTuningJob
from tunery.core.ports import Run
from tunery.core.preflight import Preflight
from tunery.core.progress import Alive, AnyProgress, Failed, Finished, Metrics, Paused


class ScriptedEngine:
    """Reports `script` for every run, from the step behind the checkpoint that it resumes from."""

    def __init__(
        self, script: Sequence[AnyProgress], *, report: Preflight, step_s: float = 0.0
    ) -> None:
        """`step_s` passes before each value, in which a pause or a close is noticed."""
        self._script = tuple(script)
        self._report = report
        self._step_s = step_s
        self._pauses: dict[str, threading.Event] = {}

    def start(self) -> None:
        """There is nothing to prepare."""

    def check(self, job: FineTuningJob) -> None:
        """Every job can be replayed."""

    def preflight(
        self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Preflight:
        """The report that it was made with."""
        return self._report

    def run(self, run: Run) -> Closable[AnyProgress]:
        """The script's values, `Alive` before the first, until it ends or is asked to pause."""
        asked = self._pauses.setdefault(run.folder, threading.Event())
        done = run.resume_from.step if run.resume_from else 0
        yield Alive()
        for value in self._script:
            if asked.wait(self._step_s):
                yield Paused()
                return
            if not (isinstance(value, Metrics) and value.step <= done):
                yield value
            if isinstance(value, Finished | Failed):
                return

    def pause(self, run: Run) -> None:
        """End the run before its next value."""
        self._pauses.setdefault(run.folder, threading.Event()).set()

    def cancel(self, run: Run) -> None:
        """Nothing runs elsewhere."""

    def ready(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """There is no process."""
