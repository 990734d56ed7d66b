"""Trainers forked from a parent that has imported PyTorch."""

import signal
from collections.abc import Iterator

import psutil
import pytest

from tunery.engines.child import Child
from tunery.engines.warm import WarmParent

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def parent() -> Iterator[WarmParent]:
    started = WarmParent()
    assert started.wait_until_ready()
    yield started
    started.close()


def test_a_forked_child_ends_when_its_standard_input_closes(parent: WarmParent) -> None:
    process = parent.fork("tunery.trainers")
    process.stdin.close()
    assert process.wait() == 1  # there was no request in its empty first line
    assert b"msgspec.DecodeError" in process.stderr.read()
    for pipe in (process.stdout, process.stderr):
        pipe.close()


def test_a_killed_child_says_by_what_and_leaves_no_zombie(parent: WarmParent) -> None:
    child = Child(parent.fork("tunery.trainers.preflight"), b"")
    psutil.Process(child.pid).send_signal(signal.SIGKILL)
    assert child.epitaph().startswith("It was killed by SIGKILL")
    child.kill()
    assert not psutil.pid_exists(child.pid)
