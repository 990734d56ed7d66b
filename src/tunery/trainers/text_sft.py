"""Supervised tuning of a text model: next-token loss on what the assistant says, with LoRA.

`learn` is the method; `attempt.carry_out` is what becomes of it in a job.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from tunery.core.progress import Metrics
from tunery.modeling.adapter import Adapter
from tunery.modeling.optimizer import AdamW
from tunery.modeling.segments import Segment
from tunery.trainers.asks import Ask, Passes, Rows, Seen, Verdict
from tunery.trainers.budget import Budget
from tunery.trainers.failures import NotFinite
from tunery.trainers.text_data import Examples


@dataclass(frozen=True, kw_only=True)
class Score:
    """Taught tokens: their nats together, how many were the likeliest, how many there are."""

    nats: float
    correct: int
    taught: int

    @property
    def loss(self) -> float:
        """Mean over the tokens, in nats."""
        return self.nats / self.taught

    @property
    def accuracy(self) -> float:
        """The share of tokens that were the likeliest."""
        return self.correct / self.taught


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one optimizer step gave.

    Attributes:
        rows: of its segments, all portions together.
        seconds: from its beginning to its end, with what others took meanwhile.
    """

    number: int
    score: Score
    rows: int
    seconds: float
    learning_rate: float

    @property
    def loss(self) -> float:
        """Mean over the taught tokens, in nats."""
        return self.score.loss

    @property
    def taught(self) -> int:
        """Taught tokens."""
        return self.score.taught

    def told(self, metrics: Metrics) -> Metrics:
        """`metrics` with what this method measures beside the loss."""
        return msgspec.structs.replace(metrics, train_mean_token_accuracy=self.score.accuracy)


def learn(
    optimizer: AdamW,
    steps: Iterable[list[Segment]],
    rate: Callable[[int], float],
    budget: Budget,
    *,
    first_step: int = 1,
) -> Generator[Step | Ask, Rows, None]:
    """Take one optimizer step per list of segments, and say what each gave.

    The loss is a mean over the taught tokens of the whole step; so cutting a step into more
    portions changes memory, not the gradient.

    Raises:
        NotFinite: the loss or its gradient is no finite number; the weights are as they were.
    """
    for number, segments in enumerate(steps, start=first_step):
        began = time.perf_counter()
        score = yield from gradient(optimizer.adapter, segments, budget)
        if not math.isfinite(score.nats):
            raise NotFinite(f"the loss of step {number} is {score.nats}")
        try:
            optimizer.step(rate(number))
        except ArithmeticError as error:
            raise NotFinite(f"in step {number}, {error}") from error
        yield Step(
            number=number,
            score=score,
            rows=sum(segment.n_rows for segment in segments),
            seconds=time.perf_counter() - began,
            learning_rate=rate(number),
        )


def gradient(adapter: Adapter, segments: Sequence[Segment], budget: Budget) -> Passes[Score]:
    """Let the gradient of one step stand in the adapter, and say how well the step was known."""
    taught = sum(segment.n_taught for segment in segments)

    def judge(_: Sequence[Segment], seen: Seen) -> Verdict:
        return Verdict(loss=seen.nats.sum() / taught, rows=_row(seen))

    items = [segment for segment in segments if segment.n_taught]
    rows = yield Ask(items=items, judge=judge, learns=True, adapter=adapter, budget=budget)
    return _sum(rows)


def evaluate(adapter: Adapter, examples: Examples, budget: Budget) -> Passes[Score]:
    """Measure how well `adapter` knows `examples`."""

    def judge(_: Sequence[Segment], seen: Seen) -> Verdict:
        return Verdict(loss=seen.nats.sum(), rows=_row(seen))

    segments = examples.segments(range(len(examples)), adapter)
    rows = yield Ask(items=segments, judge=judge, learns=False, adapter=adapter, budget=budget)
    return _sum(rows)


def _row(seen: Seen) -> Tensor:
    """`(1, 3)` of a portion: nats, how many were the likeliest, how many there are."""
    nats = seen.nats.detach().double()
    return torch.stack((nats.sum(), seen.correct.sum(), torch.ones_like(nats).sum()))[None]


def _sum(rows: Rows) -> Score:
    nats, correct, taught = (sum(column) for column in zip(*rows, strict=True))
    return Score(nats=nats, correct=int(correct), taught=int(taught))
