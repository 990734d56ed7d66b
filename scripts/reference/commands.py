"""Every command of the command line."""

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup
from typer.main import get_command

from scripts.reference import NOTE, table

_HEAD = """# Commands

{note}

`--json` prints the API's own objects and nothing else on standard output; progress, questions and
errors go to standard error. Nothing is coloured when the output is piped or `NO_COLOR` is set.

The server is the one that `TUNERY_URL` names (else this machine's), and the key the one in
`TUNERY_API_KEY`, else the one that the first start left in `TUNERY_HOME/credentials`.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | the job failed or was cancelled |
| 2 | bad input |
| 3 | refused: the key or a quota |
| 4 | the server cannot be reached |
| 130 | interrupted with Ctrl-C |
"""


def page(app: typer.Typer) -> str:
    """The page about the commands of `app`."""
    lines = [_HEAD.format(note=NOTE)]
    for name, command in walk(get_command(app), "tunery"):
        lines += _section(name, command)
    return "\n".join(lines)


def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Every command that does something, by its full name."""
    if isinstance(command, TyperGroup):
        for child in command.commands.values():
            yield from walk(child, f"{name} {child.name}")
    else:
        yield name, command


def _section(name: str, command: Any) -> list[str]:  # noqa: ANN401
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    words = [_argument(argument) for argument in arguments]
    lines = [f"## {name}", "", str(command.help), "", f"    {' '.join([name, *words])}", ""]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        lines += table(("switch", "meaning", "default"), rows)
    shown = [f"    {example}" for example in str(command.epilog or "").split("\n\n")[1:]]
    return [*lines, "Examples:" if len(shown) > 1 else "Example:", "", *shown, ""]


def _argument(argument: TyperArgument) -> str:
    name = (argument.metavar or str(argument.name)).upper()
    return name if argument.required else f"[{name}]"


def _row(parameter: Any) -> tuple[str, ...]:  # noqa: ANN401
    if isinstance(parameter, TyperArgument):
        switch = f"`{(parameter.metavar or str(parameter.name)).upper()}`"
    else:
        switch = ", ".join(f"`{option}`" for option in parameter.opts)
    default = "" if parameter.default in (None, False) else f"`{parameter.default}`"
    if isinstance(parameter.show_default, str):
        default = parameter.show_default
    if parameter.required:
        default = "required"
    return switch, parameter.help or "", default
