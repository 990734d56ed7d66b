"""The first start of an empty installation."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tunery.core.access import digest
from tunery.first_start import FirstStartRefused, first_key
from tunery.settings import Settings
from tunery.store.memory import MemoryStore


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_the_first_key_is_made_once_and_left_where_only_its_owner_reads_it(tmp_path: Path) -> None:
    store, settings = MemoryStore(Noon()), Settings(home=tmp_path)

    key = first_key(settings, store, Noon())

    assert key is not None
    credentials = tmp_path / "credentials"
    assert credentials.read_text() == f"{key}\n"
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    caller = store.caller(digest(key))
    assert caller is not None
    assert (caller.organization_id, caller.project_id) == ("org-default", "default")
    assert first_key(settings, store, Noon()) is None
    assert credentials.read_text() == f"{key}\n"


def test_an_operators_key_is_taken_and_written_nowhere(tmp_path: Path) -> None:
    store, own = MemoryStore(Noon()), "k" * 32

    assert first_key(Settings(home=tmp_path, bootstrap_key=own), store, Noon()) is None

    assert store.caller(digest(own)) is not None
    assert list(tmp_path.iterdir()) == []


def test_a_first_start_open_to_a_network_needs_the_operators_key(tmp_path: Path) -> None:
    store = MemoryStore(Noon())

    with pytest.raises(FirstStartRefused, match="TUNERY_BOOTSTRAP_KEY"):
        first_key(Settings(home=tmp_path, host="0.0.0.0"), store, Noon())

    assert store.keys("default") == []
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_ended_before_the_key_was_in_place_is_finished_by_the_next(
    tmp_path: Path,
) -> None:
    store, settings = MemoryStore(Noon()), Settings(home=tmp_path)
    key = first_key(settings, store, Noon())
    (tmp_path / "credentials").rename(tmp_path / "credentials.new")

    assert first_key(settings, store, Noon()) is None

    assert (tmp_path / "credentials").read_text() == f"{key}\n"
    assert not (tmp_path / "credentials.new").exists()
