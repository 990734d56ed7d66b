"""How fast a job goes, and what it reports of each step."""

from __future__ import annotations

from collections import deque

from tunery.core.progress import Metrics
from tunery.trainers.preparation import Training
from tunery.trainers.text_methods import Step

# Steps whose pace says how long the rest will take.
_STEPS = 20


class Pace:
    """How fast the last steps went."""

    def __init__(self) -> None:
        """Begin with no step."""
        self._seconds: deque[float] = deque(maxlen=_STEPS)

    def add(self, seconds: float) -> None:
        """Count in how long a step took."""
        self._seconds.append(seconds)

    @property
    def seconds_per_step(self) -> float:
        """Mean time of a step."""
        return sum(self._seconds) / len(self._seconds)


def metrics(training: Training, step: Step, pace: Pace) -> Metrics:
    """What the job reports of a step."""
    left = training.position.total_steps - step.number
    common = Metrics(
        step=step.number,
        total_steps=training.position.total_steps,
        train_loss=step.loss,
        learning_rate=step.learning_rate,
        trained_tokens=training.position.trained_tokens,
        tokens_per_second=step.rows / step.seconds,
        remaining_s=left * pace.seconds_per_step,
        epoch=step.number / training.steps_per_epoch,
    )
    return step.told(common)
