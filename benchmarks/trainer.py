"""Our trainer process, as the server's engine runs it, and when its jobs did what."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tunery.core.hyperparameters import Precision, ResolvedHyperparameters
from tunery.core.progress import AnyProgress, Died, Failed, Finished, RunRequest
from tunery.core.trainer_protocol import Begin, said, to_line

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
"""What an operator can choose for a CPU; as of the rivals, both are measured."""


def request(
    *,
    base: Path,
    rows: Path,
    folder: Path,
    threads: int,
    batch_size: int = 8,
    n_epochs: int = 1,
    beta: float | None = None,
    precision: Precision | None = None,
) -> RunRequest:
    """A job with LoRA r 8 on all linear layers that writes into `folder`; the seed is 0."""
    return RunRequest(
        job_id=f"ftjob-{folder.name}",
        base_model=base.name,
        location=str(base),
        training_file=str(rows),
        validation_file=None,
        blobs=str(folder.parent),
        folder=folder.name,
        hyperparameters=ResolvedHyperparameters(
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate_multiplier=1,
            learning_rate=1e-4,
            beta=beta,
        ),
        r=8,
        lora_alpha=16,
        lora_dropout=0,
        target_modules="all-linear",
        seed=0,
        overlong="error",
        threads=threads,
        precision=precision,
    )


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Something that a trainer reported, and when, as `time.perf_counter()` has it."""

    at: float
    folder: str
    progress: AnyProgress


class Trainer:
    """`python -m tunery.trainers`, started from cold, with jobs in it."""

    def __init__(self, requests: Sequence[RunRequest]) -> None:
        """Start it, and hand it its jobs."""
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed at the end)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tunery.trainers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdin is not None
        for one in requests:
            self._process.stdin.write(to_line(Begin(request=one)))
        self._process.stdin.flush()
        self._n_jobs = len(requests)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def __enter__(self) -> "Trainer":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._log):
            if file is not None:
                file.close()

    def heard(self) -> Iterator[Heard]:
        """What it reports, until all of its jobs have finished.

        Raises:
            RuntimeError: a job has failed, or the process has ended.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            report = said(line)
            yield Heard(at=time.perf_counter(), folder=report.folder, progress=report.progress)
            match report.progress:
                case Failed(message=message) | Died(message=message):
                    raise RuntimeError(f"{report.folder}: {message}")
                case Finished():
                    self._n_jobs -= 1
                case _:
                    continue
            if not self._n_jobs:
                return
        self._log.seek(0)
        raise RuntimeError(f"the trainer ended: {self._log.read()[-2000:]}")


@contextmanager
def working_folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tunery-bench-") as name:
        yield Path(name)
