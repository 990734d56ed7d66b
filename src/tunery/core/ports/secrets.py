"""Secrets at rest, and signatures."""

from typing import Protocol


class Sealer(Protocol):
    """Secrets at rest: text that only this installation can read."""

    def seal(self, secret: str, *, bound_to: str) -> str:
        """`secret`, readable again only by `open` with the same `bound_to`."""

    def open(self, sealed: str, *, bound_to: str) -> str:
        """The secret.

        Raises:
            InvalidValue: it was not sealed here, or not for that.
        """

    def is_sealed(self, text: str) -> bool:
        """Whether `text` looks like something that `seal` made."""


class Signer(Protocol):
    """Signs what this server hands out and takes back."""

    def sign(self, text: str) -> str:
        """The signature of `text` by this installation, as hexadecimal digits."""

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether `signature` is that of `text`."""
