"""A pass cut into parts that go through at the same time, each on a thread of its own.

Threads that share every operation of a pass meet some ten thousand times in a step, and each time
the quicker ones wait. Parts of a pass meet once, at its end; and a thread whose core is taken by
another program holds up its own part only.

How a pass is cut depends on what is in it and on the number of threads, on nothing else; so a pass
gives the same numbers each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import torch

from tunery.modeling.base import Base
from tunery.modeling.segments import Fork, Segment

Value = TypeVar("Value")

# What is asked of Python for a pass does not get less with its rows, and only one lane at a time
# can ask.
_FEWEST_ROWS = 128
_MOST_LANES = 4
# The fullest lane may have this many times the rows of the mean.
_UNEVEN = 1.4
# Rows times parameters of a lane that is alone: with fewer, threads that share its operations wait
# longer for each other than they work. Measured with two threads: one chat on 30 million parameters
# takes as long with both, one on 3 million half as long again.
_WORTH_SHARING = 2**32


@dataclass(frozen=True, kw_only=True, eq=False)
class Load:
    """What somebody wants to go through.

    Attributes:
        whole: whether it must stay in one lane.
    """

    items: Sequence[Segment | Fork]
    whole: bool = False

    @property
    def n_rows(self) -> int:
        """Rows of all items."""
        return sum(item.n_rows for item in self.items)


@dataclass(eq=False)
class Lane:
    """What goes through on one thread.

    Attributes:
        parts: of each load, by its place among all loads, what of it is in this lane.
        n_rows: of all of them.
    """

    parts: dict[int, list[Segment | Fork]] = field(default_factory=dict)
    n_rows: int = 0

    def take(self, load: int, items: Sequence[Segment | Fork]) -> None:
        """Add `items` of a load."""
        self.parts.setdefault(load, []).extend(items)
        self.n_rows += sum(item.n_rows for item in items)


def deal(loads: Sequence[Load], n_lanes: int) -> list[Lane]:
    """Cut `loads` into lanes of about the same rows, if that can be; otherwise into one.

    A load stays together where it fits: each lane that it is in costs its adapter's products.
    """
    n_rows = sum(load.n_rows for load in loads)
    for n in range(min(n_lanes, n_rows // _FEWEST_ROWS), 1, -1):
        lanes = _dealt(loads, n, n_rows / n)
        if max(lane.n_rows for lane in lanes) <= _UNEVEN * n_rows / n:
            return [lane for lane in lanes if lane.parts]
    everything = Lane()
    for number, load in enumerate(loads):
        everything.take(number, load.items)
    return [everything]


def _dealt(loads: Sequence[Load], n_lanes: int, mean: float) -> list[Lane]:
    lanes = [Lane() for _ in range(n_lanes)]

    def emptiest() -> Lane:
        return min(lanes, key=lambda lane: lane.n_rows)

    for number in sorted(range(len(loads)), key=lambda i: loads[i].n_rows, reverse=True):
        load, lane = loads[number], emptiest()
        if load.whole or lane.n_rows + load.n_rows <= mean * (1 + _UNEVEN) / 2:
            lane.take(number, load.items)
            continue
        for item in sorted(load.items, key=lambda item: item.n_rows, reverse=True):
            emptiest().take(number, [item])
    return lanes


class Lanes:
    """The threads.

    Attributes:
        most: how many lanes there can be.
    """

    def __init__(self, base: Base) -> None:
        """As many lanes as torch has threads; one where the base must be alone with its pass."""
        self._base, self._threads = base, torch.get_num_threads()
        self._on_cpu = base.device.type == "cpu"
        self.most = min(_MOST_LANES, self._threads) if self._on_cpu and not base.remembers else 1

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.most - 1, "lane")

    def run(self, lanes: Sequence[Lane], work: Callable[[int], Value]) -> list[Value]:
        """What `work` gives for the number of each lane, the first in this thread.

        Raises:
            Exception: what it raised, for the first of them, when all have ended.
        """
        share = self._share(lanes)

        def shared(number: int) -> Value:
            torch.set_num_threads(share)  # of this thread alone
            return work(number)

        others: list[Future[Value]] = []
        try:
            for number in range(1, len(lanes)):
                others.append(self._pool.submit(shared, number))
            mine = shared(0)
        finally:
            wait(others)
            torch.set_num_threads(self._threads)
        return [mine, *(other.result() for other in others)]

    def _share(self, lanes: Sequence[Lane]) -> int:
        """With how many threads each of `lanes` computes."""
        if len(lanes) > 1:
            return max(1, self._threads // len(lanes))
        is_little = lanes[0].n_rows * self._base.n_parameters < _WORTH_SHARING
        return 1 if self._on_cpu and is_little else self._threads
