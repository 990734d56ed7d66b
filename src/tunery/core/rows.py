"""The slow reading of one row: everything that is wrong in it, by field."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tunery.core.files import Format
from tunery.core.findings import Findings, kind, named, near, shown
from tunery.core.messages import Object, check_keys, check_messages

MOST_EXPLAINED_BYTES = 1024**2
"""A larger row is not read in full: as Python objects it could take a hundred times its size."""

_CHAT_KEYS = ("messages", "tools", "functions", "parallel_tool_calls")
_OUTPUT_KEYS = ("preferred_output", "non_preferred_output")
_PREFERENCE_KEYS = ("input", *_OUTPUT_KEYS)
_OUTPUT_ROLES = ("assistant", "tool")
_ANSWERING = '"assistant" or "tool", as an answer is theirs alone'
_COMPLETION_KEYS = ("prompt", "completion")
_ALL_KEYS = (*_CHAT_KEYS, *_PREFERENCE_KEYS, *_COMPLETION_KEYS)
_KNOWN_FORMATS = '"messages" (chat), "prompt" and "completion", or OpenAI\'s preference keys'
_FOREIGN: Mapping[str, str] = {
    "conversations": "this looks like ShareGPT",
    "instruction": "this looks like Alpaca",
    "text": "this looks like plain text",
}


@dataclass(frozen=True)
class Explained:
    """A row read through: what it is, and what is wrong with it."""

    format: Format | None
    findings: Findings
    has_tools: bool = False
    is_object: bool = True
    """Whether the line is a JSON object at all."""


class NotJson(ValueError):
    """The line cannot be read as JSON; the message says why."""


class KeyTwice(NotJson):
    """An object names a key twice, and readers differ in which value they take."""


def explain(line: bytes, expected: Format | None) -> Explained:
    """Read one line of a file whose rows so far were `expected` (None: there was no row yet)."""
    findings = Findings()
    try:
        row = parse(line)
    except NotJson as error:
        findings.error(None, str(error))
        return Explained(None, findings, is_object=isinstance(error, KeyTwice))
    return explain_row(row, expected, findings)


def explain_row(row: object, expected: Format | None, findings: Findings) -> Explained:
    """Say all that is wrong with a row that is JSON."""
    if not isinstance(row, dict):
        findings.error(None, f"not an object but {kind(row)}; a row is one JSON object on one line")
        return Explained(None, findings, is_object=False)
    found = detect(row, expected)
    if found is None:
        _unknown(row, findings)
    elif expected is not None and found is not expected:
        findings.error(None, f"is a {found} row, but the rows before it are {expected} rows")
    else:
        _CHECKS[found](row, findings)
    return Explained(found, findings, has_tools=bool(row.get("tools") or row.get("functions")))


def is_good(line: bytes, expected: Format | None) -> bool:
    """Whether training can use the row."""
    return not explain(line, expected).findings.has_errors


def parse(line: bytes) -> object:
    """The JSON value in `line`.

    Raises:
        NotJson: it is not UTF-8 or not JSON, or names a key twice.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} (0x{line[error.start]:02X})"
        raise NotJson(f"not UTF-8: {byte} begins no character; save the file as UTF-8") from error
    try:
        row = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        msgspec.json.decode(line)  # What trainers read rows with; it is stricter in places.
    except NotJson:
        raise
    except RecursionError as error:
        raise NotJson("nested too deeply") from error
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some messages expect the place to follow
        raise NotJson(f"not JSON: {what} at column {error.colno}{_hint(text)}") from error
    except (ValueError, msgspec.DecodeError) as error:
        half = "half of a surrogate pair" if "\\ud" in text.lower() else error
        raise NotJson(f"not JSON that can be read: {half}") from error
    return row


def detect(row: Object, expected: Format | None) -> Format | None:
    """What `row` is, or was meant to be; None where that cannot be told."""
    if "messages" in row:
        return _chat_or_reinforcement(row, expected)
    if "preferred_output" in row or "non_preferred_output" in row:
        return Format.PREFERENCE
    if "prompt" in row or "completion" in row:
        return Format.COMPLETION
    return Format.PREFERENCE if "input" in row else None


def _chat_or_reinforcement(row: Object, expected: Format | None) -> Format:
    """A reinforcement row has no answer, but other keys, which its grader reads."""
    messages = row["messages"]
    found = messages if isinstance(messages, list) else []
    roles = [message.get("role") for message in found if isinstance(message, dict)]
    asks = bool(roles) and roles[-1] == "user" and "assistant" not in roles
    if expected is Format.CHAT:
        return Format.CHAT
    if expected is Format.REINFORCEMENT:
        return Format.CHAT if "assistant" in roles else Format.REINFORCEMENT
    others = [key for key in row if key not in _CHAT_KEYS and near(key, _CHAT_KEYS) is None]
    return Format.REINFORCEMENT if asks and others else Format.CHAT


def _unknown(row: Object, findings: Findings) -> None:
    for key in row:
        if meant := near(key, _ALL_KEYS):
            findings.error(named(key), f'is no known key: did you mean "{meant}"?')
            return
    foreign = next((_FOREIGN[key] for key in row if key in _FOREIGN), None)
    hint = f" ({foreign}, which is not read)" if foreign else ""
    findings.error(None, f"has none of the keys of a training row: {_KNOWN_FORMATS}{hint}")


def _check_chat(row: Object, findings: Findings) -> None:
    check_keys(row, _CHAT_KEYS, None, findings)
    check_messages(row["messages"], "messages", findings, taught=True)
    _check_tools(row, "", findings)


def _check_reinforcement(row: Object, findings: Findings) -> None:
    check_messages(row["messages"], "messages", findings, taught=False, ends="user")
    _check_tools(row, "", findings)


def _check_completion(row: Object, findings: Findings) -> None:
    check_keys(row, _COMPLETION_KEYS, None, findings)
    for key in _COMPLETION_KEYS:
        if key not in row:
            if near(key, [name for name in row if name not in _COMPLETION_KEYS]) is None:
                findings.error(key, "is missing")
        elif not isinstance(row[key], str):
            findings.error(key, f"must be a string, not {kind(row[key])}")
    if row.get("completion") == "":
        findings.error("completion", "is empty: nothing to learn here")


def _check_preference(row: Object, findings: Findings) -> None:
    check_keys(row, _PREFERENCE_KEYS, None, findings)
    asked = row.get("input")
    if not isinstance(asked, dict):
        findings.error("input", f"must be an object with messages, not {kind(asked)}")
    else:
        check_keys(asked, _CHAT_KEYS, "input", findings)
        check_messages(asked.get("messages"), "input.messages", findings, taught=False, ends="user")
        _check_tools(asked, "input.", findings)
    for key in _OUTPUT_KEYS:
        check_messages(row.get(key), key, findings, taught=True)
    if not findings.has_errors:
        _check_outputs(row, findings)


def _check_outputs(row: Object, findings: Findings) -> None:
    """Say what an answer may not hold, and where there is nothing to prefer."""
    preferred, other = (row[key] for key in _OUTPUT_KEYS)
    for key in _OUTPUT_KEYS:
        messages = row[key]
        assert isinstance(messages, list)
        for index, message in enumerate(messages):
            if message["role"] not in _OUTPUT_ROLES:
                role = shown(message["role"])
                findings.error(f"{key}[{index}].role", f"is {role}; it must be {_ANSWERING}")
    if preferred == other:
        findings.warn("non_preferred_output", "is the preferred one: nothing is learnt from it")


def _check_tools(row: Object, prefix: str, findings: Findings) -> None:
    for key in ("tools", "functions"):
        tools = row.get(key)
        if isinstance(tools, list):
            for index, tool in enumerate(tools):
                _check_tool(tool, f"{prefix}{key}[{index}]", findings, wrapped=key == "tools")
        elif tools is not None:
            findings.error(f"{prefix}{key}", f"must be an array, not {kind(tools)}")
    if not isinstance(parallel := row.get("parallel_tool_calls"), bool | None):
        path = f"{prefix}parallel_tool_calls"
        findings.error(path, f"must be true or false, not {kind(parallel)}")


def _check_tool(tool: object, path: str, findings: Findings, *, wrapped: bool) -> None:
    if not isinstance(tool, dict):
        findings.error(path, f"must be an object, not {kind(tool)}")
        return
    if wrapped and tool.get("type") != "function":
        findings.error(f"{path}.type", 'must be "function"')
    function = tool.get("function") if wrapped else tool
    where = f"{path}.function" if wrapped else path
    if not isinstance(function, dict):
        findings.error(where, f"must be an object with a name, not {kind(function)}")
    elif not isinstance(function.get("name"), str):
        findings.error(f"{where}.name", "is missing; it must be a string")


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise KeyTwice(f"the key {shown(twice)} stands twice in one object; which one counts?")
    return row


def _refuse_constant(name: str) -> object:
    raise NotJson(f"not JSON: {name} is no JSON number")


def _hint(text: str) -> str:
    start = text.lstrip()
    if start.startswith("["):
        return "; if the file is one JSON array, write each of its items on a line of its own"
    if start.rstrip() in ("{", "}", "},"):
        return "; a row is one JSON object on one line, without line breaks inside"
    if start.startswith(("{'", "{ '")):
        return '; JSON has double quotes (")'
    return ""


_CHECKS = {
    Format.CHAT: _check_chat,
    Format.COMPLETION: _check_completion,
    Format.PREFERENCE: _check_preference,
    Format.REINFORCEMENT: _check_reinforcement,
}
