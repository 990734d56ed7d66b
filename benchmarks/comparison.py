"""What a benchmark finds: ours against a named rival, measured in turn on one machine."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two series of measurements of the same work, taken in turn."""

    what: str
    rival: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    more_is_better: bool = True

    @property
    def ratio(self) -> float:
        """How many times better the median of ours is."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return ours / theirs if self.more_is_better else theirs / ours


def show(comparisons: Sequence[Comparison]) -> None:
    """Print the table: medians, the range of each, and the ratio."""
    print(f"{'what':<34} {'ours':>24} {'rival':>24} {'times':>6}  rival's name")
    for found in comparisons:
        ours, theirs = _series(found.ours, found.unit), _series(found.theirs, found.unit)
        print(f"{found.what:<34} {ours:>24} {theirs:>24} {found.ratio:>6.1f}  {found.rival}")


def _series(values: Sequence[float], unit: str) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    digits = 0 if middle >= 100 else 2
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f}-{high:.{digits}f})"
