"""What a picture is called while it is learnt: always with the trigger word in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from PIL import Image

from tunery.core.method import Mode
from tunery.trainers.images.pictures import Picture

Describe = Callable[[Image.Image], str]
"""Says what is on a picture, in a few words."""

TEMPLATES: dict[Mode, tuple[str, ...]] = {
    "general": ("{}", "a picture of {}", "a photo of {}", "an image of {}"),
    "character": ("{}", "a picture of {}", "a portrait of {}", "a full-body picture of {}"),
    "style": (
        "in the style of {}",
        "a picture in the style of {}",
        "an image in {} style",
        "a photo in the style of {}",
    ),
    "product": ("{}", "a product photo of {}", "a photo of {}", "a close-up of {}"),
}
"""How pictures without a caption are described in turn (after Gal et al. 2023, appendix)."""


def captions(
    pictures: Sequence[Picture],
    *,
    trigger_word: str,
    mode: Mode,
    captioning: bool,
    describe: Describe | None,
) -> list[str]:
    """A caption for each picture: its own, else one that `describe` or a template makes.

    Without `captioning`, the trigger word alone describes a picture that has no caption.
    """
    templates = TEMPLATES[mode]
    found = []
    for place, picture in enumerate(pictures):
        if picture.caption is not None:
            said = picture.caption
        elif not captioning:
            said = trigger_word
        elif describe is not None:
            said = describe(picture.image)
        else:
            said = templates[place % len(templates)].format(trigger_word)
        found.append(with_trigger(said, trigger_word))
    return found


def with_trigger(caption: str, trigger_word: str) -> str:
    """`caption`, begun with the trigger word where that is not in it as a word."""
    said = " ".join(caption.split())
    if _as_word(trigger_word).search(said):
        return said
    return f"{trigger_word}, {said}" if said else trigger_word


def replaced(caption: str, trigger_word: str, word: str) -> str:
    """`caption` with another word for the trigger word."""
    return _as_word(trigger_word).sub(lambda _: word, caption)


def _as_word(trigger_word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(trigger_word)}(?!\w)")
