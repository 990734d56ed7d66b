"""`tunery serve`: the server itself."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tunery import __version__
from tunery.cli.connection import credentials, read_settings
from tunery.cli.failure import ExitCode, Failure
from tunery.cli.output import screen

if TYPE_CHECKING:
    from tunery.app import Started
    from tunery.settings import Settings

HomeOption = Annotated[
    Path | None,
    typer.Option(
        help="The folder for all that is kept.",
        file_okay=False,
        show_default="the platform's folder for user data",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="The port to listen on.", show_default="8642"),
]


def serve(
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: PortOption = None,
    home: HomeOption = None,
) -> None:
    """Run the server until Ctrl-C.

    What is left unsaid comes from TUNERY_… variables and from tunery.toml.
    The first start makes a key, prints it once, and leaves it in the home folder.
    """
    settings = read_settings(host=host, port=port, home=home)
    try:
        _serve(settings)
    except KeyboardInterrupt:
        screen().print("Stopped. What was running goes on at the next start.")


def _serve(settings: "Settings") -> None:
    """Run the server, and say in a person's words why it cannot."""
    # Built on demand: the other commands are clients and need none of it.
    from tunery.app import serve as run
    from tunery.core.errors import TuneryError
    from tunery.first_start import FirstStartRefused
    from tunery.listening import PortTaken

    try:
        run(settings, announce=lambda started: _announce(settings, started))
    except PortTaken as error:
        raise Failure(
            str(error),
            next_step=f"tunery serve --port {settings.port + 1}",
            code=ExitCode.BAD_INPUT,
        ) from error
    except FirstStartRefused as error:
        raise Failure(
            str(error),
            next_step="export TUNERY_BOOTSTRAP_KEY=$(openssl rand -hex 32)",
            code=ExitCode.BAD_INPUT,
        ) from error
    except (TuneryError, OSError) as error:
        raise Failure(
            f"The server cannot start: {error}",
            next_step=f"Mend what it names; its data is in {settings.home}.",
            code=ExitCode.BAD_INPUT,
        ) from error


def _announce(settings: "Settings", started: "Started") -> None:
    """What a client needs, as variables that can be copied to a shell."""
    console = screen()
    console.print(f"tunery {__version__}   data {escape(str(settings.home))}", soft_wrap=True)
    console.print(f"export OPENAI_BASE_URL={started.url}/v1", soft_wrap=True)
    kept = credentials(settings.home)
    if started.new_key is not None:
        console.print(f"export OPENAI_API_KEY={started.new_key}", soft_wrap=True)
        console.print(f"The key is shown once; it stays in {escape(str(kept))}.", soft_wrap=True)
    elif kept.is_file():
        shown = escape(shlex.quote(str(kept)))
        console.print(f"export OPENAI_API_KEY=$(cat {shown})", soft_wrap=True)
    console.print("Ctrl-C stops the server.")
