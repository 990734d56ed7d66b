"""The tables that migrations make are those that the statements expect, on both databases."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine.interfaces import ReflectedIndex

from tests.postgres import Postgres
from tests.store.values import MovableClock
from tunery.core.access import IdentityType
from tunery.core.errors import Unavailable
from tunery.core.pages import NumberedPage
from tunery.core.ports import Idempotency, Store
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


def test_rows_of_an_earlier_version_are_found_with_their_owners(url: str) -> None:
    with connected(url) as connection:
        command.upgrade(config(connection), "0002")
        for statement in _ROWS_OF_0002:
            connection.exec_driver_sql(statement.replace("BYTES", _bytes_word(url)))
    with closing(_opened(url)) as store:
        [key] = store.keys("p")
        assert (key.user_id, key.identity_type, key.service_account) == (
            "user-a",
            IdentityType.USER,
            None,
        )
        job = store.job("p", "ftjob-1")
        assert (job.created_by_type, job.sql_source, job.evaluation, job.webhook) == (
            IdentityType.USER,
            None,
            None,
            None,
        )
        assert job.sample_prompts is None
        [file] = store.numbered_files("p", NumberedPage(number=1, limit=9), purpose="x").items
        assert (file.created_by, file.created_by_type, file.echo) == (
            "user-a",
            IdentityType.USER,
            {},
        )
        [model] = store.models("p")
        assert (model.created_by, model.created_by_type) == ("user-a", IdentityType.USER)
        assert store.checkpoint("p", "m", 1).base_model == "tiny-chat"
        answered = store.answered("p", Idempotency(key="k", request_hash=b"h"))
        assert answered is not None
        assert (answered.created_by_type, answered.webhook) == (IdentityType.USER, None)
        assert answered.sample_prompts is None


def _opened(url: str) -> Store:
    if url.startswith("sqlite:"):
        return sqlite.open_store(Path(url.removeprefix("sqlite:///")), MovableClock())
    return postgres.open_store(url, MovableClock())


def _bytes_word(url: str) -> str:
    return "BLOB" if url.startswith("sqlite:") else "BYTEA"


_JOB = (
    "'p', 'ftjob-1', 'org-a', 'user-a', 1, 'succeeded', 'local', 'tiny-chat', 'tiny-chat', 'f', "
    "'supervised', '{}', '{}', 'error', 7, '{}', 1, '[]', 1, 0, 1, 2"
)
_ANSWER = (
    '{"id":"ftjob-1","project_id":"p","organization_id":"org-a","created_by":"user-a",'
    '"created_at_us":1,"status":"validating_files","engine":"local","base_model":"tiny-chat",'
    '"requested_model":"tiny-chat","training_file":"f","method":"supervised",'
    '"hyperparameters":"{}","lora":"{}","overlong":"error","seed":7,"echo":"{}","last_step":0,'
    '"result_files":"[]"}'
)
_METRICS = (
    '{"kind":"metrics","step":1,"total_steps":1,"train_loss":1,"train_mean_token_accuracy":1,'
    '"learning_rate":1,"trained_tokens":1,"tokens_per_second":1}'
)
_ROWS_OF_0002 = (
    "INSERT INTO organisations (id) VALUES ('org-a')",
    "INSERT INTO projects (id, organization_id) VALUES ('p', 'org-a')",
    "INSERT INTO users (id, organization_id) VALUES ('user-a', 'org-a')",
    "INSERT INTO keys (project_id, id, user_id, name, digest, hint, created_at_us)"
    " VALUES ('p', 'key_1', 'user-a', 'first', CAST('abc' AS BYTES), 'xyz', 1)",
    "INSERT INTO files (project_id, id, created_at_us, filename, purpose, size_bytes, sha256)"
    " VALUES ('p', 'file-1', 1, 'rows.jsonl', 'x', 1, '0')",
    "INSERT INTO jobs (project_id, id, organization_id, created_by, created_at_us, status, engine,"
    " base_model, requested_model, training_file, method, hyperparameters, lora, overlong, seed,"
    " echo, last_step, result_files, lease_token, deaths, last_event, finished_at_us)"
    f" VALUES ({_JOB})",
    "INSERT INTO checkpoints (project_id, id, job_id, created_at_us, step, folder, model, metrics)"
    f" VALUES ('p', 'ftckpt_1', 'ftjob-1', 1, 1, 'runs/1', 'm:ckpt-step-1', '{_METRICS}')",
    "INSERT INTO models (project_id, name, job_id, base_model, adapter, created_at_us)"
    " VALUES ('p', 'm', 'ftjob-1', 'tiny-chat', 'runs/2', 1)",
    "INSERT INTO idempotency (project_id, key, request_hash, created_at_us, job)"
    f" VALUES ('p', 'k', CAST('h' AS BYTES), 1790000000000000, '{_ANSWER}')",
)
"""A project with a job that has succeeded."""
