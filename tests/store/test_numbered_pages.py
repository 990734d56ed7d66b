"""Lists by the number of the page, in every store."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.store.conftest import Stage, sqlite_stage
from tests.store.values import START, a_file, added
from tunery.core.events import NewEvent
from tunery.core.files import File
from tunery.core.pages import NumberedItems, NumberedPage
from tunery.core.ports import Store


def page(number: int, limit: int = 2) -> NumberedPage:
    return NumberedPage(number=number, limit=limit)


def ids(found: NumberedItems[File]) -> list[str]:
    return [file.id for file in found.items]


def test_jobs_are_numbered_from_the_newest(store: Store) -> None:
    jobs = [added(store) for _ in range(5)]
    added(store, "theirs")
    pages = [store.numbered_jobs("ours", page(number)) for number in (1, 2, 3)]
    assert [list(each.items) for each in pages] == [
        [jobs[4], jobs[3]],
        [jobs[2], jobs[1]],
        [jobs[0]],
    ]
    assert {each.total for each in pages} == {5}


@pytest.mark.parametrize("number", [4, 10**9, 10**30])
def test_a_page_past_the_end_is_empty(store: Store, number: int) -> None:
    jobs = [added(store) for _ in range(6)]
    store.add_file(a_file())
    assert store.numbered_jobs("ours", page(number)) == NumberedItems((), total=len(jobs))
    assert store.numbered_files("ours", page(number), purpose=None) == NumberedItems((), total=1)


def test_a_page_of_nothing_still_says_how_many_there_are(store: Store) -> None:
    added(store)
    assert store.numbered_jobs("ours", page(1, limit=0)) == NumberedItems((), total=1)
    assert store.numbered_jobs("theirs", page(1)) == NumberedItems((), total=0)


def test_files_are_numbered_and_counted_by_purpose(store: Store) -> None:
    files = [a_file() for _ in range(3)]
    results = a_file(purpose="fine-tune-results")
    for file in (*files, results, a_file("theirs")):
        store.add_file(file)
    assert ids(store.numbered_files("ours", page(1), purpose=None)) == [results.id, files[2].id]
    found = store.numbered_files("ours", page(1), purpose="fine-tune")
    assert (ids(found), found.total) == ([files[2].id, files[1].id], 3)
    assert ids(store.numbered_files("ours", page(2), purpose="fine-tune")) == [files[0].id]
    assert store.numbered_files("ours", page(1), purpose="vision").total == 0


def test_only_files_that_are_listed_are_counted(stage: Stage) -> None:
    deleted, expired, kept = a_file(), a_file(expires_at=START + timedelta(seconds=1)), a_file()
    for file in (deleted, expired, kept):
        stage.store.add_file(file)
    stage.store.delete_file("ours", deleted.id)
    stage.advance(1)
    for purpose in (None, "fine-tune"):
        found = stage.store.numbered_files("ours", page(1), purpose=purpose)
        assert found == NumberedItems((kept,), total=1)


def test_the_numbers_move_up_when_a_job_is_deleted(store: Store) -> None:
    jobs = [added(store) for _ in range(3)]
    store.delete_job("ours", jobs[1].id, NewEvent(message="gone"))
    assert store.numbered_jobs("ours", page(1)) == NumberedItems((jobs[2], jobs[0]), total=2)


def test_a_numbered_list_is_read_and_counted_in_an_index(tmp_path: Path) -> None:
    """By the plan, not by the clock: an index is searched, and nothing is sorted."""
    plans = []
    with sqlite_stage(tmp_path) as stage:
        stage.store.add_file(a_file())
        added(stage.store)
        database = stage.store._database  # type: ignore[attr-defined]
        reads = {"one": database.one, "all": database.all}

        def explaining(name: str) -> object:
            def explained(query: object, parameters: object) -> object:
                text = f"EXPLAIN QUERY PLAN {database._compiler.text(query)}"
                plans.append(" ".join(row[3] for row in database._writer.execute(text, parameters)))
                return reads[name](query, parameters)

            return explained

        for name in reads:
            setattr(database, name, explaining(name))
        stage.store.numbered_jobs("ours", page(1))
        stage.store.numbered_files("ours", page(1), purpose="fine-tune")
        stage.store.numbered_files("ours", page(1), purpose=None)
        stage.store.connected_jobs("ours", "c1")
    assert len(plans) == 7
    for plan in plans:
        assert plan.startswith("SEARCH")
        assert "TEMP B-TREE" not in plan
    assert "COVERING INDEX ix_jobs_project" in plans[0]
    assert "COVERING INDEX ix_files_purpose" in plans[2]
    assert "ix_jobs_connection" in plans[6]


def test_who_asked_for_a_file_and_what_its_door_says_are_kept(store: Store) -> None:
    file = replace(a_file(), created_by="user-a", echo={"egp": {"description": "naïve ☃"}})
    store.add_file(file)
    assert store.numbered_files("ours", page(1), purpose=None).items == (file,)
