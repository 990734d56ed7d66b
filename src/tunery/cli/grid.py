"""Pictures side by side, with what was asked for above each and who drew it beside them."""

import io
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_SIDE = 144
_GAP = 8
_HEAD = 52
_MARGIN = 64
_INK, _PAPER = "#1f2328", "#ffffff"
_LETTERS = 13
_LETTERS_IN_A_LINE = 20
_COLOURS = 128


def grid(rows: Sequence[Sequence[bytes]], *, above: Sequence[str], beside: Sequence[str]) -> bytes:
    """A PNG with a row for each name in `beside` and a column for each text in `above`."""
    size = (_MARGIN + len(above) * (_SIDE + _GAP), _HEAD + len(beside) * (_SIDE + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LETTERS)
    for column, text in enumerate(above):
        wrapped = "\n".join(textwrap.wrap(text, _LETTERS_IN_A_LINE))
        at = (_left(column) + _SIDE / 2, _HEAD / 2)
        pen.multiline_text(at, wrapped, _INK, font, anchor="mm", align="center")
    for row, (name, pictures) in enumerate(zip(beside, rows, strict=True)):
        top = _HEAD + row * (_SIDE + _GAP)
        pen.text((_MARGIN / 2, top + _SIDE / 2), name, _INK, font, anchor="mm")
        for column, picture in enumerate(pictures):
            sheet.paste(_small(picture), (_left(column), top))
    file = io.BytesIO()
    sheet.quantize(_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _left(column: int) -> int:
    return _MARGIN + column * (_SIDE + _GAP)


def _small(picture: bytes) -> Image.Image:
    opened = Image.open(io.BytesIO(picture)).convert("RGB")
    return opened.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
