"""Files, in every store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.conftest import Stage
from tests.store.values import START, a_file, a_job
from tunery.core.errors import NotFound
from tunery.core.events import NewEvent
from tunery.core.files import File, Format
from tunery.core.job import JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import Store

CANCELLED = NewEvent(message="Fine-tuning job cancelled")


def keep(store: Store, *files: File) -> None:
    for file in files:
        store.add_file(file)


def names(store: Store, page: PageRequest, *, purpose: str | None = None) -> list[str]:
    return [file.id for file in store.files("ours", page, purpose=purpose).items]


def test_a_file_comes_back_as_it_was_kept(store: Store) -> None:
    file = replace(
        a_file(filename="naïve ☃.jsonl", expires_at=START + timedelta(days=1)),
        format=Format.CHAT,
        n_rows=12,
    )
    keep(store, file)
    assert store.file("ours", file.id) == file


def test_another_projects_file_is_as_unknown_as_one_that_never_was(store: Store) -> None:
    theirs = a_file("theirs")
    keep(store, theirs)
    for unknown in (theirs.id, "file-none", ""):
        with pytest.raises(NotFound, match=repr(unknown)):
            store.file("ours", unknown)
        with pytest.raises(NotFound, match=repr(unknown)):
            store.delete_file("ours", unknown)
    assert store.file("theirs", theirs.id) == theirs
    assert names(store, PageRequest(limit=10)) == []


def test_files_are_paged_by_age_both_ways(store: Store) -> None:
    files = [a_file() for _ in range(5)]
    keep(store, *files)
    ids = [file.id for file in files]
    first = store.files("ours", PageRequest(limit=2), purpose=None)
    assert [file.id for file in first.items] == [ids[4], ids[3]]
    assert first.has_more
    rest = store.files("ours", PageRequest(limit=3, after=ids[3]), purpose=None)
    assert [file.id for file in rest.items] == [ids[2], ids[1], ids[0]]
    assert not rest.has_more
    assert names(store, PageRequest(limit=9, after=ids[1], ascending=True)) == ids[2:]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_of_nothing_is_empty_and_the_last(store: Store, limit: int) -> None:
    keep(store, a_file())
    page = store.files("ours", PageRequest(limit=limit), purpose=None)
    assert (page.items, page.has_more) == ((), False)


def test_behind_an_unknown_file_there_is_nothing(store: Store) -> None:
    theirs = a_file("theirs")
    keep(store, a_file(), theirs)
    for unknown in ("after", theirs.id):
        assert names(store, PageRequest(limit=5, after=unknown)) == []


def test_files_can_be_listed_by_purpose(store: Store) -> None:
    data, results = a_file(), a_file(purpose="fine-tune-results")
    keep(store, data, results)
    assert names(store, PageRequest(limit=5), purpose="fine-tune") == [data.id]


def test_a_list_goes_on_behind_a_file_that_was_deleted_meanwhile(store: Store) -> None:
    files = [a_file() for _ in range(3)]
    keep(store, *files)
    store.delete_file("ours", files[2].id)
    assert names(store, PageRequest(limit=5, after=files[2].id)) == [files[1].id, files[0].id]


def test_a_deleted_file_is_unknown_at_once_and_can_be_thrown_away(store: Store) -> None:
    file = a_file()
    keep(store, file)
    store.delete_file("ours", file.id)
    with pytest.raises(NotFound):
        store.file("ours", file.id)
    with pytest.raises(NotFound):
        store.delete_file("ours", file.id)
    assert [each.id for each in store.discardable_files()] == [file.id]
    store.forget_file(file.id)
    assert list(store.discardable_files()) == []


def test_an_expired_file_is_unknown_and_can_be_thrown_away(stage: Stage) -> None:
    file = a_file(expires_at=START + timedelta(seconds=10))
    keep(stage.store, file)
    assert list(stage.store.discardable_files()) == []
    stage.advance(10)
    with pytest.raises(NotFound):
        stage.store.file("ours", file.id)
    assert names(stage.store, PageRequest(limit=5)) == []
    assert [each.id for each in stage.store.discardable_files()] == [file.id]


def test_a_file_that_a_job_uses_stays_until_the_job_is_over(store: Store) -> None:
    training, validation = a_file(), a_file()
    keep(store, training, validation)
    job = a_job(training_file=training.id, validation_file=validation.id)
    store.add_job(job, [], None)
    for file in (training, validation):
        store.delete_file("ours", file.id)
        store.forget_file(file.id)
    assert list(store.discardable_files()) == []

    store.move_job("ours", job.id, JobStatus.CANCELLED, CANCELLED)
    assert [each.id for each in store.discardable_files()] == [training.id, validation.id]


def test_a_live_file_is_never_forgotten(store: Store) -> None:
    file = a_file()
    keep(store, file)
    store.forget_file(file.id)
    assert store.file("ours", file.id) == file
