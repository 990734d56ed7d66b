"""Prompts on the wire."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import Body, Metadata
from tunery.dialects.fields import Text

MOST_SCHEMAS = 100
_LONGEST_TEXT = 32_768
_LONGEST_NAME = 512


class PromptRequest(Body):
    """A question of a database."""

    text: Annotated[Text, Field(min_length=1, max_length=_LONGEST_TEXT)]
    db_connection_id: Annotated[Text, Field(max_length=_LONGEST_NAME)]
    schemas: Annotated[list[Text], Field(max_length=MOST_SCHEMAS)] | None = None
    metadata: Metadata | None = None


class PromptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A question, as every route answers it."""

    id: str
    metadata: Mapping[str, object] | None
    created_at: str
    text: str
    db_connection_id: str
    schemas: Sequence[str] | None
