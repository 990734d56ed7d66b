"""Whatever is killed, the job goes on, and its loss curve is the uninterrupted one."""

import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from openai import OpenAI
from openai.types.fine_tuning.job_create_params import Hyperparameters

from tests.e2e.jobs import DEMO, client, create, finished, first_rows, losses, messages, wait_until
from tests.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HYPERPARAMETERS: Hyperparameters = {"n_epochs": 6, "batch_size": 8}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_rows(DEMO / "train.jsonl", 64, tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def uninterrupted(live: Server, rows: Path) -> dict[int, float]:
    """The loss curve that every interrupted job must show."""
    openai = client(live)
    job = create(openai, rows, seed=11, hyperparameters=HYPERPARAMETERS)
    assert finished(openai, job.id).status == "succeeded"
    return losses(openai, job.id)


def at_step(openai: OpenAI, job_id: str, step: int) -> None:
    wait_until(lambda: max(losses(openai, job_id), default=0) >= step, within_s=120)


def has_saved_its_last_step(openai: OpenAI, job_id: str) -> bool:
    saved = [each.step_number for each in openai.fine_tuning.jobs.checkpoints.list(job_id)]
    return max(losses(openai, job_id)) in saved


def training_processes(server: Server) -> list[psutil.Process]:
    """The processes that train, or keep a base model for whoever is next."""
    started = re.findall(r"started tunery\.trainers as process (\d+)", server.log.read_text())
    family = psutil.Process(server.pid).children(recursive=True)
    return [child for child in family if str(child.pid) in started]


def test_a_killed_server_resumes_its_job_when_it_is_started_again(
    own_server: Server, rows: Path, uninterrupted: dict[int, float]
) -> None:
    own_server.start()
    openai = client(own_server)
    job = create(openai, rows, seed=11, hyperparameters=HYPERPARAMETERS)
    at_step(openai, job.id, 18)

    own_server.kill()
    own_server.start()

    assert finished(openai, job.id).status == "succeeded"
    assert losses(openai, job.id) == pytest.approx(uninterrupted, rel=1e-4)
    assert any("worker was lost" in message for message in messages(openai, job.id))


def test_a_killed_trainer_is_started_again_from_its_checkpoint(
    own_server: Server, rows: Path, uninterrupted: dict[int, float]
) -> None:
    own_server.start()
    openai = client(own_server)
    job = create(openai, rows, seed=11, hyperparameters=HYPERPARAMETERS)
    at_step(openai, job.id, 18)

    for trainer in training_processes(own_server):
        os.kill(trainer.pid, signal.SIGKILL)

    assert finished(openai, job.id).status == "succeeded"
    assert losses(openai, job.id) == pytest.approx(uninterrupted, rel=1e-4)
    assert any("SIGKILL" in message for message in messages(openai, job.id))


def test_a_stopped_server_saves_a_checkpoint_first(
    own_server: Server, rows: Path, uninterrupted: dict[int, float]
) -> None:
    own_server.start()
    openai = client(own_server)
    job = create(openai, rows, seed=11, hyperparameters=HYPERPARAMETERS)
    at_step(openai, job.id, 11)

    assert own_server.stop() == 0
    own_server.start()

    assert finished(openai, job.id).status == "succeeded"
    assert losses(openai, job.id) == pytest.approx(uninterrupted, rel=1e-4)


def test_a_paused_job_goes_on_from_the_very_step(
    live: Server, rows: Path, uninterrupted: dict[int, float]
) -> None:
    openai = client(live)
    job = create(openai, rows, seed=11, hyperparameters=HYPERPARAMETERS)
    at_step(openai, job.id, 11)

    assert openai.fine_tuning.jobs.pause(job.id).status == "queued"
    wait_until(lambda: has_saved_its_last_step(openai, job.id), within_s=30)

    openai.fine_tuning.jobs.resume(job.id)
    assert finished(openai, job.id).status == "succeeded"
    assert losses(openai, job.id) == pytest.approx(uninterrupted, rel=1e-4)
