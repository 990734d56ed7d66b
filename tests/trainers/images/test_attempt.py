"""A job on pictures learns, shows, saves, and goes on as if nothing had happened."""

import errno
import itertools
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image
from safetensors.torch import load_file

from tests.trainers.images.conftest import (
    TINY_IMAGE,
    Changed,
    losses,
    rings,
    run,
    write_set,
)
from tunery.core.method import FinetuneType
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Failed,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
    Sampled,
)
from tunery.modeling.flux import load_pipeline
from tunery.modeling.flux_lora import WEIGHTS
from tunery.trainers import memory
from tunery.trainers.images import attempt, preparation
from tunery.trainers.images.attempt import carry_out

FOLDER = "runs/ftjob-0123456789abcdef01234567"
TYPES: list[FinetuneType] = ["lora", "full"]


def weights(request: RunRequest, key: str) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(Path(request.blobs) / key / WEIGHTS)
    return loaded


def of(values: list[AnyProgress], kind: type) -> list[AnyProgress]:
    return [value for value in values if isinstance(value, kind)]


def paused_after(step: int, request: RunRequest) -> list[AnyProgress]:
    """The job until it has let go, as it was asked to when that step was reported."""
    pause = Event()
    assert request.subject is not None
    values: list[AnyProgress] = []
    for value in carry_out(request, request.subject, pause):
        values.append(value)
        if isinstance(value, Metrics) and value.step == step:
            pause.set()
    return values


def test_a_job_reports_every_step_and_hands_over_an_adapter(request_: RunRequest) -> None:
    values = run(request_)
    steps = [value for value in values if isinstance(value, Metrics)]
    assert [value.step for value in steps] == list(range(1, 9))
    assert {value.total_steps for value in steps} == {8}
    assert [value.epoch for value in steps[:2]] == [2 / 5, 4 / 5]
    assert steps[0].learning_rate == pytest.approx(4e-3)
    assert steps[-1].learning_rate < 1e-3
    assert steps[-1].remaining_s == 0
    assert {value.trained_tokens for value in steps} == {None}
    assert values[-1] == Finished(adapter=f"{FOLDER}/1/adapter")
    folder = Path(request_.blobs) / FOLDER / "1" / "adapter"
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, "README.md", "manifest.json"}
    card = (folder / "README.md").read_text()
    assert 'instance_prompt: "TOK"' in card
    assert str(TINY_IMAGE) not in card


@pytest.mark.parametrize("finetune_type", TYPES)
def test_the_loss_goes_down(finetune_type: FinetuneType, changed: Changed) -> None:
    rate = {"lora": 8e-3, "full": 1e-3}[finetune_type]
    hyperparameters = replace(changed().hyperparameters, batch_size=5, learning_rate=rate)
    values = run(
        changed(
            finetune_type=finetune_type,
            iterations=40,
            priority="speed",
            hyperparameters=hyperparameters,
        )
    )
    found = [loss for _, loss, _ in losses(values)]
    assert np.mean(found[-10:]) < 0.75 * np.mean(found[:10])


@pytest.mark.long
@pytest.mark.parametrize("finetune_type", TYPES)
def test_in_bf16_the_same_is_learnt_but_for_its_rounding(
    finetune_type: FinetuneType, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = [loss for _, loss, _ in losses(run(changed(finetune_type=finetune_type)))]
    in_bf16 = partial(load_pipeline, dtype=torch.bfloat16)
    monkeypatch.setattr(preparation, "load_pipeline", in_bf16)
    request = changed(finetune_type=finetune_type, folder=f"{FOLDER}/2")
    values = run(request)
    rounded = [loss for _, loss, _ in losses(values)]
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.05)
    [finished] = of(values, Finished)
    assert isinstance(finished, Finished)
    assert all(weight.isfinite().all() for weight in weights(request, finished.adapter).values())


@pytest.mark.parametrize("finetune_type", TYPES)
@pytest.mark.parametrize("stop_after", [3, pytest.param(4, marks=pytest.mark.long)])
def test_a_paused_job_goes_on_to_the_last_bit_as_if_nothing_had_happened(
    stop_after: int, finetune_type: FinetuneType, changed: Changed
) -> None:
    whole = run(changed(finetune_type=finetune_type))
    first = paused_after(stop_after, changed(finetune_type=finetune_type, folder=f"{FOLDER}/2"))
    assert first[-1] == Paused()
    saved = of(first, CheckpointSaved)[-1]
    assert isinstance(saved, CheckpointSaved)
    assert saved.step == stop_after
    # What another job does in between must not matter.
    torch.randn(7)
    rest = run(changed(finetune_type=finetune_type, folder=f"{FOLDER}/3", resume_from=saved.folder))
    assert rest[0] == Note(message=f"Going on from the checkpoint of step {stop_after}.")
    assert losses(first) + losses(rest) == losses(whole)
    request = changed()
    expected = weights(request, f"{FOLDER}/1/adapter")
    found = weights(request, f"{FOLDER}/3/adapter")
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.long
def test_a_killed_job_repeats_the_steps_after_its_checkpoint_exactly(changed: Changed) -> None:
    request = changed()
    assert request.subject is not None
    values = list(itertools.islice(carry_out(request, request.subject, Event()), 9))
    saved = of(values, CheckpointSaved)[-1]
    assert isinstance(saved, CheckpointSaved)
    assert 0 < saved.step < losses(values)[-1][0]
    rest = run(changed(folder=f"{FOLDER}/2", resume_from=saved.folder))
    whole = run(changed(folder=f"{FOLDER}/3"))
    assert losses(rest) == losses(whole)[saved.step :]


@pytest.mark.long
def test_the_seed_makes_the_job(changed: Changed) -> None:
    one, same = run(changed()), run(changed(folder=f"{FOLDER}/2"))
    other = run(changed(folder=f"{FOLDER}/3", seed=8))
    assert losses(one) == losses(same)
    assert losses(one) != losses(other)
    request = changed()
    first, second = (weights(request, f"{FOLDER}/{n}/adapter") for n in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_pictures_are_drawn_on_the_way_and_change_nothing(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = run(changed())
    shown = [value for value in values if isinstance(value, Sampled)]
    assert [value.step for value in shown] == [2, 4, 6, 8]
    captions = [caption for _, caption in rings(5)]
    assert {value.prompts for value in shown} == {tuple(captions[:4])}
    assert {value.seed for value in shown} == {7}
    images = [Image.open(Path(changed().blobs) / value.image) for value in shown]
    assert {image.size for image in images} == {(128, 32)}
    assert len({image.tobytes() for image in images}) == 4
    monkeypatch.setattr(attempt, "sample", lambda training: iter(()))
    assert losses(run(changed(folder=f"{FOLDER}/2"))) == losses(values)


def test_every_checkpoint_is_an_adapter_too(changed: Changed) -> None:
    request = changed(finetune_type="full")
    for saved in of(run(request), CheckpointSaved):
        assert isinstance(saved, CheckpointSaved)
        pipeline = FluxPipeline.from_pretrained(TINY_IMAGE)
        pipeline.load_lora_weights(Path(request.blobs) / saved.folder, weight_name=WEIGHTS)
        assert pipeline.get_list_adapters() == {"transformer": ["default_0"]}


def test_time_makes_checkpoints_too(changed: Changed) -> None:
    saved = of(run(changed(checkpoint_seconds=0)), CheckpointSaved)
    assert [value.step for value in saved if isinstance(value, CheckpointSaved)] == [*range(1, 9)]


@pytest.mark.long
def test_a_damaged_checkpoint_is_never_gone_on_from(changed: Changed) -> None:
    request = changed()
    whole = run(request)
    saved = [value.folder for value in whole if isinstance(value, CheckpointSaved)]
    path = Path(request.blobs) / saved[2] / "learnt.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    values = run(changed(folder=f"{FOLDER}/2", resume_from=saved[2]))
    warning, news = values[:2]
    assert isinstance(warning, Note)
    assert "has changed" in warning.message
    assert news == Note(message="Going on from the checkpoint of step 4.")
    assert losses(values) == losses(whole)[4:]

    shutil.rmtree(Path(request.blobs) / FOLDER / "1")
    values = run(changed(folder=f"{FOLDER}/4", resume_from=saved[0]))
    assert Note(level="warn", message="No checkpoint is whole; starting again.") in values


@pytest.mark.parametrize(
    "different",
    [
        "data",
        *(
            pytest.param(other, marks=pytest.mark.long)
            for other in ("iterations", "seed", "finetune_type", "r")
        ),
    ],
)
def test_other_data_or_settings_cannot_be_gone_on_with(
    different: str, changed: Changed, blobs: Path
) -> None:
    saved = of(run(changed()), CheckpointSaved)[0]
    assert isinstance(saved, CheckpointSaved)
    fields: dict[str, object] = {"iterations": 9, "seed": 8, "finetune_type": "full", "r": 8}
    if different == "data":
        write_set(blobs / "files" / "rings", rings(5, seed=3))
        fields["data"] = None
        again = changed(folder=f"{FOLDER}/2", resume_from=saved.folder)
    else:
        again = changed(
            folder=f"{FOLDER}/2", resume_from=saved.folder, **{different: fields[different]}
        )
    [failed] = run(again)
    assert isinstance(failed, Failed)
    assert "same data and settings" in failed.message


def test_a_full_disk_costs_a_checkpoint_and_not_the_job(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tunery.trainers.images.checkpoints.save_file", full)
    monkeypatch.setattr(Image.Image, "save", full)
    values = run(changed())
    notes = [value.message for value in values if isinstance(value, Note)]
    assert len(notes) == 8
    assert "the checkpoint of step 2 was not saved" in notes[0]
    assert "no sample of step 2 was saved" in notes[1]
    assert isinstance(values[-1], Finished)


def test_a_disk_too_full_for_the_adapter_fails_the_job(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tunery.trainers.images.saving.save_lora", full)
    failed = run(changed())[-1]
    assert isinstance(failed, Failed)
    assert "the finished adapter could not be saved" in failed.message


def test_a_loss_that_is_not_a_number_fails_the_job_in_clear_words(changed: Changed) -> None:
    wild = replace(changed().hyperparameters, learning_rate=1e30)
    failed = run(changed(hyperparameters=wild, finetune_type="full"))[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "not_finite"
    assert failed.param == "learning_rate"
    assert "A lower learning rate usually helps" in failed.message


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nowhere", "neither a folder nor a Hugging Face id"),
        ("tiny-chat", "no pipeline of diffusers"),
    ],
)
def test_a_base_model_that_is_no_flux_pipeline_is_refused(
    location: str, message: str, changed: Changed
) -> None:
    folder = TINY_IMAGE.parent / location
    [failed] = run(changed(location=str(folder) if folder.exists() else location))
    assert isinstance(failed, Failed)
    assert message in failed.message
    assert failed.param == "model"


def test_a_set_without_pictures_fails_in_clear_words(changed: Changed, blobs: Path) -> None:
    write_set(blobs / "files" / "rings", [])
    [failed] = run(changed())
    assert isinstance(failed, Failed)
    assert "There are no pictures to learn from" in failed.message


@pytest.mark.long
def test_little_memory_is_made_do_with(changed: Changed, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty = run(changed())
    monkeypatch.setattr(memory, "available_bytes", lambda device: 1_000_000)
    little = run(changed(folder=f"{FOLDER}/2"))
    for ours, theirs in zip(losses(little), losses(plenty), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_full_tuning_says_how_much_of_it_the_adapter_holds(changed: Changed) -> None:
    values = run(changed(finetune_type="full"))
    [note] = [value for value in values if isinstance(value, Note)]
    assert note.level == "info"
    assert note.message.startswith("The adapter of rank 4 holds ")
