"""From `create` to the first finished step, against TRL (`python -m benchmarks first_step`).

Both train LoRA on the same rows with the same base model, tiny-chat, in batches of 8. Ours is timed
from the moment the create call leaves the client, on a server that is up and warm: it has forked
trainers before, and none is left that has the base in memory. The rival is timed from the moment
its process starts. Each until the loss of step 1 is known.
"""

import time
from pathlib import Path

import httpx

from benchmarks import rivals, servers
from benchmarks.bases import TINY_CHAT
from benchmarks.comparison import Comparison, Trial, in_turn
from benchmarks.settings import Settings, SftTask
from benchmarks.trainer import working_folder

ROUNDS = 5
BATCH = 8
RIVAL_SETTINGS = Settings(batch_size=BATCH)
ROWS = Path(__file__).parent.parent / "src/tunery/cli/demo_data/train.jsonl"
_POLL_S = 0.01


def comparisons(threads: int) -> list[Comparison]:
    """Seconds to the first step, in turn."""
    environment = {"TUNERY_THREADS": str(threads)}
    with (
        working_folder() as folder,
        servers.ours(folder, environment) as server,
        servers.client(server) as client,
    ):
        with ROWS.open("rb") as rows:
            uploaded = client.post(
                "/files", data={"purpose": "fine-tune"}, files={"file": rows}
            ).json()
        _our_first_step(client, uploaded["id"])  # warms up
        ours = Trial(lambda: _our_first_step(client, uploaded["id"]))
        theirs = Trial(lambda: _rival_first_step(folder, threads))
        in_turn([ours, theirs], ROUNDS)
    return [
        Comparison(
            what="create to the first finished step, warm",
            rival="a script with TRL's SFTTrainer",
            unit="s",
            ours=ours.values,
            theirs=theirs.values,
            more_is_better=False,
            at_least=8,
            note="tiny-chat and 200 chats; ours from the create call on a server that is up; "
            f"the script from the start of its process, {RIVAL_SETTINGS}",
            trouble=ours.trouble or theirs.trouble,
        )
    ]


def _our_first_step(client: httpx.Client, file: str) -> float:
    hyperparameters = {"batch_size": BATCH}
    asked = {
        "model": "tiny-chat",
        "training_file": file,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "x_tunery": {"r": 8, "lora_alpha": 16},
    }
    began = time.perf_counter()
    job = client.post("/fine_tuning/jobs", json=asked).raise_for_status().json()["id"]
    while client.get(f"/fine_tuning/jobs/{job}").json()["x_tunery"]["step"] < 1:
        time.sleep(_POLL_S)
    took = time.perf_counter() - began
    # A trainer whose job is dropped in the middle is not kept: the next one is forked anew.
    client.post(f"/fine_tuning/jobs/{job}/cancel")
    while client.get(f"/fine_tuning/jobs/{job}").json()["status"] != "cancelled":
        time.sleep(_POLL_S)
    return took


def _rival_first_step(folder: Path, threads: int) -> float:
    task = SftTask(
        model=str(TINY_CHAT),
        rows=str(ROWS),
        folder=str(folder / "rival"),
        settings=RIVAL_SETTINGS,
        threads=threads,
        steps=1,
    )
    began = time.time()
    return rivals.trained(task).ends[0] - began
