"""Which share of what the machine can multiply a training step uses: `python -m benchmarks limit`.

The limit is the fastest `torch.matmul` of any shape and dtype that was found, on the same threads;
what a step multiplies is counted in `benchmarks.operations`.
"""

import json
from functools import partial
from pathlib import Path
from statistics import median

from transformers import LlamaConfig

from benchmarks import rivals, rows
from benchmarks.bases import random_base
from benchmarks.comparison import Comparison, Trial, best_of, in_turn
from benchmarks.operations import operations
from benchmarks.throughput import N_ROWS, our_pace
from benchmarks.trainer import PRECISIONS, working_folder
from tunery.core.hyperparameters import Precision

SIZE = "30M"
ROUNDS = 3


def comparisons(threads: int) -> list[Comparison]:
    """A few steps and a few products, in turn."""
    limits: dict[str, list[float]] = {"fp32": [], "bf16": []}

    def fastest_product() -> float:
        found: dict[str, float] = json.loads(
            rivals.said("benchmarks.matmul", str(threads), threads=threads)
        )
        for dtype, speed in found.items():
            limits[dtype].append(speed)
        return max(found.values())

    with working_folder() as folder:
        base = random_base(folder / SIZE, SIZE)
        ours = {
            precision: Trial(
                partial(_our_operations, base, folder / "chats.jsonl", threads, precision)
            )
            for precision in PRECISIONS
        }
        theirs = Trial(fastest_product)
        in_turn([*ours.values(), theirs], ROUNDS)
    precision, best = best_of(ours)
    return [
        Comparison(
            what=f"share of the machine's matrix products, {SIZE}",
            rival="torch.matmul alone",
            unit="GFLOP/s",
            ours=best.values,
            theirs=theirs.values,
            at_least=0.15,
            is_share=True,
            note=_note(precision, best.values, limits),
            trouble=best.trouble or theirs.trouble,
        )
    ]


def _our_operations(base: Path, chats: Path, threads: int, precision: Precision) -> float:
    """Counted operations per second of a training job, in billions."""
    sizes = rows.sizes(rows.write_chats(chats, N_ROWS, seed=1))
    pace = our_pace(base, chats, sizes, threads, precision)
    config = LlamaConfig.from_pretrained(base)
    return operations(config, pace.rows, r=8).total / pace.seconds / 1e9


def _note(precision: Precision, ours: list[float], limits: dict[str, list[float]]) -> str:
    counted = (
        "counted are the products of a step, forward and backward: linears, low-rank parts, "
        "attention, and the output projection of taught rows; no padding"
    )
    if not (ours and limits["fp32"]):
        return counted
    found = "; ".join(
        f"{dtype} {median(speeds):,.0f} GFLOP/s, and ours {median(ours) / median(speeds):.0%} of it"
        for dtype, speeds in limits.items()
    )
    return f"ours in {precision}; {counted}. The limits: {found}"
