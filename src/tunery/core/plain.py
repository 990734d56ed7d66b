"""The fast reading of a row: a strict decoder that takes good rows, and vouches for them.

With what it takes the slow reading (`core/rows.py`) finds no fault. What it does not take may still
be good: the slow reading decides.
"""

from collections.abc import Callable

import msgspec

from tunery.core.examples import REFUSALS, Message
from tunery.core.files import Format

_PLAIN_ROLES = frozenset({"system", "developer", "user", "assistant"})


class _Message(Message, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A message without keys that training does not read."""


class _Chat(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    messages: tuple[_Message, ...]
    parallel_tool_calls: bool | None = None
    tools: msgspec.Raw | None = None


class _Completion(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    prompt: str
    completion: str


_chat = msgspec.json.Decoder(_Chat).decode
_completion = msgspec.json.Decoder(_Completion).decode


def is_plainly_good(line: bytes, format: Format) -> bool:
    """Whether `line` is surely a good row of a file of `format`, without tools."""
    check = _CHECKS.get(format)
    try:
        return check is not None and check(line)
    except REFUSALS:
        return False


def refusal(line: bytes, format: Format | None) -> str | None:
    """What the decoder itself says of a line; None where it takes it."""
    try:
        (_completion if format is Format.COMPLETION else _chat)(line)
    except REFUSALS as error:
        return str(error)
    return None


def _is_good_chat(line: bytes) -> bool:
    row = _chat(line)
    messages = row.messages
    return (
        row.tools is None
        and len(messages) > 0
        and messages[-1].role == "assistant"
        and _has_each_key_once(line, len(messages))
        and all(map(_is_plain, messages))
        and any(message.is_taught for message in messages)
    )


def _has_each_key_once(line: bytes, n_messages: int) -> bool:
    """Whether no key that matters stands twice, where the decoder would take the last.

    Inside of a string the quotes are escaped, so that hardly anything but keys is counted; a row
    with something else is left to the slow reading.
    """
    return (
        line.count(b'"role"') == n_messages
        and line.count(b'"content"') == n_messages
        and line.count(b'"messages"') == 1
    )


def _is_plain(message: Message) -> bool:
    return (
        type(message.content) is str
        and message.role in _PLAIN_ROLES
        and message.tool_calls is None
        and message.function_call is None
        and (message.weight is None or message.role == "assistant")
    )


def _is_good_completion(line: bytes) -> bool:
    row = _completion(line)
    once = line.count(b'"prompt"') == 1 and line.count(b'"completion"') == 1
    return once and row.completion != ""


_CHECKS: dict[Format, Callable[[bytes], bool]] = {
    Format.CHAT: _is_good_chat,
    Format.COMPLETION: _is_good_completion,
}
