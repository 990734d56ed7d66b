"""A worker over the in-memory store, with the scripted engine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.worker.scripts import CALLER, ScriptedExaminer, ScriptedSets, bootstrap, new_job
from tunery.bases.catalog import FolderCatalog
from tunery.blobs.folder import FolderBlobs
from tunery.core.events import NewEvent
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.pages import PageRequest
from tunery.engines.scripted import ScriptedEngine
from tunery.store.memory import MemoryStore
from tunery.worker.loop import Worker


class Now:
    """The real time: leases are short here."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Bench:
    """A store, a worker over it, and what to ask of both."""

    def __init__(
        self,
        folder: Path,
        engine: ScriptedEngine,
        *,
        slots: int = 1,
        lease_s: float = 1.0,
        patience_s: float = 2.0,
    ) -> None:
        self.store = MemoryStore(Now())
        bootstrap(self.store)
        self.blobs = FolderBlobs(folder)
        self.training_sets = ScriptedSets(self.blobs)
        self.examiner = ScriptedExaminer()
        self.worker = Worker(
            store=self.store,
            engines={"scripted": engine},
            catalog=FolderCatalog(folders={}, aliases={}, cache=folder / "no-cache"),
            blobs=self.blobs,
            clock=Now(),
            training_sets=self.training_sets,
            examiner=self.examiner,
            owner="test",
            slots=slots,
            lease_s=lease_s,
            patience_s=patience_s,
        )

    def add(self, job: FineTuningJob | None = None) -> FineTuningJob:
        return self.store.add_job(job or new_job(), [NewEvent(message="Created")], None)

    def job(self, job: FineTuningJob) -> FineTuningJob:
        return self.store.job(CALLER.project_id, job.id)

    def held(self, job: FineTuningJob) -> bool:
        return self.store._state.jobs[job.id].owner is not None

    def leased_until(self, job: FineTuningJob) -> int:
        return self.store._state.jobs[job.id].lease_until_us or 0

    def messages(self, job: FineTuningJob) -> list[str]:
        page = PageRequest(limit=1000, ascending=True)
        events = self.store.events(CALLER.project_id, job.id, page).items
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        return [event.message for event in events]

    def wait(
        self, job: FineTuningJob, status: JobStatus, *, within_s: float = 10.0
    ) -> FineTuningJob:
        wait_until(lambda: self.job(job).status is status, within_s=within_s)
        return self.job(job)


def wait_until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def working(bench: Bench) -> Iterator[Bench]:
    bench.worker.start()
    try:
        yield bench
    finally:
        bench.worker.stop()
