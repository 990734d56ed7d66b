"""The ports that images need beside those of `ports`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from tunery.core.closable import Closable
from tunery.core.errands import Errand, ErrandKind
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


class ErrandStore(Protocol):
    """What is to be done, and the images that some of it makes.

    Errands are made here and, where a job with a webhook ends, by `JobStore` and `RunStore`: in
    the transaction that ends it.
    """

    def add_image_generation(self, generation: ImageGeneration) -> None:
        """Keep a new generation, with the errand to draw it.

        One whose id is there already stays as it is.
        """

    def image_generation(self, project_id: str, generation_id: str) -> ImageGeneration:
        """One generation; NotFound where the project has none."""

    def image_generation_of_link(self, generation_id: str) -> ImageGeneration:
        """One generation of any project: for who holds a signed link. NotFound where unknown."""

    def n_pending_images(self, project_id: str) -> int:
        """How many images of a project are yet to be drawn."""

    def image_generations_before(self, created: datetime) -> Sequence[ImageGeneration]:
        """Those of all projects that were asked for before that time and are over; at most 100."""

    def forget_image_generation(self, generation: ImageGeneration) -> None:
        """Drop one that is over; its bytes are gone."""

    def take_errand(self, kind: ErrandKind, lease_s: float) -> Errand | None:
        """Lease an errand of that kind that is due; None where none is.

        Of the project with the fewest leased, it is the one that is due for the longest. Its
        `n_attempts` has risen by one: whoever took it before can no longer report on it.
        """

    def renew_errand(self, errand: Errand, lease_s: float) -> None:
        """Hold it for `lease_s` more, by the database's clock; LeaseLost where it is gone."""

    def record_drawing(self, errand: Errand, generation: ImageGeneration) -> None:
        """Replace the generation; LeaseLost as `renew_errand`.

        Where it is over now, the errand is done, and its webhook, if it has one, is to be told.
        """

    def put_off_errand(self, errand: Errand, delay_s: float) -> None:
        """Let go of it until then; LeaseLost as `renew_errand`."""

    def finish_errand(self, errand: Errand) -> None:
        """Forget it: it is done, or given up. LeaseLost as `renew_errand`."""


class Signer(Protocol):
    """Signs what this server hands out and takes back."""

    def sign(self, text: str) -> str:
        """The signature of `text` by this installation, as hexadecimal digits."""

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether `signature` is that of `text`."""


NoticeWords = Callable[[Notice, ImageGeneration | None], bytes]
"""The body of a webhook, in the words of a door; the generation where it is told of one."""
