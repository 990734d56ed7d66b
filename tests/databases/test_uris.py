"""Which connection URIs are served; nothing here is connected to."""

import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.databases.conftest import Names
from tunery.addresses import Addresses
from tunery.core.errors import InvalidValue
from tunery.databases.customers import CustomerDatabases
from tunery.databases.postgresql import PostgresSource
from tunery.databases.uris import source

FORM, KIND, PLACE = "invalid_database_uri_format", "unsupported_database", "host_not_allowed"
HERE = "postgresql://ann:s3cret-word@db.internal/shop"

BAD = [
    ("", FORM),
    ("shop", FORM),
    ("postgresql", FORM),
    ("postgresql:", FORM),
    ("postgresql:/x", FORM),
    ("://x", FORM),
    ("host=db.internal password=s3cret-word", FORM),
    ("postgresql://ann:s3cret-word@db.internal:port/shop", FORM),
    ("postgresql://ann:s3cret-word@db.internal:99999/shop", FORM),
    ("postgresql://ann:s3cret-word@db.internal:0/shop", FORM),
    ("postgresql://ann:s3cret-word@db.internal/shop\nx", FORM),
    (HERE + "x" * 5000, FORM),
    ("postgresql://", FORM),
    ("postgresql:///shop", FORM),
    ("postgresql://ann:s3cret-word@/shop", FORM),
    ("postgresql://db.internal/shop", FORM),
    (f"{HERE}?options=-c%20default_transaction_read_only=off", FORM),
    (f"{HERE}?service=x", FORM),
    (f"{HERE}?passfile=/etc/passwd", FORM),
    (f"{HERE}?sslkey=/etc/ssl/key", FORM),
    (f"{HERE}?sslcert=/etc/ssl/cert", FORM),
    (f"{HERE}?sslrootcert=/etc/passwd", FORM),
    (f"{HERE}?sslcrl=/etc/passwd", FORM),
    (f"{HERE}?host=127.0.0.1", FORM),
    (f"{HERE}?hostaddr=127.0.0.1", FORM),
    (f"{HERE}?dbname=postgres", FORM),
    (f"{HERE}?user=postgres", FORM),
    (f"{HERE}?port=22", FORM),
    (f"{HERE}?sslmode=none", FORM),
    (f"{HERE}?sslmode=require&sslmode=disable", FORM),
    (f"{HERE}?connect_timeout=9999", FORM),
    (f"{HERE}?application_name={'x' * 64}", FORM),
    (f"{HERE}?krbsrvname=x", FORM),
    (f"{HERE}?requirepeer=x", FORM),
    ("postgresql://ann:s3cret-word@db.internal/host=127.0.0.1", FORM),
    ("postgresql://ann:s3cret-word@/shop?host=/var/run/postgresql", PLACE),
    ("postgresql://ann:s3cret-word@/shop?host=/run/listed/../other", PLACE),
    ("postgresql://ann:s3cret-word@/shop?host=/run/listed,127.0.0.1", PLACE),
    ("postgresql://ann:s3cret-word@/shop?host=127.0.0.1", PLACE),
    ("postgresql://ann:s3cret-word@/shop?host=/run/listed&host=/run/other", PLACE),
    ("postgresql://ann:s3cret-word@127.0.0.1/shop", PLACE),
    ("postgres://ann:s3cret-word@10.0.0.1/shop", PLACE),
    ("postgresql+psycopg2://ann:s3cret-word@169.254.169.254/shop", PLACE),
    ("postgresql://ann:s3cret-word@[::1]/shop", PLACE),
    ("postgresql://ann:s3cret-word@[::ffff:127.0.0.1]/shop", PLACE),
    ("postgresql://ann:s3cret-word@2130706433/shop", PLACE),
    ("postgresql://ann:s3cret-word@0x7f.1/shop", PLACE),
    ("postgresql://ann:p@s3cret-word@db.internal/shop", FORM),
    ("postgresql://ann:s3cret-word@db.internal,127.0.0.1/shop", "unknown_host"),
    ("postgresql://ann:s3cret-word@%2Frun%2Flisted/shop", "unknown_host"),
    ("postgresql://ann:s3cret-word@gone.example/shop", "unknown_host"),
    ("mysql://ann:s3cret-word@db.internal/shop", KIND),
    ("mssql+pyodbc://ann:s3cret-word@db.internal/shop", KIND),
    ("duckdb:///x", KIND),
    ("postgresql+asyncpg://ann:s3cret-word@db.internal/shop", KIND),
    ("sqlite+aiosqlite:///shop.db", KIND),
    ("file:///etc/passwd", KIND),
    ("http://db.internal/", KIND),
    ("sqlite://", FORM),
    ("sqlite:///", FORM),
    ("sqlite:///:memory:", FORM),
    ("sqlite:///file:shop.db", FORM),
    ("sqlite:///file:shop.db?mode=rw&uri=true", FORM),
    ("sqlite:///shop.db?mode=rwc", FORM),
    ("sqlite:///shop.db?vfs=unix-none", FORM),
    ("sqlite://ann:s3cret-word@db.internal/shop.db", FORM),
    ("sqlite:///../secret.db", PLACE),
    ("sqlite:////etc/passwd", PLACE),
    ("sqlite:///sub/../../secret.db", PLACE),
    ("sqlite:///.", PLACE),
    ("sqlite:////proc/self/environ", PLACE),
    ("sqlite:///shop.db\x00.txt", FORM),
]


@pytest.fixture
def unconnected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> CustomerDatabases:
    """Databases that nobody may connect to."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("It was connected to.")

    monkeypatch.setattr(psycopg, "connect", refuse)
    monkeypatch.setattr(sqlite3, "connect", refuse)
    return CustomerDatabases(Addresses(["db.internal", "/run/listed"], Names()), folder)


@pytest.mark.parametrize(("uri", "code"), BAD)
def test_a_uri_that_is_not_served_is_refused_before_a_connection(
    unconnected: CustomerDatabases, uri: str, code: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        unconnected.dialect(uri)

    assert refused.value.code == code
    assert "s3cret-word" not in refused.value.message


@pytest.mark.parametrize(
    ("uri", "dialect"),
    [
        (HERE, "postgresql"),
        ("postgres://ann@db.internal:5433/shop", "postgresql"),
        ("postgresql+psycopg://ann:s3cret-word@db.internal", "postgresql"),
        (f"{HERE}?sslmode=require&application_name=me&connect_timeout=5", "postgresql"),
        (f"{HERE}?sslmode=verify-full&sslrootcert=system", "postgresql"),
        ("postgresql://ann:p%40ss%2Fword@db.internal/shop", "postgresql"),
        ("postgresql://ann@/shop?host=/run/listed", "postgresql"),
        ("sqlite:///shop.db", "sqlite"),
        ("sqlite+pysqlite:///sub/../shop.db", "sqlite"),
    ],
)
def test_a_good_uri_is_known_by_its_kind(
    unconnected: CustomerDatabases, uri: str, dialect: str
) -> None:
    assert unconnected.dialect(uri) == dialect


def test_a_server_is_reached_by_its_address_and_certified_by_its_name() -> None:
    there = source(HERE, addresses=Addresses(["db.internal"], Names()), sqlite_folder=None)

    assert isinstance(there, PostgresSource)
    assert (there.where["host"], there.where["hostaddr"]) == ("db.internal", "127.0.0.1")
    assert "s3cret-word" not in repr(there)
