"""Customers' databases, and what is made of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tunery.core.events import NewEvent
from tunery.core.files import File
from tunery.core.job import FineTuningJob
from tunery.core.progress import Evaluated
from tunery.core.text_to_sql import Rows, ScannedTable


class Databases(Protocol):
    """Databases of the customer's: read, never written, within limits of time and rows."""

    def dialect(self, uri: str) -> str:
        """What kind of database `uri` names.

        Raises:
            InvalidValue: it is no SQLAlchemy URI, or one of a kind that is not served here; or it
                lies where this server may not look.
        """

    def tables(
        self, uri: str, *, schemas: Sequence[str] | None = None
    ) -> Sequence[tuple[str | None, str]]:
        """The tables and views: schema, where one was asked for, and name.

        Raises:
            InvalidValue: as `dialect`.
            QueryFailed: the database is not to be reached, or has no such schema.
        """

    def scan(self, uri: str, *, schema: str | None, table: str) -> ScannedTable:
        """What there is to know about a table; raises as `tables`."""

    def run(self, uri: str, sql: str, *, max_rows: int, timeout_s: float) -> Rows:
        """The result of a single read-only statement; raises as `tables`."""


@dataclass(frozen=True, kw_only=True)
class BuiltSet:
    """The files that a job trains on, their bytes durable, and what its owner should know."""

    training: File
    validation: File | None
    """The held-out rows; None where there are too few to spare some."""
    notes: tuple[NewEvent, ...] = ()


class TrainingSets(Protocol):
    """Builds the files of a job that has a `sql_source`."""

    def build(self, job: FineTuningJob, *, wanted: Callable[[], bool]) -> BuiltSet:
        """The files under the ids that the job has reserved; the same again where it is repeated.

        `wanted` is asked every half second or so, in the thread that calls.

        Raises:
            TuneryError: why the job cannot start, such as golden SQL that fails. `Unavailable`
                once `wanted` says no.
        """


class Examiner(Protocol):
    """Asks the base and the tuned model of a job what neither was trained on."""

    def examine(
        self,
        job: FineTuningJob,
        adapter: str,
        *,
        wanted: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> Evaluated | None:
        """How both did; None where nothing was held out. `adapter` is a blob key.

        `wanted` is asked every half second or so, `tell` is told now and then how far it is; both
        in the thread that calls.

        Raises:
            TuneryError: it cannot be found out, such as `Unavailable` once `wanted` says no.
        """
