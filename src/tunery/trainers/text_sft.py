"""Supervised tuning of a text model: next-token loss on what the assistant says, with LoRA.

`carry_out` is one attempt at a job from its request to its adapter; `learn` is the loop in it.
"""

from __future__ import annotations

import errno
import logging
import math
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import msgspec
import torch

from tunery.core.errors import InvalidValue, OutOfSpace
from tunery.core.lora import LoraConfig
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
)
from tunery.modeling.adapter import Adapter, load_adapter, save_adapter
from tunery.modeling.base import Base, Score
from tunery.modeling.chat import Chat
from tunery.modeling.load import load_model
from tunery.modeling.optimizer import AdamW, learning_rate
from tunery.modeling.stream import Segment, micro_batches, shared
from tunery.trainers import checkpoint, memory, token_cache
from tunery.trainers.card import model_card
from tunery.trainers.checkpoint import DamagedCheckpoint, Position
from tunery.trainers.text_data import Examples, batches, load_examples

_log = logging.getLogger(__name__)

# Rows of a micro-batch to begin with.
_ROWS_ON_CPU = 2048
_ROWS_ON_CUDA = 16384
# A micro-batch that needs less than this part of the memory is not tried before the first step.
_PLENTY = 20
# Steps whose pace says how long the rest will take.
_PACE_STEPS = 20

# The folders of checkpoints begin so; the step follows in eight digits, so that they sort by age.
_CHECKPOINT = "step-"

# The best, the last three, and the one that is being written.
_KEPT_CHECKPOINTS = 5

_DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT}


class NotFinite(ArithmeticError):
    """A loss or a gradient is infinite or not a number."""


@dataclass
class Budget:
    """How many rows go through the model at a time; less once memory has run out."""

    max_rows: int

    def halve(self) -> None:
        """Try with half, from now on."""
        self.max_rows = max(1, self.max_rows // 2)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one optimizer step gave. `seconds` are its own, `rows` those of its streams."""

    number: int
    nats: float
    correct: int
    taught: int
    rows: int
    seconds: float
    learning_rate: float

    @property
    def loss(self) -> float:
        """Mean over the taught tokens, in nats."""
        return self.nats / self.taught

    @property
    def accuracy(self) -> float:
        """The share of taught tokens that were the likeliest."""
        return self.correct / self.taught


def learn(
    base: Base,
    optimizer: AdamW,
    steps: Iterable[list[Segment]],
    rate: Callable[[int], float],
    budget: Budget,
    *,
    first_step: int = 1,
) -> Iterator[Step | Note]:
    """Take one optimizer step per list of segments, and say what each gave.

    The loss is a mean over the taught tokens of the whole step; so cutting a step into more
    micro-batches changes memory, not the gradient.

    Raises:
        NotFinite: the loss or its gradient is no finite number; the weights are as they were.
    """
    for number, segments in enumerate(steps, start=first_step):
        began = time.perf_counter()
        scores = yield from gradient(base, optimizer.adapter, segments, budget)
        nats, taught = sum(s.nats for s in scores), sum(s.taught for s in scores)
        if not math.isfinite(nats):
            raise NotFinite(f"the loss of step {number} is {nats}")
        try:
            optimizer.step(rate(number))
        except ArithmeticError as error:
            raise NotFinite(f"in step {number}, {error}") from error
        yield Step(
            number=number,
            nats=nats,
            correct=sum(s.correct for s in scores),
            taught=taught,
            rows=sum(segment.n_rows for segment in segments),
            seconds=time.perf_counter() - began,
            learning_rate=rate(number),
        )


def gradient(
    base: Base, adapter: Adapter, segments: Sequence[Segment], budget: Budget
) -> Generator[Note, None, list[Score]]:
    """Let the gradient of one step stand in the adapter.

    Returns:
        The scores of the segments, in no order.
    """
    drawn = adapter.dropout.get_state()

    def attempt() -> list[Score]:
        adapter.grad.zero_()
        adapter.dropout.set_state(drawn)
        scores: list[Score] = []
        for micro_batch in _cut(base, shared(segments), budget):
            scores += base.step(base.stream(micro_batch))
        return scores

    return (yield from fitting(base, budget, attempt))


def evaluate(
    base: Base, adapter: Adapter, examples: Examples, budget: Budget
) -> Generator[Note, None, tuple[float, float]]:
    """Measure how well `adapter` does on `examples`.

    Returns:
        Mean loss of their taught tokens, and the share of them that were the likeliest.
    """
    segments = examples.segments(range(len(examples)), adapter)

    def attempt() -> list[Score]:
        scores: list[Score] = []
        for micro_batch in _cut(base, segments, budget):
            scores += base.evaluate(base.stream(micro_batch))
        return scores

    scores = yield from fitting(base, budget, attempt)
    taught = sum(s.taught for s in scores)
    return sum(s.nats for s in scores) / taught, sum(s.correct for s in scores) / taught


def _cut(base: Base, segments: Sequence[Segment], budget: Budget) -> Iterator[list[Segment]]:
    return micro_batches(segments, max_rows=budget.max_rows, grid=not base.layout.packed)


def fitting(
    base: Base, budget: Budget, attempt: Callable[[], list[Score]]
) -> Generator[Note, None, list[Score]]:
    """What `attempt` gives; each time that memory runs out, again with half of the budget."""
    while True:
        try:
            return attempt()
        except (MemoryError, RuntimeError) as error:
            if not memory.is_out_of_memory(error) or budget.max_rows == 1:
                raise
            _log.warning("out of memory with %d rows: %s", budget.max_rows, error)
        # Outside of the handler, which holds on to the tensors of the pass that failed.
        before = budget.max_rows
        budget.halve()
        memory.let_go(base.device)
        yield Note(
            level="warn",
            message=f"Out of memory with {before} tokens at a time; going on with "
            f"{budget.max_rows}. This changes nothing but the pace.",
        )


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
        """The learning rate of a step: warm-up over 3 %, then linear to zero."""
        peak = self.request.hyperparameters.learning_rate
        return learning_rate(step, n_steps=self.position.total_steps, peak=peak, decay="linear")

    def steps(self) -> Iterator[list[Segment]]:
        """The segments of each step that is left."""
        rows = batches(
            self.position.n_rows,
            batch_size=self.position.batch_size,
            n_epochs=self.request.hyperparameters.n_epochs,
            seed=self.position.seed,
            first_step=self.position.step + 1,
        )
        for indices in rows:
            yield self.examples.segments(indices, self.adapter)

    def folder(self, name: str) -> tuple[str, Path]:
        """The blob key of something that this attempt writes, and where it is."""
        key = f"{self.request.folder}/{name}"
        return key, Path(self.request.blobs) / key


def carry_out(request: RunRequest, pause: Event) -> Iterator[AnyProgress]:
    """One attempt at a job: learn, report, save, and hand over the adapter.

    Raises:
        TuneryError: the job cannot be run as it was asked for.
        NotFinite: learning has gone out of bounds.
        OSError: the adapter could not be saved.
    """
    training, notes = prepare(request)
    yield from notes
    yield from _try_longest(training)
    pace = _Pace()
    last_save = time.monotonic()
    first_step = training.position.step + 1
    for value in learn(
        training.base,
        training.optimizer,
        training.steps(),
        training.rate,
        training.budget,
        first_step=first_step,
    ):
        if isinstance(value, Note):
            yield value
            continue
        training.position = _advanced(training, value)
        pace.add(value)
        metrics = _metrics(training, value, pace)
        silent_s = time.monotonic() - last_save
        asked = pause.is_set() and value.number < training.position.total_steps
        if asked or silent_s >= request.checkpoint_seconds or _ends_epoch(training):
            metrics = yield from _with_validation(training, metrics)
            yield metrics
            yield from _save(training, metrics)
            last_save = time.monotonic()
        else:
            yield metrics
        if asked:
            yield Paused()
            return
    key = _hand_over(training)
    token_cache.forget(Path(request.blobs) / request.folder)
    yield Finished(adapter=key, trained_tokens=training.position.trained_tokens)


def prepare(request: RunRequest) -> tuple[Training, list[Note]]:
    """Load the base, the data and, where the job goes on, its last checkpoint."""
    loaded = load_model(request.location)
    base, chat = Base(loaded.model), Chat(loaded.tokenizer)
    examples = _training_examples(request, chat, base.context)
    validation = _validation(request, chat, base.context)
    adapter = _adapter(request, base)
    training = Training(
        request=request,
        base=base,
        chat=chat,
        adapter=adapter,
        optimizer=AdamW(adapter),
        examples=examples,
        validation=validation,
        budget=Budget(_ROWS_ON_CUDA if base.device.type == "cuda" else _ROWS_ON_CPU),
        position=_beginning(request, examples),
        saved_step=0,
    )
    return training, [*_about_data(examples), *_about_disk(training), *_resume(training)]


def _training_examples(request: RunRequest, chat: Chat, context: int | None) -> Examples:
    """The training file's rows; a long file is tokenised by the job's first attempt alone."""
    path = Path(request.training_file)

    def read() -> Examples:
        return load_examples(path, chat, context=context, overlong=request.overlong)

    if path.stat().st_size < token_cache.WORTH_BYTES:
        return read()
    key = token_cache.key(path, chat, context, request.overlong)
    return token_cache.cached(Path(request.blobs) / request.folder, key, read)


def _validation(request: RunRequest, chat: Chat, context: int | None) -> Examples | None:
    if request.validation_file is None:
        return None
    examples = load_examples(
        Path(request.validation_file),
        chat,
        context=context,
        overlong=request.overlong,
        which="validation",
    )
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


def _about_disk(training: Training) -> list[Note]:
    """A word of warning where the checkpoints that are kept, and the next, do not fit."""
    blobs = Path(training.request.blobs)
    needed = _KEPT_CHECKPOINTS * checkpoint.size_bytes(training.adapter)
    free = shutil.disk_usage(blobs).free
    if free > needed:
        return []
    message = (
        f"The disk is nearly full: {free / 2**20:.0f} MiB are free, and the checkpoints of this "
        f"job may take {needed / 2**20:.0f} MiB."
    )
    return [Note(level="warn", message=message)]


def _resume(training: Training) -> list[Note]:
    """Go on from the checkpoint that was asked for, or from the last whole one before it."""
    request, beginning = training.request, training.position
    if request.resume_from is None:
        return []
    notes: list[Note] = []
    asked = Path(request.blobs) / request.resume_from
    for folder in _candidates(asked):
        try:
            position = checkpoint.load(
                folder, adapter=training.adapter, optimizer=training.optimizer
            )
        except DamagedCheckpoint as damage:
            notes.append(Note(level="warn", message=f"Not going on from there: {damage}."))
            continue
        _check_same(beginning, position)
        training.position, training.saved_step = position, position.step
        training.budget.max_rows = position.max_rows
        return [*notes, Note(message=f"Going on from the checkpoint of step {position.step}.")]
    # Nothing that was tried has left a trace: a checkpoint is verified before it is used.
    return [*notes, Note(level="warn", message="No checkpoint is whole; starting again.")]


def _candidates(asked: Path) -> list[Path]:
    """The checkpoint that was asked for, then the job's earlier ones, the newest first."""
    others = [
        folder
        for folder in asked.parent.parent.glob(f"*/{_CHECKPOINT}*")
        if folder != asked and folder.name < asked.name
    ]
    return [asked, *sorted(others, key=lambda folder: folder.name, reverse=True)]


def _check_same(beginning: Position, position: Position) -> None:
    """Refuse to go on with other data or another plan than before."""
    for name in ("total_steps", "n_rows", "batch_size", "seed"):
        before, now = getattr(position, name), getattr(beginning, name)
        if before != now:
            raise InvalidValue(
                f"the checkpoint was made with {name} {before}, and the job now has {now}; a job "
                "can only go on with the same data and settings",
                param=name,
            )


def _try_longest(training: Training) -> Iterator[Note]:
    """Run the largest micro-batch once, so that what cannot fit shows now and not in an hour.

    Where there is memory for many times the largest, that would only delay the first step.
    """
    need = memory.of_activations(training.base, training.budget.max_rows)
    if need * _PLENTY < memory.available_bytes(training.base.device):
        return
    lengths = training.examples.starts.diff()
    longest = lengths.argsort(descending=True)[: training.position.batch_size].tolist()
    drawn = training.adapter.dropout.get_state()
    segments = shared(training.examples.segments(longest, training.adapter))
    first = next(_cut(training.base, segments, training.budget))
    yield from gradient(training.base, training.adapter, first, training.budget)
    training.adapter.grad.zero_()
    training.adapter.dropout.set_state(drawn)


def _advanced(training: Training, step: Step) -> Position:
    return msgspec.structs.replace(
        training.position,
        step=step.number,
        trained_tokens=training.position.trained_tokens + step.taught,
        max_rows=training.budget.max_rows,
    )


def _ends_epoch(training: Training) -> bool:
    return training.position.step % training.steps_per_epoch == 0


class _Pace:
    """How fast the last steps went."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(self, step: Step) -> None:
        """Count a step in."""
        self._steps = [*self._steps, step][-_PACE_STEPS:]

    @property
    def seconds_per_step(self) -> float:
        """Mean time of a step."""
        return sum(step.seconds for step in self._steps) / len(self._steps)


def _metrics(training: Training, step: Step, pace: _Pace) -> Metrics:
    left = training.position.total_steps - step.number
    return Metrics(
        step=step.number,
        total_steps=training.position.total_steps,
        train_loss=step.loss,
        train_mean_token_accuracy=step.accuracy,
        learning_rate=step.learning_rate,
        trained_tokens=training.position.trained_tokens,
        tokens_per_second=step.rows / step.seconds,
        remaining_s=left * pace.seconds_per_step,
        epoch=step.number / training.steps_per_epoch,
    )


def _with_validation(training: Training, metrics: Metrics) -> Generator[Note, None, Metrics]:
    """Evaluate on the validation file, where there is one; give back `metrics` with that."""
    if training.validation is None:
        return metrics
    loss, accuracy = yield from evaluate(
        training.base, training.adapter, training.validation, training.budget
    )
    return msgspec.structs.replace(
        metrics, full_valid_loss=loss, full_valid_mean_token_accuracy=accuracy
    )


def _save(training: Training, metrics: Metrics) -> Iterator[AnyProgress]:
    """Write a checkpoint; a full disk does not end a job that can still learn."""
    step = training.position.step
    key, folder = training.folder(f"{_CHECKPOINT}{step:08d}")
    try:
        checkpoint.save(
            folder,
            adapter=training.adapter,
            optimizer=training.optimizer,
            position=training.position,
            base_model=_public_name(training.request),
        )
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise
        yield Note(
            level="warn",
            message=f"The disk is full: the checkpoint of step {step} was not saved. The job goes "
            f"on; its last checkpoint is that of step {training.saved_step}.",
        )
        return
    training.saved_step = step
    yield CheckpointSaved(step=step, folder=key, metrics=metrics)


def _hand_over(training: Training) -> str:
    """Write the adapter with all that a user needs beside it; say under which blob key."""
    key, folder = training.folder("adapter")
    try:
        with checkpoint.whole(folder) as partial:
            save_adapter(training.adapter, partial, base_model=_public_name(training.request))
            training.chat.tokenizer.save_pretrained(partial)
            card = model_card(training.request, training.adapter, training.position)
            (partial / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise
        raise OutOfSpace(
            "The disk is full: the finished adapter could not be saved. Its weights are in the "
            f"checkpoint of step {training.saved_step}."
        ) from error
    return key


def _public_name(request: RunRequest) -> str:
    """What to call the base model in files that leave this machine: never one of its paths."""
    is_id = request.location.count("/") == 1 and not Path(request.location).exists()
    return request.location if is_id else request.base_model


def set_threads(n_threads: int | None) -> None:
    """Use so many threads. In a forked process this must come before anything is computed."""
    if n_threads is not None:
        torch.set_num_threads(n_threads)
