"""An image finetune as the stock `scale-gp` package reads it: `python scale_reads.py JOB_ID`."""

import sys
from typing import Any

from scale_gp import SGPClient

client: Any = SGPClient(_strict_response_validation=True)
job = client.fine_tuning_jobs.retrieve(sys.argv[1])
assert job.status == "COMPLETED", job
assert job.id in [one.id for one in client.fine_tuning_jobs.list()]
said = [event.message for event in client.fine_tuning_jobs.events.list(job.id)]
steps = [message for message in said if message.startswith("Step ")]
print(f"{len(steps)} steps, {job.fine_tuned_model_id}")  # noqa: T201
