"""`tunery jobs`: see, follow and stop fine-tuning jobs."""

from typing import Annotated

import typer

from tunery.cli.commands import JsonOption, LimitOption, examples, group
from tunery.cli.connection import connect
from tunery.cli.follow import JOBS, get_job, job_path
from tunery.cli.objects import Event, Job, read, read_list
from tunery.cli.output import aside, moment, print_fields, print_line, print_object, print_table
from tunery.cli.watch import outcome, watch

app = group("See, follow and stop fine-tuning jobs.")

_EVENTS_SHOWN = 10

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, `ftjob-…`.")]


@app.command("list", epilog=examples("tunery jobs list --limit 5"))
def show_all(
    limit: LimitOption = 20,
    after: Annotated[
        str | None, typer.Option(help="The last job of the page before.", metavar="JOB")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the jobs of your project, newest first."""
    with connect() as client:
        page = client.get(JOBS, _cursor(limit, after))
    if as_json:
        return print_object(page)
    jobs = read_list(page, Job)
    rows = [
        (job.id, job.state, job.model, moment(job.created_at) or "", job.fine_tuned_model or "")
        for job in jobs
    ]
    print_table(
        ("id", "status", "model", "created", "tuned model"),
        rows,
        empty="No jobs yet. `tunery train FILE --model M` starts one.",
    )
    if page["has_more"]:
        aside().print(f"More: tunery jobs list --after {jobs[-1].id}")
    return None


@app.command(epilog=examples("tunery jobs show ftjob-5f0c2e9b7d41a86cf3e20b17"))
def show(job: JobArgument, as_json: JsonOption = False) -> None:
    """Show one job: what was asked, what it became, and its last events."""
    with connect() as client:
        found = get_job(client, job)
        if as_json:
            return print_object(found)
        page = client.get(job_path(job, "events"), {"limit": _EVENTS_SHOWN})
    print_fields(_fields(read(found, Job)))
    for event in reversed(read_list(page, Event)):
        print_fields([(moment(event.created_at) or "", event.message)])
    return None


@app.command("watch", epilog=examples("tunery jobs watch ftjob-5f0c2e9b7d41a86cf3e20b17"))
def watch_job(job: JobArgument, as_json: JsonOption = False) -> None:
    """Follow a job until it is over. Ctrl-C leaves it running.

    With --json, one event per line as it happens, and the job at the end.
    """
    with connect() as client:
        get_job(client, job)
        ended = watch(client, job, as_json=as_json)
    if as_json:
        print_line(ended)
    outcome(read(ended, Job))


@app.command(epilog=examples("tunery jobs cancel ftjob-5f0c2e9b7d41a86cf3e20b17"))
def cancel(job: JobArgument, as_json: JsonOption = False) -> None:
    """End a job for good. Its checkpoints stay."""
    _move(job, "cancel", as_json=as_json)


@app.command(epilog=examples("tunery jobs pause ftjob-5f0c2e9b7d41a86cf3e20b17"))
def pause(job: JobArgument, as_json: JsonOption = False) -> None:
    """Let a job wait; a running one saves a checkpoint first."""
    _move(job, "pause", as_json=as_json)


@app.command(epilog=examples("tunery jobs resume ftjob-5f0c2e9b7d41a86cf3e20b17"))
def resume(job: JobArgument, as_json: JsonOption = False) -> None:
    """Let a paused job go on from its last checkpoint."""
    _move(job, "resume", as_json=as_json)


def _move(job_id: str, move: str, *, as_json: bool) -> None:
    with connect() as client:
        moved = client.post(job_path(job_id, move))
    if as_json:
        return print_object(moved)
    job = read(moved, Job)
    return print_fields([("job", job.id), ("status", job.state)])


def _cursor(limit: int, after: str | None) -> dict[str, str | int]:
    return {"limit": limit} if after is None else {"limit": limit, "after": after}


def _fields(job: Job) -> list[tuple[str, str | None]]:
    own = job.x_tunery
    known = {
        **job.hyperparameters,
        "learning_rate": own.learning_rate,
        "warmup_ratio": own.warmup_ratio,
        "weight_decay": own.weight_decay,
        "beta": own.beta,
        "precision": own.precision,
    }
    settings = "  ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    return [
        ("job", job.id),
        ("status", job.state),
        ("base model", job.model),
        ("tuned model", job.fine_tuned_model),
        ("training file", job.training_file),
        ("validation", job.validation_file),
        ("settings", settings or None),
        ("seed", None if job.seed is None else str(job.seed)),
        ("metadata", "  ".join(f"{k}={v}" for k, v in (job.metadata or {}).items()) or None),
        ("created", moment(job.created_at)),
        ("finished", moment(job.finished_at)),
        ("expected end", moment(job.estimated_finish)),
        ("tokens taught", None if job.trained_tokens is None else f"{job.trained_tokens:,}"),
        ("result files", "  ".join(job.result_files) or None),
        ("error", f"{job.error.code}: {job.error.message}" if job.error else None),
    ]
