"""Every kind of store, each fresh, with time that a test can move."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres
from tests.store.values import OURS, THEIRS, MovableClock, first_key
from tunery.core.ports import Store
from tunery.store import postgres, sqlite
from tunery.store.memory import MemoryStore
from tunery.store.tables import metadata


class SharedStore:
    """One open store in PostgreSQL, emptied for each test: a database for each takes too long."""

    def __init__(self, url: str) -> None:
        self.clock = MovableClock()
        self.store = postgres.open_store(url, self.clock)
        self._client = psycopg.connect(url, autocommit=True)

    def empty(self) -> None:
        """Forget everything, and go back to the start of time."""
        tables = reversed(metadata.sorted_tables)
        self._client.execute(";".join(f"DELETE FROM {table.name}" for table in tables))
        self.clock.reset()

    def shift_leases(self, seconds: float) -> None:
        """PostgreSQL's clock cannot be moved, so its leases are."""
        passed = {"us": round(seconds * 1e6)}
        self._client.execute("UPDATE jobs SET lease_until_us = lease_until_us - %(us)s", passed)
        self._client.execute(
            "UPDATE errands SET due_at_us = due_at_us - %(us)s,"
            " lease_until_us = lease_until_us - %(us)s",
            passed,
        )

    def close(self) -> None:
        """Let go of every connection."""
        self._client.close()
        self.store.close()


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


def memory_stage() -> Stage:
    clock = MovableClock()
    return Stage(MemoryStore(clock), clock, no_shift)


@contextmanager
def sqlite_stage(folder: Path) -> Iterator[Stage]:
    clock = MovableClock()
    store = sqlite.open_store(folder / "tunery.db", clock)
    with closing(store):
        yield Stage(store, clock, no_shift)


@pytest.fixture(scope="session")
def shared_store(postgres_server: Postgres) -> Iterator[SharedStore]:
    with postgres_server.database() as url:
        shared = SharedStore(url)
        yield shared
        shared.close()


def postgres_stage(shared: SharedStore) -> Stage:
    shared.empty()
    return Stage(shared.store, shared.clock, shared.shift_leases)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A fresh store of each kind."""
    match request.param:
        case "memory":
            yield memory_stage()
        case "sqlite":
            with sqlite_stage(tmp_path) as opened:
                yield opened
        case "postgres":
            yield postgres_stage(request.getfixturevalue("shared_store"))


@pytest.fixture
def store(stage: Stage) -> Store:
    return stage.store
