"""The pictures of a job, from the ZIP that `core.picture_sets` describes."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tunery.core.errors import InvalidFile


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture, and what its owner says of it."""

    image: Image.Image
    caption: str | None


def read_pictures(archive: Path) -> list[Picture]:
    """The pictures in `archive`, in the order of their names; there is at least one.

    Raises:
        InvalidFile: there is none, or the file is not what this server wrote.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(name for name in opened.namelist() if name.endswith(".png"))
            pictures = [_picture(opened, name) for name in names]
    except (OSError, zipfile.BadZipFile) as damage:
        raise InvalidFile(
            f"The pictures cannot be read: {damage}.", (), param="training_file"
        ) from damage
    if not pictures:
        raise InvalidFile("There are no pictures to learn from.", (), param="training_file")
    return pictures


def _picture(archive: zipfile.ZipFile, name: str) -> Picture:
    with Image.open(io.BytesIO(archive.read(name))) as opened:
        image = opened.convert("RGB")
    text = name.removesuffix(".png") + ".txt"
    caption = archive.read(text).decode() if text in archive.NameToInfo else None
    return Picture(image=image, caption=caption)
