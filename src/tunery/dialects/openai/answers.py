"""Answers as bytes: what a route gives back is encoded once, with no model in between."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import msgspec
from fastapi import Response

Item = TypeVar("Item")

_encoder = msgspec.json.Encoder()


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


def encode(value: object) -> bytes:
    """`value` (structs, dataclasses, mappings and lists of them) as JSON."""
    return _encoder.encode(value)


def answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`value` as a JSON response."""
    return Response(_encoder.encode(value), status, headers=headers, media_type="application/json")
