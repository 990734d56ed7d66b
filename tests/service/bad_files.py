"""Training files that are refused, and what the refusal says."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

USER = {"role": "user", "content": "What is 2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
GOOD = {"messages": [USER, ANSWER]}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "add"}}
MIB = 1024**2


def line(row: object) -> bytes:
    """`row` as a line of a file."""
    return json.dumps(row).encode() + b"\n"


def chat(*messages: object, **others: object) -> bytes:
    """A file of one good row and one with `messages`, which is line 2."""
    return line(GOOD) + line({"messages": list(messages), **others})


def answer(**changes: object) -> bytes:
    """As `chat`, with an assistant's message that is changed so."""
    return chat(USER, {**ANSWER, **changes})


def without(message: dict[str, str], key: str) -> dict[str, str]:
    """`message` without `key`."""
    return {name: value for name, value in message.items() if name != key}


def zipped() -> bytes:
    """A ZIP archive with a training file in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../train.jsonl", line(GOOD) * 20)
    return buffer.getvalue()


BAD_FILES: dict[str, tuple[bytes, str]] = {
    # Not text
    "a ZIP archive": (zipped(), "line 1: this is a ZIP archive"),
    "gzip": (gzip.compress(line(GOOD)), "line 1: this is gzip data"),
    "nested gzip": (gzip.compress(gzip.compress(bytes(MIB))), "line 1: this is gzip data"),
    "bzip2": (bz2.compress(line(GOOD)), "line 1: this is bzip2 data"),
    "xz": (lzma.compress(line(GOOD)), "line 1: this is xz data"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "line 1: this is Zstandard data"),
    "parquet": (b"PAR1" + bytes(20), "line 1: this is a Parquet file"),
    "a PDF": (b"%PDF-1.7\n", "line 1: this is a PDF file"),
    "UTF-16, little end first": (line(GOOD).decode().encode("utf-16"), "line 1: this is UTF-16"),
    "UTF-16, big end first": (b"\xfe\xff" + "{}".encode("utf-16-be"), "line 1: this is UTF-16"),
    "UTF-32": (line(GOOD).decode().encode("utf-32"), "line 1: this is UTF-16"),
    "zero bytes": (bytes(1000), "line 1: not JSON"),
    "Latin-1": (
        line(GOOD) + '{"messages": "caf\xe9"}'.encode("latin-1"),
        "line 2: not UTF-8: byte 18 (0xE9)",
    ),
    "a cut character": (line(GOOD) + b'{"prompt": "\xe2\x82', "line 2: not UTF-8: byte 13 (0xE2)"),
    "an overlong encoding": (line(GOOD) + b'{"prompt": "\xc0\xaf"}', "line 2: not UTF-8: byte 13"),
    "an encoded surrogate": (line(GOOD) + b'{"prompt": "\xed\xa0\x80"}', "line 2: not UTF-8"),
    "bad bytes in an unknown key": (
        line(GOOD)[:-2] + b', "note": "\xff"}\n',
        "line 1: not UTF-8: byte",
    ),
    # Empty
    "nothing": (b"", "the file is empty"),
    "only blank lines": (b"\n\n  \n\r\n", "the file is empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "the file is empty"),
    # Not JSON
    "words": (line(GOOD) + b"hello\n", "line 2: not JSON: Expecting value at column 1"),
    "single quotes": (
        line(GOOD) + b"{'messages': []}\n",
        "line 2: not JSON: Expecting property name enclosed in double quotes at column 2; JSON has "
        'double quotes (")',
    ),
    "a comma too many": (line(GOOD) + b'{"messages": [],}\n', "line 2: not JSON"),
    "a cut row": (line(GOOD) + line(GOOD)[:-20], "line 2: not JSON: Expecting ',' delimiter"),
    "two rows on one line": (line(GOOD)[:-1] + b" " + line(GOOD), "line 1: not JSON: Extra data"),
    "a comma behind the row": (line(GOOD)[:-1] + b",\n", "line 1: not JSON: Extra data"),
    "a row over two lines": (
        line(GOOD).replace(b'"messages":', b'"messages":\n'),
        "line 1: not JSON",
    ),
    "two rows in two lines, cut elsewhere": (
        b'{"messages":\n' + line(GOOD)[12:-1] + b" " + line(GOOD),
        "line 1: not JSON",
    ),
    "pretty-printed": (
        json.dumps(GOOD, indent=2).encode(),
        "line 1: not JSON: Expecting property name enclosed in double quotes at column 2; a row is "
        "one JSON object on one line, without line breaks inside",
    ),
    "carriage returns alone": (
        line(GOOD).replace(b"\n", b"\r") * 2,
        "line 1: not JSON: Extra data",
    ),
    "CSV": (b"prompt,completion\na,b\n", "line 1: not JSON"),
    "YAML": (b"messages:\n  - role: user\n", "line 1: not JSON"),
    "HTML": (b"<!doctype html>\n", "line 1: not JSON"),
    "NaN": (line(GOOD) + b'{"messages": NaN}\n', "line 2: not JSON: NaN is no JSON number"),
    "Infinity": (line(GOOD) + b'{"prompt": Infinity}\n', "line 2: not JSON: Infinity is no"),
    "minus Infinity": (
        line(GOOD) + b'{"prompt": -Infinity}\n',
        "line 2: not JSON: -Infinity is no",
    ),
    "a comment": (line(GOOD) + b"// the end\n", "line 2: not JSON"),
    "a raw tab in a string": (
        line(GOOD) + b'{"prompt": "a\tb"}\n',
        "line 2: not JSON: Invalid con",
    ),
    "a NUL in a string": (line(GOOD) + b'{"prompt": "a\0b"}\n', "line 2: not JSON: Invalid con"),
    "a bad escape": (line(GOOD) + b'{"prompt": "a\\xb"}\n', "line 2: not JSON: Invalid \\escape"),
    "half a surrogate pair": (
        line(GOOD) + line({"messages": [USER, {**ANSWER, "content": "\ud83d"}]}),
        "line 2: not JSON that can be read: half of a surrogate pair",
    ),
    "deep arrays": (line(GOOD) + b"[" * 100_000 + b"\n", "line 2: nested too deeply"),
    "deep objects": (line(GOOD) + b'{"a":' * 100_000 + b"\n", "line 2: nested too deeply"),
    "deep in a row": (
        line(GOOD)[:-2] + b', "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}\n",
        "line 1: nested too deeply",
    ),
    "a number of 5,000 digits": (
        line(GOOD) + b'{"messages": ' + b"9" * 5_000 + b"}\n",
        "line 2: not JSON that can be read",
    ),
    "messages twice": (
        line(GOOD) + b'{"messages": [], ' + line(GOOD)[1:],
        'line 2: the key "messages" stands twice in one object',
    ),
    "messages twice, both good": (
        line(GOOD) + line(GOOD)[:-2] + b", " + line(GOOD)[1:],
        'line 2: the key "messages" stands twice',
    ),
    "content twice": (
        line(GOOD).replace(b'"content": "4"', b'"content": "5", "content": "4"'),
        'line 1: the key "content" stands twice',
    ),
    "role twice": (
        line(GOOD).replace(b'"role": "assistant"', b'"role": "user", "role": "assistant"'),
        'line 1: the key "role" stands twice',
    ),
    "a line of 9 MiB": (
        line(GOOD) + line({"messages": [USER, {**ANSWER, "content": "a" * 9 * MIB}]}),
        "line 2: longer than 8 MiB",
    ),
    "a line of 9 MiB without an end": (b"a" * 9 * MIB, "line 1: longer than 8 MiB"),
    "a bad row of 2 MiB": (
        line(GOOD) + line({"messages": [USER], "x": "a" * 2 * MIB}),
        "line 2: longer than 1 MiB, and not a plain row",
    ),
    "a bomb of empty arrays": (
        line(GOOD) + b'{"messages": [' + b"[]," * MIB + b"[]]}\n",
        "line 2: longer than 1 MiB, and not a plain row",
    ),
    # Not objects
    "an array": (line(GOOD) + b"[1, 2]\n", "line 2: not an object but an array"),
    "one array of rows": (
        json.dumps([GOOD] * 3).encode(),
        "line 1: not an object but an array",
    ),
    "one array of rows, a row per line": (
        b"[\n" + line(GOOD)[:-1] + b",\n" + line(GOOD) + b"]\n",
        "line 1: not JSON: Expecting value at column 2; if the file is one JSON array, write each "
        "of its items on a line of its own",
    ),
    "a string": (line(GOOD) + b'"hello"\n', "line 2: not an object but a string"),
    "a number": (line(GOOD) + b"42\n", "line 2: not an object but a number"),
    "null": (line(GOOD) + b"null\n", "line 2: not an object but null"),
    "true": (line(GOOD) + b"true\n", "line 2: not an object but true or false"),
    "a row in a string": (
        line(GOOD) + line(line(GOOD).decode()),
        "line 2: not an object but a str",
    ),
    # Rows of another kind
    "an empty object": (line({}), "line 1: has none of the keys of a training row"),
    "a slip in messages": (
        line({"mesages": [USER, ANSWER]}),
        'line 1: mesages is no known key: did you mean "messages"?',
    ),
    "messages in capitals": (
        line({"Messages": [USER, ANSWER]}),
        'line 1: Messages is no known key: did you mean "messages"?',
    ),
    "ShareGPT": (
        line({"conversations": [{"from": "human", "value": "hi"}]}),
        "this looks like ShareGPT",
    ),
    "Alpaca": (line({"instruction": "a", "output": "b"}), "this looks like Alpaca"),
    "plain text": (line({"text": "once upon a time"}), "this looks like plain text"),
    "a completion among conversations": (
        line(GOOD) + line({"prompt": "a", "completion": "b"}),
        "line 2: is a completion row, but the rows before it are chat rows",
    ),
    "a conversation among completions": (
        line({"prompt": "a", "completion": "b"}) + line(GOOD),
        "line 2: is a chat row, but the rows before it are completion rows",
    ),
    "a preference among conversations": (
        line(GOOD)
        + line({"input": GOOD, "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}),
        "line 2: is a preference row, but",
    ),
    "a conversation among reinforcement rows": (
        line({"messages": [USER], "answer": "4"}) + line(GOOD),
        "line 2: is a chat row, but the rows before it are reinforcement rows",
    ),
    # Messages
    "messages as a string": (line({"messages": "hi"}), "line 1: messages must be an array"),
    "messages as an object": (line({"messages": USER}), "messages must be an array of messages"),
    "messages null": (line({"messages": None}), "messages must be an array of messages, not null"),
    "no messages": (line({"messages": []}), "line 1: messages is empty"),
    "a message as a string": (chat("hi", ANSWER), "line 2: messages[0] must be an object"),
    "a message null": (chat(USER, None), "line 2: messages[1] must be an object"),
    "no assistant": (chat(USER), "line 2: no assistant message: nothing to learn here"),
    "only a system message": (
        chat({"role": "system", "content": "Be kind."}),
        "line 2: no assistant message",
    ),
    "a slip in a role": (
        chat(USER, USER, {"role": "asistant", "content": "4"}),
        'line 2: messages[2].role "asistant": did you mean "assistant"?',
    ),
    "a role in capitals": (
        answer(role="Assistant"),
        'line 2: messages[1].role "Assistant": did you mean "assistant"?',
    ),
    "the role gpt": (answer(role="gpt"), 'role "gpt": did you mean "assistant"?'),
    "the role human": (
        chat({"role": "human", "content": "hi"}, ANSWER),
        'line 2: messages[0].role "human": did you mean "user"?',
    ),
    "an unknown role": (
        answer(role="narrator"),
        'messages[1].role "narrator": it must be "system", "developer", "user", "assistant" or '
        '"tool"',
    ),
    "a role of 100,000 letters": (answer(role="a" * 100_000), 'line 2: messages[1].role "aaaa'),
    "an empty role": (answer(role=""), 'messages[1].role "": it must be'),
    "a role null": (answer(role=None), "messages[1].role is missing"),
    "a role as a number": (answer(role=1), "messages[1].role must be a string, not a number"),
    "no role": (chat(USER, without(ANSWER, "role")), "line 2: messages[1].role is missing"),
    "no content": (
        chat(USER, without(ANSWER, "content")),
        "line 2: messages[1].content is missing",
    ),
    "no content in a question": (
        chat({"role": "user"}, ANSWER),
        "line 2: messages[0].content is missing",
    ),
    "content null": (answer(content=None), "messages[1].content is null; it must be a string"),
    "content as a number": (answer(content=4), "messages[1].content must be a string, not a num"),
    "content as an object": (
        answer(content={}),
        "messages[1].content must be a string, not an obj",
    ),
    "a slip in content": (
        chat(USER, {"role": "assistant", "contents": "4"}),
        'line 2: messages[1].contents is no known key: did you mean "content"?',
    ),
    "an empty answer": (answer(content=""), "line 2: every assistant message is empty"),
    "weight 0 everywhere": (
        answer(weight=0),
        "line 2: every assistant message has weight 0: nothing to learn here",
    ),
    "words with weight 0, none with weight 1": (
        chat(USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "content": ""}),
        "line 2: every assistant message with words has weight 0",
    ),
    "weight 2": (answer(weight=2), "line 2: messages[1].weight is 2; it must be 0 or 1"),
    "weight one half": (answer(weight=0.5), "messages[1].weight is 0.5; it must be 0 or 1"),
    "weight as a string": (answer(weight="1"), 'messages[1].weight is "1"; it must be 0 or 1'),
    "weight true": (answer(weight=True), "messages[1].weight is true; it must be 0 or 1"),
    "a name as a number": (answer(name=7), "messages[1].name must be a string, not a number"),
    "a refusal as an array": (answer(refusal=[]), "messages[1].refusal must be a string"),
    # Parts
    "an image": (
        chat({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER),
        'messages[0].content[0].type is "image_url": images are not trained here, only text is',
    ),
    "sound": (
        chat({"role": "user", "content": [{"type": "input_audio"}]}, ANSWER),
        'messages[0].content[0].type is "input_audio": sounds are not trained here',
    ),
    "an unknown part": (
        answer(content=[{"type": "x"}]),
        'content[0].type is "x"; it must be "text"',
    ),
    "a part without a type": (
        answer(content=[{"text": "4"}]),
        "content[0].type is null; it must be",
    ),
    "a part without a text": (
        answer(content=[{"type": "text"}]),
        "content[0].text must be a string",
    ),
    "a part as a string": (
        answer(content=["4"]),
        "content[0] must be an object with type and text",
    ),
    "no parts": (answer(content=[]), "messages[1].content is empty"),
    # Tools
    "a call as an object": (answer(tool_calls=CALL), "messages[1].tool_calls must be an array"),
    "a call as a string": (answer(tool_calls=["f"]), "messages[1].tool_calls[0] must be an object"),
    "a call without id": (
        answer(tool_calls=[{**CALL, "id": None}]),
        "messages[1].tool_calls[0].id is missing",
    ),
    "a call of another type": (
        answer(tool_calls=[{**CALL, "type": "x"}]),
        'messages[1].tool_calls[0].type is "x"; it must be "function"',
    ),
    "a call without function": (
        answer(tool_calls=[{"id": "c1", "type": "function"}]),
        "messages[1].tool_calls[0].function must be an object",
    ),
    "a call without a name": (
        answer(tool_calls=[{**CALL, "function": {"arguments": "{}"}}]),
        "messages[1].tool_calls[0].function.name is missing",
    ),
    "arguments as an object": (
        answer(tool_calls=[{**CALL, "function": {"name": "add", "arguments": {}}}]),
        "tool_calls[0].function.arguments must be a string of JSON, not an object",
    ),
    "arguments that are no JSON": (
        answer(tool_calls=[{**CALL, "function": {"name": "add", "arguments": "{a: 1}"}}]),
        'tool_calls[0].function.arguments is "{a: 1}", which is no JSON object',
    ),
    "arguments with NaN": (
        answer(tool_calls=[{**CALL, "function": {"name": "add", "arguments": '{"a": NaN}'}}]),
        "which is no JSON object",
    ),
    "a user who calls a tool": (
        chat({**USER, "tool_calls": [CALL]}, ANSWER),
        'messages[0] calls a tool, but its role is "user", not assistant',
    ),
    "a tool without an id": (
        chat(USER, {**ANSWER, "tool_calls": [CALL]}, {"role": "tool", "content": "4"}, ANSWER),
        "line 2: messages[2].tool_call_id is missing",
    ),
    "a tool's id as a number": (
        chat(USER, {"role": "tool", "content": "4", "tool_call_id": 1}, ANSWER),
        "messages[1].tool_call_id must be a string, not a number",
    ),
    "a function's message without a name": (
        chat(USER, {"role": "function", "content": "4"}, ANSWER),
        "messages[1].name is missing",
    ),
    "an old call without arguments": (
        answer(function_call={"name": "add"}),
        "messages[1].function_call.arguments must be a string of JSON, not null",
    ),
    "tools as an object": (chat(USER, ANSWER, tools=TOOL), "line 2: tools must be an array"),
    "a tool as a string": (chat(USER, ANSWER, tools=["add"]), "tools[0] must be an object"),
    "a tool without a type": (
        chat(USER, ANSWER, tools=[{"function": {"name": "add"}}]),
        'tools[0].type must be "function"',
    ),
    "a tool without a function": (
        chat(USER, ANSWER, tools=[{"type": "function"}]),
        "tools[0].function must be an object with a name",
    ),
    "a tool without a name": (
        chat(USER, ANSWER, tools=[{"type": "function", "function": {}}]),
        "tools[0].function.name is missing",
    ),
    "an old function without a name": (
        chat(USER, ANSWER, functions=[{}]),
        "functions[0].name is missing",
    ),
    "parallel_tool_calls as a string": (
        chat(USER, ANSWER, parallel_tool_calls="yes"),
        "parallel_tool_calls must be true or false, not a string",
    ),
    "a slip in tools": (
        chat(USER, ANSWER, tool=[TOOL]),
        'line 2: tool is no known key: did you mean "tools"?',
    ),
    # Completions, preferences, reinforcement
    "no completion": (line({"prompt": "a"}), "line 1: completion is missing"),
    "no prompt": (line({"completion": "a"}), "line 1: prompt is missing"),
    "an empty completion": (
        line({"prompt": "a", "completion": ""}),
        "line 1: completion is empty: nothing to learn here",
    ),
    "a prompt as an array": (
        line({"prompt": ["a"], "completion": "b"}),
        "line 1: prompt must be a string, not an array",
    ),
    "a slip in completion": (
        line({"prompt": "a", "completions": "b"}),
        'line 1: completions is no known key: did you mean "completion"?',
    ),
    "a preference without input": (
        line({"preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}),
        "line 1: input must be an object with messages, not null",
    ),
    "a preference with one output": (
        line({"input": {"messages": [USER]}, "preferred_output": [ANSWER]}),
        "line 1: non_preferred_output must be an array of messages, not null",
    ),
    "a preference whose output is a question": (
        line(
            {
                "input": {"messages": [USER]},
                "preferred_output": [USER],
                "non_preferred_output": [ANSWER],
            }
        ),
        "line 1: preferred_output teaches nothing: no assistant message",
    ),
    "a preference whose output goes on with a question": (
        line(
            {
                "input": {"messages": [USER]},
                "preferred_output": [ANSWER],
                "non_preferred_output": [ANSWER, USER],
            }
        ),
        'line 1: non_preferred_output[1].role is "user"; it must be "assistant" or "tool", '
        "as an answer is theirs alone",
    ),
    "a reinforcement row with a slip": (
        line({"messages": [USER], "answer": "4"})
        + line({"messages": [{"role": "usr", "content": "hi"}], "answer": "4"}),
        'line 2: messages[0].role "usr": did you mean "user"?',
    ),
}
