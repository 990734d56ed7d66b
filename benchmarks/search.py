"""What is fastest for TRL on this machine: `make bench-search`.

Tries every setting of `CANDIDATES` for a few seconds on each model and prints them, the fastest
first, ours among them. The two fastest of a model are pinned in `benchmarks.throughput.BEST`, those
of preferences in `benchmarks.preferences.PRECISIONS`; the last line of each table says whether they
still are the fastest.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks import rows
from benchmarks.bases import SHAPES, random_base
from benchmarks.comparison import Trial
from benchmarks.operations import RowSize
from benchmarks.report import cores
from benchmarks.settings import Precision, Settings
from benchmarks.throughput import BEST, N_ROWS, our_pace, rival_speed
from benchmarks.trainer import working_folder

SECONDS = 5.0
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "autocast")
SHAPES_OF_BATCHES = (
    Settings(batch_size=4),
    Settings(batch_size=16),
    Settings(batch_size=4, by_length=True),
    Settings(batch_size=8, by_length=True),
    Settings(batch_size=16, by_length=True),
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
    """Print what each candidate gives on one model."""
    base = random_base(folder / size, size)
    chats = rows.write_chats(folder / "chats.jsonl", N_ROWS, seed=1)
    sizes = rows.sizes(chats)
    trials: dict[Settings | str, Trial] = {
        f"ours, {batch} rows": Trial(partial(_our_speed, base, chats, sizes, threads, batch))
        for batch in OUR_BATCHES
    }
    for settings in CANDIDATES:
        trials[settings] = Trial(
            partial(rival_speed, settings, base, chats, threads, seconds=SECONDS)
        )
    for number, (name, trial) in enumerate(trials.items(), start=1):
        trial.again()
        print(f"{number} of {len(trials)}: {name}", file=sys.stderr)
    fastest = sorted(trials, key=lambda name: trials[name].values or [0.0], reverse=True)
    print(f"{size}, {threads} threads, tokens per second:")
    for name in fastest:
        trial = trials[name]
        print(
            f"  {trial.values[0]:8,.0f}  {name}" if trial.values else f"  {name}: {trial.trouble}"
        )
    found = [name for name in fastest if isinstance(name, Settings)][: len(BEST[size])]
    print("the pinned ones" if set(found) == set(BEST[size]) else "not the pinned ones")


def _our_speed(
    base: Path, chats: Path, sizes: Sequence[RowSize], threads: int, batch_size: int
) -> float:
    return our_pace(base, chats, sizes, threads, batch_size, seconds=SECONDS).tokens_per_second


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
