"""Lines out of bytes that come in pieces of any size, in constant memory."""

MOST_LINE_BYTES = 8 * 1024**2
"""A longer line is no training example: it is several times any model's context."""


class LineSplitter:
    """Cuts bytes at each line feed; a line that is too long is let go as it comes."""

    def __init__(self, most_bytes: int = MOST_LINE_BYTES) -> None:
        """Lines may have `most_bytes`, the line feed not counted."""
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._n_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that `chunk` completes, without their line feeds; None for one too long."""
        first, *others = chunk.split(b"\n")
        self._keep(first)
        if not others:
            return []
        last = others.pop()
        lines = [self.rest(), *(self._fitting(line) for line in others)]
        self._keep(last)
        return lines

    def rest(self) -> bytes | None:
        """What stands after the last line feed, taken out; None where it is too long."""
        line = b"".join(self._pieces) if self._n_bytes <= self._most_bytes else None
        self._pieces, self._n_bytes = [], 0
        return line

    def _keep(self, piece: bytes) -> None:
        self._n_bytes += len(piece)
        if self._n_bytes <= self._most_bytes:
            self._pieces.append(piece)
        else:
            self._pieces = []

    def _fitting(self, line: bytes) -> bytes | None:
        return line if len(line) <= self._most_bytes else None
