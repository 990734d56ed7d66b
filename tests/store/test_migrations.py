"""The tables that migrations make are those that the statements expect, on both databases."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine.interfaces import ReflectedIndex

from tests.store.conftest import Postgres
from tests.store.values import MovableClock
from tunery.core.errors import Unavailable
from tunery.store import postgres, sqlite
from tunery.store.migrations import config, connected, upgrade
from tunery.store.tables import metadata


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tunery.db'}"
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        with server.database() as database:
            yield database


def test_migrations_and_tables_agree(url: str) -> None:
    upgrade(url)
    with connected(url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrations_and_tables_make_the_same_indexes_and_constraints(url: str) -> None:
    upgrade(url)
    with connected(url) as connection:
        migrated = _described(connection)
        command.downgrade(config(connection), "base")
        metadata.create_all(connection)
        assert _described(connection) == migrated


def _described(connection: sqlalchemy.Connection) -> dict[str, list[str]]:
    """Each table's columns, keys and indexes, as the database itself tells them."""
    there = sqlalchemy.inspect(connection)
    return {
        table: [
            *sorted(f"{c['name']} {c['type']} {c['nullable']}" for c in there.get_columns(table)),
            *sorted(map(_index, there.get_indexes(table))),
            *sorted(str(key) for key in there.get_foreign_keys(table)),
            *sorted(str(unique) for unique in there.get_unique_constraints(table)),
            str(there.get_pk_constraint(table)),
        ]
        for table in metadata.tables
    }


def _index(index: ReflectedIndex) -> str:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return f"{index['name']} {index['column_names']} {index['unique']} {options}"


def test_a_second_upgrade_does_nothing(url: str) -> None:
    upgrade(url)
    upgrade(url)


def test_every_migration_can_be_taken_back(url: str) -> None:
    upgrade(url)
    with connected(url) as connection:
        command.downgrade(config(connection), "base")
        assert sqlalchemy.inspect(connection).get_table_names() == ["alembic_version"]


def test_an_upgrade_that_fails_leaves_nothing_behind(url: str) -> None:
    class Torn(Exception):
        pass

    def tear() -> None:
        with connected(url) as connection:
            command.upgrade(config(connection), "head")
            raise Torn

    with pytest.raises(Torn):
        tear()
    with connected(url) as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []


def test_a_newer_database_is_refused_by_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "tunery.db"
    sqlite.open_store(path, MovableClock()).close()
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    newer.close()
    with pytest.raises(Unavailable, match=r"newer version of Tunery.*9999"):
        sqlite.open_store(path, MovableClock())


def test_a_newer_database_is_refused_by_postgres(postgres_server: Postgres) -> None:
    with postgres_server.database() as url:
        upgrade(url)
        with psycopg.connect(url) as newer:
            newer.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(Unavailable, match=r"newer version of Tunery.*9999"):
            postgres.open_store(url, MovableClock())


def test_there_is_one_newest_migration() -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1
