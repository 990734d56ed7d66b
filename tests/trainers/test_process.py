"""The trainer as a process: lines in, lines out, gone when nobody listens."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.trainers.conftest import Changed, attempt
from tunery.core.preflight import Preflight
from tunery.core.progress import (
    Alive,
    AnyProgress,
    CheckpointSaved,
    Failed,
    Finished,
    Metrics,
    Paused,
    PreflightRequest,
    RunRequest,
)
from tunery.core.trainer_protocol import AnyCommand, Begin, Leave, Pause, said, to_line

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


def start(started: list[Process], module: str, line: bytes) -> Process:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    started.append(process)
    write(process, line)
    return process


def trainer(started: list[Process], request: RunRequest) -> Process:
    return start(started, "tunery.trainers", to_line(Begin(request=request)))


def say(process: Process, command: AnyCommand) -> None:
    write(process, to_line(command))


def write(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def heard(process: Process) -> Iterator[tuple[str, AnyProgress]]:
    """What it says, but for being alive: of which attempt, and what."""
    assert process.stdout is not None
    for line in process.stdout:
        report = said(line)
        if not isinstance(report.progress, Alive):
            yield report.folder, report.progress


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
    process = trainer(started, request)
    values: list[AnyProgress] = []
    for folder, value in heard(process):
        assert folder == request.folder
        values.append(value)
        if len(values) == 3:
            say(process, Pause(folder=folder))
        if isinstance(value, Paused):
            break
    saved, _ = values[-2:]
    assert isinstance(saved, CheckpointSaved)
    assert 3 <= saved.step < 1000
    steps = [value.step for value in values if isinstance(value, Metrics)]
    assert steps == list(range(1, saved.step + 1))

    again = msgspec.structs.replace(
        request, folder=request.folder[:-1] + "2", resume_from=saved.folder
    )
    say(process, Begin(request=again))
    first = next(value for _, value in heard(process) if isinstance(value, Metrics))
    assert first.step == saved.step + 1
    assert process.stdin is not None
    process.stdin.close()
    began = time.monotonic()
    process.wait(timeout=10)
    assert time.monotonic() - began < 2


def test_attempts_come_and_go_while_others_learn(started: list[Process], changed: Changed) -> None:
    lasting = long(changed)
    process = trainer(started, lasting)
    reports = heard(process)
    assert next(reports)[0] == lasting.folder
    short, dropped, wrong = (changed(folder=f"runs/{name}/1") for name in ("a", "b", "c"))
    say(process, Begin(request=short))
    say(process, Begin(request=msgspec.structs.replace(lasting, folder=dropped.folder)))
    say(process, Begin(request=msgspec.structs.replace(wrong, target_modules=("c_attn",))))
    of: dict[str, list[AnyProgress]] = {}
    for folder, value in reports:
        of.setdefault(folder, []).append(value)
        if folder == dropped.folder and len(of[folder]) == 3:
            say(process, Leave(folder=folder))
        if {short.folder, wrong.folder, dropped.folder} <= of.keys() and isinstance(
            of[short.folder][-1], Finished
        ):
            break
    assert [v.step for v in of[short.folder] if isinstance(v, Metrics)] == list(range(1, 10))
    [failed] = of[wrong.folder]
    assert isinstance(failed, Failed)
    assert failed.param == "target_modules"
    after = [folder for _, (folder, _) in zip(range(50), reports, strict=False)]
    assert after.count(lasting.folder) >= 40


@pytest.mark.parametrize(
    ("form", "differs"), [({"quantization": "nf4"}, 1e-3), ({"precision": "bf16"}, 1e-5)]
)
def test_the_base_is_in_the_form_that_the_first_attempt_asks_for(
    started: list[Process], changed: Changed, form: dict[str, str], differs: float
) -> None:
    request = changed(threads=1, lora_dropout=0.0, **form)
    plain, asked = (
        next(
            value.train_loss
            for value in attempt(changed(lora_dropout=0.0, folder="runs/here/1", **form))
            if isinstance(value, Metrics)
        )
        for form in ({}, form)
    )
    process = trainer(started, request)
    first = next(value for _, value in heard(process) if isinstance(value, Metrics))
    assert first.train_loss == pytest.approx(asked, abs=1e-6)
    assert plain is not None
    assert first.train_loss != pytest.approx(plain, abs=differs)


def test_every_attempt_on_a_model_that_is_not_there_fails(
    started: list[Process], changed: Changed, tmp_path: Path
) -> None:
    request = changed(location=str(tmp_path / "none"))
    process = trainer(started, request)
    [(folder, failed)] = heard(process)
    assert folder == request.folder
    assert isinstance(failed, Failed)
    assert "neither a folder nor" in failed.message
    assert process.wait(timeout=10) == 0


def test_the_report_on_a_file_is_one_line(
    started: list[Process], model_folder: Path, blobs: Path
) -> None:
    request = PreflightRequest(
        location=str(model_folder), training_file=str(blobs / "files" / "train"), threads=1
    )
    line = msgspec.json.encode(request) + b"\n"
    process = start(started, "tunery.trainers.preflight", line)
    assert process.stdout is not None
    [line] = process.stdout
    found = msgspec.json.decode(line, type=Preflight)
    assert process.wait(timeout=10) == 0
    assert found.n_examples == 22
    assert found.seconds_per_token is not None


def test_the_gpu_that_a_process_is_given_is_the_only_one_it_sees(changed: Changed) -> None:
    script = (
        "import os, tunery.trainers.__main__ as trainer\n"
        "seen = lambda *_: os.write(2, os.environ['CUDA_VISIBLE_DEVICES'].encode())\n"
        "trainer._learn_text = seen\n"
        "trainer.main()"
    )
    line = to_line(Begin(request=changed(), device="GPU-8932f937"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stderr.read() == b"GPU-8932f937"
    assert process.returncode == 0
