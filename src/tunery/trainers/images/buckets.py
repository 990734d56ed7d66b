"""Sizes to learn pictures at: their own shape, about as many pixels as the model was made for.

Pictures of one size are learnt together, since a batch is one tensor. None is mirrored: letters,
faces and handed shapes would be learnt wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

Size = tuple[int, int]
"""Width and height, in pixels."""

_LEVELS = (1.0, 0.75, 0.5)
"""Shares of the native side: a picture much smaller than the model's size is not blown up to it."""
_MOST_ENLARGED = 1.5
_ASPECTS = (1.0, 5 / 4, 4 / 3, 3 / 2, 16 / 9, 2.0)
"""Of the longer side to the shorter. Few, so that pictures of much the same shape come together."""


def bucket(size: Size, *, native_side: int, multiple: int) -> Size:
    """The size to learn a picture of `size` at; both sides are multiples of `multiple`."""
    width, height = size
    aspect = min(
        (*_ASPECTS, *(1 / aspect for aspect in _ASPECTS)),
        key=lambda aspect: abs(math.log(aspect * height / width)),
    )
    reach = _MOST_ENLARGED * math.sqrt(width * height) / native_side
    level = next((level for level in _LEVELS if level <= reach), _LEVELS[-1])
    side = level * native_side
    return (
        _nearest(side * math.sqrt(aspect), multiple),
        _nearest(side / math.sqrt(aspect), multiple),
    )


def fitted(image: Image.Image, size: Size) -> Image.Image:
    """`image` at `size`: scaled until it covers it, then cut around the middle."""
    if image.size == size:
        return image
    scale = max(size[0] / image.width, size[1] / image.height)
    width, height = size[0] / scale, size[1] / scale
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))


def largest(sizes: Sequence[Size]) -> Size:
    """The one with the most pixels."""
    return max(sizes, key=lambda size: size[0] * size[1])


def _nearest(length: float, multiple: int) -> int:
    return max(multiple, round(length / multiple) * multiple)
