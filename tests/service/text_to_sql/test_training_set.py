"""Training files out of golden records, over a real database."""

import hashlib
import threading
from pathlib import Path

import pytest

from tests.service.text_to_sql.golden import Goldsmith
from tests.service.text_to_sql.shop import CONNECTION
from tunery.core.access import IdentityType
from tunery.core.checker import check_rows
from tunery.core.errors import InvalidValue, NotFound, QueryFailed, Unavailable
from tunery.core.files import File, Format
from tunery.core.ids import new_id
from tunery.core.text_to_sql import Instruction, Rows, ScannedTable, ScanStatus, n_held_out


@pytest.fixture
def goldsmith(tmp_path: Path) -> Goldsmith:
    return Goldsmith(tmp_path)


def instruction(text: str) -> Instruction:
    return Instruction(
        id=new_id(""),
        project_id=CONNECTION.project_id,
        db_connection_id=CONNECTION.id,
        created_at=CONNECTION.created_at,
        instruction=text,
    )


def test_every_record_is_a_row_that_training_takes(goldsmith: Goldsmith) -> None:
    records = goldsmith.records(40)
    job = goldsmith.job(records)
    built = goldsmith.build(job)

    taught, spared = goldsmith.rows(job.training_file), goldsmith.rows(job.validation_file)
    assert len(spared) == n_held_out(40) == 4
    said = {row[1]["content"]: row[2]["content"] for row in taught + spared}
    assert said == {each.prompt_text: each.sql.rstrip(";") for each in records}
    assert [message["role"] for message in taught[0]] == ["system", "user", "assistant"]
    assert built.training.n_rows == 36
    report = check_rows([b"".join(goldsmith.blobs.read(built.training.blob))])
    assert (report.format, report.n_rows, report.n_errors) == (Format.CHAT, 36, 0)


def test_files_say_whose_they_are_and_what_is_in_them(goldsmith: Goldsmith) -> None:
    job = goldsmith.job(goldsmith.records(40))
    training = goldsmith.build(job).training
    data = b"".join(goldsmith.blobs.read(training.blob))
    assert training == File(
        id=job.training_file,
        project_id=job.project_id,
        created_at=job.created_at,
        filename="training.jsonl",
        purpose="fine-tune",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        format=Format.CHAT,
        n_rows=36,
        created_by=job.created_by,
        created_by_type=IdentityType.USER,
    )


def test_what_is_not_scanned_yet_is_scanned_and_told_of(goldsmith: Goldsmith) -> None:
    goldsmith.store.instructions.add([instruction("Never name a customer.")])
    job = goldsmith.job(goldsmith.records(12))
    goldsmith.build(job)
    tables = goldsmith.store.tables.list(CONNECTION.project_id, parent=CONNECTION.id)
    assert {table.status for table in tables} == {ScanStatus.SCANNED}
    assert goldsmith.rows(job.training_file)[0][0]["content"] == (
        "Answer with one SQLite query.\nHeed this:\n- Never name a customer.\nTables:\n"
        "customers(id, name, town)\n"
        "machines(id, maker)\n"
        "orders(id, customer_id -> customers.id, total)"
    )


def test_the_event_says_how_much_there_is(goldsmith: Goldsmith) -> None:
    [note] = goldsmith.build(goldsmith.job(goldsmith.records(40))).notes
    assert note.message.startswith("Training set built of 36 golden records and 3 tables, about")
    assert note.data is not None
    assert note.data["n_held_out"] == 4
    assert int(str(note.data["n_tokens"])) > 36 * 20


def test_what_was_built_once_is_never_written_over(goldsmith: Goldsmith) -> None:
    job = goldsmith.job(goldsmith.records(40))
    first = goldsmith.build(job)
    rows = goldsmith.rows(job.training_file)
    goldsmith.store.instructions.add([instruction("Never show names.")])
    again = goldsmith.build(job)
    assert (again.training, again.validation) == (first.training, first.validation)
    assert goldsmith.rows(job.training_file) == rows


def test_building_again_gives_the_same_bytes(goldsmith: Goldsmith) -> None:
    job = goldsmith.job(goldsmith.records(40))
    assert goldsmith.build(job) == goldsmith.build(job)


def test_the_seed_decides_what_is_held_out(goldsmith: Goldsmith) -> None:
    records = goldsmith.records(40)
    one, other = goldsmith.job(records), goldsmith.job(records)
    assert one.seed == other.seed
    goldsmith.build(one)
    goldsmith.build(other)
    assert goldsmith.rows(one.validation_file) == goldsmith.rows(other.validation_file)


def test_a_record_that_stands_there_twice_is_not_held_out(goldsmith: Goldsmith) -> None:
    records = goldsmith.records(20)
    job = goldsmith.job(
        [*records, *(goldsmith.record(f" {r.prompt_text}", r.sql) for r in records[:16])]
    )
    goldsmith.build(job)
    taught = {row[-2]["content"].strip() for row in goldsmith.rows(job.training_file)}
    asked = {row[-2]["content"].strip() for row in goldsmith.rows(job.validation_file)}
    assert len(asked) == n_held_out(36) == 4
    assert not taught & asked


def test_few_records_are_all_trained_on(goldsmith: Goldsmith) -> None:
    job = goldsmith.job(goldsmith.records(11))
    built = goldsmith.build(job)
    assert (built.training.n_rows, built.validation) == (11, None)


def test_golden_sql_that_fails_is_named_by_id_in_the_databases_own_words(
    goldsmith: Goldsmith,
) -> None:
    good = goldsmith.records(20)
    bad = {
        goldsmith.record("?", "SELECT nam FROM customers").id: "no such column: nam",
        goldsmith.record("?", "SELECT 1 FROM oders").id: "no such table: oders",
        goldsmith.record("?", "DELETE FROM customers").id: "not a single statement that only reads",
        goldsmith.record("?", "SELECT FROM WHERE").id: "cannot be read",
    }
    kept = goldsmith.store.golden_records.list(CONNECTION.project_id, parent=CONNECTION.id)
    with pytest.raises(InvalidValue) as refused:
        goldsmith.build(goldsmith.job(kept))
    first, *lines = refused.value.message.splitlines()
    assert refused.value.code == "invalid_golden_sql"
    assert first == "The SQL of 4 of 24 golden records fails:"
    assert [line.partition(":")[0] for line in lines] == list(bad)
    for line, words in zip(lines, bad.values(), strict=True):
        assert words in line
    assert not any(record.id in refused.value.message for record in good)


def test_of_many_failures_each_is_named_and_the_first_hundred_explained(
    goldsmith: Goldsmith,
) -> None:
    bad = [goldsmith.record("?", f"SELECT nothing_{at}") for at in range(103)]
    with pytest.raises(InvalidValue) as refused:
        goldsmith.build(goldsmith.job(bad))
    lines = refused.value.message.splitlines()
    assert lines[100] == f"{bad[99].id}: no such column: nothing_99"
    assert lines[101:] == [f"and that of {', '.join(each.id for each in bad[100:])}"]


def test_golden_sql_that_takes_too_long_altogether_is_not_waited_for(
    goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunery.service.text_to_sql.golden_sql.LONGEST_TRIAL_S", -1.0)
    with pytest.raises(InvalidValue, match="not tried") as refused:
        goldsmith.build(goldsmith.job(goldsmith.records(12)))
    assert refused.value.message.startswith("The SQL of 12 of 12 golden records fails")


def test_records_that_were_deleted_meanwhile_are_named(goldsmith: Goldsmith) -> None:
    records = goldsmith.records(20)
    for record in records[:2]:
        goldsmith.store.golden_records.delete(record.project_id, record.id)
    with pytest.raises(InvalidValue, match="2 of 20 golden records were deleted") as refused:
        goldsmith.build(goldsmith.job(records))
    assert refused.value.code == "golden_sql_not_found"
    for record in records[:2]:
        assert record.id in refused.value.message


def test_a_connection_that_was_deleted_meanwhile_is_unknown(goldsmith: Goldsmith) -> None:
    job = goldsmith.job(goldsmith.records(20))
    goldsmith.store.connections.delete(CONNECTION.project_id, CONNECTION.id)
    with pytest.raises(NotFound):
        goldsmith.build(job)


def test_a_record_that_does_not_fit_is_named(goldsmith: Goldsmith) -> None:
    records = goldsmith.records(12)
    long = goldsmith.record("why " * 3_000, "SELECT 1")
    with pytest.raises(InvalidValue, match=f"Golden record {long.id} does not fit") as refused:
        goldsmith.build(goldsmith.job([*records, long]))
    assert refused.value.code == "context_length_exceeded"


def test_what_cannot_be_built_leaves_no_file_behind(goldsmith: Goldsmith) -> None:
    job = goldsmith.job([*goldsmith.records(12), goldsmith.record("why " * 3_000, "SELECT 1")])
    with pytest.raises(InvalidValue):
        goldsmith.build(job)
    assert not goldsmith.blobs.names("files")


def test_a_table_that_cannot_be_scanned_is_left_out_and_said(
    goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = goldsmith.databases.scan

    def failing(uri: str, *, schema: str | None, table: str) -> ScannedTable:
        if table == "machines":
            raise QueryFailed("permission denied")
        return scan(uri, schema=schema, table=table)

    monkeypatch.setattr(goldsmith.databases, "scan", failing)
    job = goldsmith.job(goldsmith.records(12))
    built = goldsmith.build(job)
    assert "machines" not in goldsmith.rows(job.training_file)[0][0]["content"]
    assert built.notes[-1].message == ("1 tables could not be scanned, and are left out: machines")
    assert built.notes[-1].level == "warn"


def test_a_database_that_is_not_to_be_reached_says_so_once(
    goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(uri: str, *, schemas: object = None) -> None:
        raise QueryFailed("connection refused")

    monkeypatch.setattr(goldsmith.databases, "tables", away)
    with pytest.raises(QueryFailed, match=r"^connection refused$"):
        goldsmith.build(goldsmith.job(goldsmith.records(12)))


def test_building_stops_once_nobody_wants_it(
    goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, never = threading.Event(), threading.Event()
    run = goldsmith.databases.run

    def stuck(uri: str, sql: str, *, max_rows: int, timeout_s: float) -> Rows:
        if sql.startswith("SELECT COUNT"):
            begun.set()
            assert never.wait(60)
        return run(uri, sql, max_rows=max_rows, timeout_s=timeout_s)

    monkeypatch.setattr(goldsmith.databases, "run", stuck)
    with pytest.raises(Unavailable):
        goldsmith.training_sets.build(
            goldsmith.job(goldsmith.records(12)), wanted=lambda: not begun.is_set()
        )
    never.set()
    assert not goldsmith.blobs.names("files")


def test_tokens_are_counted_in_a_few_calls(goldsmith: Goldsmith) -> None:
    goldsmith.build(goldsmith.job(goldsmith.records(200)))
    assert goldsmith.generator.n_measures <= 3
