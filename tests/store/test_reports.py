"""What engines report, in every store."""

import math
from datetime import timedelta

import msgspec
import pytest

from tests.store.conftest import Stage
from tests.store.values import (
    FINISHED,
    GOOD,
    RESOLVED,
    START,
    added,
    claimed,
    running,
    saved,
    steps,
)
from tunery.core.errors import InvalidTransition, LeaseLost
from tunery.core.events import Event, NewEvent
from tunery.core.job import JobError, JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import Run, Store, Validated
from tunery.core.progress import Alive, Died, Failed, Note, Paused, SampledText, TextSample

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


def test_each_step_is_recorded_once_with_all_its_figures(store: Store) -> None:
    run = running(store)
    measured = [*steps(1, 2), *steps(3, 3, valid_loss=0.25)]
    assert store.apply(run.lease, measured) is JobStatus.RUNNING
    store.apply(run.lease, steps(2, 4))
    assert list(store.metrics(run.job.id)) == [*measured, *steps(4, 4)]
    told = [event for event in events(store, run) if event.type == "metrics"]
    assert [event.message for event in told] == [
        "Step 1/100: training loss=1.00",
        "Step 2/100: training loss=0.50",
        "Step 3/100: training loss=0.33, validation loss=0.25",
        "Step 4/100: training loss=0.25",
    ]
    assert told[2].data is not None
    assert told[2].data["full_valid_loss"] == 0.25


def test_steps_move_the_job_along(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, steps(1, 3))
    job = store.job("ours", run.job.id)
    assert (job.last_step, job.trained_tokens) == (3, 30)
    assert job.estimated_finish == START + timedelta(seconds=60)


def test_steps_taken_again_change_nothing_but_the_estimate(stage: Stage) -> None:
    run = running(stage.store)
    stage.store.apply(run.lease, steps(1, 5))
    stage.advance(10)
    said = len(events(stage.store, run))
    stage.store.apply(run.lease, steps(3, 4))
    job = stage.store.job("ours", run.job.id)
    assert (job.last_step, job.trained_tokens) == (5, 50)
    assert job.estimated_finish == START + timedelta(seconds=70)
    assert len(events(stage.store, run)) == said


def test_a_job_that_does_not_run_has_no_estimate(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, steps(1, 1))
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert store.job("ours", run.job.id).estimated_finish is None
    store.apply(run.lease, steps(2, 2))
    job = store.job("ours", run.job.id)
    assert (job.estimated_finish, job.last_step) == (None, 2)


def test_a_loss_that_is_no_number_is_recorded_as_none(store: Store) -> None:
    run = running(store)
    [metrics] = steps(1, 1)
    store.apply(run.lease, [msgspec.structs.replace(metrics, train_loss=math.nan)])
    [recorded] = store.metrics(run.job.id)
    assert math.isnan(recorded.train_loss)


def test_silence_changes_nothing(store: Store) -> None:
    run = running(store)
    before = store.job("ours", run.job.id)
    said = events(store, run)
    assert store.apply(run.lease, [Alive()]) is JobStatus.RUNNING
    assert store.apply(run.lease, []) is JobStatus.RUNNING
    assert (store.job("ours", run.job.id), events(store, run)) == (before, said)


def test_a_note_becomes_an_event(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [Note(message="2 rows \0 dropped", level="warn")])
    newest = events(store, run)[-1]
    assert (newest.level, newest.message) == ("warn", "2 rows � dropped")


def test_what_a_model_says_is_told_of_each_step_once(store: Store) -> None:
    run = running(store)

    def sampled(step: int) -> SampledText:
        said = TextSample(prompt="Who are\0you?", answer="I am 🦊\0")
        return SampledText(step=step, samples=(said,))

    store.apply(run.lease, [sampled(0), *steps(1, 3), sampled(3), *steps(4, 4)])
    # Another attempt that begins again.
    store.apply(run.lease, [sampled(0), *steps(1, 3), sampled(3), *steps(4, 6), sampled(6)])
    told = [event for event in events(store, run) if event.message.startswith("Samples")]
    assert [event.message for event in told] == [f"Samples at step {n}" for n in (0, 3, 6)]
    assert told[1].data == {
        "step": 3,
        "samples": [{"prompt": "Who are\0you?", "answer": "I am 🦊\0"}],
    }


def test_a_report_is_recorded_whole_or_not_at_all(store: Store) -> None:
    run = running(store)
    said = events(store, run)
    with pytest.raises(LeaseLost):
        store.apply(run.lease, [*steps(1, 2), saved(2), Paused(), *steps(3, 3)])
    assert events(store, run) == said
    assert listed(store, run) == []
    assert store.apply(run.lease, [Alive()]) is JobStatus.RUNNING


def test_validation_says_what_it_found_and_lets_go(store: Store) -> None:
    added(store)
    run = claimed(store)
    notes = (NewEvent(message="row 3 repeats row 1", level="warn"),)
    store.validated(run.lease, Validated(resolved=RESOLVED, total_steps=9, notes=notes))
    assert [event.message for event in events(store, run)[1:]] == [
        "row 3 repeats row 1",
        "Files validated, moving job to queued state",
    ]
    with pytest.raises(LeaseLost):
        store.validated(run.lease, GOOD)


def test_a_running_job_is_not_validated_again(store: Store) -> None:
    run = running(store)
    with pytest.raises(InvalidTransition, match="running"):
        store.validated(run.lease, GOOD)


def test_bad_files_fail_the_job_while_it_is_validated(store: Store) -> None:
    added(store)
    run = claimed(store)
    failed = Failed(code="invalid_training_file", message="line 3: no role", param="training_file")
    assert store.apply(run.lease, [failed]) is JobStatus.FAILED
    job = store.job("ours", run.job.id)
    assert job.error == JobError(
        code="invalid_training_file", message="line 3: no role", param="training_file"
    )
    assert (job.finished_at, job.started_at) == (START, None)
    assert (events(store, run)[-1].level, events(store, run)[-1].message) == (
        "error",
        "line 3: no role",
    )
    assert store.claim("worker-2", 30) is None


def test_a_failed_run_ends_the_job(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, steps(1, 1))
    assert store.apply(run.lease, [Failed(code="nan", message="NaN")]) is JobStatus.FAILED
    assert store.job("ours", run.job.id).estimated_finish is None
    with pytest.raises(LeaseLost):
        store.apply(run.lease, [Alive()])


def test_a_run_that_lets_go_is_queued_again(store: Store) -> None:
    run = running(store)
    assert store.apply(run.lease, [*steps(1, 2), saved(2), Paused()]) is JobStatus.QUEUED
    job = store.job("ours", run.job.id)
    assert (job.status, job.estimated_finish, job.finished_at) == (JobStatus.QUEUED, None, None)
    assert events(store, run)[-1].message == "Job moved to queued state; it goes on from step 2"


def test_a_validation_that_lets_go_is_done_again(store: Store) -> None:
    added(store)
    run = claimed(store)
    assert store.apply(run.lease, [Paused()]) is JobStatus.VALIDATING_FILES
    assert claimed(store).lease.token == 2


def test_a_trainer_that_dies_is_started_again_from_its_checkpoint(store: Store) -> None:
    run = running(store)
    assert store.apply(run.lease, [*steps(1, 5), saved(4), DIED]) is JobStatus.QUEUED
    newest = events(store, run)[-1]
    assert (newest.level, newest.message) == (
        "warn",
        "The trainer was killed by signal 9. The job goes on from step 4",
    )
    again = claimed(store)
    assert again.resume_from is not None
    assert again.resume_from.step == 4


def test_a_fourth_death_without_a_new_checkpoint_fails_the_job(store: Store) -> None:
    run = running(store)
    for _ in range(3):
        assert store.apply(run.lease, [DIED]) is JobStatus.QUEUED
        assert events(store, run)[-1].message.endswith("The job goes on from the start")
        run = claimed(store)
    assert store.apply(run.lease, [DIED]) is JobStatus.FAILED
    error = store.job("ours", run.job.id).error
    assert error is not None
    assert error.code == "trainer_died"
    assert "died 4 times" in error.message
    assert "signal 9" in error.message
    assert events(store, run)[-1].level == "error"


def test_a_new_checkpoint_forgives_the_deaths_before(store: Store) -> None:
    run = running(store)
    for step in (1, 2, 3, 4, 5):
        assert store.apply(run.lease, [saved(step), DIED]) is JobStatus.QUEUED
        run = claimed(store)


def test_the_same_checkpoint_again_forgives_nothing(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(1)])
    for _ in range(3):
        assert store.apply(run.lease, [saved(1), DIED]) is JobStatus.QUEUED
        run = claimed(store)
    assert store.apply(run.lease, [saved(1), DIED]) is JobStatus.FAILED


def test_a_lost_worker_is_not_a_dead_trainer(stage: Stage) -> None:
    running(stage.store)
    for _ in range(6):
        stage.advance(31)
        assert claimed(stage.store).job.status is JobStatus.RUNNING


def test_a_paused_job_stays_paused_when_its_trainer_dies(store: Store) -> None:
    run = running(store)
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert store.apply(run.lease, [DIED]) is JobStatus.PAUSED


def test_a_job_paused_at_the_last_moment_finishes_once_it_is_resumed(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, [saved(100)])
    store.move_job("ours", run.job.id, JobStatus.PAUSED, SAID)
    assert store.apply(run.lease, [FINISHED]) is JobStatus.PAUSED
    assert list(store.models("ours")) == []
    store.move_job("ours", run.job.id, JobStatus.QUEUED, SAID)
    again = claimed(store)
    assert again.resume_from is not None
    assert store.apply(again.lease, [FINISHED]) is JobStatus.SUCCEEDED


def test_a_finished_job_takes_no_more_reports(store: Store) -> None:
    run = running(store)
    assert store.apply(run.lease, [FINISHED]) is JobStatus.SUCCEEDED
    with pytest.raises(LeaseLost):
        store.apply(run.lease, [FINISHED])
    assert len(store.models("ours")) == 1
