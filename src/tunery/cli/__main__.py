"""The console script `tunery`."""

from typing import Annotated

import typer

from tunery import __version__
from tunery.cli import files, jobs, keys, models
from tunery.cli.check import check
from tunery.cli.commands import examples
from tunery.cli.demo import demo
from tunery.cli.failure import Failure
from tunery.cli.output import print_failure
from tunery.cli.serve import serve
from tunery.cli.train import train

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fine-tune models on your own machine, through the API that your programs already call.",
    epilog="Start with `tunery demo`, or `tunery serve` and `tunery train FILE --model tiny-chat`.",
)
app.command(epilog=examples("tunery serve", "tunery serve --home ~/tunery --port 9000"))(serve)
app.command(epilog=examples("tunery demo", "tunery demo --port 9000"))(demo)
app.command(
    epilog=examples(
        "tunery check support.jsonl", "tunery check support.jsonl --model tiny-chat --json"
    )
)(check)
app.command(
    epilog=examples(
        "tunery train support.jsonl --model tiny-chat --suffix support",
        "tunery train support.jsonl --model Qwen/Qwen3-0.6B --epochs 2 --yes --detach",
    )
)(train)
app.add_typer(jobs.app, name="jobs")
app.add_typer(files.app, name="files")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tunery {__version__}")
        raise typer.Exit


@app.callback()
def tunery(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Fine-tune models on your own machine, through the API that your programs already call."""


def main() -> None:
    """Run the command that the arguments name."""
    try:
        app(prog_name="tunery")
    except Failure as failure:
        print_failure(failure)
        raise SystemExit(failure.code) from failure


if __name__ == "__main__":
    main()
