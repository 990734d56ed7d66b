"""Who gets which job, and how long it is theirs, in every store."""

import pytest

from tests.store.conftest import Stage
from tests.store.values import (
    GOOD,
    START,
    added,
    claimed,
    queued,
    running,
    saved,
    stale,
    steps,
)
from tunery.core.errors import LeaseLost
from tunery.core.events import Event, NewEvent
from tunery.core.job import JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import Lease, Store, Work
from tunery.core.progress import Alive, Died, Paused

SAID = NewEvent(message="as asked")


def newest(store: Store, job_id: str) -> Event:
    return store.events("ours", job_id, PageRequest(limit=1)).items[0]


def test_nothing_waits_in_an_empty_store(store: Store) -> None:
    assert store.claim("worker-1", 30) is None


def test_a_new_job_is_claimed_for_validation_and_says_nothing(store: Store) -> None:
    job = added(store)
    run = claimed(store)
    assert run.job == job
    assert run.lease == Lease(job_id=job.id, owner="worker-1", token=1)
    assert run.folder == f"runs/{job.id}/1"
    assert run.resume_from is None
    assert newest(store, job.id).message == "Created"


def test_who_asks_for_one_kind_of_work_is_given_no_other(store: Store) -> None:
    waiting = queued(store)
    new = added(store)
    assert claimed_for(store, "validation") == new.id
    assert claimed_for(store, "validation") is None
    assert claimed_for(store, "training") == waiting.id
    assert claimed_for(store, "training") is None


def claimed_for(store: Store, work: Work) -> str | None:
    run = store.claim("worker-1", 30, work)
    return None if run is None else run.job.id


def test_a_leased_job_is_nobody_elses(store: Store) -> None:
    added(store)
    claimed(store)
    assert store.claim("worker-2", 30) is None
    assert store.claim("worker-1", 30) is None


def test_the_token_rises_at_each_claim(store: Store) -> None:
    run = running(store)
    tokens = [run.lease.token]
    for _ in range(3):
        store.apply(run.lease, [Paused()])
        run = claimed(store)
        tokens.append(run.lease.token)
    assert tokens == [2, 3, 4, 5]


def test_the_first_start_is_told_and_later_ones_tell_from_where(store: Store) -> None:
    run = running(store)
    assert newest(store, run.job.id).message == "Fine-tuning job started"
    store.apply(run.lease, [saved(4), Paused()])
    again = claimed(store)
    assert newest(store, run.job.id).message == "Fine-tuning job goes on from step 4"
    assert again.job.started_at == run.job.started_at == START
    assert again.resume_from is not None
    assert (again.resume_from.step, again.resume_from.folder) == (4, "runs/c/4")


def test_a_job_whose_worker_is_lost_goes_to_another_with_a_warning(stage: Stage) -> None:
    run = running(stage.store)
    stage.store.apply(run.lease, [*steps(1, 3), saved(2)])
    stage.advance(29)
    assert stage.store.claim("worker-2", 30) is None
    stage.advance(1)
    again = claimed(stage.store, "worker-2")
    assert again.job.status is JobStatus.RUNNING
    assert again.lease == Lease(job_id=run.job.id, owner="worker-2", token=3)
    assert again.resume_from is not None
    warning = newest(stage.store, run.job.id)
    assert (warning.level, warning.message) == (
        "warn",
        "The job's worker was lost; it goes on from step 2",
    )


def test_a_validation_whose_worker_is_lost_begins_again(stage: Stage) -> None:
    job = added(stage.store)
    lost = claimed(stage.store)
    stage.advance(31)
    again = claimed(stage.store, "worker-2")
    assert again.job.status is JobStatus.VALIDATING_FILES
    assert newest(stage.store, job.id).message == (
        "The job's worker was lost; its files are validated again"
    )
    with pytest.raises(LeaseLost):
        stage.store.validated(lost.lease, GOOD)
    stage.store.validated(again.lease, GOOD)


def test_a_renewed_lease_lasts_longer(stage: Stage) -> None:
    run = running(stage.store)
    for _ in range(4):
        stage.advance(20)
        assert stage.store.renew(run.lease, 30) is JobStatus.RUNNING
    stage.advance(30)
    assert claimed(stage.store, "worker-2").job.id == run.job.id
    with pytest.raises(LeaseLost):
        stage.store.renew(run.lease, 30)


def test_renewing_tells_what_became_of_the_job(store: Store) -> None:
    run = running(store)
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert store.renew(run.lease, 30) is JobStatus.PAUSED
    store.move_job("ours", run.job.id, JobStatus.QUEUED, SAID)
    assert store.renew(run.lease, 30) is JobStatus.QUEUED
    store.move_job("ours", run.job.id, JobStatus.CANCELLED, SAID)
    with pytest.raises(LeaseLost, match=run.job.id):
        store.renew(run.lease, 30)


def test_a_zombie_cannot_write_anything(stage: Stage) -> None:
    """I3: what carries an old token, or another's name, is refused and leaves no trace."""
    zombie = running(stage.store)
    stage.advance(31)
    run = claimed(stage.store, "worker-2")
    before = stage.store.job("ours", run.job.id)
    other = Lease(job_id=run.job.id, owner="worker-3", token=run.lease.token)
    unknown = Lease(job_id="ftjob-none", owner="worker-1", token=1)
    for lease in (zombie.lease, stale(run.lease), other, unknown):
        for report in ([Alive()], [*steps(1, 1)], [saved(1)], [Paused()], [Died(message="x")]):
            with pytest.raises(LeaseLost):
                stage.store.apply(lease, report)
        with pytest.raises(LeaseLost):
            stage.store.renew(lease, 30)
    assert stage.store.job("ours", run.job.id) == before
    assert list(stage.store.metrics(run.job.id)) == []
    assert stage.store.apply(run.lease, steps(1, 1)) is JobStatus.RUNNING


def test_a_worker_that_let_go_holds_nothing(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [Paused()])
    with pytest.raises(LeaseLost):
        store.apply(run.lease, [Alive()])
    with pytest.raises(LeaseLost):
        store.renew(run.lease, 30)


def test_a_paused_job_stays_with_its_worker_until_that_lets_go(store: Store) -> None:
    run = running(store)
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert store.apply(run.lease, [*steps(1, 1), saved(1)]) is JobStatus.PAUSED
    store.move_job("ours", run.job.id, JobStatus.QUEUED, SAID)
    assert store.claim("worker-2", 30) is None
    assert store.apply(run.lease, [Paused()]) is JobStatus.QUEUED
    again = claimed(store, "worker-2")
    assert again.resume_from is not None
    assert again.resume_from.step == 1


def test_a_paused_job_stays_paused_when_its_worker_lets_go(store: Store) -> None:
    run = running(store)
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert store.apply(run.lease, [saved(1), Paused()]) is JobStatus.PAUSED
    assert store.claim("worker-2", 30) is None
    assert newest(store, run.job.id).message == "Checkpoint created at step 1"


def test_a_paused_job_whose_worker_is_lost_simply_stays_paused(stage: Stage) -> None:
    run = running(stage.store)
    stage.store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    stage.advance(31)
    assert stage.store.claim("worker-2", 30) is None
    stage.store.move_job("ours", run.job.id, JobStatus.QUEUED, SAID)
    assert claimed(stage.store, "worker-2").lease.token == 3


def test_the_project_with_the_least_running_comes_first(store: Store) -> None:
    """I10, without weights: two backlogged projects get half of the slots each."""
    ours = [added(store, "ours").id for _ in range(4)]
    theirs = [added(store, "theirs").id for _ in range(3)]
    order = [claimed(store).job.id for _ in range(7)]
    assert order == [ours[0], theirs[0], ours[1], theirs[1], ours[2], theirs[2], ours[3]]
    assert store.claim("worker-1", 30) is None


def test_within_a_project_the_oldest_comes_first(store: Store) -> None:
    first, second = added(store), added(store)
    validation = claimed(store)
    assert validation.job.id == first.id
    store.validated(validation.lease, GOOD)
    assert claimed(store).job.id == first.id
    assert claimed(store).job.id == second.id


def test_a_lost_worker_is_no_running_job_of_its_project(stage: Stage) -> None:
    running(stage.store)
    stage.advance(31)
    queued_second = added(stage.store, "theirs")
    assert claimed(stage.store).job.project_id == "ours"
    assert claimed(stage.store).job.id == queued_second.id


def test_a_queued_job_waits_for_a_claim(store: Store) -> None:
    job = queued(store)
    assert job.status is JobStatus.QUEUED
    assert job.started_at is None
    assert (job.resolved, job.total_steps) == (GOOD.resolved, GOOD.total_steps)
