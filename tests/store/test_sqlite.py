"""What only the SQLite store promises."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.conftest import sqlite_stage
from tests.store.values import OURS, MovableClock, a_file, a_job, added, first_key
from tunery.core.errors import InvalidValue, NotFound, Unavailable
from tunery.core.pages import PageRequest
from tunery.store import sqlite
from tunery.store.statements import errands, images, jobs, upkeep

_OPEN = """
import sys
from pathlib import Path
from tests.store.values import MovableClock
from tunery.core.errors import Unavailable
from tunery.store import sqlite
try:
    sqlite.open_store(Path(sys.argv[1]), MovableClock()).close()
except Unavailable as error:
    sys.exit(str(error))
"""


def open_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    """Another process that opens the store and closes it again."""
    command = [sys.executable, "-c", _OPEN, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_second_server_on_the_same_database_is_refused(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        other = open_elsewhere(tmp_path / "tunery.db")
        assert other.returncode == 1
        assert "Another Tunery server is using" in other.stderr
        assert "TUNERY_HOME" in other.stderr
        with pytest.raises(Unavailable, match="Another Tunery server"):
            sqlite.open_store(tmp_path / "tunery.db", MovableClock())
        stage.store.ping()


def test_a_closed_store_lets_the_next_server_in(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path):
        pass
    assert open_elsewhere(tmp_path / "tunery.db").returncode == 0


def test_a_store_that_could_not_be_opened_is_not_locked(tmp_path: Path) -> None:
    path = tmp_path / "tunery.db"
    path.write_bytes(b"this is no database, but it is long enough for a header" * 10)
    for _ in range(2):
        with pytest.raises(Unavailable, match="not a database"):
            sqlite.open_store(path, MovableClock())
    path.unlink()
    sqlite.open_store(path, MovableClock()).close()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        job = added(stage.store)
    store = sqlite.open_store(tmp_path / "tunery.db", MovableClock())
    assert store.job("ours", job.id) == job
    assert not store.bootstrap(OURS, first_key(OURS))
    store.close()


def test_a_commit_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        writer = stage.store._database._writer  # type: ignore[attr-defined]
        settings = {
            name: writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        store = stage.store
    store.close()
    for use in (store.ping, lambda: store.file("ours", "f"), lambda: store.add_file(a_file())):
        with pytest.raises(Unavailable, match="closed"):
            use()


def test_half_a_character_is_refused_and_finds_nothing(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        with pytest.raises(InvalidValue, match="half of a character"):
            stage.store.add_file(a_file(filename="\ud800"))
        with pytest.raises(InvalidValue):
            stage.store.add_job(a_job(metadata={"a": "\ud800"}), [], None)
        with pytest.raises(NotFound):
            stage.store.job("ours", "\ud800")
        page = stage.store.jobs("ours", PageRequest(limit=5), metadata={"a": "\ud800"})
        assert page.items == ()
        added(stage.store)


def test_a_full_disk_is_unavailable_and_takes_nothing_half(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        job = added(stage.store)
        writer = stage.store._database._writer  # type: ignore[attr-defined]
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        with pytest.raises(Unavailable, match="full"):
            stage.store.add_job(a_job(metadata={"long": "x" * 100_000}), [], None)
        assert stage.store.jobs("ours", PageRequest(limit=5), metadata=None).items == (job,)
        writer.execute("PRAGMA max_page_count = 1000000").fetchall()
        added(stage.store)


@pytest.mark.parametrize("metadata", [None, {"team": "paint"}])
def test_a_list_never_reads_the_whole_table(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    """By the plan, not by the clock: an index is searched, and nothing is sorted."""
    plans = []
    with sqlite_stage(tmp_path) as stage:
        added(stage.store)
        database = stage.store._database  # type: ignore[attr-defined]
        plain = database.all

        def explained(query: object, parameters: object) -> object:
            text = f"EXPLAIN QUERY PLAN {database._compiler.text(query)}"
            plans.append(" ".join(row[3] for row in database._writer.execute(text, parameters)))
            return plain(query, parameters)

        database.all = explained
        stage.store.jobs("ours", PageRequest(limit=20), metadata=metadata)
        stage.store.jobs("ours", PageRequest(limit=20), metadata=None, without_metadata=True)
        stage.store.files("ours", PageRequest(limit=20), purpose="fine-tune")
    assert len(plans) == 3
    for plan in plans:
        assert "SCAN" not in plan
        assert "TEMP B-TREE" not in plan
    assert "ix_jobs_without_metadata" in plans[1]


def test_finetunes_images_and_errands_are_found_by_an_index(tmp_path: Path) -> None:
    expected = {
        images.COUNT_PENDING: "ix_image_generations_pending",
        upkeep.IMAGES_BEFORE: "ix_image_generations_over",
        errands.NEXT_ERRAND: "ix_errands_due",
        jobs.SUBJECT_JOBS: "ix_jobs_subject",
    }
    which = {"project_id": "ours", "before_us": 1, "count": 1, "kind": "draw", "now_us": 1}
    with sqlite_stage(tmp_path) as stage:
        database = stage.store._database  # type: ignore[attr-defined]
        for query, index in expected.items():
            text = f"EXPLAIN QUERY PLAN {database._compiler.text(query)}"
            plan = " ".join(row[3] for row in database._writer.execute(text, which))
            assert index in plan
            assert "SCAN errands" not in plan
            assert "SCAN image_generations" not in plan


def test_the_database_is_plain_sqlite(tmp_path: Path) -> None:
    with sqlite_stage(tmp_path) as stage:
        added(stage.store)
    plain = sqlite3.connect(tmp_path / "tunery.db")
    assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
    plain.close()
