"""Tokens per second of LoRA, against TRL's SFTTrainer (`python -m benchmarks throughput`).

Both train rank 8 on all linear layers, on the same chats of mixed lengths, and learn what the
assistant says. Each is a process of its own; measured are the steps after the first few. All tokens
of a row count once, padding never.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks import rivals, rows
from benchmarks.bases import SHAPES, random_base
from benchmarks.comparison import Comparison, Trial, best_in_turn
from benchmarks.operations import RowSize
from benchmarks.settings import Settings, SftTask
from benchmarks.trainer import PRECISIONS, Trainer, request, working_folder
from tunery.core.hyperparameters import Precision
from tunery.core.progress import Metrics
from tunery.trainers.text_data import batches

ROUNDS = 3
SECONDS = 6.0
WARM_UP = 4
N_ROWS = 2000
N_EPOCHS = 20

BATCH = 16
"""Rows of a step of ours."""

BEST: dict[str, tuple[Settings, ...]] = {
    "3M": (
        Settings(batch_size=16, by_length=True, precision="autocast"),
        Settings(batch_size=32, by_length=True, precision="autocast"),
        Settings(batch_size=16, by_length=True, precision="bf16"),
    ),
    "30M": (
        Settings(batch_size=16, by_length=True, precision="autocast"),
        Settings(batch_size=8, by_length=True, precision="bf16"),
        Settings(batch_size=16, by_length=True, precision="bf16"),
    ),
}
"""The fastest of `benchmarks.search`. Each run measures all of them, and the two best again."""


def comparisons(threads: int) -> list[Comparison]:
    """Both models, in turn."""
    with working_folder() as folder:
        chats = rows.write_chats(folder / "chats.jsonl", N_ROWS, seed=1)
        sizes = rows.sizes(chats)
        return [_compared(size, folder, chats, sizes, threads) for size in SHAPES]


def _compared(
    size: str, folder: Path, chats: Path, sizes: Sequence[RowSize], threads: int
) -> Comparison:
    base = random_base(folder / size, size)
    ours = {
        precision: Trial(partial(_our_speed, precision, base, chats, sizes, threads))
        for precision in PRECISIONS
    }
    theirs = {
        settings: Trial(partial(rival_speed, settings, base, chats, threads))
        for settings in BEST[size]
    }
    (precision, our_best), (settings, best) = best_in_turn(ours, theirs, rounds=ROUNDS)
    others = [
        f"{other} gave {median(trial.values):,.0f}"
        for other, trial in theirs.items()
        if other != settings and trial.values
    ]
    return Comparison(
        what=f"LoRA r 8, {size} parameters",
        rival="TRL's SFTTrainer + PEFT",
        unit="tok/s",
        ours=our_best.values,
        theirs=best.values,
        at_least=2.5,
        note=f"ours {BATCH} rows a step, as they come, {precision}; TRL's best: {settings}"
        + (f" ({', '.join(others)})" if others else ""),
        trouble=our_best.trouble or best.trouble,
    )


def _our_speed(
    precision: Precision, base: Path, chats: Path, sizes: Sequence[RowSize], threads: int
) -> float:
    return our_pace(base, chats, sizes, threads, precision).tokens_per_second


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Some steps of ours: which rows they learnt from, and how long that took."""

    rows: Sequence[RowSize]
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """All tokens of the rows."""
        return sum(row.tokens for row in self.rows) / self.seconds


def our_pace(
    base: Path,
    chats: Path,
    sizes: Sequence[RowSize],
    threads: int,
    precision: Precision | None = None,
    *,
    batch_size: int = BATCH,
    seconds: float = SECONDS,
) -> Pace:
    """What one trainer process of ours does in so many seconds after `WARM_UP` steps."""
    with working_folder() as folder:
        job = request(
            base=base,
            rows=chats,
            folder=folder / "job",
            threads=threads,
            batch_size=batch_size,
            n_epochs=N_EPOCHS,
            precision=precision,
        )
        with Trainer([job]) as trainer, closing(_step_ends(trainer)) as ends:
            (began,) = islice(ends, WARM_UP - 1, WARM_UP)
            n_steps, ended = 0, began
            for n_steps, ended in enumerate(ends, start=1):  # noqa: B007
                if ended - began >= seconds:
                    break
    order = batches(len(sizes), batch_size=batch_size, n_epochs=N_EPOCHS, seed=job.seed)
    measured = islice(order, WARM_UP, WARM_UP + n_steps)
    learnt = [sizes[index] for batch in measured for index in batch]
    return Pace(rows=learnt, seconds=ended - began)


def _step_ends(trainer: Trainer) -> Generator[float, None, None]:
    """When each step was done."""
    return (heard.at for heard in trainer.heard() if isinstance(heard.progress, Metrics))


def rival_speed(
    settings: Settings, base: Path, chats: Path, threads: int, *, seconds: float = SECONDS
) -> float:
    """Tokens per second of TRL in so many seconds after `WARM_UP` steps."""
    with working_folder() as folder:
        task = SftTask(
            model=str(base),
            rows=str(chats),
            folder=str(folder),
            settings=settings,
            threads=threads,
            warm_up=WARM_UP,
            seconds=seconds,
        )
        steps = rivals.trained(task)
    measured = steps.tokens[WARM_UP : len(steps.ends)]
    return sum(measured) / (steps.ends[-1] - steps.ends[WARM_UP - 1])
