"""Rows of training files as values: a conversation, a prompt and its completion, or a preference.

The values are `msgspec` structs, because they are parsed from JSON at several hundred MB/s. Formats
are OpenAI's (reference, section "Training-file formats"; "Create fine-tuning job", 2026).
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Literal

import msgspec

from tunery.core.errors import InvalidFile
from tunery.core.problems import Problem

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises where it cannot take a line."""


class TextPart(msgspec.Struct, frozen=True, gc=False):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class FunctionCall(msgspec.Struct, frozen=True, gc=False):
    """The name of a function, and its arguments as a string of JSON."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """An assistant's call of a tool."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One turn of a conversation, as the file has it."""

    role: Role
    content: str | tuple[TextPart, ...] | None = None
    name: str | None = None
    weight: Literal[0, 1] | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    """The old form of `tool_calls`."""

    @property
    def text(self) -> str:
        """The content as one string; a refusal where there is no content."""
        if isinstance(self.content, tuple):
            return "".join(part.text for part in self.content)
        return self.content or self.refusal or ""

    @property
    def calls(self) -> tuple[FunctionCall, ...]:
        """The functions that this message calls, in either form."""
        called = tuple(call.function for call in self.tool_calls or ())
        return called if self.function_call is None else (*called, self.function_call)

    @property
    def is_taught(self) -> bool:
        """Whether there is something in it to learn: an assistant's words or calls, not muted."""
        said = self.content or self.tool_calls or self.refusal or self.function_call
        return self.role == "assistant" and self.weight != 0 and bool(said)

    def to_template(self) -> dict[str, Any]:
        """The message as chat templates take it.

        They know no "developer" and no "function", and want the arguments of a call as an object.
        """
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        message: dict[str, Any] = {"role": role, "content": self.text}
        if self.name is not None:
            message["name"] = self.name
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        if calls := self.calls:
            message["tool_calls"] = [_call_to_template(call) for call in calls]
        return message


class ChatExample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A conversation; what its assistant says is learnt, except where `weight` is 0."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] | None = None
    functions: tuple[dict[str, Any], ...] | None = None
    """The old form of `tools`."""
    parallel_tool_calls: bool | None = None

    @property
    def all_tools(self) -> list[dict[str, Any]] | None:
        """The tools as chat templates take them; None where there are none."""
        old = [{"type": "function", "function": function} for function in self.functions or ()]
        return [*(self.tools or ()), *old] or None


class CompletionExample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A prompt, and what is to be learnt after it."""

    prompt: str
    completion: str


class PreferencePair(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A conversation, and two ways to go on with it, of which one is better."""

    input: ChatExample
    preferred_output: tuple[Message, ...]
    non_preferred_output: tuple[Message, ...]

    @property
    def answered(self) -> tuple[ChatExample, ChatExample]:
        """The conversation with the better answer and with the other; these alone are taught."""
        asked = tuple(msgspec.structs.replace(said, weight=0) for said in self.input.messages)
        chosen, rejected = (
            msgspec.structs.replace(self.input, messages=asked + output)
            for output in (self.preferred_output, self.non_preferred_output)
        )
        return chosen, rejected


Example = ChatExample | CompletionExample | PreferencePair

_chat = msgspec.json.Decoder(ChatExample)
_others = (msgspec.json.Decoder(CompletionExample), msgspec.json.Decoder(PreferencePair))


def read_examples(lines: Iterable[bytes]) -> Iterator[tuple[int, Example]]:
    """The examples of a training file with the numbers of their lines, from 1.

    Blank lines, a byte order mark and carriage returns are passed over; keys that training does not
    read are ignored.

    Raises:
        InvalidFile: a line is no training example.
    """
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        if text and not text.isspace():
            yield number, _example(number, text)


def _example(number: int, line: bytes) -> Example:
    try:
        return _chat.decode(line)
    except REFUSALS as error:
        chat_error = error
    for decoder in _others:
        with suppress(*REFUSALS):
            return decoder.decode(line)
    problem = Problem(line=number, field=None, message=f"not a training example: {chat_error}")
    raise InvalidFile(str(problem), [problem]) from chat_error


def _call_to_template(call: FunctionCall) -> dict[str, Any]:
    arguments = msgspec.json.decode(call.arguments) if call.arguments.strip() else {}
    return {"type": "function", "function": {"name": call.name, "arguments": arguments}}
