"""What only the PostgreSQL store promises."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from tests.postgres import Postgres
from tests.store.conftest import SharedStore, postgres_stage
from tests.store.test_threads import together
from tests.store.values import (
    OURS,
    START,
    MovableClock,
    a_file,
    a_job,
    added,
    claimed,
    first_key,
    running,
)
from tunery.core.errors import InvalidValue, NotFound, Unavailable
from tunery.core.pages import PageRequest
from tunery.core.ports import Store
from tunery.store import postgres
from tunery.store.sql.database import Transaction
from tunery.store.statements import runs

ALL = PageRequest(limit=100)


@pytest.fixture
def store(shared_store: SharedStore) -> Store:
    return postgres_stage(shared_store).store


@pytest.fixture
def own_url(postgres_server: Postgres) -> Iterator[str]:
    """A database for one test."""
    with postgres_server.database() as url:
        yield url


def drop_connections(url: str) -> None:
    """What a restart of the server does to its clients."""
    with psycopg.connect(url, autocommit=True) as client:
        client.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_lost_connections_are_made_again_unseen(own_url: str) -> None:
    with closing(postgres.open_store(own_url, MovableClock())) as store:
        assert store.bootstrap(OURS, first_key(OURS))
        together(*[store.ping] * 8)
        for _ in range(3):
            drop_connections(own_url)
            job = added(store)
            drop_connections(own_url)
            assert store.job("ours", job.id) == job
            drop_connections(own_url)
            claimed(store)


def test_a_write_cut_off_before_its_commit_is_done_once(own_url: str) -> None:
    with closing(postgres.open_store(own_url, MovableClock())) as store:
        store.bootstrap(OURS, first_key(OURS))
        cuts = [1, 2]

        def cut(tx: Transaction) -> int:
            now = tx.now_us()
            if cuts:
                cuts.pop()
                drop_connections(own_url)
            store._add(tx, a_job(), [])
            return now

        store._database.write(cut)
        assert len(store.jobs("ours", ALL, metadata=None).items) == 1


def test_a_commit_of_which_nothing_is_heard_is_unavailable(own_url: str) -> None:
    with closing(postgres.open_store(own_url, MovableClock())) as store:
        store.bootstrap(OURS, first_key(OURS))
        calls = []

        def cut_at_the_end(tx: Transaction) -> None:
            calls.append(1)
            store._add(tx, a_job(), [])
            drop_connections(own_url)

        with pytest.raises(Unavailable, match="lost while it wrote"):
            store._database.write(cut_at_the_end)
        assert calls == [1]
        store.ping()


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be used now"):
        postgres.open_store("postgresql://nobody@127.0.0.1:1/none", MovableClock())


def test_a_closed_store_says_so(own_url: str) -> None:
    store = postgres.open_store(own_url, MovableClock())
    store.close()
    store.close()
    for use in (store.ping, lambda: store.file("ours", "f"), lambda: store.add_file(a_file())):
        with pytest.raises(Unavailable, match="cannot be used now"):
            use()


def test_what_cannot_be_kept_is_refused_and_finds_nothing(store: Store) -> None:
    for odd in ("nul \0", "half \ud800"):
        with pytest.raises(InvalidValue, match="cannot be kept"):
            store.add_file(a_file(filename=odd))
        with pytest.raises(NotFound):
            store.job("ours", odd)
        assert store.jobs("ours", PageRequest(limit=5, after=odd), metadata=None).items == ()
        assert store.jobs("ours", ALL, metadata={odd: odd}).items == ()


def test_leases_go_by_the_databases_clock(shared_store: SharedStore) -> None:
    """I4: this process's clock may say what it likes."""
    stage = postgres_stage(shared_store)
    run = running(stage.store)
    stage.clock.advance(timedelta(days=365).total_seconds())
    assert stage.store.claim("worker-2", 30) is None
    stage.store.renew(run.lease, 0.0)
    again = claimed(stage.store, "worker-2")
    assert again.job.id == run.job.id
    assert again.job.started_at == START


def test_writers_that_wait_for_each_other_are_tried_again(shared_store: SharedStore) -> None:
    store = postgres_stage(shared_store).store
    jobs = [added(store).id, added(store).id]
    meet = threading.Barrier(2)
    tries = []

    def lock_both(order: list[str]) -> None:
        def work(tx: Transaction) -> None:
            tries.append(order)
            tx.one(runs.LOCK_JOB, {"id": order[0]})
            if len(tries) <= 2:
                meet.wait(10)
            tx.one(runs.LOCK_JOB, {"id": order[1]})

        shared_store.store._database.write(work)

    together(lambda: lock_both(jobs), lambda: lock_both(jobs[::-1]))
    assert len(tries) == 3
