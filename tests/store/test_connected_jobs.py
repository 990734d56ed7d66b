"""Jobs that learn from a database, whose files are built after they are made; in every store."""

from dataclasses import replace

import pytest

from tests.store.conftest import Stage
from tests.store.values import FINISHED, GOOD, START, a_file, a_job, an_id, claimed, stale
from tunery.core.access import IdentityType
from tunery.core.errors import LeaseLost, NotFound
from tunery.core.events import NewEvent
from tunery.core.files import File, Format
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.pages import NumberedPage, PageRequest
from tunery.core.ports import Idempotency, Store
from tunery.core.progress import Evaluated, Score
from tunery.core.text_to_sql import SqlSource

ALL = PageRequest(limit=100)
SAID = NewEvent(message="as asked")


def a_connected_job(
    project_id: str = "ours", *, connection: str = "c1", held_out: bool = True
) -> FineTuningJob:
    source = SqlSource(db_connection_id=connection, golden_records=("g1", "g2"), schemas=("shop",))
    return replace(
        a_job(
            project_id,
            training_file=an_id("file-"),
            validation_file=an_id("file-") if held_out else None,
        ),
        sql_source=source,
        created_by_type=IdentityType.SERVICE_ACCOUNT,
    )


def connected(store: Store, project_id: str = "ours", *, connection: str = "c1") -> FineTuningJob:
    return store.add_job(a_connected_job(project_id, connection=connection), [SAID], None)


def built(job: FineTuningJob, file_id: str | None) -> File:
    assert file_id is not None
    return replace(a_file(job.project_id), id=file_id, format=Format.CHAT, n_rows=10)


def listed(store: Store) -> list[str]:
    files = store.files("ours", ALL, purpose=None).items
    assert (
        store.numbered_files("ours", NumberedPage(number=1, limit=9), purpose=None).items == files
    )
    return [file.id for file in files]


def test_a_job_that_learns_from_a_database_comes_back_as_it_was_kept(store: Store) -> None:
    job = a_connected_job()
    assert store.add_job(job, [], None) == job
    assert store.job("ours", job.id) == job
    assert store.jobs("ours", ALL, metadata=None).items == (job,)


def test_its_first_answer_is_kept_whole(store: Store) -> None:
    once = Idempotency(key="create-1", request_hash=b"same")
    job = store.add_job(a_connected_job(), [], once)
    assert store.answered("ours", once) == job


def test_jobs_are_listed_by_their_connection_newest_first(store: Store) -> None:
    first, other = connected(store), connected(store, connection="c2")
    store.add_job(a_job(), [], None)
    connected(store, "theirs")
    last = connected(store)
    assert list(store.connected_jobs("ours", "c1")) == [last, first]
    assert list(store.connected_jobs("ours", "c2")) == [other]
    assert list(store.connected_jobs("ours", None)) == [last, other, first]
    assert list(store.connected_jobs("ours", "c3")) == []


def test_its_files_are_unknown_until_they_are_published(store: Store) -> None:
    job = connected(store)
    for file_id in (job.training_file, job.validation_file):
        assert file_id is not None
        with pytest.raises(NotFound):
            store.file("ours", file_id)
        with pytest.raises(NotFound):
            store.delete_file("ours", file_id)
    assert listed(store) == []
    run = claimed(store)
    files = [built(job, job.training_file), built(job, job.validation_file)]
    store.publish_training_files(run.lease, files)
    assert listed(store) == [files[1].id, files[0].id]
    for file in files:
        assert store.file("ours", file.id) == file
    assert store.claim("worker-2", 30) is None


def test_files_that_are_published_again_replace_the_first(store: Store) -> None:
    job = connected(store)
    run = claimed(store)
    store.publish_training_files(run.lease, [built(job, job.training_file)])
    again = replace(built(job, job.training_file), size_bytes=99, sha256="1" * 64)
    store.publish_training_files(run.lease, [again])
    assert store.file("ours", job.training_file) == again
    assert listed(store) == [job.training_file]


def test_only_who_holds_the_job_publishes_its_files(store: Store) -> None:
    job = connected(store)
    run = claimed(store)
    file = built(job, job.training_file)
    with pytest.raises(LeaseLost):
        store.publish_training_files(stale(run.lease), [file])
    store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    with pytest.raises(LeaseLost):
        store.publish_training_files(run.lease, [file])
    assert listed(store) == []


def test_only_reserved_files_are_published(store: Store) -> None:
    theirs = a_file("theirs")
    store.add_file(theirs)
    job = connected(store)
    lease = claimed(store).lease
    for file in (theirs, a_file()):
        with pytest.raises(ValueError, match=f"has not reserved {file.id}"):
            store.publish_training_files(lease, [built(job, job.training_file), file])
    assert listed(store) == []
    assert store.file("theirs", theirs.id) == theirs


def test_bytes_that_were_never_published_can_be_thrown_away_when_the_job_is_over(
    store: Store,
) -> None:
    job = connected(store)
    assert list(store.discardable_files()) == []
    store.forget_file(job.training_file)
    store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    found = store.discardable_files()
    assert [file.id for file in found] == [job.training_file, job.validation_file]
    for file in found:
        store.forget_file(file.id)
    assert list(store.discardable_files()) == []


def test_published_files_stay_when_the_job_is_over_or_deleted(store: Store) -> None:
    job = connected(store)
    run = claimed(store)
    store.publish_training_files(
        run.lease, [built(job, job.training_file), built(job, job.validation_file)]
    )
    store.delete_job("ours", job.id, SAID)
    assert list(store.discardable_files()) == []
    assert len(listed(store)) == 2


def test_a_published_file_can_be_deleted_and_goes_with_the_job(store: Store) -> None:
    job = store.add_job(a_connected_job(held_out=False), [SAID], None)
    store.publish_training_files(claimed(store).lease, [built(job, job.training_file)])
    store.delete_file("ours", job.training_file)
    assert list(store.discardable_files()) == []
    store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    assert [file.id for file in store.discardable_files()] == [job.training_file]


def test_how_both_models_did_is_kept_and_said(stage: Stage) -> None:
    job = connected(stage.store)
    stage.store.validated(claimed(stage.store).lease, GOOD)
    run = claimed(stage.store)
    exam = Evaluated(
        base=Score(n=20, exact_match=0, execution_match=2),
        tuned=Score(n=20, exact_match=11, execution_match=17),
    )
    stage.store.apply(run.lease, [exam])
    assert stage.store.job("ours", job.id).evaluation == exam
    stage.store.apply(run.lease, [FINISHED])
    after = stage.store.job("ours", job.id)
    assert (after.evaluation, after.status) == (exam, JobStatus.SUCCEEDED)
    events = stage.store.events("ours", job.id, PageRequest(limit=9)).items
    said = [event for event in events if event.data is not None]
    assert [event.message for event in said] == [
        "On 20 held-out golden records: execution match 17 (base model 2), "
        "exact match 11 (base model 0)"
    ]
    assert said[0].data == {
        "base": {"n": 20, "exact_match": 0, "execution_match": 2},
        "tuned": {"n": 20, "exact_match": 11, "execution_match": 17},
    }


def test_a_tuned_model_is_of_who_made_the_job(store: Store) -> None:
    job = connected(store)
    store.validated(claimed(store).lease, GOOD)
    store.apply(claimed(store).lease, [FINISHED])
    [model] = store.models("ours")
    assert (model.created_by, model.created_by_type) == (job.created_by, job.created_by_type)
    assert store.model("ours", model.name) == model


def test_what_a_door_must_give_back_can_be_replaced(store: Store) -> None:
    job = store.add_job(a_job(), [SAID], None)
    changed = store.set_echo("ours", job.id, "dataherald", {"metadata": {"naïve": [1, None, "☃"]}})
    echo = {**job.echo, "dataherald": {"metadata": {"naïve": [1, None, "☃"]}}}
    assert changed == replace(job, echo=echo)
    assert store.job("ours", job.id) == changed
    store.set_echo("ours", job.id, "dataherald", {})
    assert store.job("ours", job.id).echo == {**job.echo, "dataherald": {}}
    assert len(store.events("ours", job.id, ALL).items) == 1


def test_an_echo_can_be_replaced_while_the_job_runs_and_after(store: Store) -> None:
    connected(store)
    store.validated(claimed(store).lease, GOOD)
    run = claimed(store)
    store.set_echo("ours", run.job.id, "dataherald", {"alias": "a"})
    store.apply(run.lease, [FINISHED])
    after = store.set_echo("ours", run.job.id, "egp", {"b": 1})
    assert after.status is JobStatus.SUCCEEDED
    assert after.echo == {**run.job.echo, "dataherald": {"alias": "a"}, "egp": {"b": 1}}
    assert after.created_at == START


def test_another_projects_echo_is_out_of_reach(store: Store) -> None:
    theirs = store.add_job(a_job("theirs"), [], None)
    for unknown in (theirs.id, "ftjob-none"):
        with pytest.raises(NotFound, match=unknown):
            store.set_echo("ours", unknown, "dataherald", {"alias": "a"})
    assert store.job("theirs", theirs.id) == theirs
