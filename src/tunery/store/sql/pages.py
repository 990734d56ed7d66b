"""Pages of a list: behind a sequence, which an index finds at once, or by their number."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.store.sql.database import Database, Row
from tunery.store.statements.parts import NEWEST
from tunery.store.statements.query import Query

Item = TypeVar("Item")


def read_page(
    database: Database,
    query: Query,
    parameters: Mapping[str, object],
    request: PageRequest,
    *,
    after: int | None,
    item: Callable[[Row], Item],
) -> Page[Item]:
    """Up to `limit` items behind `after`, and whether there are more; None: from the beginning."""
    if request.limit < 1:
        return Page(())
    if after is None:
        after = 0 if request.ascending else NEWEST
    bounds = {"after": after, "count": request.limit + 1}
    found = database.all(query, {**parameters, **bounds})
    items = tuple(item(row) for row in found[: request.limit])
    return Page(items, has_more=len(found) > request.limit)


def read_numbered(
    database: Database,
    query: Query,
    count: Query,
    parameters: Mapping[str, object],
    page: NumberedPage,
    *,
    item: Callable[[Row], Item],
) -> NumberedItems[Item]:
    """The items of `page`, none where it is past the end, and how many there are in all."""
    counted = database.one(count, parameters)
    total = 0 if counted is None else int(counted[0])
    # Not asked for where there can be none: a number may be larger than databases count.
    if page.limit < 1 or page.offset >= total:
        return NumberedItems((), total=total)
    bounds = {"count": page.limit, "skipped": page.offset}
    found = database.all(query, {**parameters, **bounds})
    return NumberedItems(tuple(item(row) for row in found), total=total)
