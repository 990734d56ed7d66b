"""kill -9 in the middle of writes: whatever was answered is there, and nothing is half (R1)."""

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.values import MovableClock
from tunery.core.pages import PageRequest
from tunery.core.ports import Store
from tunery.store import sqlite

ALL = PageRequest(limit=100_000, ascending=True)


def live_and_die(path: Path, lives: int, after_s: float) -> list[list[str]]:
    """What a writer said that was killed `after_s` after its first word."""
    command = [sys.executable, "-m", "tests.store.crash", str(path), str(lives)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        timer = threading.Timer(after_s, process.kill)
        timer.start()
        said = [first, *process.stdout]
        timer.join()
    assert process.returncode == -signal.SIGKILL
    # The last line may be torn, as its writer was.
    return [line.split() for line in said if line.endswith("\n")]


def check_all_is_there(store: Store, said: list[list[str]]) -> None:
    """Everything that was said, and every job whole."""
    jobs = {job.id: job for job in store.jobs("ours", ALL, metadata={"a": "b"}).items}
    for kind, name, *more in said:
        match kind:
            case "file":
                assert store.file("ours", name).id == name
            case "job":
                assert name in jobs
            case "validated":
                assert jobs[name].resolved is not None
            case "step":
                assert jobs[name].last_step >= int(more[0])
    for job in jobs.values():
        events = store.events("ours", job.id, ALL).items
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert [each.step for each in store.metrics(job.id)] == list(range(1, job.last_step + 1))
        kept = store.checkpoints("ours", job.id, ALL).items
        assert [each.step for each in kept][-1:] == ([job.last_step] if job.last_step else [])


def check_every_end_is_told(path: Path, said: list[list[str]]) -> int:
    """Who is to be told of an end is, once; what is over is drawn no more (I5). How many ends."""
    with closing(sqlite3.connect(path)) as plain:
        told, draws = (
            sorted(row[0] for row in plain.execute(f"SELECT subject FROM errands WHERE {kind}"))
            for kind in ("kind = 'tell'", "kind = 'draw'")
        )
        ended, ready, pending = (
            {row[0] for row in plain.execute(f"SELECT id FROM {which}")}
            for which in (
                "jobs WHERE webhook IS NOT NULL AND finished_at_us IS NOT NULL",
                "image_generations WHERE status = 'ready'",
                "image_generations WHERE status = 'pending'",
            )
        )
    assert told == sorted(ended | ready)
    assert draws == sorted(pending)
    assert {name for kind, name, *_ in said if kind == "ended"} <= ended
    assert {name for kind, name, *_ in said if kind == "drawn"} <= ready
    assert {name for kind, name, *_ in said if kind == "asked"} <= ready | pending
    return len(told)


def test_at_no_statement_does_kill_9_part_an_end_from_its_errand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.store.crash_points", str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    n_points = int(done.stdout.split()[-1])
    n_told = [check_every_end_is_told(tmp_path / f"{k}.db", []) for k in range(1, n_points + 1)]
    # From nothing to two jobs and an image, and every process got a statement further.
    assert n_told == sorted(n_told)
    assert set(n_told) == {0, 1, 2, 3}
    assert n_points > 30


def crash_again_and_again(path: Path, lives: int) -> None:
    dice = random.Random(5)
    said: list[list[str]] = []
    for life in range(lives):
        said += live_and_die(path, life, dice.uniform(0.01, 0.25))
        with closing(sqlite.open_store(path, MovableClock())) as store:
            check_all_is_there(store, said)
        check_every_end_is_told(path, said)
    plain = sqlite3.connect(path)
    assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()
    assert len(said) > 5 * lives


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    crash_again_and_again(tmp_path / "tunery.db", lives=3)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_was_answered_survives_kill_9_many_times(tmp_path: Path) -> None:
    crash_again_and_again(tmp_path / "tunery.db", lives=100)
