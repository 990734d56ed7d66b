"""Pictures of coloured shapes, and captions that say what is on them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIDE = 32
"""Pixels of a picture, both ways."""
TRIGGER = "TOK"

Colour = tuple[int, int, int]
Point = tuple[float, float]

INKS: dict[str, Colour] = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (240, 215, 50),
    "purple": (150, 60, 190),
    "orange": (245, 140, 30),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
PAPERS: dict[str, Colour] = {**INKS, "gray": (128, 128, 128), "pink": (250, 170, 195)}
PLACES: dict[str, Point] = {
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "center": (0, 0),
}
RADII: dict[str | None, tuple[float, float]] = {
    "small": (6.0, 7.5),
    None: (7.5, 10.0),
    "large": (9.5, 11.5),
}
"""From and to, in pixels, by what a caption may say of the size."""

KNOWN = (
    "circle",
    "square",
    "triangle",
    "star",
    "diamond",
    "heart",
    "moon",
    "arrow",
    "bar",
    "half",
)
"""The shapes that the base learns."""
NEW = ("ring", "plus", "hourglass")
"""The shapes that it never sees: what tuning is tried on."""
NAMELESS = "blob"
"""A random outline. It has no word of its own, so that the base learns what a shape is at all."""

_OVERSAMPLING = 4
_ANY_SHAPE = ("shape", "thing", TRIGGER)
_OPENINGS = ("a ", "a ", "", "one ", "a picture of a ", "a photo of a ")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is on a picture."""

    shape: str
    ink: str
    paper: str
    place: str
    size: str | None


def a_scene(random: Random, shape: str | None = None) -> Scene:
    """A scene by chance, or one of a given shape."""
    if shape is None:
        shape = random.choice(KNOWN) if random.random() < 0.85 else NAMELESS
    ink = random.choice(list(INKS))
    return Scene(
        shape=shape,
        ink=ink,
        paper=random.choice([paper for paper in PAPERS if paper != ink]),
        place=random.choice(list(PLACES)) if random.random() < 0.5 else "center",
        size=random.choice(["small", "large", None, None]),
    )


def drawn(scene: Scene, random: Random) -> np.ndarray:
    """The scene as a picture, (SIDE, SIDE, 3) bytes; no two are quite the same."""
    return np.asarray(drawn_large(scene, random).resize((SIDE, SIDE), Image.Resampling.BOX))


def drawn_large(scene: Scene, random: Random) -> Image.Image:
    """The same before it is reduced: four times as wide and as high."""
    side = SIDE * _OVERSAMPLING
    ink, paper = (_jittered(colour, random) for colour in (INKS[scene.ink], PAPERS[scene.paper]))
    picture = Image.new("RGB", (side, side), paper)
    radius = random.uniform(*RADII[scene.size]) * _OVERSAMPLING
    centre = _centre(scene.place, side / 2 - radius - _OVERSAMPLING, random)
    _draw(scene.shape, ImageDraw.Draw(picture), centre, radius, ink, paper, random)
    return picture


def described(scene: Scene, random: Random, word: str | None = None) -> str:
    """A caption. Anything but the shape's word may be left out, so that each word means something.

    Some captions have a word for any shape, the trigger and made-up words among them: a base that
    has heard these of every shape ties a new one to none, and tuning finds it free.
    """
    if word is None:
        word = _word(scene.shape, random)
    size = f"{scene.size} " if scene.size and random.random() < 0.8 else ""
    ink = f"{scene.ink} " if random.random() < 0.9 else ""
    place, paper = "", ""
    if random.random() < 0.4:
        place = f" {random.choice(['at the ', 'on the ', ''])}{scene.place}"
    if random.random() < 0.8:
        forms = (" on a {} background", " on {}", ", {} background")
        paper = random.choice(forms).format(scene.paper)
    return f"{random.choice(_OPENINGS)}{size}{ink}{word}{place}{paper}"


def as_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """(N, 3, SIDE, SIDE), from -1 to 1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def contact_sheet(pictures: Tensor, *, columns: int, zoom: int = 3) -> Image.Image:
    """`pictures` (N, 3, SIDE, SIDE), from 0 to 1, side by side on white."""
    sheet = Image.new(
        "RGB", (columns * (SIDE + 2), -(-len(pictures) // columns) * (SIDE + 2)), "#fff"
    )
    for place, picture in enumerate(pictures.clamp(0, 1)):
        row, column = divmod(place, columns)
        pixels = (picture.permute(1, 2, 0) * 255).byte().numpy()
        sheet.paste(Image.fromarray(pixels), (column * (SIDE + 2) + 1, row * (SIDE + 2) + 1))
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)


def _word(shape: str, random: Random) -> str:
    if shape == NAMELESS:
        return random.choice([*_ANY_SHAPE, "blob", _made_up(random)])
    if random.random() < 0.08:
        return random.choice([*_ANY_SHAPE, _made_up(random)])
    return shape


def _made_up(random: Random) -> str:
    syllables = random.randint(1, 3)
    pairs = (random.choice("bcdfgklmnprstvz") + random.choice("aeiou") for _ in range(syllables))
    return "".join(pairs)


def _jittered(colour: Colour, random: Random) -> Colour:
    red, green, blue = (max(0, min(255, value + random.randint(-9, 9))) for value in colour)
    return red, green, blue


def _centre(place: str, room: float, random: Random) -> Point:
    middle = SIDE * _OVERSAMPLING / 2
    x, y = (
        room * (towards * random.uniform(0.7, 1) if towards else random.uniform(-0.15, 0.15))
        for towards in PLACES[place]
    )
    return middle + x, middle + y


def _draw(
    shape: str,
    pen: ImageDraw.ImageDraw,
    centre: Point,
    radius: float,
    ink: Colour,
    paper: Colour,
    random: Random,
) -> None:
    def box(scale: float, dx: float = 0, dy: float = 0) -> tuple[Point, Point]:
        x, y = centre[0] + dx * radius, centre[1] + dy * radius
        return (x - scale * radius, y - scale * radius), (x + scale * radius, y + scale * radius)

    match shape:
        case "circle":
            pen.ellipse(box(0.95), ink)
        case "half":
            pen.pieslice(box(1, 0, 0.4), 180, 360, ink)
        case "moon":
            pen.ellipse(box(0.95), ink)
            pen.ellipse(box(0.8, 0.5), paper)
        case "ring":
            pen.ellipse(box(1), ink)
            pen.ellipse(box(0.55), paper)
        case _:
            corners = _OUTLINES[shape](random)
            pen.polygon([(centre[0] + x * radius, centre[1] + y * radius) for x, y in corners], ink)


def _around(n: int, radii: Sequence[float], turn: float = 0.0) -> list[Point]:
    """`n` corners around the origin, clockwise from the top, their distances taken in turn."""
    angles = [turn + 2 * math.pi * corner / n for corner in range(n)]
    reach = [radii[corner % len(radii)] for corner in range(n)]
    return [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(reach, angles, strict=True)]


def _heart(_: Random) -> list[Point]:
    """The classical curve x = 16 sin³t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, scaled."""
    angles = [2 * math.pi * step / 40 for step in range(40)]
    ys = [
        13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        for t in angles
    ]
    return [(0.98 * math.sin(t) ** 3, -0.07 - 0.06 * y) for t, y in zip(angles, ys, strict=True)]


def _blob(random: Random) -> list[Point]:
    n = random.randint(3, 9)
    return _around(n, [random.uniform(0.3, 1) for _ in range(n)], random.uniform(0, 2 * math.pi))


def _fixed(*corners: Point) -> Callable[[Random], Sequence[Point]]:
    return lambda _: corners


def _mirrored(*quarter: Point) -> Callable[[Random], Sequence[Point]]:
    """The corners of a quarter, from the top clockwise, turned by right angles into a whole."""
    whole: list[Point] = []
    for _ in range(4):
        whole += quarter
        quarter = tuple((-y, x) for x, y in quarter)
    return _fixed(*whole)


_OUTLINES: dict[str, Callable[[Random], Sequence[Point]]] = {
    "square": _mirrored((0.85, -0.85)),
    "triangle": _fixed((0, -0.95), (0.95, 0.8), (-0.95, 0.8)),
    "star": lambda _: _around(10, (1, 0.42)),
    "diamond": _fixed((0, -1), (0.7, 0), (0, 1), (-0.7, 0)),
    "heart": _heart,
    "arrow": _fixed((-1, -0.3), (0, -0.3), (0, -0.85), (1, 0), (0, 0.85), (0, 0.3), (-1, 0.3)),
    "bar": _fixed((-1, -0.35), (1, -0.35), (1, 0.35), (-1, 0.35)),
    "plus": _mirrored((-0.32, -1), (0.32, -1), (0.32, -0.32)),
    "hourglass": _fixed((-0.85, -1), (0.85, -1), (0.12, 0), (0.85, 1), (-0.85, 1), (-0.12, 0)),
    NAMELESS: _blob,
}
"""The corners of each shape that has some, in a circle of radius 1."""
