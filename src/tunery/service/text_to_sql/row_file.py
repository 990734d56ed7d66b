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
        self._job = job
        self._id = file_id
        self._name = name
        self._writer = blobs.writer(f"files/{file_id}")
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self.n_rows = 0
        self.n_tokens = 0

    def add(self, row: Asked) -> None:
        """Append a row."""
        line = msgspec.json.encode({"messages": row.messages}) + b"\n"
        self._writer.write(line)
        self._sha256.update(line)
        self._size_bytes += len(line)
        self.n_rows += 1
        self.n_tokens += row.n_tokens

    def finish(self) -> File:
        """The file, its bytes durable."""
        self._writer.commit()
        return File(
            id=self._id,
            project_id=self._job.project_id,
            created_at=self._job.created_at,
            filename=self._name,
            purpose="fine-tune",
            size_bytes=self._size_bytes,
            sha256=self._sha256.hexdigest(),
            format=Format.CHAT,
            n_rows=self.n_rows,
            created_by=self._job.created_by,
            created_by_type=self._job.created_by_type,
        )

    def discard(self) -> None:
        """Leave nothing behind. After `finish` it does nothing."""
        self._writer.discard()
