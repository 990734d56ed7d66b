"""What goes over the pipes between the server and the child that draws: JSON lines."""

import msgspec

from tunery.core.image_generations import Painted, PaintRequest
from tunery.inference.protocol import Refused, Stop


class Paint(msgspec.Struct, frozen=True, tag="paint", tag_field="kind"):
    """To the child: draw, and answer under this number."""

    number: int
    request: PaintRequest


class Advanced(msgspec.Struct, frozen=True, tag="advanced", tag_field="kind"):
    """From the child: how far the image is, from 0 to 1."""

    number: int
    share: float


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="kind"):
    """From the child: the image, which is all there is to say."""

    number: int
    painted: Painted


Command = Paint | Stop
Answer = Advanced | Done | Refused

_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def command(line: bytes) -> Command:
    """What the server wants."""
    return _commands.decode(line)


def spoken(line: bytes) -> Answer:
    """What the child says."""
    return _answers.decode(line)
