"""Whole lines out of bytes that come in pieces of any size, in constant memory."""

MOST_LINE_BYTES = 8 * 1024**2
"""A longer line is no training example: it is several times any model's context."""


class LineSplitter:
    """Cuts bytes at line feeds; a line that is too long is let go as it comes."""

    def __init__(self, most_bytes: int = MOST_LINE_BYTES) -> None:
        """Lines may have `most_bytes`, the line feed not counted."""
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._n_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """What `chunk` completes: blocks of whole lines; None in place of a line too long.

        A block has its lines joined by line feeds, with none at its end.
        """
        end = chunk.rfind(b"\n")
        if end < 0:
            self._keep(chunk)
            return []
        blocks: list[bytes | None] = []
        begin = 0
        if self._n_bytes + chunk.index(b"\n") > self._most_bytes:
            begin = chunk.index(b"\n") + 1
            self._keep(chunk[: begin - 1])
            blocks.append(self.rest())
        if begin <= end:
            blocks.append(b"".join([*self._pieces, memoryview(chunk)[begin:end]]))
            self._pieces, self._n_bytes = [], 0
        self._keep(chunk[end + 1 :])
        return blocks

    def rest(self) -> bytes | None:
        """The line behind the last line feed, taken out; None where it is too long."""
        line = b"".join(self._pieces) if self._n_bytes <= self._most_bytes else None
        self._pieces, self._n_bytes = [], 0
        return line

    def _keep(self, piece: bytes) -> None:
        self._n_bytes += len(piece)
        if self._n_bytes <= self._most_bytes:
            self._pieces.append(piece)
        else:
            self._pieces = []
