"""Pages of a list: behind the last id seen, or by number where a door has nothing else."""

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


@dataclass(frozen=True, kw_only=True)
class NumberedPage:
    """The page `number`, from 1, of pages of `limit` items."""

    number: int
    limit: int

    @property
    def offset(self) -> int:
        """How many items lie on the pages before."""
        return (self.number - 1) * self.limit


@dataclass(frozen=True)
class NumberedItems(Generic[Item]):
    """The items of one numbered page, none where it is past the end, and how many there are."""

    items: tuple[Item, ...]
    total: int
