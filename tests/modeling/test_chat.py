"""What is taught of a conversation, held to spans written down by hand."""

from itertools import groupby
from operator import itemgetter
from typing import Any

import pytest
from tokenizers import pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.modeling import templates
from tests.modeling.templates import tokenizer
from tunery.core.errors import InvalidValue, Unsupported
from tunery.modeling.chat import Chat, Encoded

TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": "I am well."},
    {"role": "user", "content": "What is two plus two?"},
    {"role": "assistant", "content": "Four."},
]
SYSTEM: dict[str, Any] = {"role": "system", "content": "Be kind."}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}

# For each template what it makes of `TALK`, with what is taught between « and ».
EXPECTED = {
    "CHATML": (
        "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n«I am well.<|im_end|>»\n"
        "<|im_start|>user\nWhat is two plus two?<|im_end|>\n"
        "<|im_start|>assistant\n«Four.<|im_end|>»\n"
    ),
    "CHATML_MARKED": (
        "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n«I am well.<|im_end|>»\n"
        "<|im_start|>user\nWhat is two plus two?<|im_end|>\n"
        "<|im_start|>assistant\n«Four.<|im_end|>»\n"
    ),
    "SYSTEM_PREFIX": (
        "<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n«I am well.<|im_end|>»\n"
        "<|im_start|>user\nWhat is two plus two?<|im_end|>\n"
        "<|im_start|>assistant\n«<think>\n\n</think>\n\nFour.<|im_end|>»\n"
    ),
    "LLAMA3": (
        "<s><|start_header_id|>user<|end_header_id|>\n\nHello there<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«I am well.<|eot_id|>»"
        "<|start_header_id|>user<|end_header_id|>\n\nWhat is two plus two?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«Four.<|eot_id|>»"
    ),
    "MISTRAL": (
        "<s>[INST]Hello there[/INST]«I am well.</s>»[INST]What is two plus two?[/INST]«Four.</s>»"
    ),
    "GEMMA": (
        "<s><start_of_turn>user\nHello there<end_of_turn>\n"
        "<start_of_turn>model\n«I am well.<end_of_turn>»\n"
        "<start_of_turn>user\nWhat is two plus two?<end_of_turn>\n"
        "<start_of_turn>model\n«Four.<end_of_turn>»\n"
    ),
    "TINY_CHAT": (
        "<|user|>\nHello there<|end|>\n<|assistant|>\n«I am well.<|end|>»\n"
        "<|user|>\nWhat is two plus two?<|end|>\n<|assistant|>\n«Four.<|end|>»\n"
    ),
    "THINKING": (
        "<|im_start|>user\nHello there<|im_end|>\n«<|im_start|>assistant\nI am well.<|im_end|>»\n"
    ),
}


def marked(chat: Chat, encoded: Encoded) -> str:
    """The example's text, with « and » around what is taught."""
    text = ""
    for learn, run in groupby(zip(encoded.ids, encoded.learn, strict=True), key=itemgetter(1)):
        words = chat.tokenizer.decode([token for token, _ in run])
        text += f"«{words}»" if learn else words
    return text


def made(name: str) -> Chat:
    return Chat(tokenizer(getattr(templates, name)))


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "THINKING"])
def test_exactly_the_assistants_turns_are_taught(name: str) -> None:
    chat = made(name)
    assert marked(chat, chat.encode_conversation(TALK)) == EXPECTED[name]


@pytest.mark.parametrize("name", ["CHATML", "LLAMA3", "MISTRAL", "GEMMA", "TINY_CHAT"])
def test_the_text_is_the_templates_own_and_its_tokens_too(name: str) -> None:
    chat = made(name)
    whole = chat.tokenizer.apply_chat_template(TALK, tokenize=True, return_dict=False)
    assert chat.encode_conversation(TALK).ids == whole


@pytest.mark.parametrize(
    "name", ["CHATML", "SYSTEM_PREFIX", "LLAMA3", "MISTRAL", "GEMMA", "TINY_CHAT"]
)
def test_turns_in_turn_mark_the_same_tokens(name: str) -> None:
    """Independent: a turn's tokens are what its prompt lacks, one conversation per turn."""
    chat = made(name)
    for end in (2, 4):
        part = TALK[:end]
        encoded = chat.encode_conversation([{**m, "weight": 0} for m in part[:-1]] + part[-1:])
        prompt = chat.prompt(part[:-1])
        assert encoded.ids[: len(prompt)] == prompt
        first = encoded.learn.index(True)
        assert first == len(prompt)
        taught = [t for t, learn in zip(encoded.ids, encoded.learn, strict=True) if learn]
        assert taught == encoded.ids[first : first + len(taught)]
        assert taught[-1] in chat.stop_ids


def test_generation_markers_agree_with_rendering_turn_by_turn() -> None:
    chat = made("CHATML_MARKED")
    out = chat.tokenizer.apply_chat_template(
        TALK, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    newline = chat.tokenizer("\n")["input_ids"]
    encoded = chat.encode_conversation(TALK)
    assert encoded.ids == out["input_ids"]
    differ = [
        token
        for token, ours, theirs in zip(
            encoded.ids, encoded.learn, out["assistant_masks"], strict=True
        )
        if ours != bool(theirs)
    ]
    assert differ == newline * 2  # the marked block holds the line feed after the end of turn


@pytest.mark.parametrize("name", ["CHATML", "LLAMA3", "TINY_CHAT", "MISTRAL", "GEMMA"])
def test_weight_0_leaves_a_message_out(name: str) -> None:
    chat = made(name)
    talk = [TALK[0], {**TALK[1], "weight": 0}, TALK[2], {**TALK[3], "weight": 1}]
    taught = EXPECTED[name].replace("«I am well.", "I am well.")
    first = taught.index("»")
    expected = taught[:first] + taught[first + 1 :]
    assert marked(chat, chat.encode_conversation(talk)) == expected


def test_a_template_that_moves_the_system_prompt_is_followed() -> None:
    chat = made("MISTRAL")
    assert marked(chat, chat.encode_conversation([SYSTEM, *TALK])) == (
        "<s>[INST]Hello there[/INST]«I am well.</s>»"
        "[INST]Be kind.\n\nWhat is two plus two?[/INST]«Four.</s>»"
    )


def test_an_answer_that_the_template_would_begin_otherwise_is_taught_from_its_header() -> None:
    chat = made("THINKING")
    encoded = chat.encode_conversation(TALK[:2])
    assert marked(chat, encoded) == EXPECTED["THINKING"].replace(
        "«<|im_start|>assistant", "<|im_start|>«assistant"
    )


def test_a_template_that_retells_earlier_turns_is_followed_by_its_markers() -> None:
    chat = made("RETOLD")
    assert marked(chat, chat.encode_conversation(TALK)) == (
        "4 messages\n<|im_start|>user\nHello there<|im_end|>\n"
        "<|im_start|>assistant\n«I AM WELL.<|im_end|>»\n"
        "<|im_start|>user\nWhat is two plus two?<|im_end|>\n"
        "<|im_start|>assistant\n«Four.<|im_end|>»\n"
    )
    chat.tokenizer.chat_template = templates.RETOLD.replace("{% generation %}", "").replace(
        "{% endgeneration %}", ""
    )
    with pytest.raises(InvalidValue, match=r"messages\[1\]: .* changes what stands before"):
        chat.encode_conversation(TALK)


def test_a_conversation_may_begin_with_the_assistant() -> None:
    chat = made("CHATML")
    assert marked(chat, chat.encode_conversation(TALK[1:])) == (
        "<|im_start|>assistant\n«I am well.<|im_end|>»\n"
        "<|im_start|>user\nWhat is two plus two?<|im_end|>\n"
        "<|im_start|>assistant\n«Four.<|im_end|>»\n"
    )


def test_the_same_answer_twice_is_found_twice() -> None:
    chat = made("MISTRAL")
    talk = [SYSTEM, TALK[0], TALK[3], TALK[2], TALK[3]]
    assert marked(chat, chat.encode_conversation(talk)) == (
        "<s>[INST]Hello there[/INST]«Four.</s>»"
        "[INST]Be kind.\n\nWhat is two plus two?[/INST]«Four.</s>»"
    )


def test_tool_calls_are_rendered_with_their_arguments_as_an_object_and_taught() -> None:
    chat = made("CHATML")
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Köln"}'},
    }
    talk = [
        TALK[0],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "grün"},
        {"role": "assistant", "content": "Blue or green."},
    ]
    assert marked(chat, chat.encode_conversation(talk, [WEATHER])) == (
        "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n"
        '«<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n</tool_call>'
        "<|im_end|>»\n<|im_start|>tool\ngrün<|im_end|>\n"
        "<|im_start|>assistant\n«Blue or green.<|im_end|>»\n"
    )
    with pytest.raises(Unsupported, match=r"messages\[1\] calls the tool get_weather"):
        made("TINY_CHAT").encode_conversation(talk, [WEATHER])


def test_an_answer_that_begins_with_a_line_feed_does_not_melt_into_its_header() -> None:
    chat = made("CHATML")
    assert len(chat.tokenizer("\n\n")["input_ids"]) == 1
    encoded = chat.encode_conversation([TALK[0], {"role": "assistant", "content": "\nFour."}])
    prompt = chat.prompt(TALK[:1])
    assert encoded.ids[: len(prompt)] == prompt
    assert encoded.learn.index(True) == len(prompt)


def test_line_feeds_that_split_otherwise_at_the_end_are_those_of_the_prompt() -> None:
    chat = made("LLAMA3")
    chat.tokenizer._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    prompt = chat.prompt(TALK[:1])
    whole = chat.tokenizer.apply_chat_template(TALK[:2], return_dict=False)
    assert whole[: len(prompt)] != prompt
    assert chat.encode_conversation(TALK[:2]).ids[: len(prompt)] == prompt


def test_offsets_that_leave_out_spaces_mark_the_same() -> None:
    plain, trimming = made("MISTRAL"), made("MISTRAL")
    backend = trimming.tokenizer._tokenizer
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    for answer in (" Four. ", "  Four.", "Four. \n"):
        for asked in ("two ", "two", "two\n "):
            talk = [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ]
            assert trimming.encode_conversation(talk) == plain.encode_conversation(talk)


def test_text_parts_and_developer_messages_are_understood() -> None:
    chat = made("TINY_CHAT")
    talk = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"text": "kind."}]},
        *TALK[:2],
    ]
    assert chat.encode_conversation(talk) == chat.encode_conversation([SYSTEM, *TALK[:2]])


def test_a_completion_teaches_its_text_and_the_end() -> None:
    chat = made("TINY_CHAT")
    [encoded] = chat.encode([chat.completion("What is two plus two?", " Four.")])
    assert marked(chat, encoded) == "What is two plus two?« Four.</s>»"
    assert encoded.ids[: encoded.learn.index(True)] == chat.text_prompt("What is two plus two?")


def test_a_completion_begins_as_the_tokenizer_begins_a_text() -> None:
    made_here = tokenizer(None)
    bos = made_here.bos_token_id
    made_here._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", bos)]
    )
    chat = Chat(made_here)
    [encoded] = chat.encode([chat.completion("Hello", " there")])
    assert marked(chat, encoded) == "<s>Hello« there</s>»"
    assert chat.text_prompt("Hello") == made_here("Hello")["input_ids"]


@pytest.mark.parametrize(
    ("name", "ends"),
    [("CHATML", "<|im_end|>"), ("LLAMA3", "<|eot_id|>"), ("MISTRAL", "</s>")],
)
def test_an_answer_stops_at_the_end_of_its_turn_or_of_the_text(name: str, ends: str) -> None:
    chat = made(name)
    ids = chat.tokenizer.convert_tokens_to_ids([ends, "</s>"])
    assert chat.stop_ids == frozenset(ids)


def test_many_are_encoded_as_each_alone() -> None:
    chat = made("LLAMA3")
    examples = [chat.conversation(TALK[:end]) for end in (2, 4)] + [chat.completion("a", "b")]
    assert chat.encode(examples) == [chat.encode([example])[0] for example in examples]
    assert chat.encode([]) == []


def test_the_pieces_of_an_example_are_its_text() -> None:
    example = made("CHATML").conversation(TALK)
    pieces = list(example.pieces())
    assert "".join(text for text, _ in pieces) == example.text
    assert [text for text, taught in pieces if taught] == [
        "I am well.<|im_end|>",
        "Four.<|im_end|>",
    ]


def test_what_cannot_be_trained_on_says_why() -> None:
    with pytest.raises(Unsupported, match="no chat template"):
        Chat(tokenizer(None)).encode_conversation(TALK)
    with pytest.raises(Unsupported, match="no special token"):
        made("NO_END").encode_conversation(TALK)
    with pytest.raises(InvalidValue, match="System role not supported"):
        made("REFUSING").encode_conversation([SYSTEM, *TALK])


def test_a_tokenizer_must_know_its_characters() -> None:
    slow: Any = type("Slow", (), {"is_fast": False})()
    with pytest.raises(Unsupported, match=r"tokenizer\.json"):
        Chat(slow)


def test_no_token_of_the_vocabulary_is_lost(tmp_path: object) -> None:
    made_here: PreTrainedTokenizerFast = tokenizer(templates.CHATML)
    text = "ünïcödé \U0001f600\tand\x00 all"
    assert made_here.decode(Chat(made_here).text_prompt(text)) == text
