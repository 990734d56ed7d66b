"""Trainer processes that are killed at random steps: their jobs end as if nothing had been."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.conftest import Changed, chat, preference, write
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Died,
    Failed,
    Finished,
    Metrics,
    RunRequest,
)
from tunery.core.trainer_protocol import Begin, said, to_line
from tunery.engines.warm import ForkedProcess

N_STEPS = 36
TIMES = ("tokens_per_second", "remaining_s")
N_ROWS = 24


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the warm parent of trainer processes listens."""
    path = str(tmp_path_factory.mktemp("warm") / "socket")
    parent = subprocess.Popen(
        [sys.executable, "-m", "tunery.trainers.warm", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    parent.stdout.readline()
    yield path
    parent.stdin.close()
    parent.stdout.close()
    parent.wait()


@pytest.fixture
def requests(changed: Changed, blobs: Path) -> list[RunRequest]:
    """Two supervised jobs and two on preferences, with dropout, of different ranks and lengths."""
    rows = [
        chat(f"Hello there {i}" + " two" * (i % 7), f"I am well {i % 3}.") for i in range(N_ROWS)
    ]
    pairs = [
        preference(f"Hello there {i}" + " two" * (i % 5), f"I am well {i % 3}.", "How are you")
        for i in range(N_ROWS)
    ]
    files = {None: write(blobs / "rows", rows), 0.3: write(blobs / "pairs", pairs)}
    return [
        changed(
            job_id=f"ftjob-{number}",
            folder=f"runs/ftjob-{number}/1",
            training_file=str(files[beta]),
            validation_file=None,
            hyperparameters=replace(
                changed().hyperparameters,
                n_epochs=N_STEPS // 6,
                batch_size=4,
                beta=beta,
                learning_rate=3e-3,
                weight_decay=0.1,
            ),
            r=r,
            lora_dropout=dropout,
            seed=number,
            threads=1,
            checkpoint_seconds=0.03,
        )
        for number, (beta, r, dropout) in enumerate(
            [(None, 4, 0.2), (0.3, 3, 0.1), (None, 2, 0.0), (0.3, 5, 0.0)]
        )
    ]


@dataclass
class Story:
    """What was heard of a job, in all of its attempts.

    Attributes:
        curve: of each step, what was reported, once for each time that it was taken.
    """

    request: RunRequest
    curve: dict[int, list[Metrics]]
    n_attempts: int = 1
    saved: str | None = None
    adapter: Path | None = None

    def hear(self, progress: AnyProgress) -> None:
        assert not isinstance(progress, Died | Failed), progress
        if isinstance(progress, Metrics):
            timeless = msgspec.structs.replace(progress, **dict.fromkeys(TIMES))
            self.curve.setdefault(progress.step, []).append(timeless)
        elif isinstance(progress, CheckpointSaved):
            self.saved = progress.folder
        elif isinstance(progress, Finished):
            self.adapter = Path(self.request.blobs) / progress.adapter

    def next(self) -> RunRequest:
        """The attempt that follows a death."""
        self.n_attempts += 1
        folder = f"{self.request.folder[:-2]}/{self.n_attempts}"
        return msgspec.structs.replace(self.request, folder=folder, resume_from=self.saved)

    @property
    def weights(self) -> bytes:
        assert self.adapter is not None
        return (self.adapter / "adapter_model.safetensors").read_bytes()

    @property
    def weight(self) -> torch.Tensor:
        assert self.adapter is not None
        saved = load_file(self.adapter / "adapter_model.safetensors")
        return torch.cat([saved[name].flatten() for name in sorted(saved)])


def carried_out(
    address: str, requests: list[RunRequest], *, kills: int = 0, seed: int = 0
) -> list[Story]:
    """The jobs, in one process at a time, which is killed so often."""
    drawn = random.Random(seed)
    stories = [Story(request, {}) for request in requests]
    attempts = {request.folder: story for request, story in zip(requests, stories, strict=True)}
    begins = list(requests)
    for kills_left in range(kills, -1, -1):
        process = ForkedProcess("tunery.trainers", address)
        for request in begins:
            process.stdin.write(to_line(Begin(request=request)))
        process.stdin.flush()
        # Counted over all jobs from here, so that some are at other steps than others.
        left = drawn.randrange(2, N_STEPS * len(begins) // (kills + 2)) if kills_left else -1
        is_killed = False
        # What was said before the end is heard to its end, as the engine does.
        for line in process.stdout:
            report = said(line)
            attempts[report.folder].hear(report.progress)
            left -= isinstance(report.progress, Metrics)
            if left == 0 and not is_killed:
                time.sleep(drawn.random() * 0.01)
                process.kill()
                is_killed = True
            if all(story.adapter for story in stories):
                break
        process.kill()
        assert process.wait() == -signal.SIGKILL
        for end in (process.stdin, process.stdout, process.stderr):
            end.close()
        assert is_killed == bool(kills_left)
        unfinished = [story for story in stories if story.adapter is None]
        begins = [story.next() for story in unfinished]
        attempts = {
            request.folder: story for request, story in zip(begins, unfinished, strict=True)
        }
    assert all(story.adapter for story in stories)
    return stories


def is_the_same_to_the_bit(story: Story, whole: Story) -> None:
    assert set(story.curve) == set(whole.curve) == set(range(1, N_STEPS + 1))
    for step, reports in story.curve.items():
        assert all(report == whole.curve[step][0] for report in reports), step
    assert story.weights == whole.weights


def is_the_same_but_for_rounding(story: Story, whole: Story) -> None:
    assert set(story.curve) == set(whole.curve) == set(range(1, N_STEPS + 1))
    for step, reports in story.curve.items():
        [expected] = whole.curve[step]
        for report in reports:
            assert report.train_loss == pytest.approx(expected.train_loss, abs=1e-5)
    assert (story.weight - whole.weight).norm() < 1e-4 * whole.weight.norm()


@pytest.mark.parametrize("job", [0, 1], ids=["supervised", "dpo"])
def test_a_killed_job_is_the_same_to_the_last_bit(
    job: int, address: str, requests: list[RunRequest]
) -> None:
    [whole] = carried_out(address, [msgspec.structs.replace(requests[job], folder="runs/whole/1")])
    [story] = carried_out(address, [requests[job]], kills=2, seed=job)
    assert story.n_attempts == 3
    is_the_same_to_the_bit(story, whole)


def test_jobs_that_are_killed_together_are_as_alone(
    address: str, requests: list[RunRequest]
) -> None:
    chosen = requests[:3]
    stories = carried_out(address, chosen, kills=2, seed=5)
    assert max(story.n_attempts for story in stories) == 3
    for number, story in enumerate(stories):
        request = msgspec.structs.replace(chosen[number], folder=f"runs/whole-{number}/1")
        [whole] = carried_out(address, [request])
        is_the_same_but_for_rounding(story, whole)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_however_often_and_whenever_they_are_killed(
    seed: int, address: str, requests: list[RunRequest]
) -> None:
    whole = [
        carried_out(address, [msgspec.structs.replace(request, folder=f"{request.folder}-whole")])[
            0
        ]
        for request in requests
    ]
    for number, request in enumerate(requests):
        folder = f"runs/lonely-{number}/1"
        lonely = msgspec.structs.replace(request, folder=folder)
        [story] = carried_out(address, [lonely], kills=6, seed=100 * seed + number)
        is_the_same_to_the_bit(story, whole[number])
    for story, expected in zip(
        carried_out(address, requests, kills=6, seed=seed), whole, strict=True
    ):
        is_the_same_but_for_rounding(story, expected)
