"""A step on preferences, against a TRL script (`make bench`).

Both train LoRA (r 8, all linear layers, fp32) on the same eight pairs a step with the same base
model: a question, the SQL that answers it, and the SQL of another question.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks.comparison import Comparison, show
from benchmarks.first_step import ROWS
from tunery.bases.catalog import BUILT_IN
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.progress import Note, RunRequest
from tunery.trainers.preparation import prepare
from tunery.trainers.text_methods import text_method

ROUNDS = 3
N_STEPS, BATCH, WARM_UP = 12, 8, 2
RIVAL = "a script with TRL's DPOTrainer"
MODEL = str(BUILT_IN / "tiny-chat")


def comparisons() -> list[Comparison]:
    """Seconds of a step, in turn."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        rows = _pairs(Path(folder) / "pairs.jsonl")
        for round_ in range(ROUNDS):
            ours.append(_our_step(rows, f"runs/round-{round_}/1"))
            theirs.append(_rival_step(rows))
    found = Comparison(
        what="a step on eight preferences",
        rival=RIVAL,
        unit="s",
        ours=ours,
        theirs=theirs,
        more_is_better=False,
    )
    return [found]


def _pairs(path: Path) -> Path:
    """Each row's own answer, and the next row's."""
    talks = [json.loads(line)["messages"] for line in ROWS.read_text().splitlines()]
    talks = talks[: N_STEPS * BATCH + 1]
    rows = [
        {
            "input": {"messages": talk[:-1]},
            "preferred_output": talk[-1:],
            "non_preferred_output": other[-1:],
        }
        for talk, other in pairwise(talks)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _our_step(rows: Path, folder: str) -> float:
    request = RunRequest(
        job_id="ftjob-0",
        base_model="tiny-chat",
        location=MODEL,
        training_file=str(rows),
        validation_file=None,
        blobs=str(rows.parent),
        folder=folder,
        hyperparameters=ResolvedHyperparameters(
            n_epochs=1, batch_size=BATCH, learning_rate_multiplier=1, learning_rate=1e-4, beta=0.1
        ),
        r=8,
        lora_alpha=16,
        lora_dropout=0,
        target_modules="all-linear",
        seed=0,
        overlong="error",
    )
    training, _ = prepare(request)
    method = text_method(training)
    for _ in method.begin():
        continue
    seconds = [step.seconds for step in method.learn() if not isinstance(step, Note)]
    return statistics.median(seconds[WARM_UP:])


def _rival_step(rows: Path) -> float:
    asked = [sys.executable, "-m", "benchmarks.rival_dpo", MODEL, str(rows), str(rows.parent)]
    ended = subprocess.run(asked, capture_output=True, check=True)
    (noted,) = (line for line in ended.stdout.splitlines() if b"step_seconds" in line)
    seconds: list[float] = json.loads(noted)["step_seconds"]
    return statistics.median(seconds[WARM_UP:])


if __name__ == "__main__":
    show(comparisons())
