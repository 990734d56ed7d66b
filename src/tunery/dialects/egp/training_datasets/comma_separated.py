"""Datasets of comma-separated values, by Python's own reader, which is fed as the bytes come."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence

from tunery.core.findings import shown
from tunery.core.lines import LineSplitter
from tunery.dialects.egp.training_datasets.pairs import BOTH_PAIRS, PAIRS, Problems, chat_row

MOST_RECORD_BYTES = 1024**2
"""A record may span lines; one that does not end within this has a quote too many."""
_SHOWN_COLUMNS = 10
_TOO_LARGE = "field larger"
"""So begins what Python's reader says of a value behind which it has lost its place."""


class _NoMoreYet(Exception):
    """The lines that have come are read, and more may come."""


class _Lines(Iterator[str]):
    """Lines as they come, and those that were taken since the last whole record."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.taken: list[str] = []
        self.n_taken = 0
        """Characters in them."""
        self.is_whole = False

    def __next__(self) -> str:
        if not self.waiting:
            raise StopIteration if self.is_whole else _NoMoreYet
        line = self.waiting.popleft()
        self.taken.append(line)
        self.n_taken += len(line)
        return line

    def take_back(self) -> None:
        """Have the taken ones given again: the record that they begin goes on."""
        self.waiting.extendleft(reversed(self.taken))
        self.forget()

    def forget(self) -> int:
        """How many were taken; they are done with."""
        n_lines = len(self.taken)
        self.taken, self.n_taken = [], 0
        return n_lines


class CommaSeparated:
    """Reads a header and records of as many values."""

    def __init__(self, problems: Problems) -> None:
        """`problems` takes what is wrong."""
        self._problems = problems
        self._splitter = LineSplitter(MOST_RECORD_BYTES)
        self._lines = _Lines()
        self._reader = csv.reader(self._lines, strict=True)
        self._n_decoded = 0
        self._n_read = 0
        """Lines of the records that were read."""
        self._columns: tuple[int, int] | None = None
        self._names = ("input", "output")
        self._n_columns = 0

    def feed(self, block: bytes) -> bytes:
        """The rows that `block` completes.

        Raises:
            InvalidFile: what comes cannot be told into records.
        """
        for lines in self._splitter.feed(block):
            self._put(lines, end="\n")
        return self._rows()

    def rest(self) -> bytes:
        """The rows that the end completes; raises as `feed`."""
        if (line := self._splitter.rest()) != b"":
            self._put(line, end="")
        self._lines.is_whole = True
        return self._rows()

    def _put(self, lines: bytes | None, *, end: str) -> None:
        if lines is None:
            self._stop(self._n_decoded + 1, _too_long())
        else:
            self._lines.waiting.extend(self._decoded(line) + end for line in lines.split(b"\n"))

    def _decoded(self, line: bytes) -> str:
        self._n_decoded += 1
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            byte = f"byte {error.start + 1} (0x{line[error.start]:02X})"
            message = f"not UTF-8: {byte} begins no character; save the file as UTF-8"
            self._problems.add(self._n_decoded, message)
            text = line.decode(errors="replace")
        if "\0" in text:
            self._problems.add(self._n_decoded, "holds the character U+0000")
        return text

    def _rows(self) -> bytes:
        return b"".join(row + b"\n" for row in self._records() if row is not None)

    def _records(self) -> Iterator[bytes | None]:
        while True:
            try:
                record = next(self._reader)
            except StopIteration:
                return
            except _NoMoreYet:
                if self._lines.n_taken > MOST_RECORD_BYTES:
                    self._stop(self._n_read + 1, _too_long())
                self._lines.take_back()
                return
            except csv.Error as error:
                if str(error).startswith(_TOO_LARGE):
                    self._stop(self._n_read + 1, _in_words(error))
                self._problems.add(self._n_read + 1, _in_words(error))
                self._n_read += self._lines.forget()
                continue
            first = self._n_read + 1
            self._n_read += self._lines.forget()
            yield self._row(record, first)

    def _row(self, record: Sequence[str], line: int) -> bytes | None:
        """The row of a record; None where there is none."""
        if not record or (len(record) == 1 and not record[0].strip()):
            return None
        if self._columns is None:
            self._read_header(record, line)
        elif len(record) != self._n_columns:
            message = f"has {_columns(len(record))}, and the header has {self._n_columns}"
            self._problems.add(line, message)
        else:
            asked, answer = (record[column] for column in self._columns)
            if answer:
                return chat_row(asked, answer)
            self._problems.add(line, "is empty: nothing to learn here", self._names[1])
        return None

    def _read_header(self, record: Sequence[str], line: int) -> None:
        header = [name.strip().casefold() for name in record]
        names = next((pair for pair in PAIRS if set(pair) <= set(header)), None)
        if names is None:
            self._stop(line, _wrong_header(record))
            return
        for name in names:
            if header.count(name) > 1:
                self._stop(line, f"the header has {_columns(header.count(name))} {name!r}")
        self._columns = header.index(names[0]), header.index(names[1])
        self._names, self._n_columns = names, len(header)

    def _stop(self, line: int, message: str) -> None:
        """Refuse the file at once: nothing that follows can be understood."""
        self._problems.add(line, message)
        self._problems.refuse()


def _columns(n: int) -> str:
    return "1 column" if n == 1 else f"{n} columns"


def _wrong_header(record: Sequence[str]) -> str:
    names = ", ".join(shown(name) for name in record[:_SHOWN_COLUMNS])
    more = len(record) - _SHOWN_COLUMNS
    listed = names if more <= 0 else f"{names} and {more} more"
    hint = ""
    if len(record) == 1 and (set(record[0]) & set(";\t|")):
        hint = "; separate columns by commas"
    return f"the header has the columns {listed}; it must have {BOTH_PAIRS}{hint}"


def _too_long() -> str:
    mebibytes = MOST_RECORD_BYTES // 1024**2
    return f'begins a record longer than {mebibytes} MiB; is there a quote (") too many?'


def _in_words(error: csv.Error) -> str:
    text = str(error)
    if text.startswith("new-line character"):
        return "holds a carriage return without a line feed; end lines with LF or CRLF"
    if text.startswith(_TOO_LARGE):
        return f"has a value longer than {csv.field_size_limit():,} characters"
    if text.startswith("unexpected end"):
        return 'begins a value in quotes (") that never ends'
    return f"not CSV: {text}"
