"""Many threads at once on one store object, in every store."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from tests.postgres import Postgres
from tests.store.conftest import Stage
from tests.store.values import (
    FINISHED,
    GOOD,
    OURS,
    WEBHOOK,
    MovableClock,
    a_file,
    a_job,
    a_key,
    a_part,
    added,
    an_image,
    an_upload,
    claimed,
    first_key,
    running,
    saved,
    stale,
    steps,
)
from tunery.core.errands import Errand
from tunery.core.errors import InvalidTransition, LeaseLost, NotFound
from tunery.core.events import NewEvent
from tunery.core.job import JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import Idempotency, Lease, Store
from tunery.core.progress import Note
from tunery.store import postgres

ALL = PageRequest(limit=10_000, ascending=True)


def together(*works: Callable[[], object]) -> None:
    """Do all of `works` at once, and raise what one of them raised."""
    begin = threading.Barrier(len(works))

    def one(work: Callable[[], object]) -> None:
        begin.wait()
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(one, work) for work in works]:
            done.result()


def claim_all(store: Store, owner: str, found: list[Lease]) -> None:
    while (run := store.claim(owner, 60)) is not None:
        found.append(run.lease)


def check_each_claimed_once(stores: list[Store]) -> None:
    jobs = [added(stores[0], project).id for project in ("ours", "theirs") for _ in range(12)]
    found: list[Lease] = []
    together(*(lambda n=n: claim_all(stores[n % len(stores)], f"w{n}", found) for n in range(6)))
    assert sorted(lease.job_id for lease in found) == sorted(jobs)
    assert {lease.token for lease in found} == {1}


def test_no_job_is_claimed_by_two(store: Store) -> None:
    check_each_claimed_once([store])


def test_no_job_is_claimed_by_two_servers(postgres_server: Postgres) -> None:
    with postgres_server.database() as url:
        stores = [postgres.open_store(url, MovableClock()) for _ in range(2)]
        stores[0].bootstrap(OURS, first_key(OURS))
        for _ in range(12):
            added(stores[0])
        found: list[Lease] = []
        together(*(lambda n=n: claim_all(stores[n % 2], f"w{n}", found) for n in range(4)))
        for store in stores:
            store.close()
    assert len({lease.job_id for lease in found}) == len(found) == 12


def test_two_servers_start_on_one_empty_database(postgres_server: Postgres) -> None:
    with postgres_server.database() as url:
        first: list[bool] = []

        def start() -> None:
            store = postgres.open_store(url, MovableClock())
            first.append(store.bootstrap(OURS, first_key(OURS)))
            store.close()

        together(*[start] * 4)
    assert sorted(first) == [False, False, False, True]


def test_one_idempotency_key_makes_one_job(store: Store) -> None:
    once = Idempotency(key="create", request_hash=b"same")
    answers = []
    together(
        *[lambda: answers.append(store.add_job(a_job(), [NewEvent(message="Created")], once))] * 8
    )
    assert len({job.id for job in answers}) == 1
    assert store.jobs("ours", ALL, metadata=None).items == (answers[0],)


def test_no_errand_is_taken_by_two(store: Store) -> None:
    images = [an_image(added(store, project)) for project in ("ours", "theirs") for _ in range(8)]
    for image in images:
        store.add_image_generation(image)
    found: list[Errand] = []

    def take_all() -> None:
        while (errand := store.take_errand("draw", 60)) is not None:
            found.append(errand)

    together(*[take_all] * 6)
    assert sorted(errand.subject for errand in found) == sorted(image.id for image in images)
    assert {errand.n_attempts for errand in found} == {1}


def test_a_job_that_two_end_at_once_is_told_of_once(store: Store) -> None:
    for _ in range(5):
        run = running(store, webhook=WEBHOOK)

        def cancel(job_id: str = run.job.id) -> None:
            with suppress(InvalidTransition):
                store.move_job("ours", job_id, JobStatus.CANCELLED, NewEvent(message="cancelled"))

        def finish(lease: Lease = run.lease) -> None:
            with suppress(LeaseLost):
                store.apply(lease, [FINISHED])

        together(cancel, finish)
        told = store.take_errand("tell", 60)
        assert told is not None
        assert told.notice is not None
        assert told.subject == run.job.id
        assert told.notice.outcome == store.job("ours", run.job.id).status.value
        assert store.take_errand("tell", 60) is None


def test_event_numbers_have_no_gap_whoever_writes(store: Store) -> None:
    run = running(store)

    def report(first: int) -> None:
        for step in range(first, first + 15):
            store.apply(run.lease, [Note(message=f"note {step}"), *steps(step, step)])

    def pause_and_resume() -> None:
        for target in [JobStatus.PAUSED, JobStatus.QUEUED] * 7:
            store.move_job("ours", run.job.id, target, NewEvent(message=target))

    seen: list[list[int]] = []

    def read() -> None:
        for _ in range(30):
            page = store.events("ours", run.job.id, ALL)
            seen.append([event.number for event in page.items])

    together(lambda: report(1), lambda: report(100), pause_and_resume, read)
    numbers = [event.number for event in store.events("ours", run.job.id, ALL).items]
    assert len(numbers) >= 3 + 30 + 14 + 15
    for each in [*seen, numbers]:
        assert each == list(range(1, len(each) + 1))
    recorded = [each.step for each in store.metrics(run.job.id)]
    assert recorded == sorted(set(recorded))


def test_of_many_moves_at_once_one_is_made(store: Store) -> None:
    run = running(store)
    refused: list[InvalidTransition] = []

    def cancel() -> None:
        try:
            store.move_job("ours", run.job.id, JobStatus.CANCELLED, NewEvent(message="stop"))
        except InvalidTransition as error:
            refused.append(error)

    together(*[cancel] * 6)
    assert len(refused) == 5
    events = store.events("ours", run.job.id, ALL).items
    assert [event.message for event in events].count("stop") == 1


def test_of_many_deletes_at_once_one_is_made_and_nothing_is_written_after_it(store: Store) -> None:
    run = running(store)
    unknown: list[NotFound] = []
    refused: list[LeaseLost] = []

    def delete() -> None:
        try:
            store.delete_job("ours", run.job.id, NewEvent(message="stop"))
        except NotFound as error:
            unknown.append(error)

    def report() -> None:
        for step in range(1, 21):
            try:
                store.apply(run.lease, [*steps(step, step), saved(step)])
            except LeaseLost as error:
                refused.append(error)

    together(report, *[delete] * 4)
    assert len(unknown) == 3
    n_recorded = 20 - len(refused)
    assert [each.step for each in store.metrics(run.job.id)] == list(range(1, n_recorded + 1))
    assert store.needed_folders(run.job.id) == frozenset()
    assert len(store.retired_checkpoints(run.job.id)) == n_recorded


def test_first_keys_of_a_service_account_may_be_made_at_once(store: Store) -> None:
    keys = [replace(a_key(), user_id="service-1", service_account="nightly") for _ in range(6)]
    together(*(lambda key=key: store.add_key(key) for key in keys))
    assert {store.caller(key.digest) is not None for key in keys} == {True}
    assert [key.service_account for key in store.keys("ours")] == ["nightly"] * 6 + [None]


def test_a_zombie_that_writes_beside_its_successor_writes_nothing(stage: Stage) -> None:
    store = stage.store
    zombie = running(store)
    stage.advance(31)
    run = claimed(store, "worker-2")
    assert stale(run.lease).token == zombie.lease.token
    refused: list[LeaseLost] = []

    def wake() -> None:
        for step in range(1, 21):
            try:
                store.apply(zombie.lease, [*steps(1000 + step, 1000 + step), saved(1000 + step)])
            except LeaseLost as error:
                refused.append(error)

    def work() -> None:
        for step in range(1, 21):
            store.apply(run.lease, steps(step, step))
            store.renew(run.lease, 30)

    together(wake, work)
    assert len(refused) == 20
    assert [each.step for each in store.metrics(run.job.id)] == list(range(1, 21))
    assert store.checkpoints("ours", run.job.id, ALL).items == ()


def test_parts_of_an_upload_may_come_at_once(store: Store) -> None:
    upload = an_upload()
    store.add_upload(upload)
    parts = [a_part(upload) for _ in range(8)]
    together(*(lambda part=part: store.add_part("ours", part) for part in parts))
    kept = store.parts("ours", upload.id)
    assert sorted(part.id for part in kept) == [part.id for part in parts]


def test_readers_and_writers_do_not_wait_for_each_other(store: Store) -> None:
    file = a_file()
    store.add_file(file)
    job = added(store)
    store.validated(claimed(store).lease, GOOD)

    def read() -> None:
        for _ in range(100):
            assert store.file("ours", file.id) == file
            assert store.job("ours", job.id).id == job.id
            assert store.caller(first_key(OURS).digest) == OURS

    def write() -> None:
        for _ in range(20):
            store.add_file(a_file())

    together(read, read, read, write)
    assert len(store.files("ours", ALL, purpose=None).items) == 21
