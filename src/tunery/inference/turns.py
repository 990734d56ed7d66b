"""Several requests at once, each a token further in its turn."""

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.inference.protocol import (
    Answer,
    Begin,
    Command,
    Counted,
    Measure,
    Refused,
    Said,
    Stop,
    failure,
)

_AT_ONCE = 16
"""So many requests hold memory at the same time; the others wait."""

Generate = Callable[[GenerationRequest], Iterator[Piece | None]]
MeasureTexts = Callable[[str, Sequence[str]], Measured]


class Turns:
    """Takes commands in, says answers, and lets nobody wait for a long answer to end."""

    def __init__(
        self, generate: Generate, measure: MeasureTexts, say: Callable[[Answer], None]
    ) -> None:
        """`generate` advances by a token each time it is asked; `measure` is quick."""
        self._generate = generate
        self._measure = measure
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
        """Note what is asked for, or no longer; lengths are answered at once."""
        match command:
            case Begin():
                self._waiting.append(command)
            case Measure():
                self._say(self._counted(command))
            case Stop():
                self._active.pop(command.number, None)
                kept = (one for one in self._waiting if one.number != command.number)
                self._waiting = deque(kept)

    def round(self) -> None:
        """Every active request a token further."""
        while self._waiting and len(self._active) < _AT_ONCE:
            begin = self._waiting.popleft()
            self._active[begin.number] = self._generate(begin.request)
        for number, pieces in list(self._active.items()):
            answer = _step(number, pieces)
            if answer is not None:
                self._say(answer)
            if isinstance(answer, Refused) or (isinstance(answer, Said) and answer.last):
                del self._active[number]

    def _counted(self, command: Measure) -> Answer:
        try:
            return Counted(command.number, self._measure(command.location, command.texts))
        except Exception as error:
            return failure(command.number, error)


def _step(number: int, pieces: Iterator[Piece | None]) -> Answer | None:
    """The next word on one request; None where there is nothing to say yet."""
    try:
        piece = next(pieces)
    except StopIteration:
        return Said(number, last=True)
    except Exception as error:  # one request that fails must not end the others
        return failure(number, error)
    return None if piece is None else Said(number, [piece])
