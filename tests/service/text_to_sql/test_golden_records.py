"""Golden records are checked before any of them is kept; instructions belong to connections."""

import pytest

from tests.dialects.databases import CUSTOMERS
from tests.service.text_to_sql.wired import Wired
from tests.store.values import OURS, THEIRS
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.pages import NumberedPage
from tunery.service.text_to_sql.golden_records import NewGoldenRecord
from tunery.service.text_to_sql.instructions import NewInstruction

FIRST = NumberedPage(number=1, limit=10)


@pytest.fixture
def wired() -> Wired:
    return Wired()


def a_record(connection_id: str, sql: str = "SELECT count(*) FROM orders") -> NewGoldenRecord:
    return NewGoldenRecord(db_connection_id=connection_id, prompt_text="How many?", sql=sql)


def test_records_are_kept_and_paged(wired: Wired) -> None:
    shop, other = wired.connect(), wired.connect()
    added = wired.golden_records.add(OURS, [a_record(shop.id), a_record(shop.id)])
    more = wired.golden_records.add(OURS, [a_record(other.id)])
    records = wired.golden_records
    assert records.list(OURS, FIRST) == [*added, *more]
    assert records.list(OURS, FIRST, connection_id=other.id) == more
    assert records.list(OURS, NumberedPage(number=2, limit=2)) == more
    assert records.list(OURS, NumberedPage(number=3, limit=2)) == []
    assert records.list(THEIRS, FIRST, connection_id=shop.id) == []
    assert records.add(OURS, []) == []


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELEC count(*) FROM orders", "Item 2 of 3"),
        ("SELECT (1", "Item 2 of 3"),
        ("DROP TABLE orders", "Item 2 of 3"),
        ("SELECT 1; SELECT 2", "Item 2 of 3"),
        ("-- nothing", "Item 2 of 3"),
    ],
)
def test_one_bad_sql_keeps_all_from_being_kept(wired: Wired, sql: str, why: str) -> None:
    shop = wired.connect()
    new = [a_record(shop.id), a_record(shop.id, sql), a_record(shop.id)]
    with pytest.raises(InvalidValue, match=why) as caught:
        wired.golden_records.add(OURS, new)
    assert caught.value.code == "invalid_golden_sql"
    assert sql in caught.value.message
    assert wired.golden_records.list(OURS, FIRST) == []


def test_an_unknown_connection_keeps_all_from_being_kept(wired: Wired) -> None:
    shop, theirs = wired.connect(), wired.connect(THEIRS)
    for unknown in ("0" * 24, theirs.id):
        with pytest.raises(NotFound):
            wired.golden_records.add(OURS, [a_record(shop.id), a_record(unknown)])
    assert wired.golden_records.list(OURS, FIRST) == []


@pytest.mark.parametrize(
    ("sql", "good"),
    [
        ("SELECT * FROM sales.leads", True),
        ('SELECT * FROM "SALES"."leads" l JOIN other o ON o.id = l.id', True),
        ("SELECT * FROM leads", False),
        ("SELECT * FROM wages.leads", False),
        ("SELECT sales.leads FROM leads AS sales", False),
        ("SELECT 1", False),
    ],
)
def test_a_connection_with_schemas_wants_them_named(wired: Wired, sql: str, good: bool) -> None:
    wired.databases.shop.tables["sales", "leads"] = CUSTOMERS
    connection = wired.connect(schemas=("sales",))
    if good:
        assert len(wired.golden_records.add(OURS, [a_record(connection.id, sql)])) == 1
        return
    with pytest.raises(InvalidValue, match=r"write sales\.table") as caught:
        wired.golden_records.add(OURS, [a_record(connection.id, sql)])
    assert caught.value.code == "invalid_golden_sql"


def test_metadata_is_replaced_whole(wired: Wired) -> None:
    [record] = wired.golden_records.add(OURS, [a_record(wired.connect().id)])
    assert wired.golden_records.set_metadata(OURS, record.id, {"a": 1}).metadata == {"a": 1}
    assert wired.golden_records.set_metadata(OURS, record.id, None) == record
    with pytest.raises(NotFound):
        wired.golden_records.set_metadata(THEIRS, record.id, {})


def test_deleting_what_is_not_there_does_nothing(wired: Wired) -> None:
    [record] = wired.golden_records.add(OURS, [a_record(wired.connect().id)])
    wired.golden_records.delete(THEIRS, record.id)
    wired.golden_records.delete(OURS, "0" * 24)
    assert wired.golden_records.list(OURS, FIRST) == [record]
    wired.golden_records.delete(OURS, record.id)
    assert wired.golden_records.list(OURS, FIRST) == []


def test_instructions_belong_to_a_connection(wired: Wired) -> None:
    shop, other, theirs = wired.connect(), wired.connect(), wired.connect(THEIRS)
    instructions = wired.instructions
    first = instructions.create(
        OURS, NewInstruction(db_connection_id=shop.id, instruction="Round to cents.")
    )
    second = instructions.create(
        OURS, NewInstruction(db_connection_id=other.id, instruction="No deleted rows.")
    )
    assert instructions.list(OURS, FIRST) == [first, second]
    assert instructions.list(OURS, FIRST, connection_id=other.id) == [second]
    for unknown in (theirs.id, "0" * 24):
        with pytest.raises(NotFound):
            instructions.create(OURS, NewInstruction(db_connection_id=unknown, instruction="x"))
    changed = instructions.replace(OURS, first.id, "Round to euros.", {"a": 1})
    assert (changed.instruction, changed.metadata) == ("Round to euros.", {"a": 1})
    for refused in (
        lambda: instructions.replace(THEIRS, first.id, "theirs", None),
        lambda: instructions.delete(THEIRS, first.id),
    ):
        with pytest.raises(NotFound):
            refused()
    instructions.delete(OURS, first.id)
    assert instructions.list(OURS, FIRST) == [second]
