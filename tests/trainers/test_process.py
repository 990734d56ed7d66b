"""The trainer as a process: lines in, lines out, gone when nobody listens."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import pytest

from tests.trainers.conftest import Changed
from tunery.core.preflight import Preflight
from tunery.core.progress import (
    PAUSE_LINE,
    AnyProgress,
    CheckpointSaved,
    Metrics,
    Paused,
    PreflightRequest,
    RunRequest,
    from_line,
)

Process = subprocess.Popen[bytes]


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes to be gone at the end of the test."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        process.wait()


def start(started: list[Process], module: str, request: msgspec.Struct) -> Process:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    started.append(process)
    say(process, msgspec.json.encode(request) + b"\n")
    return process


def say(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def out(process: Process) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def long(changed: Changed) -> RunRequest:
    """A job that would take minutes."""
    hyperparameters = msgspec.json.decode(
        json.dumps(
            {
                "n_epochs": 50,
                "batch_size": 1,
                "learning_rate_multiplier": 1.0,
                "learning_rate": 1e-3,
            }
        ),
        type=type(changed().hyperparameters),
    )
    return changed(hyperparameters=hyperparameters, threads=1)


def test_it_speaks_in_lines_pauses_when_told_and_ends_when_nobody_listens(
    started: list[Process], changed: Changed
) -> None:
    request = long(changed)
    process = start(started, "tunery.trainers", request)
    values: list[AnyProgress] = []
    for line in out(process):
        values.append(from_line(line))
        if len(values) == 3:
            say(process, PAUSE_LINE)
    assert process.wait(timeout=10) == 0
    saved, paused = values[-2:]
    assert isinstance(paused, Paused)
    assert isinstance(saved, CheckpointSaved)
    assert 3 <= saved.step < 1000
    steps = [value.step for value in values if isinstance(value, Metrics)]
    assert steps == list(range(1, saved.step + 1))

    again = msgspec.structs.replace(
        request, folder=request.folder[:-1] + "2", resume_from=saved.folder
    )
    process = start(started, "tunery.trainers", again)
    lines = (from_line(line) for line in out(process))
    first = next(value for value in lines if isinstance(value, Metrics))
    assert first.step == saved.step + 1
    assert process.stdin is not None
    process.stdin.close()
    began = time.monotonic()
    process.wait(timeout=10)
    assert time.monotonic() - began < 2


def test_the_report_on_a_file_is_one_line(
    started: list[Process], model_folder: Path, blobs: Path
) -> None:
    request = PreflightRequest(
        location=str(model_folder), training_file=str(blobs / "files" / "train"), threads=1
    )
    process = start(started, "tunery.trainers.preflight", request)
    [line] = out(process)
    found = msgspec.json.decode(line, type=Preflight)
    assert process.wait(timeout=10) == 0
    assert found.n_examples == 22
    assert found.seconds_per_token is not None
