"""Jobs that their callers have deleted, in every store."""

from dataclasses import replace

import pytest

from tests.store.conftest import Stage
from tests.store.values import (
    FINISHED,
    GOOD,
    a_file,
    a_job,
    added,
    claimed,
    running,
    saved,
    steps,
)
from tunery.core.errors import LeaseLost, NotFound
from tunery.core.events import NewEvent
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.pages import NumberedPage, PageRequest
from tunery.core.ports import Idempotency, Run, Store
from tunery.core.text_to_sql import SqlSource

ALL = PageRequest(limit=100)
SAID = NewEvent(message="as asked")


def finished(store: Store) -> Run:
    """A job that has made a model, with a checkpoint and a result file."""
    run = running(store)
    store.apply(run.lease, [*steps(1, 3), saved(3)])
    store.publish_result_file(run.lease, a_file(purpose="fine-tune-results"))
    store.apply(run.lease, [FINISHED])
    return run


def assert_unknown(store: Store, job: FineTuningJob) -> None:
    with pytest.raises(NotFound, match=job.id):
        store.job("ours", job.id)
    with pytest.raises(NotFound, match=job.id):
        store.events("ours", job.id, ALL)
    with pytest.raises(NotFound, match=job.id):
        store.checkpoints("ours", job.id, ALL)
    with pytest.raises(NotFound, match=job.id):
        store.set_echo("ours", job.id, "egp", {})
    with pytest.raises(NotFound, match=job.id):
        store.delete_job("ours", job.id, SAID)
    for target in (JobStatus.CANCELLED, JobStatus.PAUSED, JobStatus.QUEUED):
        with pytest.raises(NotFound, match=job.id):
            store.move_job("ours", job.id, target, SAID)


def listed(store: Store, project_id: str = "ours") -> list[str]:
    jobs = store.jobs(project_id, ALL, metadata=None).items
    numbered = store.numbered_jobs(project_id, NumberedPage(number=1, limit=100))
    assert numbered.items == jobs
    assert numbered.total == len(jobs)
    return [job.id for job in jobs]


def test_a_deleted_job_is_unknown_and_in_no_list(store: Store) -> None:
    source = SqlSource(db_connection_id="c1", golden_records=("g1",))
    gone = replace(a_job(metadata={"team": "paint"}, training_file="file-1"), sql_source=source)
    bare = a_job()
    for job in (gone, bare):
        store.add_job(job, [SAID], None)
    kept = added(store)
    for job in (gone, bare):
        store.delete_job("ours", job.id, SAID)
        assert_unknown(store, job)
    assert listed(store) == [kept.id]
    assert store.jobs("ours", ALL, metadata={"team": "paint"}).items == ()
    assert store.jobs("ours", ALL, metadata=None, without_metadata=True).items == (kept,)
    assert list(store.connected_jobs("ours", None)) == []
    assert list(store.connected_jobs("ours", "c1")) == []


def test_another_projects_job_cannot_be_deleted(store: Store) -> None:
    theirs = added(store, "theirs")
    for unknown in (theirs.id, "ftjob-none", ""):
        with pytest.raises(NotFound, match=repr(unknown)):
            store.delete_job("ours", unknown, SAID)
    assert store.job("theirs", theirs.id) == theirs


def test_deleting_a_running_job_cancels_it_for_its_worker(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, steps(1, 2))
    store.delete_job("ours", run.job.id, SAID)
    with pytest.raises(LeaseLost):
        store.renew(run.lease, 30)
    for report in (steps(3, 3), [saved(3)], [FINISHED]):
        with pytest.raises(LeaseLost):
            store.apply(run.lease, report)
    with pytest.raises(LeaseLost):
        store.publish_result_file(run.lease, a_file())
    assert store.models("ours") == []
    assert_unknown(store, run.job)


@pytest.mark.parametrize("validated", [False, True])
def test_a_deleted_job_is_never_claimed(stage: Stage, validated: bool) -> None:
    job = added(stage.store)
    if validated:
        stage.store.validated(claimed(stage.store).lease, GOOD)
    stage.store.delete_job("ours", job.id, SAID)
    assert stage.store.claim("worker-1", 30) is None
    stage.advance(60)
    assert stage.store.claim("worker-2", 30) is None


def test_a_deleted_job_whose_worker_is_lost_is_not_handed_on(stage: Stage) -> None:
    run = running(stage.store)
    stage.store.delete_job("ours", run.job.id, SAID)
    stage.advance(60)
    assert stage.store.claim("worker-2", 30) is None


def test_the_model_of_a_deleted_job_stays_with_its_checkpoints_and_results(store: Store) -> None:
    run = finished(store)
    job = store.job("ours", run.job.id)
    assert job.fine_tuned_model is not None
    store.delete_job("ours", job.id, SAID)
    assert_unknown(store, job)
    model = store.model("ours", job.fine_tuned_model)
    assert (model.job_id, model.adapter) == (job.id, FINISHED.adapter)
    checkpoint = store.checkpoint("ours", model.name, 3)
    assert checkpoint.base_model == job.base_model
    assert store.needed_folders(job.id) == frozenset({checkpoint.folder, model.adapter})
    assert list(store.retired_checkpoints(job.id)) == []
    assert store.file("ours", job.result_files[0]).purpose == "fine-tune-results"


def test_the_model_of_a_deleted_job_can_be_deleted_after_it(store: Store) -> None:
    run = finished(store)
    [model] = store.models("ours")
    store.delete_job("ours", run.job.id, SAID)
    store.delete_model("ours", model.name)
    assert store.needed_folders(run.job.id) == frozenset()
    assert [each.step for each in store.retired_checkpoints(run.job.id)] == [3]


def test_the_checkpoints_of_a_deleted_job_without_a_model_are_retired(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(1), saved(2)])
    [kept, _] = store.checkpoints("ours", run.job.id, ALL).items
    store.delete_job("ours", run.job.id, SAID)
    with pytest.raises(NotFound):
        store.checkpoint("ours", kept.model.rpartition(":")[0], kept.step)
    assert [each.step for each in store.retired_checkpoints(run.job.id)] == [1, 2]
    assert store.needed_folders(run.job.id) == frozenset()


def test_a_list_goes_on_behind_a_job_that_was_deleted_meanwhile(store: Store) -> None:
    jobs = [added(store) for _ in range(3)]
    store.delete_job("ours", jobs[2].id, SAID)
    page = store.jobs("ours", PageRequest(limit=5, after=jobs[2].id), metadata=None)
    assert [job.id for job in page.items] == [jobs[1].id, jobs[0].id]


def test_the_files_of_a_deleted_job_are_in_use_no_longer(store: Store) -> None:
    file = a_file()
    store.add_file(file)
    job = store.add_job(a_job(training_file=file.id), [], None)
    store.delete_file("ours", file.id)
    assert list(store.discardable_files()) == []
    store.delete_job("ours", job.id, SAID)
    assert [each.id for each in store.discardable_files()] == [file.id]


def test_a_create_call_that_comes_again_does_not_bring_a_deleted_job_back(store: Store) -> None:
    once = Idempotency(key="create-1", request_hash=b"same")
    job = store.add_job(a_job(), [SAID], once)
    store.delete_job("ours", job.id, SAID)
    assert store.add_job(a_job(), [SAID], once) == job
    assert listed(store) == []
    assert_unknown(store, job)
