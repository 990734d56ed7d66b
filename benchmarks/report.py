"""`docs/benchmarks.md`: a section for each kind of machine, written over by its next run."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.comparison import Comparison, series

DOCUMENT = Path(__file__).parent.parent / "docs/benchmarks.md"

_HEAD = """\
# Benchmarks

Speed as ratios: ours against named rivals, which do the same work on the same machine in the same
run, in turn. Each figure is a median, with its range in brackets. Where a rival's settings decide,
several are tried in each run and the best one counts; it stands below the table.
`make bench-search` tries all that are known.
"""
_MEASURED = ("torch", "transformers", "peft", "trl", "diffusers", "tokenizers")


def write_section(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Put `text` where section `name` of `document` is, or at its end; other sections stay."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    old = document.read_text("utf-8") if document.exists() else _HEAD
    if begin in old:
        before, _, rest = old.partition(begin)
        new = before + section + rest.partition(end)[2]
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    document.write_text(new, "utf-8")


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a table in Markdown, and what is to know of each below it."""
    lines = ["| | ours | rival | ratio | at least | |", "| --- | --- | --- | --- | --- | --- |"]
    for found in comparisons:
        cells = [
            found.what,
            series(found.ours, found.unit),
            series(found.theirs, found.unit),
            found.as_ratio(found.ratio),
            found.as_ratio(found.at_least),
            f"{found.rival}; it failed: {found.trouble}" if found.trouble else found.rival,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    notes: dict[str, str] = {}
    for found in comparisons:
        if found.note:
            notes.setdefault(found.note, found.what)
    return "\n".join([*lines, "", *(f"- {what}: {note}" for note, what in notes.items())])


def machine(*more: str) -> str:
    """On what, when and with which versions, as a list in Markdown; `more` are further items.

    No name of the machine, and no folder of it.
    """
    memory_gib = psutil.virtual_memory().total / 2**30
    measured = ", ".join(f"{package} {version(package)}" for package in _MEASURED)
    items = [
        f"{_processor()}, {cores()} cores, {memory_gib:.0f} GiB of memory",
        *more,
        f"Python {platform.python_version()}, {measured}",
        f"{datetime.now(UTC):%Y-%m-%d}",
    ]
    return "\n".join(f"- {item}" for item in items)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """The name of the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
