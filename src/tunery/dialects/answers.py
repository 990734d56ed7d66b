"""Answers as bytes: what a route gives back is encoded once, with no model in between."""

from collections.abc import Mapping

import msgspec
from fastapi import Response

_encoder = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """`value` (structs, dataclasses, mappings and lists of them) as JSON."""
    return _encoder.encode(value)


def answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`value` as a JSON response."""
    return Response(_encoder.encode(value), status, headers=headers, media_type="application/json")
