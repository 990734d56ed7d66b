"""Ids as Dataherald's clients write them: 24 hexadecimal digits and nothing else."""

import re

from tunery.core.errors import InvalidValue

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_SHOWN = 80


def is_object_id(text: str) -> bool:
    """Whether `text` is an id as MongoDB makes them."""
    return _OBJECT_ID.fullmatch(text) is not None


def object_id(given: str, *, param: str) -> str:
    """`given` as ids are kept.

    Raises:
        InvalidValue: it cannot be an id of anything.
    """
    if not is_object_id(given):
        raise InvalidValue(
            f"{given[:_SHOWN]!r} is not a valid ObjectId; it must be 24 hexadecimal digits",
            param=param,
            code="invalid_object_id",
        )
    return given.lower()
