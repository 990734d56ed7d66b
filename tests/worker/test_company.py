"""A worker with several slots, whose jobs share a process that says what it is told to say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.test_trainers import attempt
from tests.worker.bench import Bench, wait_until, working
from tests.worker.scripts import new_job, report
from tunery.core.closable import Closable
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.ports import Run
from tunery.core.progress import AnyProgress, RunRequest
from tunery.engines import trainer, trainers
from tunery.engines.child import cold
from tunery.engines.scripted import ScriptedEngine
from tunery.engines.trainers import Trainers


class Company(ScriptedEngine):
    """Carries jobs out in processes, as the local engine does."""

    def __init__(self) -> None:
        super().__init__((), report=report())
        self._trainers = Trainers(
            lambda: cold("tests.engines.actor"),
            can_start=lambda: True,
            weights_bytes=lambda name: 0,
        )

    def run(self, run: Run) -> Closable[AnyProgress]:
        yield from self._trainers.run(self._attempt(run))

    def pause(self, run: Run) -> None:
        self._trainers.pause(self._attempt(run).folder)

    def close(self) -> None:
        self._trainers.close()

    def _attempt(self, run: Run) -> RunRequest:
        # The first lease was that of the validation.
        return attempt(run.job.id, run.job.training_file, number=run.lease.token - 1)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(trainer, "SILENCE_S", 0.05)
    monkeypatch.setattr(trainers, "SILENCE_S", 0.05)
    engine = Company()
    # No lease runs out here because the machine is busy.
    with working(Bench(tmp_path, engine, slots=4, lease_s=60.0)) as working_bench:
        yield working_bench
    engine.close()


def acting(script: str) -> FineTuningJob:
    return replace(new_job(), training_file=script)


def begun(bench: Bench, job: FineTuningJob) -> bool:
    return any("begins in" in message for message in bench.messages(job))


def test_a_job_that_kills_its_trainer_fails_and_the_others_go_on(bench: Bench) -> None:
    innocent = [bench.add(acting("wait|save finish")) for _ in range(3)]
    wait_until(lambda: all(begun(bench, job) for job in innocent), within_s=60)
    guilty = bench.wait(bench.add(acting("die")), JobStatus.FAILED, within_s=60)
    assert guilty.error is not None
    assert guilty.error.code == "trainer_died"
    for job in innocent:
        bench.wait(job, JobStatus.SUCCEEDED, within_s=60)
        assert sum("SIGKILL" in message for message in bench.messages(job)) == 1


def test_a_worker_that_stops_lets_every_job_of_a_process_save(bench: Bench) -> None:
    jobs = [bench.add(acting("wait")) for _ in range(4)]
    wait_until(lambda: all(begun(bench, job) for job in jobs), within_s=60)
    bench.worker.stop()
    for job in jobs:
        assert bench.job(job).status is JobStatus.QUEUED
        assert not bench.held(job)
