"""Preference tuning of a text model: direct preference optimization (Rafailov et al. 2023), LoRA.

`learn` is the method; `attempt.carry_out` is what becomes of it in a job.

Axes: `P` pairs, each of a chosen and a rejected answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.core.progress import Metrics, Note
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.optimizer import AdamW
from tunery.modeling.stream import Fork, micro_batches
from tunery.trainers.budget import Budget, fitting
from tunery.trainers.failures import NotFinite

Item = TypeVar("Item", "Pair", Fork)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A prompt with the better answer, and with the other.

    Attributes:
        answers: the better one, and then the other; they share the prompt.
        reference: `(2,)` log-likelihood of each before anything was learnt.
    """

    answers: Fork
    reference: Tensor

    @property
    def n_rows(self) -> int:
        """Rows that a pass needs."""
        return self.answers.n_rows


@dataclass(frozen=True, kw_only=True)
class Score:
    """One pair: its loss, and the rewards of its answers (section 4)."""

    loss: float
    chosen: float
    rejected: float


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """Means over pairs: the loss, both rewards, and how often the better answer has the higher."""

    loss: float
    chosen: float
    rejected: float
    accuracy: float

    @property
    def margin(self) -> float:
        """How far the rewards are apart."""
        return self.chosen - self.rejected


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one optimizer step gave. `seconds` are its own, `rows` those of its streams."""

    number: int
    rewards: Rewards
    taught: int
    rows: int
    seconds: float
    learning_rate: float

    @property
    def loss(self) -> float:
        """Mean over the pairs (eq. 7)."""
        return self.rewards.loss

    def told(self, metrics: Metrics) -> Metrics:
        """`metrics` with what this method measures beside the loss."""
        return msgspec.structs.replace(
            metrics,
            train_rewards_chosen=self.rewards.chosen,
            train_rewards_rejected=self.rewards.rejected,
            train_rewards_margins=self.rewards.margin,
            train_rewards_accuracies=self.rewards.accuracy,
        )


def learn(
    base: Base,
    optimizer: AdamW,
    steps: Iterable[list[Pair]],
    rate: Callable[[int], float],
    budget: Budget,
    *,
    beta: float,
    first_step: int = 1,
) -> Iterator[Step | Note]:
    """Take one optimizer step per list of pairs, and say what each gave.

    The loss is a mean over the pairs of the whole step; so cutting a step into more micro-batches
    changes memory, not the gradient.

    Raises:
        NotFinite: the loss or its gradient is no finite number; the weights are as they were.
    """
    for number, pairs in enumerate(steps, start=first_step):
        began = time.perf_counter()
        rewards = mean((yield from gradient(base, optimizer.adapter, pairs, budget, beta)))
        if not math.isfinite(rewards.loss):
            raise NotFinite(f"the loss of step {number} is {rewards.loss}")
        try:
            optimizer.step(rate(number))
        except ArithmeticError as error:
            raise NotFinite(f"in step {number}, {error}") from error
        yield Step(
            number=number,
            rewards=rewards,
            taught=sum(pair.answers.n_taught for pair in pairs),
            rows=sum(pair.n_rows for pair in pairs),
            seconds=time.perf_counter() - began,
            learning_rate=rate(number),
        )


def preference_loss(policy: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Eq. 7 of each pair, before the mean.

    Args:
        policy: `(P, 2)` log-likelihood of the chosen and of the rejected answer.
        reference: `(P, 2)` the same by the model that learning began from.
        beta: how firmly the policy is held to the reference.

    Returns:
        `(P,)` losses, and `(P, 2)` rewards.
    """
    rewards = beta * (policy - reference)
    chosen, rejected = rewards.unbind(1)
    return -F.logsigmoid(chosen - rejected), rewards


def gradient(
    base: Base, adapter: Adapter, pairs: Sequence[Pair], budget: Budget, beta: float
) -> Generator[Note, None, list[Score]]:
    """Let the gradient of one step stand in the adapter.

    Returns:
        The scores of the pairs, in no order.
    """
    drawn = adapter.dropout.get_state()

    def attempt() -> list[Score]:
        adapter.grad.zero_()
        adapter.dropout.set_state(drawn)
        scores: list[Score] = []
        for micro_batch in cut(base, pairs, budget):
            fits = micro_batch[0].n_rows <= budget.max_rows
            backward = _together if fits else _one_by_one
            scores += backward(base, adapter, micro_batch, beta, 1 / len(pairs))
        return scores

    return (yield from fitting(base, budget, attempt))


def _together(
    base: Base, adapter: Adapter, pairs: Sequence[Pair], beta: float, share: float
) -> list[Score]:
    """Forward and backward for pairs that are in memory together."""
    stream = base.stream([pair.answers for pair in pairs])
    policy = base.log_likelihoods(stream).view(-1, 2)
    losses, rewards = preference_loss(policy, _references(pairs, policy), beta)
    (losses.sum() * share).backward()
    return _scores(losses, rewards)


def _one_by_one(
    base: Base, adapter: Adapter, pairs: Sequence[Pair], beta: float, share: float
) -> list[Score]:
    """The same for a pair of which only one answer fits: the chain rule, and one more pass."""
    [pair] = pairs
    drawn = adapter.dropout.get_state()
    segments = pair.answers.first, pair.answers.second
    policy = torch.cat(
        [base.log_likelihoods(base.stream([segment])).detach() for segment in segments]
    ).requires_grad_()
    losses, rewards = preference_loss(policy[None], _references(pairs, policy), beta)
    [slopes] = torch.autograd.grad(losses.sum() * share, [policy])
    adapter.dropout.set_state(drawn)
    for segment, slope in zip(segments, slopes, strict=True):
        base.log_likelihoods(base.stream([segment])).backward(slope[None])
    return _scores(losses, rewards)


def evaluate(
    base: Base, pairs: Sequence[Pair], budget: Budget, beta: float
) -> Generator[Note, None, Rewards]:
    """Measure how well the pairs' adapter tells their answers apart."""
    policy = yield from log_likelihoods(base, [pair.answers for pair in pairs], budget)
    return mean(_scores(*preference_loss(policy, _references(pairs, policy), beta)))


def log_likelihoods(
    base: Base, forks: Sequence[Fork], budget: Budget
) -> Generator[Note, None, Tensor]:
    """`(P, 2)` of both sequences of each fork, without gradient or dropout."""

    @torch.no_grad()
    def attempt() -> dict[Fork, list[float]]:
        found: dict[Fork, list[float]] = {}
        for micro_batch in cut(base, forks, budget):
            both = base.log_likelihoods(base.stream(micro_batch)).view(-1, 2)
            found.update(zip(micro_batch, both.tolist(), strict=True))
        return found

    found = yield from fitting(base, budget, attempt)
    return torch.tensor([found[fork] for fork in forks])


def cut(base: Base, items: Sequence[Item], budget: Budget) -> Iterator[list[Item]]:
    """Pairs or forks as micro-batches within the budget; one beyond it is one of its own.

    In a grid nothing is shared: a fork is two padded rows, each of them no longer than the fork.
    """
    if base.layout.packed:
        return micro_batches(items, max_rows=budget.max_rows)
    return micro_batches(items, max_rows=budget.max_rows // 2, grid=True)


def mean(scores: Sequence[Score]) -> Rewards:
    """The means over `scores`."""
    n = len(scores)
    return Rewards(
        loss=sum(score.loss for score in scores) / n,
        chosen=sum(score.chosen for score in scores) / n,
        rejected=sum(score.rejected for score in scores) / n,
        accuracy=sum(score.chosen > score.rejected for score in scores) / n,
    )


def _references(pairs: Sequence[Pair], like: Tensor) -> Tensor:
    """`(P, 2)`, where `like` is."""
    return torch.stack([pair.reference for pair in pairs]).to(like.device)


def _scores(losses: Tensor, rewards: Tensor) -> list[Score]:
    """What each pair got, in one transfer from the device."""
    columns = torch.cat((losses.detach()[:, None], rewards.detach()), 1)
    return [
        Score(loss=loss, chosen=chosen, rejected=rejected)
        for loss, chosen, rejected in columns.tolist()
    ]
