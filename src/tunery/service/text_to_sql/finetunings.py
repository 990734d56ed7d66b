"""Finetunings: jobs whose training set is made from golden records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunery.core import sql
from tunery.core.access import Caller
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.hyperparameters import Hyperparameters
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob, NewJob
from tunery.core.method import Supervised
from tunery.core.ports import Clock, Idempotency, Shelves
from tunery.core.text_to_sql import (
    FEWEST_GOLDEN_RECORDS,
    MOST_GOLDEN_RECORDS,
    DatabaseConnection,
    GoldenRecord,
    Metadata,
    SqlSource,
    n_held_out,
)
from tunery.service.jobs import Jobs
from tunery.service.text_to_sql.ids import object_id
from tunery.service.text_to_sql.schemas import check_schemas, is_in_one_of

DOOR = "dataherald"
"""Under this name a job keeps what its door must give back: alias, base_llm, metadata."""


@dataclass(frozen=True, kw_only=True)
class NewFinetuning:
    """What a caller asks for. None and empty mean the same, as at the door that this came to."""

    db_connection_id: str
    golden_records: Sequence[str] = ()
    """Their ids; none: all that the connection has."""
    schemas: Sequence[str] = ()
    """Golden records that name no table in one of these are left out; none: all are taken."""
    alias: str | None = None
    model: str | None = None
    vendor: str | None = None
    engine: str | None = None
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    echo: Mapping[str, object] = field(default_factory=dict)
    """What the door must give back, beside the alias."""


class Finetunings:
    """The use cases that finetunings have beside those of all jobs."""

    def __init__(self, *, store: Shelves, jobs: Jobs, clock: Clock) -> None:
        """`store` has the connections and golden records that `jobs` are made from."""
        self._store = store
        self._jobs = jobs
        self._clock = clock

    def create(
        self, caller: Caller, new: NewFinetuning, idempotency: Idempotency | None = None
    ) -> FineTuningJob:
        """A job whose files a worker builds from golden records; their ids are reserved.

        Raises:
            NotFound: the project has no such connection, or that no such golden record.
            InvalidValue: an id is malformed, a schema is none of the connection's, there are too
                few golden records, or what `Jobs.create` refuses.
        """
        # Before anything is looked at: what it was made of may have gone since.
        if (answered := self._jobs.answered(caller, idempotency)) is not None:
            return answered
        connection_id = object_id(new.db_connection_id, param="db_connection_id")
        connection = self._store.connections.get(caller.project_id, connection_id)
        check_schemas(new.schemas, connection)
        records = self._records(connection, new)
        source = SqlSource(
            db_connection_id=connection.id,
            golden_records=tuple(record.id for record in records),
            schemas=tuple(new.schemas) or None,
        )
        job = NewJob(
            model=new.model,
            training_file=new_id("file-"),
            validation_file=new_id("file-") if n_held_out(len(records)) else None,
            sql_source=source,
            method=Supervised(hyperparameters=new.hyperparameters),
            vendor=new.vendor,
            engine=new.engine,
            echo={DOOR: {**new.echo, "alias": new.alias or self._alias(connection)}},
        )
        return self._jobs.create(caller, job, idempotency)

    def set_metadata(self, caller: Caller, job_id: str, metadata: Metadata | None) -> FineTuningJob:
        """Replace the metadata whole; NotFound where the project has no such job."""
        kept = self._jobs.get(caller, job_id).echo.get(DOOR)
        echo = {**kept, "metadata": metadata} if isinstance(kept, dict) else {"metadata": metadata}
        return self._jobs.set_echo(caller, job_id, DOOR, echo)

    def _records(
        self, connection: DatabaseConnection, new: NewFinetuning
    ) -> Sequence[GoldenRecord]:
        chosen = self._chosen(connection, new.golden_records)
        if new.schemas:
            chosen = [each for each in chosen if _names_one_of(each, new.schemas, connection)]
        if not FEWEST_GOLDEN_RECORDS <= len(chosen) <= MOST_GOLDEN_RECORDS:
            which = f" in {' or '.join(new.schemas)}" if new.schemas else ""
            limit = (
                f"needs at least {FEWEST_GOLDEN_RECORDS}"
                if len(chosen) < FEWEST_GOLDEN_RECORDS
                else f"takes at most {MOST_GOLDEN_RECORDS:,}; name those that it should learn from"
            )
            raise InvalidValue(
                f"There are {len(chosen)} golden records{which} to learn from; a finetuning "
                f"{limit}",
                param="golden_sqls",
                code="finetuning_not_created",
            )
        return chosen

    def _chosen(
        self, connection: DatabaseConnection, wanted: Sequence[str]
    ) -> Sequence[GoldenRecord]:
        listed = self._store.golden_records.list(connection.project_id, parent=connection.id)
        if not wanted:
            if not listed:
                raise InvalidValue(
                    f"No golden sqls found for db_connection: {connection.id}",
                    param="golden_sqls",
                    code="golden_sql_not_found",
                )
            return listed
        known = {record.id: record for record in listed}
        chosen: dict[str, GoldenRecord] = {}
        for given in wanted:
            record_id = object_id(given, param="golden_sqls")
            if record_id not in known:
                raise NotFound("golden record", record_id, param="golden_sqls")
            chosen[record_id] = known[record_id]
        return list(chosen.values())

    def _alias(self, connection: DatabaseConnection) -> str:
        return f"{connection.alias}_{self._clock.now():%Y%m%d%H}"


def _names_one_of(
    record: GoldenRecord, schemas: Sequence[str], connection: DatabaseConnection
) -> bool:
    named = sql.tables_in(record.sql, connection.dialect)
    return any(is_in_one_of(table, schemas) for table in named)
