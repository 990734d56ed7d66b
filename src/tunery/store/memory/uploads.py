"""Chunked uploads and their parts; the bytes are elsewhere."""

from collections.abc import Sequence
from dataclasses import replace

from tunery.core.errors import NotFound
from tunery.core.files import File, Upload, UploadPart, UploadStatus
from tunery.store.memory.state import Part
from tunery.store.uploads import as_of, check_pending


class MemoryUploads(Part):
    """The uploads of the `FileStore` port."""

    def add_upload(self, upload: Upload) -> None:
        """Keep a new upload."""
        with self._state.lock:
            self._state.uploads[upload.id] = upload
            self._state.parts[upload.id] = []

    def upload(self, project_id: str, upload_id: str) -> Upload:
        """One upload, EXPIRED where it was pending past its time; NotFound where unknown."""
        with self._state.lock:
            upload = self._state.uploads.get(upload_id)
            if upload is None or upload.project_id != project_id:
                raise NotFound("upload", upload_id)
            return as_of(upload, self._clock.now())

    def add_part(self, project_id: str, part: UploadPart) -> None:
        """Add a part to a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """
        with self._state.lock:
            check_pending(self.upload(project_id, part.upload_id))
            self._state.parts[part.upload_id].append(part)

    def parts(self, project_id: str, upload_id: str) -> Sequence[UploadPart]:
        """The parts of an upload in the order they came."""
        with self._state.lock:
            upload = self._state.uploads.get(upload_id)
            if upload is None or upload.project_id != project_id:
                return []
            return list(self._state.parts[upload_id])

    def end_upload(
        self, project_id: str, upload_id: str, status: UploadStatus, file: File | None = None
    ) -> Upload:
        """Complete (with its `file`, kept in the same transaction) or cancel a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """
        with self._state.lock:
            upload = self.upload(project_id, upload_id)
            check_pending(upload)
            ended = replace(upload, status=status, file_id=None if file is None else file.id)
            if file is not None:
                self._state.files[file.id] = file
            self._state.uploads[upload_id] = ended
            return ended

    def expired_uploads(self) -> Sequence[Upload]:
        """Ended or expired uploads, of all projects, whose parts are still kept."""
        with self._state.lock:
            now = self._clock.now()
            kept = [
                upload for upload in self._state.uploads.values() if self._state.parts[upload.id]
            ]
            known = [as_of(upload, now) for upload in kept]
            return [upload for upload in known if upload.status is not UploadStatus.PENDING]

    def forget_parts(self, upload_id: str) -> None:
        """Drop the parts of an ended upload; their bytes are gone. A pending one is EXPIRED."""
        with self._state.lock:
            upload = as_of(self._state.uploads[upload_id], self._clock.now())
            self._state.uploads[upload_id] = upload
            if upload.status is not UploadStatus.PENDING:
                self._state.parts[upload_id] = []
