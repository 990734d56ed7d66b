"""What the SQL stores share: statements, rows, and each part of the port on any database."""

from tunery.store.sql.errands import SqlErrands
from tunery.store.sql.files import SqlFiles
from tunery.store.sql.jobs import SqlJobs
from tunery.store.sql.keys import SqlKeys
from tunery.store.sql.models import SqlModels
from tunery.store.sql.runs import SqlRuns
from tunery.store.sql.shelves import SqlShelves
from tunery.store.sql.uploads import SqlUploads


class SqlStore(SqlKeys, SqlFiles, SqlUploads, SqlJobs, SqlModels, SqlRuns, SqlErrands, SqlShelves):
    """The whole `Store` port on one database."""

    @property
    def reads_in_place(self) -> bool:
        """Whether a read by key costs less than handing it to another thread."""
        return self._database.reads_in_place

    def ping(self) -> None:
        """Raise `Unavailable` where the database does not answer."""
        self._database.ping()

    def close(self) -> None:
        """Let go of every connection; a second call does nothing."""
        self._database.close()
