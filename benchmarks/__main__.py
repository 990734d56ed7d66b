"""Every comparison, in one run and one table: `make bench`, some forty minutes on two cores.

`python -m benchmarks throughput chats` makes only these. A whole run writes `docs/benchmarks.md`;
a rival that fails, or a part of ours, says so in its row and ends nothing else.
"""

import argparse
import importlib
import inspect
import signal
import sys
import time
import traceback
from collections.abc import Sequence

from benchmarks import report
from benchmarks.comparison import Comparison, show

PARTS = {
    "throughput": "tokens per second, against TRL",
    "first_step": "from create to the first finished step, against TRL",
    "small_jobs": "eight small jobs, against TRL and against processes of ours",
    "preferences": "a step on preferences, against TRL",
    "chats": "eight chats at once, against transformers and PEFT",
    "limit": "a step against the machine's matrix products",
    "image_lora": "an image LoRA, against diffusers' recipe",
    "reads": "reading jobs, against the usual stack",
    "upload": "uploading a training file, against the usual way",
}
"""Modules of this package, in the order in which they run."""


def main() -> None:
    """Run what is asked for."""
    # A shell that runs this in the background lets it ignore SIGINT, and every child inherits that:
    # a server would not notice that it is to end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parts = "\n".join(f"  {name:<12} {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Speed, as ratios against named rivals.",
        epilog=f"parts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="which; all where none is named")
    parser.add_argument("--threads", type=int, default=report.cores(), help="on both sides")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    found = run(asked.parts or list(PARTS), asked.threads)
    show(found)
    for short in (row for row in found if row.falls_short):
        print(f"short of what it should be: {short.what}", file=sys.stderr)
    if not asked.parts:
        threads = f"{asked.threads} threads on both sides"
        report.write_section("cpu", _section(found, threads))
        print("written to docs/benchmarks.md", file=sys.stderr)


def run(parts: Sequence[str], threads: int) -> list[Comparison]:
    """The comparisons of each part; of one that breaks off, a row that says why."""
    found: list[Comparison] = []
    for number, name in enumerate(parts, start=1):
        began = time.monotonic()
        print(f"{number} of {len(parts)}: {PARTS[name]}", file=sys.stderr, flush=True)
        try:
            rows = _comparisons(name, threads)
        except Exception as error:
            traceback.print_exc()
            rows = [_broken(name, error)]
        found += rows
        show(rows, file=sys.stderr)
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found


def _comparisons(name: str, threads: int) -> list[Comparison]:
    part = importlib.import_module(f"benchmarks.{name}")
    # Where nothing is computed, nobody is told how many threads there are.
    wants = "threads" in inspect.signature(part.comparisons).parameters
    found: list[Comparison] = part.comparisons(threads) if wants else part.comparisons()
    return found


def _broken(name: str, error: Exception) -> Comparison:
    trouble = f"{type(error).__name__}: {error}".partition("\n")[0]
    return Comparison(
        what=PARTS[name], rival="", unit="", ours=[], theirs=[], trouble=trouble[:200]
    )


def _section(found: Sequence[Comparison], threads: str) -> str:
    return f"""\
## On a processor

`make bench`:

{report.machine(threads)}

{report.table(found)}
"""


if __name__ == "__main__":
    main()
