"""SQL for a real database: it runs there, fails in its words, and never writes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dialects.databases import HidingSealer
from tests.dialects.world import World, make_world
from tests.service.text_to_sql.golden import write_shop
from tests.service.text_to_sql.shop import CONNECTION
from tests.store.values import OURS
from tunery.addresses import Addresses
from tunery.blobs.folder import FolderBlobs
from tunery.core.errors import InvalidValue, QueryFailed
from tunery.core.text_to_sql import Prompt, Rows, SqlGeneration, SqlStatus
from tunery.databases.customers import CustomerDatabases
from tunery.service.text_to_sql.attempts import Attempts
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.prompts import NewPrompt, Prompts
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.sql_generations import NewSqlGeneration, SqlGenerations
from tunery.service.text_to_sql.tables import Tables
from tunery.service.text_to_sql.writer import SqlWriter

TOWNS = "SELECT town, COUNT(*) AS n FROM customers GROUP BY town ORDER BY town"


class Shop:
    """A shop's database on disk, scanned, and a question about it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "databases" / "shop.db"
        self.file.parent.mkdir()
        write_shop(self.file)
        self.world: World = make_world(folder / "blobs")
        store, clock, generator = self.world.store, self.world.clock, self.world.generator
        sealer = HidingSealer()
        databases = ConnectedDatabases(CustomerDatabases(Addresses(()), self.file.parent), sealer)
        sealed = sealer.seal("sqlite:///shop.db", bound_to=CONNECTION.id)
        connection = replace(CONNECTION, project_id=OURS.project_id, sealed_uri=sealed)
        store.connections.add([connection])
        self.tables = Tables(store, databases, clock)
        self.tables.keep_up(connection, databases.tables(connection))
        self.tables.scanned(OURS.project_id, connection)
        prompts = Prompts(store=store, clock=clock)
        self.prompt: Prompt = prompts.create(
            OURS, NewPrompt(db_connection_id=connection.id, text="How many customers in each town?")
        )
        self.generations = SqlGenerations(
            store=store,
            prompts=prompts,
            jobs=self.world.services.jobs,
            models=self.world.services.models,
            attempts=Attempts(
                questions=Questions(store, generator),
                writer=SqlWriter(FolderBlobs(folder / "blobs"), generator),
                databases=databases,
            ),
            databases=databases,
            clock=clock,
            text_model="tiny-chat",
        )

    def written(self, *says: str) -> SqlGeneration:
        """What comes of it when a model says this."""
        self.world.generator.says = list(says)
        return self.generations.create(OURS, self.prompt.id, NewSqlGeneration())

    def digest(self) -> bytes:
        return hashlib.sha256(self.file.read_bytes()).digest()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_what_a_model_writes_is_run_and_can_be_run_again(shop: Shop) -> None:
    generated = shop.written(f"```sql\n{TOWNS};\n```")
    assert (generated.status, generated.error, generated.model) == (
        SqlStatus.VALID,
        None,
        "tiny-chat",
    )
    rows = (("Bergen", 10), ("Lima", 10), ("Oslo", 10), ("Rome", 10))
    assert shop.generations.execute(OURS, generated.id) == Rows(columns=("town", "n"), rows=rows)
    cut = Rows(columns=("town", "n"), rows=rows[:2], truncated=True)
    assert shop.generations.execute(OURS, generated.id, max_rows=2) == cut


def test_while_tables_are_scanned_again_they_are_known_as_they_were(shop: Shop) -> None:
    shop.tables.begin_scan_of_all(OURS, CONNECTION.id)
    written = shop.written(TOWNS)
    assert (written.status, written.sql) == (SqlStatus.VALID, TOWNS)


def test_the_databases_own_words_lead_to_the_repair(shop: Shop) -> None:
    generated = shop.written("SELECT twon FROM customers", TOWNS)
    assert (generated.status, generated.sql) == (SqlStatus.VALID, TOWNS)
    assert generated.repaired is not None
    assert generated.repaired.error == "no such column: twon"
    asked = shop.world.generator.asked[1].messages
    assert asked is not None
    assert "no such column: twon" in asked[-1]["content"]


def test_what_fails_twice_is_kept_with_the_databases_words(shop: Shop) -> None:
    generated = shop.written("SELECT twon FROM customers", "SELECT town FROM custmers")
    assert (generated.status, generated.error) == (
        SqlStatus.INVALID,
        "no such table: custmers",
    )
    assert shop.generations.get(OURS, generated.id) == generated
    with pytest.raises(QueryFailed, match="no such table: custmers"):
        shop.generations.execute(OURS, generated.id)


@pytest.mark.parametrize(
    "unsafe",
    [
        "DELETE FROM customers",
        "SELECT 1; DROP TABLE customers",
        "WITH gone AS (SELECT 1) DELETE FROM customers",
        "PRAGMA writable_schema = 1",
        "ATTACH DATABASE 'other.db' AS other",
        "SELECT load_extension('x')",
    ],
)
def test_nothing_is_ever_written(shop: Shop, unsafe: str) -> None:
    before = shop.digest()
    generated = shop.written(unsafe, unsafe)
    assert generated.status is SqlStatus.INVALID
    with pytest.raises(InvalidValue):
        shop.generations.execute(OURS, generated.id)
    with pytest.raises(InvalidValue) as caught:
        shop.generations.create(OURS, shop.prompt.id, NewSqlGeneration(sql=unsafe))
    assert caught.value.code == "not_read_only"
    assert shop.digest() == before
    assert len(shop.generations.list(OURS)) == 1
