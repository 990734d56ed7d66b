"""Pictures are learnt in their own shape, at about the size that the model was made for."""

import pytest
from PIL import Image

from tunery.trainers.images.buckets import Size, bucket, fitted


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 1024), (1024, 1024)),
        ((4000, 4000), (1024, 1024)),
        ((1000, 1000), (1024, 1024)),
        ((700, 700), (1024, 1024)),
        ((600, 600), (768, 768)),
        ((400, 400), (512, 512)),
        ((32, 32), (512, 512)),
        ((990, 1010), (1024, 1024)),
        ((1365, 768), (1360, 768)),
        ((768, 1365), (768, 1360)),
        ((3000, 2000), (1248, 832)),
        ((9000, 1000), (1456, 720)),
    ],
)
def test_a_picture_keeps_its_shape_and_is_not_blown_up(size: Size, expected: Size) -> None:
    assert bucket(size, native_side=1024, multiple=16) == expected


@pytest.mark.parametrize("width", range(200, 3000, 130))
@pytest.mark.parametrize("height", [333, 1024, 1501])
def test_sides_are_multiples_and_the_area_no_larger_than_the_models(
    width: int, height: int
) -> None:
    found = bucket((width, height), native_side=1024, multiple=16)
    assert found[0] % 16 == found[1] % 16 == 0
    assert found[0] * found[1] <= 1.03 * 1024**2
    assert min(found) >= 352


def test_what_does_not_fit_is_cut_around_the_middle_evenly() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (95, 0, 205, 100))
    square = fitted(image, (50, 50))
    assert square.size == (50, 50)
    assert square.getextrema() == ((255, 255),) * 3


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    image = Image.new("RGB", (32, 32), "red")
    assert fitted(image, (32, 32)) is image
