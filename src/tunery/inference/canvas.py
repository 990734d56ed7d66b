"""Pictures between the size that a model draws and the size that was asked for."""

import io
import math
from typing import Literal

import numpy as np
from PIL import Image

from tunery.core.errors import InvalidValue
from tunery.core.image_generations import ImageFormat

Size = tuple[int, int]
"""Width and height in pixels."""

_MOST_PIXELS = 1440 * 1440
"""More than these no FLUX.1 model was made for (BFL's reference, width and height)."""


def drawing_size(asked: Size, *, multiple: int) -> Size:
    """The size in multiples of `multiple` that a large model draws for one that was asked for."""
    shrink = min(1.0, math.sqrt(_MOST_PIXELS / (asked[0] * asked[1])))
    width, height = (max(1, round(side * shrink / multiple)) * multiple for side in asked)
    return width, height


def extended(picture: Image.Image, size: Size) -> Image.Image:
    """All of `picture`, undistorted, in the middle of `size`; its edges go on where it ends."""
    if picture.size == size:
        return picture
    return _widened(_contained(picture, size, Image.Resampling.BICUBIC), size, "edge")


def cropped(picture: Image.Image, size: Size) -> Image.Image:
    """The middle of `picture`, undistorted, as much of it as fills `size`; undoes `extended`."""
    if picture.size == size:
        return picture
    scale = max(size[0] / picture.width, size[1] / picture.height)
    left, top = ((side - of / scale) / 2 for side, of in zip(picture.size, size, strict=True))
    box = (left, top, picture.width - left, picture.height - top)
    return picture.resize(size, Image.Resampling.BICUBIC, box=box)


def extended_mask(mask: Image.Image, size: Size, *, cell: int) -> Image.Image:
    """`mask` as `extended` makes its picture, black around it; a latent cell is white if touched.

    A cell is `cell` pixels wide and high, and drawn anew as a whole.
    """
    spread = _widened(_contained(mask, size, Image.Resampling.BOX), size, "constant")
    cells = spread.resize((size[0] // cell, size[1] // cell), Image.Resampling.BOX)
    touched = Image.fromarray(np.where(np.asarray(cells) > 0, 255, 0).astype(np.uint8))
    return touched.resize(size, Image.Resampling.NEAREST)


def opened(png: bytes, mode: Literal["RGB", "L"]) -> Image.Image:
    """A picture or a mask that was read before."""
    return Image.open(io.BytesIO(png), formats=["PNG"]).convert(mode)


def opened_mask(png: bytes | None, size: Size) -> Image.Image:
    """The mask for a picture of `size`; without one everything is drawn anew.

    Raises:
        InvalidValue: it has another size.
    """
    if png is None:
        return Image.new("L", size, 255)
    mask = opened(png, "L")
    if mask.size != size:
        raise InvalidValue(
            f"the mask has {mask.width} x {mask.height} pixels; it must have as many as the image, "
            f"{size[0]} x {size[1]}",
            param="mask",
        )
    return mask


def encoded(picture: Image.Image, format: ImageFormat) -> bytes:
    """`picture` as a file of that format, with nothing in it but pixels."""
    # What was read with a picture goes with it into the next file, comments included.
    picture, file = Image.fromarray(np.asarray(picture)), io.BytesIO()
    match format:
        case "jpeg":
            picture.save(file, "JPEG", quality=95)
        case "png":
            picture.save(file, "PNG")
        case "webp":
            picture.save(file, "WEBP", quality=95)
    return file.getvalue()


def _contained(picture: Image.Image, size: Size, how: Image.Resampling) -> Image.Image:
    """As large as it can be within `size`, undistorted."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), how)


def _widened(picture: Image.Image, size: Size, around: Literal["edge", "constant"]) -> Image.Image:
    """`picture` in the middle of `size`, with its edge pixels or black around it."""
    left, top = (size[0] - picture.width) // 2, (size[1] - picture.height) // 2
    pixels = np.asarray(picture)
    margins = [
        (top, size[1] - picture.height - top),
        (left, size[0] - picture.width - left),
        (0, 0),
    ]
    return Image.fromarray(np.pad(pixels, margins[: pixels.ndim], mode=around))
