"""A dataset on its way in: converted to rows of chat, which a file's intake checks and keeps."""

from tunery.core.errors import TooLarge
from tunery.core.files import File
from tunery.dialects.egp.training_datasets.conversion import Conversion
from tunery.service.intake import FileRequest, Intake


class DatasetIntake:
    """Takes one dataset. Its methods block; whoever has one finishes or discards it."""

    def __init__(self, intake: Intake, *, max_bytes: int) -> None:
        """`intake` takes the rows; of what they are made of `max_bytes` may come."""
        self._intake = intake
        self._conversion = Conversion()
        self._max_bytes = max_bytes
        self._n_bytes = 0

    def write(self, block: bytes) -> None:
        """Convert and append `block`.

        Raises:
            Misplaced: this is no dataset.
            InvalidFile: it cannot be read on.
            TooLarge: it is above the limit.
            OutOfSpace: the disk is full.
        """
        self._n_bytes += len(block)
        if self._n_bytes > self._max_bytes:
            raise TooLarge(
                f"The file is larger than {self._max_bytes} bytes, which is this server's limit."
            )
        self._pass_on(self._conversion.feed(block))

    def finish(self, request: FileRequest) -> File:
        """Keep the dataset, durably.

        Raises:
            InvalidFile: it cannot be trained on; every problem is named.
        """
        self._pass_on(self._conversion.finish())
        return self._intake.finish(request)

    def discard(self) -> None:
        """Leave nothing behind. After `finish` it does nothing."""
        self._intake.discard()

    def _pass_on(self, rows: bytes) -> None:
        if rows:
            self._intake.write(rows)
