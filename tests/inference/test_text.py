"""What the child generates is what transformers and PEFT would."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.inference.tiny import CONTEXT, write_adapter, write_model
from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.generation import GenerationRequest, Piece
from tunery.inference.shelf import Recent, Shelf
from tunery.inference.text import Reply

# PEFT 0.21 asks transformers 5 by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

MESSAGES = [{"role": "user", "content": "Name a colour."}]
SHELF = Shelf()


def asked(model: Path, **more: Any) -> GenerationRequest:  # noqa: ANN401
    given = {"location": str(model), "max_tokens": 24, "temperature": 0.0, **more}
    if "prompt" not in given:
        given.setdefault("messages", MESSAGES)
    return GenerationRequest(**given)


def pieces_of(request: GenerationRequest) -> list[Piece]:
    reply, pieces = Reply(SHELF, request), []
    while not reply.over:
        pieces += reply.take({one.index: one for one in reply.sampler.step()})
    return pieces


def text_of(pieces: Iterable[Piece], index: int = 0) -> str:
    return "".join(piece.text for piece in pieces if piece.index == index)


def ends_of(pieces: Iterable[Piece]) -> dict[int, str]:
    return {piece.index: piece.finish_reason for piece in pieces if piece.finish_reason}


def reference(folder: Path, adapter: Path | None = None, n: int = 24) -> tuple[str, int]:
    """Greedy text by transformers' own loop, and the number of prompt tokens."""
    words: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    prompt = words.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    stops = [words.eos_token_id, words.convert_tokens_to_ids("<|im_end|>")]
    with torch.no_grad():
        out = model.generate(**prompt, max_new_tokens=n, do_sample=False, eos_token_id=stops)
    n_prompt = prompt["input_ids"].shape[1]
    return words.decode(out[0][n_prompt:], skip_special_tokens=True), n_prompt


def test_a_base_in_four_bits_stands_beside_the_same_one_in_full(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    plain, packed = SHELF.speaker(str(model)).base, SHELF.speaker(str(model), "nf4").base
    assert all(family.packed is None for family in plain.places.families)
    assert all(family.packed is not None for family in packed.places.families)
    assert ends_of(pieces_of(asked(model, quantization="nf4", max_tokens=3)))


def test_greedy_text_is_that_of_transformers(model: Path) -> None:
    expected, n_prompt = reference(model)
    pieces = pieces_of(asked(model))
    assert text_of(pieces) == expected
    assert pieces[-1].finish_reason == "length"
    assert pieces[-1].usage == (n_prompt, 24)


def test_an_adapter_speaks_as_it_does_with_peft(model: Path, adapter: Path) -> None:
    expected, _ = reference(model, adapter)
    tuned = text_of(pieces_of(asked(model, adapter=str(adapter))))
    assert tuned == expected
    assert tuned != text_of(pieces_of(asked(model)))


def test_the_same_seed_gives_the_same_answers_and_several_answers_differ(model: Path) -> None:
    request = asked(model, temperature=1.0, seed=7, n=3)
    first, again = pieces_of(request), pieces_of(request)
    answers = [text_of(first, index) for index in range(3)]
    assert answers == [text_of(again, index) for index in range(3)]
    assert len(set(answers)) == 3
    assert answers[0] == text_of(pieces_of(msgspec.structs.replace(request, n=1)))
    other = pieces_of(msgspec.structs.replace(request, seed=8))
    assert text_of(other) != answers[0]


def test_a_stop_string_ends_the_answer_and_is_not_shown(model: Path) -> None:
    whole = text_of(pieces_of(asked(model)))
    stop = whole[6:10]
    pieces = pieces_of(asked(model, stop=(stop,)))
    assert text_of(pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish_reason == "stop"
    assert pieces[-1].usage is not None
    assert pieces[-1].usage[1] < 24


def test_one_of_several_answers_may_stop_before_the_others(model: Path) -> None:
    request = asked(model, temperature=1.0, seed=3, n=2)
    whole = pieces_of(request)
    texts = [text_of(whole, index) for index in range(2)]
    stop = next(
        texts[0][at : at + 3] for at in range(4, 20) if texts[0][at : at + 3] not in texts[1]
    )
    pieces = pieces_of(msgspec.structs.replace(request, stop=(stop,)))
    assert text_of(pieces, 0) == texts[0][: texts[0].index(stop)]
    assert text_of(pieces, 1) == texts[1]
    assert ends_of(pieces) == {0: "stop", 1: ends_of(whole)[1]}
    assert [piece.usage is not None for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_log_probabilities_are_those_of_the_model(model: Path) -> None:
    pieces = pieces_of(asked(model, logprobs=3, max_tokens=12))
    tokens = [token for piece in pieces for token in piece.logprobs]
    assert len(tokens) == 12
    assert all(token.top[0][1] == pytest.approx(token.logprob) for token in tokens)
    assert all(len(token.top) == 3 for token in tokens)
    assert bytes(b for token in tokens for b in token.bytes).decode(errors="replace") == text_of(
        pieces
    )


def test_log_probabilities_of_what_a_stop_string_swallowed_are_not_given(model: Path) -> None:
    whole = text_of(pieces_of(asked(model)))
    pieces = pieces_of(asked(model, logprobs=0, stop=(whole[6:10],)))
    said = b"".join(bytes(token.bytes) for piece in pieces for token in piece.logprobs)
    assert said.decode(errors="replace").startswith(text_of(pieces))


def test_answers_are_the_same_beside_others_with_other_adapters(
    model: Path, adapter: Path, tmp_path: Path
) -> None:
    other = write_adapter(model, tmp_path / "other", seed=5)
    requests = [
        asked(model, adapter=str(adapter), logprobs=1),
        asked(model, adapter=str(other), temperature=1.0, seed=3, n=2),
        asked(model, temperature=0.7, seed=4, prompt="Hello there"),
        asked(model, adapter=str(adapter), stop=(text_of(pieces_of(asked(model)))[6:9],)),
    ]
    alone = [pieces_of(request) for request in requests]
    joint = beside(requests)
    for index in range(2):
        assert text_of(joint[1], index) == text_of(alone[1], index)
    for pieces, expected in zip(joint, alone, strict=True):
        assert text_of(pieces) == text_of(expected)
        assert ends_of(pieces) == ends_of(expected)
        assert pieces[-1].usage == expected[-1].usage
    assert logprobs_of(joint[0]) == pytest.approx(logprobs_of(alone[0]), abs=1e-4)


def logprobs_of(pieces: Iterable[Piece]) -> list[float]:
    return [token.logprob for piece in pieces for token in piece.logprobs]


def beside(requests: Sequence[GenerationRequest]) -> list[list[Piece]]:
    """All at once, each beginning a step after the one before, and one that hangs up."""
    replies: list[Reply] = []
    pieces: list[list[Piece]] = []
    waiting = list(requests)
    gone = Reply(SHELF, requests[0])
    while waiting or not all(reply.over for reply in replies):
        if waiting:
            replies.append(Reply(SHELF, waiting.pop(0)))
            pieces.append([])
        said = {one.index: one for one in gone.sampler.step()}
        for reply, come in zip(replies, pieces, strict=True):
            come += reply.take(said)
        if len(replies) == 2:
            gone.close()
    return pieces


def test_raw_text_is_continued_without_a_template(model: Path) -> None:
    pieces = pieces_of(asked(model, prompt="Hello there"))
    assert text_of(pieces)
    assert pieces[-1].usage is not None
    assert pieces[-1].usage[0] < 12


def test_without_a_limit_the_context_is_filled_and_no_more(model: Path) -> None:
    pieces = pieces_of(asked(model, max_tokens=None))
    assert pieces[-1].usage is not None
    if pieces[-1].finish_reason == "length":
        assert sum(pieces[-1].usage) == CONTEXT


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": [{"role": "user", "content": "word " * CONTEXT}]}, "messages"),
        ({"prompt": "word " * CONTEXT}, "prompt"),
    ],
)
def test_a_prompt_longer_than_the_context_is_refused(
    model: Path, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidValue, match=f"maximum context length is {CONTEXT}") as refused:
        pieces_of(asked(model, **more))
    assert refused.value.param == param
    assert refused.value.code == "context_length_exceeded"


def test_tools_are_not_dropped_in_silence(model: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    with pytest.raises(Unsupported, match="no place for tools"):
        pieces_of(asked(model, tools=tools))


def test_almost_no_temperature_is_none(model: Path) -> None:
    cold = text_of(pieces_of(asked(model, temperature=1e-300)))
    assert cold == text_of(pieces_of(asked(model)))


def test_a_model_without_a_template_completes_but_does_not_chat(tmp_path: Path) -> None:
    plain = write_model(tmp_path / "plain", template=None)
    assert text_of(pieces_of(asked(plain, prompt="Hello")))
    with pytest.raises(Unsupported, match="no chat template"):
        pieces_of(asked(plain))


def test_the_value_used_longest_ago_makes_room() -> None:
    made: list[str] = []

    def get(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    recent: Recent[str, str] = Recent(2)
    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]
