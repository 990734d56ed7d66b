"""The mask that a picture brings in its own transparency."""

import io

import pytest
from PIL import Image

from tunery.pictures.reading import ArchiveReader

READER = ArchiveReader()


def saved(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    written = io.BytesIO()
    image.save(written, form, **how)
    return written.getvalue()


def half_clear(width: int = 4, height: int = 2) -> Image.Image:
    """Red; the right half is transparent."""
    image = Image.new("RGBA", (width, height), (255, 0, 0, 255))
    image.paste((255, 0, 0, 0), (width // 2, 0, width, height))
    return image


def masked(data: bytes) -> Image.Image:
    mask = READER.read_transparency(data, param="image")
    assert mask is not None
    assert READER.size(mask) == READER.size(READER.read_picture(data, param="image"))
    return Image.open(io.BytesIO(mask))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_it_is_white_where_the_picture_is_transparent(form: str) -> None:
    how: dict[str, object] = {"lossless": True} if form == "WEBP" else {}
    mask = masked(saved(half_clear(), form, **how))
    assert mask.mode == "L"
    assert [mask.getpixel((x, 0)) for x in range(4)] == [0, 0, 255, 255]


def test_a_colour_that_is_meant_as_transparent_is_in_it() -> None:
    image = Image.new("RGB", (2, 1), (255, 0, 0))
    image.putpixel((1, 0), (0, 0, 255))
    mask = masked(saved(image, transparency=(0, 0, 255)))
    assert [mask.getpixel((x, 0)) for x in range(2)] == [0, 255]


def test_it_is_turned_upright_with_its_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = masked(saved(half_clear(), exif=exif))
    assert mask.size == (2, 4)
    assert [mask.getpixel((0, y)) for y in range(4)] == [0, 0, 255, 255]


def test_it_is_reduced_with_its_picture() -> None:
    mask = masked(saved(half_clear(3000, 2000), compress_level=1))
    assert mask.size < (3000, 2000)
    assert mask.getpixel((10, 10)) == 0
    assert mask.getpixel((mask.width - 10, 10)) == 255


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L"])
def test_of_a_picture_that_is_nowhere_transparent_there_is_none(mode: str) -> None:
    opaque = Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode)
    assert READER.read_transparency(saved(opaque), param="image") is None


def test_a_jpeg_has_none() -> None:
    jpeg = saved(Image.new("RGB", (4, 4)), "JPEG")
    assert READER.read_transparency(jpeg, param="image") is None
