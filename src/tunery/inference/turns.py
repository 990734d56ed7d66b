"""Several requests at once, each a token further in its turn."""

import queue
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import NoReturn

from tunery.core.errors import TuneryError, Unavailable
from tunery.core.generation import GenerationRequest, Piece
from tunery.inference.protocol import Answer, Begin, Command, Refused, Said, refusal

_AT_ONCE = 16
"""So many requests hold memory at the same time; the others wait."""

Generate = Callable[[GenerationRequest], Iterator[Piece | None]]


class Turns:
    """Takes commands in, says answers, and lets nobody wait for a long answer to end."""

    def __init__(self, generate: Generate, say: Callable[[Answer], None]) -> None:
        """`generate` advances by a token each time it is asked."""
        self._generate = generate
        self._say = say
        self._waiting: deque[Begin] = deque()
        self._active: dict[int, Iterator[Piece | None]] = {}

    def serve(self, commands: "queue.SimpleQueue[Command]") -> NoReturn:
        """Work for ever; blocks only while there is nothing to do."""
        while True:
            if not self._active:
                self.take(commands.get())
            while not commands.empty():
                self.take(commands.get())
            self.round()

    def take(self, command: Command) -> None:
        """Note what is asked for, or no longer."""
        if isinstance(command, Begin):
            self._waiting.append(command)
            return
        self._active.pop(command.number, None)
        self._waiting = deque(one for one in self._waiting if one.number != command.number)

    def round(self) -> None:
        """Every active request a token further."""
        while self._waiting and len(self._active) < _AT_ONCE:
            begin = self._waiting.popleft()
            self._active[begin.number] = self._generate(begin.request)
        for number, pieces in list(self._active.items()):
            answer = _step(number, pieces)
            if answer is not None:
                self._say(answer)
            if isinstance(answer, Refused) or (answer is not None and answer.last):
                del self._active[number]


def _step(number: int, pieces: Iterator[Piece | None]) -> Answer | None:
    """The next word on one request; None where there is nothing to say yet."""
    try:
        piece = next(pieces)
    except StopIteration:
        return Said(number, last=True)
    except TuneryError as error:
        return refusal(number, error)
    except Exception as error:  # one request that fails must not end the others
        traceback.print_exc()
        # What it says may name places of this machine, which are not for callers.
        failed = f"Generating text failed ({type(error).__name__}). The server's log says more."
        return refusal(number, Unavailable(failed))
    return None if piece is None else Said(number, [piece])
