"""Write every example set to its place: `python -m scripts.examples`."""

from __future__ import annotations

import random
from pathlib import Path

from scripts.examples import commands, payments, questions, tickets
from scripts.examples.rows import distinct_pairs, write_splits

_SEED = 1
_ROOT = Path(__file__).resolve().parents[2]
_DEMO = _ROOT / "src" / "tunery" / "cli" / "demo_data"
_TASKS = _ROOT / "tests" / "e2e" / "tasks"


def main() -> None:
    """Make the demo set and the three test tasks."""
    sizes = {"train": 200, "validation": 40, "held_out": 120}
    pairs = distinct_pairs(questions.draws(random.Random(_SEED)), sum(sizes.values()))
    write_splits(_DEMO, questions.SYSTEM, pairs, sizes)

    sizes = {"train": 200, "dev": 60, "held_out": 100}
    for name, task in (
        ("classification", tickets),
        ("extraction", payments),
        ("rewriting", commands),
    ):
        pairs = distinct_pairs(task.draws(random.Random(_SEED)), sum(sizes.values()))
        write_splits(_TASKS / name, task.SYSTEM, pairs, sizes)


if __name__ == "__main__":
    main()
