"""What all commands have in common: groups, and the options that mean the same in each."""

from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the API's own objects and nothing else.")
]
LimitOption = Annotated[int, typer.Option(min=1, max=100, help="How many to show.")]


def group(about: str) -> typer.Typer:
    """An empty group of commands; alone, it shows its help."""
    return typer.Typer(
        help=about,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def examples(*commands: str) -> str:
    """The end of a help text: `commands` to copy, each on a line of its own."""
    return "\n\n".join(["Examples:" if len(commands) > 1 else "Example:", *commands])
