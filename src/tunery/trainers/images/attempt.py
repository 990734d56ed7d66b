"""One attempt at a job on pictures, from its request to its adapter."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from threading import Event

import msgspec

from tunery.core.progress import AnyProgress, Metrics, Note, Paused, RunRequest, SubjectRequest
from tunery.trainers.images.image_lora import Step, learn
from tunery.trainers.images.preparation import Training, prepare
from tunery.trainers.images.saving import hand_over, sample, save
from tunery.trainers.pace import Pace

_SAMPLES = 4
"""How often a job shows what it has learnt, and saves a checkpoint with that."""


def carry_out(
    request: RunRequest, subject: SubjectRequest, pause: Event
) -> Generator[AnyProgress, None, None]:
    """Learn, report, draw, save, and hand over the adapter.

    Raises:
        TuneryError: the job cannot be run as it was asked for.
        NotFinite: learning has gone out of bounds.
        OSError: the adapter could not be saved.
    """
    training, notes = prepare(request, subject)
    yield from notes
    pace = Pace()
    last_save = time.monotonic()
    for value in _learning(training):
        if isinstance(value, Note):
            yield value
            continue
        training.position = msgspec.structs.replace(
            training.position, step=value.number, max_rows=training.budget.max_rows
        )
        pace.add(value.seconds)
        reported = _metrics(training, value, pace)
        yield reported
        pausing = pause.is_set() and value.number < training.position.total_steps
        due = time.monotonic() - last_save >= request.checkpoint_seconds
        if pausing or due or _shows(training):
            yield from save(training, reported)
            last_save = time.monotonic()
        if _shows(training):
            yield from sample(training)
        if pausing:
            yield Paused()
            return
    yield from hand_over(training)


def _learning(training: Training) -> Iterator[Step | Note]:
    """The steps that are left."""
    return learn(
        list(training.weights.parameters.values()),
        training.optimizer,
        training.lessons(),
        training.rate,
        training.budget,
        first_step=training.position.step + 1,
    )


def _shows(training: Training) -> bool:
    """Whether the step just taken ends a part of the job."""
    position = training.position
    return position.step % math.ceil(position.total_steps / _SAMPLES) == 0 or (
        position.step == position.total_steps
    )


def _metrics(training: Training, step: Step, pace: Pace) -> Metrics:
    """What the job reports of a step."""
    position = training.position
    return Metrics(
        step=step.number,
        total_steps=position.total_steps,
        train_loss=step.loss,
        learning_rate=step.learning_rate,
        remaining_s=(position.total_steps - step.number) * pace.seconds_per_step,
        epoch=step.number * position.batch_size / position.n_pictures,
    )
