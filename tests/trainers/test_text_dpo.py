"""A job on preferences learns, reports, saves, and goes on as if nothing had happened."""

import json
import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from threading import Event

import msgspec
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.trainers.conftest import Changed, Row, attempt, chat, preference, write
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Failed,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
)
from tunery.modeling.adapter import Adapter, load_adapter
from tunery.modeling.base import Base, Losses
from tunery.modeling.load import load_model
from tunery.modeling.stream import Stream
from tunery.trainers import references, text_dpo
from tunery.trainers.asks import Ask, Passes, Rows
from tunery.trainers.budget import Budget
from tunery.trainers.company import alone
from tunery.trainers.preparation import Training, prepare
from tunery.trainers.text_dpo import Pair, gradient

FOLDER = "runs/ftjob-0123456789abcdef01234567"
BETA = 0.3

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def rows(n: int, *, first: int = 0) -> list[Row]:
    """The better answer says how one is; the other asks back."""
    return [
        preference(
            f"Hello there {i}" + " two" * (i % 7),
            f"I am well {i % 3}.",
            "How are you" * (1 + i % 2),
        )
        for i in range(first, first + n)
    ]


@pytest.fixture
def request_(request_: RunRequest, blobs: Path) -> RunRequest:
    """Three epochs of three steps."""
    write(blobs / "files" / "train", rows(22))
    write(blobs / "files" / "valid", rows(5, first=100))
    asked = replace(request_.hyperparameters, beta=BETA, learning_rate=3e-3)
    return msgspec.structs.replace(request_, hyperparameters=asked)


def run(request: RunRequest, pause: Event | None = None) -> list[AnyProgress]:
    return list(attempt(request, pause))


def metrics(values: list[AnyProgress]) -> list[Metrics]:
    return [value for value in values if isinstance(value, Metrics)]


def curve(values: list[AnyProgress]) -> list[Metrics]:
    """What must not depend on interruptions: all of the metrics but time, and validation."""
    nothing = {"tokens_per_second": None, "remaining_s": None}
    valid = {name: None for name in Metrics.__struct_fields__ if name.startswith("full_valid")}
    return [msgspec.structs.replace(m, **nothing, **valid) for m in metrics(values)]


def adapter_of(request: RunRequest, values: list[AnyProgress]) -> Path:
    done = values[-1]
    assert isinstance(done, Finished)
    return Path(request.blobs) / done.adapter


def weights(folder: Path) -> dict[str, Tensor]:
    loaded: dict[str, Tensor] = load_file(folder / "adapter_model.safetensors")
    return loaded


def plain_log_likelihoods(model: torch.nn.Module, folder: str, path: str) -> Tensor:
    """`(P, 2)` by transformers alone, one answer at a time, in the order of the file."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for line in Path(path).read_text().splitlines():
        row = json.loads(line)
        asked = row["input"]["messages"]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        n_prompt = len(tokenizer(prompt)["input_ids"])
        for output in ("preferred_output", "non_preferred_output"):
            text = tokenizer.apply_chat_template(asked + row[output], tokenize=False)
            ids = tokenizer(text.removesuffix("\n"), return_tensors="pt")["input_ids"]
            logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            found.append(logp.gather(1, ids[0, 1:, None])[n_prompt - 1 :].sum())
    return torch.stack(found).view(-1, 2)


def pairs_of(training: Training, reference: Tensor) -> list[Pair]:
    segments = training.examples.segments(range(len(training.examples)), training.adapter)
    return [
        Pair(first=chosen, second=rejected, reference=kept)
        for chosen, rejected, kept in zip(segments[::2], segments[1::2], reference, strict=True)
    ]


def taught_adapter(changed: Changed) -> Path:
    """The adapter of a job without dropout, which has learnt something."""
    request = changed(lora_dropout=0.0, folder=f"{FOLDER}/taught")
    return adapter_of(request, run(request))


def test_a_job_learns_from_the_logarithm_of_two_down(request_: RunRequest) -> None:
    values = run(request_)
    steps = metrics(values)
    assert [m.step for m in steps] == list(range(1, 10))
    assert steps[0].train_loss == pytest.approx(math.log(2), abs=1e-5)
    assert steps[0].train_rewards_chosen == pytest.approx(0, abs=1e-4)
    assert steps[-1].train_loss < 0.55
    last = steps[-1]
    assert last.train_rewards_chosen is not None
    assert last.train_rewards_rejected is not None
    assert last.train_rewards_margins == last.train_rewards_chosen - last.train_rewards_rejected
    assert last.train_rewards_margins > 0.3
    assert last.train_rewards_accuracies == 1
    assert last.train_mean_token_accuracy is None
    finished = values[-1]
    assert isinstance(finished, Finished)
    assert finished.trained_tokens == last.trained_tokens == 3 * (steps[2].trained_tokens or 0)


def test_each_epoch_ends_with_a_checkpoint_and_an_evaluation(request_: RunRequest) -> None:
    values = run(request_)
    saved = [value for value in values if isinstance(value, CheckpointSaved)]
    assert [value.step for value in saved] == [3, 6, 9]
    assert [m for m in metrics(values) if m.full_valid_loss is not None] == [
        value.metrics for value in saved
    ]
    losses = [value.metrics.full_valid_loss or 0 for value in saved]
    assert losses == sorted(losses, reverse=True)
    assert saved[-1].metrics.full_valid_rewards_accuracies == 1


def test_figures_on_the_validation_file_are_those_of_plain_transformers(
    request_: RunRequest,
) -> None:
    saved = [value for value in run(request_) if isinstance(value, CheckpointSaved)][-1]
    path = str(request_.validation_file)
    base = AutoModelForCausalLM.from_pretrained(request_.location).eval()
    with torch.no_grad():
        reference = plain_log_likelihoods(base, request_.location, path)
        tuned = PeftModel.from_pretrained(base, f"{request_.blobs}/{saved.folder}").eval()
        policy = plain_log_likelihoods(tuned, request_.location, path)
    rewards = BETA * (policy - reference)
    margins = rewards[:, 0] - rewards[:, 1]
    found = saved.metrics
    assert found.full_valid_loss == pytest.approx(-logsigmoid(margins).mean().item(), abs=1e-4)
    assert found.full_valid_rewards_chosen == pytest.approx(rewards[:, 0].mean().item(), abs=1e-4)
    assert found.full_valid_rewards_rejected == pytest.approx(rewards[:, 1].mean().item(), abs=1e-4)
    assert found.full_valid_rewards_margins == pytest.approx(margins.mean().item(), abs=1e-4)
    assert found.full_valid_rewards_accuracies == (margins > 0).float().mean().item()


@pytest.mark.parametrize("max_rows", [2048, 90, 1])
def test_the_gradient_is_that_of_equation_7_however_it_is_cut(
    max_rows: int, changed: Changed
) -> None:
    taught = taught_adapter(changed)
    request = changed(lora_dropout=0.0)
    base = AutoModelForCausalLM.from_pretrained(request.location).eval()
    with torch.no_grad():
        reference = plain_log_likelihoods(base, request.location, request.training_file)
    model = PeftModel.from_pretrained(base, str(taught), is_trainable=True).eval()
    policy = plain_log_likelihoods(model, request.location, request.training_file)
    ratios = policy - reference
    (-logsigmoid(BETA * (ratios[:, 0] - ratios[:, 1]))).mean().backward()
    expected = {
        name.replace(".default", ""): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }

    training, _ = prepare(request, Base(load_model(request.location).model))
    training.adapter = load_adapter(training.base.places, taught)
    pairs = pairs_of(training, reference)
    list(alone(training.base, into([], gradient(training.adapter, pairs, Budget(max_rows), BETA))))
    found = gradients(training.adapter)
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        assert wanted is not None
        assert torch.allclose(found[name], wanted, atol=2e-6, rtol=1e-4), name


def gradients(adapter: Adapter) -> dict[str, Tensor]:
    """Under PEFT's names, as `named_weights` gives the weights."""
    for part in adapter.parts.values():
        part.down_master, part.up_master = part.down_grad, part.up_grad
    return dict(adapter.named_weights())


def test_a_pair_in_turn_drops_what_it_drops_together(changed: Changed) -> None:
    """Only one answer fits: the weights of the loss come from the masks that the gradient has."""
    request = changed(lora_dropout=0.5)
    training, _ = prepare(request, Base(load_model(request.location).model))
    training.adapter.master.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(0))
    training.adapter.refresh()
    [pair] = pairs_of(training, torch.zeros(22, 2))[:1]
    adapter = training.adapter
    drawn = adapter.dropout.get_state()
    policy = torch.cat(
        [
            training.base.log_likelihoods(training.base.stream([s]))
            for s in (pair.first, pair.second)
        ]
    )
    losses, _ = text_dpo.preference_loss(policy[None], torch.zeros(1, 2), BETA)
    adapter.grad.zero_()
    losses.sum().backward()
    expected = adapter.grad.clone()
    adapter.dropout.set_state(drawn)
    found: list[text_dpo.Rewards] = []
    list(alone(training.base, into(found, gradient(adapter, [pair], Budget(1), BETA))))
    assert found[0].loss == pytest.approx(losses.item(), rel=1e-6)
    assert torch.allclose(adapter.grad, expected, atol=1e-7)


def into(
    found: list[text_dpo.Rewards], passes: Passes[text_dpo.Rewards]
) -> Generator[Ask, Rows, None]:
    """A job that only makes `passes`, and leaves what they return in `found`."""
    found.append((yield from passes))


@pytest.mark.parametrize("stop_after", [1, 3, 4, 8])
def test_a_paused_job_goes_on_as_if_nothing_had_happened(stop_after: int, changed: Changed) -> None:
    whole = run(changed(folder=f"{FOLDER}/whole"))
    pause = Event()
    first: list[AnyProgress] = []
    for value in attempt(changed(folder=f"{FOLDER}/1"), pause):
        first.append(value)
        if isinstance(value, Metrics) and value.step == stop_after - 1:
            pause.set()
        if stop_after == 1:
            pause.set()
    saved, paused = first[-2:]
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(paused, Paused)
    second = run(changed(folder=f"{FOLDER}/2", resume_from=saved.folder))

    assert curve(first + second) == curve(whole)
    ours, theirs = (weights(adapter_of(changed(), values)) for values in (whole, second))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kept", [True, False])
def test_a_killed_job_measures_itself_on_what_it_started_from(
    kept: bool, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"validation_file": None}
    whole = run(changed(folder=f"{FOLDER}/whole", **plain))
    killed: list[AnyProgress] = []
    for value in attempt(changed(folder=f"{FOLDER}/1", **plain)):
        killed.append(value)
        if isinstance(value, Metrics) and value.step == 5:
            break
    folder = Path(changed().blobs) / FOLDER
    assert len(list(folder.glob("1/reference-*.safetensors"))) == 1
    if kept:
        monkeypatch.setattr(text_dpo, "log_likelihoods", None)
    else:
        references.forget(folder / "1")
    resumed = run(changed(folder=f"{FOLDER}/2", resume_from=f"{FOLDER}/1/step-00000003", **plain))
    assert curve(killed)[:3] + curve(resumed) == curve(whole)
    assert not list(folder.glob("*/reference-*"))


def test_a_torn_file_of_the_reference_is_made_again(changed: Changed) -> None:
    whole = run(changed(folder=f"{FOLDER}/whole"))
    for value in attempt(changed(folder=f"{FOLDER}/1")):
        if isinstance(value, CheckpointSaved):
            break
    for path in (Path(changed().blobs) / FOLDER).glob("1/reference-*"):
        path.write_bytes(path.read_bytes()[:-5])
    resumed = run(changed(folder=f"{FOLDER}/2", resume_from=f"{FOLDER}/1/step-00000003"))
    assert curve(resumed) == curve(whole)[3:]


def test_a_continued_job_is_held_to_the_adapter_that_it_is_given(changed: Changed) -> None:
    request = changed(folder=f"{FOLDER}/first")
    first = run(request)
    given = adapter_of(request, first)
    key = str(given.relative_to(request.blobs))
    second = run(changed(folder=f"{FOLDER}/second", initial_adapter=key, lora_dropout=0.0))
    begins, ends = metrics(second)[0], metrics(second)[-1]
    assert begins.train_loss == pytest.approx(math.log(2), abs=1e-5)
    assert begins.train_rewards_chosen == pytest.approx(0, abs=1e-4)
    assert ends.train_rewards_margins is not None
    assert ends.train_rewards_margins > 0.3

    base = AutoModelForCausalLM.from_pretrained(request.location).eval()
    path = str(request.validation_file)
    with torch.no_grad():
        started = PeftModel.from_pretrained(base, str(given)).eval()
        reference = plain_log_likelihoods(started, request.location, path)
    other = AutoModelForCausalLM.from_pretrained(request.location).eval()
    with torch.no_grad():
        tuned = PeftModel.from_pretrained(other, str(adapter_of(request, second))).eval()
        policy = plain_log_likelihoods(tuned, request.location, path)
    margins = BETA * ((policy - reference)[:, 0] - (policy - reference)[:, 1])
    assert ends.full_valid_rewards_margins == pytest.approx(margins.mean().item(), abs=1e-4)


def test_running_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(changed(lora_dropout=0.0))
    losses = Base.losses

    def small(self: Base, stream: Stream) -> Losses:
        if stream.size > 70:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return losses(self, stream)

    monkeypatch.setattr(Base, "losses", small)
    values = run(changed(lora_dropout=0.0, folder=f"{FOLDER}/2"))
    [note] = [value for value in values if isinstance(value, Note)]
    assert note.level == "warn"
    assert "with 4096 tokens at a time; going on with 64" in note.message
    assert isinstance(values[-1], Finished)
    for ours, theirs in zip(metrics(values), metrics(whole), strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=1e-5)
        assert ours.full_valid_loss == pytest.approx(theirs.full_valid_loss, abs=1e-5)


def test_a_loss_that_is_not_a_number_fails_the_job_and_keeps_its_checkpoints(
    changed: Changed,
) -> None:
    asked = replace(changed().hyperparameters, learning_rate=1e30)
    failed = run(changed(hyperparameters=asked))[-1]
    assert isinstance(failed, Failed)
    assert failed.code == "not_finite"
    assert "step 2" in failed.message


def test_conversations_are_no_preferences(changed: Changed, blobs: Path) -> None:
    write(blobs / "files" / "train", [*rows(3), chat("two", "Four."), *rows(8)])
    [failed] = run(changed())
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_training_file"
    assert "line 4: is no preference, which this job cannot learn from" in failed.message


def test_a_pair_with_an_answer_that_is_too_long_is_dropped_or_cut_as_asked(
    changed: Changed, blobs: Path
) -> None:
    write(blobs / "files" / "train", [preference("a", "two " * 3000, "two"), *rows(10)])
    for overlong, said in (
        ("drop", "Left out because they are longer than the model takes: 1 rows."),
        ("truncate", "Cut to what the model takes: 1 rows."),
    ):
        values = run(changed(overlong=overlong, folder=f"{FOLDER}/{overlong}"))
        assert said in [value.message for value in values if isinstance(value, Note)]
        assert isinstance(values[-1], Finished)


def test_the_card_says_how_the_adapter_was_made(request_: RunRequest) -> None:
    card = (adapter_of(request_, run(request_)) / "README.md").read_text()
    assert "made by direct preference optimization" in card
    assert "| beta | 0.3 |" in card
    assert "assistant's tokens alone" not in card
