"""`tunery check`: everything that can be known of a training file before it is trained on."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tunery.bases.catalog import FolderCatalog, hugging_face_cache
from tunery.cli.commands import JsonOption
from tunery.cli.connection import read_settings
from tunery.cli.examine import joined, read_through, seen_by
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.output import aside, print_object, screen
from tunery.cli.report import print_report, verdict
from tunery.core.errors import NotFound
from tunery.core.hyperparameters import Hyperparameters, resolve
from tunery.core.job import Overlong
from tunery.core.models import BaseModel
from tunery.core.preflight import Preflight
from tunery.engines.process import installed
from tunery.settings import Settings

File = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A JSONL file.")
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Count tokens, time and memory for this one.")
]
Validation = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, metavar="FILE", help="The validation file."),
]
OverlongOption = Annotated[
    Overlong, typer.Option(help="What becomes of rows that are too long for the model.")
]


def check(
    file: File,
    model: Model = None,
    validation: Validation = None,
    overlong: OverlongOption = "error",
    as_json: JsonOption = False,
) -> None:
    """Say all that is wrong with a training file, and what a model would see of it.

    No server is needed. The exit code is 2 where there are errors.
    """
    settings = read_settings()
    base = None if model is None else _base(model, settings)
    data = read_through(file, validation)
    seen = None
    if base is not None and data.is_trainable and _can_count():
        with aside().status(f"Looking at the data with {base.name} …"):
            seen = seen_by(
                base,
                data,
                overlong,
                precision=settings.precision,
                measurements=settings.home / "blobs" / "measurements",
                threads=settings.threads,
            )
    report = joined(data, seen)
    if as_json:
        print_object(msgspec.to_builtins(report))
    else:
        epochs = _epochs(base, seen)
        tools = data.rows.n_with_tools
        print_report(screen(), report, n_epochs=epochs, n_with_tools=tools)
        screen().print(verdict(report))
    if report.n_errors:
        raise typer.Exit(ExitCode.BAD_INPUT)


def _base(model: str, settings: Settings) -> BaseModel:
    catalog = FolderCatalog(
        folders=settings.models,
        aliases=settings.aliases,
        cache=hugging_face_cache(),
        quantized=settings.quantize,
    )
    try:
        return catalog.resolve(model)
    except NotFound as error:
        raise Failure(
            error.message,
            next_step="Name one of these, or put another into `[models]` of tunery.toml.",
            code=ExitCode.BAD_INPUT,
        ) from error


def _can_count() -> bool:
    if installed():
        return True
    aside().print(
        "PyTorch is not installed here, so that only the rows are checked. "
        "To count tokens: pip install 'tunery\\[train]'"
    )
    return False


def _epochs(base: BaseModel | None, seen: Preflight | None) -> int | None:
    """How many epochs "auto" means."""
    if base is None or seen is None or seen.n_examples == 0:
        return None
    asked = Hyperparameters()
    return resolve(asked, n_examples=seen.n_examples, defaults=base.defaults).n_epochs
