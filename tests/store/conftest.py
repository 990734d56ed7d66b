"""Every kind of store, each fresh, with time that a test can move."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.values import OURS, THEIRS, MovableClock, first_key
from tunery.core.ports import Store
from tunery.store import sqlite


class Stage:
    """A store with two projects, and its time."""

    def __init__(self, store: Store, clock: MovableClock) -> None:
        self.store = store
        self.clock = clock
        assert store.bootstrap(OURS, first_key(OURS))
        store.add_project(THEIRS, first_key(THEIRS))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)


@pytest.fixture(params=["sqlite"])
def stage(tmp_path: Path) -> Iterator[Stage]:
    clock = MovableClock()
    store = sqlite.open_store(tmp_path / "tunery.db", clock)
    yield Stage(store, clock)
    store.close()


@pytest.fixture
def store(stage: Stage) -> Store:
    return stage.store
