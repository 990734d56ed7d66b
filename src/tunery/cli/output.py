"""What is printed: results on standard output, everything else on standard error.

Colour and drawing appear on a terminal only, and never when `NO_COLOR` is set (which rich reads).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape

from tunery.cli.failure import ExitCode, Failure

_WIDTH_OF_A_PIPE = 1000


def screen() -> Console:
    """Standard output, for results that people read."""
    console = Console(highlight=False)
    # Where nobody looks, nothing is wrapped or cut.
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_OF_A_PIPE)


def aside() -> Console:
    """Standard error: progress, questions and failures, so that results can be piped."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        return console
    return Console(stderr=True, highlight=False, width=_WIDTH_OF_A_PIPE)


def print_object(value: dict[str, Any]) -> None:
    """One of the API's objects as it came."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(value: dict[str, Any]) -> None:
    """One of the API's objects on a line of its own."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """`rows` under their headings; `empty` says what to do where there are none."""
    if not rows:
        aside().print(escape(empty))
        return
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    console = screen()
    for row in (columns, *rows):
        line = "  ".join(map(set_cell_size, row, widths)).rstrip()
        # What a terminal wraps by itself can still be copied whole.
        console.print(escape(line), style="bold" if row is columns else "", soft_wrap=True)


def print_fields(fields: Sequence[tuple[str, str | None]]) -> None:
    """One thing, a line per field; a field without a value is left out."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        if value is not None:
            screen().print(f"[bold]{name:<{width}}[/]  {escape(value)}", soft_wrap=True)


def print_failure(failure: Failure) -> None:
    """Why a command ends, and what to do next."""
    console = aside()
    # Whoever pressed Ctrl-C has met no error.
    label = "" if failure.code == ExitCode.INTERRUPTED else "[bold red]Error:[/] "
    console.print(f"{label}{escape(failure.message)}", soft_wrap=True)
    console.print(f"[bold]Next:[/]  {escape(failure.next_step)}", soft_wrap=True)


def moment(timestamp: int | None) -> str | None:
    """Unix seconds as local time."""
    if timestamp is None:
        return None
    return datetime.fromtimestamp(timestamp, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(timestamp: int) -> str:
    """Unix seconds as local time of the day."""
    return datetime.fromtimestamp(timestamp, UTC).astimezone().strftime("%H:%M:%S")


def size(n_bytes: float) -> str:
    """Bytes in the unit that people would choose."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds as a clock would show them, hours only where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
