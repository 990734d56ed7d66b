"""Jobs as every door asks for them."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.dialects.world import World, make_world
from tests.store.values import OURS, THEIRS
from tunery.core.access import Caller, IdentityType
from tunery.core.errors import InvalidValue, NotFound, Unsupported
from tunery.core.files import Format
from tunery.core.job import FineTuningJob, JobStatus, NewJob
from tunery.core.method import Method, Preference, Supervised
from tunery.core.pages import NumberedItems, NumberedPage, PageRequest
from tunery.core.text_to_sql import SqlSource

ALL = PageRequest(limit=100, ascending=True)
ACCOUNT = replace(OURS, user_id="service-1", identity_type=IdentityType.SERVICE_ACCOUNT)
SOURCE = SqlSource(db_connection_id="c1", golden_records=("g1", "g2"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def asked(training_file: str, *, source: SqlSource | None = None) -> NewJob:
    return NewJob(
        model="tiny-chat", training_file=training_file, sql_source=source, method=Supervised()
    )


def created(world: World, caller: Caller = OURS) -> FineTuningJob:
    return world.services.jobs.create(caller, asked(world.file(caller)))


def messages(world: World, job: FineTuningJob) -> list[str]:
    return [event.message for event in world.services.jobs.events(OURS, job.id, ALL).items]


def test_a_job_remembers_who_asked_for_it(world: World) -> None:
    by_user, by_account = created(world), created(world, ACCOUNT)
    assert (by_user.created_by, by_user.created_by_type) == (OURS.user_id, IdentityType.USER)
    assert (by_account.created_by, by_account.created_by_type) == (
        "service-1",
        IdentityType.SERVICE_ACCOUNT,
    )


def test_the_files_of_a_job_that_learns_from_a_database_need_not_be_there(world: World) -> None:
    job = world.services.jobs.create(OURS, asked("file-1", source=SOURCE))
    assert (job.training_file, job.sql_source) == ("file-1", SOURCE)
    assert messages(world, job)[-1] == "Building training file: file-1 from 2 golden records"
    with pytest.raises(NotFound):
        world.services.files.get(OURS, "file-1")


def test_the_files_of_any_other_job_must_be_there(world: World) -> None:
    with pytest.raises(InvalidValue, match="file-1"):
        world.services.jobs.create(OURS, asked("file-1"))
    assert world.services.jobs.numbered(OURS, NumberedPage(number=1, limit=1)).total == 0


@pytest.mark.parametrize(
    ("format", "method", "needs", "given"),
    [
        (Format.CHAT, Preference(), "supervised", "dpo"),
        (Format.COMPLETION, Preference(), "supervised", "dpo"),
        (Format.PREFERENCE, Supervised(), "dpo", "supervised"),
        (Format.REINFORCEMENT, Preference(), "reinforcement", "dpo"),
    ],
)
def test_a_file_for_another_method_is_refused_in_openais_words(
    world: World, format: Format, method: Method, needs: str, given: str
) -> None:
    wrong = world.file(format=format)
    right = Format.PREFERENCE if given == "dpo" else Format.CHAT
    for param, new in (
        ("training_file", replace(asked(wrong), method=method)),
        (
            "validation_file",
            replace(asked(world.file(format=right)), method=method, validation_file=wrong),
        ),
    ):
        with pytest.raises(Unsupported) as refused:
            world.services.jobs.create(OURS, new)
        assert (refused.value.param, refused.value.code) == (param, f"invalid_{param}")
        assert refused.value.message == (
            f"Invalid file format. Input file {wrong} is in the fine-tune-{format} format, but the "
            f"specified fine-tuning job is not using '{needs}' as the training method "
            f"(provided method={given})."
        )


def test_a_job_on_preferences_is_made_of_such_files(world: World) -> None:
    files = [world.file(format=Format.PREFERENCE) for _ in range(2)]
    new = NewJob(
        model="tiny-chat",
        training_file=files[0],
        validation_file=files[1],
        method=Preference(beta=0.2),
    )
    job = world.services.jobs.create(OURS, new)
    assert job.method == Preference(beta=0.2)
    assert world.services.jobs.get(OURS, job.id) == job


def test_jobs_are_listed_by_the_number_of_the_page(world: World) -> None:
    jobs = [created(world) for _ in range(3)]
    created(world, THEIRS)
    page = NumberedPage(number=1, limit=2)
    assert world.services.jobs.numbered(OURS, page) == NumberedItems((jobs[2], jobs[1]), total=3)


def test_jobs_are_listed_by_the_database_that_they_learn_from(world: World) -> None:
    jobs = world.services.jobs
    created(world)
    mine = jobs.create(OURS, asked("file-1", source=SOURCE))
    other = jobs.create(OURS, asked("file-2", source=replace(SOURCE, db_connection_id="c2")))
    jobs.create(THEIRS, asked("file-3", source=SOURCE))
    assert list(jobs.connected(OURS, "c1")) == [mine]
    assert list(jobs.connected(OURS)) == [other, mine]


def test_what_a_door_keeps_with_a_job_is_its_own(world: World) -> None:
    job = world.services.jobs.create(
        OURS, replace(asked(world.file()), echo={"egp": {"vendor": "LAUNCH"}})
    )
    changed = world.services.jobs.set_echo(OURS, job.id, "dataherald", {"alias": "a"})
    assert changed.echo == {"egp": {"vendor": "LAUNCH"}, "dataherald": {"alias": "a"}}
    assert world.services.jobs.get(OURS, job.id) == changed
    with pytest.raises(NotFound):
        world.services.jobs.set_echo(THEIRS, job.id, "dataherald", {})


def test_deleting_a_job_cancels_it_and_makes_it_unknown(world: World) -> None:
    job = created(world)
    with pytest.raises(NotFound):
        world.services.jobs.delete(THEIRS, job.id)
    world.services.jobs.delete(OURS, job.id)
    for read in (world.services.jobs.get, world.services.jobs.cancel, world.services.jobs.delete):
        with pytest.raises(NotFound):
            read(OURS, job.id)
    record = world.store._state.jobs[job.id]
    assert record.job.status is JobStatus.CANCELLED
    last = world.store._state.events[job.id][-1]
    assert last.message == "Fine-tuning job cancelled"


def test_a_deleted_job_is_over_as_it_was(world: World) -> None:
    job = created(world)
    world.finish(job.id)
    n_events = len(messages(world, job))
    world.services.jobs.delete(OURS, job.id)
    record = world.store._state.jobs[job.id]
    assert record.job.status is JobStatus.SUCCEEDED
    assert len(world.store._state.events[job.id]) == n_events
