"""Datasets as Scale's clients send them, made into rows of chat while their bytes come.

A dataset is CSV with a header or JSON lines, with `prompt` and `response` or with `input` and
`output`; JSON lines may also be our own chat or completion rows, which pass as they are.
"""

import re
from typing import Protocol

from tunery.core.examples import BYTE_ORDER_MARK
from tunery.dialects.egp.errors import Misplaced
from tunery.dialects.egp.training_datasets.comma_separated import CommaSeparated
from tunery.dialects.egp.training_datasets.json_lines import JsonLines
from tunery.dialects.egp.training_datasets.pairs import Problems

_START_BYTES = 256
"""So much is enough to see what a dataset is."""
_LONGEST_START = 64 * 1024
_REPRESENTATION = re.compile(rb"<_io\.|<[\w.]+ object at 0x|b'|b\"")


class _Reader(Protocol):
    def feed(self, block: bytes) -> bytes:
        """The rows that `block` completes."""

    def rest(self) -> bytes:
        """The rows that the end completes."""


class Conversion:
    """Takes the bytes of a dataset in blocks of any size, and gives lines of rows."""

    def __init__(self) -> None:
        """Begin, with a dataset of unknown format."""
        self._problems = Problems()
        self._start = b""
        self._reader: _Reader | None = None

    def feed(self, block: bytes) -> bytes:
        """The rows that `block` completes.

        Raises:
            Misplaced: this is no dataset.
            InvalidFile: it cannot be read on.
        """
        if self._reader is not None:
            return self._reader.feed(block)
        self._start += block
        if len(self._start.lstrip()) < _START_BYTES and len(self._start) < _LONGEST_START:
            return b""
        return self._begun()

    def finish(self) -> bytes:
        """The last rows.

        Raises:
            Misplaced: this is no dataset.
            InvalidFile: it has lines that cannot be used; each is named.
        """
        rows = b"" if self._reader is not None else self._begun()
        assert self._reader is not None
        rows += self._reader.rest()
        self._problems.refuse()
        return rows

    def _begun(self) -> bytes:
        """The rows of what has come so far, now that it shows what it is."""
        start = self._start.removeprefix(BYTE_ORDER_MARK)
        self._start = b""
        seen = start.lstrip()
        if _REPRESENTATION.match(seen):
            raise _no_dataset(
                "file holds Python's name for a file or for bytes, not their text: this client "
                "sends `file` as text, so pass what the file holds, such as "
                'Path("rows.csv").read_text()'
            )
        if seen.startswith(b"["):
            raise _no_dataset("file is a JSON array; write each of its objects on its own line")
        is_json = seen.startswith(b"{")
        self._reader = JsonLines(self._problems) if is_json else CommaSeparated(self._problems)
        return self._reader.feed(start)


def _no_dataset(message: str) -> Misplaced:
    return Misplaced(message, "body", "file")
