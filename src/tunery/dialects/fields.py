"""Types that the requests of several dialects share."""

from typing import Annotated

from pydantic import AfterValidator


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
