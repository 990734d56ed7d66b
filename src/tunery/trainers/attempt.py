"""One attempt at a job, from its request to its adapter."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Event

import msgspec

from tunery.core.progress import AnyProgress, Finished, Metrics, Note, Paused, RunRequest
from tunery.modeling.stream import shared
from tunery.trainers import memory, token_cache
from tunery.trainers.checkpoint import Position
from tunery.trainers.pace import Pace, metrics
from tunery.trainers.preparation import Training, prepare
from tunery.trainers.saving import hand_over, save
from tunery.trainers.text_sft import Step, cut, evaluate, gradient, learn

# A micro-batch that needs less than this part of the memory is not tried before the first step.
_PLENTY = 20


def carry_out(request: RunRequest, pause: Event) -> Iterator[AnyProgress]:
    """Learn, report, save, and hand over the adapter.

    Raises:
        TuneryError: the job cannot be run as it was asked for.
        NotFinite: learning has gone out of bounds.
        OSError: the adapter could not be saved.
    """
    training, notes = prepare(request)
    yield from notes
    yield from _try_longest(training)
    pace = Pace()
    last_save = time.monotonic()
    for value in _learning(training):
        if isinstance(value, Note):
            yield value
            continue
        training.position = _advanced(training, value)
        pace.add(value.seconds)
        reported = metrics(training, value, pace)
        due = time.monotonic() - last_save >= request.checkpoint_seconds
        pausing = pause.is_set() and value.number < training.position.total_steps
        if pausing or due or _ends_epoch(training):
            reported = yield from _with_validation(training, reported)
            yield reported
            yield from save(training, reported)
            last_save = time.monotonic()
        else:
            yield reported
        if pausing:
            yield Paused()
            return
    key = hand_over(training)
    token_cache.forget(Path(request.blobs) / request.folder)
    yield Finished(adapter=key, trained_tokens=training.position.trained_tokens)


def _try_longest(training: Training) -> Iterator[Note]:
    """Run the largest micro-batch once, so that what cannot fit shows now and not in an hour.

    Where there is memory for many times the largest, that would only delay the first step.
    """
    need = memory.of_activations(training.base, training.budget.max_rows)
    if need * _PLENTY < memory.available_bytes(training.base.device):
        return
    lengths = training.examples.lengths
    longest = lengths.argsort(descending=True)[: training.position.batch_size].tolist()
    drawn = training.adapter.dropout.get_state()
    segments = shared(training.examples.segments(longest, training.adapter))
    first = next(cut(training.base, segments, training.budget))
    yield from gradient(training.base, training.adapter, first, training.budget)
    training.adapter.grad.zero_()
    training.adapter.dropout.set_state(drawn)


def _learning(training: Training) -> Iterator[Step | Note]:
    """The steps that are left."""
    return learn(
        training.base,
        training.optimizer,
        training.steps(),
        training.rate,
        training.budget,
        first_step=training.position.step + 1,
    )


def _advanced(training: Training, step: Step) -> Position:
    return msgspec.structs.replace(
        training.position,
        step=step.number,
        trained_tokens=training.position.trained_tokens + step.taught,
        max_rows=training.budget.max_rows,
    )


def _ends_epoch(training: Training) -> bool:
    return training.position.step % training.steps_per_epoch == 0


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
