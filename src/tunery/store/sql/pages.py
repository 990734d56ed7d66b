"""Keyset pages: a list goes on behind a sequence, which an index finds at once."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from tunery.core.pages import Page, PageRequest
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
