"""From `create` to the first training step, against a TRL script (`make bench`).

Both train LoRA on the same rows with the same base model. Ours is timed from the moment the create
call leaves the client, the rival from the moment its process starts; each until the loss of step 1
is known.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from tests.servers import Server

from benchmarks import servers
from benchmarks.comparison import Comparison, show
from tunery.bases.catalog import BUILT_IN

ROUNDS = 3
RIVAL = "a script with TRL's SFTTrainer"
ROWS = Path(__file__).parent.parent / "src/tunery/cli/demo_data/train.jsonl"


def comparisons() -> list[Comparison]:
    """Seconds to the first step, in turn."""
    with tempfile.TemporaryDirectory() as folder, servers.ours(Path(folder)) as server:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(_our_first_step(server))
            theirs.append(_rival_first_step(Path(folder)))
    found = Comparison(
        what="create to first training step",
        rival=RIVAL,
        unit="s",
        ours=ours,
        theirs=theirs,
        more_is_better=False,
    )
    return [found]


def _our_first_step(server: Server) -> float:
    with httpx.Client(
        base_url=f"{server.url}/v1", headers={"authorization": f"Bearer {server.key}"}
    ) as client:
        with ROWS.open("rb") as rows:
            file = client.post("/files", data={"purpose": "fine-tune"}, files={"file": rows}).json()
        began = time.perf_counter()
        asked = {"model": "tiny-chat", "training_file": file["id"]}
        job = client.post("/fine_tuning/jobs", json=asked).json()["id"]
        while client.get(f"/fine_tuning/jobs/{job}").json()["x_tunery"]["step"] < 1:
            time.sleep(0.01)
        took = time.perf_counter() - began
        client.post(f"/fine_tuning/jobs/{job}/cancel")
    return took


def _rival_first_step(folder: Path) -> float:
    began = time.time()
    asked = [sys.executable, "-m", "benchmarks.rival_sft", str(BUILT_IN / "tiny-chat"), str(ROWS)]
    ended = subprocess.run([*asked, str(folder)], capture_output=True, check=True)
    (noted,) = (line for line in ended.stdout.splitlines() if b"first_step_at" in line)
    first_step: float = json.loads(noted)["first_step_at"]
    return first_step - began


if __name__ == "__main__":
    show(comparisons())
