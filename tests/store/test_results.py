"""What jobs leave behind: checkpoints, result files and tuned models, in every store."""

from dataclasses import replace

import msgspec
import pytest

from tests.store.conftest import Stage
from tests.store.values import (
    FINISHED,
    GOOD,
    START,
    a_file,
    a_job,
    added,
    claimed,
    running,
    saved,
    stale,
    steps,
)
from tunery.core.errors import LeaseLost, NotFound
from tunery.core.events import Event, NewEvent
from tunery.core.job import JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import Run, Store
from tunery.core.progress import Died, Paused

ALL = PageRequest(limit=1000)
SAID = NewEvent(message="as asked")
DIED = Died(message="The trainer was killed by signal 9.")


def events(store: Store, run: Run) -> list[Event]:
    """Oldest first."""
    page = PageRequest(limit=1000, ascending=True)
    return list(store.events("ours", run.job.id, page).items)


def listed(store: Store, run: Run) -> list[int]:
    """The steps of the listed checkpoints, newest first."""
    return [each.step for each in store.checkpoints("ours", run.job.id, ALL).items]


def test_a_checkpoint_can_be_listed_and_called(store: Store) -> None:
    run = running(store)
    report = saved(5, valid_loss=0.5)
    store.apply(run.lease, [*steps(1, 5), report])
    [checkpoint] = store.checkpoints("ours", run.job.id, ALL).items
    model = f"ft:tiny-chat:org-a:cats:{run.job.id[-8:]}"
    assert checkpoint.model == f"{model}:ckpt-step-5"
    assert (checkpoint.step, checkpoint.folder) == (5, report.folder)
    assert (checkpoint.metrics, checkpoint.created_at) == (report.metrics, START)
    assert checkpoint.id.startswith("ftckpt_")
    assert store.checkpoint("ours", model, 5) == checkpoint
    with pytest.raises(NotFound):
        store.checkpoint("ours", model, 4)
    with pytest.raises(NotFound):
        store.checkpoint("theirs", model, 5)
    assert events(store, run)[-1].message == "Checkpoint created at step 5"


def test_the_best_and_the_last_three_checkpoints_are_kept(store: Store) -> None:
    run = running(store)
    losses = {10: 0.9, 20: 0.3, 30: 0.5, 40: 0.6, 50: 0.7, 60: 0.8}
    for step, loss in losses.items():
        store.apply(run.lease, [saved(step, valid_loss=loss)])
    assert listed(store, run) == [60, 50, 40, 20]
    retired = store.retired_checkpoints(run.job.id)
    assert [each.step for each in retired] == [10, 30]
    for checkpoint in retired:
        store.forget_checkpoint(checkpoint)
    assert list(store.retired_checkpoints(run.job.id)) == []
    assert listed(store, run) == [60, 50, 40, 20]


def test_without_a_validation_loss_the_last_three_are_kept(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(step) for step in range(1, 6)])
    assert listed(store, run) == [5, 4, 3]
    assert [each.step for each in store.retired_checkpoints(run.job.id)] == [1, 2]


def test_a_listed_checkpoint_is_not_forgotten(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(1)])
    store.forget_checkpoint(store.checkpoints("ours", run.job.id, ALL).items[0])
    assert listed(store, run) == [1]


def test_checkpoints_are_paged_newest_first(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(step) for step in (1, 2, 3)])
    first = store.checkpoints("ours", run.job.id, PageRequest(limit=2))
    assert [each.step for each in first.items] == [3, 2]
    assert first.has_more
    behind = PageRequest(limit=2, after=first.items[-1].id)
    last = store.checkpoints("ours", run.job.id, behind)
    assert ([each.step for each in last.items], last.has_more) == ([1], False)
    assert store.checkpoints("ours", run.job.id, PageRequest(limit=2, after="x")).items == ()
    assert store.checkpoints("ours", run.job.id, PageRequest(limit=0)).items == ()


def test_a_step_saved_again_replaces_the_first(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(3, folder="runs/j/2/3"), Paused()])
    again = claimed(store)
    store.apply(again.lease, [saved(3, folder="runs/j/3/3"), Paused()])
    assert listed(store, run) == [3]
    assert [each.folder for each in store.retired_checkpoints(run.job.id)] == ["runs/j/2/3"]
    last = claimed(store).resume_from
    assert last is not None
    assert last.folder == "runs/j/3/3"


def test_a_result_file_belongs_to_the_job(store: Store) -> None:
    run = running(store)
    file = a_file(purpose="fine-tune-results", filename="step_metrics.csv")
    store.publish_result_file(run.lease, file)
    store.apply(run.lease, [FINISHED])
    assert store.file("ours", file.id) == file
    assert store.job("ours", run.job.id).result_files == (file.id,)


def test_a_result_file_of_an_attempt_that_was_cut_off_is_replaced(stage: Stage) -> None:
    run = running(stage.store)
    first, second = (a_file(filename="step_metrics.csv") for _ in range(2))
    other = a_file(filename="report.json")
    stage.store.publish_result_file(run.lease, first)
    stage.store.publish_result_file(run.lease, other)
    stage.advance(31)
    run = claimed(stage.store)
    stage.store.publish_result_file(run.lease, second)
    assert stage.store.job("ours", run.job.id).result_files == (other.id, second.id)
    assert [each.id for each in stage.store.discardable_files()] == [first.id]


def test_a_result_file_that_is_written_again_is_there_once(stage: Stage) -> None:
    run = running(stage.store)
    first = a_file(filename="step_metrics.csv")
    stage.store.publish_result_file(run.lease, first)
    stage.advance(31)
    run = claimed(stage.store)
    again = replace(first, created_at=stage.clock.now(), size_bytes=first.size_bytes + 1)
    stage.store.publish_result_file(run.lease, again)
    assert stage.store.job("ours", run.job.id).result_files == (first.id,)
    assert stage.store.file("ours", first.id) == again
    assert stage.store.discardable_files() == []


def test_a_zombie_publishes_no_result_file(store: Store) -> None:
    run = running(store)
    file = a_file(filename="step_metrics.csv")
    with pytest.raises(LeaseLost):
        store.publish_result_file(stale(run.lease), file)
    with pytest.raises(NotFound):
        store.file("ours", file.id)
    assert store.job("ours", run.job.id).result_files == ()


def test_sample_pictures_are_a_file_that_is_said_and_no_result(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(1)])
    file = a_file(purpose="fine-tune-results", filename="step-00100.png")
    drawn = NewEvent(message="Pictures drawn at step 100", data={"file": file.id})
    store.publish_samples(run.lease, file, drawn)
    assert store.file("ours", file.id) == file
    [newest] = store.events("ours", run.job.id, PageRequest(limit=1)).items
    assert (newest.message, newest.data) == (drawn.message, drawn.data)
    assert store.job("ours", run.job.id).result_files == ()
    assert listed(store, run) == [1]
    assert store.renew(run.lease, 30) is JobStatus.RUNNING


def test_sample_pictures_that_are_drawn_again_are_said_once(stage: Stage) -> None:
    run = running(stage.store)
    file = a_file(purpose="fine-tune-results", filename="step-00100.png")
    drawn = NewEvent(message="Pictures drawn at step 100")
    stage.store.publish_samples(run.lease, file, drawn)
    stage.advance(31)
    again = claimed(stage.store)
    stage.store.publish_samples(again.lease, replace(file, size_bytes=13), drawn)
    said = [event.message for event in events(stage.store, run)]
    assert said.count(drawn.message) == 1
    assert stage.store.file("ours", file.id) == file
    stage.store.delete_file("ours", file.id)
    stage.store.publish_samples(again.lease, file, drawn)
    assert len(events(stage.store, run)) == len(said)
    with pytest.raises(NotFound):
        stage.store.file("ours", file.id)


def test_a_zombie_publishes_no_sample_pictures(store: Store) -> None:
    run = running(store)
    before = events(store, run)
    file = a_file(purpose="fine-tune-results", filename="step-00100.png")
    with pytest.raises(LeaseLost):
        store.publish_samples(stale(run.lease), file, SAID)
    with pytest.raises(NotFound):
        store.file("ours", file.id)
    assert events(store, run) == before


def test_tuned_models_are_listed_newest_first(store: Store) -> None:
    names = []
    for _ in range(2):
        run = running(store)
        store.apply(run.lease, [FINISHED])
        names.append(store.job("ours", run.job.id).fine_tuned_model)
    assert [model.name for model in store.models("ours")] == names[::-1]
    assert list(store.models("theirs")) == []


def test_a_model_is_found_by_its_job_while_it_is_there(store: Store) -> None:
    run = running(store)
    with pytest.raises(NotFound, match=run.job.id):
        store.model_of("ours", run.job.id)
    store.apply(run.lease, [FINISHED])
    [model] = store.models("ours")
    store.delete_job("ours", run.job.id, NewEvent(message="Deleted"))
    assert store.model_of("ours", run.job.id) == model
    with pytest.raises(NotFound):
        store.model_of("theirs", run.job.id)
    store.delete_model("ours", model.name)
    with pytest.raises(NotFound):
        store.model_of("ours", run.job.id)


def test_a_deleted_model_and_its_checkpoints_are_unknown(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(1), saved(2), FINISHED])
    name = store.job("ours", run.job.id).fine_tuned_model
    assert name is not None
    for project, unknown in (("theirs", name), ("ours", "ft:none"), ("ours", "tiny-chat")):
        with pytest.raises(NotFound, match=unknown):
            store.delete_model(project, unknown)
    model = store.model("ours", name)
    assert store.delete_model("ours", name) == model
    for step in (1, 2):
        with pytest.raises(NotFound):
            store.checkpoint("ours", name, step)
    for act in (store.model, store.delete_model):
        with pytest.raises(NotFound, match=name):
            act("ours", name)
    assert list(store.models("ours")) == []
    assert listed(store, run) == []
    assert [each.step for each in store.retired_checkpoints(run.job.id)] == [1, 2]
    assert store.job("ours", run.job.id).fine_tuned_model == name


def test_the_folders_that_somebody_may_ask_for_are_known_once_a_job_is_over(store: Store) -> None:
    run = running(store)
    adapter = msgspec.structs.replace(FINISHED, adapter=f"{run.folder}/adapter")
    store.apply(run.lease, [saved(1, folder=f"{run.folder}/step-1")])
    assert store.needed_folders(run.job.id) is None
    store.apply(run.lease, [adapter])
    both = frozenset({f"{run.folder}/adapter", f"{run.folder}/step-1"})
    assert store.needed_folders(run.job.id) == both

    (model,) = store.models("ours")
    follower = replace(a_job(), initial_adapter=model.adapter)
    store.add_job(follower, [SAID], None)
    store.delete_model("ours", model.name)
    assert store.needed_folders(run.job.id) == frozenset({f"{run.folder}/adapter"})
    store.move_job("ours", follower.id, JobStatus.CANCELLED, SAID)
    assert store.needed_folders(run.job.id) == frozenset()
    assert store.needed_folders("ftjob-none") == frozenset()


def test_two_jobs_of_one_name_both_finish(store: Store) -> None:
    """The name ends in 8 of the job's digits, which two jobs may share."""
    job = added(store)
    twin = replace(job, id=f"ftjob-{'f' * 16}{job.id[-8:]}")
    store.add_job(twin, [], None)
    runs = [claimed(store), claimed(store)]
    for run in runs:
        store.validated(run.lease, GOOD)
    for _ in range(2):
        assert store.apply(claimed(store).lease, [FINISHED]) is JobStatus.SUCCEEDED
    assert len(store.models("ours")) == 2
    assert store.model("ours", store.models("ours")[0].name) == store.models("ours")[0]
