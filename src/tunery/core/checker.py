"""Checks a training file while its bytes come in, in constant memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tunery.core.calls import brings_tools
from tunery.core.examples import BYTE_ORDER_MARK
from tunery.core.files import Format
from tunery.core.findings import Finding
from tunery.core.lines import MOST_LINE_BYTES, LineSplitter
from tunery.core.plain import digests
from tunery.core.problems import Problem
from tunery.core.repeats import Repeats
from tunery.core.rows import MOST_EXPLAINED_BYTES, explain, is_good
from tunery.core.tally import Tally

_NOT_TEXT = {
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"(\xb5/\xfd": "Zstandard data",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What a training file is, and what is wrong with it."""

    format: Format | None
    """None where no row could be recognised."""
    n_rows: int
    n_with_tools: int
    n_repeated: int
    """Rows that repeat an earlier one."""
    first_not_object: int | None
    """The first line that is no JSON object."""
    n_errors: int
    n_warnings: int
    problems: tuple[Problem, ...]
    """Up to 100, errors before warnings where there are more; in the order of their lines."""


class RowChecker:
    """Takes the bytes of a file in pieces of any size; where they are cut changes nothing."""

    def __init__(self) -> None:
        """Begin with an empty file of unknown format."""
        self._lines = LineSplitter()
        self._n_lines = 0
        self._format: Format | None = None
        self._n_rows = 0
        self._n_with_tools = 0
        self._first_not_object: int | None = None
        self._repeats = Repeats()
        self._tally = Tally()

    def feed(self, chunk: bytes) -> None:
        """Check the rows that `chunk` completes."""
        for block in self._lines.feed(chunk):
            self._check_block(block)

    def finish(self) -> FileReport:
        """The report, once all bytes were fed."""
        self._check_block(self._lines.rest())
        if self._n_rows == 0:
            self._tally.add(Finding(None, "the file is empty: it has no rows"), None)
        if self._repeats.count:
            self._tally.add(Finding(None, str(self._repeats), "warning"), None)
        return FileReport(
            format=self._format,
            n_rows=self._n_rows,
            n_with_tools=self._n_with_tools,
            n_repeated=self._repeats.count,
            first_not_object=self._first_not_object,
            n_errors=self._tally.n_errors,
            n_warnings=self._tally.n_warnings,
            problems=self._tally.problems,
        )

    def _check_block(self, block: bytes | None) -> None:
        if block is None:
            self._n_lines += 1
            self._n_rows += 1
            self._found(f"longer than {MOST_LINE_BYTES // 1024**2} MiB; no model takes such a row")
        elif len(block) > MOST_LINE_BYTES or not self._takes(block):
            for line in block.split(b"\n"):
                self._check_line(line)

    def _takes(self, block: bytes) -> bool:
        """Whether every line of `block` is a plain good row, which is then counted."""
        known = self._format
        for format in (known,) if known else (Format.CHAT, Format.COMPLETION):
            if (found := digests(block, format)) is not None:
                self._format = format
                self._repeats.add(found, self._n_lines + 1)
                self._n_lines += len(found)
                self._n_rows += len(found)
                return True
        return False

    def _check_line(self, line: bytes) -> None:
        if self._n_lines == 0:
            line = self._without_mark(line)
        if len(line) > MOST_LINE_BYTES:
            self._check_block(None)
        elif not line or line.isspace():
            self._n_lines += 1
        elif not self._takes(line):
            self._n_lines += 1
            self._n_rows += 1
            self._repeats.add([hash(line.strip())], self._n_lines)
            if not self._takes_calls(line):
                self._explain(line)

    def _takes_calls(self, line: bytes) -> bool:
        """Whether `line` is a good conversation with tools or calls."""
        if self._format is not Format.CHAT or (has_tools := brings_tools(line)) is None:
            return False
        self._n_with_tools += has_tools
        return True

    def _explain(self, line: bytes) -> None:
        if len(line) > MOST_EXPLAINED_BYTES:
            self._found("longer than 1 MiB, and not a plain row of text messages without a fault")
            return
        explained = explain(line, self._format)
        self._format = self._format or explained.format
        self._n_with_tools += explained.has_tools
        if not explained.is_object:
            self._first_not_object = self._first_not_object or self._n_lines
        for finding in explained.findings.found:
            self._tally.add(finding, self._n_lines)

    def _found(self, message: str) -> None:
        self._tally.add(Finding(None, message), self._n_lines)

    def _without_mark(self, line: bytes) -> bytes:
        for start, what in _NOT_TEXT.items():
            if line.startswith(start):
                message = f"this is {what}; send plain UTF-8 text with one row per line"
                self._tally.add(Finding(None, message), 1)
        if line.startswith(BYTE_ORDER_MARK):
            message = "begins with a byte order mark, which is ignored"
            self._tally.add(Finding(None, message, "warning"), 1)
        return line.removeprefix(BYTE_ORDER_MARK)


def check_rows(chunks: Iterable[bytes]) -> FileReport:
    """The report on the file whose bytes are `chunks`."""
    checker = RowChecker()
    for chunk in chunks:
        checker.feed(chunk)
    return checker.finish()


def without_bad_rows(lines: Iterable[bytes], format: Format | None) -> Iterator[bytes]:
    """The lines of a file whose rows are of `format`, each bad one emptied.

    So what is said of the others still names the right line.
    """
    for number, line in enumerate(lines, start=1):
        row = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
        fits = 0 < len(row) <= MOST_EXPLAINED_BYTES and format is not None
        yield row + b"\n" if fits and is_good(row, format) else b"\n"
