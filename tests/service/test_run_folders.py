"""What stays on disk of a job, and what goes."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.values import OURS, MovableClock, a_job, running, saved
from tunery.blobs.folder import FolderBlobs
from tunery.core.events import NewEvent
from tunery.core.ports import Run
from tunery.core.progress import Finished
from tunery.service.garbage import RunFolders
from tunery.store.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(MovableClock())


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


@pytest.fixture
def folders(store: MemoryStore, blobs: FolderBlobs) -> RunFolders:
    return RunFolders(store, blobs)


def written(blobs: FolderBlobs, key: str) -> str:
    blobs.path(key).mkdir(parents=True)
    (blobs.path(key) / "weights").write_text("heavy")
    return key


def finished(store: MemoryStore, blobs: FolderBlobs) -> Run:
    """A job that is over, with a checkpoint, an adapter, and half a checkpoint of a dead run."""
    run = running(store)
    written(blobs, f"runs/{run.job.id}/0/half-a-checkpoint")
    store.apply(run.lease, [saved(1, folder=written(blobs, f"{run.folder}/step-1"))])
    adapter = written(blobs, f"{run.folder}/adapter")
    store.apply(run.lease, [Finished(adapter=adapter, trained_tokens=1)])
    return run


def test_what_a_dead_attempt_left_goes_and_what_can_be_called_stays(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders
) -> None:
    run = finished(store, blobs)
    folders.collect()
    assert blobs.names(f"runs/{run.job.id}/0") == []
    assert blobs.names(run.folder) == ["adapter", "step-1"]


def test_a_deleted_model_takes_its_bytes_with_it(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders
) -> None:
    run = finished(store, blobs)
    (model,) = store.models(OURS.project_id)
    store.delete_model(OURS.project_id, model.name)
    folders.tidy(run.job.id)
    assert blobs.names("runs") == []
    assert store.retired_checkpoints(run.job.id) == []


def test_an_adapter_that_a_job_starts_from_is_not_torn_away(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders
) -> None:
    run = finished(store, blobs)
    (model,) = store.models(OURS.project_id)
    job = replace(a_job(), initial_adapter=model.adapter)
    store.add_job(job, [NewEvent(message="Created")], None)
    store.delete_model(OURS.project_id, model.name)
    folders.tidy(run.job.id)
    assert blobs.names(run.folder) == ["adapter"]


def test_a_job_that_is_not_over_is_left_alone(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders
) -> None:
    run = running(store)
    written(blobs, f"{run.folder}/half-a-checkpoint")
    folders.collect()
    assert blobs.names(run.folder) == ["half-a-checkpoint"]


def test_what_cannot_be_removed_now_keeps_nothing_else_and_goes_later(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, free = finished(store, blobs).job.id, finished(store, blobs).job.id
    remove = blobs.delete

    def delete(key: str) -> None:
        if stuck in key:
            raise PermissionError(13, "Permission denied", key)
        remove(key)

    monkeypatch.setattr(blobs, "delete", delete)
    folders.collect()
    assert blobs.names(f"runs/{stuck}/0") == ["half-a-checkpoint"]
    assert blobs.names(f"runs/{free}/0") == []

    monkeypatch.undo()
    folders.collect()
    assert blobs.names(f"runs/{stuck}/0") == []


def test_a_deleted_job_leaves_its_model_and_that_models_checkpoints(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders
) -> None:
    run = finished(store, blobs)
    store.delete_job(OURS.project_id, run.job.id, NewEvent(message="cancelled"))
    folders.collect()
    assert blobs.names(f"runs/{run.job.id}/0") == []
    assert blobs.names(run.folder) == ["adapter", "step-1"]


def test_a_deleted_job_without_a_model_leaves_nothing(
    store: MemoryStore, blobs: FolderBlobs, folders: RunFolders
) -> None:
    run = running(store)
    store.apply(run.lease, [saved(1, folder=written(blobs, f"{run.folder}/step-1"))])
    written(blobs, f"{run.folder}/half-a-checkpoint")
    store.delete_job(OURS.project_id, run.job.id, NewEvent(message="cancelled"))
    folders.collect()
    assert blobs.names("runs") == []
    assert store.retired_checkpoints(run.job.id) == []
