"""A question about a connected database, as a model gets it."""

import pytest

from tests.dialects.world import ScriptedGenerator
from tests.service.text_to_sql.shop import BASE, CONNECTION, MADE, key, table
from tests.store.values import MovableClock
from tunery.core.errors import InvalidValue
from tunery.core.text_to_sql import Instruction, ScanStatus
from tunery.service.text_to_sql.questions import Questions
from tunery.store.memory import MemoryStore

TABLES = (
    table("orders", key(), schema="sales"),
    table("desks", key(), schema="office"),
    table("vanished", key(), schema="sales", status=ScanStatus.DEPRECATED),
    table("unread", key(), schema="sales", status=ScanStatus.NOT_SCANNED),
    table("being_read", schema="sales", status=ScanStatus.SYNCHRONIZING),
)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore(MovableClock())
    made.connections.add([CONNECTION])
    made.tables.add(TABLES)
    return made


def system(store: MemoryStore, *schemas: str) -> str:
    asked = Questions(store, ScriptedGenerator()).messages(
        CONNECTION, "Which?", base=BASE, schemas=schemas or None
    )
    assert [message["role"] for message in asked] == ["system", "user"]
    return asked[0]["content"]


def test_only_scanned_tables_are_told_of(store: MemoryStore) -> None:
    assert system(store).splitlines()[2:] == ["sales.orders(id)", "office.desks(id)"]


def test_schemas_choose_among_them(store: MemoryStore) -> None:
    assert system(store, "office").splitlines()[2:] == ["office.desks(id)"]


def test_a_schema_without_scanned_tables_cannot_be_asked_about(store: MemoryStore) -> None:
    with pytest.raises(InvalidValue) as refused:
        system(store, "empty")
    assert refused.value.code == "no_scanned_tables"


def test_instructions_of_the_connection_are_heeded(store: MemoryStore) -> None:
    store.instructions.add([instruction("1" * 24, CONNECTION.id, "Round sums.")])
    store.instructions.add([instruction("2" * 24, "f" * 24, "Speak Latin.")])
    said = system(store)
    assert "Heed this:\n- Round sums.\nTables:" in said


def instruction(instruction_id: str, connection_id: str, text: str) -> Instruction:
    return Instruction(
        id=instruction_id,
        project_id=CONNECTION.project_id,
        db_connection_id=connection_id,
        created_at=MADE,
        instruction=text,
    )
