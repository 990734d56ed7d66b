"""Types that the requests of several dialects share."""

from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half of a surrogate pair, which is no character") from error
    return value


STORABLE = AfterValidator(_storable)
"""What makes text such as `Text`; behind a limit, so that the limit speaks of characters."""

Text = Annotated[str, STORABLE]
"""Text that can be written and kept: JSON can hold halves of characters, PostgreSQL no U+0000."""


def _suffix(value: Any) -> str | None:  # noqa: ANN401
    if value is None or (
        isinstance(value, str)
        and 1 <= len(value) <= 64
        and value.isprintable()
        and not set(value) & set(":/")
    ):
        return value
    raise ValueError(f'{value!r} must have 1 to 64 printable characters, none of them ":" or "/"')


Suffix = Annotated[str | None, PlainValidator(_suffix, json_schema_input_type=str | None)]
"""What a caller adds to the name of the model to be; part of it, and so without its separators."""
