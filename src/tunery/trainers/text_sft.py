"""Supervised tuning of a text model: next-token loss on what the assistant says, with LoRA.

`learn` is the method; `attempt.carry_out` is what becomes of it in a job.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from tunery.core.progress import Metrics, Note
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base, Score
from tunery.modeling.optimizer import AdamW
from tunery.modeling.stream import Segment, micro_batches, shared
from tunery.trainers.budget import Budget, fitting
from tunery.trainers.failures import NotFinite
from tunery.trainers.text_data import Examples


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

    def told(self, metrics: Metrics) -> Metrics:
        """`metrics` with what this method measures beside the loss."""
        return msgspec.structs.replace(metrics, train_mean_token_accuracy=self.accuracy)


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
        for micro_batch in cut(base, shared(segments), budget):
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
        for micro_batch in cut(base, segments, budget):
            scores += base.evaluate(base.stream(micro_batch))
        return scores

    scores = yield from fitting(base, budget, attempt)
    taught = sum(s.taught for s in scores)
    return sum(s.nats for s in scores) / taught, sum(s.correct for s in scores) / taught


def cut(base: Base, segments: Sequence[Segment], budget: Budget) -> Iterator[list[Segment]]:
    """`segments` as micro-batches within the budget."""
    return micro_batches(segments, max_rows=budget.max_rows, grid=not base.layout.packed)
