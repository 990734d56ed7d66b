"""What an attempt needs before its first step: base, data, adapter, and how far the job is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tunery.core.errors import InvalidValue
from tunery.core.lora import LoraConfig
from tunery.core.progress import Note, RunRequest
from tunery.modeling.adapter import Adapter, load_adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.folders import resolve_base
from tunery.modeling.load import load_tokenizer
from tunery.modeling.optimizer import AdamW, learning_rate
from tunery.trainers import checkpoint, disk, memory, token_cache
from tunery.trainers.budget import Budget
from tunery.trainers.checkpoint import Position
from tunery.trainers.resuming import check_same, resumed
from tunery.trainers.text_data import Examples, Which, batches, load_examples

# Rows of a pass to begin with: the second where what they keep is little of the memory there is.
_ROWS_ON_CPU = 2048
_MOST_ON_CPU = 4096
_LITTLE = 1 / 8
_MOST_ON_CUDA = 16384
# So many keep a GPU busy: where fewer fit, layers rather keep nothing and are computed again.
_FEWEST_ON_CUDA = 4096

# What an attempt must agree on with the one that it goes on from.
_SAME = ("total_steps", "n_rows", "batch_size", "seed")


@dataclass(kw_only=True)
class Training:
    """One attempt at a job, ready to learn.

    Attributes:
        position: how far the job has come.
        saved_step: the step of the last checkpoint of this attempt, or the one it began from.
    """

    request: RunRequest
    base: Base
    chat: Chat
    adapter: Adapter
    optimizer: AdamW
    examples: Examples
    validation: Examples | None
    budget: Budget
    position: Position
    saved_step: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one pass over the data."""
        return math.ceil(self.position.n_rows / self.position.batch_size)

    def rate(self, step: int) -> float:
        """The learning rate of a step: up over the warm-up, then linear to zero."""
        asked = self.request.hyperparameters
        return learning_rate(
            step,
            n_steps=self.position.total_steps,
            peak=asked.learning_rate,
            warmup=asked.warmup_ratio,
            decay="linear",
        )

    def batches(self) -> Iterator[list[int]]:
        """The rows of each step that is left."""
        return batches(
            self.position.n_rows,
            batch_size=self.position.batch_size,
            n_epochs=self.request.hyperparameters.n_epochs,
            seed=self.position.seed,
            first_step=self.position.step + 1,
        )

    def folder(self, name: str) -> tuple[str, Path]:
        """The blob key of something that this attempt writes, and where it is."""
        key = f"{self.request.folder}/{name}"
        return key, Path(self.request.blobs) / key


def prepare(request: RunRequest, base: Base) -> tuple[Training, list[Note]]:
    """Load the data, and the adapter as the job starts from it."""
    # A tokenizer of its own: one cannot be used from two threads.
    chat = Chat(load_tokenizer(resolve_base(request.location)))
    examples = _examples(Path(request.training_file), request, chat, base.context, "training")
    validation = _validation(request, chat, base.context)
    adapter = _adapter(request, base)
    training = Training(
        request=request,
        base=base,
        chat=chat,
        adapter=adapter,
        optimizer=AdamW(adapter, weight_decay=request.hyperparameters.weight_decay),
        examples=examples,
        validation=validation,
        budget=rows_at_a_time(base),
        position=_beginning(request, examples),
        saved_step=0,
    )
    room = disk.about_room(Path(request.blobs), checkpoint.size_bytes(adapter))
    return training, [*_about_data(examples), *room]


def rows_at_a_time(base: Base) -> Budget:
    """The budget to begin with."""
    fitting = base.rows_that_fit
    if fitting is None:
        # Of all memory, not of what is free just now: a job is cut alike whenever it begins.
        most = memory.of_activations(base, _MOST_ON_CPU)
        is_little = most <= _LITTLE * memory.available_bytes(base.device)
        return Budget(_MOST_ON_CPU if is_little else _ROWS_ON_CPU)
    return Budget(min(_MOST_ON_CUDA, max(_FEWEST_ON_CUDA, fitting)))


def _examples(
    path: Path, request: RunRequest, chat: Chat, context: int | None, which: Which
) -> Examples:
    """The rows of a file, as they were tokenised before or as they are now."""

    def read() -> Examples:
        return load_examples(
            path,
            chat,
            context=context,
            overlong=request.overlong,
            which=which,
            width=_width(request),
        )

    if path.stat().st_size < token_cache.WORTH_BYTES:
        return read()
    key = token_cache.key(path, resolve_base(request.location), context, request.overlong)
    return token_cache.cached(Path(request.blobs) / request.folder, key, read)


def _width(request: RunRequest) -> int:
    """Sequences of a row: where preferences are learnt, a row has two answers."""
    return 1 if request.hyperparameters.beta is None else 2


def _validation(request: RunRequest, chat: Chat, context: int | None) -> Examples | None:
    if request.validation_file is None:
        return None
    examples = _examples(Path(request.validation_file), request, chat, context, "validation")
    if not len(examples):
        raise InvalidValue("the validation file has no usable rows", param="validation_file")
    return examples


def _adapter(request: RunRequest, base: Base) -> Adapter:
    """A fresh adapter, or the one that a continued job starts from."""
    if request.initial_adapter is None:
        config = LoraConfig(
            r=request.r,
            lora_alpha=request.lora_alpha,
            lora_dropout=request.lora_dropout,
            target_modules=request.target_modules,
        )
        return Adapter(base.places, config, seed=request.seed)
    adapter = load_adapter(
        base.places, Path(request.blobs) / request.initial_adapter, seed=request.seed
    )
    adapter.config = replace(adapter.config, lora_dropout=request.lora_dropout)
    return adapter


def _beginning(request: RunRequest, examples: Examples) -> Position:
    n_rows, asked = len(examples), request.hyperparameters
    if not n_rows:
        raise InvalidValue("the training file has no usable rows", param="training_file")
    return Position(
        step=0,
        total_steps=asked.n_epochs * math.ceil(n_rows / asked.batch_size),
        n_rows=n_rows,
        batch_size=asked.batch_size,
        seed=request.seed,
        trained_tokens=0,
        max_rows=0,
    )


def _about_data(examples: Examples) -> list[Note]:
    """What of the file is not learnt from as it stands."""
    said = [
        (examples.n_dropped, "Left out because they are longer than the model takes"),
        (examples.n_cut, "Cut to what the model takes"),
        (examples.n_silent, "Left out because they teach nothing"),
    ]
    return [Note(level="warn", message=f"{what}: {n} rows.") for n, what in said if n]


def resume(training: Training) -> list[Note]:
    """Go on from the checkpoint that was asked for, or from the last whole one before it."""
    beginning = training.position

    def load(folder: Path) -> Position:
        position = checkpoint.load(folder, adapter=training.adapter, optimizer=training.optimizer)
        check_same(beginning, position, _SAME)
        return position

    position, notes = resumed(training.request, load)
    if position is not None:
        training.position, training.saved_step = position, position.step
        training.budget.max_rows = position.max_rows
    return notes
