"""The child: requests as lines on standard input, answers as lines on standard output.

It ends at once when its standard input closes, whatever it is doing.
"""

import os
import queue
import sys
import threading
from typing import BinaryIO

from tunery.inference.protocol import Answer, Command, command, to_line


def main() -> None:
    """Serve until standard input closes."""
    output = _own_output()
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(commands,), daemon=True).start()

    # Only now, with the reader at work: torch takes seconds, and the server may go meanwhile.
    from tunery.inference.scales import Scales
    from tunery.inference.shelf import Shelf
    from tunery.inference.text import generate
    from tunery.inference.turns import Turns

    def say(answer: Answer) -> None:
        output.write(to_line(answer))
        output.flush()

    shelf = Shelf()
    Turns(lambda request: generate(shelf, request), Scales().measure, say).serve(commands)


def _own_output() -> BinaryIO:
    """Standard output for the protocol alone; whatever a library prints goes to standard error."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return output


def _read(commands: "queue.SimpleQueue[Command]") -> None:
    for line in sys.stdin.buffer:
        commands.put(command(line))
    # The server is gone: a token on its way matters to nobody, and neither does cleaning up.
    os._exit(0)


if __name__ == "__main__":
    main()
