"""Tokens as text while they come. A byte-level token may hold a part of a character."""

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Detokenizer:
    """One answer's text, given its tokens one by one.

    Decoding a token by itself would lose what depends on its neighbours (a space before a word,
    the other half of a character), so a few tokens are always decoded together.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Decode with `tokenizer`."""
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._known = 0
        """The first so many tokens of `_ids` are text already."""

    def feed(self, token: int) -> str:
        """The text that `token` completes; empty where a character is still in pieces."""
        self._ids.append(token)
        text = self._new_text()
        if text.endswith(_INCOMPLETE):
            return ""
        self._ids, self._known = self._ids[self._known :], len(self._ids) - self._known
        return text

    def flush(self) -> str:
        """What never became whole characters."""
        return self._new_text()

    def _new_text(self) -> str:
        before = self._decode(self._ids[: self._known])
        return self._decode(self._ids)[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)


def token_bytes(tokenizer: "PreTrainedTokenizerBase", token: int) -> bytes:
    """The bytes that `token` stands for, also where they are no whole character."""
    piece = str(tokenizer.convert_ids_to_tokens(token))
    if token in tokenizer.added_tokens_decoder:
        return piece.encode()
    if (byte := _BYTE.fullmatch(piece)) is not None:
        return bytes([int(byte[1], 16)])
    if _is_byte_level(tokenizer) and all(char in _byte_alphabet() for char in piece):
        return bytes(_byte_alphabet()[char] for char in piece)
    return piece.replace("▁", " ").encode()


def _is_byte_level(tokenizer: "PreTrainedTokenizerBase") -> bool:
    return "ByteLevel" in str(tokenizer.backend_tokenizer.decoder)


@cache
def _byte_alphabet() -> dict[str, int]:
    """The byte behind each character of a byte-level vocabulary.

    GPT-2's table (Radford et al. 2019, `encoder.py`): printable characters of Latin-1 stand for
    themselves, all other bytes for the characters from U+0100 on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }
