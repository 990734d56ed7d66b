"""Keyset pages: a list is asked for by the last id seen, never by an offset."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """Up to `limit` items behind the one whose id is `after`.

    An id that the list does not hold gives an empty page.
    """

    limit: int
    after: str | None = None
    ascending: bool = False


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items of a list, and whether there are more."""

    items: tuple[Item, ...]
    has_more: bool = False
