"""A trainer process: a `RunRequest` as a line on standard input, progress as lines on its output.

A later line `pause` asks it to save a checkpoint and to let go. It ends at once when its standard
input closes, whatever it is doing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Event

import msgspec

from tunery.core.progress import PAUSE_LINE, AnyProgress, RunRequest, to_line
from tunery.trainers.pipes import listen, own_output


def main() -> None:
    """Carry out the request."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    output = own_output()
    pause = Event()

    def heard(line: bytes) -> None:
        if line == PAUSE_LINE:
            pause.set()

    request = msgspec.json.decode(listen(heard), type=RunRequest)

    # Only now, with the listener at work: torch takes seconds, and the server may go meanwhile.
    from transformers.utils.logging import disable_progress_bar

    from tunery.trainers.failures import FOR_PICTURES, FOR_ROWS, told
    from tunery.trainers.threads import set_threads

    disable_progress_bar()
    set_threads(request.threads)
    advice = FOR_ROWS if request.subject is None else FOR_PICTURES
    for value in told(_carried_out(request, pause), advice):
        output.write(to_line(value))
        output.flush()


def _carried_out(request: RunRequest, pause: Event) -> Iterator[AnyProgress]:
    """By the trainer of its kind; diffusers, which only images need, takes a second to import."""
    if request.subject is None:
        from tunery.trainers.attempt import carry_out

        return carry_out(request, pause)
    from tunery.trainers.images import attempt

    return attempt.carry_out(request, request.subject, pause)


if __name__ == "__main__":
    main()
