"""A generator whose work is done in a child process, so that the server never loads torch."""

from collections.abc import Sequence
from contextlib import closing

from tunery.core.closable import Closable
from tunery.core.errors import Unavailable
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.inference.child import Child
from tunery.inference.protocol import Begin, Counted, Measure, Said, spoken

NOT_INSTALLED = (
    "Generating text here needs PyTorch, which is not installed on this server. "
    "To install it: pip install 'tunery[train]'"
)


class ChildGenerator:
    """Text from `python -m tunery.inference`, started when it is first asked, and again if it died.

    Any number of threads may ask at once; the child serves them in turn, token by token.
    """

    def __init__(self, *, module: str = "tunery.inference", threads: int | None = None) -> None:
        """No process is started before there is something to generate."""
        self._child = Child(
            module=module,
            spoken=spoken,
            needs=["torch", "numba"],
            not_installed=NOT_INSTALLED,
            threads=threads,
        )

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        """Text as it comes; closing the iterator stops the work.

        Raises:
            InvalidValue: the request cannot be met, such as a prompt longer than the context.
            Unavailable: PyTorch is not installed, or the child died.
        """
        answers = self._child.answers(
            lambda number: Begin(number, request),
            is_last=lambda answer: not isinstance(answer, Said) or answer.last,
            failure="Generating text failed.",
        )
        with closing(answers):
            for answer in answers:
                yield from answer.pieces if isinstance(answer, Said) else ()

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """How long `texts` are for the base model at `location`; no weights are loaded.

        Raises:
            InvalidValue: there is no such model.
            Unavailable: PyTorch is not installed, or the child died.
        """
        answers = self._child.answers(
            lambda number: Measure(number, location, tuple(texts)),
            is_last=lambda answer: True,
            failure="Counting tokens failed.",
        )
        for answer in answers:
            if isinstance(answer, Counted):
                return answer.measured
        raise Unavailable("Counting tokens failed: the inference process said something else.")

    def close(self) -> None:
        """End the child; whoever waits for it is told."""
        self._child.close()
