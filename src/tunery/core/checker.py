"""Checks a training file while its bytes come in, in constant memory."""

from collections.abc import Iterable
from dataclasses import dataclass

from tunery.core.examples import BYTE_ORDER_MARK
from tunery.core.files import Format
from tunery.core.findings import Finding
from tunery.core.lines import MOST_LINE_BYTES, LineSplitter
from tunery.core.plain import is_plainly_good, refusal
from tunery.core.problems import MOST_PROBLEMS, Problem
from tunery.core.rows import MOST_EXPLAINED_BYTES, explain

MOST_REMEMBERED_ROWS = 2**19
"""Rows are compared with so many distinct earlier ones, by 64-bit digests: some 40 MB."""
_MOST_REMEMBERED_WARNINGS = 100
_NAMED_LINES = 10
_ARCHIVES = {
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "bzip2 data",
    b"(\xb5/\xfd": "Zstandard data",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What a training file is, and what is wrong with it."""

    format: Format | None
    """None where no row could be recognised."""
    n_rows: int
    n_with_tools: int
    n_duplicates: int
    first_not_object: int | None
    """The first line that is no JSON object."""
    n_errors: int
    n_warnings: int
    problems: tuple[Problem, ...]
    """Up to 100, errors before warnings where there are more; in the order of their lines."""


class RowChecker:
    """Takes the bytes of a file in pieces of any size; the pieces do not change the report."""

    def __init__(self) -> None:
        """Begin with an empty file of unknown format."""
        self._lines = LineSplitter()
        self._number = 0
        self._format: Format | None = None
        self._n_rows = 0
        self._n_with_tools = 0
        self._first_not_object: int | None = None
        self._n_errors = 0
        self._errors: list[Problem] = []
        self._n_warnings = 0
        self._warnings: list[Problem] = []
        self._said_once: set[Finding] = set()
        self._seen: set[int] = set()
        self._n_duplicates = 0
        self._duplicates: list[int] = []

    def feed(self, chunk: bytes) -> None:
        """Check the rows that `chunk` completes."""
        for line in self._lines.feed(chunk):
            self._check(line)

    def finish(self) -> FileReport:
        """The report, once all bytes were fed."""
        self._check(self._lines.rest())
        if self._n_rows == 0 and self._n_errors == 0:
            self._error(Problem(line=None, field=None, message="the file is empty: it has no rows"))
        if self._n_duplicates:
            self._warn(Problem(line=None, field=None, message=self._repeated(), level="warning"))
        kept = [*self._errors, *self._warnings][:MOST_PROBLEMS]
        return FileReport(
            format=self._format,
            n_rows=self._n_rows,
            n_with_tools=self._n_with_tools,
            n_duplicates=self._n_duplicates,
            first_not_object=self._first_not_object,
            n_errors=self._n_errors,
            n_warnings=self._n_warnings,
            problems=tuple(sorted(kept, key=lambda problem: problem.line or 0)),
        )

    def _check(self, line: bytes | None) -> None:
        self._number += 1
        if self._number == 1 and line is not None:
            line = self._without_mark(line)
        if line is None:
            self._n_rows += 1
            most = MOST_LINE_BYTES // 1024**2
            self._found(Finding(None, f"longer than {most} MiB; no model takes such a row"))
        elif line and not line.isspace():
            self._n_rows += 1
            self._check_row(line)

    def _check_row(self, line: bytes) -> None:
        self._compare(line)
        if self._format is not None and is_plainly_good(line, self._format):
            return
        if len(line) > MOST_EXPLAINED_BYTES:
            self._check_large(line)
            return
        explained = explain(line, self._format)
        self._format = self._format or explained.format
        self._n_with_tools += explained.has_tools
        if not explained.is_object:
            self._first_not_object = self._first_not_object or self._number
        for finding in explained.findings.found:
            self._found(finding)

    def _check_large(self, line: bytes) -> None:
        for format in (self._format,) if self._format else (Format.CHAT, Format.COMPLETION):
            if is_plainly_good(line, format):
                self._format = format
                return
        reason = refusal(line, self._format) or "it has no taught assistant message, or has tools"
        self._found(Finding(None, f"is larger than 1 MiB and not a plain row: {reason}"))

    def _without_mark(self, line: bytes) -> bytes:
        for start, what in _ARCHIVES.items():
            if line.startswith(start):
                self._found(Finding(None, f"this is {what}; send plain UTF-8 text, a row per line"))
        if not line.startswith(BYTE_ORDER_MARK):
            return line
        self._found(Finding(None, "begins with a byte order mark; it is ignored", "warning"))
        return line.removeprefix(BYTE_ORDER_MARK)

    def _compare(self, line: bytes) -> None:
        digest = hash(line.strip())
        if digest in self._seen:
            self._n_duplicates += 1
            if len(self._duplicates) < _NAMED_LINES:
                self._duplicates.append(self._number)
        elif len(self._seen) < MOST_REMEMBERED_ROWS:
            self._seen.add(digest)

    def _repeated(self) -> str:
        lines = ", ".join(map(str, self._duplicates))
        more = self._n_duplicates - len(self._duplicates)
        rest = f" and {more} more" if more else ""
        count = "1 row repeats" if self._n_duplicates == 1 else f"{self._n_duplicates} rows repeat"
        return f"{count} an earlier one: line {lines}{rest}"

    def _found(self, finding: Finding) -> None:
        problem = Problem(
            line=self._number, field=finding.field, message=finding.message, level=finding.level
        )
        if finding.level == "error":
            self._error(problem)
        elif not finding.once:
            self._warn(problem)
        elif finding not in self._said_once and len(self._said_once) < _MOST_REMEMBERED_WARNINGS:
            self._said_once.add(finding)
            self._warn(problem)

    def _error(self, problem: Problem) -> None:
        self._n_errors += 1
        if len(self._errors) < MOST_PROBLEMS:
            self._errors.append(problem)

    def _warn(self, problem: Problem) -> None:
        self._n_warnings += 1
        if len(self._warnings) < MOST_PROBLEMS:
            self._warnings.append(problem)


def check_rows(chunks: Iterable[bytes]) -> FileReport:
    """The report on the file whose bytes are `chunks`."""
    checker = RowChecker()
    for chunk in chunks:
        checker.feed(chunk)
    return checker.finish()
