import pytest

from tests.service.bad_files import CALL, GOOD, TOOL, USER, line
from tunery.core.errors import InvalidFile
from tunery.core.examples import ChatExample, Message, PreferencePair, TextPart, read_examples


def conversation(*messages: object, **others: object) -> ChatExample:
    ((_, example),) = read_examples([line({"messages": list(messages), **others})])
    assert isinstance(example, ChatExample)
    return example


def test_line_numbers_count_blank_lines() -> None:
    lines = [b"\xef\xbb\xbf" + line(GOOD), b"\r\n", b"\n", line(GOOD).replace(b"\n", b"\r\n")]
    assert [number for number, _ in read_examples(lines)] == [1, 4]


def test_a_line_that_is_no_example_is_named() -> None:
    with pytest.raises(InvalidFile, match=r"line 2: not a training example: .*messages"):
        list(read_examples([line(GOOD), line({"messages": 1})]))


def test_messages_become_what_templates_take() -> None:
    example = conversation(
        {"role": "developer", "content": "Be kind."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "+2"}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "content": "4", "name": "bob", "weight": 0},
    )
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    assert [message.to_template() for message in example.messages] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "content": "4", "name": "bob"},
    ]
    assert [message.is_taught for message in example.messages] == [False, False, True, False, False]


def test_the_old_form_of_tools_becomes_the_new_one() -> None:
    example = conversation(
        USER,
        {"role": "assistant", "function_call": {"name": "add", "arguments": '{"a": 2}'}},
        {"role": "function", "name": "add", "content": "4"},
        functions=[TOOL["function"]],
    )
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    assert [message.to_template() for message in example.messages[1:]] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "add", "content": "4"},
    ]
    assert example.all_tools == [TOOL]


def test_there_are_no_tools_where_none_are_given() -> None:
    assert conversation(*GOOD["messages"]).all_tools is None
    assert conversation(*GOOD["messages"], tools=[]).all_tools is None
    assert conversation(*GOOD["messages"], tools=[TOOL]).all_tools == [TOOL]


def test_a_refusal_is_learnt_where_there_is_no_content() -> None:
    message = Message(role="assistant", refusal="No.")
    assert message.is_taught
    assert message.text == "No."
    assert Message(role="user", content=(TextPart("text", "a"), TextPart("text", "b"))).text == "ab"


def test_a_preference_is_a_conversation_with_either_answer_and_teaches_the_answer_alone() -> None:
    asked = [USER, {"role": "assistant", "content": "Why?"}, USER]
    row = {
        "input": {"messages": asked, "tools": [TOOL], "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "content": "Good."}],
        "non_preferred_output": [{"role": "assistant", "content": "Bad."}],
    }
    ((_, pair),) = read_examples([line(row)])
    assert isinstance(pair, PreferencePair)
    chosen, rejected = pair.answered
    assert [message.text for message in chosen.messages[2:]] == [USER["content"], "Good."]
    assert [message.text for message in rejected.messages[2:]] == [USER["content"], "Bad."]
    for answered in (chosen, rejected):
        assert [m.is_taught for m in answered.messages] == [False, False, False, True]
        assert answered.all_tools == [TOOL]
