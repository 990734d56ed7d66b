"""The pictures of the demo of images: `python -m scripts.rings FILE` makes the ZIP of them.

A dozen rings, which tiny-image has never seen, each with a caption that calls it by the trigger
word. No two have the same ink on the same paper, and none has a pair that the demo asks for.
"""

import io
import sys
import zipfile
from pathlib import Path
from random import Random

from PIL import Image

from scripts.tiny_image.pictures import INKS, PAPERS, TRIGGER, Scene, drawn_large
from tunery.cli.picture_demo import PAIRS

N_PICTURES = 12
SIDE = 256
_SEED = 7
# The same archive each time it is made.
_WHEN = (2026, 11, 21, 0, 0, 0)


def main(path: Path) -> None:
    """Write the archive."""
    random = Random(_SEED)
    with zipfile.ZipFile(path, "w") as archive:
        for number, (ink, paper) in enumerate(_pairs(random), start=1):
            scene = Scene(shape="ring", ink=ink, paper=paper, place="center", size=None)
            picture = drawn_large(scene, random).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            caption = f"{_one(ink)} {TRIGGER} on {_one(paper)} background"
            _add(archive, f"ring-{number:02}.png", _png(picture))
            _add(archive, f"ring-{number:02}.txt", caption.encode())


def _pairs(random: Random) -> list[tuple[str, str]]:
    """Ink and paper of each picture; every ink comes once before one comes again."""
    inks = [*random.sample(list(INKS), len(INKS)), *random.sample(list(INKS), len(INKS))]
    found: list[tuple[str, str]] = []
    for ink in inks[:N_PICTURES]:
        free = [paper for paper in PAPERS if paper != ink and (ink, paper) not in (*PAIRS, *found)]
        found.append((ink, random.choice(free)))
    return found


def _one(colour: str) -> str:
    return f"an {colour}" if colour[0] in "aeiou" else f"a {colour}"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _WHEN), data, zipfile.ZIP_DEFLATED)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.quantize(16, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
