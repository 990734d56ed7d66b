"""A step on preferences, against TRL's DPOTrainer (`python -m benchmarks preferences`).

Both train LoRA (r 8, all linear layers) on the same eight pairs a step with the same base model,
the reference's log-probabilities computed beforehand; measured is the median step.
"""

from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import rivals, rows
from benchmarks.bases import SHAPES, random_base
from benchmarks.comparison import Comparison, Trial, best_in_turn
from benchmarks.settings import DpoTask, Settings, Steps
from benchmarks.trainer import PRECISIONS, Trainer, request, working_folder
from tunery.core.hyperparameters import Precision
from tunery.core.progress import Metrics

ROUNDS = 3
N_STEPS, BATCH, WARM_UP = 6, 8, 2
RIVALS = (
    Settings(batch_size=BATCH),
    Settings(batch_size=BATCH, precision="bf16"),
)
"""Each run measures all of them, and the two best again."""


def comparisons(threads: int) -> list[Comparison]:
    """Seconds of a step, both models."""
    with working_folder() as folder:
        pairs = rows.write_preferences(folder / "pairs.jsonl", N_STEPS * BATCH, seed=3)
        return [_compared(size, folder, pairs, threads) for size in SHAPES]


def _compared(size: str, folder: Path, pairs: Path, threads: int) -> Comparison:
    base = random_base(folder / size, size)
    ours = {
        precision: Trial(partial(_our_step, precision, base, pairs, threads))
        for precision in PRECISIONS
    }
    theirs = {
        settings: Trial(partial(_rival_step, settings, base, pairs, threads)) for settings in RIVALS
    }
    (precision, our_best), (settings, best) = best_in_turn(
        ours, theirs, rounds=ROUNDS, more_is_better=False
    )
    return Comparison(
        what=f"DPO, a step on {BATCH} pairs, {size}",
        rival="TRL's DPOTrainer + PEFT",
        unit="s",
        ours=our_best.values,
        theirs=best.values,
        more_is_better=False,
        at_least=2.5,
        note=f"the reference is computed before, on both sides; ours in {precision}, "
        f"TRL's best: {settings}",
        trouble=our_best.trouble or best.trouble,
    )


def _our_step(precision: Precision, base: Path, pairs: Path, threads: int) -> float:
    with working_folder() as folder:
        job = request(
            base=base,
            rows=pairs,
            folder=folder / "job",
            threads=threads,
            batch_size=BATCH,
            beta=0.1,
            precision=precision,
        )
        with Trainer([job]) as trainer:
            ends = [heard.at for heard in trainer.heard() if isinstance(heard.progress, Metrics)]
    return _median_step(ends)


def _rival_step(settings: Settings, base: Path, pairs: Path, threads: int) -> float:
    with working_folder() as folder:
        task = DpoTask(
            model=str(base), rows=str(pairs), folder=str(folder), settings=settings, threads=threads
        )
        line = rivals.said(
            "benchmarks.rival_dpo", msgspec.json.encode(task).decode(), threads=threads
        )
    return _median_step(msgspec.json.decode(line, type=Steps).ends)


def _median_step(ends: list[float]) -> float:
    """Between the ends of steps, without the first few."""
    return median(later - earlier for earlier, later in pairwise(ends[WARM_UP - 1 :]))
