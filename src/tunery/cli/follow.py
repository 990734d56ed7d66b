"""A job's events as they happen, over reconnects and restarts of the server."""

import json
import time
from collections.abc import Iterator

from tunery.cli.client import Client, Json
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.objects import Job, read
from tunery.cli.output import aside

# A killed server is back within a minute; longer silence is for a person to look at.
PATIENCE_S = 120.0
PAUSE_S = 1.0
JOBS = "/v1/fine_tuning/jobs"


def job_path(job_id: str, *rest: str) -> str:
    """The path of a job, or of what belongs to it."""
    return "/".join((JOBS, job_id, *rest))


def get_job(client: Client, job_id: str) -> Json:
    """A job as the server has it now."""
    return client.get(job_path(job_id))


def follow(client: Client, job_id: str) -> Iterator[Json]:
    """Every event of a job, oldest first, until it is over.

    A stream that breaks is taken up again behind the last event that came.

    Raises:
        Failure: the job is unknown, or the server stays away for `PATIENCE_S`.
    """
    last_id: str | None = None
    waited_s = 0.0
    while True:
        try:
            for message in client.stream("GET", job_path(job_id, "events"), last_event_id=last_id):
                last_id = message.id or last_id
                waited_s = 0.0
                event = json.loads(message.data)
                if event.get("object") == "fine_tuning.job.event":
                    yield event
            # Closed in good order: the job is over, or the server is going down.
            if read(get_job(client, job_id), Job).is_final:
                return
            waited_s = 0.0
        except Failure as failure:
            if failure.code != ExitCode.UNREACHABLE or waited_s >= PATIENCE_S:
                raise
            if waited_s == 0.0:
                aside().print(f"The server is away; trying again for {PATIENCE_S:.0f} s.")
        time.sleep(PAUSE_S)
        waited_s += PAUSE_S
