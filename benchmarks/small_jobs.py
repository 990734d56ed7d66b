"""Eight small jobs on one base model (`python -m benchmarks small_jobs`).

Each learns 20 steps of 2 chats, some 260 tokens. Against TRL, which trains one after another, ours
go through a server that is up: from the first create call until the last job has succeeded,
adapters and checkpoints on disk. Against processes of ours, one trainer process with all jobs in
it, started from cold as the others are.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
from tests.servers import Server

from benchmarks import rivals, rows, servers
from benchmarks.bases import random_base
from benchmarks.comparison import Comparison, Trial, in_turn
from benchmarks.settings import Settings, SftTask
from benchmarks.trainer import Trainer, request, working_folder
from tunery.core.progress import RunRequest

ROUNDS = 3
N_JOBS, N_STEPS, BATCH = 8, 20, 2
SIZE = "3M"
RIVAL_SETTINGS = Settings(batch_size=BATCH)
_SAMPLE_S = 0.1
_POLL_S = 0.02


def comparisons(threads: int) -> list[Comparison]:
    """Time against both rivals, and memory against the second."""
    with working_folder() as folder:
        base = random_base(folder / SIZE, SIZE)
        files = [
            rows.write_chats(folder / f"{number}.jsonl", N_STEPS * BATCH, seed=number)
            for number in range(N_JOBS)
        ]
        return [
            _against_trl(folder, base, files, threads),
            *_against_processes(base, files, threads),
        ]


def _against_trl(folder: Path, base: Path, files: Sequence[Path], threads: int) -> Comparison:
    with _server(folder, base, threads) as server:
        uploaded = [_upload(server, file) for file in files]
        _served(server, uploaded)  # the first load of a base model from the disk is nobody's merit
        ours = Trial(lambda: _served(server, uploaded))
        theirs = Trial(lambda: _by_trl(base, files, threads))
        in_turn([ours, theirs], ROUNDS)
    return Comparison(
        what=f"{N_JOBS} small jobs, {SIZE}, to the end of the last",
        rival="TRL's SFTTrainer, one after another",
        unit="s",
        ours=ours.values,
        theirs=theirs.values,
        more_is_better=False,
        at_least=6,
        note=f"each {N_STEPS} steps of {BATCH} chats; ours from the first create call on a server "
        "that is up and has trained on this base model before (it keeps a trainer for a minute); "
        f"TRL: {RIVAL_SETTINGS}, and nothing saved",
        trouble=ours.trouble or theirs.trouble,
    )


def _against_processes(base: Path, files: Sequence[Path], threads: int) -> list[Comparison]:
    def together() -> float:
        return _in_processes(base, [files], threads)

    def apart() -> float:
        return _in_processes(base, [[file] for file in files], 1)

    seconds = [Trial(together), Trial(apart)]
    in_turn(seconds, ROUNDS)
    # A look at a process's pages stops it for a moment: so memory is measured in rounds of its own.
    megabytes = [Trial(lambda: _peak_mb(together)), Trial(lambda: _peak_mb(apart))]
    in_turn(megabytes, 1)
    note = (
        "one trainer process with all jobs, or one process for each with one thread each, all at "
        "once; all from cold. Memory is the peak of the sum of proportional set sizes"
    )
    found: list[tuple[str, str, float, list[Trial]]] = [
        (f"{N_JOBS} small jobs, {SIZE}, in one process", "s", 1.8, seconds),
        (f"{N_JOBS} small jobs, {SIZE}, peak memory", "MB", 3.0, megabytes),
    ]
    return [
        Comparison(
            what=what,
            rival=f"{N_JOBS} processes of ours",
            unit=unit,
            ours=ours.values,
            theirs=theirs.values,
            more_is_better=False,
            at_least=at_least,
            note=note,
            trouble=ours.trouble or theirs.trouble,
        )
        for what, unit, at_least, (ours, theirs) in found
    ]


@contextmanager
def _server(folder: Path, base: Path, threads: int) -> Iterator[Server]:
    environment = {
        "TUNERY_MODELS": f'{{"{SIZE}": "{base}"}}',
        "TUNERY_CONCURRENT_JOBS": str(N_JOBS),
        "TUNERY_THREADS": str(threads),
    }
    with servers.ours(folder, environment) as server:
        yield server


def _upload(server: Server, file: Path) -> str:
    with servers.client(server) as client, file.open("rb") as opened:
        answer = client.post("/files", data={"purpose": "fine-tune"}, files={"file": opened})
    uploaded: str = answer.raise_for_status().json()["id"]
    return uploaded


def _served(server: Server, files: Sequence[str]) -> float:
    """Seconds from the first create call until every job has succeeded."""
    with servers.client(server) as client:
        began = time.perf_counter()
        jobs = [_created(client, file) for file in files]
        while jobs:
            status = client.get(f"/fine_tuning/jobs/{jobs[-1]}").json()["status"]
            if status in ("failed", "cancelled"):
                raise RuntimeError(f"a job {status}")
            if status == "succeeded":
                jobs.pop()
            else:
                time.sleep(_POLL_S)
        return time.perf_counter() - began


def _created(client: httpx.Client, file: str) -> str:
    hyperparameters = {"n_epochs": 1, "batch_size": BATCH}
    asked = {
        "model": SIZE,
        "training_file": file,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "x_tunery": {"r": 8, "lora_alpha": 16},
    }
    answer = client.post("/fine_tuning/jobs", json=asked)
    job: str = answer.raise_for_status().json()["id"]
    return job


def _by_trl(base: Path, files: Sequence[Path], threads: int) -> float:
    began = time.perf_counter()
    for file in files:
        with working_folder() as folder:
            rivals.trained(
                SftTask(
                    model=str(base),
                    rows=str(file),
                    folder=str(folder),
                    settings=RIVAL_SETTINGS,
                    threads=threads,
                    steps=N_STEPS,
                )
            )
    return time.perf_counter() - began


def _in_processes(base: Path, shares: Sequence[Sequence[Path]], threads: int) -> float:
    """Seconds of as many trainer processes as there are shares of the jobs, all at once."""
    with working_folder() as folder, ExitStack() as started:
        began = time.perf_counter()
        trainers = [
            started.enter_context(Trainer([_job(base, file, folder, threads) for file in share]))
            for share in shares
        ]
        # What a process says waits in its pipe, which holds more than 20 steps.
        for trainer in trainers:
            for _ in trainer.heard():
                continue
        return time.perf_counter() - began


def _job(base: Path, file: Path, folder: Path, threads: int) -> RunRequest:
    return request(
        base=base, rows=file, folder=folder / file.stem, threads=threads, batch_size=BATCH
    )


def _peak_mb(work: Callable[[], float]) -> float:
    """The most memory that the processes which `work` starts have at once, in MB."""
    done, peak = threading.Event(), 0.0

    def watch() -> None:
        nonlocal peak
        while not done.wait(_SAMPLE_S):
            peak = max(peak, sum(_pss(process) for process in psutil.Process().children()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return peak / 1e6


def _pss(process: psutil.Process) -> int:
    """Bytes of `process`; what it shares with others is counted in equal parts."""
    try:
        size: int = process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0
    return size
