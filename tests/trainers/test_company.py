"""Jobs in company get what each gets alone; what befalls one is its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.conftest import Changed, Row, attempt, chat, preference, write
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.progress import (
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
from tunery.modeling.base import Base, Losses
from tunery.modeling.load import load_model
from tunery.modeling.stream import Stream
from tunery.trainers import company
from tunery.trainers.asks import Turn, pass_through
from tunery.trainers.attempt import carry_out
from tunery.trainers.budget import Budget
from tunery.trainers.company import Company
from tunery.trainers.failures import told
from tunery.trainers.lanes import Lanes

N_STEPS = 20
RANKS = (1, 2, 4, 8, 3, 5, 6, 4)


def rows(job: int) -> list[Row]:
    return [
        chat(f"Hello there {i}" + " two" * ((i + job) % 7), f"I am {job} well {i}.")
        for i in range(60)
    ]


def pairs(n: int) -> list[Row]:
    return [
        preference(f"Hello there {i}" + " two" * (i % 7), f"I am well {i % 3}.", "How are you")
        for i in range(n)
    ]


@pytest.fixture
def requests(changed: Changed, blobs: Path) -> list[RunRequest]:
    """Eight jobs of 20 steps with different ranks, rates, targets and data, one on preferences."""
    made = []
    for job, r in enumerate(RANKS):
        asked = ResolvedHyperparameters(
            n_epochs=4,
            batch_size=12,
            learning_rate_multiplier=1.0,
            learning_rate=(3e-3, 1e-2)[job % 2],
            beta=0.3 if job == 7 else None,
        )
        made.append(
            changed(
                folder=f"runs/ftjob-{job}/1",
                training_file=str(
                    write(blobs / f"train-{job}", pairs(60) if job == 7 else rows(job))
                ),
                validation_file=None,
                hyperparameters=asked,
                r=r,
                lora_alpha=2.0 * r,
                lora_dropout=0.1 if job == 3 else 0.0,
                target_modules=("q_proj", "v_proj", "down_proj") if job == 5 else "all-linear",
                seed=job,
            )
        )
    return made


@dataclass
class Room:
    """A company on the tiny model, and all that was said of each folder."""

    base: Base
    company: Company[AnyProgress]
    said: dict[str, list[AnyProgress]]
    pauses: dict[str, Event]

    def join(self, request: RunRequest) -> None:
        pause = self.pauses[request.folder] = Event()
        self.company.join(request.folder, told(carry_out(request, self.base, pause)))

    def turn(self) -> None:
        for folder, value in self.company.round():
            self.said.setdefault(folder, []).append(value)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        while len(self.company) and not until():
            self.turn()

    def losses(self, request: RunRequest) -> list[float]:
        said = self.said.get(request.folder, [])
        return [value.train_loss for value in said if isinstance(value, Metrics)]


@pytest.fixture
def room(model_folder: Path) -> Room:
    base = Base(load_model(str(model_folder)).model)
    return Room(base, Company(base, Budget(2048)), {}, {})


def weights(request: RunRequest, values: list[AnyProgress]) -> torch.Tensor:
    done = values[-1]
    assert isinstance(done, Finished)
    saved = load_file(Path(request.blobs) / done.adapter / "adapter_model.safetensors")
    return torch.cat([saved[name].flatten() for name in sorted(saved)])


@pytest.fixture
def alone(requests: list[RunRequest]) -> Callable[[int], tuple[list[float], torch.Tensor]]:
    """The losses and the weights of a job that had the base for itself."""

    def run(job: int) -> tuple[list[float], torch.Tensor]:
        request = msgspec.structs.replace(requests[job], folder=f"runs/alone-{job}/1")
        values = list(attempt(request))
        return [v.train_loss for v in values if isinstance(v, Metrics)], weights(request, values)

    return run


def is_as_alone(room: Room, request: RunRequest, found: tuple[list[float], torch.Tensor]) -> None:
    losses, expected = found
    together = room.losses(request)
    assert len(together) == len(losses) == N_STEPS
    assert max(abs(a - b) for a, b in zip(together, losses, strict=True)) < 1e-5
    ours = weights(request, room.said[request.folder])
    assert (ours - expected).norm() / expected.norm() < 1e-4


def test_eight_jobs_together_are_the_same_eight_alone(
    room: Room,
    requests: list[RunRequest],
    alone: Callable[[int], tuple[list[float], torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four begin, the others join one by one; the passes are shared by several of them."""
    n_jobs: list[int] = []

    def noted(base: Base, turns: Sequence[Turn], lanes: Lanes) -> None:
        n_jobs.append(len(turns))
        pass_through(base, turns, lanes)

    monkeypatch.setattr(company, "pass_through", noted)
    for request in requests[:4]:
        room.join(request)
    for request in requests[4:]:
        for _ in range(2):
            room.turn()
        room.join(request)
    room.run()
    assert max(n_jobs) >= 4
    for job, request in enumerate(requests):
        is_as_alone(room, request, alone(job))


def test_what_befalls_some_leaves_the_others_alone(
    room: Room,
    requests: list[RunRequest],
    alone: Callable[[int], tuple[list[float], torch.Tensor]],
) -> None:
    """One learns nonsense, one is cancelled, one paused and later resumed."""
    fine, mad, cancelled, paused, other = (requests[job] for job in (0, 1, 2, 3, 7))
    mad = msgspec.structs.replace(
        mad, hyperparameters=replace(mad.hyperparameters, learning_rate=1e30)
    )
    for request in (fine, mad, cancelled, paused, other):
        room.join(request)
    room.run(lambda: len(room.losses(paused)) >= 5)
    room.company.leave(cancelled.folder)
    room.pauses[paused.folder].set()
    room.run()

    failed = room.said[mad.folder][-1]
    assert isinstance(failed, Failed)
    assert failed.code == "not_finite"
    assert len(room.losses(mad)) < N_STEPS
    assert len(room.losses(cancelled)) < N_STEPS
    is_as_alone(room, fine, alone(0))
    is_as_alone(room, other, alone(7))

    saved, let_go = room.said[paused.folder][-2:]
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(let_go, Paused)
    again = msgspec.structs.replace(paused, folder="runs/ftjob-3/2", resume_from=saved.folder)
    room.join(again)
    room.join(msgspec.structs.replace(requests[4], folder="runs/ftjob-4/2"))
    room.run()
    losses, expected = alone(3)
    together = room.losses(paused) + room.losses(again)
    assert max(abs(a - b) for a, b in zip(together, losses, strict=True)) < 1e-5
    ours = weights(again, room.said[again.folder])
    assert (ours - expected).norm() / expected.norm() < 1e-4


def test_a_row_that_breaks_a_pass_breaks_its_own_job_alone(
    room: Room,
    requests: list[RunRequest],
    alone: Callable[[int], tuple[list[float], torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = Base.losses

    def broken(self: Base, stream: Stream) -> Losses:
        if any(span.adapter is not None and span.adapter.config.r == 4 for span in stream.spans):
            raise IndexError("index out of range in self")
        return losses(self, stream)

    expected = alone(1)
    monkeypatch.setattr(Base, "losses", broken)
    for request in (requests[1], requests[2], requests[3]):
        room.join(request)
    assert requests[2].r == RANKS[2]
    room.join(msgspec.structs.replace(requests[3], folder="runs/bad/1", r=4))
    room.run()
    died = room.said["runs/bad/1"][-1]
    assert isinstance(died, Died)
    assert "IndexError: index out of range" in died.message
    is_as_alone(room, requests[1], expected)


@pytest.mark.parametrize(("most_rows", "jobs"), [(700, (0, 1, 2)), (60, (0, 1, 7))])
def test_running_out_of_memory_in_company_costs_nobody_a_step(
    most_rows: int,
    jobs: tuple[int, ...],
    room: Room,
    requests: list[RunRequest],
    alone: Callable[[int], tuple[list[float], torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First fewer jobs share a pass; only one that is by itself cuts its own steps smaller."""
    chosen = [requests[job] for job in jobs]
    expected = [alone(job) for job in jobs]
    losses = Base.losses

    def small(self: Base, stream: Stream) -> Losses:
        if stream.size > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return losses(self, stream)

    monkeypatch.setattr(Base, "losses", small)
    for request in chosen:
        room.join(request)
    room.run()
    for request, found in zip(chosen, expected, strict=True):
        is_as_alone(room, request, found)
        notes = [v.message for v in room.said[request.folder] if isinstance(v, Note)]
        assert len(notes) == (most_rows == 60)


def test_who_joins_late_gets_its_turns_and_no_more(room: Room, requests: list[RunRequest]) -> None:
    """While passes have room for one of them only, two jobs go step by step."""
    first, second = requests[0], requests[2]
    room.company = Company(room.base, Budget(1))
    room.join(first)
    room.run(lambda: len(room.losses(first)) >= 8)
    room.join(second)
    room.run(lambda: len(room.losses(first)) >= 14)
    assert 5 <= len(room.losses(second)) <= 7
