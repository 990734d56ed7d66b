"""What a model says while it learns can be watched, and changes nothing of how it learns."""

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch

from tests.trainers.conftest import Changed, attempt, chat, preference, write
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
    SampledText,
)
from tunery.trainers import samples

FOLDER = "runs/ftjob-0123456789abcdef01234567"
ASKED = "Hello there"


def run(request: RunRequest, pause: Event | None = None) -> list[AnyProgress]:
    return list(attempt(request, pause))


def shown(values: list[AnyProgress]) -> dict[int, list[tuple[str, str]]]:
    """Prompts and answers by step, each step once."""
    sampled = [value for value in values if isinstance(value, SampledText)]
    assert len({value.step for value in sampled}) == len(sampled)
    return {
        value.step: [(sample.prompt, sample.answer) for sample in value.samples]
        for value in sampled
    }


def losses(values: list[AnyProgress]) -> list[tuple[float, float | None]]:
    return [(m.train_loss, m.full_valid_loss) for m in values if isinstance(m, Metrics)]


def notes(values: list[AnyProgress]) -> list[str]:
    return [value.message for value in values if isinstance(value, Note)]


def test_a_taught_answer_is_seen_to_come(changed: Changed, blobs: Path) -> None:
    write(blobs / "files" / "train", [chat(ASKED, "I am well.") for _ in range(16)])
    asked = replace(changed().hyperparameters, n_epochs=8, learning_rate=3e-2)
    values = run(changed(hyperparameters=asked, sample_prompts=(ASKED,), lora_dropout=0.0))
    said = shown(values)
    assert list(said) == [0, *range(2, 17, 2)]
    assert said[0] != said[16] == [(ASKED, "I am well.")]
    at = {type(value): place for place, value in enumerate(values)}
    assert at[CheckpointSaved] < at[SampledText] < at[Finished]


@pytest.mark.parametrize("learns", ["answers", "preferences"])
def test_samples_change_nothing_of_what_is_learnt(
    changed: Changed, blobs: Path, learns: str
) -> None:
    asked = changed().hyperparameters
    if learns == "preferences":
        asked = replace(asked, beta=0.1)
        rows = [preference(f"Hello {i}", "I am well.", "two two") for i in range(10)]
        write(blobs / "files" / "train", rows)
        write(blobs / "files" / "valid", rows[:3])
    with_samples = run(
        changed(folder=f"{FOLDER}/1", hyperparameters=asked, sample_prompts=(ASKED,) * 5)
    )
    without = run(changed(folder=f"{FOLDER}/2", hyperparameters=asked))
    assert len(shown(with_samples)) == 4
    assert not shown(without)
    assert losses(with_samples) == losses(without)
    steps = sorted(path.name for path in (blobs / FOLDER / "1").glob("step-*"))
    assert steps
    for name in ("adapter_model.safetensors", "optimizer.safetensors"):
        kept = [(blobs / FOLDER / each / steps[-1] / name).read_bytes() for each in "12"]
        assert kept[0] == kept[1]


def test_rows_held_out_are_asked_where_nothing_else_is(changed: Changed, blobs: Path) -> None:
    silent = chat("never asked", "said before")
    silent["messages"][1]["weight"] = 0
    longer = {
        "messages": [
            *chat("How are you", "I am well.")["messages"],
            *chat("And you", "two")["messages"],
        ]
    }
    rows = [silent, chat("two " * 2046, "I"), longer, *(chat(f"Hello {i}", "I") for i in range(9))]
    write(blobs / "files" / "valid", rows)
    values = run(changed(sample_prompts=None, overlong="drop"))
    wanted = ["And you", "Hello 0", "Hello 1", "Hello 2", "Hello 3"]
    assert [[prompt for prompt, _ in each] for each in shown(values).values()] == [wanted] * 4


def test_without_prompts_and_rows_held_out_there_are_no_samples(changed: Changed) -> None:
    assert not shown(run(changed(sample_prompts=None, validation_file=None)))


def test_a_job_that_goes_on_does_not_begin_with_samples(changed: Changed) -> None:
    whole = run(changed(folder=f"{FOLDER}/1", sample_prompts=(ASKED,)))
    again = run(
        changed(
            folder=f"{FOLDER}/2",
            sample_prompts=(ASKED,),
            resume_from=f"{FOLDER}/1/step-00000003",
        )
    )
    assert list(shown(whole)) == [0, 3, 6, 9]
    assert {step: said for step, said in shown(whole).items() if step > 3} == shown(again)
    assert losses(whole)[3:] == losses(again)


def test_a_job_that_is_paused_lets_go_at_once(changed: Changed) -> None:
    pause = Event()
    pause.set()
    values = run(changed(sample_prompts=(ASKED,)), pause)
    assert list(shown(values)) == [0]
    assert isinstance(values[-1], Paused)


def test_raw_text_is_gone_on_with_as_it_is(changed: Changed, blobs: Path) -> None:
    write(blobs / "files" / "train", [{"prompt": ASKED, "completion": " two"} for _ in range(16)])
    asked = replace(changed().hyperparameters, n_epochs=8, learning_rate=3e-2)
    values = run(
        changed(
            hyperparameters=asked,
            sample_prompts=(ASKED,),
            validation_file=None,
            lora_dropout=0.0,
        )
    )
    assert shown(values)[16] == [(ASKED, " two")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("no kernel for that"), "no kernel for that"),
    ],
)
def test_a_job_goes_on_without_samples_that_fail(
    changed: Changed, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(samples, "sample", broken)
    values = run(changed(folder=f"{FOLDER}/1", sample_prompts=(ASKED,)))
    assert notes(values) == [f"The job goes on without samples of what its model says: {said}"]
    assert losses(values) == losses(run(changed(folder=f"{FOLDER}/2")))
    assert isinstance(values[-1], Finished)


def test_prompts_without_room_for_an_answer_are_left_out(changed: Changed) -> None:
    values = run(changed(sample_prompts=(ASKED, "two " * 3000)))
    assert notes(values) == [
        "Left out of the samples, as the model has no room to answer: 1 of 2 prompts."
    ]
    assert [len(each) for each in shown(values).values()] == [1] * 4
