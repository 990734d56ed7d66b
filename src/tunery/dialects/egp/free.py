"""Free maps, which are kept and given back as they came: of bounded size, and JSON throughout."""

from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator

MOST_BYTES = 16 * 1024


def _keepable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        encoded = msgspec.json.encode(value)
        is_same = msgspec.json.decode(encoded) == value
    except (UnicodeEncodeError, OverflowError, RecursionError, msgspec.DecodeError) as error:
        raise ValueError(f"holds what cannot be kept: {error}") from error
    if not is_same:
        raise ValueError("holds a number that JSON has no word for")
    if len(encoded) > MOST_BYTES:
        raise ValueError(f"takes {len(encoded)} bytes of JSON; {MOST_BYTES} are allowed")
    return value


FreeMap = Annotated[dict[str, Any], AfterValidator(_keepable)]
"""An object whose keys are the caller's own."""
