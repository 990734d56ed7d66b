"""What lists and deletions answer."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

Item = TypeVar("Item")


class ListPage(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A page of a list, as the `openai` client walks it."""

    object: str = "list"
    data: Sequence[Item]
    has_more: bool


class ListPageWithEnds(ListPage[Item], frozen=True, kw_only=True):
    """A page that also names its first and last item; null where it is empty."""

    first_id: str | None
    last_id: str | None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delete answers."""

    id: str
    object: str
    deleted: bool = True
