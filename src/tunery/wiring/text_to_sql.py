"""What it takes to teach and ask models about databases, put together."""

from dataclasses import dataclass

from tunery.core.ports import Blobs, Catalog, Clock, Databases, Generator, Sealer, Store
from tunery.service.jobs import Jobs
from tunery.service.models import Models
from tunery.service.services import TextToSql
from tunery.service.text_to_sql.attempts import Attempts
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.connections import Connections
from tunery.service.text_to_sql.exam import SqlExaminer
from tunery.service.text_to_sql.finetunings import Finetunings
from tunery.service.text_to_sql.golden_records import GoldenRecords
from tunery.service.text_to_sql.instructions import Instructions
from tunery.service.text_to_sql.prompts import Prompts
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.sql_generations import SqlGenerations
from tunery.service.text_to_sql.tables import Tables
from tunery.service.text_to_sql.training_set import GoldenTrainingSets
from tunery.service.text_to_sql.writer import SqlWriter


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What it takes to ask models about databases, for callers and for jobs alike."""

    sealer: Sealer
    databases: ConnectedDatabases
    tables: Tables
    questions: Questions
    writer: SqlWriter


def put_together(
    sealer: Sealer,
    databases: Databases,
    store: Store,
    blobs: Blobs,
    generator: Generator,
    clock: Clock,
) -> Asking:
    """The same for every use case of `store`'s databases."""
    connected = ConnectedDatabases(databases, sealer)
    return Asking(
        sealer=sealer,
        databases=connected,
        tables=Tables(store, connected, clock),
        questions=Questions(store, generator),
        writer=SqlWriter(blobs, generator),
    )


def training_sets(
    asking: Asking, store: Store, catalog: Catalog, blobs: Blobs
) -> GoldenTrainingSets:
    """What builds the files of jobs that learn from golden records."""
    return GoldenTrainingSets(
        store=store,
        tables=asking.tables,
        databases=asking.databases,
        questions=asking.questions,
        catalog=catalog,
        blobs=blobs,
    )


def examiner(asking: Asking, store: Store, catalog: Catalog, blobs: Blobs) -> SqlExaminer:
    """What asks their models what was held out."""
    return SqlExaminer(
        store=store,
        databases=asking.databases,
        questions=asking.questions,
        writer=asking.writer,
        catalog=catalog,
        blobs=blobs,
    )


def use_cases(
    asking: Asking,
    store: Store,
    jobs: Jobs,
    models: Models,
    clock: Clock,
    *,
    text_model: str,
) -> TextToSql:
    """What callers can do; `text_model` writes where nobody says who should."""
    prompts = Prompts(store=store, clock=clock)
    attempts = Attempts(
        questions=asking.questions, writer=asking.writer, databases=asking.databases
    )
    return TextToSql(
        connections=Connections(
            store=store,
            databases=asking.databases,
            sealer=asking.sealer,
            tables=asking.tables,
            clock=clock,
        ),
        tables=asking.tables,
        golden_records=GoldenRecords(store, clock),
        instructions=Instructions(store, clock),
        finetunings=Finetunings(store=store, jobs=jobs, clock=clock),
        prompts=prompts,
        sql_generations=SqlGenerations(
            store=store,
            prompts=prompts,
            jobs=jobs,
            models=models,
            attempts=attempts,
            databases=asking.databases,
            clock=clock,
            text_model=text_model,
        ),
    )
