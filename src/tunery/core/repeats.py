"""Rows that a file has twice, and rows that two files share."""

from collections.abc import Iterable, Sequence

MOST_REMEMBERED_ROWS = 2**19
"""Rows are compared with so many distinct earlier ones, by digests of 64 bits: some 40 MB."""
_NAMED_LINES = 10


class Repeats:
    """Notices rows that came before, in bounded memory."""

    def __init__(self) -> None:
        """No row came yet."""
        self.count = 0
        self._lines: list[int] = []
        self._seen: set[int] = set()

    def add(self, digests: Sequence[int], first_line: int) -> None:
        """Some rows more, one per line from `first_line` on."""
        fresh = set(digests)
        if len(fresh) == len(digests) and self._seen.isdisjoint(fresh):
            if len(self._seen) < MOST_REMEMBERED_ROWS:
                self._seen |= fresh
            return
        for line, digest in enumerate(digests, start=first_line):
            self._add(digest, line)

    def __str__(self) -> str:
        """Which rows they were."""
        return repeated(self.count, self._lines, "an earlier one")

    def _add(self, digest: int, line: int) -> None:
        if digest in self._seen:
            self.count += 1
            if len(self._lines) < _NAMED_LINES:
                self._lines.append(line)
        elif len(self._seen) < MOST_REMEMBERED_ROWS:
            self._seen.add(digest)


def repeated(count: int, lines: Sequence[int], what: str) -> str:
    """`count` rows repeat `what`; the first of their lines are known."""
    named = ", ".join(map(str, lines))
    more = f" and {count - len(lines)} more" if count > len(lines) else ""
    rows = "1 row repeats" if count == 1 else f"{count} rows repeat"
    return f"{rows} {what}: line{'s' if count > 1 else ''} {named}{more}"


def shared_rows(training: Iterable[bytes], validation: Iterable[bytes]) -> str | None:
    """What to say where rows of the validation file are also in the training file; else None.

    Both are given by lines, and compared by their bytes without the space around them.
    """
    seen = set[int]()
    for line in training:
        if len(seen) < MOST_REMEMBERED_ROWS:
            seen.add(hash(line.strip()))
    shared = [
        number
        for number, line in enumerate(validation, start=1)
        if (text := line.strip()) and hash(text) in seen
    ]
    if not shared:
        return None
    return repeated(len(shared), shared[:_NAMED_LINES], "one of the training file")
