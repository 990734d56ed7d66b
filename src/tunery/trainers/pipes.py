"""A trainer's side of its pipes: one request in, lines out, gone when nobody listens."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from io import FileIO
from typing import BinaryIO


def own_output() -> BinaryIO:
    """Standard output for the protocol alone; whatever a library prints goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


def listen(heard: Callable[[bytes], None]) -> bytes:
    """The first line of standard input; later ones go to `heard`, from a thread.

    When standard input closes, the process ends at once: whoever asked is gone, and another
    attempt may begin.
    """
    # Unbuffered: a thread that waits in a buffered read keeps the interpreter from ending.
    source = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    first = source.readline()
    threading.Thread(target=_attend, args=(source, heard), daemon=True).start()
    return first


def _attend(source: FileIO, heard: Callable[[bytes], None]) -> None:
    for line in source:
        heard(line)
    os._exit(0)
