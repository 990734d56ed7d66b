"""What a dataset teaches: after an input, its output. And what is wrong with it, by line."""

import msgspec

from tunery.core.errors import InvalidFile
from tunery.core.findings import Finding
from tunery.core.tally import Tally

PAIRS = (("prompt", "response"), ("input", "output"))
"""The names that input and output can go by."""
BOTH_PAIRS = '"prompt" and "response", or "input" and "output"'

_encoder = msgspec.json.Encoder()


class Problems:
    """Everything found wrong so far."""

    def __init__(self) -> None:
        """Nothing was found yet."""
        self._tally = Tally()

    def add(self, line: int, message: str, field: str | None = None) -> None:
        """Something is wrong in `line`."""
        self._tally.add(Finding(field, message), line)

    def refuse(self) -> None:
        """Raise InvalidFile if anything was found."""
        if n_errors := self._tally.n_errors:
            count = "1 error" if n_errors == 1 else f"{n_errors} errors"
            raise InvalidFile(
                f"The file has {count}; nothing was kept.", self._tally.problems, param="file"
            )


def chat_row(asked: str, answer: str) -> bytes:
    """The conversation that teaches `answer` after `asked`, as a line without its end."""
    return _encoder.encode(
        {
            "messages": [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ]
        }
    )
