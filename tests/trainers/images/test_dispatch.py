"""The trainer's process learns from pictures where it is asked to."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
import torch

from tests.trainers.images.conftest import Changed, losses, run
from tunery.core.progress import AnyProgress, CheckpointSaved, Metrics, RunRequest
from tunery.core.trainer_protocol import Begin, said, to_line

pytestmark = pytest.mark.e2e


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as the process has: sums are taken in another order by more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def killed_at(step: int, request: RunRequest) -> list[AnyProgress]:
    """What a process said before it was killed in the middle of a job."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunery.trainers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    values: list[AnyProgress] = []
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(to_line(Begin(request=request)))
        process.stdin.flush()
        for line in process.stdout:
            values.append(said(line).progress)
            if isinstance(values[-1], Metrics) and values[-1].step == step:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    return values


def test_a_killed_process_loses_nothing_but_the_steps_after_its_checkpoint(
    changed: Changed, one_thread: None
) -> None:
    request = changed(iterations=100, checkpoint_seconds=0, priority="speed")
    first = killed_at(4, request)
    saved = [value for value in first if isinstance(value, CheckpointSaved)][-1]
    assert saved.step == 3
    again = msgspec.structs.replace(request, checkpoint_seconds=1e9)
    rest = run(
        msgspec.structs.replace(again, folder=request.folder[:-1] + "2", resume_from=saved.folder)
    )
    whole = run(msgspec.structs.replace(again, folder=request.folder[:-1] + "3"))
    assert losses(first) == losses(whole)[:4]
    assert losses(rest) == losses(whole)[3:]
