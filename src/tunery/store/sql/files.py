"""Files; their bytes are elsewhere."""

from collections.abc import Sequence

from tunery.core.errors import NotFound
from tunery.core.files import File
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.store.sql import rows
from tunery.store.sql.database import Part
from tunery.store.sql.pages import read_numbered, read_page
from tunery.store.statements import files as statements
from tunery.store.statements import upkeep


class SqlFiles(Part):
    """The `FileStore` port without its uploads."""

    def add_file(self, file: File) -> None:
        """Keep `file`; its bytes are durable already."""
        self._database.write(lambda tx: tx.run(statements.NEW_FILE, rows.file_values(file)))

    def file(self, project_id: str, file_id: str) -> File:
        """One file; NotFound where the project has none, or it is deleted or expired."""
        row = self._database.one(
            statements.FILE, {"project_id": project_id, "id": file_id, "now_us": self._now_us()}
        )
        if row is None:
            raise NotFound("file", file_id)
        return rows.file(row)

    def files(self, project_id: str, page: PageRequest, *, purpose: str | None) -> Page[File]:
        """The project's files by age."""
        after = None
        if page.after is not None:
            wanted = {"project_id": project_id, "id": page.after}
            behind = self._database.one(statements.FILE_SEQUENCE, wanted)
            if behind is None:
                return Page(())
            after = behind[0]
        query = statements.FILES[purpose is not None, page.ascending]
        which = self._which(project_id, purpose)
        return read_page(self._database, query, which, page, after=after, item=rows.file)

    def numbered_files(
        self, project_id: str, page: NumberedPage, *, purpose: str | None
    ) -> NumberedItems[File]:
        """The project's files, newest first, by the number of the page."""
        query = statements.NUMBERED_FILES[purpose is not None]
        count = statements.COUNT_FILES[purpose is not None]
        which = self._which(project_id, purpose)
        return read_numbered(self._database, query, count, which, page, item=rows.file)

    def delete_file(self, project_id: str, file_id: str) -> None:
        """Make a file unknown at once; its bytes stay while a job that is not over uses it.

        Raises:
            NotFound: the project has no such file.
        """
        which = {"of_project": project_id, "file_id": file_id, "now_us": self._now_us()}
        if not self._database.write(lambda tx: tx.run(statements.DELETE_FILE, which)):
            raise NotFound("file", file_id)

    def discardable_files(self) -> Sequence[File]:
        """Deleted or expired files, of all projects, that no unfinished job uses."""
        found = self._database.all(upkeep.DISCARDABLE_FILES, {"now_us": self._now_us()})
        return [rows.file(row) for row in found]

    def forget_file(self, file_id: str) -> None:
        """Drop the row of a discardable file; its bytes are gone."""
        which = {"id": file_id, "now_us": self._now_us()}
        self._database.write(lambda tx: tx.run(upkeep.FORGET_FILE, which))

    def _which(self, project_id: str, purpose: str | None) -> dict[str, object]:
        which: dict[str, object] = {"project_id": project_id, "now_us": self._now_us()}
        return which if purpose is None else which | {"purpose": purpose}
