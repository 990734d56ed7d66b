"""SQL out of what models say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialects.world import ScriptedGenerator
from tests.service.text_to_sql.shop import BASE
from tunery.blobs.folder import FolderBlobs
from tunery.core.errors import Unavailable
from tunery.core.generation import Piece
from tunery.service.text_to_sql.writer import SqlWriter, sql_in

QUERY = "SELECT name FROM customers WHERE town = 'a;b'"


@pytest.mark.parametrize(
    "answer",
    [
        QUERY,
        f"  {QUERY};\n",
        f"SQL: {QUERY}",
        f"sql query:\n{QUERY};",
        f"```sql\n{QUERY};\n```",
        f"Here it is:\n```\n{QUERY}\n```\nIt lists all names.",
        f"```sql\n{QUERY}",
        f"<think>Which table?\n\nSELECT 1;\n\n</think>\n{QUERY}",
        f"{QUERY};\n\nThis lists the customers; all of them.",
    ],
)
def test_the_statement_is_taken_out_of_what_is_said_around_it(answer: str) -> None:
    assert sql_in(answer) == QUERY


def test_what_is_no_sql_stays_what_it_is() -> None:
    assert sql_in("I do not know.") == "I do not know."
    assert sql_in("") == ""


def test_a_second_statement_is_not_hidden() -> None:
    assert sql_in("SELECT 1; DROP TABLE customers;") == "SELECT 1; DROP TABLE customers"


def test_sql_is_written_greedily_through_the_adapter(tmp_path: Path) -> None:
    generator = ScriptedGenerator()
    generator.pieces = [Piece(text="SELECT "), Piece(text="1;", finish_reason="stop", usage=(7, 3))]
    writer = SqlWriter(FolderBlobs(tmp_path), generator)
    messages = [{"role": "user", "content": "?"}]
    written = writer.write(messages, base=BASE, adapter="runs/x/1/final")
    assert (written.sql, written.tokens_used) == ("SELECT 1", 10)
    [asked] = generator.asked
    assert asked.location == BASE.location
    assert asked.adapter == str(tmp_path / "runs/x/1/final")
    assert asked.messages == messages
    assert asked.temperature == 0
    assert asked.max_tokens == 512


def test_writing_stops_once_nobody_wants_it(tmp_path: Path) -> None:
    generator = ScriptedGenerator()
    generator.pieces = [Piece(text="SELECT ")] * 100
    answers: Iterator[bool] = iter([True, False])
    with pytest.raises(Unavailable):
        SqlWriter(FolderBlobs(tmp_path), generator).write(
            [], base=BASE, adapter=None, wanted=lambda: next(answers)
        )
    assert generator.n_closed == 1
