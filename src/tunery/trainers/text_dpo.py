"""Preference tuning of a text model: direct preference optimization (Rafailov et al. 2023), LoRA.

`learn` is the method; `attempt.carry_out` is what becomes of it in a job.

Axes: `P` pairs, each of a chosen and a rejected answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.core.progress import Metrics
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.optimizer import AdamW
from tunery.modeling.segments import Fork
from tunery.trainers.asks import Ask, Passes, Rows, Seen, Verdict
from tunery.trainers.budget import Budget
from tunery.trainers.failures import NotFinite


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair(Fork):
    """The better answer to a prompt, and then the other; they share the prompt.

    Attributes:
        reference: `(2,)` log-likelihood of each before anything was learnt.
    """

    reference: Tensor


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
    """What one optimizer step gave.

    Attributes:
        rows: of its pairs, all portions together.
        seconds: from its beginning to its end, with what others took meanwhile.
    """

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
    optimizer: AdamW,
    steps: Iterable[list[Pair]],
    rate: Callable[[int], float],
    budget: Budget,
    *,
    beta: float,
    first_step: int = 1,
) -> Generator[Step | Ask, Rows, None]:
    """Take one optimizer step per list of pairs, and say what each gave.

    The loss is a mean over the pairs of the whole step; so cutting a step into more portions
    changes memory, not the gradient.

    Raises:
        NotFinite: the loss or its gradient is no finite number; the weights are as they were.
    """
    for number, pairs in enumerate(steps, start=first_step):
        began = time.perf_counter()
        rewards = yield from gradient(optimizer.adapter, pairs, budget, beta)
        if not math.isfinite(rewards.loss):
            raise NotFinite(f"the loss of step {number} is {rewards.loss}")
        try:
            optimizer.step(rate(number))
        except ArithmeticError as error:
            raise NotFinite(f"in step {number}, {error}") from error
        yield Step(
            number=number,
            rewards=rewards,
            taught=sum(pair.n_taught for pair in pairs),
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
    adapter: Adapter, pairs: Sequence[Pair], budget: Budget, beta: float
) -> Passes[Rewards]:
    """Let the gradient of one step stand in the adapter, and say how the pairs are rewarded."""

    def judge(pairs: Sequence[Pair], seen: Seen) -> Verdict:
        return _judged(pairs, seen.log_likelihoods.view(-1, 2), beta, share)

    def torn(base: Base, pair: Pair) -> Tensor:
        return _by_halves(base, adapter, pair, beta, share)

    share = 1 / len(pairs)
    rows = yield Ask(
        items=pairs, judge=judge, learns=True, adapter=adapter, budget=budget, torn=torn
    )
    return _means(rows)


def _judged(pairs: Sequence[Pair], policy: Tensor, beta: float, share: float) -> Verdict:
    """The loss of `pairs`, each of which is `share` of the step."""
    reference = torch.stack([pair.reference for pair in pairs]).to(policy.device)
    losses, rewards = preference_loss(policy, reference, beta)
    rows = torch.cat((losses.detach()[:, None], rewards.detach()), 1)
    return Verdict(loss=losses.sum() * share, rows=rows)


def _by_halves(base: Base, adapter: Adapter, pair: Pair, beta: float, share: float) -> Tensor:
    """The gradient of a pair of which only one answer fits: the chain rule, and one more pass."""
    drawn = adapter.dropout.get_state()
    segments = pair.first, pair.second
    policy = torch.cat(
        [base.log_likelihoods(base.stream([segment])).detach() for segment in segments]
    ).requires_grad_()
    verdict = _judged([pair], policy[None], beta, share)
    [slopes] = torch.autograd.grad(verdict.loss, [policy])
    adapter.dropout.set_state(drawn)
    for segment, slope in zip(segments, slopes, strict=True):
        base.log_likelihoods(base.stream([segment])).backward(slope[None])
    return verdict.rows


def evaluate(
    adapter: Adapter, pairs: Sequence[Pair], budget: Budget, beta: float
) -> Passes[Rewards]:
    """Measure how well `adapter` tells the answers of `pairs` apart."""

    def judge(pairs: Sequence[Pair], seen: Seen) -> Verdict:
        return _judged(pairs, seen.log_likelihoods.view(-1, 2), beta, 1.0)

    rows = yield Ask(items=pairs, judge=judge, learns=False, adapter=adapter, budget=budget)
    return _means(rows)


def log_likelihoods(
    adapter: Adapter | None, forks: Sequence[Fork], budget: Budget
) -> Passes[Tensor]:
    """`(P, 2)` of both sequences of each fork, without gradient or dropout."""
    at = {fork: number for number, fork in enumerate(forks)}

    def judge(forks: Sequence[Fork], seen: Seen) -> Verdict:
        numbers = torch.tensor([[at[fork]] for fork in forks], device=seen.nats.device)
        both = seen.log_likelihoods.view(-1, 2)
        return Verdict(loss=both.sum(), rows=torch.cat((numbers, both.double()), 1))

    rows = yield Ask(items=forks, judge=judge, learns=False, adapter=adapter, budget=budget)
    return torch.tensor([both for _, *both in sorted(rows)])


def _means(rows: Rows) -> Rewards:
    """The means over rows of a loss and two rewards."""
    losses, chosen, rejected = zip(*rows, strict=True)
    n = len(rows)
    return Rewards(
        loss=sum(losses) / n,
        chosen=sum(chosen) / n,
        rejected=sum(rejected) / n,
        accuracy=sum(c > r for c, r in zip(chosen, rejected, strict=True)) / n,
    )
