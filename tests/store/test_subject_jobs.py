"""Jobs that learn from pictures, listed without a look at the others; in every store."""

from tests.store.finetunes import a_finetune
from tests.store.values import a_job
from tunery.core.events import NewEvent
from tunery.core.ports import Store


def test_jobs_that_learn_from_pictures_are_listed_newest_first(store: Store) -> None:
    first = store.add_job(a_finetune(), [], None)
    store.add_job(a_job(), [], None)
    store.add_job(a_finetune("theirs"), [], None)
    last = store.add_job(a_finetune(), [], None)
    assert list(store.subject_jobs("ours")) == [last, first]


def test_a_deleted_one_is_not_listed(store: Store) -> None:
    gone, kept = (store.add_job(a_finetune(), [], None) for _ in range(2))
    store.delete_job("ours", gone.id, NewEvent(message="deleted"))
    assert list(store.subject_jobs("ours")) == [kept]


def test_where_there_are_none_the_list_is_empty(store: Store) -> None:
    store.add_job(a_job(), [], None)
    assert list(store.subject_jobs("ours")) == []
