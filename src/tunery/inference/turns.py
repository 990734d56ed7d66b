"""Several requests at once; those on one base share its steps."""

import queue
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.inference.protocol import (
    Answer,
    Begin,
    Command,
    Counted,
    Measure,
    Said,
    Stop,
    failure,
)
from tunery.modeling.choosing import Broken, Token
from tunery.modeling.samplers import Sampler

_AT_ONCE = 16
"""So many requests are under way at the same time; the others wait."""


class Reply(Protocol):
    """The answers to one request while they come."""

    @property
    def sampler(self) -> Sampler:
        """Where its tokens come from."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""

    def take(self, said: Mapping[int, Token | Broken]) -> list[Piece]:
        """What a step of the sampler lets be shown."""

    def close(self) -> None:
        """Nobody waits for the rest."""


BeginReply = Callable[[GenerationRequest], Reply]
MeasureTexts = Callable[[str, Sequence[str]], Measured]


class Turns:
    """Takes commands in, says answers, and lets nobody wait for a long answer to end."""

    def __init__(
        self, begin: BeginReply, measure: MeasureTexts, say: Callable[[Answer], None]
    ) -> None:
        """`begin` and `measure` are quick."""
        self._begin = begin
        self._measure = measure
        self._say = say
        self._waiting: deque[Begin] = deque()
        self._active: dict[int, Reply] = {}

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
                self._stop(command.number)

    def round(self) -> None:
        """Every active request a token further: a step of each base that is asked."""
        while self._waiting and len(self._active) < _AT_ONCE:
            self._admit(self._waiting.popleft())
        for sampler in {
            id(reply.sampler): reply.sampler for reply in self._active.values()
        }.values():
            said = {one.index: one for one in sampler.step()}
            for number, reply in list(self._active.items()):
                if reply.sampler is sampler:
                    self._hear(number, reply, said)

    def _admit(self, begin: Begin) -> None:
        try:
            self._active[begin.number] = self._begin(begin.request)
        except Exception as error:  # one request that fails must not end the others
            self._say(failure(begin.number, error))

    def _hear(self, number: int, reply: Reply, said: Mapping[int, Token | Broken]) -> None:
        """Say what came of one request."""
        try:
            pieces = reply.take(said)
        except Exception as error:
            self._stop(number)
            self._say(failure(number, error))
            return
        if pieces or reply.over:
            self._say(Said(number, pieces, last=reply.over))
        if reply.over:
            del self._active[number]

    def _stop(self, number: int) -> None:
        """Let go of a request, wherever it is."""
        if number in self._active:
            self._active.pop(number).close()
        self._waiting = deque(one for one in self._waiting if one.number != number)

    def _counted(self, command: Measure) -> Answer:
        try:
            return Counted(command.number, self._measure(command.location, command.texts))
        except Exception as error:
            return failure(command.number, error)
