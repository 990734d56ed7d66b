"""Golden SQL on the wire."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import LONGEST_TEXT, Body, Metadata, ObjectId
from tunery.dialects.fields import STORABLE

MOST_AT_ONCE = 10_000

_Text = Annotated[str, Field(min_length=3, max_length=LONGEST_TEXT), STORABLE]


class GoldenSqlRequest(Body):
    """A question with its SQL."""

    db_connection_id: ObjectId
    prompt_text: _Text
    sql: _Text
    metadata: Metadata | None = None


GoldenSqlRequests = Annotated[list[GoldenSqlRequest], Field(max_length=MOST_AT_ONCE)]


class GoldenSqlResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A golden record."""

    id: str
    db_connection_id: str
    prompt_text: str
    sql: str
    metadata: Mapping[str, object] | None
    created_at: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delete answers, whether or not there was anything."""

    status: bool = True
