"""A real PostgreSQL behind a door on loopback, and a folder of SQLite files."""

import socket
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres
from tunery.addresses import Addresses
from tunery.databases.customers import CustomerDatabases

SHOP = """
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, country VARCHAR(2) DEFAULT 'NL', note TEXT
);
CREATE TABLE "Odd Orders" (
  id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id) ON DELETE CASCADE,
  total NUMERIC(10, 2) CHECK (total >= 0), paid BOOLEAN
);
CREATE VIEW names AS SELECT name FROM customers;
INSERT INTO customers VALUES (1, 'Ada', 'NL', NULL), (2, 'Bo', 'PT', 'x'), (3, 'Cy', 'NL', NULL),
  (4, 'Di', 'PT', NULL);
INSERT INTO "Odd Orders" VALUES (1, 1, 2.5, true), (2, 2, 10, false);
"""


class Door:
    """Lets TCP in to a server that listens on a socket in a folder, and counts who comes."""

    def __init__(self, folder: str) -> None:
        self.visits = 0
        self.mute_at = b""
        """Bytes of a client's after which nothing more gets through."""
        self._folder = folder
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._let_in, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listening.close()

    def _let_in(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.visits += 1
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._folder}/.s.PGSQL.5432")
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.mute_at or self.mute_at not in data:
                    target.sendall(data)
        for end in (source, target):
            # The other direction may have been first.
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Names:
    """A resolver that knows one name, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host != "db.internal":
            raise OSError(f"{host}: unknown")
        return ["127.0.0.1"]


@pytest.fixture(scope="session")
def socket_uri(postgres_server: Postgres) -> Iterator[str]:
    """The shop's URI, by a folder of sockets."""
    with postgres_server.database() as uri:
        with psycopg.connect(uri, autocommit=True) as client:
            client.execute(SHOP)
        yield uri


@pytest.fixture
def door(socket_uri: str) -> Iterator[Door]:
    opened = Door(socket_uri.partition("?host=")[2])
    yield opened
    opened.close()


@pytest.fixture
def uri(socket_uri: str, door: Door) -> str:
    """The shop's URI, by a name."""
    name = socket_uri.partition("?")[0].rpartition("/")[2]
    return f"postgresql+psycopg2://postgres:s3cret-word@db.internal:{door.port}/{name}"


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """SQLite files: the shop, and one beside the folder."""
    served = tmp_path / "served"
    served.mkdir()
    for path in (served / "shop.db", tmp_path / "secret.db"):
        with closing(sqlite3.connect(path)) as client:
            client.executescript(SHOP)
    return served


@pytest.fixture
def databases(names: Names, folder: Path) -> CustomerDatabases:
    return CustomerDatabases(Addresses(["db.internal"], names), folder)
