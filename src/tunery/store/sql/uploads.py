"""Chunked uploads and their parts; the bytes are elsewhere."""

from collections.abc import Sequence
from dataclasses import replace

from tunery.core.errors import NotFound
from tunery.core.files import File, Upload, UploadPart, UploadStatus
from tunery.store.sql import rows
from tunery.store.sql.database import Part, Row, Transaction
from tunery.store.statements import files, upkeep
from tunery.store.statements import uploads as statements
from tunery.store.uploads import as_of, check_pending


class SqlUploads(Part):
    """The uploads of the `FileStore` port."""

    def add_upload(self, upload: Upload) -> None:
        """Keep a new upload."""
        self._database.write(lambda tx: tx.run(statements.NEW_UPLOAD, rows.upload_values(upload)))

    def upload(self, project_id: str, upload_id: str) -> Upload:
        """One upload, EXPIRED where it was pending past its time; NotFound where unknown."""
        row = self._database.one(statements.UPLOAD, {"project_id": project_id, "id": upload_id})
        return self._known(row, upload_id)

    def add_part(self, project_id: str, part: UploadPart) -> None:
        """Add a part to a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """

        def work(tx: Transaction) -> None:
            self._pending(tx, project_id, part.upload_id)
            tx.run(statements.NEW_PART, rows.part_values(project_id, part))

        self._database.write(work)

    def parts(self, project_id: str, upload_id: str) -> Sequence[UploadPart]:
        """The parts of an upload in the order they came."""
        which = {"project_id": project_id, "upload_id": upload_id}
        return [rows.part(row) for row in self._database.all(statements.PARTS, which)]

    def end_upload(
        self, project_id: str, upload_id: str, status: UploadStatus, file: File | None = None
    ) -> Upload:
        """Complete (with its `file`, kept in the same transaction) or cancel a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """

        def work(tx: Transaction) -> Upload:
            upload = self._pending(tx, project_id, upload_id)
            ended = replace(upload, status=status, file_id=None if file is None else file.id)
            if file is not None:
                tx.run(files.NEW_FILE, rows.file_values(file))
            tx.run(
                statements.END_UPLOAD,
                {
                    "of_project": project_id,
                    "upload_id": upload_id,
                    "status": status.value,
                    "file_id": ended.file_id,
                },
            )
            return ended

        return self._database.write(work)

    def expired_uploads(self) -> Sequence[Upload]:
        """Ended or expired uploads, of all projects, whose parts are still kept."""
        now = self._clock.now()
        wanted = {"now_us": self._now_us(), "pending": UploadStatus.PENDING.value}
        found = self._database.all(upkeep.EXPIRED_UPLOADS, wanted)
        return [as_of(rows.upload(row), now) for row in found]

    def forget_parts(self, upload_id: str) -> None:
        """Drop the parts of an ended upload; their bytes are gone. A pending one is EXPIRED."""
        pending = {"upload_id": upload_id, "pending": UploadStatus.PENDING.value}
        overdue = {"now_us": self._now_us(), "expired": UploadStatus.EXPIRED.value}

        def work(tx: Transaction) -> None:
            tx.run(upkeep.EXPIRE_UPLOAD, pending | overdue)
            tx.run(upkeep.FORGET_PARTS, pending)

        self._database.write(work)

    def _pending(self, tx: Transaction, project_id: str, upload_id: str) -> Upload:
        which = {"project_id": project_id, "id": upload_id}
        upload = self._known(tx.one(statements.LOCK_UPLOAD, which), upload_id)
        check_pending(upload)
        return upload

    def _known(self, row: Row | None, upload_id: str) -> Upload:
        if row is None:
            raise NotFound("upload", upload_id)
        return as_of(rows.upload(row), self._clock.now())
