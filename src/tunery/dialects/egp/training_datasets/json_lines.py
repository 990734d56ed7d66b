"""Datasets of JSON lines: a line in, a line out, so that what is said of one names it rightly."""

from collections.abc import Mapping

from tunery.core.findings import kind
from tunery.core.lines import MOST_LINE_BYTES, LineSplitter
from tunery.core.rows import MOST_EXPLAINED_BYTES, NotJson, parse
from tunery.dialects.egp.training_datasets.pairs import BOTH_PAIRS, PAIRS, Problems, chat_row

_OURS = frozenset({"messages", "completion", "preferred_output", "non_preferred_output"})
"""A row with one of these is one of the formats that files here are checked for anyway."""


class JsonLines:
    """Reads one object a line."""

    def __init__(self, problems: Problems) -> None:
        """`problems` takes what is wrong."""
        self._problems = problems
        self._lines = LineSplitter()
        self._n_lines = 0

    def feed(self, block: bytes) -> bytes:
        """The rows that `block` completes."""
        rows: list[bytes] = []
        for lines in self._lines.feed(block):
            rows += self._rows(lines)
        return b"".join(row + b"\n" for row in rows)

    def rest(self) -> bytes:
        """The row behind the last line feed."""
        return b"\n".join(self._rows(self._lines.rest()))

    def _rows(self, lines: bytes | None) -> list[bytes]:
        if lines is None:
            self._n_lines += 1
            self._found(f"longer than {MOST_LINE_BYTES // 1024**2} MiB; no model takes such a row")
            return [b""]
        return [self._row(line) for line in lines.split(b"\n")]

    def _row(self, line: bytes) -> bytes:
        self._n_lines += 1
        if not line or line.isspace() or len(line) > MOST_EXPLAINED_BYTES:
            return line
        try:
            row = parse(line)
        except NotJson as error:
            self._found(str(error))
            return b""
        if not isinstance(row, dict):
            self._found(f"not an object but {kind(row)}; a row is one JSON object on one line")
            return b""
        return line if _OURS & row.keys() else self._converted(row)

    def _converted(self, row: Mapping[str, object]) -> bytes:
        names = next((pair for pair in PAIRS if row.keys() >= set(pair)), None)
        if names is None:
            self._found(f"has neither {BOTH_PAIRS.replace(', or', ' nor')}")
            return b""
        asked, answer = (row[name] for name in names)
        if not isinstance(asked, str):
            self._found(f"must be a string, not {kind(asked)}", names[0])
        elif not isinstance(answer, str):
            self._found(f"must be a string, not {kind(answer)}", names[1])
        elif not answer:
            self._found("is empty: nothing to learn here", names[1])
        else:
            return chat_row(asked, answer)
        return b""

    def _found(self, message: str, field: str | None = None) -> None:
        self._problems.add(self._n_lines, message, field)
