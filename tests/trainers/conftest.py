"""A tiny model on disk, data files, and requests to train on them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from transformers.utils import logging

from tests.modeling.models import tiny_model
from tests.modeling.templates import CHATML, tokenizer
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.progress import Alive, AnyProgress, RunRequest
from tunery.modeling.base import Base
from tunery.modeling.load import dtype_of, load_model
from tunery.trainers.attempt import carry_out
from tunery.trainers.company import Job, alone
from tunery.trainers.failures import told

Row = dict[str, Any]


def chat(asked: str, answer: str, **more: object) -> Row:
    """A row with one turn."""
    return {
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ],
        **more,
    }


def preference(asked: str, chosen: str, rejected: str) -> Row:
    """A row with two answers to one question."""
    return {
        "input": {"messages": [{"role": "user", "content": asked}]},
        "preferred_output": [{"role": "assistant", "content": chosen}],
        "non_preferred_output": [{"role": "assistant", "content": rejected}],
    }


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model that takes 2,048 tokens."""
    folder = tmp_path_factory.mktemp("model")
    logging.disable_progress_bar()
    tiny_model("llama", vocabulary=448).save_pretrained(folder)
    tokenizer(CHATML, eos="<|im_end|>").save_pretrained(folder)
    return folder


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """The folder that blob keys start from, with two data files."""
    folder = tmp_path / "blobs"
    (folder / "files").mkdir(parents=True)
    rows = [chat(f"Hello there {i}" + " two" * (i % 7), f"I am well {i % 3}.") for i in range(22)]
    write(folder / "files" / "train", rows)
    write(folder / "files" / "valid", [chat("Hello there", f"I am well {i}.") for i in range(5)])
    return folder


def write(path: Path, rows: list[Row]) -> Path:
    """A file with a row on each line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def request_(model_folder: Path, blobs: Path) -> RunRequest:
    """Three epochs of three steps."""
    return RunRequest(
        job_id="ftjob-0123456789abcdef01234567",
        base_model="tiny",
        location=str(model_folder),
        training_file=str(blobs / "files" / "train"),
        validation_file=str(blobs / "files" / "valid"),
        blobs=str(blobs),
        folder="runs/ftjob-0123456789abcdef01234567/1",
        hyperparameters=ResolvedHyperparameters(
            n_epochs=3, batch_size=8, learning_rate_multiplier=1.0, learning_rate=1e-2
        ),
        r=4,
        lora_alpha=8,
        lora_dropout=0.2,
        target_modules="all-linear",
        seed=7,
        overlong="error",
        sample_prompts=(),
    )


def attempt(request: RunRequest, pause: Event | None = None) -> Iterator[AnyProgress]:
    """What an attempt says by itself on its base, but for being alive."""
    loaded = load_model(
        request.location, quantization=request.quantization, dtype=dtype_of(request.precision)
    )
    base = Base(loaded.model)
    job: Job[AnyProgress] = told(carry_out(request, base, pause or Event()))
    values: Iterator[AnyProgress] = alone(base, job)
    for value in values:
        if not isinstance(value, Alive):
            yield value


Changed = Callable[..., RunRequest]


@pytest.fixture
def changed(request_: RunRequest) -> Changed:
    """The request with some fields changed."""

    def change(**fields: object) -> RunRequest:
        return msgspec.structs.replace(request_, **fields)

    return change
