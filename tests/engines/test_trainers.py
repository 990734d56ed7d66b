"""Which process carries out what, whoever dies, waits or leaves."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import psutil
import pytest

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.progress import (
    Alive,
    AnyProgress,
    CheckpointSaved,
    Died,
    Failed,
    Finished,
    Note,
    Paused,
    RunRequest,
    SubjectRequest,
)
from tunery.engines import room, trainer, trainers
from tunery.engines.child import cold
from tunery.engines.trainers import FOR_PICTURES, FOR_ROOM, FOR_SUSPECTS, Trainers

Values = Closable[AnyProgress]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainers]:
    monkeypatch.setattr(trainer, "SILENCE_S", 0.05)
    monkeypatch.setattr(trainers, "SILENCE_S", 0.05)
    with closing(_trainers()) as made:
        yield made
    assert psutil.Process().children() == []


@pytest.fixture
def on_two_gpus(pool: Trainers) -> Iterator[Trainers]:
    with closing(_trainers(devices=("0", "1"))) as made:
        yield made


def _trainers(*, devices: Sequence[str] = ()) -> Trainers:
    return Trainers(
        lambda: cold("tests.engines.actor"),
        can_start=lambda: True,
        weights_bytes=lambda name: 0,
        devices=devices,
    )


def attempt(job: str, script: str, *, number: int = 1, base: str = "base") -> RunRequest:
    """A request whose training file says what the actor does."""
    return RunRequest(
        job_id=job,
        base_model=base,
        location=f"/bases/{base}",
        training_file=script,
        validation_file=None,
        blobs="/blobs",
        folder=f"runs/{job}/{number}",
        hyperparameters=ResolvedHyperparameters(
            n_epochs=1, batch_size=1, learning_rate_multiplier=1.0, learning_rate=1e-3
        ),
        r=1,
        lora_alpha=1.0,
        lora_dropout=0.0,
        target_modules="all-linear",
        seed=1,
        overlong="error",
    )


def of_pictures(request: RunRequest) -> RunRequest:
    """The same on images."""
    subject = SubjectRequest(
        trigger_word="TOK",
        mode="general",
        iterations=1,
        captioning=False,
        priority="quality",
        finetune_type="lora",
    )
    return msgspec.structs.replace(request, subject=subject)


def told(values: Values) -> AnyProgress:
    """The next value that says something."""
    return next(value for value in values if not isinstance(value, Alive))


def began(values: Values) -> int:
    """The process in which the attempt of `values` has begun."""
    note = told(values)
    assert isinstance(note, Note), note
    return int(note.message.rpartition("begins in ")[2])


def is_waiting(values: Values) -> bool:
    """Whether nothing but signs of life comes."""
    return all(isinstance(next(values), Alive) for _ in range(4))


def note(values: Values) -> str:
    value = told(values)
    assert isinstance(value, Note), value
    return value.message


def test_jobs_on_one_base_share_a_process_and_each_hears_of_itself(pool: Trainers) -> None:
    one = pool.run(attempt("one", "save finish"))
    two = pool.run(attempt("two", "wait"))
    three = pool.run(attempt("three", "fail"))
    assert began(one) == began(two) == began(three)
    assert [type(value) for value in one] == [CheckpointSaved, Finished]
    assert [type(value) for value in three] == [Failed]
    assert is_waiting(two)
    pool.pause("runs/two/1")
    assert isinstance(told(two), Paused)
    assert list(two) == []


@pytest.mark.parametrize("form", [{"quantization": "nf4"}, {"precision": "bf16"}])
def test_a_base_in_another_form_is_another_base(pool: Trainers, form: dict[str, str]) -> None:
    packed = [msgspec.structs.replace(attempt(name, "wait"), **form) for name in ("a", "b")]
    plain, *others = (pool.run(request) for request in (attempt("one", "wait"), *packed))
    processes = [began(values) for values in (plain, *others)]
    assert processes[0] != processes[1] == processes[2]
    for values in (plain, *others):
        values.close()


def test_an_attempt_that_nobody_follows_is_dropped_by_its_process(pool: Trainers) -> None:
    one, two = pool.run(attempt("one", "wait")), pool.run(attempt("two", "wait"))
    process = began(one)
    began(two)
    one.close()
    assert note(two) == "runs/one/1 has left"
    two.close()
    # Nobody knows what it was in the middle of.
    assert not psutil.pid_exists(process)


def test_two_that_come_at_once_share_a_process(pool: Trainers) -> None:
    found: list[int] = []
    together = threading.Barrier(6)

    def follow(number: int) -> None:
        with closing(pool.run(attempt(f"job-{number}", "wait"))) as values:
            together.wait()
            found.append(began(values))
            together.wait()

    followers = [threading.Thread(target=follow, args=(number,)) for number in range(6)]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_process_is_kept_for_the_next_job_and_not_for_ever(
    pool: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainers, "IDLE_S", 0.5)
    first = pool.run(attempt("one", "finish"))
    process = began(first)
    list(first)
    again = pool.run(attempt("two", "wait"))
    assert began(again) == process
    time.sleep(0.7)
    assert psutil.pid_exists(process)
    pool.pause("runs/two/1")
    assert isinstance(told(again), Paused)
    again.close()
    assert psutil.pid_exists(process)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other = pool.run(attempt("three", "finish"))
    assert began(other) != process
    assert isinstance(told(other), Finished)


def test_an_image_job_has_a_process_of_its_own_until_it_ends(pool: Trainers) -> None:
    text = pool.run(attempt("text", "wait"))
    image = pool.run(of_pictures(attempt("image", "wait")))
    process = began(image)
    assert began(text) != process
    another = pool.run(of_pictures(attempt("another", "finish")))
    assert note(another) == FOR_PICTURES
    assert is_waiting(another)
    pool.pause("runs/image/1")
    assert isinstance(told(image), Paused)
    image.close()
    assert not psutil.pid_exists(process)
    assert began(another) != process
    assert isinstance(told(another), Finished)
    another.close()
    text.close()


def test_a_death_takes_all_along_and_then_one_goes_alone_at_a_time(pool: Trainers) -> None:
    guilty, innocent = pool.run(attempt("guilty", "wait")), pool.run(attempt("innocent", "wait"))
    process = began(guilty)
    assert began(innocent) == process
    psutil.Process(process).kill()
    for values in (guilty, innocent):
        died = told(values)
        assert isinstance(died, Died)
        assert "SIGKILL" in died.message
        values.close()

    guilty = pool.run(attempt("guilty", "wait", number=2))
    innocent = pool.run(attempt("innocent", "save wait", number=2))
    other = pool.run(attempt("other", "wait"))
    process = began(guilty)
    assert note(innocent) == FOR_SUSPECTS
    assert is_waiting(innocent)
    assert began(other) != process

    psutil.Process(process).kill()
    assert isinstance(told(guilty), Died)
    guilty.close()
    assert is_waiting(other)
    alone = began(innocent)
    guilty = pool.run(attempt("guilty", "finish", number=3))
    assert isinstance(told(innocent), CheckpointSaved)
    assert began(guilty) not in (alone, process)
    assert isinstance(told(guilty), Finished)
    # Nobody is under suspicion any more.
    last = pool.run(attempt("guilty", "wait", number=4))
    assert began(last) in (alone, began_in(pool, "other"))
    for values in (innocent, guilty, other, last):
        values.close()


def began_in(pool: Trainers, job: str) -> int:
    [process] = [each.pid for each in pool._trainers if job in each.jobs]
    return process


def test_who_kills_its_process_again_and_again_takes_the_others_along_once(
    pool: Trainers,
) -> None:
    n_innocent = 5
    deaths: Counter[str] = Counter()
    all_there = threading.Barrier(n_innocent + 1)

    def be_innocent(job: str) -> None:
        with closing(pool.run(attempt(job, "wait"))) as values:
            began(values)
            all_there.wait()
            deaths[job] += any(isinstance(value, Died) for value in values)
        with closing(pool.run(attempt(job, "save finish", number=2))) as values:
            deaths[job] += any(isinstance(value, Died) for value in values)

    def be_guilty() -> None:
        all_there.wait()
        for number in range(4):
            with closing(pool.run(attempt("guilty", "die", number=number))) as values:
                deaths["guilty"] += any(isinstance(value, Died) for value in values)

    jobs = [f"job-{number}" for number in range(n_innocent)]
    workers = [threading.Thread(target=be_innocent, args=(job,)) for job in jobs]
    workers.append(threading.Thread(target=be_guilty))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert deaths == dict.fromkeys(jobs, 1) | {"guilty": 4}


def test_a_cancelled_job_leaves_no_suspicion_behind(pool: Trainers) -> None:
    first = pool.run(attempt("one", "die"))
    began(first)
    died = told(first)
    assert isinstance(died, Died)
    assert died.message.endswith("one was the last")
    pool.forget("one")
    values = [pool.run(attempt(job, "wait", number=2)) for job in ("one", "two")]
    assert began(values[0]) == began(values[1])
    for each in values:
        each.close()


def test_what_the_log_of_a_shared_process_says_is_not_for_the_owners(pool: Trainers) -> None:
    one = pool.run(attempt("one", "wait"))
    began(one)
    two = pool.run(attempt("two", "die"))
    began(two)
    for values in (one, two):
        died = told(values)
        assert isinstance(died, Died)
        assert died.message.endswith("SIGKILL (out of memory?).")
        values.close()


def test_a_process_that_says_what_nobody_understands_is_ended(pool: Trainers) -> None:
    values = pool.run(attempt("one", "babble"))
    began(values)
    assert isinstance(told(values), Died)


def test_a_process_that_has_died_idle_is_not_given_anything(pool: Trainers) -> None:
    first = pool.run(attempt("one", "finish"))
    process = began(first)
    list(first)
    psutil.Process(process).kill()
    deadline = time.monotonic() + 10
    while not pool._trainers[0].has_ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    again = pool.run(attempt("two", "finish"))
    assert began(again) != process
    assert isinstance(told(again), Finished)


def test_a_second_base_waits_for_memory_and_nobody_overtakes_it(
    pool: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room", lambda need, *, still_loading: False)
    first = pool.run(attempt("one", "wait"))
    process = began(first)
    second = pool.run(attempt("two", "finish", base="other"))
    assert note(second) == FOR_ROOM
    third = pool.run(attempt("three", "finish"))
    assert note(third) == FOR_ROOM
    assert is_waiting(second)
    assert is_waiting(third)
    pool.pause("runs/one/1")
    assert isinstance(told(first), Paused)
    first.close()
    # It was idle, and had to make room.
    assert began(second) != process
    assert not psutil.pid_exists(process)
    assert isinstance(told(second), Finished)
    second.close()
    began(third)
    assert isinstance(told(third), Finished)


def test_who_waits_can_be_paused_and_can_leave(
    pool: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room", lambda need, *, still_loading: False)
    first = pool.run(attempt("one", "wait"))
    began(first)
    waiting = [pool.run(attempt(f"other-{n}", "wait", base="other")) for n in range(2)]
    for each in waiting:
        assert note(each) == FOR_ROOM
    pool.pause("runs/other-0/1")
    assert isinstance(told(waiting[0]), Paused)
    assert list(waiting[0]) == []
    waiting[1].close()
    # None of them stands before this one.
    third = pool.run(attempt("three", "finish"))
    assert began(third) == began_in(pool, "one")
    first.close()


def test_each_gpu_has_a_process_of_its_own_and_a_job_takes_a_free_one(
    on_two_gpus: Trainers,
) -> None:
    pool = on_two_gpus
    one, two = pool.run(attempt("one", "wait")), pool.run(attempt("two", "wait"))
    process = began(one)
    assert began(two) != process
    assert [trainer.device for trainer in pool._trainers] == ["1", "0"]
    # None is free: others join those on their base, wherever there are fewer.
    third, fourth = pool.run(attempt("three", "wait")), pool.run(attempt("four", "finish"))
    assert began(third) == process
    assert began(fourth) == began_in(pool, "two")
    assert isinstance(told(fourth), Finished)
    fourth.close()
    other = pool.run(attempt("other", "wait", base="other"))
    assert note(other) == FOR_ROOM
    for values in (one, third):
        values.close()
    assert began(other) != process
    assert pool._trainers[-1].device == "1"
    for values in (two, other):
        values.close()


def test_a_process_that_waits_with_the_base_is_taken_before_a_free_gpu(
    on_two_gpus: Trainers,
) -> None:
    first = on_two_gpus.run(attempt("one", "finish"))
    process = began(first)
    assert isinstance(told(first), Finished)
    first.close()
    second = on_two_gpus.run(attempt("two", "wait"))
    assert began(second) == process
    second.close()


def test_a_gpu_with_an_idle_process_is_as_good_as_free(on_two_gpus: Trainers) -> None:
    one = on_two_gpus.run(attempt("one", "wait"))
    idle = on_two_gpus.run(attempt("two", "finish", base="b"))
    processes = began(one), began(idle)
    assert isinstance(told(idle), Finished)
    idle.close()
    beside = on_two_gpus.run(attempt("three", "wait"))
    assert began(beside) not in processes
    assert not psutil.pid_exists(processes[1])
    for values in (one, beside):
        values.close()


def test_no_more_idle_processes_make_room_than_must(on_two_gpus: Trainers) -> None:
    idle = []
    for base in ("a", "b"):
        values = on_two_gpus.run(attempt(base, "finish", base=base))
        idle.append(began(values))
        assert isinstance(told(values), Finished)
        values.close()
    third = on_two_gpus.run(attempt("third", "wait", base="c"))
    began(third)
    assert [psutil.pid_exists(process) for process in idle] == [False, True]
    third.close()


def test_on_gpus_too_a_base_is_loaded_where_it_fits_into_main_memory(
    on_two_gpus: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room", lambda need, *, still_loading: False)
    one, two = on_two_gpus.run(attempt("one", "wait")), on_two_gpus.run(attempt("two", "wait"))
    assert began(one) == began(two)
    for values in (one, two):
        values.close()


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ("0", "1")),
        ("", ()),
        ("-1", ()),
        ("1", ("1",)),
        ("GPU-8932f937,MIG-7f1a", ("GPU-8932f937", "MIG-7f1a")),
    ],
)
def test_gpus_are_those_of_the_driver_that_are_visible(
    visible: str | None, found: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert room.devices(tmp_path) == ()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert room.devices(tmp_path) == found


def test_what_is_still_to_be_loaded_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 10_000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert room.has_room(4_000, still_loading=[6_000])
    assert not room.has_room(4_000, still_loading=[3_000, 3_001])


def test_after_the_end_of_all_nothing_is_started(pool: Trainers) -> None:
    values = pool.run(attempt("one", "wait"))
    began(values)
    pool.close()
    assert isinstance(told(values), Died)
    values.close()
    with pytest.raises(Unavailable):
        next(pool.run(attempt("two", "wait")))
