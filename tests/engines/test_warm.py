"""Trainers forked from a parent that has imported PyTorch."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tunery.engines import warm
from tunery.engines.child import Child
from tunery.engines.warm import ForkedProcess, WarmParent


@pytest.fixture(scope="module")
def parent() -> Iterator[WarmParent]:
    started = WarmParent()
    assert started.wait_until_ready()
    yield started
    started.close()


@pytest.mark.e2e
def test_a_forked_child_ends_when_its_standard_input_closes(parent: WarmParent) -> None:
    process = parent.fork("tunery.trainers")
    process.stdin.close()
    # Either of its threads may see it first; the one that waits for a request ends with 1.
    assert process.wait() in (0, 1)
    for pipe in (process.stdout, process.stderr):
        pipe.close()


@pytest.mark.e2e
def test_a_killed_child_says_by_what_and_leaves_no_zombie(parent: WarmParent) -> None:
    child = Child(parent.fork("tunery.trainers.preflight"), b"")
    psutil.Process(child.pid).send_signal(signal.SIGKILL)
    assert child.epitaph().startswith("It was killed by SIGKILL")
    child.kill()
    assert not psutil.pid_exists(child.pid)


def test_a_parent_that_is_stopped_before_it_is_ready_is_no_surprise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    WarmParent().close()
    assert caplog.messages == []


@pytest.mark.parametrize("last_words", [b"", None], ids=["no child", "no answer"])
def test_a_parent_that_does_not_fork_is_an_error_that_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_words: bytes | None
) -> None:
    monkeypatch.setattr(warm, "LONGEST_WAIT_S", 0.2)
    address = str(tmp_path / "trainers")
    before = psutil.Process().num_fds()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        def take_and_fail() -> None:
            connection, _ = listener.accept()
            with connection:
                _, ends, _, _ = socket.recv_fds(connection, 256, 3)
                for end in ends:
                    os.close(end)
                if last_words is None:
                    done.wait(10)

        done = threading.Event()
        parent = threading.Thread(target=take_and_fail)
        parent.start()
        with pytest.raises(OSError, match=r"did not fork|timed out"):
            ForkedProcess("tunery.trainers", address)
        done.set()
        parent.join()

    assert psutil.Process().num_fds() == before
