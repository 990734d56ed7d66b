"""Several images asked for at once, drawn one after the other."""

import queue
import time
from collections.abc import Callable
from typing import NoReturn

from tunery.core.image_generations import Painted, PaintRequest
from tunery.inference.picture_protocol import Advanced, Answer, Command, Done, Paint
from tunery.inference.protocol import Stop, failure

_BETWEEN_S = 0.25
"""So much time lies between two words on how far an image is."""

OnStep = Callable[[float], None]
Draw = Callable[[PaintRequest, OnStep], Painted]


class OneByOne:
    """Takes commands in and says answers: an image has all of the machine, the others wait."""

    def __init__(
        self,
        draw: Draw,
        say: Callable[[Answer], None],
        commands: "queue.SimpleQueue[Command]",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`draw` says after each step how far it is, and lets through what is raised then."""
        self._draw = draw
        self._say = say
        self._commands = commands
        self._now = now
        self._wanted: dict[int, PaintRequest] = {}

    def serve(self) -> NoReturn:
        """Work for ever."""
        while True:
            self.turn()

    def turn(self) -> None:
        """Draw the image that was asked for first; blocks only while there is none."""
        if not self._wanted:
            self._take(self._commands.get())
        self._take_all()
        if not self._wanted:
            return
        number = next(iter(self._wanted))
        answer = self._answer(number, self._wanted[number])
        self._wanted.pop(number, None)
        if answer is not None:
            self._say(answer)

    def _take(self, command: Command) -> None:
        match command:
            case Paint():
                self._wanted[command.number] = command.request
            case Stop():
                self._wanted.pop(command.number, None)

    def _take_all(self) -> None:
        while not self._commands.empty():
            self._take(self._commands.get())

    def _answer(self, number: int, request: PaintRequest) -> Answer | None:
        """The last word on one request; None where nobody waits for it any more."""
        try:
            return Done(number, self._draw(request, self._reporter(number)))
        except _Unwanted:
            return None
        except Exception as error:  # one image that fails must not end the others
            return failure(number, error)

    def _reporter(self, number: int) -> OnStep:
        """What is to be called after each step of an image."""
        said = self._now()

        def report(share: float) -> None:
            nonlocal said
            self._take_all()
            if number not in self._wanted:
                raise _Unwanted
            if share == 1 or self._now() - said >= _BETWEEN_S:
                said = self._now()
                self._say(Advanced(number, share))

        return report


class _Unwanted(Exception):
    """Nobody waits for this image any more."""
