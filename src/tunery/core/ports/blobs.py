"""Bytes by key."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol


class BlobWriter(Protocol):
    """Bytes on their way into a blob; nobody sees them before `commit`."""

    def write(self, data: bytes) -> None:
        """Append `data`."""

    def commit(self) -> None:
        """Make the blob durable and visible, in one moment; one that was there is replaced."""

    def commit_first(self) -> bool:
        """As `commit`, but never in the place of another: False, where the key has a blob."""

    def discard(self) -> None:
        """Leave nothing behind. After `commit` it does nothing."""


class Blobs(Protocol):
    """Files by key, such as `files/<id>`; a key may also be a folder that a trainer wrote."""

    def writer(self, key: str) -> BlobWriter:
        """Begin to write the blob `key`."""

    def read(self, key: str) -> Iterator[bytes]:
        """The bytes of a blob in pieces; FileNotFoundError before the first where it is gone."""

    def path(self, key: str) -> Path:
        """Where the blob or folder lies on this machine."""

    def delete(self, key: str) -> None:
        """Remove a blob or a folder with all in it; nothing happens where there is none."""

    def names(self, key: str) -> Sequence[str]:
        """What lies in the folder `key`, by name; nothing where there is no such folder."""
