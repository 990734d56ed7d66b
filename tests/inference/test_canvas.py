"""Pictures keep their shape between the size that is drawn and the size that was asked for."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.inference.tiny_image import png
from tunery.core.errors import InvalidValue
from tunery.core.image_generations import ImageFormat
from tunery.inference.canvas import (
    Size,
    cropped,
    drawing_size,
    encoded,
    extended,
    extended_mask,
    opened,
    opened_mask,
)


def disc(size: Size, box: tuple[int, int, int, int]) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse(box, fill="red")
    return picture


def extent(picture: Image.Image) -> tuple[int, int, int, int]:
    """The box around what is red rather than white."""
    red = np.asarray(picture)[..., 1] < 128
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((1024, 768), (1024, 768)),
        ((1000, 700), (992, 704)),
        ((4, 4), (16, 16)),
        ((1440, 1440), (1440, 1440)),
        ((6000, 3000), (2032, 1024)),
    ],
)
def test_large_models_draw_about_the_asked_size(asked: Size, drawn: Size) -> None:
    assert drawing_size(asked, multiple=16) == drawn


@pytest.mark.parametrize("size", [(1024, 768), (300, 900), (64, 64), (2048, 32)])
def test_a_square_picture_becomes_any_size_and_a_disc_in_it_stays_round(size: Size) -> None:
    made = extended(disc((32, 32), (8, 8, 23, 23)), size)
    assert made.size == size
    left, top, right, bottom = extent(made)
    assert abs((right - left) - (bottom - top)) <= 1 + min(size) / 200
    assert right - left == pytest.approx(min(size) / 2, rel=0.1)
    assert abs(left + right - size[0]) <= 2
    assert abs(top + bottom - size[1]) <= 2
    assert made.getpixel((0, 0)) == (255, 255, 255)


def test_where_the_picture_ends_its_edges_go_on() -> None:
    halves = Image.new("RGB", (32, 32), "blue")
    halves.paste("green", (0, 16, 32, 32))
    made = np.asarray(extended(halves, (320, 64)))
    assert (made[:, :1] == made[:, 160:161]).all()
    assert (made[:, -1:] == made[:, 160:161]).all()


@pytest.mark.parametrize("size", [(640, 320), (320, 640), (333, 127), (5000, 3)])
def test_a_picture_that_was_extended_is_found_again(size: Size) -> None:
    ramp = np.linspace(0, 255, size[0]).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ramp[None, :, None], (size[1], size[0], 3)))
    again = cropped(extended(picture, (64, 64)), size)
    assert again.size == size
    difference = np.asarray(again).astype(int) - np.asarray(picture).astype(int)
    assert np.abs(difference).mean() < 4


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    picture = disc((64, 48), (3, 3, 30, 30))
    assert extended(picture, (64, 48)) is picture
    assert cropped(picture, (64, 48)) is picture


def test_every_cell_that_a_mask_touches_is_drawn_anew_and_no_other() -> None:
    mask = Image.new("L", (640, 320))
    mask.paste(255, (300, 100, 340, 104))
    made = np.asarray(extended_mask(mask, (32, 32), cell=4))
    assert set(np.unique(made)) == {0, 255}
    # 20 pixels of the mask are one here, and its picture begins at row 8.
    white = np.argwhere(made)
    assert white.min(axis=0).tolist() == [12, 12]
    assert white.max(axis=0).tolist() == [15, 19]


def test_what_surrounds_the_picture_is_not_drawn_anew() -> None:
    made = np.asarray(extended_mask(Image.new("L", (640, 320), 255), (32, 32), cell=4))
    assert made[8:24].all()
    assert not made[:8].any()
    assert not made[24:].any()


def test_without_a_mask_everything_is_drawn_anew() -> None:
    assert opened_mask(None, (6, 4)).getextrema() == (255, 255)


def test_a_mask_of_another_size_is_refused() -> None:
    mask = png(np.zeros((4, 6), np.uint8))
    assert opened_mask(mask, (6, 4)).size == (6, 4)
    with pytest.raises(InvalidValue, match=r"6 x 4 pixels.*4 x 6") as refused:
        opened_mask(mask, (4, 6))
    assert refused.value.param == "mask"


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_every_format_holds_the_picture_and_nothing_else(format: ImageFormat) -> None:
    picture = disc((64, 48), (8, 8, 40, 40))
    picture.info["comment"] = b"secret"
    file = encoded(picture, format)
    read = Image.open(io.BytesIO(file))
    assert (read.format, read.size, read.mode) == (format.upper(), (64, 48), "RGB")
    assert not read.getexif()
    assert b"secret" not in file
    difference = np.asarray(read).astype(int) - np.asarray(picture).astype(int)
    assert np.abs(difference).mean() < (0.01 if format == "png" else 4)


def test_a_picture_is_read_in_the_colours_that_are_needed() -> None:
    assert opened(png(np.zeros((4, 6), np.uint8)), "RGB").getbands() == ("R", "G", "B")
