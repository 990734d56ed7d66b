"""Jobs in one trainer process: whatever becomes of one, or of the process, the others end well."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from openai import OpenAI

from tests.e2e.jobs import DEMO, client, create, finished, first_rows, losses, messages, upload
from tests.e2e.test_resume import at_step, training_processes
from tests.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

N_STEPS = 48
FAR_TOO_HIGH = 1e15
"""Twice a factor of the learning rate, it leaves no weight that a model can be computed with."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_rows(DEMO / "train.jsonl", 32, tmp_path_factory.mktemp("rows"))


def created(openai: OpenAI, rows: Path, *, seed: int) -> str:
    """A job of `N_STEPS`."""
    return create(openai, rows, seed=seed, hyperparameters={"n_epochs": 6, "batch_size": 4}).id


def out_of_bounds(openai: OpenAI, rows: Path) -> str:
    """A job whose first step ruins it."""
    return openai.fine_tuning.jobs.create(
        model="tiny-chat",
        training_file=upload(openai, rows),
        hyperparameters={"n_epochs": 6, "batch_size": 4, "learning_rate_multiplier": FAR_TOO_HIGH},
        extra_body={"x_tunery": {"learning_rate": FAR_TOO_HIGH}},
    ).id


def check_every_step(openai: OpenAI, job_id: str) -> None:
    """The job has succeeded, and each of its steps stands in the events once."""
    assert finished(openai, job_id).status == "succeeded", messages(openai, job_id)
    assert list(losses(openai, job_id)) == list(range(1, N_STEPS + 1))


def test_what_becomes_of_one_job_is_its_own(own_server: Server, rows: Path) -> None:
    own_server.start()
    openai = client(own_server)
    alone = created(openai, rows, seed=1)
    check_every_step(openai, alone)

    undisturbed, paused, cancelled = (created(openai, rows, seed=seed) for seed in (1, 2, 3))
    broken = out_of_bounds(openai, rows)
    at_step(openai, cancelled, 2)
    openai.fine_tuning.jobs.cancel(cancelled)
    at_step(openai, paused, 2)
    openai.fine_tuning.jobs.pause(paused)
    failed = finished(openai, broken)
    assert failed.error is not None
    assert failed.error.code == "not_finite", failed.error
    openai.fine_tuning.jobs.resume(paused)

    for job in (undisturbed, paused):
        check_every_step(openai, job)
    assert losses(openai, undisturbed) == pytest.approx(losses(openai, alone), rel=1e-4)
    # One process had all of them.
    assert own_server.log.read_text().count("started tunery.trainers as process") == 1


@pytest.mark.long
def test_jobs_of_a_process_that_is_killed_again_and_again_go_on(
    own_server: Server, rows: Path
) -> None:
    own_server.start()
    openai = client(own_server)
    jobs = [created(openai, rows, seed=seed) for seed in range(4)]
    drawn = random.Random(5)
    for job in jobs[:3]:
        at_step(openai, job, drawn.randrange(1, 12))
        time.sleep(drawn.random())
        for trainer in training_processes(own_server):
            os.kill(trainer.pid, signal.SIGKILL)
    for job in jobs:
        check_every_step(openai, job)
        assert any("SIGKILL" in message for message in messages(openai, job))
