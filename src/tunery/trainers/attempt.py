"""One attempt at a job, from its request to its adapter."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

import msgspec

from tunery.core.progress import Alive, AnyProgress, Finished, Paused, RunRequest
from tunery.modeling.base import Base
from tunery.trainers import memory, references, token_cache
from tunery.trainers.asks import Alone, Ask, Passes, Rows
from tunery.trainers.checkpoint import Position
from tunery.trainers.pace import Pace, metrics
from tunery.trainers.preparation import Training, prepare, resume
from tunery.trainers.samples import Samples
from tunery.trainers.saving import hand_over, save
from tunery.trainers.text_methods import Step, TextMethod, text_method

# A portion that needs less than this part of the memory is not tried before the first step.
_PLENTY = 20

Attempt: TypeAlias = Generator[AnyProgress | Ask | Alone, Any, None]
"""What reports, asks for the base, and is sent what it asked for."""


def carry_out(request: RunRequest, base: Base, pause: Event) -> Attempt:
    """Learn, report, save, and hand over the adapter.

    Until the first thing is said, the base is not needed for itself: others may use it meanwhile.

    Raises:
        TuneryError: the job cannot be run as it was asked for.
        NotFinite: learning has gone out of bounds.
        OSError: the adapter could not be saved.
    """
    training, notes = prepare(request, base)
    samples = Samples(training)
    yield Alive()
    yield from notes
    method = text_method(training)
    yield from method.begin()
    yield from resume(training)
    yield from _try_longest(training, method)
    if training.position.step == 0:
        yield from samples.take()
    pace, learning = Pace(), method.learn()
    last_save = time.monotonic()
    while (step := (yield from _next(learning))) is not None:
        training.position = _advanced(training, step)
        pace.add(step.seconds)
        reported = metrics(training, step, pace)
        due = time.monotonic() - last_save >= request.checkpoint_seconds
        pausing = pause.is_set() and step.number < training.position.total_steps
        if pausing or due or _ends_epoch(training):
            reported = yield from method.evaluate(reported)
            yield reported
            yield from save(training, reported)
            if not pausing:
                yield from samples.take()
            last_save = time.monotonic()
        else:
            yield reported
        if pausing:
            yield Paused()
            return
    key = hand_over(training)
    _forget(Path(request.blobs) / request.folder)
    yield Finished(adapter=key, trained_tokens=training.position.trained_tokens)


def _next(learning: Generator[Step | Ask, Rows, None]) -> Passes[Step | None]:
    """The next step, None at the end; what is asked for on the way passes through."""
    answer: Rows | None = None
    while True:
        try:
            # Like `next` where nothing was asked for.
            value = learning.send(answer)  # type: ignore[arg-type]
        except StopIteration:
            return None
        if not isinstance(value, Ask):
            return value
        answer = yield value


def _try_longest(training: Training, method: TextMethod) -> Passes[None]:
    """Run the largest portion once, so that what cannot fit shows now and not in an hour.

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
