"""The shop's golden records and questions are what they are taken for, in either database."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.shop.questions import KINDS
from scripts.shop.records import (
    N_GOLDEN,
    N_QUESTIONS,
    NUMBERS,
    Records,
    other_values,
    records,
    wrong_sql,
)
from scripts.shop.tables import fill, metadata
from sqlalchemy import Connection, create_engine, inspect

from tests.postgres import Postgres
from tunery.core.sql import check_query, tables_in

Rows = list[str]


@pytest.fixture(scope="module")
def shop() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        fill(connection)
        yield connection
    engine.dispose()


@pytest.fixture(scope="module")
def made(shop: Connection) -> Records:
    return records(shop)


def rows(connection: Connection, sql: str) -> Rows:
    found = [repr(tuple(row)) for row in connection.exec_driver_sql(sql)]
    return found if "order by" in sql else sorted(found)


def test_the_shop_has_seven_tables_that_point_at_one_another(shop: Connection) -> None:
    assert inspect(shop).get_table_names() == sorted(metadata.tables)
    assert len(metadata.tables) == 7
    keys = [key for table in metadata.tables.values() for key in table.foreign_keys]
    assert len(keys) == 7
    n_rows = sum(len(rows(shop, f"select * from {table}")) for table in metadata.tables)
    assert 500 < n_rows < 2000


def test_there_are_two_hundred_golden_records_and_sixty_others(made: Records) -> None:
    golden, questions = made.golden, made.questions
    assert (len(golden), len(questions)) == (N_GOLDEN, N_QUESTIONS) == (200, 60)
    assert len({question.text for question in (*golden, *questions)}) == 260


def test_no_question_has_the_sql_of_a_golden_record(made: Records) -> None:
    assert not {each.sql for each in made.golden} & {each.sql for each in made.questions}


def test_every_kind_of_question_is_taught_and_asked(made: Records) -> None:
    for questions, least in ((made.golden, 6), (made.questions, 2)):
        for kind in KINDS:
            assert sum(question.kind == kind for question in questions) >= least, kind


def test_questions_are_about_one_table_and_about_two_and_three(made: Records) -> None:
    n_tables = {len(tables_in(each.sql, "postgresql")) for each in made.questions}
    assert n_tables == {1, 2, 3}


def test_all_sql_reads_and_nothing_else(made: Records) -> None:
    for question in (*made.golden, *made.questions):
        for dialect in ("postgresql", "sqlite"):
            check_query(question.sql, dialect)


def test_wrong_sql_gives_other_rows(shop: Connection, made: Records) -> None:
    for question in (*made.golden, *made.questions):
        right = rows(shop, question.sql)
        assert right, question
        for sql in wrong_sql(question):
            assert rows(shop, sql) != right, (question, sql)


def test_another_value_gives_other_rows(shop: Connection, made: Records) -> None:
    for question in made.questions:
        right = rows(shop, question.sql)
        for name in question.slots:
            others = other_values(question, name)
            n_alike = sum(rows(shop, sql) == right for sql in others)
            assert n_alike <= (len(others) / 10 if name in NUMBERS else 0), (question, name)


def test_every_condition_can_be_left_out(made: Records) -> None:
    question = next(each for each in made.golden if " and " in each.sql)
    head, _, conditions = question.sql.partition(" where ")
    first, _, second = conditions.partition(" and ")
    left_out = list(wrong_sql(question))[:2]
    assert left_out == [f"{head} where {second}", f"{head} where {first}"]


def test_postgresql_has_the_same_shop(made: Records, postgres_server: Postgres) -> None:
    with postgres_server.database() as url:
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            fill(connection)
            assert records(connection) == made
        engine.dispose()


def test_the_command_writes_a_database_and_two_lists(tmp_path: Path, made: Records) -> None:
    subprocess.run([sys.executable, "-m", "scripts.shop", tmp_path], check=True, timeout=60)
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    golden = json.loads((tmp_path / "golden_records.json").read_text())
    questions = json.loads((tmp_path / "questions.json").read_text())
    assert [each["prompt_text"] for each in golden] == [each.text for each in made.golden]
    with engine.connect() as connection:
        assert all(rows(connection, each["sql"]) for each in (*golden, *questions))
    engine.dispose()
