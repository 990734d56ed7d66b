"""Pixels: a picture decoded within bounds, upright, on a plain ground, and not too large."""

import io
import math
import struct
import zlib
from collections.abc import Callable, Mapping

from PIL import Image, ImageChops, UnidentifiedImageError

from tunery.pictures.headers import BadPicture, Picture, PictureFormat

MOST_PIXELS: Mapping[PictureFormat, int] = {
    "JPEG": 50_000_000,
    "PNG": 50_000_000,
    "WEBP": 25_000_000,
}
"""Of a picture as it comes; cameras of telephones take 50 megapixels.

By memory: about 500 MB at these limits. The decoder of WebP, which holds several frames at once,
takes twice as much for a pixel as the others do.
"""
MEGAPIXEL = 1024 * 1024
Size = tuple[int, int]
_MOST_STRETCHED = 16
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation, as `PIL.ImageOps.exif_transpose` has them."""


def rgb(picture: Picture, *, most_pixels: int, ground: str = "white") -> Image.Image:
    """The first frame of `picture`; where it is transparent, one sees the `ground`.

    Raises:
        BadPicture: it is too large, or cannot be decoded to its end.
    """
    return _decoded(picture, most_pixels, lambda image, size: _plain(image, size, ground))


def transparency(picture: Picture, *, most_pixels: int) -> Image.Image | None:
    """In gray, white where one sees through `picture`; None where one does so nowhere.

    It has the size of what `rgb` makes of the same picture, and raises as that does.
    """
    clear = _decoded(picture, most_pixels, _clear)
    return clear if clear.getextrema() != (0, 0) else None


def _decoded(
    picture: Picture, most_pixels: int, made: Callable[[Image.Image, Size], Image.Image]
) -> Image.Image:
    """What `made` makes of the first frame and the size that it is to have, upright."""
    _check_size(picture)
    try:
        with Image.open(io.BytesIO(picture.data), formats=(picture.format,)) as image:
            _check_same_size(picture, image)
            size = _reduced_size(image.size, most_pixels)
            # A JPEG is decoded at an eighth, a quarter or half of its size where that will do.
            image.draft(None, (2 * size[0], 2 * size[1]))
            return _upright(made(image, size), picture.orientation)
    # None says anything that helps; a palette that is missing is an assertion.
    except (UnidentifiedImageError, AssertionError, Image.DecompressionBombError) as damage:
        raise BadPicture("it cannot be decoded (its header is damaged)") from damage
    # What Pillow is found to raise of files that are damaged, or made to be.
    except (
        OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError,
        struct.error, zlib.error, MemoryError,
    ) as damage:  # fmt: skip
        raise BadPicture(f"it cannot be decoded ({damage})") from damage


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file with the pixels of `image`, and nothing else."""
    image.info.clear()
    written = io.BytesIO()
    image.save(written, format="PNG")
    return written.getvalue()


def _check_size(picture: Picture) -> None:
    width, height, most = picture.width, picture.height, MOST_PIXELS[picture.format]
    if not width or not height:
        raise BadPicture("its header says no size")
    if width * height > most:
        raise BadPicture(
            f"it has {width:,} x {height:,} pixels; at most {most // 1_000_000} megapixels of a "
            f"{picture.format} picture are read, so reduce it"
        )
    if max(width, height) > _MOST_STRETCHED * min(width, height):
        raise BadPicture(
            f"it has {width:,} x {height:,} pixels; the longer side may be at most "
            f"{_MOST_STRETCHED} times the shorter one"
        )


def _check_same_size(picture: Picture, image: Image.Image) -> None:
    """Refuse a file with two headers, of which the decoder would go by the larger one."""
    if image.size != (picture.width, picture.height):
        raise BadPicture(
            f"its headers say two sizes, {picture.width:,} x {picture.height:,} and "
            f"{image.width:,} x {image.height:,} pixels; save it anew"
        )


def _reduced_size(size: Size, most_pixels: int) -> Size:
    """The largest of the same shape that has at most so many pixels."""
    width, height = size
    scale = min(1.0, math.sqrt(most_pixels / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _plain(image: Image.Image, size: Size, ground: str) -> Image.Image:
    """`image` in RGB and of that size."""
    if image.mode == "I;16":
        image = _eight_bits(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    plain = image.convert(mode) if image.mode != mode else image
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if mode == "RGB":
        plain.load()
        return plain
    flat = Image.new("RGB", size, ground)
    flat.paste(plain, mask=plain.getchannel("A"))
    return flat


def _clear(image: Image.Image, size: Size) -> Image.Image:
    """How far one sees through `image`, of that size; 0 is not at all."""
    # Of sixteen bits of gray no colour counts as transparent.
    if image.mode == "I;16" or not image.has_transparency_data:
        return Image.new("L", size)
    alpha = image.convert("RGBA").getchannel("A")
    if alpha.size != size:
        alpha = alpha.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return ImageChops.invert(alpha)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen bits of gray as eight; a colour that is meant as transparent is shown."""
    image.load()
    image.info.pop("transparency", None)
    # A conversion alone would cut off all above 255.
    return image.point(lambda value: value * (1 / 257)).convert("L")


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
