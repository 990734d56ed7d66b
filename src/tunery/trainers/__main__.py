"""A trainer process: commands as lines on standard input, reports as lines on its output.

`core.trainer_protocol` has the words. The first line begins an attempt, and so says on which base
model all attempts of this process are. It ends at once when its standard input closes, whatever it
is doing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tunery.core.progress import Alive, AnyProgress, SubjectRequest
from tunery.core.trainer_protocol import Begin, Leave, Pause, Said, command, to_line
from tunery.trainers.pipes import listen, own_output

if TYPE_CHECKING:
    from tunery.trainers.host import Inbox

Say: TypeAlias = Callable[[str, AnyProgress], None]

_log = logging.getLogger(__name__)


def main() -> None:
    """Carry out what is asked for."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    output = own_output()
    inbox: Inbox = SimpleQueue()
    first = command(listen(partial(_hear, inbox)))
    if not isinstance(first, Begin):
        raise TypeError(f"a trainer begins with an attempt, not with {first}")

    if first.device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = first.device

    # Only now, with the listener at work: torch takes seconds, and the server may go meanwhile.
    from transformers.utils.logging import disable_progress_bar

    from tunery.trainers.threads import set_threads

    def say(folder: str, progress: AnyProgress) -> None:
        output.write(to_line(Said(folder=folder, progress=progress)))
        output.flush()

    disable_progress_bar()
    set_threads(first.request.threads)
    if first.request.subject is None:
        _learn_text(first, inbox, say)
    else:
        _learn_pictures(first, first.request.subject, inbox, say)


def _hear(inbox: Inbox, line: bytes) -> None:
    """Pass a command on. A line that is none harms nobody, least of all the attempts under way."""
    try:
        inbox.put(command(line))
    except msgspec.DecodeError:
        _log.exception("this is no command: %r", line[:200])


def _learn_text(first: Begin, inbox: Inbox, say: Say) -> None:
    from tunery.modeling.base import Base
    from tunery.modeling.load import dtype_of, load_model
    from tunery.trainers.host import Host

    try:
        asked = first.request
        loaded = load_model(
            asked.location, quantization=asked.quantization, dtype=dtype_of(asked.precision)
        )
        base = Base(loaded.model)
    except Exception as error:
        _refuse(first, inbox, error, say)
        return
    Host(base, asked, inbox, say).serve()


def _refuse(first: Begin, inbox: Inbox, error: Exception, say: Say) -> None:
    """End every attempt that has been asked for: there is no base to learn on."""
    from tunery.trainers.failures import told

    def broken() -> Generator[AnyProgress, None, None]:
        yield Alive()
        raise error

    message: object = first
    while True:
        if isinstance(message, Begin):
            for progress in told(broken()):
                say(message.request.folder, progress)
        try:
            message = inbox.get_nowait()
        except Empty:
            return


def _learn_pictures(first: Begin, subject: SubjectRequest, inbox: Inbox, say: Say) -> None:
    """One attempt alone. Only here: diffusers takes a second to import."""
    from tunery.trainers.failures import FOR_PICTURES, told
    from tunery.trainers.images.attempt import carry_out

    pause = Event()
    threading.Thread(target=_attend, args=(inbox, pause), daemon=True).start()
    for progress in told(carry_out(first.request, subject, pause), FOR_PICTURES):
        say(first.request.folder, progress)


def _attend(inbox: Inbox, pause: Event) -> None:
    """Obey what is said to a process with one attempt."""
    while True:
        message = inbox.get()
        if isinstance(message, Pause):
            pause.set()
        elif isinstance(message, Leave):
            os._exit(0)


if __name__ == "__main__":
    main()
