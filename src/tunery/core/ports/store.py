"""All that is remembered."""

from typing import Protocol

from tunery.core.ports.errands import ErrandStore
from tunery.core.ports.files import FileStore
from tunery.core.ports.jobs import JobStore
from tunery.core.ports.keys import KeyStore
from tunery.core.ports.runs import RunStore
from tunery.core.ports.shelves import Shelves


class Store(KeyStore, FileStore, JobStore, RunStore, ErrandStore, Shelves, Protocol):
    """All that is remembered."""

    def ping(self) -> None:
        """Raise whatever stands in the way of answering requests."""

    def close(self) -> None:
        """Let go of every connection."""
