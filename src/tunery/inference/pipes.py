"""The child's end of the pipes."""

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, TypeVar

Command = TypeVar("Command")


def own_output() -> BinaryIO:
    """Standard output for the protocol alone; whatever a library prints goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


def incoming(command: Callable[[bytes], Command]) -> "queue.SimpleQueue[Command]":
    """What standard input brings from now on; the process ends at once when that closes."""
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(command, commands), daemon=True).start()
    return commands


def _read(command: Callable[[bytes], Command], commands: "queue.SimpleQueue[Command]") -> None:
    for line in sys.stdin.buffer:
        commands.put(command(line))
    # The server is gone: an answer on its way matters to nobody, and neither does cleaning up.
    os._exit(0)
