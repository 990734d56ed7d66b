"""The built-in base model learns what it could not do, from few rows, with `auto` throughout."""

import pytest

from tests.e2e.jobs import DEMO, TASKS, client, create, exact_match, finished
from tests.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_demo_set_goes_from_nothing_to_most_of_the_held_out_rows(live: Server) -> None:
    openai = client(live)
    job = finished(openai, create(openai, DEMO / "train.jsonl", seed=1, suffix="sql").id)

    assert job.status == "succeeded"
    assert job.fine_tuned_model is not None
    held_out = DEMO / "held_out.jsonl"
    assert exact_match(openai, "tiny-chat", held_out) == 0
    assert exact_match(openai, job.fine_tuned_model, held_out) >= 0.8


@pytest.mark.parametrize("task", ["classification", "extraction", "rewriting"])
def test_a_short_task_is_learnt_from_two_hundred_rows(live: Server, task: str) -> None:
    openai = client(live)
    rows = TASKS / task / "train.jsonl"
    assert len(rows.read_text().splitlines()) <= 200
    job = finished(openai, create(openai, rows, seed=1, suffix=task).id)

    assert job.status == "succeeded"
    assert job.fine_tuned_model is not None
    assert exact_match(openai, job.fine_tuned_model, TASKS / task / "held_out.jsonl") >= 0.8
