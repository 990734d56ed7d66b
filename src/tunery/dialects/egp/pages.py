"""Lists in pages by number, in the envelope that `scale-gp` walks until one is empty."""

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from fastapi import Depends, Query

from tunery.core.pages import NumberedItems, NumberedPage

Item = TypeVar("Item")

DEFAULT_PER_PAGE = 100
MOST_PER_PAGE = 10_000
_LAST_PAGE = 2**40
"""No list is as long, and a larger offset than it gives could not be counted with."""


async def _page_wanted(
    page: Annotated[int, Query(ge=1, le=_LAST_PAGE)] = 1,
    limit: Annotated[int, Query(ge=1, le=MOST_PER_PAGE)] = DEFAULT_PER_PAGE,
) -> NumberedPage:
    return NumberedPage(number=page, limit=limit)


PageWanted = Annotated[NumberedPage, Depends(_page_wanted)]
"""The page that a query asks for."""


class ItemPage(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A page of a list; one past the end has no items."""

    items: Sequence[Item]
    current_page: int
    items_per_page: int
    total_item_count: int


def item_page(items: Sequence[Item], total: int, page: NumberedPage) -> ItemPage[Item]:
    """The answer with the `items` of `page`, of `total` in all."""
    return ItemPage(
        items=items,
        current_page=page.number,
        items_per_page=page.limit,
        total_item_count=total,
    )


def cut(items: Sequence[Item], page: NumberedPage) -> NumberedItems[Item]:
    """The part of `items` that is on `page`."""
    return NumberedItems(tuple(items[page.offset : page.offset + page.limit]), len(items))
