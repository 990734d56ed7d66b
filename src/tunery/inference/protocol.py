"""What goes over the pipes between the server and its inference child: JSON lines."""

import traceback
from typing import Literal

import msgspec

from tunery.core.errors import InvalidValue, TuneryError, Unavailable, Unsupported
from tunery.core.generation import GenerationRequest, Measured, Piece


class Begin(msgspec.Struct, frozen=True, tag="begin", tag_field="kind"):
    """To the child: generate, and answer under this number."""

    number: int
    request: GenerationRequest


class Measure(msgspec.Struct, frozen=True, tag="measure", tag_field="kind"):
    """To the child: say how long these texts are for the base model at `location`."""

    number: int
    location: str
    texts: tuple[str, ...]


class Stop(msgspec.Struct, frozen=True, tag="stop", tag_field="kind"):
    """To the child: nobody waits for this answer any more."""

    number: int


class Said(msgspec.Struct, frozen=True, tag="said", tag_field="kind", omit_defaults=True):
    """From the child: more of an answer, and whether that was all."""

    number: int
    pieces: list[Piece] = []
    last: bool = False


class Counted(msgspec.Struct, frozen=True, tag="counted", tag_field="kind"):
    """From the child: how long the texts are, which is all there is to say."""

    number: int
    measured: Measured


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="kind", omit_defaults=True):
    """From the child: why there is no (further) answer."""

    number: int
    reason: Literal["invalid", "unsupported", "unavailable"]
    message: str
    param: str | None = None
    code: str | None = None

    def error(self) -> TuneryError:
        """The error that the child meant."""
        return _ERRORS[self.reason](self.message, param=self.param, code=self.code)


_ERRORS: dict[str, type[InvalidValue | Unsupported | Unavailable]] = {
    "invalid": InvalidValue,
    "unsupported": Unsupported,
    "unavailable": Unavailable,
}

Command = Begin | Measure | Stop
Answer = Said | Counted | Refused

_encoder = msgspec.json.Encoder()
_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def to_line(value: msgspec.Struct) -> bytes:
    r"""`value` as one line of JSON, `\n` included."""
    return _encoder.encode(value) + b"\n"


def command(line: bytes) -> Command:
    """What the server wants."""
    return _commands.decode(line)


def spoken(line: bytes) -> Answer:
    """What the child says."""
    return _answers.decode(line)


def failure(number: int, error: Exception) -> Refused:
    """What the caller is told, in the handler of `error`."""
    if isinstance(error, TuneryError):
        return _refusal(number, error)
    traceback.print_exc()
    # What it says may name places of this machine, which are not for callers.
    failed = f"The model could not be used ({type(error).__name__}). The server's log says more."
    return _refusal(number, Unavailable(failed))


def _refusal(number: int, error: TuneryError) -> Refused:
    """`error` as it travels."""
    if isinstance(error, InvalidValue):
        return Refused(number, "invalid", error.message, error.param, error.code)
    if isinstance(error, Unsupported):
        return Refused(number, "unsupported", error.message, error.param, error.code)
    return Refused(number, "unavailable", error.message, error.param, error.code)
