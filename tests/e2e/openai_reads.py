"""An image finetune as the stock `openai` package reads it: `python openai_reads.py JOB_ID`."""

import sys
from typing import Any

from openai import OpenAI

client: Any = OpenAI(_strict_response_validation=True)
job = client.fine_tuning.jobs.retrieve(sys.argv[1])
assert job.status == "succeeded", job
assert job.model == "tiny-image", job
assert job.id in [one.id for one in client.fine_tuning.jobs.list()]
events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
steps = [event.data["step"] for event in events if event.type == "metrics"]
assert steps == list(range(len(steps), 0, -1)), steps
assert all(event.data["train_loss"] > 0 for event in events if event.type == "metrics")
checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
assert checkpoints
assert checkpoints[0].step_number == len(steps), checkpoints
print(f"{len(steps)} steps, {len(checkpoints)} checkpoints")  # noqa: T201
