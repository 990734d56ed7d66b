"""Every caption has the trigger word in it, wherever the rest comes from."""

from pathlib import Path

import pytest
from PIL import Image

from tests.trainers.images.conftest import write_set
from tunery.core.errors import InvalidFile
from tunery.core.method import Mode
from tunery.trainers.images.captions import TEMPLATES, captions, replaced, with_trigger
from tunery.trainers.images.pictures import Picture, read_pictures

GRAY = Image.new("RGB", (8, 8), "gray")


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red TOK", "a red TOK"),
        ("TOK", "TOK"),
        ("TOK's hat", "TOK's hat"),
        ("a red ring", "TOK, a red ring"),
        ("a TOKEN", "TOK, a TOKEN"),
        ("a tok", "TOK, a tok"),
        ("  a red\n ring ", "TOK, a red ring"),
        ("", "TOK"),
    ],
)
def test_the_trigger_word_is_put_in_where_it_is_missing(caption: str, expected: str) -> None:
    assert with_trigger(caption, "TOK") == expected


def test_a_trigger_word_is_no_pattern() -> None:
    assert with_trigger("a c++ dog", "c++") == "a c++ dog"
    assert with_trigger("a ccc dog", "c++") == "c++, a ccc dog"
    assert replaced("a c++ dog", "c++", r"\1") == r"a \1 dog"


def named(
    caption: str | None, *, mode: Mode = "general", captioning: bool = True, seen: str | None = None
) -> list[str]:
    return captions(
        [Picture(image=GRAY, caption=caption)] * 5,
        trigger_word="zorb",
        mode=mode,
        captioning=captioning,
        describe=None if seen is None else lambda image: seen,
    )


def test_an_owners_caption_goes_before_everything_else() -> None:
    assert named("a hat", seen="a cat") == ["zorb, a hat"] * 5
    assert named("a hat", captioning=False) == ["zorb, a hat"] * 5


def test_without_captioning_the_trigger_word_stands_alone() -> None:
    assert named(None, captioning=False, seen="a cat") == ["zorb"] * 5


def test_a_model_that_sees_describes_what_has_no_caption() -> None:
    assert named(None, seen="a cat") == ["zorb, a cat"] * 5


@pytest.mark.parametrize("mode", list(TEMPLATES))
def test_without_such_a_model_templates_of_the_mode_take_turns(mode: Mode) -> None:
    found = named(None, mode=mode)
    assert found[:4] == [template.format("zorb") for template in TEMPLATES[mode]]
    assert found[4] == found[0]
    assert len(set(found)) == 4
    assert all("zorb" in caption for caption in found)


def test_pictures_come_with_their_captions_in_order(tmp_path: Path) -> None:
    shades = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(12)]
    path = write_set(
        tmp_path / "set",
        [(image, f"shade {n} é" if n % 2 else None) for n, image in enumerate(shades)],
    )
    found = read_pictures(path)
    assert [picture.image.getpixel((0, 0)) for picture in found] == [(n, 0, 0) for n in range(12)]
    assert [picture.caption for picture in found][:4] == [None, "shade 1 é", None, "shade 3 é"]


def test_an_empty_set_and_no_set_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no pictures"):
        read_pictures(write_set(tmp_path / "empty", []))
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(InvalidFile, match="cannot be read"):
        read_pictures(tmp_path / "text")
