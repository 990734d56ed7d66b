"""The fast reading of rows with tools and calls, one row at a time.

As with plain rows (`core/plain.py`), the slow reading finds no fault with what is taken here.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from tunery.core.examples import REFUSALS, ToolCall

MOST_BYTES = 1024**2
"""A larger row is not taken: its tools, as Python objects, could take many times its size."""


class _Turn(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | msgspec.UnsetType | None = msgspec.UNSET
    name: str | None = None
    weight: Literal[0, 1] | msgspec.UnsetType = msgspec.UNSET
    tool_calls: tuple[ToolCall, ...] | msgspec.UnsetType = msgspec.UNSET
    tool_call_id: str | None = None


class _Row(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    messages: tuple[_Turn, ...]
    tools: tuple[dict[str, object], ...] | None = None
    parallel_tool_calls: bool | None = None


_row = msgspec.json.Decoder(_Row)
_arguments = msgspec.json.Decoder(dict[str, object])


def brings_tools(line: bytes) -> bool | None:
    """Whether `line` has tools, where it surely is a good conversation; else None."""
    if len(line) > MOST_BYTES:
        return None
    try:
        row = _row.decode(line)
        is_good = (
            all(map(_is_good_tool, row.tools or ()))
            and _are_good_turns(row.messages)
            and _has_each_key_once(line, row.messages)
        )
    except REFUSALS:
        return None
    return bool(row.tools) if is_good else None


def _is_good_tool(tool: Mapping[str, object]) -> bool:
    function = tool.get("function")
    return (
        tool.get("type") == "function"
        and isinstance(function, dict)
        and isinstance(function.get("name"), str)
    )


def _are_good_turns(turns: tuple[_Turn, ...]) -> bool:
    called: set[str] = set()
    for turn in turns:
        if turn.role == "assistant":
            if turn.tool_calls:
                called.update(map(_called, turn.tool_calls))
            elif not turn.content:
                return False
        elif (
            type(turn.content) is not str
            or turn.weight is not msgspec.UNSET
            or turn.tool_calls is not msgspec.UNSET
            or (turn.role == "tool" and turn.tool_call_id not in called)
        ):
            return False
    return bool(turns) and turns[-1].role == "assistant" and turns[-1].weight != 0


def _called(call: ToolCall) -> str:
    """The id of a call whose arguments can be read; raises where they cannot."""
    if call.function.arguments.strip():
        _arguments.decode(call.function.arguments)
    return call.id


def _has_each_key_once(line: bytes, turns: tuple[_Turn, ...]) -> bool:
    """Whether no key that matters stands twice, as `core/plain.py` explains.

    A parameter of a tool may be called so too; such a row is left to the slow reading.
    """
    n_contents = sum(turn.content is not msgspec.UNSET for turn in turns)
    n_calls = sum(turn.tool_calls is not msgspec.UNSET for turn in turns)
    return (
        line.count(b'"messages"') == 1
        and line.count(b'"role"') == len(turns)
        and line.count(b'"content"') == n_contents
        and line.count(b'"tool_calls"') == n_calls
    )
