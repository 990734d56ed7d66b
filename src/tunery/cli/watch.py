"""A job on the screen: a progress bar on a terminal, one line per event elsewhere."""

from collections.abc import Iterable

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from tunery.cli.answers import Answers
from tunery.cli.client import Client, Json
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.follow import follow, get_job
from tunery.cli.objects import Event, Job, StepData, read
from tunery.cli.output import aside, clock, duration, moment, print_line

_STYLES = {"info": "dim", "warn": "yellow", "error": "red"}


def watch(client: Client, job_id: str, *, as_json: bool = False) -> Json:
    """Show a job's progress until it is over, and give back the job as it then is.

    Ctrl-C leaves the job running.

    Raises:
        Failure: the watching was interrupted, or the server is gone.
    """
    try:
        return show(client, job_id, as_json=as_json)
    except KeyboardInterrupt as interrupt:
        raise Failure(
            f"Stopped watching; {job_id} goes on.",
            next_step=f"`tunery jobs watch {job_id}` watches again, "
            f"`tunery jobs cancel {job_id}` ends it.",
            code=ExitCode.INTERRUPTED,
        ) from interrupt


def show(client: Client, job_id: str, *, as_json: bool = False) -> Json:
    """As `watch`, without a word about Ctrl-C."""
    events = follow(client, job_id)
    if as_json:
        for event in events:
            print_line(event)
    elif aside().is_terminal:
        _draw(events)
    else:
        _list(events)
    return get_job(client, job_id)


def outcome(job: Job) -> None:
    """Say how a job ended.

    Raises:
        Failure: it did not succeed.
    """
    require_success(job)
    model = escape(str(job.fine_tuned_model))
    aside().print(f"[green]✓[/] {job.id} succeeded: {model}", soft_wrap=True)
    if job.x_tunery.subject is None:
        next_step = f"Talk to it: tunery models chat '{model}'"
    else:
        next_step = f"Draw with it: POST /v1/flux-pro-finetuned, finetune_id {job.id}"
    aside().print(f"  {next_step}", soft_wrap=True)


def require_success(job: Job, *, next_step: str | None = None) -> None:
    """Raise a `Failure` that says why, unless `job` succeeded."""
    if job.status != "succeeded":
        why = f": {job.error.message}" if job.error else "."
        raise Failure(
            f"{job.id} {'failed' if job.status == 'failed' else 'was ' + job.status}{why}",
            next_step=next_step
            or f"`tunery jobs show {job.id}` shows its settings and last events.",
            code=ExitCode.JOB_FAILED,
        )


def _list(events: Iterable[Json]) -> None:
    answers = Answers()
    for raw in events:
        event = read(raw, Event)
        aside().print(f"{moment(event.created_at)}  {escape(_sentence(event))}", soft_wrap=True)
        for line in answers.lines(event):
            aside().print(escape(line), soft_wrap=True, highlight=False)


def _sentence(event: Event) -> str:
    """An event in one line; a step with its speed and the time that is left."""
    if (step := event.step) is None:
        return event.message if event.level == "info" else f"{event.level}: {event.message}"
    return ", ".join([event.message, *_speed(step)])


def _speed(step: StepData) -> list[str]:
    parts = []
    if step.tokens_per_second is not None:
        parts.append(f"{step.tokens_per_second:,.0f} tokens/s")
    if step.remaining_seconds is not None:
        parts.append(f"{duration(step.remaining_seconds)} left")
    return parts


def _draw(events: Iterable[Json]) -> None:
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    answers = Answers()
    with Progress(*columns, console=aside(), expand=True) as bar:
        task = bar.add_task("waiting", total=None, figures="")
        for raw in events:
            event = read(raw, Event)
            _advance(bar, task, event)
            for line in answers.lines(event):
                bar.console.print(escape(line), highlight=False)
        bar.update(task, description="ended")


def _advance(bar: Progress, task: TaskID, event: Event) -> None:
    step = event.step
    if step is None:
        style = _STYLES.get(event.level, "")
        bar.console.print(f"[{style}]{clock(event.created_at)}  {escape(event.message)}[/]")
        return
    figures = [f"step {step.step}/{step.total_steps}", f"loss {step.train_loss:.3f}"]
    bar.update(
        task,
        completed=step.step,
        total=step.total_steps,
        # All steps done is not success: the adapter is saved, and then the job has ended well.
        description="saving" if step.step == step.total_steps else "training",
        figures="  ".join(figures + _speed(step)),
    )
