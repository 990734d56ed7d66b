"""Where files and chunked uploads are kept; their bytes are in `blobs`."""

from collections.abc import Sequence
from typing import Protocol

from tunery.core.files import File, Upload, UploadPart, UploadStatus
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest


class FileStore(Protocol):
    """Files and chunked uploads; their bytes are elsewhere."""

    def add_file(self, file: File) -> None:
        """Keep `file`; its bytes are durable already."""

    def file(self, project_id: str, file_id: str) -> File:
        """One file; NotFound where the project has none, or it is deleted or expired."""

    def files(self, project_id: str, page: PageRequest, *, purpose: str | None) -> Page[File]:
        """The project's files by age."""

    def numbered_files(
        self, project_id: str, page: NumberedPage, *, purpose: str | None
    ) -> NumberedItems[File]:
        """The project's files, newest first, by the number of the page."""

    def delete_file(self, project_id: str, file_id: str) -> None:
        """Make a file unknown at once; its bytes stay while a job that is not over uses it.

        Raises:
            NotFound: the project has no such file.
        """

    def discardable_files(self) -> Sequence[File]:
        """Deleted or expired files, of all projects, that no unfinished job uses."""

    def forget_file(self, file_id: str) -> None:
        """Drop the row of a discardable file; its bytes are gone."""

    def add_upload(self, upload: Upload) -> None:
        """Keep a new upload."""

    def upload(self, project_id: str, upload_id: str) -> Upload:
        """One upload, EXPIRED where it was pending past its time; NotFound where unknown."""

    def add_part(self, project_id: str, part: UploadPart) -> None:
        """Add a part to a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """

    def parts(self, project_id: str, upload_id: str) -> Sequence[UploadPart]:
        """The parts of an upload in the order they came."""

    def end_upload(
        self, project_id: str, upload_id: str, status: UploadStatus, file: File | None = None
    ) -> Upload:
        """Complete (with its `file`, kept in the same transaction) or cancel a pending upload.

        Raises:
            NotFound: the project has no such upload.
            InvalidTransition: the upload is no longer pending.
        """

    def expired_uploads(self) -> Sequence[Upload]:
        """Ended or expired uploads, of all projects, whose parts are still kept."""

    def forget_parts(self, upload_id: str) -> None:
        """Drop the parts of an ended upload; their bytes are gone. A pending one is EXPIRED."""
