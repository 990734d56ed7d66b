"""A job learns, reports, saves, and goes on as if nothing had happened."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import ModuleType

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainers.conftest import Changed, attempt, chat, write
from tunery.core.hyperparameters import Precision
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Died,
    Failed,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
)
from tunery.modeling.base import Base, Losses
from tunery.modeling.stream import Stream
from tunery.trainers import (
    asks,
    checkpoint,
    company,
    memory,
    pace,
    preparation,
    references,
    saving,
    text_dpo,
    text_methods,
    text_sft,
    threads,
)

FOLDER = "runs/ftjob-0123456789abcdef01234567"


def run(request: RunRequest, pause: Event | None = None) -> list[AnyProgress]:
    return list(attempt(request, pause))


def metrics(values: list[AnyProgress]) -> list[Metrics]:
    return [value for value in values if isinstance(value, Metrics)]


def curve(values: list[AnyProgress]) -> list[tuple[object, ...]]:
    """What must not depend on interruptions: all of the metrics but time."""
    return [
        (
            m.step,
            m.train_loss,
            m.train_mean_token_accuracy,
            m.learning_rate,
            m.trained_tokens,
            m.epoch,
        )
        for m in metrics(values)
    ]


def settings(
    changed: Changed, *, warmup_ratio: float = 0.03, weight_decay: float = 0.0, **fields: object
) -> RunRequest:
    """The request with these two, and with some fields changed."""
    asked = replace(changed().hyperparameters, warmup_ratio=warmup_ratio, weight_decay=weight_decay)
    return changed(hyperparameters=asked, **fields)


def weights(blobs: str, key: str) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(Path(blobs) / key / "adapter_model.safetensors")
    return loaded


def test_a_job_learns_and_reports_every_step(request_: RunRequest) -> None:
    values = run(request_)
    steps = metrics(values)

    assert [m.step for m in steps] == list(range(1, 10))
    assert {m.total_steps for m in steps} == {9}
    assert steps[-1].train_loss < steps[0].train_loss - 1
    assert [m.epoch for m in steps][2::3] == [1, 2, 3]
    rates = [m.learning_rate for m in steps]
    assert rates[0] == max(rates) == 1e-2
    assert 0 < rates[-1] < 2e-3
    assert all(m.tokens_per_second and m.remaining_s is not None for m in steps)
    assert steps[-1].remaining_s == 0
    last = values[-1]
    assert isinstance(last, Finished)
    assert last.trained_tokens == steps[-1].trained_tokens == 3 * (steps[2].trained_tokens or 0)


def test_each_epoch_ends_with_a_checkpoint_and_an_evaluation(request_: RunRequest) -> None:
    values = run(request_)
    saved = [value for value in values if isinstance(value, CheckpointSaved)]
    assert [value.step for value in saved] == [3, 6, 9]
    evaluated = [m for m in metrics(values) if m.full_valid_loss is not None]
    assert [value.metrics for value in saved] == evaluated
    losses = [m.full_valid_loss for m in evaluated if m.full_valid_loss is not None]
    assert losses == sorted(losses, reverse=True)
    for value in saved:
        folder = Path(request_.blobs) / value.folder
        checkpoint.verify(folder)
        assert not [path for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


def test_time_makes_checkpoints_too(changed: Changed) -> None:
    values = run(changed(checkpoint_seconds=0.0))
    saved = [value.step for value in values if isinstance(value, CheckpointSaved)]
    assert saved == list(range(1, 10))


def test_the_first_validation_loss_is_that_of_the_adapter_in_its_checkpoint(
    request_: RunRequest,
) -> None:
    values = run(request_)
    saved = next(value for value in values if isinstance(value, CheckpointSaved))
    base = AutoModelForCausalLM.from_pretrained(request_.location)
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        model = PeftModel.from_pretrained(base, f"{request_.blobs}/{saved.folder}").eval()
    tokenizer = AutoTokenizer.from_pretrained(request_.location)
    nats, n_tokens = 0.0, 0
    for line in Path(str(request_.validation_file)).read_text().splitlines():
        messages = json.loads(line)["messages"]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        prompt = tokenizer.apply_chat_template(
            messages[:1], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text.removesuffix("\n"), return_tensors="pt")["input_ids"]
        n_prompt = len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        nats -= float(logp.gather(1, ids[0, 1:, None])[n_prompt - 1 :].sum())
        n_tokens += ids.shape[1] - n_prompt
    assert saved.metrics.full_valid_loss == pytest.approx(nats / n_tokens, abs=1e-4)


@pytest.mark.parametrize(
    ("stop_after", "precision"), [(1, None), (3, None), (4, None), (8, None), (4, "bf16")]
)
def test_a_paused_job_goes_on_as_if_nothing_had_happened(
    stop_after: int, precision: Precision | None, changed: Changed
) -> None:
    whole = run(changed(folder=f"{FOLDER}/whole", precision=precision))

    pause = Event()
    first: list[AnyProgress] = []
    for value in attempt(changed(folder=f"{FOLDER}/1", precision=precision), pause):
        first.append(value)
        if isinstance(value, Metrics) and value.step == stop_after - 1:
            pause.set()
        if stop_after == 1:
            pause.set()
    saved, paused = first[-2:]
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(paused, Paused)
    going_on = changed(folder=f"{FOLDER}/2", resume_from=saved.folder, precision=precision)
    second = run(going_on)

    assert curve(first + second) == curve(whole)
    finished = [values[-1] for values in (whole, second)]
    blobs = changed().blobs
    ours, theirs = (weights(blobs, f.adapter) for f in finished if isinstance(f, Finished))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_job_repeats_the_steps_after_its_checkpoint_exactly(changed: Changed) -> None:
    whole = run(changed(folder=f"{FOLDER}/whole"))
    killed: list[AnyProgress] = []
    for value in attempt(changed(folder=f"{FOLDER}/1")):
        killed.append(value)
        if isinstance(value, Metrics) and value.step == 5:
            break
    resumed = run(changed(folder=f"{FOLDER}/2", resume_from=f"{FOLDER}/1/step-00000003"))
    assert isinstance(resumed[0], Note)
    assert "step 3" in resumed[0].message
    assert curve(killed)[:3] + curve(resumed) == curve(whole)


def test_the_rate_warms_up_as_long_as_the_job_asks(changed: Changed) -> None:
    rates = [m.learning_rate for m in metrics(run(settings(changed, warmup_ratio=0.5)))]
    peak = 1e-2
    assert rates[:5] == pytest.approx([peak * step / 5 for step in range(1, 6)])
    assert rates[5:] == pytest.approx([peak, peak * 0.75, peak * 0.5, peak * 0.25])


def test_weights_decay_as_the_job_asks(changed: Changed) -> None:
    kept, decayed = (
        run(settings(changed, folder=f"{FOLDER}/{decay}", weight_decay=decay))[-1]
        for decay in (0.0, 1.0)
    )
    assert isinstance(kept, Finished)
    assert isinstance(decayed, Finished)
    blobs = changed().blobs
    before, after = (
        sum(float(weight.norm()) ** 2 for weight in weights(blobs, done.adapter).values())
        for done in (kept, decayed)
    )
    assert after < 0.97 * before


def test_a_resumed_job_keeps_its_warm_up_and_decay(changed: Changed) -> None:
    asked = {"warmup_ratio": 0.8, "weight_decay": 0.5}
    whole = run(settings(changed, folder=f"{FOLDER}/whole", **asked))
    for value in attempt(settings(changed, folder=f"{FOLDER}/1", **asked)):
        if isinstance(value, CheckpointSaved):
            break
    checkpoint = f"{FOLDER}/1/step-00000003"
    resumed = run(settings(changed, folder=f"{FOLDER}/2", resume_from=checkpoint, **asked))
    assert curve(resumed) == curve(whole)[3:]
    assert isinstance(whole[-1], Finished)
    assert isinstance(resumed[-1], Finished)
    blobs = changed().blobs
    for name, weight in weights(blobs, whole[-1].adapter).items():
        assert torch.equal(weight, weights(blobs, resumed[-1].adapter)[name])


def test_the_seed_makes_the_job(changed: Changed) -> None:
    first, again = (run(changed(folder=f"{FOLDER}/{name}")) for name in ("a", "b"))
    other = run(changed(folder=f"{FOLDER}/c", seed=8))
    assert curve(first) == curve(again)
    assert curve(first) != curve(other)


def test_a_damaged_checkpoint_is_never_gone_on_from(changed: Changed) -> None:
    whole = run(changed(folder=f"{FOLDER}/1"))
    blobs = Path(changed().blobs)
    torn = blobs / FOLDER / "1" / "step-00000009" / "optimizer.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1] + b"x")
    (blobs / FOLDER / "1" / "step-00000006" / "position.json").unlink()

    values = run(changed(folder=f"{FOLDER}/2", resume_from=f"{FOLDER}/1/step-00000009"))
    notes = [value.message for value in values if isinstance(value, Note)]
    assert "optimizer.safetensors of checkpoint step-00000009 has changed" in notes[0]
    assert "step-00000006 is not whole" in notes[1]
    assert "step 3" in notes[2]
    assert curve(values) == curve(whole)[3:]

    for folder in (blobs / FOLDER).glob("*/step-00000003"):
        (folder / "manifest.json").unlink()
    for folder in (blobs / FOLDER / "2").glob("step-*"):
        (folder / "manifest.json").unlink()
    values = run(changed(folder=f"{FOLDER}/3", resume_from=f"{FOLDER}/1/step-00000009"))
    assert "starting again" in [v.message for v in values if isinstance(v, Note)][-1]
    assert curve(values) == curve(whole)


def test_other_data_or_settings_cannot_be_gone_on_with(changed: Changed) -> None:
    run(changed(folder=f"{FOLDER}/1"))
    [failed] = run(changed(folder=f"{FOLDER}/2", resume_from=f"{FOLDER}/1/step-00000003", seed=8))
    assert isinstance(failed, Failed)
    assert "seed 7, and the job now has 8" in failed.message


def test_the_finished_adapter_has_all_that_its_user_needs(changed: Changed) -> None:
    request = changed(trained_model="ft:tiny:org::abc")
    last = run(request)[-1]
    assert isinstance(last, Finished)
    folder = Path(request.blobs) / last.adapter
    checkpoint.verify(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template
    card = (folder / "README.md").read_text()
    assert "ft:tiny:org::abc" in card
    assert "base_model: tiny" in card
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert request.blobs not in card
    assert request.location not in card


def test_a_base_in_four_bits_is_learnt_on_and_said_in_the_card(changed: Changed) -> None:
    values = run(changed(quantization="nf4"))
    last = values[-1]
    assert isinstance(last, Finished)
    assert metrics(values)[-1].train_loss < metrics(values)[0].train_loss
    card = (Path(changed().blobs) / last.adapter / "README.md").read_text()
    assert "four bits (NF4" in card


def test_a_continued_job_begins_with_the_adapter_that_it_is_given(changed: Changed) -> None:
    first = run(changed(folder=f"{FOLDER}/1"))
    done = first[-1]
    assert isinstance(done, Finished)
    second = run(changed(folder=f"{FOLDER}/2", initial_adapter=done.adapter, r=16))
    assert metrics(second)[0].train_loss < metrics(first)[-1].train_loss + 0.5
    config = Path(changed().blobs) / FOLDER / "2" / "adapter" / "adapter_config.json"
    assert json.loads(config.read_text())["r"] == 4


def test_only_the_assistants_words_are_learnt(changed: Changed, blobs: Path) -> None:
    rows = [chat(f"Hello there {i}", "I am well.") for i in range(10)]
    for row in rows:
        row["messages"] += [
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "Blue or green", "weight": 0},
        ]
    write(blobs / "files" / "train", rows)
    values = run(changed(validation_file=None))
    per_row = len("I am well.") + 1  # at most: a token a character, and the end of the turn
    trained_tokens = metrics(values)[-1].trained_tokens
    assert trained_tokens is not None
    assert 0 < trained_tokens <= 3 * 10 * per_row
    assert trained_tokens % 30 == 0
    assert metrics(values)[-1].full_valid_loss is None


def test_running_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = changed(lora_dropout=0.0)
    whole = run(plain)
    losses = Base.losses

    def small(self: Base, stream: Stream) -> Losses:
        if stream.size > 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return losses(self, stream)

    monkeypatch.setattr(Base, "losses", small)
    values = run(changed(lora_dropout=0.0, folder=f"{FOLDER}/2"))
    [note] = [value for value in values if isinstance(value, Note)]
    assert note.level == "warn"
    assert "with 4096 tokens at a time; going on with 64" in note.message
    for ours, theirs in zip(metrics(values), metrics(whole), strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=1e-5)


def test_no_memory_at_all_fails_the_job_in_its_first_moment(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**20)

    def none(self: Base, stream: Stream) -> Losses:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1")

    monkeypatch.setattr(Base, "losses", none)
    *notes, failed = run(request_)
    assert all(isinstance(note, Note) for note in notes)
    assert isinstance(failed, Failed)
    assert failed.code == "out_of_memory"


def test_a_loss_that_is_not_a_number_fails_the_job_and_keeps_its_checkpoints(
    changed: Changed,
) -> None:
    request = changed(
        hyperparameters=type(changed().hyperparameters)(
            n_epochs=3, batch_size=8, learning_rate_multiplier=1.0, learning_rate=1e30
        )
    )
    values = run(request)
    failed = values[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "not_finite"
    assert "step 2" in failed.message
    assert "lower learning rate" in failed.message


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_a_rate_that_no_number_holds_fails_the_job_at_once(
    changed: Changed, weight_decay: float
) -> None:
    usual = changed().hyperparameters
    much = replace(usual, learning_rate=3e38, weight_decay=weight_decay)
    failed = run(changed(hyperparameters=much))[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "not_finite"
    assert "the learning rate is" in failed.message


def _full_disk(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    """Writing any file whose name contains `names` finds the disk full."""

    def full(weights: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(f"tunery.{names}.save_file", full)


def test_a_full_disk_costs_a_checkpoint_and_not_the_job(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    _full_disk(monkeypatch, "trainers.checkpoint")
    values = run(changed())
    notes = [value.message for value in values if isinstance(value, Note)]
    assert len(notes) == 3
    assert "disk is full: the checkpoint of step 3 was not saved" in notes[0]
    assert not any(isinstance(value, CheckpointSaved) for value in values)
    assert isinstance(values[-1], Finished)
    left = {path.name for path in (Path(changed().blobs) / changed().folder).iterdir()}
    assert left == {"adapter"}


def test_a_disk_that_will_be_full_is_said_before_the_first_step(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    first = run(changed())[0]
    assert isinstance(first, Note)
    assert "nearly full" in first.message


def test_a_disk_too_full_for_the_adapter_fails_the_job(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    _full_disk(monkeypatch, "modeling.adapter")
    failed = run(changed())[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "out_of_space"
    assert "disk is full" in failed.message.lower()
    assert list((Path(changed().blobs) / changed().folder).iterdir()) == []


def test_what_cannot_be_run_fails_in_clear_words(changed: Changed, blobs: Path) -> None:
    [target] = run(changed(target_modules=("c_attn",)))
    assert isinstance(target, Failed)
    assert target.param == "target_modules"
    rows = [chat("Hello", "two " * 3000)] + [chat("Hello", "two")] * 9
    write(blobs / "files" / "train", rows)
    [long] = run(changed())
    assert isinstance(long, Failed)
    assert long.code == "invalid_training_file"
    assert "line 1: has" in long.message
    write(blobs / "files" / "train", rows[:1])
    [dropped] = run(changed(overlong="drop"))
    assert isinstance(dropped, Failed)
    assert "no usable rows" in dropped.message


@pytest.mark.parametrize(
    ("overlong", "said"),
    [
        ("drop", "Left out because they are longer than the model takes: 1 rows."),
        ("truncate", "Cut to what the model takes: 1 rows."),
    ],
)
def test_rows_that_are_too_long_are_dropped_or_cut_as_asked(
    overlong: str, said: str, changed: Changed, blobs: Path
) -> None:
    write(blobs / "files" / "train", [chat("Hello", "two " * 3000)] + [chat("a", "two")] * 9)
    values = run(changed(overlong=overlong))
    assert said in [value.message for value in values if isinstance(value, Note)]
    assert isinstance(values[-1], Finished)


def test_a_fault_of_ours_is_not_dressed_up(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Base, stream: Stream) -> Losses:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Base, "losses", broken)
    [died] = run(request_)
    assert isinstance(died, Died)
    assert "mat1 and mat2 shapes" in died.message


@pytest.mark.parametrize(
    "module",
    [
        asks,
        checkpoint,
        company,
        pace,
        preparation,
        references,
        saving,
        text_dpo,
        text_methods,
        text_sft,
        threads,
    ],
)
def test_a_module_of_an_attempt_has_no_hidden_state(module: ModuleType) -> None:
    """Two attempts in one process do not meet in a module global."""
    assert not [
        name
        for name, value in vars(module).items()
        if isinstance(value, list | dict) and not name.startswith("__")
    ]
