"""Jobs as callers create, read, list and move them, in every store."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.conftest import Stage
from tests.store.values import START, WEBHOOK, a_job, added, claimed, queued, running, steps
from tunery.core.errors import Conflict, InvalidTransition, NotFound
from tunery.core.events import NewEvent, event_id
from tunery.core.hyperparameters import Hyperparameters
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.lora import LoraConfig
from tunery.core.method import Preference, Subject, Supervised
from tunery.core.pages import PageRequest
from tunery.core.ports import Idempotency, Store
from tunery.core.webhooks import Webhook

ALL = PageRequest(limit=100)
SAID = NewEvent(message="as asked")
ONCE = Idempotency(key="create-1", request_hash=b"same")


def ids(
    store: Store,
    page: PageRequest = ALL,
    *,
    metadata: Mapping[str, str] | None = None,
    without_metadata: bool = False,
) -> list[str]:
    found = store.jobs("ours", page, metadata=metadata, without_metadata=without_metadata)
    return [job.id for job in found.items]


def kept(store: Store, metadata: Mapping[str, str] | None) -> str:
    return store.add_job(a_job(metadata=metadata), [], None).id


@pytest.mark.parametrize(
    "changed",
    [
        a_job(),
        a_job(metadata={}),
        a_job(metadata={"team": "paint", "": "", "naïve \0": "☃\0"}),
        a_job(validation_file="file-v"),
        replace(a_job(), suffix=None, initial_adapter="runs/x/1/adapter", seed=2**31 - 1),
        replace(
            a_job(),
            method=Supervised(
                hyperparameters=Hyperparameters(
                    n_epochs=4, batch_size=2, learning_rate_multiplier=0.5, learning_rate=1e-4
                )
            ),
            lora=LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1),
            echo={"egp": {"vendor": "LAUNCH", "nested": [1, None, {"a": 2.5}]}},
        ),
        replace(a_job(), method=Preference(hyperparameters=Hyperparameters(n_epochs=2), beta=0.25)),
        replace(a_job(webhook=WEBHOOK), method=Subject(trigger_word="TOK", iterations=150)),
        a_job(webhook=Webhook(door="bfl", url="https://example.com/naïve")),
        replace(a_job(), sample_prompts=("Who are you?", "naïve 🦊")),
        replace(a_job(), sample_prompts=()),
    ],
)
def test_a_job_comes_back_as_it_was_kept(store: Store, changed: FineTuningJob) -> None:
    assert store.add_job(changed, [], None) == changed
    assert store.job("ours", changed.id) == changed
    assert store.jobs("ours", ALL, metadata=None).items == (changed,)


def test_another_projects_job_is_as_unknown_as_one_that_never_was(store: Store) -> None:
    theirs = added(store, "theirs")
    for unknown in (theirs.id, "ftjob-none", ""):
        with pytest.raises(NotFound, match=repr(unknown)):
            store.job("ours", unknown)
        with pytest.raises(NotFound, match=repr(unknown)):
            store.move_job("ours", unknown, JobStatus.CANCELLED, SAID)
        with pytest.raises(NotFound, match=repr(unknown)):
            store.events("ours", unknown, ALL)
        with pytest.raises(NotFound, match=repr(unknown)):
            store.checkpoints("ours", unknown, ALL)
    assert ids(store) == []
    assert store.job("theirs", theirs.id) == theirs


def test_jobs_are_paged_newest_first(store: Store) -> None:
    jobs = [added(store).id for _ in range(5)]
    first = store.jobs("ours", PageRequest(limit=2), metadata=None)
    assert [job.id for job in first.items] == [jobs[4], jobs[3]]
    assert first.has_more
    last = store.jobs("ours", PageRequest(limit=3, after=jobs[3]), metadata=None)
    assert [job.id for job in last.items] == [jobs[2], jobs[1], jobs[0]]
    assert not last.has_more
    assert ids(store, PageRequest(limit=2, ascending=True)) == jobs[:2]
    assert ids(store, PageRequest(limit=2, after=jobs[0])) == []


def test_a_page_of_no_jobs_is_empty_and_the_last(store: Store) -> None:
    added(store)
    page = store.jobs("ours", PageRequest(limit=0, after="after"), metadata=None)
    assert (page.items, page.has_more) == ((), False)


def test_behind_an_unknown_job_there_is_nothing(store: Store) -> None:
    added(store)
    theirs = added(store, "theirs")
    for unknown in ("after", theirs.id):
        assert ids(store, PageRequest(limit=5, after=unknown)) == []


def test_jobs_are_found_by_every_pair_of_their_metadata(store: Store) -> None:
    both = kept(store, {"team": "paint", "stage": "dev"})
    one = kept(store, {"team": "paint"})
    empty = kept(store, {"team": "", "quote": "\"'%\\"})
    kept(store, {"teampaint": ""})
    kept(store, None)
    assert ids(store, metadata={"team": "paint"}) == [one, both]
    assert ids(store, metadata={"team": "paint", "stage": "dev"}) == [both]
    assert ids(store, metadata={"team": ""}) == [empty]
    assert ids(store, metadata={"quote": "\"'%\\"}) == [empty]
    assert ids(store, metadata={"stage": ""}) == []
    assert ids(store, metadata={"team": "paint", "stage": "live"}) == []


def test_jobs_found_by_metadata_are_paged_too(store: Store) -> None:
    jobs = []
    for _ in range(4):
        jobs.append(kept(store, {"a": "b"}))
        kept(store, {"a": "c"})
    page = store.jobs("ours", PageRequest(limit=2, after=jobs[3]), metadata={"a": "b"})
    assert [job.id for job in page.items] == [jobs[2], jobs[1]]
    assert page.has_more


def test_jobs_without_metadata_are_found(store: Store) -> None:
    kept(store, {"team": "paint"})
    none, empty = kept(store, None), kept(store, {})
    assert ids(store, without_metadata=True) == [empty, none]


def test_another_projects_metadata_finds_nothing(store: Store) -> None:
    store.add_job(a_job("theirs", metadata={"a": "b"}), [], None)
    assert ids(store, metadata={"a": "b"}) == []


def test_the_same_create_gives_the_same_answer(store: Store) -> None:
    job = store.add_job(a_job(), [SAID], ONCE)
    store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    assert store.add_job(a_job(), [SAID], ONCE) == job
    assert ids(store) == [job.id]


def test_the_same_answer_has_the_same_webhook(store: Store) -> None:
    job = store.add_job(a_job(webhook=WEBHOOK), [], ONCE)
    assert store.add_job(a_job(), [], ONCE) == job
    assert job.webhook == WEBHOOK


def test_another_create_with_the_same_key_is_refused(store: Store) -> None:
    store.add_job(a_job(), [], ONCE)
    with pytest.raises(Conflict, match="create-1"):
        store.add_job(a_job(), [], replace(ONCE, request_hash=b"other"))
    assert len(ids(store)) == 1


def test_what_a_key_was_answered_can_be_asked_for(store: Store) -> None:
    assert store.answered("ours", ONCE) is None
    job = store.add_job(a_job(), [], ONCE)
    store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    assert store.answered("ours", ONCE) == job
    with pytest.raises(Conflict):
        store.answered("ours", replace(ONCE, request_hash=b"other"))


def test_an_idempotency_key_is_one_projects_own(store: Store) -> None:
    ours = store.add_job(a_job(), [], ONCE)
    assert store.answered("theirs", ONCE) is None
    theirs = store.add_job(a_job("theirs"), [], ONCE)
    assert ours.id != theirs.id
    assert store.job("theirs", theirs.id) == theirs


def test_an_idempotency_key_is_forgotten_after_a_day(stage: Stage) -> None:
    first = stage.store.add_job(a_job(), [], ONCE)
    stage.advance(24 * 3600 - 1)
    assert stage.store.add_job(a_job(), [], ONCE) == first
    assert stage.store.answered("ours", ONCE) == first
    stage.advance(1)
    assert stage.store.answered("ours", ONCE) is None
    second = stage.store.add_job(a_job(), [], replace(ONCE, request_hash=b"other"))
    assert second.id != first.id
    assert len(ids(stage.store)) == 2


def test_old_answers_can_be_forgotten_though_nobody_asks_again(stage: Stage) -> None:
    job = stage.store.add_job(a_job(), [], ONCE)
    stage.advance(24 * 3600)
    later = stage.store.add_job(a_job("theirs"), [], ONCE)
    stage.store.forget_old_answers()
    assert stage.store.answered("theirs", ONCE) == later
    # Back in time, where an answer that is still kept would be found.
    stage.clock.reset()
    assert stage.store.answered("ours", ONCE) is None
    assert stage.store.job("ours", job.id) == job


def test_a_cancel_ends_a_job_and_frees_its_worker(store: Store) -> None:
    run = running(store)
    store.apply(run.lease, steps(1, 1))
    assert store.job("ours", run.job.id).estimated_finish == START + timedelta(seconds=60)
    cancelled = store.move_job("ours", run.job.id, JobStatus.CANCELLED, SAID)
    assert cancelled.status is JobStatus.CANCELLED
    assert (cancelled.finished_at, cancelled.estimated_finish) == (START, None)
    assert store.job("ours", run.job.id) == cancelled
    assert store.claim("worker-2", 30) is None


@pytest.mark.parametrize("target", [JobStatus.CANCELLED, JobStatus.PAUSED, JobStatus.QUEUED])
def test_a_job_that_is_over_makes_no_move(store: Store, target: JobStatus) -> None:
    job = added(store)
    over = store.move_job("ours", job.id, JobStatus.CANCELLED, SAID)
    with pytest.raises(InvalidTransition, match=f"{job.id} is cancelled"):
        store.move_job("ours", job.id, target, SAID)
    assert store.job("ours", job.id) == over
    assert len(store.events("ours", job.id, ALL).items) == 2


def test_a_job_that_is_validated_cannot_be_paused(store: Store) -> None:
    job = added(store)
    with pytest.raises(
        InvalidTransition, match="is validating_files; only a job that is queued or running can"
    ):
        store.move_job("ours", job.id, JobStatus.PAUSED, SAID)


def test_only_a_paused_job_is_resumed(store: Store) -> None:
    run = running(store)
    with pytest.raises(InvalidTransition, match="only a job that is paused can become queued"):
        store.move_job("ours", run.job.id, JobStatus.QUEUED, SAID)


def test_a_queued_job_can_be_paused_and_resumed(store: Store) -> None:
    job = queued(store)
    assert store.move_job("ours", job.id, JobStatus.PAUSED, SAID).status is JobStatus.PAUSED
    assert store.claim("worker-1", 30) is None
    assert store.move_job("ours", job.id, JobStatus.QUEUED, SAID).status is JobStatus.QUEUED
    assert claimed(store).job.id == job.id


def test_a_move_says_why_in_the_same_moment(store: Store) -> None:
    job = queued(store)
    store.move_job("ours", job.id, JobStatus.PAUSED, NewEvent(message="for lunch", level="warn"))
    newest = store.events("ours", job.id, PageRequest(limit=1)).items[0]
    assert (newest.message, newest.level, newest.number) == ("for lunch", "warn", 3)


def test_events_are_paged_both_ways_by_their_ids(store: Store) -> None:
    said = [NewEvent(message=str(number)) for number in range(1, 6)]
    job = store.add_job(a_job(), said, None)

    def numbers(page: PageRequest) -> list[int]:
        return [event.number for event in store.events("ours", job.id, page).items]

    assert numbers(PageRequest(limit=2)) == [5, 4]
    assert numbers(PageRequest(limit=2, after=event_id(job.id, 4))) == [3, 2]
    assert numbers(PageRequest(limit=9, after=event_id(job.id, 1))) == []
    assert numbers(PageRequest(limit=2, ascending=True)) == [1, 2]
    assert numbers(PageRequest(limit=9, after=event_id(job.id, 3), ascending=True)) == [4, 5]
    assert numbers(PageRequest(limit=9, after=event_id(job.id, 5), ascending=True)) == []
    assert numbers(PageRequest(limit=0)) == []
    for unknown in ("after", event_id(job.id, 0), event_id(job.id, 6), "ftevent-x-3"):
        assert numbers(PageRequest(limit=9, after=unknown)) == []
    assert store.events("ours", job.id, PageRequest(limit=4)).has_more
    assert not store.events("ours", job.id, PageRequest(limit=5)).has_more


def test_an_event_comes_back_as_it_was_said(store: Store) -> None:
    data = {"step": 1, "nested": {"naïve": [1.5, None, "☃"]}}
    event = NewEvent(message="said", level="error", type="metrics", data=data)
    job = store.add_job(a_job(), [event], None)
    [kept_event] = store.events("ours", job.id, ALL).items
    assert kept_event.id == event_id(job.id, 1)
    assert (kept_event.level, kept_event.type, kept_event.data) == ("error", "metrics", data)
