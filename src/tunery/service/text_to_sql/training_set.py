"""Training files made of golden records and of what is known of their database."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tunery.core.errors import InvalidValue, NotFound
from tunery.core.events import NewEvent
from tunery.core.job import FineTuningJob
from tunery.core.ports import Blobs, BuiltSet, Catalog, Shelves
from tunery.core.text_to_sql import (
    DatabaseConnection,
    GoldenRecord,
    ScanStatus,
    SqlSource,
    n_held_out,
)
from tunery.service.text_to_sql.booklet import Asked, Booklet
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.golden_sql import Golden, tried
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.row_file import RowFile
from tunery.service.text_to_sql.side_by_side import aside, check_wanted
from tunery.service.text_to_sql.tables import Tables
from tunery.service.text_to_sql.tables_as_text import names_of

TRAINING, VALIDATION = "training.jsonl", "validation.jsonl"
_MOST_NAMED = 20


class GoldenTrainingSets:
    """The `TrainingSets` port. The same job gives the same files, however often it is repeated."""

    def __init__(
        self,
        *,
        store: Shelves,
        tables: Tables,
        databases: ConnectedDatabases,
        questions: Questions,
        catalog: Catalog,
        blobs: Blobs,
    ) -> None:
        """`tables` scans what is not scanned yet; `blobs` takes the files."""
        self._store = store
        self._tables = tables
        self._databases = databases
        self._questions = questions
        self._catalog = catalog
        self._blobs = blobs

    def build(self, job: FineTuningJob, *, wanted: Callable[[], bool]) -> BuiltSet:
        """The files under the ids that `job` has reserved, their bytes durable.

        Raises:
            NotFound: the connection is gone.
            InvalidValue: a golden record is gone, its SQL fails, or it does not fit into the base
                model's context.
            QueryFailed: the database is not to be reached.
            Unavailable: tokens cannot be counted, or `wanted` says no.
        """
        source = source_of(job)
        connection = self._store.connections.get(job.project_id, source.db_connection_id)
        records = self._records(job.project_id, source)
        self._scan(connection, wanted)
        golden = tried(records, connection, self._databases, wanted=wanted)
        booklet = aside(lambda: self._booklet(job, connection, source, golden), wanted=wanted)
        built = self._written(job, golden, booklet, wanted)
        return replace(built, notes=(*built.notes, *self._left_out(connection)))

    def _records(self, project_id: str, source: SqlSource) -> list[GoldenRecord]:
        """The golden records of `source`, in its order."""
        kept = self._store.golden_records.list(project_id, parent=source.db_connection_id)
        known = {record.id: record for record in kept}
        gone = [each for each in source.golden_records if each not in known]
        if gone:
            more = f" and {len(gone) - _MOST_NAMED} more" if len(gone) > _MOST_NAMED else ""
            raise InvalidValue(
                f"{len(gone)} of {len(source.golden_records)} golden records were deleted before "
                f"the job started: {', '.join(gone[:_MOST_NAMED])}{more}",
                param="golden_records",
                code="golden_sql_not_found",
            )
        return [known[each] for each in source.golden_records]

    def _scan(self, connection: DatabaseConnection, wanted: Callable[[], bool]) -> None:
        """Look at which tables there are, and scan those that are not scanned yet."""
        found = aside(lambda: self._databases.tables(connection), wanted=wanted)
        self._tables.keep_up(connection, found)
        self._tables.scanned(connection.project_id, connection, wanted=wanted)

    def _booklet(
        self,
        job: FineTuningJob,
        connection: DatabaseConnection,
        source: SqlSource,
        golden: Sequence[Golden],
    ) -> Booklet:
        """The database in words, with the tokens of everything that will be asked."""
        lengths = self._questions.lengths(self._catalog.resolve(job.base_model))
        lengths.learn(text for each in golden for text in (each.record.prompt_text, each.sql))
        return self._questions.booklet(connection, lengths=lengths, schemas=source.schemas)

    def _written(
        self,
        job: FineTuningJob,
        golden: Sequence[Golden],
        booklet: Booklet,
        wanted: Callable[[], bool],
    ) -> BuiltSet:
        """Every row in the one file or the other; the first of them is what is trained on."""
        held_out = _held_out(job, golden)
        ids = {TRAINING: job.training_file, VALIDATION: job.validation_file}
        files = {
            name: RowFile(self._blobs, job, file_id=file_id, name=name)
            for name, file_id in ids.items()
            if file_id is not None and (name == TRAINING or held_out)
        }
        try:
            for at, each in enumerate(golden):
                check_wanted(wanted)
                files[VALIDATION if at in held_out else TRAINING].add(_row(each, booklet))
            finished = {name: file.finish() for name, file in files.items()}
        finally:
            for file in files.values():
                file.discard()
        return BuiltSet(
            training=finished[TRAINING],
            validation=finished.get(VALIDATION),
            notes=(_summary(files, booklet),),
        )

    def _left_out(self, connection: DatabaseConnection) -> list[NewEvent]:
        """What to say of tables that could not be scanned."""
        listed = self._store.tables.list(connection.project_id, parent=connection.id)
        failed = [table for table in listed if table.status is ScanStatus.FAILED]
        if not failed:
            return []
        names = ", ".join(names_of(failed[:_MOST_NAMED]))
        message = f"{len(failed)} tables could not be scanned, and are left out: {names}"
        return [NewEvent(message=message, level="warn")]


def source_of(job: FineTuningJob) -> SqlSource:
    """What the job's files are built from.

    Raises:
        NotFound: its files were uploaded.
    """
    if job.sql_source is None:
        raise NotFound("database behind job", job.id)
    return job.sql_source


def _row(golden: Golden, booklet: Booklet) -> Asked:
    record = golden.record
    try:
        return booklet.asked(record.prompt_text, known_tables=golden.tables, sql=golden.sql)
    except InvalidValue as error:
        raise InvalidValue(
            f"Golden record {record.id} does not fit: {error.message}",
            param="golden_records",
            code=error.code,
        ) from error


def _held_out(job: FineTuningJob, golden: Sequence[Golden]) -> frozenset[int]:
    """The places of the rows that are not trained on; the job's seed decides.

    A record that stands there twice is trained on, as long as there are enough of the others: held
    out, it would be a question whose answer is known.
    """
    if job.validation_file is None:
        return frozenset()
    said = [(" ".join(each.record.prompt_text.split()), each.sql) for each in golden]
    times = Counter(said)
    once = [place for place, each in enumerate(said) if times[each] == 1]
    wanted = n_held_out(len(golden))
    places = once if len(once) >= wanted else range(len(golden))
    return frozenset(random.Random(job.seed).sample(places, wanted))


def _summary(files: Mapping[str, RowFile], booklet: Booklet) -> NewEvent:
    taught = files[TRAINING]
    n_spared = files[VALIDATION].n_rows if VALIDATION in files else 0
    return NewEvent(
        message=(
            f"Training set built of {taught.n_rows} golden records and {booklet.n_tables} tables, "
            f"about {taught.n_tokens} tokens; {n_spared} more golden records are held out"
        ),
        data={
            "n_rows": taught.n_rows,
            "n_held_out": n_spared,
            "n_tables": booklet.n_tables,
            "n_tokens": taught.n_tokens,
        },
    )
