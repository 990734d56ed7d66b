"""A painter whose work is done in a child process, so that the server never loads torch."""

from contextlib import closing

from tunery.core.closable import Closable
from tunery.core.image_generations import Painted, PaintRequest
from tunery.inference.child import Child
from tunery.inference.picture_protocol import Advanced, Done, Paint, spoken

NOT_INSTALLED = (
    "Drawing images here needs PyTorch and diffusers, which are not both installed on this "
    "server. To install them: pip install 'tunery[train]'"
)


class ChildPainter:
    """Images from `python -m tunery.inference.images`, started when first asked, and after a death.

    Any number of threads may ask at once; the child draws one image after the other.
    """

    def __init__(
        self, *, module: str = "tunery.inference.images", threads: int | None = None
    ) -> None:
        """No process is started before there is something to draw."""
        self._child = Child(
            module=module,
            spoken=spoken,
            needs=["torch", "diffusers"],
            not_installed=NOT_INSTALLED,
            threads=threads,
        )

    def paint(self, request: PaintRequest) -> Closable[float | Painted]:
        """How far it is, and at last the image; closing the iterator stops the work.

        Raises:
            InvalidValue: the request cannot be met, such as a model that is not there.
            Unsupported: the model is no FLUX pipeline.
            Unavailable: PyTorch is not installed, or the child died.
        """
        answers = self._child.answers(
            lambda number: Paint(number, request),
            is_last=lambda answer: isinstance(answer, Done),
            failure="Drawing the image failed.",
        )
        with closing(answers):
            for answer in answers:
                if isinstance(answer, Advanced):
                    yield answer.share
                elif isinstance(answer, Done):
                    yield answer.painted

    def close(self) -> None:
        """End the child; whoever waits for it is told."""
        self._child.close()
