"""The fast reading of rows: strict decoders that take plain good ones, and vouch for them.

With what they take the slow reading (`core/rows.py`) finds no fault; a row that they do not take
may still be good. Whole blocks of rows go through at once: the loop over them is in C.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from tunery.core.examples import REFUSALS
from tunery.core.files import Format


class _System(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    forbid_unknown_fields=True,
    tag_field="role",
    tag="system",
):
    content: str
    name: str | None = None


class _Developer(_System, frozen=True, kw_only=True, gc=False, tag="developer"):
    pass


class _User(_System, frozen=True, kw_only=True, gc=False, tag="user"):
    pass


class _Assistant(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    forbid_unknown_fields=True,
    tag_field="role",
    tag="assistant",
):
    content: Annotated[str, msgspec.Meta(min_length=1)]
    name: str | None = None
    weight: Literal[0, 1] | None = None


_Messages = Annotated[
    tuple[_System | _Developer | _User | _Assistant, ...], msgspec.Meta(min_length=1)
]


class _Chat(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    messages: _Messages
    parallel_tool_calls: bool | None = None


class _Completion(msgspec.Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    prompt: str
    completion: Annotated[str, msgspec.Meta(min_length=1)]


_chats = msgspec.json.Decoder(_Chat).decode_lines
_completions = msgspec.json.Decoder(_Completion).decode_lines


def digests(block: bytes, format: Format) -> Sequence[int] | None:
    """A digest of each row in `block`, where all of them are plain and good; else None.

    Equal rows have equal digests of 64 bits, within this process. `block` holds whole lines, with
    no line feed at its end.
    """
    read = _READERS.get(format)
    if read is None or not block.startswith(b"{"):
        return None
    try:
        rows = read(block)
    except REFUSALS:
        return None
    return list(map(hash, rows)) if rows and _is_one_per_line(block, len(rows)) else None


def _is_one_per_line(block: bytes, n_rows: int) -> bool:
    """Whether each line of `block` is one of its `n_rows` objects.

    The decoder would also take two objects on one line, and one that runs over two. But no object
    has a `}` before a line feed and a `{` behind it; so where every line ends and begins with
    these, an object never runs on, and as many objects as lines means one on each.
    """
    ends = b"}\r" if block.endswith(b"\r") else b"}"
    if not block.endswith(ends):
        return False
    boundary = ends + b"\n{"
    n_lines, feed = 1, block.find(b"\n")
    while feed >= 0 and block[feed - len(ends) : feed + 2] == boundary:
        n_lines += 1
        feed = block.find(b"\n", feed + 1)
    return feed < 0 and n_lines == n_rows


def _read_chats(block: bytes) -> Sequence[_Chat]:
    """The conversations in `block`; none where some might have a fault."""
    rows = _chats(block)
    n_messages = 0
    for row in rows:
        last = row.messages[-1]
        if type(last) is not _Assistant or last.weight == 0:
            return ()
        n_messages += len(row.messages)
    # Of two equal keys the decoder takes the last; but where there are as many of these keys as
    # messages none stands twice. Inside of a string the quotes are escaped, so that hardly anything
    # but keys is counted. (Two "messages" would have had messages each, and two roles are taken
    # only where they are the same.)
    return rows if block.count(b'"content"') == n_messages else ()


def _read_completions(block: bytes) -> Sequence[_Completion]:
    """The prompts and completions in `block`; none where some might have a fault."""
    rows = _completions(block)
    keys = (b'"prompt"', b'"completion"')
    return rows if all(block.count(key) == len(rows) for key in keys) else ()


_READERS: dict[Format, Callable[[bytes], Sequence[_Chat | _Completion]]] = {
    Format.CHAT: _read_chats,
    Format.COMPLETION: _read_completions,
}
