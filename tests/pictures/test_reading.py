import io
import struct
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures.building import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    a_jpeg,
    a_png,
    a_webp,
    exif,
    png_chunk,
    quarters,
    saved,
    unzipped,
    zipped,
)
from tunery.core.errors import InvalidValue, Unavailable
from tunery.engines.picture_survey import survey
from tunery.pictures import decoding, reading
from tunery.pictures.reading import ArchiveReader

READER = ArchiveReader()
UPRIGHT = [RED, GREEN, BLUE, WHITE]
TURNED_BACK = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    assert not {"exif", "icc_profile", "dpi", "transparency"} & image.info.keys()
    return image


def read(data: bytes, name: str = "a.png") -> Image.Image:
    """The picture that becomes of `data` in an archive."""
    files = unzipped(READER.read_set(zipped({name: data})).archive)
    assert list(files) == ["0001.png"]
    image = opened(files["0001.png"])
    assert image.mode == "RGB"
    return image


def corners(image: Image.Image) -> list[object]:
    """The colours in the middles of its quarters."""
    width, height = image.size
    return [image.getpixel((width * x // 4, height * y // 4)) for y in (1, 3) for x in (1, 3)]


def assert_near(image: Image.Image, *, within: int = 6) -> None:
    """It shows the four quarters, as exactly as its format could keep them."""
    for found, wanted in zip(corners(image), UPRIGHT, strict=True):
        assert isinstance(found, tuple)
        assert all(abs(a - b) <= within for a, b in zip(found, wanted, strict=True)), found


# What becomes of an archive


def test_pictures_and_captions_are_kept_by_name_in_one_order() -> None:
    made = READER.read_set(
        zipped({"b.jpg": a_jpeg(), "a/c.webp": a_webp(), "b.txt": "a flag\n", "a.png": a_png()})
    )
    assert (made.n_pictures, made.n_captions) == (3, 1)
    files = unzipped(made.archive)
    assert list(files) == ["0001.png", "0002.png", "0003.png", "0003.txt"]
    assert files["0003.txt"] == b"a flag"
    assert corners(opened(files["0001.png"])) == UPRIGHT
    assert corners(opened(files["0002.png"])) == UPRIGHT
    assert_near(opened(files["0003.png"]))


def test_the_same_archive_comes_to_the_same_bytes_whatever_the_order_of_its_entries() -> None:
    files: dict[str, bytes | str] = {"b.jpg": a_jpeg(), "a.png": a_png(), "a.txt": "one"}
    turned = dict(reversed(files.items()))
    assert READER.read_set(zipped(files)) == READER.read_set(zipped(turned))


def test_what_is_written_has_no_time_of_its_own() -> None:
    with zipfile.ZipFile(io.BytesIO(READER.read_set(zipped({"a.png": a_png()})).archive)) as made:
        assert [info.date_time for info in made.infolist()] == [(1980, 1, 1, 0, 0, 0)]
        assert [info.external_attr >> 16 for info in made.infolist()] == [0o600]


def test_what_operating_systems_add_is_skipped() -> None:
    made = READER.read_set(
        zipped(
            {
                "set/": b"",
                "set/dog.png": a_png(),
                "set/dog.txt": "a dog",
                "set/.DS_Store": b"\0\0",
                "set/._dog.png": b"\0\x05\x16\x07",
                "set/Thumbs.db": b"\xd0\xcf",
                "set/desktop.ini": b"[.ShellClassInfo]",
                ".hidden/cat.png": b"no picture",
                "__MACOSX/set/._dog.txt": b"\0",
            }
        )
    )
    assert list(unzipped(made.archive)) == ["0001.png", "0001.txt"]


@pytest.mark.parametrize("name", ["a.JPG", "a.Jpeg", "a.PNG", "a.WebP", "./a.png", "é/日本 1.png"])
def test_endings_are_read_in_any_case_and_the_content_decides(name: str) -> None:
    for data in (a_png(), a_jpeg(), a_webp()):
        assert_near(read(data, name))


def test_of_more_pictures_than_allowed_only_the_number_is_kept() -> None:
    files: dict[str, bytes | str] = {f"{number:02}.png": b"not looked at" for number in range(21)}
    made = READER.read_set(zipped({**files, "00.txt": "one"}))
    assert (made.n_pictures, made.n_captions) == (21, 1)
    kept = unzipped(made.archive)
    assert list(kept) == [f"{number:04}.png" for number in range(1, 22)]
    assert set(kept.values()) == {b""}


def test_twenty_pictures_are_not_too_many() -> None:
    made = READER.read_set(zipped({f"{number}.png": a_png() for number in range(20)}))
    assert made.n_pictures == 20
    assert all(unzipped(made.archive).values())


def test_the_survey_counts_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(READER.read_set(zipped({"a.png": a_png(), "b.png": a_png()})).archive)
    report = survey(path)
    assert (report.n_examples, report.n_errors) == (2, 0)


# Captions


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"\xef\xbb\xbfa caf\xc3\xa9", "a café"),
        (b"  two\r\nlines\t here \n", "two lines here"),
        (("x" * 2_000).encode(), "x" * 2_000),
        (("日" * 2_000).encode("utf-8-sig"), "日" * 2_000),
        ("a 👩‍👩‍👧 family".encode(), "a 👩‍👩‍👧 family"),
    ],
)
def test_a_caption_is_kept_on_one_line_as_utf_8(written: bytes, kept: str) -> None:
    made = READER.read_set(zipped({"a.png": a_png(), "a.txt": written}))
    assert unzipped(made.archive)["0001.txt"].decode() == kept


@pytest.mark.parametrize("written", [b"", b" \n\t ", b"\xef\xbb\xbf"])
def test_an_empty_caption_is_none(written: bytes) -> None:
    made = READER.read_set(zipped({"a.png": a_png(), "a.TXT": written}))
    assert made.n_captions == 0
    assert list(unzipped(made.archive)) == ["0001.png"]


def test_two_pictures_with_one_stem_are_two_pictures() -> None:
    assert READER.read_set(zipped({"a.png": a_png(), "a.jpg": a_jpeg()})).n_pictures == 2


# Kinds of pictures


@pytest.mark.parametrize("orientation", TURNED_BACK)
@pytest.mark.parametrize(("form", "order"), [("JPEG", "<"), ("PNG", ">"), ("WEBP", "<")])
def test_a_picture_is_turned_upright(form: str, order: str, orientation: int) -> None:
    turn = TURNED_BACK[orientation]
    image = quarters(64, 32)
    stored = image if turn is None else image.transpose(turn)
    how: dict[str, object] = {"lossless": True} if form == "WEBP" else {}
    data = saved(stored, form, exif=b"Exif\0\0" + exif(orientation, order), **how)
    upright = read(data)
    assert upright.size == (64, 32)
    assert_near(upright)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        exif(6)[:-9],
        exif(0),
        exif(9),
        b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + bytes(40),
    ],
)
def test_damaged_metadata_do_not_spoil_a_picture(damaged: bytes) -> None:
    for form in ("JPEG", "PNG"):
        assert_near(read(saved(quarters(), form, exif=b"Exif\0\0" + damaged)))


def _palette(transparency: object = None) -> bytes:
    image = quarters().quantize(4)
    if transparency is None:
        return saved(image)
    return saved(image, transparency=transparency)


def _sixteen_bits() -> bytes:
    image = Image.new("I;16", (2, 1))
    image.putpixel((0, 0), 128 * 257)
    image.putpixel((1, 0), 65535)
    return saved(image)


def test_a_picture_in_print_colours_is_handled() -> None:
    image = read(saved(quarters().convert("CMYK"), "JPEG", quality=95), "a.jpg")
    assert_near(image)


def test_a_palette_is_handled() -> None:
    assert corners(read(_palette())) == UPRIGHT


def test_sixteen_bits_of_gray_become_eight() -> None:
    image = read(_sixteen_bits())
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(128,) * 3, (255,) * 3]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_a_picture_in_gray_is_handled(mode: str) -> None:
    image = read(saved(Image.new(mode, (4, 4), 255)))
    assert image.getpixel((1, 1)) == WHITE


def test_gray_with_transparency_lies_on_white() -> None:
    image = Image.new("LA", (2, 1), (0, 255))
    image.putpixel((1, 0), (0, 0))
    found = read(saved(image))
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), WHITE]


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_transparency_lies_on_white(form: str) -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    how: dict[str, object] = {"lossless": True, "exact": True} if form == "WEBP" else {}
    found = read(saved(image, form, **how))
    assert [found.getpixel((x, 0)) for x in range(3)] == [RED, WHITE, (127, 127, 127)]


@pytest.mark.parametrize("transparency", [0, bytes([0, 255, 255, 255])])
def test_a_transparent_colour_of_a_palette_lies_on_white(transparency: object) -> None:
    palette = quarters().quantize(4)
    hidden = [palette.getpixel((x, y)) == 0 for y in (4, 12) for x in (8, 24)]
    wanted = [WHITE if gone else kept for gone, kept in zip(hidden, UPRIGHT, strict=True)]
    assert corners(read(_palette(transparency))) == wanted


def test_a_colour_that_is_meant_as_transparent_lies_on_white() -> None:
    assert corners(read(saved(quarters(), transparency=RED))) == [WHITE, GREEN, BLUE, WHITE]


def test_of_an_animated_picture_the_first_frame_is_read() -> None:
    frames = [Image.new("RGB", (8, 8), BLUE)]
    for form in ("PNG", "WEBP"):
        how: dict[str, object] = {"lossless": True} if form == "WEBP" else {}
        data = saved(quarters(8, 8), form, save_all=True, append_images=frames, duration=50, **how)
        assert corners(read(data)) == UPRIGHT


def test_of_the_pictures_that_a_telephone_puts_into_one_file_the_first_is_read() -> None:
    data = saved(quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)])
    assert data.startswith(b"\xff\xd8\xff")
    assert_near(read(data, "a.jpg"), within=40)


def test_a_progressive_picture_is_handled() -> None:
    assert_near(read(saved(quarters(), "JPEG", progressive=True, quality=95)))


def test_a_flood_of_fill_bytes_in_a_jpeg_is_passed_over_at_once() -> None:
    jpeg = a_jpeg()
    began = time.process_time()
    assert_near(read(jpeg[:2] + b"\xff" * 2**25 + jpeg[2:], "a.jpg"))
    # Byte for byte it took five seconds.
    assert time.process_time() - began < 2


def test_metadata_that_pillow_warns_of_are_not_looked_at() -> None:
    data = a_png()
    controls = struct.pack(">II", 0, 0)
    header = data.index(b"IHDR") + 4 + 13 + 4
    animated = png_chunk(b"acTL", controls) * 2
    assert corners(read(data[:header] + animated + data[header:])) == UPRIGHT


# Sizes


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ((1024, 1024), (1024, 1024)),
        ((2048, 2048), (1024, 1024)),
        ((4000, 1000), (2048, 512)),
        ((1, 16), (1, 16)),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_has_a_megapixel_at_most(
    size: tuple[int, int], kept: tuple[int, int], form: str
) -> None:
    image = read(saved(quarters(*size), form))
    assert image.size == kept
    if min(kept) > 1:
        assert_near(image)


def test_a_large_picture_with_transparency_keeps_its_colours_when_it_is_reduced() -> None:
    image = quarters(3000, 1500)
    image.putalpha(Image.new("L", image.size, 255))
    assert_near(read(saved(image, compress_level=1)), within=2)


def test_a_picture_at_the_limit_of_pixels_is_read_and_one_above_is_not() -> None:
    assert read(saved(Image.new("1", (8000, 6250)), compress_level=1)).size == (1158, 905)
    with pytest.raises(InvalidValue, match=r"8,000 x 6,251 pixels"):
        read(saved(Image.new("1", (8000, 6251)), compress_level=1))


# Single pictures


def test_a_single_picture_is_upright_and_keeps_its_size() -> None:
    turned = quarters(1600, 1200).transpose(Image.Transpose.ROTATE_90)
    data = READER.read_picture(saved(turned, "JPEG", exif=b"Exif\0\0" + exif(6)), param="image")
    assert READER.size(data) == (1600, 1200)
    assert opened(data).mode == "RGB"
    assert_near(opened(data))


def test_a_single_picture_has_four_megapixels_at_most() -> None:
    data = READER.read_picture(saved(quarters(6000, 3000), "JPEG"), param="image")
    assert READER.size(data) == (2896, 1448)


def test_a_mask_is_gray_and_black_where_it_is_transparent() -> None:
    image = Image.new("RGBA", (3, 1), (255, 255, 255, 255))
    image.putpixel((1, 0), (255, 255, 255, 0))
    image.putpixel((2, 0), (0, 0, 0, 255))
    mask = opened(READER.read_mask(saved(image), param="mask"))
    assert mask.mode == "L"
    assert [mask.getpixel((x, 0)) for x in range(3)] == [255, 0, 0]


@pytest.mark.parametrize("read_one", [READER.read_picture, READER.read_mask])
@pytest.mark.parametrize("data", [b"", b"hello", a_png()[:40], saved(quarters(), "GIF")])
def test_what_is_no_picture_is_refused_with_its_parameter(
    read_one: Callable[..., bytes], data: bytes
) -> None:
    with pytest.raises(InvalidValue, match=r"^mask cannot be used: ") as caught:
        read_one(data, param="mask")
    assert caught.value.param == "mask"


# Turns


def test_who_waits_too_long_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ArchiveReader(longest_wait_s=0.05)
    inside, go_on = threading.Semaphore(0), threading.Event()
    decode = decoding.rgb

    def held(*given: object, **named: object) -> Image.Image:
        inside.release()
        assert go_on.wait(20)
        return decode(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "rgb", held)
    readers = [
        threading.Thread(target=reader.read_set, args=(zipped({"a.png": a_png()}),))
        for _ in range(2)
    ]
    for each in readers:
        each.start()
    for _ in readers:
        assert inside.acquire(timeout=20)
    try:
        with pytest.raises(Unavailable):
            reader.read_picture(a_png(), param="image")
    finally:
        go_on.set()
        for each in readers:
            each.join(20)
    assert READER.size(reader.read_picture(a_png(), param="image")) == (32, 16)


def test_only_a_few_wait_and_the_next_is_told_at_once_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "MOST_WAITING", 1)
    reader, go_on = ArchiveReader(longest_wait_s=20), threading.Event()
    decode = decoding.rgb

    def held(*given: object, **named: object) -> Image.Image:
        assert go_on.wait(20)
        return decode(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "rgb", held)
    with ThreadPoolExecutor(4) as callers:
        asked = {callers.submit(reader.read_picture, a_png(), param="image") for _ in range(4)}
        # Two are at it and one waits.
        refused, others = wait(asked, timeout=10, return_when=FIRST_COMPLETED)
        go_on.set()
    assert [type(each.exception()) for each in refused] == [Unavailable]
    assert [each.exception() for each in others] == [None] * 3


def test_a_refusal_gives_the_turn_back() -> None:
    reader = ArchiveReader(longest_wait_s=0.05)
    for _ in range(5):
        with pytest.raises(InvalidValue):
            reader.read_set(b"")
    assert reader.read_set(zipped({"a.png": a_png()})).n_pictures == 1


# Whatever comes

SAMPLES = [
    a_png(),
    a_jpeg(),
    a_webp(),
    _palette(bytes([0, 255, 255, 255])),
    saved(quarters(), "JPEG", progressive=True, exif=b"Exif\0\0" + exif(6)),
    saved(quarters(), "WEBP", exif=b"Exif\0\0" + exif(6)),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SAMPLES), st.data())
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(
    sample: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sample) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    with suppress(InvalidValue):
        assert READER.read_picture(bytes(damaged), param="image")


ARCHIVE = zipped({"a.png": a_png(), "a.txt": "one", "dir/b.jpg": a_jpeg()})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(ARCHIVE)
    # Headers and the table, rather than what is packed: most of that a checksum would catch.
    places = [
        *range(60),
        *range(ARCHIVE.index(b"PK\x01\x02"), len(ARCHIVE)),
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
    with suppress(InvalidValue):
        assert READER.read_set(bytes(damaged)).n_pictures


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.binary(min_size=3, max_size=3),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=50),
)
def test_small_pictures_and_captions_come_back_as_they_were(
    width: int, height: int, colour: bytes, caption: str
) -> None:
    if max(width, height) > 16 * min(width, height):
        return
    image = Image.new("RGB", (width, height), tuple(colour))
    made = READER.read_set(zipped({"a.png": saved(image), "a.txt": caption}))
    files = unzipped(made.archive)
    assert opened(files["0001.png"]).tobytes() == image.tobytes()
    said = " ".join(caption.removeprefix("\ufeff").split())
    assert files.get("0001.txt", b"").decode() == said
