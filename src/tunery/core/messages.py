"""Everything that can be wrong with the messages of a row, in words that its owner can act on."""

from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec

from tunery.core.examples import REFUSALS, Role
from tunery.core.findings import Findings, kind, named, near, one_of, shown

ROLES: tuple[str, ...] = get_args(Role)
_MODERN_ROLES = ("system", "developer", "user", "assistant", "tool")
_OTHER_NAMES = {
    "ai": "assistant", "bot": "assistant", "gpt": "assistant", "model": "assistant",
    "human": "user", "observation": "tool",
}  # fmt: skip
_KEYS = (
    "role", "content", "name", "weight", "refusal",
    "tool_calls", "tool_call_id", "function_call",
)  # fmt: skip
_SAID = ("content", "tool_calls", "refusal", "function_call")
_NOT_TEXT = {
    "image_url": "images", "image": "images", "input_image": "images", "input_audio": "sounds",
    "file": "attached files", "video": "videos", "video_url": "videos",
}  # fmt: skip

Object = Mapping[str, object]


def check_messages(
    value: object, path: str, findings: Findings, *, taught: bool, ends: str = "assistant"
) -> None:
    """Say all that is wrong with `value`, the messages at `path`.

    With `taught` there must be something in them to learn. `ends` is whose the last should be.
    """
    if not isinstance(value, list):
        findings.error(path, f"must be an array of messages, not {kind(value)}")
    elif not value:
        findings.error(path, "is empty: there is nothing to learn here")
    else:
        for index, message in enumerate(value):
            check_message(message, f"{path}[{index}]", findings)
        check_tool_answers(value, path, findings)
        # A wrong role is likely the assistant's: two complaints about one slip help nobody.
        if taught and not findings.has_errors:
            _check_taught(value, path, findings)
        if not findings.has_errors:
            _check_last(value, path, findings, ends)


def check_message(message: object, path: str, findings: Findings) -> None:
    """Say all that is wrong with one message."""
    if not isinstance(message, dict):
        findings.error(path, f"must be an object with role and content, not {kind(message)}")
        return
    check_keys(message, _KEYS, path, findings)
    _check_role(message, path, findings)
    _check_content(message, path, findings)
    _check_weight(message, path, findings)
    for key in ("name", "refusal"):
        check_string(message, key, f"{path}.{key}", findings)
    _check_calls(message, path, findings)
    if message.get("role") == "tool" and not message.get("tool_call_id"):
        findings.error(
            f"{path}.tool_call_id", "is missing: a tool's message says which call it answers"
        )
    else:
        check_string(message, "tool_call_id", f"{path}.tool_call_id", findings)
    if message.get("role") == "function" and not message.get("name"):
        findings.error(f"{path}.name", "is missing: a function's message says which function it is")


def check_keys(value: Object, known: Sequence[str], path: str | None, findings: Findings) -> None:
    """Say which keys are not `known`, and what was likely meant."""
    for key in value:
        if key in known:
            continue
        where = f"{path}.{named(key)}" if path else named(key)
        meant = near(key, [name for name in known if name not in value])
        if meant:
            findings.error(where, f'is no known key: did you mean "{meant}"?')
        else:
            findings.warn(named(key), "is not read by training", once=True)


def check_string(value: Object, key: str, path: str, findings: Findings) -> None:
    """Say so where `key` is there and is no string."""
    if not isinstance(found := value.get(key), str | None):
        findings.error(path, f"must be a string, not {kind(found)}")


def check_tool_answers(messages: Sequence[object], path: str, findings: Findings) -> None:
    """Say which tool messages answer a call that nobody made before them."""
    called: set[object] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                called.add(call["id"])
        answered = message.get("tool_call_id")
        if message.get("role") == "tool" and isinstance(answered, str) and answered not in called:
            findings.warn(
                f"{path}[{index}].tool_call_id",
                f"answers {shown(answered)}, which no message calls",
            )


def _check_role(message: Object, path: str, findings: Findings) -> None:
    where = f"{path}.role"
    role = message.get("role")
    if role is None:
        if near("role", [key for key in message if key not in _KEYS]) is None:
            findings.error(where, f"is missing; it must be {one_of(_MODERN_ROLES)}")
    elif not isinstance(role, str):
        findings.error(where, f"must be a string, not {kind(role)}")
    elif role not in ROLES:
        meant = _OTHER_NAMES.get(role.casefold()) or near(role, ROLES)
        hint = f'did you mean "{meant}"?' if meant else f"it must be {one_of(_MODERN_ROLES)}"
        findings.error(where, f"{shown(role)}: {hint}")


def _check_content(message: Object, path: str, findings: Findings) -> None:
    where = f"{path}.content"
    content = message.get("content")
    if isinstance(content, list):
        _check_parts(content, where, findings)
    elif content is None:
        if not _may_be_silent(message):
            _missing_content(message, where, findings)
    elif not isinstance(content, str):
        findings.error(where, f"must be a string, not {kind(content)}")


def _may_be_silent(message: Object) -> bool:
    return message.get("role") == "assistant" and any(message.get(key) for key in _SAID)


def _missing_content(message: Object, where: str, findings: Findings) -> None:
    if "content" in message:
        findings.error(where, "is null; it must be a string")
    elif near("content", [key for key in message if key not in _KEYS]) is None:
        findings.error(where, "is missing")


def _check_parts(parts: Sequence[object], path: str, findings: Findings) -> None:
    if not parts:
        findings.error(path, "is empty; it must be a string, or at least one text part")
    for index, part in enumerate(parts):
        where = f"{path}[{index}]"
        if not isinstance(part, dict):
            findings.error(where, f"must be an object with type and text, not {kind(part)}")
        elif part.get("type") != "text":
            _refuse_part(part.get("type"), f"{where}.type", findings)
        elif not isinstance(part.get("text"), str):
            findings.error(f"{where}.text", f"must be a string, not {kind(part.get('text'))}")


def _refuse_part(part_type: object, path: str, findings: Findings) -> None:
    known = _NOT_TEXT.get(part_type) if isinstance(part_type, str) else None
    if known:
        findings.error(path, f"is {shown(part_type)}: {known} are not trained here, only text is")
    else:
        findings.error(path, f'is {shown(part_type)}; it must be "text"')


def _check_weight(message: Object, path: str, findings: Findings) -> None:
    weight = message.get("weight")
    if weight is None:
        return
    if type(weight) is not int or weight not in (0, 1):
        findings.error(f"{path}.weight", f"is {shown(weight)}; it must be 0 or 1")
    elif message.get("role") != "assistant" and message.get("role") in ROLES:
        findings.warn(
            f"{path}.weight", "is ignored: only an assistant's message is learnt", once=True
        )


def _check_calls(message: Object, path: str, findings: Findings) -> None:
    calls = message.get("tool_calls")
    old_call = message.get("function_call")
    if (calls or old_call) and message.get("role") in ROLES and message["role"] != "assistant":
        findings.error(
            path, f"calls a tool, but its role is {shown(message['role'])}, not assistant"
        )
    if isinstance(calls, list):
        for index, call in enumerate(calls):
            _check_call(call, f"{path}.tool_calls[{index}]", findings)
    elif calls is not None:
        findings.error(f"{path}.tool_calls", f"must be an array, not {kind(calls)}")
    if old_call is not None:
        _check_function(old_call, f"{path}.function_call", findings)


def _check_call(call: object, path: str, findings: Findings) -> None:
    if not isinstance(call, dict):
        findings.error(path, f"must be an object with id, type and function, not {kind(call)}")
        return
    if not isinstance(call.get("id"), str):
        findings.error(f"{path}.id", "is missing; it must be a string")
    if call.get("type") != "function":
        findings.error(f"{path}.type", f'is {shown(call.get("type"))}; it must be "function"')
    _check_function(call.get("function"), f"{path}.function", findings)


def _check_function(function: object, path: str, findings: Findings) -> None:
    if not isinstance(function, dict):
        findings.error(path, f"must be an object with name and arguments, not {kind(function)}")
        return
    if not isinstance(function.get("name"), str):
        findings.error(f"{path}.name", "is missing; it must be a string")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        findings.error(f"{path}.arguments", f"must be a string of JSON, not {kind(arguments)}")
    elif not is_object_json(arguments):
        findings.error(f"{path}.arguments", f"is {shown(arguments)}, which is no JSON object")


def is_object_json(text: str) -> bool:
    """Whether `text` is a JSON object (or empty, which stands for one without keys)."""
    try:
        return not text.strip() or isinstance(msgspec.json.decode(text), dict)
    except REFUSALS:
        return False


def _check_taught(messages: Sequence[Object], path: str, findings: Findings) -> None:
    answers = [message for message in messages if message["role"] == "assistant"]
    spoken = [message for message in answers if any(message.get(key) for key in _SAID)]
    if not answers:
        why = "no assistant message"
    elif not spoken:
        why = "every assistant message is empty"
    elif all(message.get("weight") == 0 for message in answers):
        why = "every assistant message has weight 0"
    elif all(message.get("weight") == 0 for message in spoken):
        why = "every assistant message with words has weight 0"
    else:
        return
    if path == "messages":
        findings.error(None, f"{why}: nothing to learn here")
    else:
        findings.error(path, f"teaches nothing: {why}")


def _check_last(messages: Sequence[Object], path: str, findings: Findings, ends: str) -> None:
    if (role := messages[-1]["role"]) != ends:
        findings.warn(f"{path}[{len(messages) - 1}]", f"is the last message, and the {role}'s")
