"""A job that continues a tuned model, or a checkpoint of one, begins with exactly these weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.conftest import Changed, Row, attempt, chat, preference, write
from tunery.core.progress import AnyProgress, CheckpointSaved, Finished, Metrics

STILL = 1e-12
"""A learning rate that leaves the weights where they are."""


def last_metrics(values: list[AnyProgress]) -> Metrics:
    return [value for value in values if isinstance(value, Metrics)][-1]


@pytest.mark.parametrize("step", [3, 6, None], ids=["checkpoint 3", "checkpoint 6", "model"])
def test_it_knows_what_its_beginning_knew(step: int | None, changed: Changed) -> None:
    first = list(attempt(changed(folder="runs/first/1")))
    done = first[-1]
    assert isinstance(done, Finished)
    saved = {v.step: v for v in first if isinstance(v, CheckpointSaved)}
    begins = done.adapter if step is None else saved[step].folder
    known = saved[step or 9].metrics.full_valid_loss

    still = replace(changed().hyperparameters, n_epochs=1, learning_rate=STILL)
    second = list(
        attempt(changed(folder="runs/second/1", hyperparameters=still, initial_adapter=begins, r=9))
    )
    end = second[-1]
    assert isinstance(end, Finished)
    assert last_metrics(second).step == 3
    assert last_metrics(second).full_valid_loss == pytest.approx(known, abs=1e-6)
    before, after = (
        load_file(Path(changed().blobs) / folder / "adapter_model.safetensors")
        for folder in (begins, end.adapter)
    )
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-9) for name in before)


def test_preferences_continue_what_was_supervised(changed: Changed, blobs: Path) -> None:
    """As it is usually done: first the task, then the manner. All begins at the logarithm of 2."""
    rows: list[Row] = [chat(f"Hello there {i}", f"I am well {i % 3}.") for i in range(16)]
    write(blobs / "rows", rows)
    write(
        blobs / "pairs",
        [preference(f"Hello there {i}", f"I am well {i % 3}.", "How are you") for i in range(16)],
    )
    plain = {"validation_file": None, "lora_dropout": 0.0}
    first = list(attempt(changed(folder="runs/a/1", training_file=str(blobs / "rows"), **plain)))
    done = first[-1]
    assert isinstance(done, Finished)
    second = list(
        attempt(
            changed(
                folder="runs/b/1",
                training_file=str(blobs / "pairs"),
                hyperparameters=replace(changed().hyperparameters, beta=0.1),
                initial_adapter=done.adapter,
                **plain,
            )
        )
    )
    steps = [value for value in second if isinstance(value, Metrics)]
    assert steps[0].train_loss == pytest.approx(0.693147, abs=1e-5)
    assert steps[-1].train_loss < steps[0].train_loss
