"""What is fastest for TRL on this machine: `make bench-search`.

Tries every setting of `CANDIDATES` for a few seconds on each model, and then the best of them again
and again, in turn. The fastest of a model are pinned in `benchmarks.throughput.BEST`.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks import rows
from benchmarks.bases import SHAPES, random_base
from benchmarks.comparison import Trial, in_turn
from benchmarks.operations import RowSize
from benchmarks.report import cores
from benchmarks.settings import Precision, Settings
from benchmarks.throughput import BEST, N_ROWS, our_pace, rival_speed
from benchmarks.trainer import working_folder

SECONDS = 5.0
FINALISTS, FINAL_ROUNDS = 5, 3
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "autocast")
SHAPES_OF_BATCHES = (
    Settings(batch_size=4),
    Settings(batch_size=16),
    Settings(batch_size=4, by_length=True),
    Settings(batch_size=8, by_length=True),
    Settings(batch_size=16, by_length=True),
    Settings(batch_size=32, by_length=True),
    Settings(batch_size=1, block=512),
    Settings(batch_size=1, block=1024),
    Settings(batch_size=2, block=512),
)
CANDIDATES = [
    *(
        Settings(
            batch_size=shape.batch_size,
            block=shape.block,
            by_length=shape.by_length,
            precision=precision,
        )
        for shape, precision in product(SHAPES_OF_BATCHES, PRECISIONS)
    ),
    Settings(batch_size=8, by_length=True, compiled=True),
    Settings(batch_size=1, block=512, precision="bf16", compiled=True),
]
OUR_BATCHES = (8, 16, 32)


def search(size: str, folder: Path, threads: int) -> None:
    """Print what each candidate gives on one model: all of them once, the best several times."""
    base = random_base(folder / size, size)
    chats = rows.write_chats(folder / "chats.jsonl", N_ROWS, seed=1)
    sizes = rows.sizes(chats)
    print(f"{size}, {threads} threads, tokens per second:", flush=True)
    for batch in OUR_BATCHES:
        _tell(f"ours, {batch} rows", _tried(_our_speed, base, chats, sizes, threads, batch))
    trials: dict[Settings, Trial] = {}
    for settings in CANDIDATES:
        trials[settings] = _tried(_rival_speed, settings, base, chats, threads)
        _tell(str(settings), trials[settings])
    best = dict(sorted(trials.items(), key=_speed, reverse=True)[:FINALISTS])
    in_turn(list(best.values()), FINAL_ROUNDS)
    print("the best of them, median of several:")
    for settings, trial in sorted(best.items(), key=_speed, reverse=True):
        _tell(str(settings) + (", pinned" if settings in BEST[size] else ""), trial)


def _tried(measure: Callable[..., float], *given: object) -> Trial:
    """A trial with its first measurement."""
    trial = Trial(partial(measure, *given))
    trial.again()
    return trial


def _speed(tried: tuple[Settings, Trial]) -> float:
    """The median of what it gave, 0 where it failed."""
    return median(tried[1].values or [0.0])


def _tell(name: str, trial: Trial) -> None:
    found = f"{median(trial.values):8,.0f}  {name}" if trial.values else f"{name}: {trial.trouble}"
    print(f"  {found}", flush=True)


def _our_speed(
    base: Path, chats: Path, sizes: Sequence[RowSize], threads: int, batch_size: int
) -> float:
    return our_pace(
        base, chats, sizes, threads, batch_size=batch_size, seconds=SECONDS
    ).tokens_per_second


def _rival_speed(settings: Settings, base: Path, chats: Path, threads: int) -> float:
    return rival_speed(settings, base, chats, threads, seconds=SECONDS)


def main() -> None:
    """Search on the models that are named."""
    parser = argparse.ArgumentParser(description="What is fastest for TRL on this machine.")
    parser.add_argument("models", nargs="*", choices=[*SHAPES, []], help="of which size; all")
    parser.add_argument("--threads", type=int, default=cores())
    asked = parser.parse_args()
    with working_folder() as folder:
        for size in asked.models or SHAPES:
            search(size, folder, asked.threads)


if __name__ == "__main__":
    main()
