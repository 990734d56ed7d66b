"""What each method of learning text brings to an attempt; all else of an attempt is the same."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from torch import Tensor

from tunery.core.progress import Metrics, Note
from tunery.modeling.adapter import Adapter
from tunery.modeling.stream import Fork, shared
from tunery.trainers import references, text_dpo, text_sft
from tunery.trainers.preparation import Training
from tunery.trainers.text_data import Examples
from tunery.trainers.text_dpo import Pair

Step = text_sft.Step | text_dpo.Step


class TextMethod(Protocol):
    """How one attempt learns."""

    def begin(self) -> Iterator[Note]:
        """Do what must be done while the adapter is still what the job started from."""

    def rehearse(self, rows: Sequence[int]) -> Iterator[Note]:
        """Run the largest micro-batch of a step on `rows`; its gradient stands in the adapter."""

    def learn(self) -> Iterator[Step | Note]:
        """The steps that are left."""

    def evaluate(self, metrics: Metrics) -> Generator[Note, None, Metrics]:
        """`metrics` with what the validation file gives, where there is one."""


def text_method(training: Training) -> TextMethod:
    """The method of the job: one that has a beta learns preferences."""
    beta = training.request.hyperparameters.beta
    return Supervision(training) if beta is None else Preferring(training, beta)


class Supervision:
    """Next-token loss, as `text_sft` has it."""

    def __init__(self, training: Training) -> None:
        """Learn in `training`."""
        self._training = training

    def begin(self) -> Iterator[Note]:
        """Nothing depends on what the job started from."""
        yield from ()

    def rehearse(self, rows: Sequence[int]) -> Iterator[Note]:
        """Run the largest micro-batch of a step on `rows`; its gradient stands in the adapter."""
        training = self._training
        segments = shared(training.examples.segments(rows, training.adapter))
        first = next(text_sft.cut(training.base, segments, training.budget))
        yield from text_sft.gradient(training.base, training.adapter, first, training.budget)

    def learn(self) -> Iterator[Step | Note]:
        """The steps that are left."""
        training = self._training
        return text_sft.learn(
            training.base,
            training.optimizer,
            (training.examples.segments(rows, training.adapter) for rows in training.batches()),
            training.rate,
            training.budget,
            first_step=training.position.step + 1,
        )

    def evaluate(self, metrics: Metrics) -> Generator[Note, None, Metrics]:
        """`metrics` with the loss and accuracy on the validation file, where there is one."""
        training = self._training
        if training.validation is None:
            return metrics
        loss, accuracy = yield from text_sft.evaluate(
            training.base, training.adapter, training.validation, training.budget
        )
        return msgspec.structs.replace(
            metrics, full_valid_loss=loss, full_valid_mean_token_accuracy=accuracy
        )


class Preferring:
    """Direct preference optimization, as `text_dpo` has it."""

    def __init__(self, training: Training, beta: float) -> None:
        """Learn in `training`."""
        self._training = training
        self._beta = beta
        self._references: dict[Examples, Tensor] = {}

    def begin(self) -> Iterator[Note]:
        """Know what the model that the job started from says of every answer."""
        for examples in (self._training.examples, self._training.validation):
            if examples is not None:
                self._references[examples] = yield from self._reference(examples)

    def rehearse(self, rows: Sequence[int]) -> Iterator[Note]:
        """Run the largest micro-batch of a step on `rows`; its gradient stands in the adapter."""
        training = self._training
        pairs = self._pairs(training.examples, rows)
        first = next(text_dpo.cut(training.base, pairs, training.budget))
        yield from text_dpo.gradient(
            training.base, training.adapter, first, training.budget, self._beta
        )

    def learn(self) -> Iterator[Step | Note]:
        """The steps that are left."""
        training = self._training
        return text_dpo.learn(
            training.base,
            training.optimizer,
            (self._pairs(training.examples, rows) for rows in training.batches()),
            training.rate,
            training.budget,
            beta=self._beta,
            first_step=training.position.step + 1,
        )

    def evaluate(self, metrics: Metrics) -> Generator[Note, None, Metrics]:
        """`metrics` with the loss and rewards on the validation file, where there is one."""
        training = self._training
        if training.validation is None:
            return metrics
        pairs = self._pairs(training.validation, range(len(training.validation)))
        rewards = yield from text_dpo.evaluate(training.base, pairs, training.budget, self._beta)
        return msgspec.structs.replace(
            metrics,
            full_valid_loss=rewards.loss,
            full_valid_rewards_chosen=rewards.chosen,
            full_valid_rewards_rejected=rewards.rejected,
            full_valid_rewards_margins=rewards.margin,
            full_valid_rewards_accuracies=rewards.accuracy,
        )

    def _pairs(self, examples: Examples, rows: Sequence[int]) -> list[Pair]:
        reference = self._references[examples]
        forks = _forks(examples, rows, self._training.adapter)
        return [
            Pair(answers=fork, reference=reference[row])
            for row, fork in zip(rows, forks, strict=True)
        ]

    def _reference(self, examples: Examples) -> Generator[Note, None, Tensor]:
        """`(P, 2)`: kept by an earlier attempt, or asked for now."""
        request = self._training.request
        folder = Path(request.blobs) / request.folder
        name = references.key(request, examples)
        if (kept := references.read(folder, name)) is not None:
            return kept
        # A fresh adapter changes nothing yet: without it, the same comes faster.
        adapter = None if request.initial_adapter is None else self._training.adapter
        forks = _forks(examples, range(len(examples)), adapter)
        reference = yield from text_dpo.log_likelihoods(
            self._training.base, forks, self._training.budget
        )
        references.keep(folder, name, reference)
        return reference


def _forks(examples: Examples, rows: Sequence[int], adapter: Adapter | None) -> list[Fork]:
    """Of each row, its two answers to one prompt."""
    segments = examples.segments(rows, adapter)
    return [
        Fork(first=first, second=second)
        for first, second in zip(segments[::2], segments[1::2], strict=True)
    ]
