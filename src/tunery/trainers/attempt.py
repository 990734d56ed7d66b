"""One attempt at a job, from its request to its adapter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import msgspec

from tunery.core.progress import AnyProgress, Finished, Note, Paused, RunRequest
from tunery.trainers import memory, references, token_cache
from tunery.trainers.checkpoint import Position
from tunery.trainers.pace import Pace, metrics
from tunery.trainers.preparation import Training, prepare, resume
from tunery.trainers.saving import hand_over, save
from tunery.trainers.text_methods import Step, TextMethod, text_method

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
    method = text_method(training)
    yield from method.begin()
    yield from resume(training)
    yield from _try_longest(training, method)
    pace = Pace()
    last_save = time.monotonic()
    for value in method.learn():
        if isinstance(value, Note):
            yield value
            continue
        training.position = _advanced(training, value)
        pace.add(value.seconds)
        reported = metrics(training, value, pace)
        due = time.monotonic() - last_save >= request.checkpoint_seconds
        pausing = pause.is_set() and value.number < training.position.total_steps
        if pausing or due or _ends_epoch(training):
            reported = yield from method.evaluate(reported)
            yield reported
            yield from save(training, reported)
            last_save = time.monotonic()
        else:
            yield reported
        if pausing:
            yield Paused()
            return
    key = hand_over(training)
    _forget(Path(request.blobs) / request.folder)
    yield Finished(adapter=key, trained_tokens=training.position.trained_tokens)


def _try_longest(training: Training, method: TextMethod) -> Iterator[Note]:
    """Run the largest micro-batch once, so that what cannot fit shows now and not in an hour.

    Where there is memory for many times the largest, that would only delay the first step.
    """
    need = memory.of_activations(training.base, training.budget.max_rows)
    if need * _PLENTY < memory.available_bytes(training.base.device):
        return
    lengths = training.examples.lengths
    longest = lengths.argsort(descending=True)[: training.position.batch_size].tolist()
    drawn = training.adapter.dropout.get_state()
    yield from method.rehearse(longest)
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


def _forget(folder: Path) -> None:
    """Remove what the attempts of a finished job have kept for one another."""
    token_cache.forget(folder)
    references.forget(folder)
