"""A shop on disk, golden records over it, and models that know some of the answers."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from tests.dialects.databases import HidingSealer
from tests.dialects.world import FakeCatalog
from tests.service.text_to_sql.shop import CONNECTION
from tests.store.values import MovableClock
from tests.worker.scripts import new_job
from tunery.blobs.folder import FolderBlobs
from tunery.core.errors import QueryFailed
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob
from tunery.core.ports import BuiltSet, Closable
from tunery.core.text_to_sql import (
    Column,
    ForeignKey,
    GoldenRecord,
    Rows,
    ScannedTable,
    SqlSource,
    n_held_out,
)
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.exam import SqlExaminer
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.tables import Tables
from tunery.service.text_to_sql.training_set import GoldenTrainingSets
from tunery.service.text_to_sql.writer import SqlWriter
from tunery.store.memory import MemoryStore

TOWNS = ("Oslo", "Bergen", "Lima", "Rome")
SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, town TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), total REAL
);
CREATE TABLE machines (id INTEGER PRIMARY KEY, maker TEXT);
"""
ADAPTER = "runs/x/1/final"


def always() -> bool:
    return True


def write_shop(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(SCHEMA)
        customers = [(n, f"Customer {n}", TOWNS[n % len(TOWNS)]) for n in range(40)]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?)", customers)
        orders = [(n, n % 40, float(n)) for n in range(100)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
        database.commit()


class SqliteFiles:
    """The `Databases` port, as far as these tests need it."""

    def dialect(self, uri: str) -> str:
        return "sqlite"

    def tables(
        self, uri: str, *, schemas: Sequence[str] | None = None
    ) -> Sequence[tuple[str | None, str]]:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
        return [(None, str(name)) for (name,) in self.run(uri, sql, max_rows=100, timeout_s=1).rows]

    def scan(self, uri: str, *, schema: str | None, table: str) -> ScannedTable:
        keys = self.run(uri, f"PRAGMA foreign_key_list({table})", max_rows=100, timeout_s=1)
        targets = {
            str(row[3]): ForeignKey(reference_table=str(row[2]), field_name=str(row[4]))
            for row in keys.rows
        }
        found = self.run(uri, f"PRAGMA table_info({table})", max_rows=100, timeout_s=1)
        columns = tuple(
            Column(
                name=str(row[1]),
                data_type=str(row[2]),
                is_primary_key=bool(row[5]),
                foreign_key=targets.get(str(row[1])),
            )
            for row in found.rows
        )
        return ScannedTable(table_schema="", columns=columns, examples=())

    def run(self, uri: str, sql: str, *, max_rows: int, timeout_s: float) -> Rows:
        try:
            with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database:
                cursor = database.execute(sql)
                rows = tuple(map(tuple, cursor.fetchmany(max_rows + 1)))
        except sqlite3.Error as error:
            raise QueryFailed(str(error)) from error
        names = tuple(each[0] for each in cursor.description)
        return Rows(columns=names, rows=rows[:max_rows], truncated=len(rows) > max_rows)


class Knowing:
    """The `Generator` port: says what `answers` say to a question, by the adapter that is asked."""

    def __init__(self) -> None:
        self.answers: Mapping[str, str] = {}
        """What the tuned model says to each question; the base model says nothing sensible."""
        self.before: Callable[[], object] = lambda: None
        self.asked: list[GenerationRequest] = []
        self.n_measures = 0

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        self.asked.append(request)
        self.before()
        messages: list[dict[str, Any]] = request.messages or []
        question = messages[-1]["content"]
        yield Piece(text="I do not know." if request.adapter is None else self.answers[question])
        yield Piece(finish_reason="stop", usage=(5, 2))

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        self.n_measures += 1
        return Measured(context=2048, n_tokens=tuple(len(text.split()) for text in texts))

    def close(self) -> None:
        return


@dataclass
class Goldsmith:
    """A connected shop, a job over its golden records, and who builds and examines."""

    folder: Path

    def __post_init__(self) -> None:
        write_shop(self.folder / "shop.db")
        self.store = MemoryStore(MovableClock())
        self.sealer, self.databases = HidingSealer(), SqliteFiles()
        self.generator = Knowing()
        self.blobs = FolderBlobs(self.folder / "blobs")
        connected = ConnectedDatabases(self.databases, self.sealer)
        questions = Questions(self.store, self.generator)
        self.training_sets = GoldenTrainingSets(
            store=self.store,
            tables=Tables(self.store, connected, MovableClock()),
            databases=connected,
            questions=questions,
            catalog=FakeCatalog(),
            blobs=self.blobs,
        )
        self.examiner = SqlExaminer(
            store=self.store,
            databases=connected,
            questions=questions,
            writer=SqlWriter(self.blobs, self.generator),
            catalog=FakeCatalog(),
            blobs=self.blobs,
        )
        uri = self.sealer.seal(f"sqlite:///{self.folder / 'shop.db'}", bound_to=CONNECTION.id)
        self.store.connections.add([replace(CONNECTION, sealed_uri=uri)])

    def record(self, question: str, sql: str) -> GoldenRecord:
        made = GoldenRecord(
            id=new_id(""),
            project_id=CONNECTION.project_id,
            db_connection_id=CONNECTION.id,
            created_at=CONNECTION.created_at,
            prompt_text=question,
            sql=sql,
        )
        self.store.golden_records.add([made])
        return made

    def records(self, n: int) -> list[GoldenRecord]:
        """So many good ones."""
        return [
            self.record(
                f"How many orders of customers in {TOWNS[at % 4]} are above {at}?",
                "SELECT COUNT(*) FROM orders JOIN customers ON customers.id = orders.customer_id "
                f"WHERE customers.town = '{TOWNS[at % 4]}' AND orders.total > {at};",
            )
            for at in range(n)
        ]

    def job(self, records: Sequence[GoldenRecord]) -> FineTuningJob:
        source = SqlSource(
            db_connection_id=CONNECTION.id, golden_records=tuple(each.id for each in records)
        )
        return replace(
            new_job(),
            sql_source=source,
            training_file=new_id("file-"),
            validation_file=new_id("file-") if n_held_out(len(records)) else None,
        )

    def build(self, job: FineTuningJob) -> BuiltSet:
        return self.training_sets.build(job, wanted=always)

    def rows(self, file_id: str | None) -> list[list[dict[str, str]]]:
        """The messages of every row of a file."""
        lines = b"".join(self.blobs.read(f"files/{file_id}")).splitlines()
        return [msgspec.json.decode(line)["messages"] for line in lines]
