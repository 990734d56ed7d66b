"""Whatever jobs in company are at, on whatever base, each gets what it gets alone."""

from collections import deque
from dataclasses import replace
from pathlib import Path
from threading import Event

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from tests.modeling.models import tiny_model
from tests.modeling.templates import CHATML, tokenizer
from tests.trainers.conftest import Changed, attempt, chat, preference, write
from tunery.core.progress import AnyProgress, Finished, Metrics, RunRequest
from tunery.modeling.base import Base, Losses
from tunery.modeling.load import load_model
from tunery.modeling.stream import Stream
from tunery.trainers.attempt import carry_out
from tunery.trainers.budget import Budget
from tunery.trainers.company import Company
from tunery.trainers.failures import told

N_STEPS = 6


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("gemma2", "lfm2")]


@pytest.fixture(scope="module", params=["llama", "mamba", *LONG])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models; in two of them state crosses segments, so that streams are grids."""
    folder = tmp_path_factory.mktemp("model")
    tiny_model(request.param, vocabulary=448).save_pretrained(folder)
    tokenizer(CHATML, eos="<|im_end|>").save_pretrained(folder)
    return folder


@pytest.fixture
def requests(changed: Changed, blobs: Path, folder: Path) -> list[RunRequest]:
    """With dropout, long evaluations, preferences to be measured first, and rows of all lengths."""
    rows = [chat(f"Hello there {i}" + " two" * (i % 13), f"I am well {i}.") for i in range(12)]
    pairs = [
        preference(f"Hello there {i}" + " two" * (i % 5), f"I am well {i % 3}.", "How are you")
        for i in range(12)
    ]
    train, prefer = write(blobs / "rows", rows), write(blobs / "pairs", pairs)
    valid = write(blobs / "many", rows * 6)
    valid_pairs = write(blobs / "many-pairs", pairs * 2)
    made = []
    for number, (beta, validation, dropout, r) in enumerate(
        [
            (None, None, 0.3, 4),
            (None, valid, 0.0, 2),
            (0.3, valid_pairs, 0.2, 3),
            (0.1, None, 0.0, 8),
        ]
    ):
        asked = replace(
            changed().hyperparameters, n_epochs=2, batch_size=4, learning_rate=3e-3, beta=beta
        )
        made.append(
            changed(
                location=str(folder),
                folder=f"runs/job-{number}/1",
                training_file=str(train if beta is None else prefer),
                validation_file=validation and str(validation),
                hyperparameters=asked,
                r=r,
                lora_dropout=dropout,
                seed=number,
            )
        )
    return made


def weights(request: RunRequest, values: list[AnyProgress]) -> torch.Tensor:
    done = values[-1]
    assert isinstance(done, Finished), done
    saved = load_file(Path(request.blobs) / done.adapter / "adapter_model.safetensors")
    return torch.cat([saved[name].flatten() for name in sorted(saved)])


def numbers(values: list[AnyProgress]) -> list[float]:
    """All that is measured of a job but time.

    Which answer has the higher reward is left out of the first step: both still have none.
    """
    return [
        number
        for value in values
        if isinstance(value, Metrics)
        for name, number in msgspec.structs.asdict(value).items()
        if isinstance(number, float) and name.startswith(("train_", "full_valid_"))
        if value.step > 1 or not name.endswith("accuracies")
    ]


def together(
    base: Base, requests: list[RunRequest], *, max_rows: int, leaving: RunRequest | None = None
) -> dict[str, list[AnyProgress]]:
    """What jobs say in company; each joins a few rounds after the one before."""
    company: Company[AnyProgress] = Company(base, Budget(max_rows))
    coming = deque(requests)
    said: dict[str, list[AnyProgress]] = {request.folder: [] for request in requests}
    n_rounds = 0
    while coming or len(company):
        if coming and n_rounds % 3 == 0:
            request = coming.popleft()
            company.join(request.folder, told(carry_out(request, base, Event())))
        for name, value in company.round():
            said[name].append(value)
        if leaving is not None and n_rounds == 8:
            company.leave(leaving.folder)
        n_rounds += 1
    return said


def is_as_alone(request: RunRequest, values: list[AnyProgress]) -> None:
    lonely = msgspec.structs.replace(request, folder=request.folder.replace("job", "alone"))
    expected = list(attempt(lonely))
    ours, theirs = numbers(values), numbers(expected)
    assert len(ours) == len(theirs) > N_STEPS
    assert ours == pytest.approx(theirs, abs=1e-5)
    difference = weights(request, values) - weights(lonely, expected)
    assert difference.norm() < 1e-4 * weights(lonely, expected).norm()


@pytest.mark.parametrize("max_rows", [2048, 150])
def test_each_is_as_alone(max_rows: int, folder: Path, requests: list[RunRequest]) -> None:
    """Also beside one that is dropped in the middle of things."""
    base = Base(load_model(str(folder)).model)
    dropped = msgspec.structs.replace(requests[2], folder="runs/dropped/1", seed=9)
    said = together(
        base, [*requests[:2], dropped, *requests[2:]], max_rows=max_rows, leaving=dropped
    )
    assert not any(isinstance(value, Finished) for value in said[dropped.folder])
    for request in requests:
        is_as_alone(request, said[request.folder])


@pytest.mark.parametrize("most_rows", [130, 60])
def test_each_is_as_alone_where_memory_is_short(
    most_rows: int, folder: Path, requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes are cut, pairs go by halves, and dropout is drawn as where nothing was tried twice."""
    base = Base(load_model(str(folder)).model)
    plain = [msgspec.structs.replace(request, lora_dropout=0.0) for request in requests]
    losses = Base.losses

    def small(self: Base, stream: Stream) -> Losses:
        if stream.size > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return losses(self, stream)

    with monkeypatch.context() as patch:
        patch.setattr(Base, "losses", small)
        said = together(base, plain, max_rows=2048)
    for request in plain:
        is_as_alone(request, said[request.folder])


def test_a_pass_takes_as_many_as_before_once_one_of_them_has_left(
    folder: Path, requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory was short beside one; then there is room for all others in a pass again."""
    base = Base(load_model(str(folder)).model)
    plain = [msgspec.structs.replace(request, validation_file=None) for request in requests[:2]]
    large = msgspec.structs.replace(plain[0], folder="runs/large/1", r=64)
    company: Company[AnyProgress] = Company(base, Budget(2048))
    shared: list[int] = []
    losses = Base.losses

    def short(self: Base, stream: Stream) -> Losses:
        ranks = [span.adapter.config.r for span in stream.spans if span.adapter is not None]
        if 64 in ranks and len(ranks) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        shared.append(len(ranks))
        return losses(self, stream)

    monkeypatch.setattr(Base, "losses", short)
    for request in (large, *plain):
        company.join(request.folder, told(carry_out(request, base, Event())))
    for _ in range(14):
        list(company.round())
    assert max(shared) == 1
    company.leave(large.folder)
    while len(company):
        list(company.round())
    assert max(shared) == 2
