"""Whoever asked to be told of a job's end is told once, however the job ends (I5)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.store.conftest import Stage
from tests.store.values import FINISHED, START, WEBHOOK, added, claimed, queued, running
from tunery.core.errands import Errand
from tunery.core.errors import InvalidTransition, LeaseLost, TuneryError
from tunery.core.events import NewEvent
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.ports import Store
from tunery.core.progress import Died, Failed, Paused
from tunery.core.webhooks import Notice, Outcome, Webhook

SAID = NewEvent(message="as asked")
NO_GOOD = Failed(code="REQUEST_MODERATED", message="Too many pictures.", param="file_data")


def succeeds(store: Store, webhook: Webhook | None) -> FineTuningJob:
    run = running(store, webhook=webhook)
    store.apply(run.lease, [FINISHED])
    return run.job


def fails(store: Store, webhook: Webhook | None) -> FineTuningJob:
    run = running(store, webhook=webhook)
    store.apply(run.lease, [NO_GOOD])
    return run.job


def fails_its_validation(store: Store, webhook: Webhook | None) -> FineTuningJob:
    job = added(store, webhook=webhook)
    store.apply(claimed(store).lease, [NO_GOOD])
    return job


def dies_too_often(store: Store, webhook: Webhook | None) -> FineTuningJob:
    job = queued(store, webhook=webhook)
    for _ in range(4):
        store.apply(claimed(store).lease, [Died(message="Killed.")])
    return job


def is_cancelled(store: Store, webhook: Webhook | None) -> FineTuningJob:
    run = running(store, webhook=webhook)
    store.move_job("ours", run.job.id, JobStatus.CANCELLED, SAID)
    return run.job


def is_deleted_before_its_end(store: Store, webhook: Webhook | None) -> FineTuningJob:
    job = added(store, webhook=webhook)
    store.delete_job("ours", job.id, SAID)
    return job


End = Callable[[Store, Webhook | None], FineTuningJob]
ENDS: list[tuple[End, Outcome, str | None, str | None]] = [
    (succeeds, "succeeded", None, None),
    (fails, "failed", NO_GOOD.message, NO_GOOD.code),
    (fails_its_validation, "failed", NO_GOOD.message, NO_GOOD.code),
    (
        dies_too_often,
        "failed",
        "The trainer died 4 times without a new checkpoint. Killed.",
        "trainer_died",
    ),
    (is_cancelled, "cancelled", "cancelled", None),
    (is_deleted_before_its_end, "cancelled", "cancelled", None),
]


def taken(store: Store) -> list[Errand]:
    """All there is to tell of now; none of it is let go of."""
    found = []
    while (errand := store.take_errand("tell", 60)) is not None:
        found.append(errand)
    return found


@pytest.mark.parametrize(("end", "outcome", "message", "code"), ENDS)
def test_however_a_job_ends_one_notice_says_so(
    stage: Stage, end: End, outcome: Outcome, message: str | None, code: str | None
) -> None:
    job = end(stage.store, WEBHOOK)
    [errand] = taken(stage.store)
    assert errand == Errand(
        id=errand.id,
        project_id="ours",
        kind="tell",
        subject=job.id,
        notice=Notice(
            webhook=WEBHOOK,
            project_id="ours",
            subject=job.id,
            outcome=outcome,
            happened_at=START,
            message=message,
            code=code,
        ),
        n_attempts=1,
    )
    assert errand.id.startswith("errand_")
    assert stage.store.take_errand("draw", 60) is None


@pytest.mark.parametrize("end", [end for end, *_ in ENDS])
def test_a_job_without_a_webhook_ends_in_silence(store: Store, end: End) -> None:
    end(store, None)
    assert taken(store) == []


@pytest.mark.parametrize("end", [end for end, *_ in ENDS])
def test_nothing_that_comes_after_the_end_is_told(store: Store, end: End) -> None:
    job = end(store, WEBHOOK)
    assert len(taken(store)) == 1
    with pytest.raises(TuneryError):
        store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    if end is not is_deleted_before_its_end:
        store.delete_job("ours", job.id, SAID)
    assert taken(store) == []


def test_what_is_refused_is_not_told(store: Store) -> None:
    run = running(store, webhook=WEBHOOK)
    with pytest.raises(LeaseLost):
        store.apply(run.lease, [Paused(), FINISHED])
    stale = replace(run.lease, token=run.lease.token - 1)
    with pytest.raises(LeaseLost):
        store.apply(stale, [NO_GOOD])
    assert taken(store) == []


def test_a_job_that_only_rests_is_not_told_of(store: Store) -> None:
    run = running(store, webhook=WEBHOOK)
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    # The end came too late: the job is paused, and goes on from its last checkpoint.
    store.apply(run.lease, [FINISHED])
    with pytest.raises(InvalidTransition):
        store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert taken(store) == []
    store.move_job("ours", run.job.id, JobStatus.QUEUED, SAID)
    store.apply(claimed(store).lease, [FINISHED])
    assert [errand.subject for errand in taken(store)] == [run.job.id]
