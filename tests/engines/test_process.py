"""The local engine, apart from what its children learn."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.worker.scripts import new_job
from tunery.bases.catalog import FolderCatalog
from tunery.blobs.folder import FolderBlobs
from tunery.core.errors import Unavailable
from tunery.engines import process, starting
from tunery.engines.process import MOST_PREFLIGHTS, LocalEngine


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEngine]:
    """Its children listen and say nothing."""

    def silent(module: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    monkeypatch.setattr(starting, "cold", silent)
    monkeypatch.setattr(process, "SILENCE_S", 0.05)
    catalog = FolderCatalog(folders={}, aliases={}, cache=tmp_path / "no-cache")
    made = LocalEngine(blobs=FolderBlobs(tmp_path), catalog=catalog)
    yield made
    made.close()


def test_a_report_that_nobody_wants_any_more_ends_its_child(engine: LocalEngine) -> None:
    with pytest.raises(Unavailable, match="Nobody waits"):
        engine.preflight(new_job(), estimate=False, wanted=lambda: False)
    assert psutil.Process().children() == []


def test_who_waits_for_a_turn_may_give_up_too(engine: LocalEngine) -> None:
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises(Unavailable):
            engine.preflight(new_job(), estimate=False, wanted=lambda: not ended.is_set())

    others = [threading.Thread(target=ask) for _ in range(MOST_PREFLIGHTS)]
    for other in others:
        other.start()
    while len(psutil.Process().children()) < MOST_PREFLIGHTS:
        time.sleep(0.01)
    with pytest.raises(Unavailable, match="Nobody waits"):
        engine.preflight(new_job(), estimate=False, wanted=lambda: False)
    ended.set()
    for other in others:
        other.join()


def test_a_dry_run_does_not_wait_for_long(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DRY_RUN_PATIENCE_S", 0.1)
    for _ in range(MOST_PREFLIGHTS):
        engine._preflights.acquire()
    with pytest.raises(Unavailable, match="Too many dry runs"):
        engine.preflight(new_job(), estimate=True)
    asked = iter([True] * 5)
    with pytest.raises(Unavailable, match="Nobody waits"):
        engine.preflight(new_job(), estimate=False, wanted=lambda: next(asked, False))


@pytest.mark.skipif(sys.platform != "linux", reason="there is a warm parent on Linux only")
def test_the_engine_is_ready_without_its_warm_parent_once_that_has_ended(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parent:
        is_ready = False
        has_failed = False
        is_late = False

        def close(self) -> None:
            """There is no process."""

    monkeypatch.setattr(starting, "WarmParent", Parent)
    engine.start()
    assert not engine.ready()
    Parent.has_failed = True
    assert engine.ready()
    engine.close()
    assert not engine.ready()
