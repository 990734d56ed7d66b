"""Prompts on the wire."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import LONGEST_TEXT, Body, Metadata, Name, Schemas
from tunery.dialects.fields import STORABLE


class PromptRequest(Body):
    """A question of a database."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), STORABLE]
    db_connection_id: Name
    schemas: Schemas | None = None
    metadata: Metadata | None = None


class PromptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A question, as every route answers it."""

    id: str
    metadata: Mapping[str, object] | None
    created_at: str
    text: str
    db_connection_id: str
    schemas: Sequence[str] | None
