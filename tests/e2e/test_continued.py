"""A tuned model, and a checkpoint of it, are gone on from at OpenAI's door."""

from pathlib import Path

import pytest

from tests.e2e.jobs import DEMO, client, finished, first_rows, losses, upload
from tests.servers import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_job_begins_where_the_model_or_checkpoint_that_it_names_has_ended(
    live: Server, tmp_path: Path
) -> None:
    openai = client(live)
    rows = first_rows(DEMO / "train.jsonl", 32, tmp_path)
    # The same rows in another order: their loss is what the next step would begin with.
    turned = tmp_path / "turned.jsonl"
    turned.write_text("".join(reversed(rows.read_text().splitlines(keepends=True))))
    training, validation = upload(openai, rows), upload(openai, turned)

    def learnt(model: str, n_epochs: int) -> str:
        return openai.fine_tuning.jobs.create(
            model=model,
            training_file=training,
            validation_file=validation,
            seed=1,
            hyperparameters={"n_epochs": n_epochs, "batch_size": 32},
            extra_body={"x_tunery": {"lora_dropout": 0.0}},
        ).id

    first = learnt("tiny-chat", 4)
    done = finished(openai, first)
    assert done.fine_tuned_model is not None
    # A step is an epoch here: what the model knows after a step is its loss in the next.
    curve = losses(openai, first)
    checkpoints = {
        each.step_number: each for each in openai.fine_tuning.jobs.checkpoints.list(first)
    }
    assert checkpoints[2].fine_tuned_model_checkpoint.startswith(done.fine_tuned_model)

    by_checkpoint = learnt(checkpoints[2].fine_tuned_model_checkpoint, 1)
    by_model = learnt(done.fine_tuned_model, 1)
    for job in (by_checkpoint, by_model):
        assert finished(openai, job).status == "succeeded"
    assert losses(openai, by_checkpoint)[1] == pytest.approx(curve[3], abs=2e-4)
    assert losses(openai, by_model)[1] == pytest.approx(
        checkpoints[4].metrics.full_valid_loss, abs=2e-4
    )
