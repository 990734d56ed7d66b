"""Word lists, as the generators of texts and examples write them."""

from __future__ import annotations


def listed(text: str) -> tuple[str, ...]:
    """The words of `text`, which blanks separate."""
    return tuple(text.split())
