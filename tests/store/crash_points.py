"""Processes that do the same few writes, each killed at another statement of them."""

import itertools
import os
import shutil
import signal
import sys
from contextlib import closing
from pathlib import Path

from tests.store import crash
from tests.store.values import FINISHED, OURS, WEBHOOK, MovableClock, first_key, running
from tunery.core.ports import Lease
from tunery.store import sqlite


def main(folder: Path) -> None:
    """One database for each statement, until a process gets through; then their number."""
    begun = folder / "begun.db"
    with closing(sqlite.open_store(begun, MovableClock())) as store:
        store.bootstrap(OURS, first_key(OURS))
        lease = running(store, webhook=WEBHOOK).lease
    for point in itertools.count(1):
        path = folder / f"{point}.db"
        shutil.copy(begun, path)
        child = os.fork()
        if child == 0:
            live(path, lease, point)
            os._exit(0)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            sys.stdout.write(f"{point}\n")
            return


def live(path: Path, lease: Lease, point: int) -> None:
    """End jobs and draw an image, up to the statement `point`."""
    store = sqlite.open_store(path, MovableClock())
    statements = itertools.count(1)

    def before(_: str) -> None:
        if next(statements) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    store._database._writer.set_trace_callback(before)  # type: ignore[attr-defined]
    store.apply(lease, [FINISHED])
    crash.end(store)
    crash.draw(store)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
