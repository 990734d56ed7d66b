"""Files: take them in, list them, give them back, and clean up."""

from collections.abc import Iterator
from dataclasses import dataclass

from tunery.core.access import Caller
from tunery.core.errors import NotFound
from tunery.core.files import File
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.ports import Blobs, Clock, FileStore
from tunery.service.garbage import Garbage
from tunery.service.intake import TRAINING, Intake, check_purpose
from tunery.service.uploads import MOST_PART_BYTES, UPLOAD_TTL_S, Uploads


@dataclass(frozen=True, kw_only=True)
class Content:
    """A file and its bytes."""

    file: File
    pieces: Iterator[bytes]


class Files:
    """The use cases of files. Every one names the caller's project."""

    def __init__(
        self,
        store: FileStore,
        blobs: Blobs,
        clock: Clock,
        *,
        max_file_bytes: int,
        upload_ttl_s: int = UPLOAD_TTL_S,
        max_part_bytes: int = MOST_PART_BYTES,
    ) -> None:
        """Files may have `max_file_bytes`, however they come."""
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._max_file_bytes = max_file_bytes
        self._garbage = Garbage(store, blobs)
        self.uploads = Uploads(
            store,
            blobs,
            clock,
            self._garbage,
            max_file_bytes=max_file_bytes,
            ttl_s=upload_ttl_s,
            max_part_bytes=max_part_bytes,
        )

    @property
    def max_file_bytes(self) -> int:
        """The most bytes that a file may have."""
        return self._max_file_bytes

    def begin(self, caller: Caller, *, purpose: str | None = None) -> Intake:
        """Take in a file; what its purpose is may be said now or at the end.

        Raises:
            InvalidValue: there is no such purpose.
        """
        if purpose is not None:
            check_purpose(purpose)
        return Intake(
            self._blobs,
            self._clock,
            caller=caller,
            max_bytes=self._max_file_bytes,
            is_checked=purpose in (None, TRAINING),
            record=self._store.add_file,
        )

    def list(self, caller: Caller, page: PageRequest, *, purpose: str | None = None) -> Page[File]:
        """The project's files by age."""
        return self._store.files(caller.project_id, page, purpose=purpose)

    def numbered(
        self, caller: Caller, page: NumberedPage, *, purpose: str | None = None
    ) -> NumberedItems[File]:
        """The project's files, newest first, by the number of the page."""
        return self._store.numbered_files(caller.project_id, page, purpose=purpose)

    def get(self, caller: Caller, file_id: str) -> File:
        """One file; NotFound where the project has none."""
        return self._store.file(caller.project_id, file_id)

    def content(self, caller: Caller, file_id: str) -> Content:
        """One file with its bytes; NotFound where the project has none."""
        file = self.get(caller, file_id)
        try:
            return Content(file=file, pieces=self._blobs.read(file.blob))
        except FileNotFoundError as error:
            # Deleted, and collected, since the line before.
            raise NotFound("file", file_id) from error

    def delete(self, caller: Caller, file_id: str) -> None:
        """Make a file unknown; its bytes stay while a job that is not over uses it.

        Raises:
            NotFound: the project has no such file.
        """
        self._store.delete_file(caller.project_id, file_id)
        self._garbage.try_to_collect()

    def collect_garbage(self) -> None:
        """Remove the bytes of deleted and expired files, and the parts of ended uploads."""
        self._garbage.collect()
