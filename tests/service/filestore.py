"""Files and uploads in dictionaries, for tests that need no more than these."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tunery.core.errors import InvalidTransition, NotFound
from tunery.core.files import File, Upload, UploadPart, UploadStatus
from tunery.core.pages import Page, PageRequest


class StandingClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class DictFileStore:
    """A `FileStore` whose rows are values in dictionaries."""

    def __init__(self, clock: StandingClock) -> None:
        self._clock = clock
        self.rows: dict[str, File] = {}
        self.deleted: set[str] = set()
        self.uploads: dict[str, Upload] = {}
        self.part_rows: dict[str, list[UploadPart]] = {}

    def add_file(self, file: File) -> None:
        self.rows[file.id] = file

    def file(self, project_id: str, file_id: str) -> File:
        file = self.rows.get(file_id)
        if file is None or file.project_id != project_id or self._is_gone(file):
            raise NotFound("file", file_id)
        return file

    def files(self, project_id: str, page: PageRequest, *, purpose: str | None) -> Page[File]:
        found = [
            file
            for file in self.rows.values()
            if file.project_id == project_id
            and not self._is_gone(file)
            and purpose in (None, file.purpose)
        ]
        found = found if page.ascending else found[::-1]
        if page.after is not None:
            ids = [file.id for file in found]
            found = found[ids.index(page.after) + 1 :] if page.after in ids else []
        return Page(tuple(found[: page.limit]), has_more=len(found) > page.limit)

    def delete_file(self, project_id: str, file_id: str) -> None:
        self.file(project_id, file_id)
        self.deleted.add(file_id)

    def discardable_files(self) -> Sequence[File]:
        return [file for file in self.rows.values() if self._is_gone(file)]

    def forget_file(self, file_id: str) -> None:
        self.rows.pop(file_id, None)

    def add_upload(self, upload: Upload) -> None:
        self.uploads[upload.id] = upload
        self.part_rows[upload.id] = []

    def upload(self, project_id: str, upload_id: str) -> Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.project_id != project_id:
            raise NotFound("upload", upload_id)
        late = upload.expires_at <= self._clock.now()
        if upload.status is UploadStatus.PENDING and late:
            return replace(upload, status=UploadStatus.EXPIRED)
        return upload

    def add_part(self, project_id: str, part: UploadPart) -> None:
        self._pending(project_id, part.upload_id)
        self.part_rows[part.upload_id].append(part)

    def parts(self, project_id: str, upload_id: str) -> Sequence[UploadPart]:
        self.upload(project_id, upload_id)
        return list(self.part_rows[upload_id])

    def end_upload(
        self, project_id: str, upload_id: str, status: UploadStatus, file: File | None = None
    ) -> Upload:
        upload = self._pending(project_id, upload_id)
        if file is not None:
            self.add_file(file)
        ended = replace(upload, status=status, file_id=file.id if file else None)
        self.uploads[upload_id] = ended
        return ended

    def expired_uploads(self) -> Sequence[Upload]:
        current = [self.upload(u.project_id, u.id) for u in self.uploads.values()]
        return [u for u in current if u.status is not UploadStatus.PENDING and self.part_rows[u.id]]

    def forget_parts(self, upload_id: str) -> None:
        self.part_rows[upload_id] = []

    def _pending(self, project_id: str, upload_id: str) -> Upload:
        upload = self.upload(project_id, upload_id)
        if upload.status is not UploadStatus.PENDING:
            raise InvalidTransition(f"Upload {upload_id} is {upload.status}.")
        return upload

    def _is_gone(self, file: File) -> bool:
        late = file.expires_at is not None and file.expires_at <= self._clock.now()
        return file.id in self.deleted or late
