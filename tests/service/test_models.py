"""What stands behind a name: a base model, or an adapter on one."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.store.values import FINISHED, OURS, START, MovableClock, running, saved, steps
from tunery.blobs.folder import FolderBlobs
from tunery.core.closable import Closable
from tunery.core.errors import InvalidValue, NotFound
from tunery.core.events import NewEvent
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.models import BaseModel
from tunery.core.pages import PageRequest
from tunery.service.garbage import RunFolders
from tunery.service.generate import Generation
from tunery.service.models import Models
from tunery.store.memory import MemoryStore


class OneModel:
    """A catalog of one base model, which can go."""

    def __init__(self) -> None:
        self.names = ["tiny-chat"]

    def models(self) -> Sequence[BaseModel]:
        return [self.resolve(name) for name in self.names]

    def resolve(self, name: str) -> BaseModel:
        if name not in self.names:
            raise NotFound("model", name)
        return BaseModel(name=name, location=f"/{name}", owned_by="tunery", created_at=START)

    def weights_bytes(self, name: str) -> int:
        raise AssertionError("nobody asks for this here")


class Echo:
    """Says where it was told to look."""

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        yield Piece(text=f"{request.location} {request.adapter}")

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        raise AssertionError("nobody asks for this here")

    def close(self) -> None:
        return


@pytest.fixture
def catalog() -> OneModel:
    return OneModel()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(MovableClock())


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


@pytest.fixture
def models(store: MemoryStore, catalog: OneModel, blobs: FolderBlobs) -> Models:
    return Models(store, catalog, RunFolders(store, blobs))


@pytest.fixture
def tuned(store: MemoryStore) -> str:
    run = running(store)
    store.apply(run.lease, [*steps(1, 2), saved(2, folder="runs/c/2"), FINISHED])
    name = store.job("ours", run.job.id).fine_tuned_model
    assert name is not None
    return name


def test_every_name_leads_to_its_base_and_adapter(models: Models, tuned: str) -> None:
    found = {
        name: models.resolve(OURS, name) for name in ("tiny-chat", tuned, f"{tuned}:ckpt-step-2")
    }
    assert {base.location for base, _ in found.values()} == {"/tiny-chat"}
    assert [adapter for _, adapter in found.values()] == [None, FINISHED.adapter, "runs/c/2"]


@pytest.mark.parametrize("name", ["nope", "ft:nope", "ft:tiny-chat:o:s:1:ckpt-step-2"])
def test_unknown_names_are_not_found(models: Models, name: str) -> None:
    with pytest.raises(NotFound):
        models.resolve(OURS, name)
    with pytest.raises(NotFound):
        models.get(OURS, name)


def test_a_tuned_model_outlives_its_base_only_in_name(
    models: Models, catalog: OneModel, tuned: str
) -> None:
    catalog.names.clear()
    assert models.get(OURS, tuned).base_model == "tiny-chat"
    with pytest.raises(InvalidValue, match="tuned on tiny-chat, which is no longer here"):
        models.resolve(OURS, tuned)


def test_generation_is_told_where_the_model_lies(
    models: Models, tuned: str, tmp_path: Path
) -> None:
    blobs = FolderBlobs(tmp_path)
    generation = Generation(models, blobs, Echo())
    asked = GenerationRequest(location="", prompt="Hi")
    [base] = generation.generate(OURS, "tiny-chat", asked)
    assert base.text == "/tiny-chat None"
    [adapted] = generation.generate(OURS, tuned, asked)
    assert adapted.text == f"/tiny-chat {blobs.path(FINISHED.adapter)}"
    with pytest.raises(NotFound):
        generation.generate(OURS, "ft:nope", asked)


def test_what_a_deleted_job_made_can_still_be_called(
    models: Models, store: MemoryStore, tuned: str
) -> None:
    names = (tuned, f"{tuned}:ckpt-step-2")
    before = [(models.get(OURS, name), models.resolve(OURS, name)) for name in names]
    store.delete_job("ours", store.model("ours", tuned).job_id, NewEvent(message="cancelled"))
    assert [(models.get(OURS, name), models.resolve(OURS, name)) for name in names] == before


def test_a_deleted_job_without_a_model_leaves_nothing_to_call(
    models: Models, store: MemoryStore
) -> None:
    run = running(store)
    store.apply(run.lease, [saved(2, folder="runs/c/2")])
    [checkpoint] = store.checkpoints("ours", run.job.id, PageRequest(limit=5)).items
    assert models.resolve(OURS, checkpoint.model)[1] == "runs/c/2"
    store.delete_job("ours", run.job.id, NewEvent(message="cancelled"))
    with pytest.raises(NotFound):
        models.resolve(OURS, checkpoint.model)
