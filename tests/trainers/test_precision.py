"""What a job computes in is measured once per base and machine, and clear."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.conftest import Changed, attempt
from tunery.core.errors import Unsupported
from tunery.core.lora import LoraConfig
from tunery.core.progress import AnyProgress, Finished, Metrics, PreflightRequest
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.load import load_model, load_tokenizer
from tunery.trainers import precision
from tunery.trainers.failures import NotFinite
from tunery.trainers.precision import Choice, choose
from tunery.trainers.trial import some_rows

Gains = list[float | Exception]


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> Gains:
    """What is found when it is measured, one after the other."""
    found: Gains = []

    def gain(*_: object, **__: object) -> float:
        if isinstance(first := found.pop(0), Exception):
            raise first
        return first

    monkeypatch.setattr(precision, "_gain", gain)
    monkeypatch.setattr(precision, "default_device", lambda: torch.device("cpu"))
    return found


@pytest.fixture
def asked(model_folder: Path, blobs: Path) -> PreflightRequest:
    return PreflightRequest(
        location=str(model_folder),
        training_file=str(blobs / "files" / "train"),
        measurements=str(blobs / "measurements"),
    )


def chosen(request: PreflightRequest) -> Choice:
    chat = Chat(load_tokenizer(Path(request.location)))
    return choose(request, chat, n_rows=8, context=2048)


def changed_to(request: PreflightRequest, **fields: object) -> PreflightRequest:
    return msgspec.structs.replace(request, **fields)


def test_what_was_asked_for_is_not_measured(asked: PreflightRequest, gains: Gains) -> None:
    assert chosen(changed_to(asked, precision="bf16")) == Choice(precision="bf16")
    assert chosen(changed_to(asked, quantization="nf4")) == Choice(precision="fp32")
    assert chosen(changed_to(asked, measurements=None)) == Choice(precision="fp32")
    assert gains == []


def test_a_gpu_computes_in_bf16(
    asked: PreflightRequest, gains: Gains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "default_device", lambda: torch.device("cuda"))
    assert chosen(asked) == Choice(precision="bf16")


@pytest.mark.parametrize(("gain", "name"), [(0.4, "fp32"), (1.29, "fp32"), (1.31, "bf16")])
def test_bf16_is_for_where_it_is_clearly_faster(
    asked: PreflightRequest, gains: Gains, gain: float, name: str
) -> None:
    gains += [gain]
    assert (chosen(asked).precision, gains) == (name, [])


def test_a_base_is_measured_once(
    asked: PreflightRequest, gains: Gains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains += [1.6, 0.9, 1.1]
    first = chosen(asked)
    assert (first.precision, first.bf16_gain) == ("bf16", 1.6)
    assert chosen(asked) == first
    assert len(gains) == 2

    other = shutil.copytree(asked.location, tmp_path / "other")
    assert chosen(changed_to(asked, location=str(other))) == first  # the same base elsewhere
    config = other / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 1e-5}))
    assert chosen(changed_to(asked, location=str(other))).bf16_gain == 0.9
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert chosen(asked).bf16_gain == 1.1


def test_of_two_that_measure_at_the_same_time_both_go_by_the_first(
    asked: PreflightRequest, gains: Gains, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gain(*_: object, **__: object) -> float:
        monkeypatch.undo()
        monkeypatch.setattr(precision, "_gain", lambda *_, **__: 1.2)
        assert chosen(asked).precision == "fp32"
        return 1.4

    monkeypatch.setattr(precision, "_gain", gain)
    assert chosen(asked) == Choice(precision="fp32", bf16_gain=1.2)
    assert len(list(Path(str(asked.measurements)).iterdir())) == 1


def test_what_cannot_be_kept_is_decided_all_the_same(asked: PreflightRequest, gains: Gains) -> None:
    gains += [1.6, 1.7]
    for gain in (1.6, 1.7):
        nowhere = changed_to(asked, measurements=f"{asked.measurements}/no/folder")
        assert chosen(nowhere) == Choice(precision="bf16", bf16_gain=gain)


def test_a_damaged_file_is_measured_anew(asked: PreflightRequest, gains: Gains) -> None:
    gains += [1.6, 1.1]
    chosen(asked)
    [file] = Path(str(asked.measurements)).iterdir()
    file.write_bytes(b'{"precision": "bf')
    assert chosen(asked).bf16_gain == 1.1
    assert chosen(asked).bf16_gain == 1.1


@pytest.mark.parametrize(
    "refused",
    [
        Unsupported("no adapters on it", param="model"),
        RuntimeError("not in bf16"),
        NotFinite("the loss of step 1 is nan"),
        IndexError("index out of range in self"),
    ],
)
def test_a_base_that_bf16_cannot_be_tried_on_stays_in_fp32(
    asked: PreflightRequest, gains: Gains, refused: Exception
) -> None:
    gains += [refused, 1.6]
    assert chosen(asked) == Choice(precision="fp32")
    assert chosen(asked).precision == "bf16"  # nothing was kept


def test_steps_are_measured_where_products_gain_and_the_base_is_small(
    asked: PreflightRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(precision, "_gain_of_steps", lambda *_, **__: 1.1)
    places = iter(range(9))

    def found(products: float) -> float | None:
        monkeypatch.setattr(precision, "_gain_of_products", lambda _: products)
        folder = f"{asked.measurements}-{next(places)}"
        return chosen(changed_to(asked, measurements=folder)).bf16_gain

    assert found(0.3) == 0.3
    assert found(2.1) == 1.1
    monkeypatch.setattr(precision, "_SMALL_BYTES", 1000)
    assert found(2.1) == 2.1


def test_the_best_turns_are_compared_after_one_to_warm_up() -> None:
    def scripted(seconds: Sequence[float]) -> Iterator[float]:
        yield from seconds

    turns = {"fp32": scripted([0.01, 4, 2, 3]), "bf16": scripted([9, 1.5, 8, 1])}
    assert precision._ratio(turns) == 2  # type: ignore[arg-type]


def test_it_is_measured_for_real(asked: PreflightRequest) -> None:
    chat = Chat(load_tokenizer(Path(asked.location)))
    assert precision._gain_of_products(Path(asked.location)) > 0
    assert precision._gain_of_steps(asked, chat, n_rows=4, context=2048) > 0
    found = chosen(asked)
    assert found.precision in ("fp32", "bf16")
    assert found.bf16_gain is None or (found.bf16_gain >= 1.3) == (found.precision == "bf16")


def test_what_was_learnt_in_bf16_is_served_in_fp32(changed: Changed, blobs: Path) -> None:
    values = list(attempt(changed(folder="runs/a/1", precision="bf16", lora_dropout=0.0)))
    finished = values[-1]
    assert isinstance(finished, Finished)
    weights = load_file(blobs / finished.adapter / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}

    # At a rate of next to nothing it stays as it is while the base, now in fp32, is asked.
    asked = changed(folder="runs/b/1", initial_adapter=finished.adapter, lora_dropout=0.0)
    gentle = replace(asked.hyperparameters, learning_rate=1e-30)
    served = list(attempt(msgspec.structs.replace(asked, hyperparameters=gentle)))
    assert loss(served) == pytest.approx(loss(values), abs=5e-3)


def loss(values: Sequence[AnyProgress]) -> float | None:
    """Of the validation file, in the end."""
    return [value for value in values if isinstance(value, Metrics)][-1].full_valid_loss


def test_rows_of_a_trial_are_no_longer_than_the_model_takes(asked: PreflightRequest) -> None:
    chat = Chat(load_tokenizer(Path(asked.location)))
    base = Base(load_model(asked.location).model)
    adapter = Adapter(base.places, LoraConfig(r=1))
    rows = some_rows(asked, chat, adapter, n_rows=8, room=200, context=20)
    assert rows
    assert max(len(row.ids) for row in rows) == 20
    assert all(row.n_taught for row in rows)
