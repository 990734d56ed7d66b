"""Prompts on the wire."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import Body, Metadata
from tunery.dialects.fields import STORABLE

MOST_SCHEMAS = 100
_LONGEST_TEXT = 32_768
_LONGEST_NAME = 512

Name = Annotated[str, Field(max_length=_LONGEST_NAME), STORABLE]


class PromptRequest(Body):
    """A question of a database."""

    text: Annotated[str, Field(min_length=1, max_length=_LONGEST_TEXT), STORABLE]
    db_connection_id: Name
    schemas: Annotated[list[Name], Field(max_length=MOST_SCHEMAS)] | None = None
    metadata: Metadata | None = None


class PromptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A question, as every route answers it."""

    id: str
    metadata: Mapping[str, object] | None
    created_at: str
    text: str
    db_connection_id: str
    schemas: Sequence[str] | None
