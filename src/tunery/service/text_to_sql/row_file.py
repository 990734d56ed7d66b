"""A training file on its way to disk, row by row."""

import hashlib

import msgspec

from tunery.core.files import File, Format
from tunery.core.job import FineTuningJob
from tunery.core.ports import Blobs
from tunery.service.text_to_sql.booklet import Asked


class RowFile:
    """The file `file_id` of a job; whoever has one finishes or discards it."""

    def __init__(self, blobs: Blobs, job: FineTuningJob, *, file_id: str, name: str) -> None:
        """Begin; nobody sees anything before `finish`."""
        self._blobs = blobs
        self._job = job
        self._id = file_id
        self._name = name
        self._blob = f"files/{file_id}"
        self._writer = blobs.writer(self._blob)
        self._measured = _Measured()
        self.n_tokens = 0

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return self._measured.n_rows

    def add(self, row: Asked) -> None:
        """Append a row."""
        line = msgspec.json.encode({"messages": row.messages}) + b"\n"
        self._writer.write(line)
        self._measured.add(line)
        self.n_tokens += row.n_tokens

    def finish(self) -> File:
        """The file, its bytes durable; that of an attempt before this one, where it left one.

        A worker that has lost the job may be building it too, with tables that were described
        anew meanwhile: what is published, and perhaps learnt from, is never written over.
        """
        if not self._writer.commit_first():
            self._measured = _Measured()
            for piece in self._blobs.read(self._blob):
                self._measured.add(piece)
        return File(
            id=self._id,
            project_id=self._job.project_id,
            created_at=self._job.created_at,
            filename=self._name,
            purpose="fine-tune",
            size_bytes=self._measured.size_bytes,
            sha256=self._measured.sha256.hexdigest(),
            format=Format.CHAT,
            n_rows=self._measured.n_rows,
            created_by=self._job.created_by,
            created_by_type=self._job.created_by_type,
        )

    def discard(self) -> None:
        """Leave nothing behind. After `finish` it does nothing."""
        self._writer.discard()


class _Measured:
    """What there is to say of bytes that come in pieces."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0
        self.n_rows = 0

    def add(self, piece: bytes) -> None:
        self.sha256.update(piece)
        self.size_bytes += len(piece)
        # A row ends with the only line break in it: JSON writes those in texts otherwise.
        self.n_rows += piece.count(b"\n")
