"""A job from creation to its tuned model, and the words that its events use."""

from tests.store.values import FINISHED, GOOD, START, added, claimed, saved, steps
from tunery.core.job import JobStatus
from tunery.core.pages import PageRequest
from tunery.core.ports import Store

ALL = PageRequest(limit=100, ascending=True)


def test_a_job_lives_from_creation_to_its_tuned_model(store: Store) -> None:
    job = added(store)
    assert store.job("ours", job.id) == job

    validation = claimed(store)
    assert validation.job.status is JobStatus.VALIDATING_FILES
    store.validated(validation.lease, GOOD)
    assert store.job("ours", job.id).resolved == GOOD.resolved

    run = claimed(store)
    assert run.job.status is JobStatus.RUNNING
    assert run.job.started_at == START
    assert store.apply(run.lease, [*steps(1, 2), saved(2)]) is JobStatus.RUNNING
    assert store.apply(run.lease, [FINISHED]) is JobStatus.SUCCEEDED

    over = store.job("ours", job.id)
    name = f"ft:tiny-chat:org-a:cats:{job.id[-8:]}"
    assert over.status is JobStatus.SUCCEEDED
    assert over.fine_tuned_model == name
    assert (over.last_step, over.trained_tokens, over.finished_at) == (2, 1000, START)
    assert over.estimated_finish is None
    assert store.model("ours", name).adapter == FINISHED.adapter
    assert store.checkpoint("ours", name, 2).job_id == job.id
    assert list(store.metrics(job.id)) == steps(1, 2)


def test_events_are_worded_as_openai_words_them(store: Store) -> None:
    job = added(store)
    store.validated(claimed(store).lease, GOOD)
    run = claimed(store)
    store.apply(run.lease, [*steps(1, 1), saved(1), FINISHED])

    events = store.events("ours", job.id, ALL).items
    assert [event.number for event in events] == list(range(1, 8))
    assert [event.message for event in events] == [
        "Created",
        "Files validated, moving job to queued state",
        "Fine-tuning job started",
        "Step 1/100: training loss=1.00",
        "Checkpoint created at step 1",
        f"New fine-tuned model created: ft:tiny-chat:org-a:cats:{job.id[-8:]}",
        "The job has successfully completed",
    ]
