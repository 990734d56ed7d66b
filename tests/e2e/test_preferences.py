"""The built-in base model learns to prefer one manner of answering, which it did not before."""

import json
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.e2e.jobs import client, finished, losses, messages, upload
from tests.e2e.test_resume import at_step, training_processes
from tests.servers import Server
from tunery.bases.catalog import BUILT_IN
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.load import load_model
from tunery.trainers.text_data import load_examples

KIND = ("Gladly", "With pleasure", "Of course", "Certainly", "Thank you", "Happy to help")
RUDE = ("Whatever", "Who cares", "Not my job", "Ask somebody else", "No idea", "Go away")
THINGS = ("parcel", "ticket", "invoice", "garden", "window", "letter", "ladder", "bridge")
PLACES = ("Lyon", "Rome", "Oslo", "Paris", "Bern", "Riga")
NEW_THINGS = ("engine", "pillow", "carpet", "button", "hammer", "kettle")
NEW_PLACES = ("Porto", "Turin", "Ghent")

SETTINGS: Any = {
    "model": "tiny-chat",
    "seed": 11,
    "method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 6, "batch_size": 8}}},
}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def preferences(
    path: Path, n_rows: int, things: Sequence[str], places: Sequence[str], *, seed: int
) -> Path:
    """Pairs that differ in their manner alone; which words are kind is nowhere said."""
    draw = random.Random(seed)
    with path.open("w") as file:
        for _ in range(n_rows):
            thing, place = draw.choice(things), draw.choice(places)
            asked = {"role": "user", "content": f"Where is the {thing}? It is in {place}."}
            kind, rude = (
                {"role": "assistant", "content": f"{manner}: the {thing} is in {place}."}
                for manner in (draw.choice(KIND), draw.choice(RUDE))
            )
            row = {
                "input": {"messages": [asked]},
                "preferred_output": [kind],
                "non_preferred_output": [rude],
            }
            file.write(json.dumps(row) + "\n")
    return path


def test_a_manner_is_preferred_on_questions_that_were_not_taught(
    live: Server, tmp_path: Path
) -> None:
    openai = client(live)
    taught = preferences(tmp_path / "train.jsonl", 80, THINGS, PLACES, seed=1)
    held_out = preferences(tmp_path / "held_out.jsonl", 60, NEW_THINGS, NEW_PLACES, seed=2)
    before = likelier("tiny-chat", held_out)
    assert 0.3 < before < 0.7

    job = openai.fine_tuning.jobs.create(
        model="tiny-chat",
        training_file=upload(openai, taught),
        validation_file=upload(openai, held_out),
        seed=1,
        method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3}}},
    )
    done = finished(openai, job.id)
    assert done.status == "succeeded"
    assert done.fine_tuned_model is not None

    last = openai.fine_tuning.jobs.checkpoints.list(job.id).data[0]
    measured = last.metrics.model_dump()
    assert measured["full_valid_rewards_accuracies"] >= 0.9
    assert measured["full_valid_rewards_chosen"] > 0 > measured["full_valid_rewards_rejected"]
    assert measured["full_valid_loss"] < 0.5
    check_samples(openai, done, held_out)


@pytest.mark.long
def test_a_killed_trainer_goes_on_as_if_nothing_had_happened(
    live: Server, own_server: Server, tmp_path: Path
) -> None:
    """The adapter that it comes back to has learnt; what it is held to is what it started from."""
    rows = preferences(tmp_path / "train.jsonl", 64, THINGS, PLACES, seed=1)
    asked = client(live)
    whole = asked.fine_tuning.jobs.create(training_file=upload(asked, rows), **SETTINGS)
    own_server.start()
    openai = client(own_server)
    job = openai.fine_tuning.jobs.create(training_file=upload(openai, rows), **SETTINGS)
    at_step(openai, job.id, 18)
    for trainer in training_processes(own_server):
        os.kill(trainer.pid, signal.SIGKILL)

    assert finished(openai, job.id).status == "succeeded"
    assert any("SIGKILL" in message for message in messages(openai, job.id))
    assert finished(asked, whole.id).status == "succeeded"
    assert losses(openai, job.id) == pytest.approx(losses(asked, whole.id), rel=1e-4)


def check_samples(openai: OpenAI, job: FineTuningJob, held_out: Path) -> None:
    """At each epoch's end the first rows were asked; the last answers are the tuned model's own."""
    events = openai.fine_tuning.jobs.list_events(job.id, limit=100)
    told = [cast("dict[str, Any]", e.data) for e in events if e.message.startswith("Samples")]
    assert [data["step"] for data in told] == sorted({data["step"] for data in told}, reverse=True)
    assert (len(told), told[-1]["step"]) == (4, 0)
    rows = [json.loads(line) for line in held_out.read_text().splitlines()[:5]]
    for row, sample in zip(rows, told[0]["samples"], strict=True):
        asked = row["input"]["messages"]
        assert sample["prompt"] == asked[0]["content"]
        answer = openai.chat.completions.create(
            model=cast("str", job.fine_tuned_model), messages=asked, temperature=0, max_tokens=64
        )
        assert sample["answer"] == answer.choices[0].message.content


def likelier(model: str, path: Path) -> float:
    """The share of pairs whose better answer the built-in `model` finds likelier."""
    loaded = load_model(str(BUILT_IN / model))
    base, chat = Base(loaded.model), Chat(loaded.tokenizer)
    rows = load_examples(path, chat, context=None, overlong="error", width=2)
    with torch.no_grad():
        found = base.log_likelihoods(base.stream(rows.segments(range(len(rows)), None)))
    chosen, rejected = found.view(-1, 2).unbind(1)
    return (chosen > rejected).float().mean().item()
