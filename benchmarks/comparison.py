"""What a benchmark finds: ours against a named rival, measured in turn on one machine."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO, TypeVar

OurWay = TypeVar("OurWay")
Way = TypeVar("Way")

_FINALISTS = 2


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two series of measurements of the same work, taken in turn.

    Attributes:
        what: the work.
        rival: who else did it.
        unit: of the measurements.
        ours: how it went with us; empty where it could not be measured.
        theirs: how it went with the rival; empty likewise.
        more_is_better: whether more of the unit is better.
        at_least: how many times better ours is meant to be, at the least.
        is_share: the rival is a limit; ours is a part of it, and `at_least` too.
        note: settings, and what else one has to know.
        trouble: why a series is empty.
    """

    what: str
    rival: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    more_is_better: bool = True
    at_least: float | None = None
    is_share: bool = False
    note: str = ""
    trouble: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better the median of ours is; None where one was not measured."""
        if not (self.ours and self.theirs):
            return None
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return ours / theirs if self.more_is_better else theirs / ours

    @property
    def falls_short(self) -> bool:
        """Whether ours is less than it is meant to be."""
        return self.at_least is not None and (self.ratio is None or self.ratio < self.at_least)

    def as_ratio(self, value: float | None) -> str:
        """A ratio of this comparison as it is written: times, or a share."""
        if value is None:
            return "-"
        return f"{value:.0%}" if self.is_share else f"{value:.1f} x"


def series(values: Sequence[float], unit: str) -> str:
    """The median of `values`, and their range."""
    if not values:
        return "-"
    middle, low, high = statistics.median(values), min(values), max(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f} {unit} ({low:,.{digits}f}-{high:,.{digits}f})"


def show(comparisons: Sequence[Comparison], *, file: TextIO | None = None) -> None:
    """Print the table: medians, the range of each, and the ratio."""
    head = f"{'what':<44} {'ours':>30} {'rival':>30} {'ratio':>7} {'at least':>8}  rival's name"
    print(head, file=file)
    for found in comparisons:
        ours, theirs = series(found.ours, found.unit), series(found.theirs, found.unit)
        ratio, at_least = found.as_ratio(found.ratio), found.as_ratio(found.at_least)
        row = f"{found.what:<44} {ours:>30} {theirs:>30} {ratio:>7} {at_least:>8}  {found.rival}"
        print(row + (f" ({found.trouble})" if found.trouble else ""), file=file)


class Trial:
    """A series of measurements that may break off without ending the others.

    Attributes:
        values: what was measured.
        trouble: why no more was.
    """

    def __init__(self, measure: Callable[[], float]) -> None:
        """Nothing is measured yet."""
        self._measure = measure
        self.values: list[float] = []
        self.trouble = ""

    def again(self) -> None:
        """Measure once more, unless it has failed before."""
        if self.trouble:
            return
        try:
            self.values.append(self._measure())
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {_last_line(str(error))}"


def in_turn(trials: Sequence[Trial], rounds: int) -> None:
    """Measure each once, and then again, so that what changes on the machine falls on all.

    A dot for each measurement shows that something goes on.
    """
    for _ in range(rounds):
        for trial in trials:
            trial.again()
            print("." if not trial.trouble else "!", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def best_of(trials: Mapping[Way, Trial], *, more_is_better: bool = True) -> tuple[Way, Trial]:
    """The way with the best median, and its measurements."""
    return _ranked(trials, more_is_better)[0]


def best_in_turn(
    ours: Mapping[OurWay, Trial],
    theirs: Mapping[Way, Trial],
    *,
    rounds: int,
    more_is_better: bool = True,
) -> tuple[tuple[OurWay, Trial], tuple[Way, Trial]]:
    """The best way of each side: all are measured once, and the two best of each side again."""
    in_turn([*ours.values(), *theirs.values()], 1)
    our_finalists = dict(_ranked(ours, more_is_better)[:_FINALISTS])
    finalists = dict(_ranked(theirs, more_is_better)[:_FINALISTS])
    in_turn([*our_finalists.values(), *finalists.values()], rounds - 1)
    return (
        best_of(our_finalists, more_is_better=more_is_better),
        best_of(finalists, more_is_better=more_is_better),
    )


def _ranked(trials: Mapping[Way, Trial], more_is_better: bool) -> list[tuple[Way, Trial]]:
    """The best first; those without a measurement last."""
    sign = -1 if more_is_better else 1

    def place(item: tuple[Way, Trial]) -> tuple[bool, float]:
        values = item[1].values
        return (not values, sign * statistics.median(values) if values else 0)

    return sorted(trials.items(), key=place)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no word"
