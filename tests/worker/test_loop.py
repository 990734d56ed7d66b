"""A worker over the in-memory store and the scripted engine."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.worker.bench import Bench, wait_until, working
from tests.worker.scripts import metrics, new_job, report, whole_run
from tunery.core.access import IdentityType
from tunery.core.closable import Closable
from tunery.core.errors import OutOfSpace, Unavailable
from tunery.core.events import NewEvent
from tunery.core.hyperparameters import Precision
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import BlobWriter, Run
from tunery.core.preflight import Preflight
from tunery.core.problems import Problem
from tunery.core.progress import Alive, AnyProgress, Died, Sampled
from tunery.engines.scripted import ScriptedEngine
from tunery.worker.loop import VALIDATIONS


class Cancellable(ScriptedEngine):
    """Remembers what it was told to cancel."""

    def __init__(self, *values: AnyProgress, step_s: float) -> None:
        super().__init__(values, report=report(), step_s=step_s)
        self.cancelled: list[str] = []

    def cancel(self, run: Run) -> None:
        self.cancelled.append(run.job.id)


class InTurn(ScriptedEngine):
    """Leaves each run to the next of the engines that are left."""

    def __init__(self) -> None:
        super().__init__((), report=report())
        self.left: list[ScriptedEngine] = []

    def run(self, run: Run) -> Closable[AnyProgress]:
        return self.left.pop(0).run(run)


def scripted(
    *values: AnyProgress, step_s: float = 0.0, problems: tuple[Problem, ...] = ()
) -> ScriptedEngine:
    return ScriptedEngine(values or whole_run(), report=report(*problems), step_s=step_s)


def test_a_job_is_validated_run_and_finished_with_its_metrics_as_a_file(tmp_path: Path) -> None:
    with working(Bench(tmp_path, scripted())) as bench:
        job = bench.wait(bench.add(), JobStatus.SUCCEEDED)

    assert job.resolved is not None
    assert job.fine_tuned_model == f"ft:tiny-chat:org-default::{job.id[-8:]}"
    assert job.trained_tokens == 30
    (file_id,) = job.result_files
    lines = b"".join(bench.blobs.read(f"files/{file_id}")).decode().splitlines()
    assert lines[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert lines[1] == "1,1.0,0.5,,"
    assert len(lines) == 4


def test_a_bad_file_fails_the_job_with_every_problem_in_its_error(tmp_path: Path) -> None:
    problems = (
        Problem(line=3, field="messages[0].role", message='is "asistant"'),
        Problem(line=9, field=None, message="is not JSON"),
    )
    with working(Bench(tmp_path, scripted(problems=problems))) as bench:
        job = bench.wait(bench.add(), JobStatus.FAILED)

    assert job.error is not None
    assert job.error.code == "invalid_training_file"
    assert "line 3: messages[0].role" in job.error.message
    assert "line 9" in job.error.message


def test_warnings_about_the_data_become_events(tmp_path: Path) -> None:
    problem = Problem(line=4, field=None, message="repeats line 2", level="warning")
    with working(Bench(tmp_path, scripted(problems=(problem,)))) as bench:
        job = bench.wait(bench.add(), JobStatus.SUCCEEDED)

    assert "line 4: repeats line 2" in bench.messages(job)


@pytest.mark.parametrize(
    ("precision", "gain", "said"),
    [
        ("bf16", 1.64, ["Computes in bf16: with this base model, bf16 is 1.6 times as fast"]),
        ("fp32", 0.9, ["Computes in fp32: with this base model, bf16 is 0.9 times as fast"]),
        ("bf16", None, []),
    ],
)
def test_what_was_found_of_bf16_stands_in_the_job_and_its_events(
    tmp_path: Path, precision: Precision, gain: float | None, said: list[str]
) -> None:
    found = msgspec.structs.replace(report(), precision=precision, bf16_gain=gain)
    with working(Bench(tmp_path, ScriptedEngine(whole_run(), report=found))) as bench:
        job = bench.wait(bench.add(), JobStatus.SUCCEEDED)
        events = [event for event in bench.messages(job) if event.startswith("Computes")]

    assert job.resolved is not None
    assert job.resolved.precision == precision
    assert [event.removesuffix(" as fp32 on this machine") for event in events] == said


def test_a_paused_job_lets_go_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    steps = [metrics(step, 1000) for step in range(1, 1001)]
    with working(Bench(tmp_path, scripted(*steps, step_s=0.01))) as bench:
        job = bench.add()
        wait_until(lambda: bench.job(job).last_step > 2)
        bench.store.move_job("default", job.id, JobStatus.PAUSED, NewEvent(message="paused"))
        at = -1
        while at != (at := bench.job(job).last_step):
            time.sleep(0.1)
        bench.store.move_job("default", job.id, JobStatus.QUEUED, NewEvent(message="resumed"))
        bench.worker.wake()
        bench.wait(job, JobStatus.RUNNING)
        wait_until(lambda: bench.job(job).last_step > at + 1)

    numbered = [message for message in bench.messages(job) if message.startswith("Step")]
    assert len(numbered) == len(set(numbered))


def test_a_cancelled_job_stops_within_a_heartbeat(tmp_path: Path) -> None:
    steps = [metrics(step, 1000) for step in range(1, 1001)]
    with working(Bench(tmp_path, scripted(*steps, step_s=0.01))) as bench:
        job = bench.add()
        wait_until(lambda: bench.job(job).last_step > 2)
        bench.store.move_job("default", job.id, JobStatus.CANCELLED, NewEvent(message="cancelled"))
        at = bench.job(job).last_step
        another = bench.add()
        bench.worker.wake()
        bench.wait(another, JobStatus.RUNNING)

    assert bench.job(job).last_step == at


def test_a_deleted_job_stops_within_a_heartbeat(tmp_path: Path) -> None:
    engine = Cancellable(*[metrics(step, 1000) for step in range(1, 1001)], step_s=0.01)
    with working(Bench(tmp_path, engine)) as bench:
        job = bench.add()
        wait_until(lambda: bench.job(job).last_step > 2)
        bench.store.delete_job("default", job.id, NewEvent(message="cancelled"))
        another = bench.add()
        bench.worker.wake()
        bench.wait(another, JobStatus.RUNNING)

    assert engine.cancelled == [job.id]
    assert bench.store.needed_folders(job.id) == frozenset()


def test_the_result_file_is_of_who_made_the_job(tmp_path: Path) -> None:
    made = replace(new_job(), created_by="service-1", created_by_type=IdentityType.SERVICE_ACCOUNT)
    with working(Bench(tmp_path, scripted())) as bench:
        job = bench.wait(bench.add(made), JobStatus.SUCCEEDED)
    file = bench.store.file(job.project_id, job.result_files[0])
    assert (file.created_by, file.created_by_type) == ("service-1", IdentityType.SERVICE_ACCOUNT)


def test_a_trainer_that_keeps_dying_fails_the_job_after_three_restarts(tmp_path: Path) -> None:
    with working(Bench(tmp_path, scripted(Died(message="It was killed by SIGKILL.")))) as bench:
        job = bench.wait(bench.add(), JobStatus.FAILED)

    assert job.error is not None
    assert job.error.code == "trainer_died"
    assert "SIGKILL" in job.error.message


class Endless(ScriptedEngine):
    """Reads files and trains until it is made to stop; a pause it does not hear."""

    def __init__(self) -> None:
        super().__init__((), report=report())
        self.validates = True

    def preflight(
        self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Preflight:
        while self.validates:
            time.sleep(0.01)
            if not wanted():
                raise Unavailable("nobody waits")
        return super().preflight(job, estimate=estimate)

    def run(self, run: Run) -> Closable[AnyProgress]:
        while True:
            time.sleep(0.01)
            yield Alive()


def test_stopping_the_worker_does_not_wait_for_a_validation(tmp_path: Path) -> None:
    with working(Bench(tmp_path, Endless())) as bench:
        job = bench.add()
        wait_until(lambda: bench.held(job))

    assert not bench.held(job)
    assert bench.job(job).status is JobStatus.VALIDATING_FILES
    assert bench.messages(job) == ["Created"]


def test_a_job_that_is_cancelled_while_it_is_validated_makes_room_for_the_next(
    tmp_path: Path,
) -> None:
    with working(Bench(tmp_path, Endless())) as bench:
        job, *_ = [bench.add() for _ in range(VALIDATIONS)]
        another = bench.add()
        wait_until(lambda: bench.held(job))
        bench.store.move_job("default", job.id, JobStatus.CANCELLED, NewEvent(message="cancelled"))
        wait_until(lambda: bench.held(another))


def test_a_job_that_is_deleted_while_it_is_validated_makes_room_for_the_next(
    tmp_path: Path,
) -> None:
    with working(Bench(tmp_path, Endless())) as bench:
        job, another = bench.add(), bench.add()
        wait_until(lambda: bench.held(job))
        bench.store.delete_job("default", job.id, NewEvent(message="cancelled"))
        wait_until(lambda: bench.held(another))


def test_stopping_the_worker_lets_go_of_a_paused_job_whose_trainer_hangs(tmp_path: Path) -> None:
    engine = Endless()
    engine.validates = False
    bench = Bench(tmp_path, engine, patience_s=0.1)
    with working(bench):
        job = bench.add()
        bench.wait(job, JobStatus.RUNNING)
        bench.store.move_job("default", job.id, JobStatus.PAUSED, NewEvent(message="paused"))

    assert not bench.held(job)
    assert bench.job(job).status is JobStatus.PAUSED


def test_an_engine_that_fails_at_a_validation_fails_the_job_after_three_more_tries(
    tmp_path: Path,
) -> None:
    class Broken(ScriptedEngine):
        def preflight(
            self, job: FineTuningJob, *, estimate: bool, wanted: Callable[[], bool] = lambda: True
        ) -> Preflight:
            raise OSError("no process can be started")

    with working(Bench(tmp_path, Broken((), report=report()))) as bench:
        job = bench.wait(bench.add(), JobStatus.FAILED)

    assert job.error is not None
    assert "It failed (OSError). The server's log says more." in job.error.message


def test_a_full_disk_at_the_end_is_said_in_the_events_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, scripted())
    write, n_full = bench.blobs.writer, iter(range(2))

    def writer(key: str) -> BlobWriter:
        if next(n_full, None) is not None:
            raise OutOfSpace("The server's disk is full.")
        return write(key)

    monkeypatch.setattr(bench.blobs, "writer", writer)
    with working(bench):
        job = bench.wait(bench.add(), JobStatus.SUCCEEDED)

    told = [message for message in bench.messages(job) if "disk is full" in message]
    assert told == ["The server's disk is full. The job goes on from step 3"] * 2


@pytest.mark.parametrize("failure", [Unavailable("the database is away"), OSError("no such disk")])
def test_a_slot_outlives_whatever_fails_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    bench = Bench(tmp_path, scripted(*whole_run(1000), step_s=0.01))
    failing = {"job": True}
    read = bench.store.job

    def job_or_failure(project_id: str, job_id: str) -> FineTuningJob:
        # The first read by the worker: that of a job whose lease it has lost.
        if threading.current_thread().name.startswith("training") and failing.pop("job", False):
            raise failure
        return read(project_id, job_id)

    monkeypatch.setattr(bench.store, "job", job_or_failure)
    with working(bench):
        cancelled = bench.add()
        bench.wait(cancelled, JobStatus.RUNNING)
        bench.store.move_job("default", cancelled.id, JobStatus.CANCELLED, NewEvent(message="no"))
        bench.wait(bench.add(), JobStatus.RUNNING)

    assert not failing


def test_files_are_validated_while_another_job_trains(tmp_path: Path) -> None:
    steps = [metrics(step, 1000) for step in range(1, 1001)]
    with working(Bench(tmp_path, scripted(*steps, step_s=0.01))) as bench:
        first = bench.add()
        wait_until(lambda: bench.job(first).last_step > 2)
        second = bench.wait(bench.add(), JobStatus.QUEUED)
        assert bench.job(first).status is JobStatus.RUNNING

    assert second.resolved is not None


def test_stopping_the_worker_queues_the_running_job_again(tmp_path: Path) -> None:
    steps = [metrics(step, 1000) for step in range(1, 1001)]
    with working(Bench(tmp_path, scripted(*steps, step_s=0.01))) as bench:
        job = bench.add()
        wait_until(lambda: bench.job(job).last_step > 2)

    assert bench.job(job).status is JobStatus.QUEUED


def sampled(bench: Bench, step: int) -> Sampled:
    """What a trainer reports once the pictures that it drew are on disk."""
    key = f"runs/x/1/samples-{step}.png"
    writer = bench.blobs.writer(key)
    writer.write(b"pictures of step %d" % step)
    writer.commit()
    return Sampled(step=step, image=key, prompts=("a TOK", "a cup"), seed=3)


def test_pictures_that_a_trainer_draws_are_files_and_events_of_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scripted())
    first, *rest = whole_run()
    bench.worker._engines = {"scripted": scripted(first, sampled(bench, 1), *rest)}
    with working(bench):
        job = bench.wait(bench.add(), JobStatus.SUCCEEDED)

    page = PageRequest(limit=1000, ascending=True)
    [event] = [
        each
        for each in bench.store.events("default", job.id, page).items
        if each.data and "file" in each.data
    ]
    assert event.message == "Sample images of step 1"
    assert event.data is not None
    file = bench.store.file("default", str(event.data["file"]))
    assert event.data == {"step": 1, "file": file.id, "prompts": ["a TOK", "a cup"], "seed": 3}
    assert (file.filename, file.purpose) == ("samples-step-00001.png", "fine-tune-results")
    assert b"".join(bench.blobs.read(file.blob)) == b"pictures of step 1"
    assert file.size_bytes == len(b"pictures of step 1")
    assert file.created_by == job.created_by
    assert file.id not in job.result_files


def test_pictures_that_are_drawn_again_are_kept_and_told_of_once(tmp_path: Path) -> None:
    engine = InTurn()
    bench = Bench(tmp_path, engine)
    first, *rest = whole_run()
    again = sampled(bench, 1)
    engine.left = [
        scripted(first, again, Died(message="It ended.")),
        scripted(first, again, *rest),
    ]
    with working(bench):
        job = bench.add()
        bench.wait(job, JobStatus.SUCCEEDED)

    assert bench.messages(job).count("Sample images of step 1") == 1
    files = bench.store.files("default", PageRequest(limit=100), purpose="fine-tune-results")
    names = sorted(file.filename for file in files.items)
    assert names == ["samples-step-00001.png", "step_metrics.csv"]
