"""What the doors keep beside jobs: found by project, in the order in which it came."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.store.values import START, an_id
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.models import Deployment
from tunery.core.pages import NumberedPage
from tunery.core.ports import Store
from tunery.core.text_to_sql import (
    Column,
    DatabaseConnection,
    ForeignKey,
    GoldenRecord,
    Instruction,
    Metadata,
    Prompt,
    ScanStatus,
    SqlGeneration,
    SqlStatus,
    TableDescription,
)


def a_record(
    project_id: str = "ours",
    *,
    parent: str = "shop",
    prompt_text: str = "How many?",
    metadata: Metadata | None = None,
) -> GoldenRecord:
    return GoldenRecord(
        id=an_id(""),
        project_id=project_id,
        db_connection_id=parent,
        created_at=START,
        prompt_text=prompt_text,
        sql="SELECT count(*) FROM orders",
        metadata=metadata,
    )


def ids(values: Sequence[GoldenRecord]) -> list[str]:
    return [value.id for value in values]


def test_every_kind_comes_back_as_it_was(store: Store) -> None:
    head: dict[str, Any] = {"project_id": "ours"}
    head["created_at"] = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    connection = DatabaseConnection(
        **head,
        id=an_id(""),
        alias="shop",
        dialect="sqlite",
        sealed_uri="sealed",
        schemas=("main",),
        metadata={"a": {"b": [1, 2.5, None, 10**30]}},
        echo={"use_ssh": False},
    )
    table = TableDescription(
        **head,
        id=an_id(""),
        db_connection_id=connection.id,
        table_name="orders",
        schema_name="main",
        status=ScanStatus.SCANNED,
        columns=(
            Column(
                name="status",
                data_type="TEXT",
                low_cardinality=True,
                categories=("new", "paid"),
                foreign_key=ForeignKey(field_name="name", reference_table="statuses"),
            ),
        ),
        examples=({"id": "1"},),
        last_schema_sync=START,
    )
    record = a_record(metadata={"difficulty": "easy"})
    instruction = Instruction(
        **head, id=an_id(""), db_connection_id=connection.id, instruction="Round to cents."
    )
    prompt = Prompt(**head, id=an_id(""), db_connection_id=connection.id, text="How many orders?")
    generation = SqlGeneration(
        **head, id=an_id(""), prompt_id=prompt.id, model="tiny-chat", status=SqlStatus.VALID
    )
    deployment = Deployment(
        **head, id=an_id("dpl_"), model="tiny-chat", name="mine", created_by="user-a"
    )
    store.connections.add([connection])
    store.tables.add([table])
    store.golden_records.add([record])
    store.instructions.add([instruction])
    store.prompts.add([prompt])
    store.sql_generations.add([generation])
    store.deployments.add([deployment])

    assert store.connections.list("ours") == [connection]
    assert store.tables.list("ours", parent=connection.id) == [table]
    assert store.golden_records.get("ours", record.id) == record
    assert store.instructions.list("ours", parent=connection.id) == [instruction]
    assert store.prompts.list("ours", parent=connection.id) == [prompt]
    assert store.sql_generations.list("ours", parent=prompt.id) == [generation]
    assert store.deployments.list("ours", parent="tiny-chat") == [deployment]


def test_a_value_of_another_project_is_as_unknown_as_none(store: Store) -> None:
    theirs = a_record("theirs")
    store.golden_records.add([theirs])
    for unknown in (theirs.id, an_id(""), "", "\0", "\ud800", "'; DROP TABLE golden_records; --"):
        with pytest.raises(NotFound, match="There is no golden record"):
            store.golden_records.get("ours", unknown)
        with pytest.raises(NotFound, match="There is no golden record"):
            store.golden_records.delete("ours", unknown)
        with pytest.raises(NotFound, match="There is no golden record"):
            store.golden_records.change("ours", unknown, lambda record: record)
    assert store.golden_records.list("ours") == []
    assert store.golden_records.count("ours", parent="shop") == 0
    assert store.golden_records.get("theirs", theirs.id) == theirs


def test_lists_begin_with_the_oldest_whatever_was_changed_since(store: Store) -> None:
    records = [a_record(prompt_text=f"Question {number}?") for number in range(5)]
    store.golden_records.add(records[:2])
    store.golden_records.add(records[2:])
    store.golden_records.replace([replace(records[0], sql="SELECT 1")])
    store.golden_records.delete("ours", records[1].id)
    assert ids(store.golden_records.list("ours")) == ids([records[0], *records[2:]])
    assert store.golden_records.get("ours", records[0].id).sql == "SELECT 1"


def test_a_parent_has_its_own_values_only(store: Store) -> None:
    shop = [a_record(parent="shop") for _ in range(3)]
    bank = [a_record(parent="bank") for _ in range(2)]
    store.golden_records.add([shop[0], bank[0], shop[1], bank[1], shop[2]])
    assert ids(store.golden_records.list("ours", parent="shop")) == ids(shop)
    assert store.golden_records.count("ours", parent="bank") == 2
    assert store.golden_records.count("ours") == 5
    for unknown in ("none", "\0", "\ud800"):
        assert store.golden_records.list("ours", parent=unknown) == []
        assert store.golden_records.count("ours", parent=unknown) == 0


def test_a_value_moves_with_its_parent(store: Store) -> None:
    record = a_record(parent="shop")
    store.golden_records.add([record])
    store.golden_records.replace([replace(record, db_connection_id="bank")])
    assert store.golden_records.count("ours", parent="shop") == 0
    assert store.golden_records.count("ours", parent="bank") == 1


@pytest.mark.parametrize("parent", [None, "shop"])
def test_pages_hold_every_value_once(store: Store, parent: str | None) -> None:
    records = [a_record() for _ in range(5)]
    store.golden_records.add([*records, a_record("theirs")])
    pages = [
        ids(
            store.golden_records.list(
                "ours", parent=parent, page=NumberedPage(number=number, limit=2)
            )
        )
        for number in range(1, 5)
    ]
    assert pages == [ids(records[:2]), ids(records[2:4]), ids(records[4:]), []]


def test_what_cannot_be_replaced_changes_nothing(store: Store) -> None:
    ours, theirs = a_record(), a_record("theirs")
    store.golden_records.add([ours, theirs])
    for stranger in (replace(theirs, project_id="ours"), a_record()):
        with pytest.raises(NotFound):
            store.golden_records.replace([replace(ours, sql="SELECT 1"), stranger])
    assert store.golden_records.list("ours") == [ours]
    assert store.golden_records.list("theirs") == [theirs]


def test_values_are_added_all_or_none(store: Store) -> None:
    with pytest.raises(InvalidValue):
        store.golden_records.add([a_record(), a_record(prompt_text="half \ud800")])
    store.golden_records.add([])
    assert store.golden_records.list("ours") == []


def test_a_value_that_is_there_already_stays_as_it_is(store: Store) -> None:
    first, other = a_record(prompt_text="first"), a_record()
    store.golden_records.add([first])
    store.golden_records.add([replace(first, prompt_text="second"), other])
    assert store.golden_records.list("ours") == [first, other]


def test_text_is_kept_whatever_characters_it_has(store: Store) -> None:
    odd = "NUL \0, quote ', percent %s %(a)s :b ?, \u2028, \U0001f600, {}"
    record = a_record(prompt_text=odd, metadata={odd: odd})
    store.golden_records.add([record])
    assert store.golden_records.get("ours", record.id) == record


def test_halves_of_characters_are_refused(store: Store) -> None:
    record = a_record()
    store.golden_records.add([record])
    half = replace(record, metadata={"a": ["\ud800"]})
    with pytest.raises(InvalidValue, match="half of a character"):
        store.golden_records.replace([half])
    with pytest.raises(InvalidValue, match="half of a character"):
        store.golden_records.change("ours", record.id, lambda _: half)
    assert store.golden_records.get("ours", record.id) == record


def test_changes_of_many_at_once_are_all_kept(store: Store) -> None:
    record = a_record(metadata={"n": 0})
    store.golden_records.add([record])

    def one_more(before: GoldenRecord) -> GoldenRecord:
        n = (before.metadata or {})["n"]
        assert isinstance(n, int)
        return replace(before, metadata={"n": n + 1})

    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(lambda _: store.golden_records.change("ours", record.id, one_more), range(40))
        )
    assert store.golden_records.get("ours", record.id).metadata == {"n": 40}


def test_a_change_that_fails_leaves_the_value_as_it_was(store: Store) -> None:
    record = a_record()
    store.golden_records.add([record])

    def refuse(_: GoldenRecord) -> GoldenRecord:
        raise InvalidValue("no")

    with pytest.raises(InvalidValue):
        store.golden_records.change("ours", record.id, refuse)
    assert store.golden_records.list("ours") == [record]
    assert store.golden_records.change("ours", record.id, lambda each: each) == record


def test_what_is_deleted_is_gone(store: Store) -> None:
    record = a_record()
    store.golden_records.add([record])
    store.golden_records.delete("ours", record.id)
    with pytest.raises(NotFound):
        store.golden_records.get("ours", record.id)
    with pytest.raises(NotFound):
        store.golden_records.delete("ours", record.id)
