"""What an engine and a trainer process say to one another, a line of JSON each.

A trainer process holds one base model and carries out any number of attempts on it at a time. An
attempt goes by the name of its folder, which is its alone.
"""

import msgspec

from tunery.core.progress import AnyProgress, RunRequest


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin", tag_field="kind"):
    """Carry out another attempt; the first line says on which base model all of them are."""

    request: RunRequest
    device: str | None = None
    """The GPU of this process, as `CUDA_VISIBLE_DEVICES` names it; the first line decides."""


class Pause(msgspec.Struct, frozen=True, kw_only=True, tag="pause", tag_field="kind"):
    """Let an attempt save a checkpoint, and end it with `Paused`."""

    folder: str


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag="leave", tag_field="kind"):
    """Drop an attempt where it stands; nothing more is said of it."""

    folder: str


AnyCommand = Begin | Pause | Leave


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the trainer reports of one attempt. `Paused`, `Died`, `Failed`, `Finished` end it."""

    folder: str
    progress: AnyProgress


_encoder = msgspec.json.Encoder()
_commands: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_said = msgspec.json.Decoder(Said)


def to_line(value: AnyCommand | Said) -> bytes:
    r"""`value` as one line of JSON, `\n` included."""
    return _encoder.encode(value) + b"\n"


def command(line: bytes) -> AnyCommand:
    """The command that `to_line` wrote.

    Raises:
        msgspec.DecodeError: the line is not one of ours.
    """
    return _commands.decode(line)


def said(line: bytes) -> Said:
    """The report that `to_line` wrote.

    Raises:
        msgspec.DecodeError: the line is not one of ours.
    """
    return _said.decode(line)
