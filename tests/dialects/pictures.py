"""Pictures and archives of them, small and made here."""

import base64
import io
import zipfile
from functools import cache

from PIL import Image


@cache
def picture(width: int = 64, height: int = 64, *, mode: str = "RGB", shade: int = 200) -> bytes:
    """A picture of one colour, as PNG."""
    colour = shade if mode == "L" else (shade, 40, 90)
    written = io.BytesIO()
    Image.new(mode, (width, height), colour).save(written, "PNG")
    return written.getvalue()


def archive(*entries: tuple[str, bytes]) -> bytes:
    """A ZIP with these entries."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for name, data in entries:
            opened.writestr(name, data)
    return written.getvalue()


@cache
def pictures(n: int = 2) -> bytes:
    """A ZIP of `n` pictures, the first of which has a caption."""
    shown = [(f"{number}.png", picture(shade=number)) for number in range(n)]
    return archive(*shown, ("0.txt", b"a TOK on a table"))


def encoded(data: bytes) -> str:
    """Base64, as BFL's clients send it."""
    return base64.b64encode(data).decode()
