"""Image finetunes: what is kept of them, who finds them, and what is left when they are deleted."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dialects.world import NOWHERE, World, make_world
from tests.pictures.bad_archives import BAD_ARCHIVES
from tests.pictures.building import a_jpeg, a_png, unzipped, zipped
from tests.store.values import GOOD, OURS, THEIRS, claimed, saved, steps
from tunery.core.access import Caller
from tunery.core.errors import Conflict, InvalidValue, NotFound, Unsupported
from tunery.core.files import File, Format
from tunery.core.job import FineTuningJob, JobStatus, NewJob
from tunery.core.method import Subject, Supervised
from tunery.core.pages import PageRequest
from tunery.core.ports import Idempotency, Run
from tunery.core.progress import Finished, Sampled
from tunery.service import finetunes
from tunery.service.finetunes import NewFinetune
from tunery.worker.results import samples_event, write_samples

ALL = PageRequest(limit=100)
ASKED = NewFinetune(
    archive=zipped({"a.jpg": a_jpeg(), "a.txt": "a flag", "b.png": a_png()}),
    method=Subject(trigger_word="FLAG", mode="product", iterations=150, finetune_type="lora"),
    lora_rank=16,
    comment="my flag",
    webhook_url=None,
    webhook_secret=None,
    link_base="http://host",
)
KEY = Idempotency(key="k", request_hash=b"1" * 32)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def created(world: World, caller: Caller = OURS, **changes: object) -> FineTuningJob:
    return world.services.finetunes.create(caller, replace(ASKED, **changes))  # type: ignore[arg-type]


def files_of(world: World, caller: Caller = OURS) -> list[File]:
    return list(world.services.files.list(caller, ALL).items)


def left_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def running(world: World, job: FineTuningJob) -> Run:
    """The finetune's run, which has drawn a sample and saved a checkpoint."""
    world.store.validated(claimed(world.store).lease, GOOD)
    run = claimed(world.store)
    assert run.job.id == job.id
    for name in ("1", "samples.png"):
        writer = world.blobs.writer(f"{run.folder}/{name}")
        writer.write(b"something")
        writer.commit()
    sampled = Sampled(step=1, image=f"{run.folder}/samples.png", prompts=("FLAG",), seed=1)
    file = write_samples(run.job, sampled, blobs=world.blobs, clock=world.clock)
    world.store.publish_samples(run.lease, file, samples_event(sampled, file))
    world.store.apply(run.lease, [*steps(1, 1), saved(1, folder=f"{run.folder}/1")])
    return run


def finished(world: World, job: FineTuningJob) -> str:
    """Carry out the finetune to its end; the name of its model."""
    run = running(world, job)
    writer = world.blobs.writer(f"{run.folder}/adapter")
    writer.write(b"weights")
    writer.commit()
    world.store.apply(run.lease, [Finished(adapter=f"{run.folder}/adapter", trained_tokens=0)])
    model = world.store.job("ours", job.id).fine_tuned_model
    assert model is not None
    return model


# What is kept


def test_a_finetune_is_a_job_that_learns_from_a_file_of_pictures(world: World) -> None:
    job = created(world)
    assert (job.base_model, job.status) == ("tiny-image", JobStatus.VALIDATING_FILES)
    assert job.method == ASKED.method
    assert (job.lora.r, job.lora.lora_alpha) == (16, 16)
    assert job.echo == {"bfl": {"finetune_comment": "my flag"}}
    assert world.services.jobs.get(OURS, job.id) == job
    (file,) = files_of(world)
    assert (file.id, file.filename, file.purpose) == (job.training_file, "my flag.zip", "fine-tune")
    assert (file.format, file.n_rows, file.created_by) == (Format.PICTURES, 2, OURS.user_id)
    data = b"".join(world.blobs.read(file.blob))
    assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert list(unzipped(data)) == ["0001.png", "0001.txt", "0002.png"]


@pytest.mark.parametrize(
    ("comment", "filename"),
    [
        ("", "pictures.zip"),
        ("../../etc/passwd", "etc passwd.zip"),
        ("a\x00b\nc\u202ed", "a b c d.zip"),
        ("Größe 1_2-3", "Größe 1_2-3.zip"),
        ("日" * 200, "日" * 80 + ".zip"),
    ],
)
def test_a_file_is_named_for_the_comment(world: World, comment: str, filename: str) -> None:
    job = created(world, comment=comment)
    assert world.services.files.get(OURS, job.training_file).filename == filename
    assert job.echo == {"bfl": {"finetune_comment": comment}}


def test_a_finetune_of_too_many_pictures_is_left_to_validation(world: World) -> None:
    archive = zipped({f"{number}.png": b"not looked at" for number in range(21)})
    job = created(world, archive=archive)
    assert world.services.files.get(OURS, job.training_file).n_rows == 21


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_of_a_bad_archive_nothing_is_left(name: str, world: World, tmp_path: Path) -> None:
    make, _ = BAD_ARCHIVES[name]
    with pytest.raises(InvalidValue, match=r"^file_data: "):
        created(world, archive=make())
    assert left_in(tmp_path) == []
    assert files_of(world) == []
    assert world.services.finetunes.list(OURS) == []


def test_of_a_job_that_is_refused_nothing_is_left(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> FineTuningJob:
        raise Unsupported("not here")

    monkeypatch.setattr(world.services.jobs, "create", refuse)
    with pytest.raises(Unsupported):
        created(world)
    assert left_in(tmp_path) == []
    assert files_of(world) == []


def test_of_a_file_that_cannot_be_recorded_nothing_is_left(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: File) -> None:
        raise OSError("no room")

    monkeypatch.setattr(world.store, "add_file", fail)
    with pytest.raises(OSError, match="no room"):
        created(world)
    assert left_in(tmp_path) == []


# The same request again


def test_a_request_that_comes_again_is_answered_without_reading_it(world: World) -> None:
    job = world.services.finetunes.create(OURS, ASKED, KEY)
    again = world.services.finetunes.create(OURS, replace(ASKED, archive=b"not looked at"), KEY)
    assert again == job
    assert len(files_of(world)) == 1
    with pytest.raises(Conflict):
        world.services.finetunes.create(OURS, ASKED, replace(KEY, request_hash=b"2" * 32))


def test_of_two_same_requests_at_once_the_second_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.services.finetunes.create(OURS, ASKED, KEY)
    before = left_in(tmp_path)
    answered = world.services.jobs.answered
    answers = [lambda *_: None, answered]
    monkeypatch.setattr(world.services.jobs, "answered", lambda *given: answers.pop(0)(*given))
    assert world.services.finetunes.create(OURS, ASKED, KEY) == job
    assert left_in(tmp_path) == before
    assert [file.id for file in files_of(world)] == [job.training_file]


# Webhooks


def test_the_secret_of_a_webhook_is_kept_sealed_and_bound_to_the_job(world: World) -> None:
    asked = replace(ASKED, webhook_url="https://hooks.example.com/x", webhook_secret="hush")
    job = world.services.finetunes.create(OURS, asked)
    assert job.webhook is not None
    assert (job.webhook.door, job.webhook.url) == ("bfl", "https://hooks.example.com/x")
    assert job.webhook.link_base == "http://host"
    assert job.webhook.secret not in (None, "hush")
    assert "hush" not in repr((asked, job, world.store._state))
    other = created(world, webhook_url="https://hooks.example.com/x")
    assert other.webhook is not None
    assert other.webhook.secret is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "characters"),
        ("hooks.example.com", "http"),
        ("ftp://hooks.example.com/", "http"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://hooks.example.com/a b", "printable"),
        ("https://hooks.example.com/\r\nHost: x", "printable"),
        ("https://hooks.example.com:99999/", "ort"),
        ("https://hooks.example.com:0/", "ort"),
        ("https://user:hush@hooks.example.com/", "password"),
        ("https://hooks.example.com/" + "a" * 2_100, "2083"),
        (f"http://{NOWHERE}/", "not on a public address"),
    ],
)
def test_a_url_that_cannot_be_told_is_refused_before_the_archive_is_read(
    world: World, url: str, said: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        created(world, webhook_url=url, webhook_secret="s", archive=b"not looked at")
    assert caught.value.param == "webhook_url"
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_secret_without_end_is_refused_and_not_repeated(world: World) -> None:
    with pytest.raises(InvalidValue) as caught:
        created(world, webhook_url="https://hooks.example.com/", webhook_secret="hush" * 300)
    assert caught.value.param == "webhook_secret"
    assert "hush" not in str(caught.value)


def test_a_finetune_that_is_asked_for_does_not_show_its_secret_or_its_bytes() -> None:
    shown = repr(replace(ASKED, webhook_secret="hush"))
    assert "hush" not in shown
    assert "PK" not in shown


# Finding them


def test_finetunes_are_listed_newest_first_without_other_jobs_and_projects(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetunes, "_PAGE", 2)
    mine: list[FineTuningJob] = []
    for _ in range(4):
        mine.insert(0, created(world))
        text = NewJob(model="tiny-chat", training_file=world.file(), method=Supervised())
        world.services.jobs.create(OURS, text)
    created(world, THEIRS)
    assert world.services.finetunes.list(OURS) == mine
    assert [world.services.finetunes.get(OURS, job.id) for job in mine] == mine


def test_what_is_no_finetune_of_the_project_is_not_found(world: World) -> None:
    theirs = created(world, THEIRS)
    text = world.services.jobs.create(
        OURS, NewJob(model="tiny-chat", training_file=world.file(), method=Supervised())
    )
    for job_id in (theirs.id, text.id, "ftjob-" + "0" * 24, ""):
        for ask in (world.services.finetunes.get, world.services.finetunes.delete):
            with pytest.raises(NotFound) as caught:
                ask(OURS, job_id)
            assert (caught.value.kind, caught.value.name) == ("finetune", job_id)
    assert world.services.jobs.get(OURS, text.id) == text
    assert world.services.finetunes.get(THEIRS, theirs.id) == theirs


# Deleting them


def test_a_deleted_finetune_leaves_nothing(world: World, tmp_path: Path) -> None:
    job = created(world)
    model = finished(world, job)
    assert {file.filename for file in files_of(world)} == {"my flag.zip", "samples-step-00001.png"}
    assert any("adapter" in path.parts for path in left_in(tmp_path))
    world.services.finetunes.delete(OURS, job.id)
    assert left_in(tmp_path) == []
    assert files_of(world) == []
    assert world.services.finetunes.list(OURS) == []
    for ask in (world.services.finetunes.get, world.services.finetunes.delete):
        with pytest.raises(NotFound):
            ask(OURS, job.id)
    with pytest.raises(NotFound):
        world.services.jobs.get(OURS, job.id)
    with pytest.raises(NotFound):
        world.services.models.made_by(OURS, job.id)
    with pytest.raises(NotFound):
        world.services.models.get(OURS, model)


def test_a_running_finetune_is_cancelled_and_its_files_go_with_it(
    world: World, tmp_path: Path
) -> None:
    job = created(world)
    run = running(world, job)
    world.services.finetunes.delete(OURS, job.id)
    assert world.store._state.jobs[job.id].job.status is JobStatus.CANCELLED
    assert files_of(world) == []
    # What the trainer has on disk goes with the next tidying, when it writes no more.
    assert all(run.job.id in path.parts for path in left_in(tmp_path))


def test_the_end_of_a_deleted_finetune_is_told_once(world: World) -> None:
    job = created(world, webhook_url="https://hooks.example.com/")
    world.services.finetunes.delete(OURS, job.id)
    errand = world.store.take_errand("tell", 30)
    assert errand is not None
    assert errand.notice is not None
    assert (errand.notice.subject, errand.notice.outcome) == (job.id, "cancelled")
    assert world.store.take_errand("tell", 30) is None


def test_a_finetune_that_ends_while_it_is_deleted_is_deleted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = created(world)
    cancel = world.services.jobs.cancel

    def too_late(caller: Caller, job_id: str) -> FineTuningJob:
        finished(world, job)
        return cancel(caller, job_id)

    monkeypatch.setattr(world.services.jobs, "cancel", too_late)
    world.services.finetunes.delete(OURS, job.id)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("interrupted", ["models.delete", "files.delete", "jobs.delete"])
def test_a_deletion_that_was_interrupted_is_finished_by_another(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    job = created(world)
    finished(world, job)
    service, method = interrupted.split(".")

    def fail(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(getattr(world.services, service), method, fail)
        with pytest.raises(OSError, match="the power went"):
            world.services.finetunes.delete(OURS, job.id)
    world.services.finetunes.delete(OURS, job.id)
    assert left_in(tmp_path) == []
    with pytest.raises(NotFound):
        world.services.finetunes.get(OURS, job.id)
