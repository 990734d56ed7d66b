"""`tunery train`: from a data file to a tuned model, in one command."""

import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from tunery.cli.client import Client, Json
from tunery.cli.commands import JsonOption
from tunery.cli.connection import connect
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.files import send
from tunery.cli.follow import JOBS
from tunery.cli.objects import FileObject, Job, read
from tunery.cli.output import aside, print_object
from tunery.cli.plan import refuse_errors, show_plan
from tunery.cli.watch import outcome, watch
from tunery.core.job import Overlong

_FILE_ID = "file-"


FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A JSONL file, or the id of an uploaded one.")
]
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="The base model to tune, or a tuned one to go on from."),
]
Validation = Annotated[
    str | None, typer.Option(metavar="FILE", help="Rows to measure on, none of them taught.")
]
Suffix = Annotated[str | None, typer.Option(help="A word of yours in the model's name.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed trains the same.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the data.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Rows per step.")]
LearningRate = Annotated[float | None, typer.Option(help="The peak rate itself.")]
Multiplier = Annotated[float | None, typer.Option(help="Times the model's own rate.")]
Rank = Annotated[int | None, typer.Option("--r", help="The rank of the adapter.")]
LoraAlpha = Annotated[float | None, typer.Option(help="The scale of the adapter.")]
OverlongOption = Annotated[
    Overlong | None, typer.Option(help="What becomes of rows that are too long for the model.")
]
Method = Annotated[
    Literal["supervised", "dpo"],
    typer.Option(help="How to learn: from answers, or from pairs of a better and a worse one."),
]
Beta = Annotated[
    float | None, typer.Option(help="With dpo: how firmly to hold to what the job starts from.")
]
Sample = Annotated[
    list[str] | None,
    typer.Option(metavar="PROMPT", help="Ask this while the model learns; up to five times."),
]
NoSamples = Annotated[
    bool, typer.Option("--no-samples", help="Ask nothing while the model learns.")
]
Engine = Annotated[str | None, typer.Option(help="Who carries the job out.")]
Metadata = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="A note; may be repeated.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Start without asking.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start the job and do not wait for it.")]


def train(
    file: FileArgument,
    model: Model,
    validation: Validation = None,
    suffix: Suffix = None,
    seed: Seed = None,
    method: Method = "supervised",
    beta: Beta = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    learning_rate_multiplier: Multiplier = None,
    r: Rank = None,
    lora_alpha: LoraAlpha = None,
    overlong: OverlongOption = None,
    sample: Sample = None,
    no_samples: NoSamples = False,
    engine: Engine = None,
    metadata: Metadata = None,
    yes: Yes = False,
    detach: Detach = False,
    as_json: JsonOption = False,
) -> None:
    """Upload data, show what training would see and take, train, and watch.

    What is left unsaid is chosen by the server and shown before the job starts.
    """
    if beta is not None and method != "dpo":
        raise Failure(
            "--beta is for learning from preferences.",
            next_step="Add --method dpo, or leave --beta out.",
            code=ExitCode.BAD_INPUT,
        )
    if sample and no_samples:
        raise Failure(
            "--sample asks for samples, --no-samples for none.",
            next_step="Leave one of them out.",
            code=ExitCode.BAD_INPUT,
        )
    asked = _given(
        n_epochs=epochs,
        batch_size=batch_size,
        learning_rate_multiplier=learning_rate_multiplier,
        beta=beta,
    )
    own = _given(
        engine=engine,
        overlong=overlong,
        r=r,
        lora_alpha=lora_alpha,
        sample_prompts=[] if no_samples else sample or None,
    )
    wanted = _given(
        model=model,
        suffix=suffix,
        seed=seed,
        metadata=_pairs(metadata or []) or None,
        method={"type": method, method: {"hyperparameters": asked}},
        x_tunery=own | _given(learning_rate=learning_rate),
    )
    with connect() as client:
        wanted |= _uploaded(client, file, validation)
        if _agreed(client, wanted, ask=not yes):
            _run(client, wanted, detach=detach, as_json=as_json)


def _run(client: Client, wanted: Json, *, detach: bool, as_json: bool) -> None:
    """Create the job, and stay with it unless told otherwise."""
    job = start(client, wanted)
    if not detach:
        job = watch(client, job["id"])
    if as_json:
        print_object(job)
    if detach:
        aside().print(f"Started {job['id']}. Watch it: tunery jobs watch {job['id']}")
    else:
        outcome(read(job, Job))


def start(client: Client, wanted: Json) -> Json:
    """Create a job: once, even where the answer is lost on the way and asked for again."""
    key = secrets.token_hex(16)
    try:
        return client.post(JOBS, wanted, idempotency=key)
    except Failure as failure:
        if failure.code != ExitCode.UNREACHABLE:
            raise
        return client.post(JOBS, wanted, idempotency=key)


def _agreed(client: Client, wanted: Json, *, ask: bool) -> bool:
    """Show what the job would see and take, and ask where there is somebody to answer."""
    console = aside()
    with console.status("Looking at the data …"):
        plan = client.post(JOBS, {**wanted, "x_tunery": {**wanted["x_tunery"], "dry_run": True}})
    show_plan(plan)
    refuse_errors(plan)
    if not (ask and console.is_terminal and sys.stdin.isatty()):
        return True
    kept = wanted["training_file"]
    said = f"Nothing was started. The data stays on the server as {kept}"
    removes = f"`tunery files delete {kept}` removes it."
    try:
        agreed = typer.confirm("Start?", default=True, err=True)
    except typer.Abort as interrupt:
        console.print()
        raise Failure(f"{said}.", next_step=removes, code=ExitCode.INTERRUPTED) from interrupt
    if not agreed:
        console.print(f"{said}; {removes}", soft_wrap=True)
    return agreed


def _uploaded(client: Client, file: str, validation: str | None) -> Json:
    """The ids of the training file and, where there is one, of the validation file."""
    ids: Json = {"training_file": _file_id(client, file)}
    if validation is not None:
        ids["validation_file"] = _file_id(client, validation)
    return ids


def _file_id(client: Client, file: str) -> str:
    """The id of `file`, which is uploaded unless it is an id already."""
    path = Path(file)
    if path.is_file():
        return read(send(client, path), FileObject).id
    if file.startswith(_FILE_ID):
        return file
    raise Failure(
        f"There is no file {file}.",
        next_step="Name a JSONL file, or an id that `tunery files list` shows.",
        code=ExitCode.BAD_INPUT,
    )


def _pairs(metadata: list[str]) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in metadata]
    for key, equals, value in pairs:
        if not (key and equals):
            raise Failure(
                f"--metadata {key}{equals}{value} is no pair.",
                next_step="Write it as KEY=VALUE, such as --metadata team=paint.",
                code=ExitCode.BAD_INPUT,
            )
    return {key: value for key, _, value in pairs}


def _given(**named: object) -> Json:
    """What was said; the server chooses the rest."""
    return {name: value for name, value in named.items() if value is not None}
