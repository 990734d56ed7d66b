"""Bringing a database up to date, before anything else uses it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import NullPool

from tunery.core.errors import Unavailable

_FOLDER = Path(__file__).parent
_UPGRADE_LOCK = 7_786_937
"""Any number: PostgreSQL's advisory lock, so that two servers that start do not both upgrade."""


def upgrade(url: str) -> None:
    """Make or change the tables of the database at `url` until this version can use them.

    Raises:
        Unavailable: a newer version of Tunery has written it.
    """
    with connected(url) as connection:
        script = ScriptDirectory.from_config(config())
        current = MigrationContext.configure(connection).get_current_revision()
        if current == script.get_current_head():
            return
        if current is not None and current not in {
            each.revision for each in script.walk_revisions()
        }:
            raise Unavailable(
                f"The database was written by a newer version of Tunery (its revision is "
                f"{current}; this version knows up to {script.get_current_head()}). "
                "Upgrade Tunery, or use another database."
            )
        command.upgrade(config(connection), "head")


def config(connection: Connection | None = None) -> Config:
    """Alembic's settings, without a file: it works on `connection`, in its transaction."""
    settings = Config()
    settings.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    settings.set_main_option("path_separator", "newline")
    settings.attributes["connection"] = connection
    return settings


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A transaction on the database at `url`, in which one server at a time changes tables."""
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
            yield connection
    finally:
        engine.dispose()


def _engine(url: str) -> Engine:
    if url.startswith("sqlite:"):
        return _sqlite_engine(url)
    import psycopg

    # The driver reads the URL itself: libpq knows forms of it that SQLAlchemy does not.
    return sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )


def _sqlite_engine(url: str) -> Engine:
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)

    # The driver's own transactions would leave out the statements that make tables.
    @event.listens_for(engine, "connect")
    def _no_transactions_of_its_own(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
