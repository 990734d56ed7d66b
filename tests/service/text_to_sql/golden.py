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
from tunery.addresses import Addresses
from tunery.blobs.folder import FolderBlobs
from tunery.core.closable import Closable
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob
from tunery.core.ports import BuiltSet
from tunery.core.text_to_sql import GoldenRecord, SqlSource, n_held_out
from tunery.databases.customers import CustomerDatabases
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
        self.sealer = HidingSealer()
        self.databases = CustomerDatabases(Addresses([]), self.folder)
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
