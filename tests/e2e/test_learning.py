"""The built-in base model learns what it could not do, from few rows, with `auto` throughout."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.e2e.jobs import DEMO, TASKS, client, create, exact_match, finished, messages
from tests.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def as_it_comes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that decides by itself what jobs compute in."""
    server = Server(tmp_path_factory.mktemp("as-it-comes") / "home")
    server.start()
    yield server
    assert server.stop() == 0, server.log.read_text()


def test_the_demo_set_goes_from_nothing_to_most_of_the_held_out_rows(as_it_comes: Server) -> None:
    openai = client(as_it_comes)
    job = finished(openai, create(openai, DEMO / "train.jsonl", seed=1, suffix="sql").id)

    assert job.status == "succeeded"
    assert job.fine_tuned_model is not None
    held_out = DEMO / "held_out.jsonl"
    assert exact_match(openai, "tiny-chat", held_out) == 0
    assert exact_match(openai, job.fine_tuned_model, held_out) >= 0.8


@pytest.mark.parametrize("task", ["classification", "extraction", "rewriting"])
def test_a_short_task_is_learnt_from_two_hundred_rows(as_it_comes: Server, task: str) -> None:
    openai = client(as_it_comes)
    rows = TASKS / task / "train.jsonl"
    assert len(rows.read_text().splitlines()) <= 200
    job = finished(openai, create(openai, rows, seed=1, suffix=task).id)

    assert job.status == "succeeded"
    assert job.fine_tuned_model is not None
    assert exact_match(openai, job.fine_tuned_model, TASKS / task / "held_out.jsonl") >= 0.8


def test_jobs_on_one_base_compute_in_the_same_and_say_so(as_it_comes: Server) -> None:
    openai = client(as_it_comes)
    settings: Any = {"n_epochs": 1, "batch_size": 64}
    jobs = [
        finished(
            openai, create(openai, DEMO / "train.jsonl", seed=seed, hyperparameters=settings).id
        )
        for seed in (1, 2)
    ]
    chosen = {cast("Any", job).x_tunery["precision"] for job in jobs}
    assert len(chosen) == 1
    said = {
        message
        for job in jobs
        for message in messages(openai, job.id)
        if message.startswith("Computes in ")
    }
    [message] = said
    assert message.startswith(f"Computes in {chosen.pop()}: with this base model, bf16 is ")
    assert len(list((as_it_comes.home / "blobs" / "measurements").iterdir())) == 1
