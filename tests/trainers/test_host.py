"""Attempts in a trainer process: whatever comes, and in whatever order, harms nobody else."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import msgspec
import pytest

from tests.trainers.conftest import Changed, Row, attempt, chat, write
from tunery.core.errors import InvalidValue
from tunery.core.progress import (
    Alive,
    AnyProgress,
    CheckpointSaved,
    Died,
    Failed,
    Finished,
    Metrics,
    Note,
    Paused,
    RunRequest,
)
from tunery.core.trainer_protocol import AnyCommand, Begin, Leave, Pause
from tunery.modeling.base import Base
from tunery.modeling.load import load_model
from tunery.trainers import attempt as attempts
from tunery.trainers import failures, memory, preparation
from tunery.trainers import host as hosts
from tunery.trainers.host import Host, Ready

N_STEPS = 9


@dataclass
class Room:
    """A host on the tiny model, and all that it has said of each folder."""

    base: Base
    inbox: "SimpleQueue[AnyCommand | Future[Ready]]" = field(default_factory=SimpleQueue)
    said: dict[str, list[AnyProgress]] = field(default_factory=dict)
    order: list[tuple[str, AnyProgress]] = field(default_factory=list)
    host: Host | None = None

    def begin(self, *requests: RunRequest) -> None:
        for request in requests:
            if self.host is None:
                self.host = Host(self.base, request, self.inbox, self._hear)
            else:
                self.inbox.put(Begin(request=request))

    def _hear(self, folder: str, progress: AnyProgress) -> None:
        if not isinstance(progress, Alive):
            self.said.setdefault(folder, []).append(progress)
            self.order.append((folder, progress))

    def tell(self, command: AnyCommand) -> None:
        self.inbox.put(command)

    def turn(self) -> None:
        assert self.host is not None
        self.host.turn()

    def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.turn()

    def steps(self, request: RunRequest) -> int:
        return len(self.losses(request))

    def losses(self, request: RunRequest) -> list[float]:
        said = self.said.get(request.folder, [])
        return [value.train_loss for value in said if isinstance(value, Metrics)]

    def ended(self, *requests: RunRequest) -> bool:
        return all(
            isinstance(self.said.get(request.folder, [None])[-1], Paused | Died | Failed | Finished)
            for request in requests
        )

    def last(self, request: RunRequest) -> AnyProgress:
        return self.said[request.folder][-1]

    def notes(self, request: RunRequest) -> list[str]:
        said = self.said.get(request.folder, [])
        return [value.message for value in said if isinstance(value, Note)]


@pytest.fixture
def room(model_folder: Path) -> Room:
    return Room(Base(load_model(str(model_folder)).model))


@pytest.fixture
def named(changed: Changed) -> Callable[[str], RunRequest]:
    """Nine steps in a folder of that name, without validation."""

    def make(name: str, **fields: object) -> RunRequest:
        return changed(folder=f"runs/{name}/1", validation_file=None, **fields)

    return make


Named = Callable[..., RunRequest]


def test_many_attempts_at_once_all_end_and_the_process_waits_for_more(
    room: Room, named: Named
) -> None:
    requests = [named(f"{number}") for number in range(9)]
    room.begin(*requests)
    room.until(lambda: room.ended(*requests))
    assert all(isinstance(room.last(request), Finished) for request in requests)
    # Who shares a pass with whom depends on whose file is read first: equal but for rounding.
    expected = pytest.approx(room.losses(requests[0]), abs=1e-5)
    assert all(room.losses(request) == expected for request in requests)
    late = named("late")
    room.begin(late)
    room.until(lambda: room.ended(late))
    assert room.losses(late) == pytest.approx(room.losses(requests[0]), abs=1e-5)


def test_a_base_is_tried_out_while_the_first_data_is_read_and_what_fails_is_tried_again(
    room: Room, named: Named, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Enough(Exception):
        """The end of serving, which has none."""

    request = named("first")
    being_read: list[int] = []

    def prepare(_: Base) -> None:
        assert host is not None
        being_read.append(len(host._being_read))
        raise RuntimeError("not today")

    def say(_: str, progress: AnyProgress) -> None:
        if isinstance(progress, Finished):
            raise Enough

    host = Host(room.base, request, room.inbox, say)
    with monkeypatch.context() as patched:
        patched.setattr(Base, "prepare", prepare)
        host._get_ready()
    assert being_read == [1]
    assert "not today" in caplog.text
    with pytest.raises(Enough):
        host.serve()


def test_commands_for_nobody_are_for_nobody(room: Room, named: Named) -> None:
    request = named("a")
    room.begin(request)
    room.tell(Pause(folder="runs/none/1"))
    room.tell(Leave(folder="runs/none/1"))
    room.until(lambda: room.ended(request))
    room.tell(Pause(folder=request.folder))
    room.tell(Leave(folder=request.folder))
    other = named("b")
    room.begin(other)
    room.until(lambda: room.ended(other))
    assert room.said.keys() == {request.folder, other.folder}
    assert sum(isinstance(value, Finished) for value in room.said[request.folder]) == 1


def test_an_attempt_that_has_begun_does_not_begin_again(room: Room, named: Named) -> None:
    request = named("a")
    room.begin(request, request)
    room.until(lambda: room.steps(request) >= 3)
    room.begin(request)
    room.until(lambda: room.ended(request))
    values = room.said[request.folder]
    assert [v.step for v in values if isinstance(v, Metrics)] == list(range(1, N_STEPS + 1))
    assert isinstance(values[-1], Finished)


@pytest.mark.parametrize(
    "other", [{"location": "elsewhere/model"}, {"quantization": "nf4"}, {"precision": "bf16"}]
)
def test_an_attempt_on_another_base_dies_and_nobody_else(
    other: dict[str, object], room: Room, named: Named
) -> None:
    request, stray = named("a"), named("b", **other)
    room.begin(request, stray)
    room.until(lambda: room.ended(request))
    [died] = room.said[stray.folder]
    assert isinstance(died, Died)
    assert "sent to a process that has" in died.message
    assert isinstance(room.last(request), Finished)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Event]]:
    """By folder, what the reading of an attempt's data waits for; set in the end."""
    gates: dict[str, Event] = {}
    prepare = preparation.prepare

    def waits(request: RunRequest, base: Base) -> object:
        if request.folder in gates:
            assert gates[request.folder].wait(60)
        return prepare(request, base)

    monkeypatch.setattr(attempts, "prepare", waits)
    yield gates
    for gate in gates.values():
        gate.set()


def test_whose_data_is_long_keeps_nobody_waiting(
    room: Room, named: Named, slow: dict[str, Event]
) -> None:
    request, other = named("long"), named("short")
    gate = slow[request.folder] = Event()
    room.begin(request, other)
    room.until(lambda: room.ended(other))
    assert request.folder not in room.said
    gate.set()
    room.until(lambda: room.ended(request))
    assert isinstance(room.last(request), Finished)


def test_who_leaves_while_its_data_is_read_is_heard_no_more(
    room: Room, named: Named, slow: dict[str, Event]
) -> None:
    request, other = named("left"), named("other")
    gate = slow[request.folder] = Event()
    room.begin(request, other)
    room.until(lambda: room.steps(other) >= 1)
    room.tell(Leave(folder=request.folder))
    # The same name again, while the first is still being read.
    again = msgspec.structs.replace(request, seed=3)
    room.begin(again)
    gate.set()
    room.until(lambda: room.ended(other, again))
    values = room.said[again.folder]
    assert [v.step for v in values if isinstance(v, Metrics)] == list(range(1, N_STEPS + 1))
    expected = [v.train_loss for v in attempt(named("alone", seed=3)) if isinstance(v, Metrics)]
    assert room.losses(again) == pytest.approx(expected, abs=1e-5)


def test_who_is_paused_before_its_data_is_read_saves_its_first_step(
    room: Room, named: Named, slow: dict[str, Event]
) -> None:
    request = named("a")
    gate = slow[request.folder] = Event()
    room.begin(request)
    room.tell(Pause(folder=request.folder))
    gate.set()
    room.until(lambda: room.ended(request))
    metrics, saved, paused = room.said[request.folder]
    assert isinstance(metrics, Metrics)
    assert isinstance(saved, CheckpointSaved)
    assert saved.step == metrics.step == 1
    assert isinstance(paused, Paused)


def test_what_fails_while_it_is_read_is_its_own(
    room: Room, named: Named, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine, torn, gone = named("fine"), named("torn"), named("gone")
    silent, faulty = named("silent"), named("faulty", seed=99)
    (blobs / "torn").write_bytes(b'{"messages": [')
    torn = msgspec.structs.replace(torn, training_file=str(blobs / "torn"))
    gone = msgspec.structs.replace(gone, training_file=str(blobs / "gone"))
    told, prepare = failures.told, preparation.prepare

    def breaks(request: RunRequest, base: Base) -> object:
        if request.folder == faulty.folder:
            raise MemoryError
        return prepare(request, base)

    def untold(values: object) -> object:
        if values.gi_frame.f_locals["request"].folder == silent.folder:  # type: ignore[attr-defined]
            return iter(())
        return told(values)  # type: ignore[arg-type]

    monkeypatch.setattr(attempts, "prepare", breaks)
    monkeypatch.setattr(hosts, "told", untold)
    requests = fine, torn, gone, silent, faulty
    room.begin(*requests)
    room.until(lambda: room.ended(*requests))

    assert isinstance(room.last(fine), Finished)
    assert len(room.losses(fine)) == N_STEPS
    bad = room.last(torn)
    assert isinstance(bad, Failed)
    assert bad.code == "invalid_file"
    assert isinstance(room.last(gone), Died)
    assert isinstance(room.last(silent), Died)
    full = room.last(faulty)
    assert isinstance(full, Failed)
    assert full.code == "out_of_memory"


class Memory:
    """Room for the adapters of so many attempts at a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: Room) -> None:
        self.most, self._room = 1, room
        monkeypatch.setattr(memory, "fits", self._fits)

    def _fits(self, base: Base, requests: list[RunRequest]) -> bool:
        assert self._room.host is not None
        return len(self._room.host._company) + len(requests) <= self.most


def test_who_does_not_fit_waits_and_begins_in_order_when_others_have_ended(
    room: Room, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory(monkeypatch, room).most = 2
    requests = [named(name) for name in "abcd"]
    room.begin(*requests[:2])
    room.until(lambda: room.steps(requests[1]) >= 1)
    room.begin(*requests[2:])
    room.until(lambda: room.ended(*requests))
    assert all(isinstance(room.last(request), Finished) for request in requests)
    assert [len(room.notes(request)) for request in requests] == [0, 0, 1, 1]
    assert room.notes(requests[2])[0].startswith("Waiting for memory: 2 other jobs are")
    begun = [
        folder for folder, value in room.order if isinstance(value, Metrics) and value.step == 1
    ]
    assert set(begun[:2]) == {request.folder for request in requests[:2]}
    assert begun[2:] == [request.folder for request in requests[2:]]


def test_who_waits_for_memory_may_leave_or_be_paused(
    room: Room, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory(monkeypatch, room)
    first, leaves, paused, last = (named(name) for name in "abcd")
    room.begin(first, leaves, paused, last)
    room.until(lambda: room.steps(first) >= 2)
    room.tell(Leave(folder=leaves.folder))
    room.tell(Pause(folder=paused.folder))
    room.until(lambda: room.ended(paused))
    assert not room.ended(first)
    assert [type(value) for value in room.said[paused.folder]] == [Note, Paused]
    room.until(lambda: room.ended(first, last))
    assert [type(value) for value in room.said[leaves.folder]] == [Note]
    assert isinstance(room.last(last), Finished)


def test_those_whose_data_is_being_read_count_too(
    room: Room, named: Named, slow: dict[str, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many that come at once do not all see the memory that is free before the first has begun."""
    asked: list[int] = []

    def fits(base: Base, requests: list[RunRequest]) -> bool:
        asked.append(len(requests))
        return len(requests) <= 2

    monkeypatch.setattr(memory, "fits", fits)
    requests = [named(name) for name in "abc"]
    for request in requests[:2]:
        slow[request.folder] = Event()
    room.begin(*requests)
    room.tell(Pause(folder="runs/none/1"))
    room.turn()
    assert asked == [2, 3]
    for gate in slow.values():
        gate.set()
    room.until(lambda: room.ended(*requests))
    assert all(isinstance(room.last(request), Finished) for request in requests)


def test_an_adapter_that_cannot_be_made_needs_no_memory(room: Room, named: Named) -> None:
    assert memory.fits(room.base, [named("a", r=0)])
    assert memory.fits(room.base, [named("a", target_modules=("c_attn",))])
    with pytest.raises(InvalidValue):
        next(attempts.carry_out(named("a", r=0), room.base, Event()))


@pytest.mark.parametrize(("n_words", "most"), [(100, N_STEPS), (480, 3)])
def test_a_small_job_waits_for_a_large_one_no_longer_than_a_pass(
    n_words: int, most: int, room: Room, named: Named, blobs: Path
) -> None:
    """Where the steps of both fit in a pass, both step in each; else the least served goes first.

    So a small job then ends while a large one has hardly gone on.
    """
    rows: list[Row] = [chat("Hello there" + " two" * n_words, f"I am well {i}.") for i in range(24)]
    write(blobs / "long", rows)
    small = named("small")
    large = named(
        "large",
        training_file=str(blobs / "long"),
        hyperparameters=replace(small.hyperparameters, n_epochs=50),
    )
    room.begin(large)
    room.until(lambda: room.steps(large) >= 1)
    room.begin(small)
    room.until(lambda: room.steps(small) >= 1)
    before = room.steps(large)
    room.until(lambda: room.ended(small))
    assert room.steps(large) <= before + most


def test_a_large_job_does_not_starve_beside_small_ones(
    room: Room, named: Named, blobs: Path
) -> None:
    """Small ones come again and again; each is counted in where the least served stands."""
    rows: list[Row] = [chat("Hello there" + " two" * 480, f"I am well {i}.") for i in range(3)]
    write(blobs / "long", rows)
    large = named(
        "large",
        training_file=str(blobs / "long"),
        hyperparameters=replace(named("").hyperparameters, n_epochs=1, batch_size=3),
    )
    smalls = [named(f"small-{number}") for number in range(30)]
    room.begin(large, smalls[0])
    for before, after in pairwise(smalls):
        while room.steps(before) < 5 and not room.ended(large):
            room.turn()
        if room.ended(large):
            break
        room.begin(after)
    assert room.ended(large)
