"""A job's files, built where they are yet to be, and read as the trainer will read them."""

import logging
from collections.abc import Callable, Mapping

from tunery.core.errors import LeaseLost, OutOfSpace, TuneryError
from tunery.core.events import NewEvent
from tunery.core.job import FineTuningJob
from tunery.core.plan import plan
from tunery.core.ports import Catalog, Engine, Run, RunStore, TrainingSets, Validated
from tunery.core.preflight import Preflight, refusal
from tunery.core.progress import Died, Failed, Paused

logger = logging.getLogger(__name__)

_MOST_WARNINGS = 20


class Validation:
    """Queues a job whose files are good, or fails it."""

    def __init__(
        self,
        *,
        store: RunStore,
        engines: Mapping[str, Engine],
        catalog: Catalog,
        training_sets: TrainingSets,
    ) -> None:
        """`training_sets` builds the files of jobs that have golden records instead."""
        self._store = store
        self._engines = engines
        self._catalog = catalog
        self._training_sets = training_sets

    def carry(self, run: Run, wanted: Callable[[], bool]) -> None:
        """Take the job as far as it goes; once it is no longer `wanted`, let go of it.

        Raises:
            LeaseLost: the job is somebody else's, or cancelled.
            OutOfSpace: the files did not fit on the disk.
        """
        try:
            notes = self._built(run, wanted)
            engine = self._engines[run.job.engine]
            report = engine.preflight(run.job, estimate=False, wanted=wanted)
        except (LeaseLost, OutOfSpace):
            raise
        except TuneryError as error:
            self._store.apply(run.lease, [_refused(error) if wanted() else Paused()])
            return
        except Exception as error:
            self._store.apply(run.lease, [death(run, error)])
            return
        if (refused := refusal(report, run.job.method)) is not None:
            self._store.apply(run.lease, [refused])
            return
        self._store.validated(run.lease, self._outcome(run.job, report, notes))

    def _built(self, run: Run, wanted: Callable[[], bool]) -> tuple[NewEvent, ...]:
        """What there is to say of the files, once they are there."""
        if run.job.sql_source is None:
            return ()
        built = self._training_sets.build(run.job, wanted=wanted)
        files = [built.training, *([built.validation] if built.validation else [])]
        self._store.publish_training_files(run.lease, files)
        return built.notes

    def _outcome(
        self, job: FineTuningJob, report: Preflight, built: tuple[NewEvent, ...]
    ) -> Validated:
        planned = plan(
            job.method,
            n_examples=report.n_examples,
            defaults=self._catalog.resolve(job.base_model).defaults,
            precision=report.precision,
        )
        return Validated(
            resolved=planned.resolved,
            total_steps=planned.total_steps,
            notes=(*built, *_warnings(job, report), *_about_precision(report)),
        )


def death(run: Run, error: Exception) -> Died:
    """For the handler of `error`: the job goes on as after the death of a trainer.

    What nobody foresaw may name places of this machine, or hold what somebody's data says.
    """
    logger.exception("the engine of %s failed", run.job.id)
    return Died(message=f"It failed ({type(error).__name__}). The server's log says more")


def _warnings(job: FineTuningJob, report: Preflight) -> list[NewEvent]:
    warnings = [problem for problem in report.problems if problem.level == "warning"]
    notes = [NewEvent(message=str(problem), level="warn") for problem in warnings[:_MOST_WARNINGS]]
    if report.n_warnings > len(notes):
        more = report.n_warnings - len(notes)
        notes.append(NewEvent(message=f"{more} more warnings about the data", level="warn"))
    if report.n_overlong and job.overlong != "error":
        done = "dropped" if job.overlong == "drop" else "cut"
        message = f"{report.n_overlong} rows are longer than {report.context} tokens: {done}"
        notes.append(NewEvent(message=message, level="warn"))
    return notes


def _about_precision(report: Preflight) -> list[NewEvent]:
    """What was measured, where that decided what the job computes in."""
    if report.bf16_gain is None:
        return []
    measured = f"bf16 is {report.bf16_gain:.1f} times as fast as fp32 on this machine"
    return [NewEvent(message=f"Computes in {report.precision}: with this base model, {measured}")]


def _refused(error: TuneryError) -> Failed:
    return Failed(code=error.code or "validation_failed", message=error.message, param=error.param)
