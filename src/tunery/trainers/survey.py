"""A job's files read through: what stands in them, and what is wrong with them.

The rows are read by the same code as in training, so what is counted here is what is learnt there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tunery.core.errors import InvalidFile
from tunery.core.preflight import TokenStatistics
from tunery.core.problems import MOST_PROBLEMS, Problem
from tunery.core.progress import PreflightRequest
from tunery.core.repeats import shared_rows
from tunery.modeling.chat import Chat
from tunery.modeling.folders import resolve_base
from tunery.trainers import token_cache
from tunery.trainers.text_data import ExamplesBuilder, Overlong, Row, Which, read_rows, too_long

# A model that names no limit still has one for us: no row is longer than this.
_NO_LIMIT = 2**20
_HISTOGRAM_EDGES = 12


def survey_files(request: PreflightRequest, chat: Chat, context: int | None) -> list[Survey]:
    """The training file counted, then the validation file where there is one."""
    training = _survey(Path(request.training_file), request, chat, context, "training")
    if request.validation_file is None:
        return [training]
    validation = _survey(Path(request.validation_file), request, chat, context, "validation")
    _compare(Path(request.training_file), Path(request.validation_file), validation)
    return [training, validation]


def _survey(
    path: Path, request: PreflightRequest, chat: Chat, context: int | None, which: Which
) -> Survey:
    """A file counted; where all is well with it, its tokens are kept for the trainer."""
    survey = Survey(which, context=context or _NO_LIMIT, overlong=request.overlong)
    rows = read_rows(path, chat, which)
    if request.tokens is None or path.stat().st_size < token_cache.WORTH_BYTES:
        survey.read(rows)
        return survey
    builder = ExamplesBuilder(context=context, overlong=request.overlong, which=which)
    survey.read(builder.passing(rows))
    if not (survey.n_errors or builder.n_problems):
        name = token_cache.key(path, resolve_base(request.location), context, request.overlong)
        token_cache.keep(Path(request.tokens), name, builder.examples())
    return survey


class Survey:
    """A file's rows, counted as they come."""

    def __init__(self, which: Which, *, context: int, overlong: Overlong) -> None:
        """Count the rows of the training or of the validation file."""
        self._which, self.context, self._overlong = which, context, overlong
        self.n_rows = self.n_overlong = self.n_errors = self.n_warnings = 0
        self.n_examples = self.n_trained = 0
        self.lengths = array("q")
        self.problems: list[Problem] = []

    def read(self, rows: Iterable[Row]) -> None:
        """Count every row of the file, and what is wrong with what is no row."""
        try:
            for row in rows:
                self._take(row)
        except InvalidFile as invalid:
            for problem in invalid.problems:
                self.say(replace(problem, file=self._which))

    def say(self, problem: Problem) -> None:
        """Count a problem, and keep it while there is room."""
        if problem.level == "error":
            self.n_errors += 1
        else:
            self.n_warnings += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def statistics(self) -> TokenStatistics | None:
        """Tokens of the rows that would be trained on."""
        if not self.lengths:
            return None
        lengths = sorted(self.lengths)
        return TokenStatistics(
            total=sum(lengths),
            trained=self.n_trained,
            median=lengths[len(lengths) // 2],
            p95=lengths[min(len(lengths) - 1, int(len(lengths) * 0.95))],
            max=lengths[-1],
            histogram=_histogram(lengths),
        )

    def _take(self, row: Row) -> None:
        self.n_rows += 1
        if row.problem is not None:
            self.say(row.problem)
            return
        longest = max(len(sequence.learn) for sequence in row.sequences)
        if longest > self.context:
            self.n_overlong += 1
            if self._overlong == "error":
                self.say(too_long(row.line, longest, self.context, self._which))
            if self._overlong != "truncate":
                return
        learn = [sequence.learn[: self.context] for sequence in row.sequences]
        if not all(any(taught[1:]) for taught in learn):
            self.say(_silent(row.line, self._which))
            return
        self.n_examples += 1
        self.lengths.extend(map(len, learn))
        self.n_trained += sum(sum(taught[1:]) for taught in learn)


def _compare(training: Path, validation: Path, survey: Survey) -> None:
    """Say which rows of the validation file stand in the training file too."""
    with training.open("rb") as taught, validation.open("rb") as held_out:
        message = shared_rows(taught, held_out)
    if message is not None:
        survey.say(
            Problem(line=None, field=None, message=message, level="warning", file="validation")
        )


def _silent(line: int, which: Which) -> Problem:
    return Problem(
        line=line,
        field=None,
        message="teaches nothing that the model would see; it is left out",
        level="warning",
        file=which,
    )


def _histogram(lengths: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """How many of the sorted `lengths` lie up to each of a dozen round edges."""
    step = 8
    while step * _HISTOGRAM_EDGES < lengths[-1]:
        step *= 2
    edges = range(step, step * (-(-lengths[-1] // step)) + 1, step)
    counts, before = [], 0
    for edge in edges:
        upto = bisect_left(lengths, edge + 1)
        counts.append((edge, upto - before))
        before = upto
    return tuple(counts)
