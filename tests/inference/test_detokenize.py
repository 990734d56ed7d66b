"""Text comes in whole characters, and is the same as decoding everything at the end."""

import pytest

from tests.modeling.templates import CHATML, tokenizer
from tunery.inference.detokenize import Detokenizer, token_bytes

WORDS = tokenizer(CHATML)


@pytest.mark.parametrize("text", ["Hello there", "grün é 🙂!", " two  spaces\n\n", "日本語", ""])
def test_pieces_add_up_and_no_half_character_is_shown(text: str) -> None:
    ids = WORDS(text, add_special_tokens=False)["input_ids"]
    detokenizer = Detokenizer(WORDS)
    pieces = [detokenizer.feed(token) for token in ids]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + detokenizer.flush() == text


def test_a_character_that_never_ends_is_shown_as_broken() -> None:
    half = WORDS("🙂", add_special_tokens=False)["input_ids"][:2]
    detokenizer = Detokenizer(WORDS)
    assert [detokenizer.feed(token) for token in half] == ["", ""]
    assert "\ufffd" in detokenizer.flush()


def test_special_tokens_are_no_text() -> None:
    detokenizer = Detokenizer(WORDS)
    special = WORDS.convert_tokens_to_ids("<|im_start|>")
    ids = [*WORDS("a", add_special_tokens=False)["input_ids"], special]
    assert "".join(detokenizer.feed(token) for token in ids) == "a"


@pytest.mark.parametrize("text", ["Hello there", "🙂 grün"])
def test_bytes_of_the_tokens_are_the_bytes_of_the_text(text: str) -> None:
    ids = WORDS(text, add_special_tokens=False)["input_ids"]
    assert b"".join(token_bytes(WORDS, token) for token in ids) == text.encode()
