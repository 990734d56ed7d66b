"""What requests and answers of all resources hold: ids, metadata, secrets, times, pages."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

from tunery.core.pages import NumberedPage
from tunery.dialects.fields import STORABLE, Text
from tunery.service.text_to_sql.ids import is_object_id

LARGEST_METADATA = 64 * 1024
LONGEST_SECRET = 8192
LONGEST_TEXT = 32_768
_DEEPEST_METADATA = 32
_LAST_PAGE = 1_000_000
_LONGEST_PAGE = 10_000


class Body(BaseModel):
    """The base of every request body; fields that nobody knows are ignored, as the engine does."""

    model_config = ConfigDict(coerce_numbers_to_str=True, hide_input_in_errors=True)


def stamped(time: datetime) -> str:
    """A time as the engine writes it: ISO text with `+00:00`."""
    return time.isoformat()


def page(
    page: Annotated[int, Query(ge=1, le=_LAST_PAGE)] = 1,
    limit: Annotated[int, Query(ge=1, le=_LONGEST_PAGE)] = 10,
) -> NumberedPage:
    """The page that a query asks for."""
    return NumberedPage(number=page, limit=limit)


def _object_id(text: str) -> str:
    if not is_object_id(text):
        raise ValueError("Must be a valid ObjectId")
    return text.lower()


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not text.isprintable():
        raise ValueError("must not hold characters that cannot be printed")
    if len(text) > LONGEST_SECRET:
        raise ValueError(f"must not be longer than {LONGEST_SECRET} characters")
    return value


def _metadata(value: Mapping[str, Any]) -> Mapping[str, Any]:
    _check_depth(value, _DEEPEST_METADATA)
    try:
        size = len(msgspec.json.encode(value))
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a surrogate pair, which is no character") from error
    if size > LARGEST_METADATA:
        raise ValueError(f"must not be larger than {LARGEST_METADATA} bytes as JSON")
    return value


def _check_depth(value: object, levels: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not hold NaN or Infinity, which are not JSON")
    if not isinstance(value, dict | list):
        return
    if levels == 0:
        raise ValueError(f"must not be nested more than {_DEEPEST_METADATA} levels deep")
    for each in value.values() if isinstance(value, dict) else value:
        _check_depth(each, levels - 1)


Name = Annotated[str, Field(max_length=512), STORABLE]
"""What something is called."""

LongText = Annotated[str, Field(max_length=LONGEST_TEXT), STORABLE]
"""What somebody has to say."""

Schemas = Annotated[list[Name], Field(max_length=100)]
"""The schemas of a database."""

ObjectId = Annotated[Text, AfterValidator(_object_id)]
"""An id in a body or query: 24 hexadecimal digits."""

Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
"""A free map."""

SecretText = Annotated[
    SecretStr, AfterValidator(_secret), PlainSerializer(lambda _: None, return_type=None)
]
"""What is never repeated: null where the request is shown again."""


class UpdateMetadata(Body):
    """The body of every call that replaces metadata, whole."""

    metadata: Metadata | None = None
