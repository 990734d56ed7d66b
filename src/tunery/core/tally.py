"""The problems of a file, kept as far as one report names them and counted beyond."""

from tunery.core.findings import Finding
from tunery.core.problems import MOST_PROBLEMS, Problem

_MOST_SAID_ONCE = 100


class Tally:
    """Collects problems, errors apart from warnings, so that many of these hide none of those."""

    def __init__(self) -> None:
        """Nothing was found yet."""
        self.n_errors = 0
        self.n_warnings = 0
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []
        self._said_once: set[Finding] = set()

    def add(self, finding: Finding, line: int | None) -> None:
        """Count a finding, and keep it if there is room."""
        if finding.once and not self._is_new(finding):
            return
        problem = Problem(
            line=line, field=finding.field, message=finding.message, level=finding.level
        )
        if finding.level == "error":
            self.n_errors += 1
            kept = self._errors
        else:
            self.n_warnings += 1
            kept = self._warnings
        if len(kept) < MOST_PROBLEMS:
            kept.append(problem)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Up to 100, errors before warnings where there are more; in the order of their lines."""
        kept = [*self._errors, *self._warnings][:MOST_PROBLEMS]
        return tuple(sorted(kept, key=lambda problem: problem.line or 0))

    def _is_new(self, finding: Finding) -> bool:
        is_new = finding not in self._said_once and len(self._said_once) < _MOST_SAID_ONCE
        if is_new:
            self._said_once.add(finding)
        return is_new
