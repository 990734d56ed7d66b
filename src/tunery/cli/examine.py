"""Training files read through on this machine, with no server: their rows, and their tokens."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tunery.cli.failure import ExitCode, Failure
from tunery.core.checker import FileReport, check_rows, without_bad_rows
from tunery.core.files import Format
from tunery.core.hyperparameters import Precision
from tunery.core.job import Overlong
from tunery.core.models import BaseModel
from tunery.core.preflight import FEWEST_EXAMPLES, Preflight, too_few_examples
from tunery.core.problems import MOST_PROBLEMS, Problem
from tunery.core.progress import PreflightRequest
from tunery.core.repeats import shared_rows
from tunery.engines.child import Child, cold

_PIECE_BYTES = 1024**2
_LOOK_EVERY_S = 1.0
_TRAINABLE = (Format.CHAT, Format.COMPLETION, Format.PREFERENCE)


@dataclass(frozen=True, kw_only=True)
class Data:
    """A training file, perhaps with a validation file, read through."""

    path: Path
    rows: FileReport
    validation_path: Path | None = None
    validation: FileReport | None = None

    @property
    def is_trainable(self) -> bool:
        """Whether a model could make something of it."""
        return self.rows.format in _TRAINABLE


def read_through(path: Path, validation: Path | None) -> Data:
    """The rows of both files."""
    return Data(
        path=path,
        rows=_read(path),
        validation_path=validation,
        validation=None if validation is None else _read(validation),
    )


def seen_by(
    base: BaseModel,
    data: Data,
    overlong: Overlong,
    *,
    precision: Precision | None,
    measurements: Path,
    threads: int | None,
) -> Preflight:
    """What `base` would see of the good rows, by the code that trains on them.

    `precision`, `measurements` and `threads` are as in the request for a preflight.

    Raises:
        Failure: the process that looks ended without a report.
    """
    with _without_bad_rows(data) as (training, validation):
        request = PreflightRequest(
            location=base.location,
            quantization=base.quantization,
            training_file=str(training),
            validation_file=None if validation is None else str(validation),
            overlong=overlong,
            precision=precision,
            measurements=str(measurements),
            threads=threads,
        )
        child = Child(cold("tunery.trainers.preflight"), msgspec.json.encode(request) + b"\n")
        try:
            for line in child.lines(silence_s=_LOOK_EVERY_S):
                if line is not None:
                    return msgspec.json.decode(line, type=Preflight)
            raise Failure(
                f"The model could not be looked at. {child.epitaph()}",
                next_step="Try `tunery check` without --model; it checks the rows alone.",
                code=ExitCode.BAD_INPUT,
            )
        finally:
            child.kill()


def joined(data: Data, seen: Preflight | None) -> Preflight:
    """One report of all that was found, with and without a model."""
    report = seen or Preflight(
        format="",
        n_rows=0,
        n_examples=data.rows.n_rows,
        n_overlong=0,
        context=0,
        tokens=None,
        problems=(),
        n_errors=0,
        n_warnings=0,
    )
    more = _more(data, report.n_examples, compares=seen is None)
    counts: list[FileReport | Preflight] = [data.rows, report]
    counts += [data.validation] if data.validation else []
    n_more_errors = sum(problem.level == "error" for problem in more)
    validation = data.validation.problems if data.validation else ()
    return msgspec.structs.replace(
        report,
        format=data.rows.format or "",
        n_rows=data.rows.n_rows,
        problems=_first(
            [
                *data.rows.problems,
                *(replace(problem, file="validation") for problem in validation),
                *report.problems,
                *more,
            ]
        ),
        n_errors=sum(count.n_errors for count in counts) + n_more_errors,
        n_warnings=sum(count.n_warnings for count in counts) + len(more) - n_more_errors,
    )


def _more(data: Data, n_examples: int, *, compares: bool) -> list[Problem]:
    """What is wrong with the files as a whole; with `compares`, rows that both have too."""
    found = []
    if data.rows.format is not None and not data.is_trainable:
        message = f"{data.rows.format} rows can be uploaded, but are not trained on yet"
        found.append(Problem(line=None, field=None, message=message))
    elif data.rows.n_rows and n_examples < FEWEST_EXAMPLES:
        found.append(Problem(line=None, field=None, message=too_few_examples(n_examples)))
    if data.validation is not None and not _are_alike(data.rows.format, data.validation.format):
        message = (
            f"has {data.validation.format} rows, and the training file {data.rows.format} rows"
        )
        found.append(Problem(line=None, field=None, message=message, file="validation"))
    if compares and data.validation_path is not None:
        with data.path.open("rb") as training, data.validation_path.open("rb") as validation:
            shared = shared_rows(training, validation)
        if shared is not None:
            found.append(
                Problem(line=None, field=None, message=shared, level="warning", file="validation")
            )
    return found


def _are_alike(training: Format | None, validation: Format | None) -> bool:
    """Whether one job can learn from the one file and be measured on the other."""
    if training is None or validation is None:
        return True
    return (training is Format.PREFERENCE) == (validation is Format.PREFERENCE)


def _first(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """As many as a report names, errors before warnings, in the order of files and lines."""
    kept = sorted(problems, key=lambda problem: problem.level != "error")[:MOST_PROBLEMS]
    return tuple(sorted(kept, key=lambda problem: (problem.file, problem.line or 0)))


@contextmanager
def _without_bad_rows(data: Data) -> Iterator[tuple[Path, Path | None]]:
    """Both files as a trainer can read them: copies where there are errors."""
    with tempfile.TemporaryDirectory(prefix="tunery-") as folder:
        training = _mended(data.path, data.rows, Path(folder) / "training.jsonl")
        if data.validation_path is None or data.validation is None:
            yield training, None
        else:
            copy = Path(folder) / "validation.jsonl"
            yield training, _mended(data.validation_path, data.validation, copy)


def _mended(path: Path, report: FileReport, copy: Path) -> Path:
    if report.n_errors == 0:
        return path
    with path.open("rb") as lines, copy.open("wb") as good:
        good.writelines(without_bad_rows(lines, report.format))
    return copy


def _read(path: Path) -> FileReport:
    with path.open("rb") as file:
        return check_rows(iter(lambda: file.read(_PIECE_BYTES), b""))
