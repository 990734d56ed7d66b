"""An image LoRA on 12 pictures, against diffusers' recipe: `python -m benchmarks.image_lora`.

Both train rank 16 on the same pictures in batches of 6 with the same base, each in a process of its
own, in turn. Ours learns in each step as many states of what the base knows. So does the recipe
with prior preservation; without, it does half of the work, and the base forgets.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from benchmarks.comparison import Comparison, show
from tunery.bases.catalog import BUILT_IN
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.progress import Metrics, RunRequest, SubjectRequest
from tunery.core.trainer_protocol import Begin, said, to_line
from tunery.pictures.reading import ArchiveReader

ROUNDS = 3
STEPS = 60
BATCH_SIZE = 6
LOCATION = str(BUILT_IN / "tiny-image")
RIVALS = {"1": "diffusers' recipe, prior preservation", "0": "diffusers' recipe, without"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one process took."""

    first_step_s: float
    """From its start to the end of step 1."""
    step_s: float
    """The median step of the second half."""
    peak_mb: float
    """The most memory that it held at once."""


def comparisons() -> list[Comparison]:
    """Ours and both rivals, in turn."""
    with tempfile.TemporaryDirectory() as name:
        pictures = _pictures(Path(name))
        ours: list[Run] = []
        theirs: dict[str, list[Run]] = {prior: [] for prior in RIVALS}
        for number in range(ROUNDS):
            ours.append(_ours(pictures, Path(name) / f"{number}"))
            for prior, runs in theirs.items():
                runs.append(_theirs(pictures, prior))
    return [
        found for prior, rival in RIVALS.items() for found in _compared(rival, ours, theirs[prior])
    ]


def _compared(rival: str, ours: Sequence[Run], theirs: Sequence[Run]) -> list[Comparison]:
    figures: dict[tuple[str, str], Callable[[Run], float]] = {
        ("image LoRA: a step", "ms"): lambda run: run.step_s * 1000,
        ("image LoRA: peak memory", "MB"): lambda run: run.peak_mb,
        ("image LoRA: start to first step", "s"): lambda run: run.first_step_s,
    }
    return [
        Comparison(
            what=what,
            rival=rival,
            unit=unit,
            ours=[figure(run) for run in ours],
            theirs=[figure(run) for run in theirs],
            more_is_better=False,
        )
        for (what, unit), figure in figures.items()
    ]


def _pictures(folder: Path) -> Path:
    """The demo's pictures, as the server hands them to a trainer."""
    archive = (files("tunery.cli") / "demo_data" / "rings.zip").read_bytes()
    path = folder / "pictures.zip"
    path.write_bytes(ArchiveReader().read_set(archive).archive)
    return path


def _ours(pictures: Path, folder: Path) -> Run:
    folder.mkdir()
    request = RunRequest(
        job_id="ftjob-0123456789abcdef01234567",
        base_model="tiny-image",
        location=LOCATION,
        training_file=str(pictures),
        validation_file=None,
        blobs=str(folder),
        folder="run",
        hyperparameters=ResolvedHyperparameters(
            n_epochs=1, batch_size=BATCH_SIZE, learning_rate_multiplier=1.0, learning_rate=1e-4
        ),
        r=16,
        lora_alpha=16,
        lora_dropout=0.0,
        target_modules="all-linear",
        seed=7,
        overlong="error",
        subject=SubjectRequest(
            trigger_word="TOK",
            mode="general",
            iterations=STEPS,
            captioning=True,
            priority="quality",
            finetune_type="lora",
        ),
    )
    begin = to_line(Begin(request=request))
    return _run(["tunery.trainers"], begin, lambda line: isinstance(said(line).progress, Metrics))


def _theirs(pictures: Path, prior: str) -> Run:
    command = ["benchmarks.rival_image_lora", LOCATION, str(pictures), str(STEPS)]
    return _run([*command, str(BATCH_SIZE), prior], b"", lambda said: said.startswith(b"step"))


def _run(command: Sequence[str], line: bytes, is_step: Callable[[bytes], bool]) -> Run:
    """What `python -m COMMAND` takes, which is told `line` and says something at each step."""
    began = time.perf_counter()
    # Not as a context manager, which would wait for it before its use of memory can be asked.
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    ends = [time.perf_counter() for said in process.stdout if is_step(said)]
    _, status, used = os.wait4(process.pid, 0)
    process.stdin.close()
    process.stdout.close()
    if status != 0 or len(ends) != STEPS:
        raise RuntimeError(f"{command[0]} ended with {status} after {len(ends)} steps")
    late = ends[STEPS // 2 :]
    return Run(
        first_step_s=ends[0] - began,
        step_s=statistics.median(b - a for a, b in pairwise(late)),
        # In kB on Linux, and in bytes on macOS.
        peak_mb=used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    )


if __name__ == "__main__":
    show(comparisons())
