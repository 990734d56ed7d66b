import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.bad_files import BAD_FILES, CALL, GOOD, TOOL, USER, chat, line
from tunery.core.calls import brings_tools
from tunery.core.checker import FileReport, RowChecker, check_rows, without_bad_rows
from tunery.core.examples import ChatExample, CompletionExample, read_examples
from tunery.core.files import Format
from tunery.core.lines import LineSplitter
from tunery.core.plain import digests
from tunery.core.repeats import shared_rows
from tunery.core.rows import explain, is_good

SMALL = sorted(name for name, (data, _) in BAD_FILES.items() if len(data) < 20_000)
ROWS = [
    GOOD,
    {"messages": [USER, USER, {"role": "assistant", "content": "", "weight": 0}]},
    {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]},
    {"messages": [USER], "answer": 4},
    {"prompt": "a", "completion": "b"},
    {"prompt": "é\u2028\x7f", "completion": "\U0001f600\\ \" \n"},
    {"input": {"messages": [USER]}, "preferred_output": GOOD["messages"][1:],
     "non_preferred_output": GOOD["messages"][1:]},
    {"mesages": []},
    [],
    "text",
]  # fmt: skip


def said(data: bytes) -> list[str]:
    return [str(problem) for problem in check_rows([data]).problems]


def warnings(data: bytes) -> list[str]:
    report = check_rows([data])
    assert report.n_errors == 0, report.problems
    return [str(problem) for problem in report.problems]


def in_pieces(data: bytes, cuts: list[int]) -> FileReport:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return check_rows(data[a:b] for a, b in pairwise(places))


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.sampled_from(ROWS), max_size=12),
    ends=st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"]),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_where_the_bytes_are_cut_changes_nothing(
    rows: list[Any], ends: str, ascii_only: bool, cuts: list[int]
) -> None:
    data = ends.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode()
    assert in_pieces(data, cuts) == check_rows([data])


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(SMALL), cuts=st.lists(st.integers(0, 20_000), max_size=8))
def test_where_a_bad_file_is_cut_changes_nothing(name: str, cuts: list[int]) -> None:
    data = line(GOOD) + BAD_FILES[name][0]
    assert in_pieces(data, cuts) == check_rows([data])


def test_single_bytes_are_as_good_as_a_block() -> None:
    data = b"".join(BAD_FILES[name][0] for name in SMALL if len(BAD_FILES[name][0]) < 500)
    assert check_rows(bytes([byte]) for byte in data) == check_rows([data])


MESSAGES: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool", "asistant", "function", 1]),
        "content": st.sampled_from([None, "", "hi", 4, [{"type": "text", "text": "a"}], []]),
        "weight": st.sampled_from([None, 0, 1, 2, 1.0, True]),
        "name": st.sampled_from([None, "bob", 3]),
        "refusal": st.sampled_from([None, "no"]),
        "tool_calls": st.sampled_from([None, [], [CALL], [{**CALL, "id": 1}]]),
        "tool_call_id": st.sampled_from([None, "c1"]),
        "function_call": st.sampled_from([None, {"name": "f", "arguments": "{}"}, {}]),
        "note": st.just("x"),
    },
)
CHATS: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, max_size=3)},
    optional={
        "tools": st.sampled_from([None, [], [TOOL], [{}], "x"]),
        "functions": st.sampled_from([None, [TOOL["function"]], [1]]),
        "parallel_tool_calls": st.sampled_from([None, True, 1]),
        "note": st.just(1),
    },
)


@settings(max_examples=1000, deadline=None)
@given(row=CHATS)
def test_what_the_fast_reading_takes_the_slow_one_has_no_word_against(row: object) -> None:
    data = json.dumps(row).encode()
    if digests(data, Format.CHAT) is not None or brings_tools(data) is not None:
        assert explain(data, Format.CHAT).findings.found == []


@settings(max_examples=1000, deadline=None)
@given(row=CHATS)
def test_what_is_accepted_can_be_read_and_rendered(row: object) -> None:
    data = json.dumps(row).encode()
    if is_good(data, Format.CHAT):
        ((number, example),) = read_examples([data])
        assert number == 1
        assert isinstance(example, ChatExample)
        assert any(message.is_taught for message in example.messages)
        assert all(message.to_template()["role"] for message in example.messages)


def test_all_problems_are_named_and_in_order() -> None:
    data = line(GOOD) + b"{\n" + chat(USER)[len(line(GOOD)) :] + line({"messages": [1, {}]})
    assert said(data) == [
        "line 2: not JSON: Expecting property name enclosed in double quotes at column 2; "
        "a row is one JSON object on one line, without line breaks inside",
        "line 3: no assistant message: nothing to learn here",
        "line 4: messages[0] must be an object with role and content, not a number",
        'line 4: messages[1].role is missing; it must be "system", "developer", "user", '
        '"assistant" or "tool"',
        "line 4: messages[1].content is missing",
    ]


def test_the_first_hundred_problems_are_named_and_all_are_counted() -> None:
    report = check_rows([line(GOOD) * 5, b"{\n" * 250])
    assert (len(report.problems), report.n_errors) == (100, 250)
    assert [problem.line for problem in report.problems] == list(range(6, 106))


def test_warnings_do_not_hide_errors() -> None:
    odd = line({"messages": [*GOOD["messages"], USER]})
    report = check_rows([odd * 150 + b"{\n"])
    assert report.n_warnings == 151
    assert report.problems[-1].line == 151
    assert sum(problem.level == "error" for problem in report.problems) == 1


def test_repeated_rows_are_one_warning() -> None:
    data = line(GOOD) * 2 + line({"messages": [USER, {"role": "assistant", "content": "5"}]})
    assert warnings(data + line(GOOD)) == ["2 rows repeat an earlier one: lines 2, 4"]
    assert warnings(line(GOOD) * 20)[0].endswith("lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 9 more")
    assert check_rows([line(GOOD) * 20]).n_repeated == 19


def test_rows_that_are_also_in_the_training_file_are_counted() -> None:
    training = [b"a\n", b"b\r\n", b"\n"]
    assert shared_rows(training, [b"c\n", b"\n", b"b\n", b"a"]) == (
        "2 rows repeat one of the training file: lines 3, 4"
    )
    assert shared_rows(training, [b"c\n"]) is None


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (b"\xef\xbb\xbf" + line(GOOD), "line 1: begins with a byte order mark, which is ignored"),
        (chat(*GOOD["messages"], note=1), "line 2: note is not read by training"),
        (
            chat(*GOOD["messages"], USER),
            "line 2: messages[2] is the last message, and the user's",
        ),
        (
            chat({**USER, "weight": 1}, GOOD["messages"][1]),
            "line 2: messages[0].weight is ignored: only an assistant's message is learnt",
        ),
        (
            chat(
                USER,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c2", "content": "4"},
                GOOD["messages"][1],
            ),
            'line 2: messages[2].tool_call_id answers "c2", which no message calls',
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(data: bytes, warning: str) -> None:
    assert warnings(data) == [warning]


def test_an_unknown_key_is_said_once() -> None:
    rows = [line({**GOOD, "note": number}) for number in range(50)]
    assert warnings(b"".join(rows)) == ["line 1: note is not read by training"]


@pytest.mark.parametrize(
    "data",
    [
        line(GOOD),
        line(GOOD)[:-1],
        line(GOOD).replace(b"\n", b"\r\n"),
        b"\n\n" + line(GOOD) + b"  \n",
        b"  " + line(GOOD),
        chat(*GOOD["messages"], tools=[TOOL], parallel_tool_calls=False),
        chat(USER, {"role": "assistant", "content": None, "refusal": "No."}),
        chat(USER, {"role": "assistant", "content": [{"type": "text", "text": "4"}]}),
        chat({"role": "developer", "content": "Be kind."}, *GOOD["messages"]),
        chat(
            USER,
            {"role": "assistant", "function_call": {"name": "add", "arguments": ""}},
            {"role": "function", "name": "add", "content": "4"},
            GOOD["messages"][1],
            functions=[{"name": "add"}],
        ),
        line({"prompt": "", "completion": " b"}),
        '{"prompt": "\U0001f600 é \u2028 \\ud83d\\ude00 \\u0000", "completion": "x"}\n'.encode(),
    ],
)
def test_a_good_file_has_no_problems(data: bytes) -> None:
    assert said(data) == []


def test_a_preference_for_neither_is_a_warning() -> None:
    assert warnings(line(ROWS[6])) == [
        "line 1: non_preferred_output is the preferred one: nothing is learnt from it"
    ]


@pytest.mark.parametrize(
    ("row", "format"),
    [
        (GOOD, Format.CHAT),
        ({"prompt": "a", "completion": "b"}, Format.COMPLETION),
        ({"messages": [USER], "answer": 4}, Format.REINFORCEMENT),
        (ROWS[6], Format.PREFERENCE),
    ],
)
def test_the_format_is_recognised(row: object, format: Format) -> None:
    report = check_rows([line(row)])
    assert (report.format, report.n_rows, report.n_errors) == (format, 1, 0)


def test_rows_with_tools_are_counted() -> None:
    rows = [GOOD, {**GOOD, "tools": [TOOL]}, {**GOOD, "functions": [TOOL["function"]]}]
    report = check_rows([b"".join(map(line, rows))])
    assert (report.n_rows, report.n_with_tools) == (3, 2)


def test_good_rows_with_tools_are_taken_fast() -> None:
    rows = [
        {**GOOD, "tools": [TOOL], "parallel_tool_calls": True},
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "4"},
                *GOOD["messages"],
            ],
            "tools": [TOOL],
        },
    ]
    assert [brings_tools(line(row)) for row in rows] == [True, True]
    assert brings_tools(line({**rows[0], "tools": []})) is False
    assert brings_tools(line(rows[1]).replace(b'"c1", "con', b'"c2", "con')) is None


def test_a_long_line_is_let_go_while_it_comes() -> None:
    lines = LineSplitter(most_bytes=10)
    assert lines.feed(b"a" * 9) == []
    assert lines.feed(b"a\nb\nc") == [b"a" * 10 + b"\nb"]
    assert lines.feed(b"c" * 10) == []
    assert lines._pieces == []
    assert lines.feed(b"c\nd\ne\n") == [None, b"d\ne"]
    assert lines.rest() == b""


def test_memory_for_repeats_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunery.core.repeats.MOST_REMEMBERED_ROWS", 10)
    checker = RowChecker()
    for number in range(50):
        checker.feed(line({"prompt": "a", "completion": str(number)}))
    assert len(checker._repeats._seen) == 10


def test_a_completion_is_read() -> None:
    (example,) = [row for _, row in read_examples([line({"prompt": "a", "completion": "b"})])]
    assert example == CompletionExample(prompt="a", completion="b")


def test_without_its_bad_rows_a_file_is_good_and_has_its_line_numbers() -> None:
    lines = [b"\xef\xbb\xbf" + line(GOOD), b"{\n", line(GOOD), chat(USER)[len(line(GOOD)) :], b"\n"]
    mended = list(without_bad_rows(lines, Format.CHAT))
    assert mended == [line(GOOD), b"\n", line(GOOD), b"\n", b"\n"]
    assert [number for number, _ in read_examples(mended)] == [1, 3]


def test_a_key_cannot_write_to_the_terminal() -> None:
    sly = line({"messages": [*GOOD["messages"]], "\x1b[31m": 1, "\u202e": 2, "long" * 99: 3})
    role = line({"messages": [{"role": "\x1b[2J\x9b", "content": "a"}]})
    for problem in said(sly + role):
        assert problem.isprintable()
        assert len(problem) < 200
