"""Making and following jobs as a client does."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob
from openai.types.fine_tuning.job_create_params import Hyperparameters

from tests.servers import Server

DEMO = Path(str(files("tunery.cli"))) / "demo_data"
TASKS = Path(__file__).parent / "tasks"


def client(server: Server) -> OpenAI:
    """The stock client, strict about what it is answered."""
    return OpenAI(
        base_url=f"{server.url}/v1",
        api_key=server.key,
        _strict_response_validation=True,
        max_retries=0,
    )


def upload(openai: OpenAI, path: Path) -> str:
    """The id of the uploaded training file."""
    with path.open("rb") as rows:
        return openai.files.create(file=rows, purpose="fine-tune").id


def create(
    openai: OpenAI,
    path: Path,
    *,
    seed: int | None = None,
    hyperparameters: Hyperparameters | None = None,
    suffix: str | None = None,
) -> FineTuningJob:
    """A supervised job on `tiny-chat` over the rows of `path`."""
    return openai.fine_tuning.jobs.create(
        model="tiny-chat",
        training_file=upload(openai, path),
        seed=seed,
        suffix=suffix,
        hyperparameters=hyperparameters or {},
    )


def first_rows(path: Path, n_rows: int, folder: Path) -> Path:
    """A file with the first rows of another."""
    short = folder / "rows.jsonl"
    short.write_text("".join(path.read_text().splitlines(keepends=True)[:n_rows]))
    return short


def finished(openai: OpenAI, job_id: str, *, within_s: float = 600.0) -> FineTuningJob:
    """The job once it is over."""
    over = ("succeeded", "failed", "cancelled")
    wait_until(lambda: openai.fine_tuning.jobs.retrieve(job_id).status in over, within_s=within_s)
    return openai.fine_tuning.jobs.retrieve(job_id)


def losses(openai: OpenAI, job_id: str) -> dict[int, float]:
    """The training loss of every step; each step stands in the events once."""
    found: dict[int, float] = {}
    for event in openai.fine_tuning.jobs.list_events(job_id, limit=100):
        if event.type == "metrics":
            data = cast("dict[str, Any]", event.data)
            assert data["step"] not in found
            found[data["step"]] = data["train_loss"]
    return dict(sorted(found.items()))


def messages(openai: OpenAI, job_id: str) -> list[str]:
    """What was said about the job, oldest first."""
    events = openai.fine_tuning.jobs.list_events(job_id, limit=100)
    return [event.message for event in events if event.type != "metrics"][::-1]


def exact_match(openai: OpenAI, model: str, rows: Path) -> float:
    """The share of rows that `model` answers to the letter, greedily."""

    def is_right(line: str) -> bool:
        *asked, answer = json.loads(line)["messages"]
        completion = openai.chat.completions.create(
            model=model, messages=asked, temperature=0, max_tokens=128
        )
        return completion.choices[0].message.content == cast("str", answer["content"])

    lines = rows.read_text().splitlines()
    with ThreadPoolExecutor(8) as asking:
        return sum(asking.map(is_right, lines)) / len(lines)


def wait_until(condition: Callable[[], bool], *, within_s: float) -> None:
    """Return once `condition` holds; fail where it takes longer than `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
