"""Jobs whose files are built from golden records, and whose models are examined."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.worker.bench import Bench, wait_until, working
from tests.worker.scripts import EVALUATED, new_sql_job, report, whole_run
from tunery.core.closable import Closable
from tunery.core.errors import InvalidValue, LeaseLost, OutOfSpace, QueryFailed
from tunery.core.events import NewEvent
from tunery.core.files import File
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.ports import Lease, Run
from tunery.core.preflight import Preflight
from tunery.core.progress import AnyProgress, Finished
from tunery.engines.scripted import ScriptedEngine
from tunery.worker.loop import VALIDATIONS


class Reading(ScriptedEngine):
    """Looks whether the files are there when it is asked to read them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(whole_run(), report=report())
        self._folder = folder
        self.is_broken = False

    def preflight(
        self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Preflight:
        assert (self._folder / "files" / job.training_file).exists()
        if self.is_broken:
            self.is_broken = False
            raise OSError("no process can be started")
        return super().preflight(job, estimate=estimate)


def a_bench(folder: Path) -> Bench:
    return Bench(folder, Reading(folder))


def test_files_are_built_published_and_read_before_a_job_is_queued(tmp_path: Path) -> None:
    with working(a_bench(tmp_path)) as bench:
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    assert job.validation_file is not None
    for file_id in (job.training_file, job.validation_file):
        assert bench.store.file("default", file_id).n_rows == 1
    assert "Training set built" in bench.messages(job)


def test_both_models_are_examined_before_the_job_is_over(tmp_path: Path) -> None:
    with working(a_bench(tmp_path)) as bench:
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    assert job.evaluation == EVALUATED
    assert bench.examiner.adapters == ["runs/x/1/final"]
    told = bench.messages(job)
    exam = "On 20 held-out golden records: execution match 18 (base model 1)"
    [said] = [message for message in told if message.startswith(exam)]
    assert told.index("10 of 20 questions answered") < told.index(said)
    assert told.index(said) < told.index("The job has successfully completed")


def test_a_job_with_uploaded_files_is_neither_built_nor_examined(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedEngine(whole_run(), report=report()))
    with working(bench):
        job = bench.wait(bench.add(), JobStatus.SUCCEEDED)

    assert bench.training_sets.n_built == 0
    assert bench.examiner.adapters == []
    assert job.evaluation is None


def test_golden_sql_that_fails_fails_the_job_in_its_own_words(tmp_path: Path) -> None:
    bench = a_bench(tmp_path)
    failure = InvalidValue(
        "2 of 20 fail:\naaa: no such table: oder\nbbb: no such column: nam",
        param="golden_records",
        code="invalid_golden_sql",
    )
    bench.training_sets.failures.append(failure)
    with working(bench):
        job = bench.wait(bench.add(new_sql_job()), JobStatus.FAILED)

    assert job.error is not None
    assert job.error.code == "invalid_golden_sql"
    assert "no such table: oder" in job.error.message
    assert "no such column: nam" in job.error.message


def test_what_nobody_foresaw_is_told_without_its_inside(tmp_path: Path) -> None:
    bench = a_bench(tmp_path)
    bench.training_sets.failures.append(OSError(13, "Permission denied", "/srv/blobs/files"))
    with working(bench):
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    said = "\n".join(bench.messages(job))
    assert "It failed (PermissionError). The server's log says more." in said
    assert "/srv/blobs" not in said


def test_what_fails_between_build_and_reading_is_done_again_from_the_start(
    tmp_path: Path,
) -> None:
    engine = Reading(tmp_path)
    engine.is_broken = True
    bench = Bench(tmp_path, engine)
    with working(bench):
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    assert bench.training_sets.n_built == 2
    assert bench.messages(job).count("Training set built") == 1


def test_a_worker_that_died_between_build_and_reading_leaves_the_job_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = a_bench(tmp_path)
    publish, lost = bench.store.publish_training_files, iter([True])

    def publish_or_die(lease: Lease, files: Sequence[File]) -> None:
        publish(lease, files)
        if next(lost, False):
            raise LeaseLost("it was somebody else's by now")

    monkeypatch.setattr(bench.store, "publish_training_files", publish_or_die)
    with working(bench):
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    assert bench.training_sets.n_built == 2
    assert bench.store.file("default", job.training_file).n_rows == 1
    assert any("worker" in message for message in bench.messages(job)), bench.messages(job)


def test_a_full_disk_at_the_build_is_tried_again(tmp_path: Path) -> None:
    bench = a_bench(tmp_path)
    bench.training_sets.failures.append(OutOfSpace("The server's disk is full."))
    with working(bench):
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    [said] = [message for message in bench.messages(job) if "disk is full" in message]
    assert said.startswith("The server's disk is full. The job goes on")


def test_stopping_the_worker_does_not_wait_for_a_build(tmp_path: Path) -> None:
    bench = a_bench(tmp_path)
    bench.training_sets.is_slow = True
    with working(bench):
        job = bench.add(new_sql_job())
        wait_until(lambda: bench.held(job))

    assert not bench.held(job)
    assert bench.job(job).status is JobStatus.VALIDATING_FILES


def test_a_job_that_is_cancelled_while_it_is_built_makes_room_for_the_next(tmp_path: Path) -> None:
    bench = a_bench(tmp_path)
    bench.training_sets.is_slow = True
    with working(bench):
        job, *_ = [bench.add(new_sql_job()) for _ in range(VALIDATIONS)]
        another = bench.add(new_sql_job())
        wait_until(lambda: bench.held(job))
        bench.store.move_job("default", job.id, JobStatus.CANCELLED, NewEvent(message="cancelled"))
        wait_until(lambda: bench.held(another))


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (QueryFailed("the database is gone"), "was not examined: the database is gone"),
        (ValueError("/home/somebody"), "was not examined: ValueError. The server's log says more."),
    ],
)
def test_an_exam_that_fails_is_a_warning_and_never_loses_the_model(
    tmp_path: Path, failure: Exception, said: str
) -> None:
    bench = a_bench(tmp_path)
    bench.examiner.failure = failure
    with working(bench):
        job = bench.wait(bench.add(new_sql_job()), JobStatus.SUCCEEDED)

    assert job.fine_tuned_model is not None
    assert job.evaluation is None
    assert f"The tuned model {said}" in bench.messages(job)


def examined(bench: Bench) -> FineTuningJob:
    """A job whose exam goes on until somebody ends it."""
    bench.examiner.is_slow = True
    job = bench.add(new_sql_job())
    wait_until(lambda: bool(bench.examiner.adapters))
    return job


def test_a_job_that_is_cancelled_during_its_exam_lets_go_and_has_no_model(tmp_path: Path) -> None:
    with working(a_bench(tmp_path)) as bench:
        job = examined(bench)
        bench.store.move_job("default", job.id, JobStatus.CANCELLED, NewEvent(message="cancelled"))
        began = time.monotonic()
        another = bench.add(new_sql_job())
        wait_until(lambda: len(bench.examiner.adapters) == 2)
        assert time.monotonic() - began < 5
        bench.examiner.is_slow = False
        bench.wait(another, JobStatus.SUCCEEDED)

    assert bench.job(job).status is JobStatus.CANCELLED
    assert bench.job(job).fine_tuned_model is None
    assert bench.messages(job)[-1] == "cancelled"


def test_a_job_that_is_paused_during_its_exam_is_examined_again_once_resumed(
    tmp_path: Path,
) -> None:
    with working(a_bench(tmp_path)) as bench:
        job = examined(bench)
        bench.store.move_job("default", job.id, JobStatus.PAUSED, NewEvent(message="paused"))
        wait_until(lambda: not bench.held(job))
        assert bench.job(job).status is JobStatus.PAUSED
        bench.examiner.is_slow = False
        bench.store.move_job("default", job.id, JobStatus.QUEUED, NewEvent(message="resumed"))
        bench.worker.wake()
        ended = bench.wait(job, JobStatus.SUCCEEDED)

    assert ended.evaluation == EVALUATED
    assert len(bench.examiner.adapters) == 2


def test_stopping_the_worker_during_an_exam_queues_the_job_again(tmp_path: Path) -> None:
    with working(a_bench(tmp_path)) as bench:
        job = examined(bench)
        began = time.monotonic()

    assert time.monotonic() - began < 2
    assert bench.job(job).status is JobStatus.QUEUED
    assert not bench.held(job)


def test_the_lease_is_renewed_during_an_exam(tmp_path: Path) -> None:
    with working(a_bench(tmp_path)) as bench:
        job = examined(bench)
        began = bench.leased_until(job)
        wait_until(lambda: bench.leased_until(job) > began + 2_000_000)  # two leases later
        bench.examiner.is_slow = False
        bench.wait(job, JobStatus.SUCCEEDED)

    assert bench.examiner.adapters == ["runs/x/1/final"]


def test_the_trainer_is_let_go_of_before_the_exam(tmp_path: Path) -> None:
    closed = threading.Event()

    class Closing(Reading):
        def run(self, run: Run) -> Closable[AnyProgress]:
            try:
                yield Finished(adapter="runs/x/1/final", trained_tokens=1)
                raise AssertionError("nobody asks for more")
            finally:
                closed.set()

    with working(Bench(tmp_path, Closing(tmp_path))) as bench:
        examined(bench)
        assert closed.is_set()
