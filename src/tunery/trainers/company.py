"""Jobs on one base model: each at its own step, many in the same pass.

Company changes no job: no row of one is ever multiplied into another's (`modeling.linears`), and
each cuts its steps and draws its dropout as it would alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from tunery.core.progress import Note
from tunery.modeling.base import Base
from tunery.modeling.segments import Fork, Segment
from tunery.trainers import memory
from tunery.trainers.asks import Alone, Ask, Turn, cost, pass_through
from tunery.trainers.budget import Budget
from tunery.trainers.lanes import Lanes

Value = TypeVar("Value")
Job: TypeAlias = Generator[Value | Ask | Alone, Any, None]

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Member(Generic[Value]):
    """A job among others.

    Attributes:
        served: rows that have gone through for it.
        turn: what it asks for; None before its first ask.
        apart: whether it goes alone until that is done, as something went wrong in company.
        too_many: rows that did not fit at a time, until fewer did.
    """

    name: str
    job: Job[Value]
    served: int
    turn: Turn | Alone | None = None
    apart: bool = False
    too_many: int | None = None


class Company(Generic[Value]):
    """Carries out what jobs ask of one base, the least served first, several in a pass.

    A job has left when its generator has ended. What one raises, `round` raises; the job has then
    left too, and the others are as they were.
    """

    def __init__(self, base: Base, budget: Budget) -> None:
        """Nobody is there yet. `budget` is that of a pass of several jobs."""
        self._base, self._lanes = base, Lanes(base)
        self._budget, self._most_rows = budget, budget.max_rows
        self._members: dict[str, _Member[Value]] = {}

    def __len__(self) -> int:
        """How many jobs there are."""
        return len(self._members)

    def join(self, name: str, job: Job[Value]) -> None:
        """Carry out `job` too, from the next round on."""
        served = min((member.served for member in self._members.values()), default=0)
        self._members[name] = _Member(name=name, job=job, served=served)

    def leave(self, name: str) -> None:
        """Drop a job where it stands, if it is still there."""
        if name in self._members:
            self._members[name].job.close()
            self._part(name)

    def _part(self, name: str) -> None:
        """Know a job no more. What it gives back may be what a pass of several lacked."""
        if self._members.pop(name, None) is not None:
            self._budget.max_rows = self._most_rows

    def round(self) -> Iterator[tuple[str, Value | Note]]:
        """One pass for those whose turn it is; what they and newcomers then report, by name."""
        for member in list(self._members.values()):
            if member.turn is None:
                yield from self._go_on(member, partial(next, member.job))
        waiting = sorted(self._members.values(), key=lambda member: member.served)
        if not waiting:
            return
        if isinstance(waiting[0].turn, Alone):
            yield from self._alone(waiting[0], waiting[0].turn)
        else:
            yield from self._together(self._fitting(waiting))

    def _fitting(self, waiting: list[_Member[Value]]) -> dict[_Member[Value], Turn]:
        """The first of those that wait, and whoever can go through with it."""
        chosen: dict[_Member[Value], Turn] = {}
        learns: bool | None = None
        items: list[Segment | Fork] = []
        for member in waiting:
            turn = member.turn
            if not isinstance(turn, Turn):
                continue
            if not chosen and (member.apart or turn.is_torn):
                return {member: turn}
            if member.apart or turn.is_torn or learns not in (None, turn.ask.learns):
                continue
            more = [*items, *turn.portion]
            if not chosen or cost(self._base, more) <= self._budget.max_rows:
                chosen[member] = turn
                learns, items = turn.ask.learns, more
        return chosen

    def _together(self, chosen: dict[_Member[Value], Turn]) -> Iterator[tuple[str, Value | Note]]:
        costs = [cost(self._base, turn.portion) for turn in chosen.values()]
        try:
            pass_through(self._base, list(chosen.values()), self._lanes)
        except Exception as error:
            trouble = self._trouble(error)
        else:
            for (member, turn), rows in zip(chosen.items(), costs, strict=True):
                member.served += rows
                if not turn.portion:
                    yield from _fitted(member, turn.ask.budget)
                    yield from self._go_on(member, partial(member.job.send, turn.rows))
            return
        if len(chosen) == 1:
            [(member, turn)] = chosen.items()
            yield from self._own_trouble(member, turn.ask.budget, trouble)
        elif isinstance(trouble, MemoryError):
            memory.let_go(self._base.device)
            self._budget.halve()
        else:
            for member in chosen:
                member.apart = True
        for turn in chosen.values():
            turn.restart()

    def _alone(self, member: _Member[Value], asked: Alone) -> Iterator[tuple[str, Value | Note]]:
        try:
            answer = asked.work(self._base)
        except Exception as error:
            trouble = self._trouble(error)
        else:
            member.served += self._budget.max_rows
            yield from _fitted(member, asked.budget)
            yield from self._go_on(member, partial(member.job.send, answer))
            return
        yield from self._own_trouble(member, asked.budget, trouble)

    def _trouble(self, error: Exception) -> Exception:
        """What went wrong in a pass; where memory ran out, without what the error holds on to."""
        if memory.is_out_of_memory(error):
            _log.warning("out of memory: %s", error)
            return MemoryError(str(error).partition("\n")[0])
        if self._base.device.type != "cpu":
            # A kernel that failed leaves the device unusable for everybody.
            raise error
        return error

    def _own_trouble(
        self, member: _Member[Value], budget: Budget, trouble: Exception
    ) -> Iterator[tuple[str, Value]]:
        """Let a job that was alone in a pass try with less, or have what it caused."""
        if not isinstance(trouble, MemoryError) or budget.max_rows == 1:
            yield from self._go_on(member, partial(member.job.throw, trouble))
            return
        memory.let_go(self._base.device)
        member.too_many = member.too_many or budget.max_rows
        budget.halve()

    def _go_on(
        self, member: _Member[Value], begin: Callable[[], Value | Ask | Alone]
    ) -> Iterator[tuple[str, Value]]:
        """Let a job go on until it asks for something again, or ends."""
        member.apart = False
        try:
            value = begin()
            while not isinstance(value, Ask | Alone):
                yield member.name, value
                value = next(member.job)
        except StopIteration:
            self._part(member.name)
        except Exception:
            self._part(member.name)
            raise
        else:
            member.turn = value if isinstance(value, Alone) else Turn(value, self._base)


def _fitted(member: _Member[Value], budget: Budget) -> Iterator[tuple[str, Note]]:
    """Tell, once for all halvings on the way, how many rows go through at a time now."""
    if member.too_many is None:
        return
    note = Note(
        level="warn",
        message=f"Out of memory with {member.too_many} tokens at a time; going on with "
        f"{budget.max_rows}. This changes nothing but the pace.",
    )
    member.too_many = None
    yield member.name, note


def alone(base: Base, job: Job[Value]) -> Iterator[Value | Note]:
    """What `job` reports, carried out by itself; what it raises rises."""
    company: Company[Value] = Company(base, Budget(1))
    company.join("", job)
    while len(company):
        for _, value in company.round():
            yield value
