"""What reads pictures, draws them, and tells of them."""

from collections.abc import Callable
from typing import Protocol

from tunery.core.closable import Closable
from tunery.core.image_generations import ImageGeneration, Painted, PaintRequest
from tunery.core.picture_sets import PictureSet
from tunery.core.webhooks import Notice


class PictureReader(Protocol):
    """Makes of what callers send what a trainer and a painter can read without fear."""

    def read_set(self, archive: bytes) -> PictureSet:
        """The pictures and captions in a ZIP.

        Raises:
            InvalidValue: it is none, or something in it is no picture or caption; `param` is
                "file_data", and the message names the entry.
        """

    def read_picture(self, data: bytes, *, param: str) -> bytes:
        """One picture, upright and RGB, as PNG.

        Raises:
            InvalidValue: it is none; with this `param`.
        """

    def read_mask(self, data: bytes, *, param: str) -> bytes:
        """One picture in shades of gray, upright, as PNG; raises as `read_picture`."""

    def read_transparency(self, data: bytes, *, param: str) -> bytes | None:
        """The mask in a picture: white where it is transparent; None where that is nowhere.

        It has the size of what `read_picture` makes of the same bytes, and raises as that does.
        """

    def size(self, picture: bytes) -> tuple[int, int]:
        """Width and height of a picture that was read before."""


class Painter(Protocol):
    """Something that draws images with a base model and an optional adapter."""

    def paint(self, request: PaintRequest) -> Closable[float | Painted]:
        """How far it is, from 0 to 1, and at last the image; closing the iterator stops the work.

        Raises:
            InvalidValue: the request cannot be met, such as a model that is not there.
            Unsupported: the model cannot be used here, or not for that.
            Unavailable: PyTorch is not installed, or the child died.
        """

    def close(self) -> None:
        """Let go of every local process."""


NoticeWords = Callable[[Notice, ImageGeneration | None], bytes]
"""The body of a webhook, in the words of a door; the generation where it is told of one."""
