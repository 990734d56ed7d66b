"""Files; their bytes are elsewhere."""

from collections.abc import Sequence

from tunery.core.errors import NotFound
from tunery.core.files import File
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.store.memory.state import Part, numbered, page_of


class MemoryFiles(Part):
    """The `FileStore` port without its uploads."""

    def add_file(self, file: File) -> None:
        """Keep `file`; its bytes are durable already."""
        with self._state.lock:
            self._state.files[file.id] = file

    def file(self, project_id: str, file_id: str) -> File:
        """One file; NotFound where the project has none, or it is deleted or expired."""
        with self._state.lock:
            file = self._state.files.get(file_id)
            if file is None or file.project_id != project_id or not self._lives(file):
                raise NotFound("file", file_id)
            return file

    def files(self, project_id: str, page: PageRequest, *, purpose: str | None) -> Page[File]:
        """The project's files by age."""

        def shown(file: File) -> bool:
            return self._lives(file) and purpose in (None, file.purpose)

        with self._state.lock:
            ours = [file for file in self._state.files.values() if file.project_id == project_id]
            return page_of(ours, page, name=lambda file: file.id, shown=shown)

    def numbered_files(
        self, project_id: str, page: NumberedPage, *, purpose: str | None
    ) -> NumberedItems[File]:
        """The project's files, newest first, by the number of the page."""
        with self._state.lock:
            found = [
                file
                for file in self._state.files.values()
                if file.project_id == project_id and purpose in (None, file.purpose)
            ]
            return numbered([file for file in found if self._lives(file)], page)

    def delete_file(self, project_id: str, file_id: str) -> None:
        """Make a file unknown at once; its bytes stay while a job that is not over uses it.

        Raises:
            NotFound: the project has no such file.
        """
        with self._state.lock:
            self.file(project_id, file_id)
            self._state.deleted_files.add(file_id)

    def discardable_files(self) -> Sequence[File]:
        """Deleted or expired files, of all projects, that no unfinished job uses."""
        with self._state.lock:
            in_use = self._in_use()
            return [
                file
                for file in self._state.files.values()
                if not self._lives(file) and file.id not in in_use
            ]

    def forget_file(self, file_id: str) -> None:
        """Drop the row of a discardable file; its bytes are gone."""
        with self._state.lock:
            if any(file.id == file_id for file in self.discardable_files()):
                del self._state.files[file_id]
                self._state.deleted_files.discard(file_id)

    def _lives(self, file: File) -> bool:
        if file.id in self._state.deleted_files:
            return False
        return file.expires_at is None or file.expires_at > self._clock.now()

    def _in_use(self) -> set[str | None]:
        unfinished = [
            record.job for record in self._state.jobs.values() if not record.job.status.is_final
        ]
        used = {job.training_file for job in unfinished}
        return used | {job.validation_file for job in unfinished}
