"""Bare arrays, written as their items come, so that a long one takes no memory."""

from collections.abc import Iterable, Iterator

import msgspec

from tunery.dialects.answers import encode

_BLOCK_BYTES = 64 * 1024


def json_array(items: Iterable[msgspec.Struct]) -> Iterator[bytes]:
    """The JSON array of `items`, in pieces of some size."""
    block = bytearray(b"[")
    between = b""
    for item in items:
        block += between + encode(item)
        between = b","
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block + b"]")
