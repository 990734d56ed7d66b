"""The report on a training file, as a terminal shows it: `tunery check`, and before each job."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from tunery.cli.output import duration, size
from tunery.core.preflight import Preflight, TokenStatistics
from tunery.core.problems import Problem

_LABEL = 12
_BARS = "▁▂▃▄▅▆▇█"
_FORMATS = {
    "chat": "OpenAI chat",
    "completion": "prompt and completion",
    "preference": "OpenAI preference (DPO)",
    "reinforcement": "OpenAI reinforcement",
    "": "not recognised",
}
_MOST_RENDERED = 2_000


def print_report(
    console: Console,
    report: Preflight,
    *,
    n_epochs: int | None = None,
    n_with_tools: int = 0,
    shows_row: bool = True,
) -> None:
    """Print `report`, line by line; what it does not know is left out.

    `n_epochs` turns the measured speed into a time. With `shows_row` the first row is printed as
    the model sees it.
    """
    _line(console, "format", _format(report, n_with_tools))
    for problem in report.problems:
        console.print(_problem(problem), soft_wrap=True)
    if (hidden := report.n_errors + report.n_warnings - len(report.problems)) > 0:
        console.print(f"  and {hidden:,} more", soft_wrap=True)
    if report.tokens is not None:
        _line(console, "tokens", _tokens(report.tokens))
    if report.n_overlong:
        _line(console, "too long", _overlong(report))
    if report.template is not None:
        known = report.template.removeprefix("from the model")
        _line(console, "template", f"from the model{known and f' ({known})'}")
    if report.memory_bytes is not None:
        _line(console, "memory", _memory(report.memory_bytes, report.memory_available_bytes))
    if (seconds := training_seconds(report, n_epochs)) is not None:
        _line(console, "time", f"about {duration(seconds)} for {n_epochs} epochs on this machine")
    if shows_row and report.rendered:
        _print_row(console, report.rendered)


def verdict(report: Preflight) -> str:
    """How many errors and warnings there are, in words."""
    return f"{_count(report.n_errors, 'error')}, {_count(report.n_warnings, 'warning')}"


def training_seconds(report: Preflight, n_epochs: int | None) -> float | None:
    """How long training takes; None where it was not measured."""
    if report.seconds_per_token is None or report.tokens is None or n_epochs is None:
        return None
    return report.seconds_per_token * report.tokens.total * n_epochs


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"[bold]{label:<{_LABEL}}[/]{escape(text)}", soft_wrap=True)


def _format(report: Preflight, n_with_tools: int) -> str:
    rows = "pairs" if report.format == "preference" else "rows"
    parts = [f"{_FORMATS.get(report.format, report.format)} (detected)"]
    parts.append(f"{report.n_rows:,} {rows}")
    if n_with_tools:
        parts.append(f"tools in {n_with_tools:,}")
    if report.n_examples != report.n_rows and report.tokens is not None:
        parts.append(f"{report.n_examples:,} to train on")
    return ", ".join(parts)


def _problem(problem: Problem) -> Text:
    is_error = problem.level == "error"
    text = Text("✗ " if is_error else "! ", style="bold red" if is_error else "bold yellow")
    where = ["validation"] if problem.file == "validation" else []
    where += [f"line {problem.line:,}"] if problem.line is not None else []
    if where:
        text.append(f"{' '.join(where)}  ", style="bold")
    if problem.field:
        text.append(f"{problem.field} ", style="not bold")
    return text.append(problem.message, style="not bold")


def _tokens(tokens: TokenStatistics) -> str:
    share = round(100 * tokens.trained / tokens.total) if tokens.total else 0
    bars = "".join(_bars([count for _, count in tokens.histogram]))
    return (
        f"median {tokens.median:,}, p95 {tokens.p95:,}, max {tokens.max:,}, "
        f"{tokens.total:,} in all · trained {share}% · rows by length {bars}"
    )


def _bars(counts: Sequence[int]) -> Iterator[str]:
    most = max(counts, default=0)
    for count in counts:
        # A single row among thousands still shows.
        yield _BARS[-(-count * (len(_BARS) - 1) // most)] if most else _BARS[0]


def _overlong(report: Preflight) -> str:
    rows = "1 row is" if report.n_overlong == 1 else f"{report.n_overlong:,} rows are"
    return (
        f"{rows} longer than {report.context:,} tokens: "
        "--overlong drop leaves them out, --overlong truncate cuts them"
    )


def _memory(needed: int, available: int | None) -> str:
    if available is None:
        return size(needed)
    return f"{size(needed)} of {size(available)} {'✓' if needed <= available else '✗ too little'}"


def _print_row(console: Console, pieces: Sequence[tuple[str, bool]]) -> None:
    """The first row; taught text is underlined on a terminal, and in angle brackets elsewhere."""
    text, room = Text(), _MOST_RENDERED
    for piece, is_taught in pieces:
        shown = piece[:room]
        room -= len(shown)
        if is_taught and console.is_terminal:
            text.append(shown, style="underline green")
        else:
            text.append(f"⟨{shown}⟩" if is_taught else shown)
    marked = "underlined" if console.is_terminal else "in ⟨⟩"
    console.print()
    _line(console, "row 1", f"as the model sees it; what is {marked} is learnt")
    text.rstrip()
    console.print(text, soft_wrap=True)
    console.print()


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
