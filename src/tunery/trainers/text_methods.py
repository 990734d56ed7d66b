"""What each method of learning text brings to an attempt; all else of an attempt is the same."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from torch import Tensor

from tunery.core.progress import Metrics
from tunery.modeling.adapter import Adapter
from tunery.modeling.segments import Fork
from tunery.trainers import references, text_dpo, text_sft
from tunery.trainers.asks import Ask, Passes, Rows, portions
from tunery.trainers.preparation import Training
from tunery.trainers.text_data import Examples
from tunery.trainers.text_dpo import Pair

Step = text_sft.Step | text_dpo.Step


class TextMethod(Protocol):
    """How one attempt learns. Where it needs the base, it asks for it."""

    def begin(self) -> Passes[None]:
        """Do what must be done while the adapter is still what the job started from."""

    def rehearse(self, rows: Sequence[int]) -> Passes[None]:
        """Run the largest portion of a step on `rows`; its gradient stands in the adapter."""

    def learn(self) -> Generator[Step | Ask, Rows, None]:
        """The steps that are left."""

    def evaluate(self, metrics: Metrics) -> Passes[Metrics]:
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

    def begin(self) -> Passes[None]:
        """Nothing depends on what the job started from."""
        yield from ()

    def rehearse(self, rows: Sequence[int]) -> Passes[None]:
        """Run the largest portion of a step on `rows`; its gradient stands in the adapter."""
        training = self._training
        segments = training.examples.segments(rows, training.adapter)
        largest = portions(training.base, segments, training.budget)[0]
        yield from text_sft.gradient(training.adapter, largest, training.budget)

    def learn(self) -> Generator[Step | Ask, Rows, None]:
        """The steps that are left."""
        training = self._training
        return text_sft.learn(
            training.optimizer,
            (training.examples.segments(rows, training.adapter) for rows in training.batches()),
            training.rate,
            training.budget,
            first_step=training.position.step + 1,
        )

    def evaluate(self, metrics: Metrics) -> Passes[Metrics]:
        """`metrics` with the loss and accuracy on the validation file, where there is one."""
        training = self._training
        if training.validation is None:
            return metrics
        score = yield from text_sft.evaluate(training.adapter, training.validation, training.budget)
        return msgspec.structs.replace(
            metrics, full_valid_loss=score.loss, full_valid_mean_token_accuracy=score.accuracy
        )


class Preferring:
    """Direct preference optimization, as `text_dpo` has it."""

    def __init__(self, training: Training, beta: float) -> None:
        """Learn in `training`."""
        self._training = training
        self._beta = beta
        self._references: dict[Examples, Tensor] = {}

    def begin(self) -> Passes[None]:
        """Know what the model that the job started from says of every answer."""
        for examples in (self._training.examples, self._training.validation):
            if examples is not None:
                self._references[examples] = yield from self._reference(examples)

    def rehearse(self, rows: Sequence[int]) -> Passes[None]:
        """Run the largest portion of a step on `rows`; its gradient stands in the adapter."""
        training = self._training
        pairs = self._pairs(training.examples, rows)
        largest = portions(training.base, pairs, training.budget)[0]
        yield from text_dpo.gradient(training.adapter, largest, training.budget, self._beta)

    def learn(self) -> Generator[Step | Ask, Rows, None]:
        """The steps that are left."""
        training = self._training
        return text_dpo.learn(
            training.optimizer,
            (self._pairs(training.examples, rows) for rows in training.batches()),
            training.rate,
            training.budget,
            beta=self._beta,
            first_step=training.position.step + 1,
        )

    def evaluate(self, metrics: Metrics) -> Passes[Metrics]:
        """`metrics` with the loss and rewards on the validation file, where there is one."""
        training = self._training
        if training.validation is None:
            return metrics
        pairs = self._pairs(training.validation, range(len(training.validation)))
        rewards = yield from text_dpo.evaluate(training.adapter, pairs, training.budget, self._beta)
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
            Pair(first=fork.first, second=fork.second, reference=reference[row])
            for row, fork in zip(rows, forks, strict=True)
        ]

    def _reference(self, examples: Examples) -> Passes[Tensor]:
        """`(P, 2)`: kept by an earlier attempt, or asked for now."""
        request = self._training.request
        folder = Path(request.blobs) / request.folder
        name = references.key(request, examples)
        if (kept := references.read(folder, name)) is not None:
            return kept
        # A fresh adapter changes nothing yet: without it, the same comes faster.
        adapter = None if request.initial_adapter is None else self._training.adapter
        forks = _forks(examples, range(len(examples)), adapter)
        reference = yield from text_dpo.log_likelihoods(adapter, forks, self._training.budget)
        references.keep(folder, name, reference)
        return reference


def _forks(examples: Examples, rows: Sequence[int], adapter: Adapter | None) -> list[Fork]:
    """Of each row, its two answers to one prompt."""
    segments = examples.segments(rows, adapter)
    return [
        Fork(first=first, second=second)
        for first, second in zip(segments[::2], segments[1::2], strict=True)
    ]
