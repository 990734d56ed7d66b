"""Pictures with captions to learn from, as one file that this server wrote itself.

The file is a ZIP: `0001.png`, its caption `0001.txt` where there is one, and so on. Pictures are
upright, RGB, and of at most a megapixel.
"""

from dataclasses import dataclass

MOST_PICTURES = 20
"""BFL's limit ("FLUX Finetuning Beta Guide")."""


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """What was made of an archive."""

    archive: bytes
    """The file, as this module says; where there are too many pictures, they are left empty."""
    n_pictures: int
    n_captions: int
