"""What a job asks of its base model: to pass some of its rows through, to learn or only to look.

A job is a generator. It yields what it reports, and an `Ask` where it needs the base; it is sent
the answer. Who drives it may carry out the asks of several jobs in the same pass.

Axes: `R` taught rows and `S` sequences of one portion, `C` columns that a method judges by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base, Losses
from tunery.modeling.segments import Fork, Segment, micro_batches
from tunery.trainers.budget import Budget
from tunery.trainers.lanes import Lane, Lanes, Load, deal

Value = TypeVar("Value")
Item = TypeVar("Item", bound=Segment | Fork)

Rows: TypeAlias = list[list[float]]
"""What a method's judge found, a list of `C` numbers each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the model said to a portion's taught rows.

    Attributes:
        nats: `(R,)` cross-entropy of each; differentiable where something learns.
        correct: `(R,)` whether the likeliest token was the right one.
        counts: `(S,)` how many of these rows each sequence has.
    """

    nats: Tensor
    correct: Tensor
    counts: Tensor

    @property
    def log_likelihoods(self) -> Tensor:
        """`(S,)` sums over the taught tokens of each sequence."""
        # One sequence's rows stand together. Unlike a scattered sum, this one repeats to the bit.
        return -torch.segment_reduce(self.nats, "sum", lengths=self.counts)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a method makes of a portion.

    Attributes:
        loss: a scalar, the portion's share of the step's loss.
        rows: `(n, C)` what is reported of it.
    """

    loss: Tensor
    rows: Tensor


Judge: TypeAlias = Callable[[Sequence[Any], Seen], Verdict]
"""From the items of a portion and what was seen of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """A pass over items, cut into portions that fit.

    Attributes:
        items: segments or forks, each of which teaches something.
        judge: the method's loss, which is a sum over portions.
        learns: whether gradients are wanted in `adapter`; otherwise there is no dropout either.
        adapter: what the items go through; None is the base as it is.
        budget: how many of the job's rows go at a time.
        torn: carries out a fork beyond the budget by halves, and gives its rows.
    """

    items: Sequence[Segment | Fork]
    judge: Judge
    learns: bool
    adapter: Adapter | None
    budget: Budget
    torn: Callable[[Base, Any], Tensor] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Alone:
    """Something that a job does with the base while nothing else passes through it.

    It is done again, from its beginning, where memory runs out.

    Attributes:
        work: gives the answer.
        budget: how many of the job's rows go at a time.
    """

    work: Callable[[Base], Any]
    budget: Budget


Passes: TypeAlias = Generator[Ask, Rows, Value]
"""What yields asks, is sent their rows, and returns a value."""


class Turn:
    """An ask that is being carried out.

    Attributes:
        rows: what the judge has found so far.
    """

    def __init__(self, ask: Ask, base: Base) -> None:
        """Begin at the first portion."""
        self.ask = ask
        self._base = base
        self._drawn = None if ask.adapter is None else ask.adapter.dropout.get_state()
        self.restart()

    def restart(self) -> None:
        """Begin again, as if nothing had gone through; the budget may be another now."""
        adapter = self.ask.adapter
        if self.ask.learns and adapter is not None and self._drawn is not None:
            adapter.forget_gradients()
            adapter.dropout.set_state(self._drawn)
        self._left = deque(portions(self._base, self.ask.items, self.ask.budget))
        self.rows: Rows = []

    @property
    def portion(self) -> list[Segment | Fork]:
        """What goes through next; nothing at the end."""
        return self._left[0] if self._left else []

    @property
    def is_torn(self) -> bool:
        """Whether that is a fork which does not fit, and goes by halves."""
        return (
            self.ask.torn is not None
            and len(self.portion) == 1
            and self.portion[0].n_rows > self.ask.budget.max_rows
        )

    def note(self, rows: Tensor) -> None:
        """The next portion has gone through, and this is what was found."""
        self._left.popleft()
        self.rows += rows.tolist()


def pass_through(base: Base, turns: Sequence[Turn], lanes: Lanes) -> None:
    """One pass over the next portion of each, all of which learn or all of which look."""
    if turns[0].is_torn and turns[0].ask.torn is not None:
        [turn] = turns
        turn.note(turns[0].ask.torn(base, turn.portion[0]))
        return
    # In a stream, what has the same adapter stands together.
    turns = sorted(turns, key=lambda turn: turn.ask.adapter is None)
    base.prepare()  # its probes are passes themselves
    dealt = deal([_load(turn) for turn in turns], lanes.most)
    found = lanes.run(dealt, lambda number: _go_through(base, turns, dealt, number))
    for number, turn in enumerate(turns):
        if turn.ask.learns and turn.ask.adapter is not None:
            turn.ask.adapter.gather()
        turn.note(torch.cat([rows[number] for rows in found if number in rows]))


def _load(turn: Turn) -> Load:
    # Its masks are drawn in the order of its rows.
    drops = turn.ask.adapter is not None and turn.ask.adapter.config.lora_dropout > 0
    return Load(items=turn.portion, whole=turn.ask.learns and drops)


def _go_through(
    base: Base, turns: Sequence[Turn], dealt: Sequence[Lane], number: int
) -> dict[int, Tensor]:
    """Let one lane through; gives what was found of each turn that is in it."""
    parts = sorted(dealt[number].parts.items())
    asks = [turns[turn].ask for turn, _ in parts]
    with torch.set_grad_enabled(asks[0].learns):
        stream = base.stream(
            [item for _, items in parts for item in items], _sides(turns, dealt, number)
        )
        looks = seen(base.losses(stream), stream.counts, [items for _, items in parts])
        verdicts = [
            ask.judge(items, look) for ask, (_, items), look in zip(asks, parts, looks, strict=True)
        ]
        loss = torch.stack([verdict.loss for verdict in verdicts]).sum()
        if loss.requires_grad:
            loss.backward()
    return {turn: verdict.rows for (turn, _), verdict in zip(parts, verdicts, strict=True)}


def _sides(turns: Sequence[Turn], dealt: Sequence[Lane], number: int) -> dict[Adapter, Adapter]:
    """For each adapter in a lane which side of it no lane before has."""
    sides: dict[Adapter, Adapter] = {}
    for turn in dealt[number].parts:
        before = sum(turn in lane.parts for lane in dealt[:number])
        if (adapter := turns[turn].ask.adapter) is not None and before:
            sides[adapter] = adapter.side(before)
    return sides


def portions(base: Base, items: Sequence[Item], budget: Budget) -> list[list[Item]]:
    """`items` as micro-batches within the budget; an item beyond it is one of its own.

    In a grid nothing is shared: a fork is two padded rows, each of them no longer than the fork.
    """
    if base.layout.packed:
        return list(micro_batches(items, max_rows=budget.max_rows))
    widest = max((len(item.lines) for item in items), default=1)
    return list(micro_batches(items, max_rows=budget.max_rows // widest, grid=True))


def cost(base: Base, items: Sequence[Segment | Fork]) -> int:
    """Rows that `items` take in a stream; in a grid, padded to the longest of them."""
    if base.layout.packed:
        return sum(item.n_rows for item in items)
    return sum(len(item.lines) for item in items) * max(item.n_rows for item in items)


def seen(losses: Losses, counts: Tensor, groups: Sequence[Sequence[Segment | Fork]]) -> list[Seen]:
    """The losses of a stream, of each group of the items that it was made of in this order."""
    parts: list[Seen] = []
    row = sequence = 0
    for items in groups:
        next_row = row + sum(item.n_taught for item in items)
        next_sequence = sequence + sum(len(item.lines) for item in items)
        parts.append(
            Seen(
                nats=losses.nats[row:next_row],
                correct=losses.correct[row:next_row],
                counts=counts[sequence:next_sequence],
            )
        )
        row, sequence = next_row, next_sequence
    return parts
