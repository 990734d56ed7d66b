"""Pages of the reference, each made from what the program itself says."""

from collections.abc import Sequence

NOTE = "<!-- Made by `python -m scripts.make_reference`; change the code, not this page. -->"


def cell(text: str) -> str:
    """`text` as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A table's lines, an empty one behind them."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]
    return [*lines, ""]
