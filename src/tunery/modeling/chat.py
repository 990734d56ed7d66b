"""What a model reads: conversations and raw text as token ids, with a mask of what is taught.

Nothing here needs torch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tunery.core.errors import Unsupported
from tunery.modeling.template import Message, Rendered, Template, Tool

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A turn's header is no longer than this.
_HEADER_CHARS = 200


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An example as tokens, and whether each is taught."""

    ids: list[int]
    learn: list[bool]


class Chat:
    """A tokenizer with its chat template: what training and inference both speak through."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Work with `tokenizer`.

        Raises:
            Unsupported: it cannot say which characters a token stands for.
        """
        if not tokenizer.is_fast:
            raise Unsupported("the base model's tokenizer has no tokenizer.json, which is needed")
        self.tokenizer = tokenizer
        self._template = Template(tokenizer)
        self._headers: dict[str, list[int]] = {}

    # What an example looks like

    def conversation(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> Rendered:
        """A conversation by the template, with the same errors as `Template.conversation`."""
        return self._template.conversation(messages, tools)

    def completion(self, prompt: str, completion: str) -> Rendered:
        """Raw text, no template: the completion and the end of the text are taught."""
        opening = self._opening + prompt
        text = opening + completion + (self.tokenizer.eos_token or "")
        return Rendered(text=text, taught=((len(opening), len(text)),))

    def encode(self, examples: Sequence[Rendered]) -> list[Encoded]:
        """Examples as tokens, all in one call of the tokenizer.

        Where a prompt would get other tokens than alone, because one runs on into what is taught,
        the text is cut there, as it is when the model answers.
        """
        if not examples:
            return []
        batch = self.tokenizer(
            [example.text for example in examples],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        columns = zip(examples, batch["input_ids"], batch["offset_mapping"], strict=True)
        return [self._encoded(*row) for row in columns]

    def encode_conversation(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> Encoded:
        """One conversation as tokens, as `conversation` and `encode` give it."""
        return self.encode([self.conversation(messages, tools)])[0]

    # What a model is asked

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] | None = None) -> list[int]:
        """Token ids after which the assistant's next turn begins."""
        return self._ids(self._template.prompt(messages, tools))

    def text_prompt(self, text: str) -> list[int]:
        """Token ids of raw text, opened as the tokenizer opens one."""
        return self._ids(self._opening + text)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each of `texts` is, by itself and with nothing around it."""
        if not texts:
            return []
        batch = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return [len(ids) for ids in batch["input_ids"]]

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a turn: the tokenizer's end of text, and the template's end of turn."""
        ids = {self.tokenizer.eos_token_id}
        if self.has_template:
            ids.add(self.tokenizer.convert_tokens_to_ids(self._template.end_token))
        return frozenset(ids - {None})

    @property
    def has_template(self) -> bool:
        """Whether there is a chat template; without one only raw text can be learnt."""
        return self._template.exists

    # How

    def _encoded(
        self, example: Rendered, ids: list[int], offsets: list[tuple[int, int]]
    ) -> Encoded:
        learn = [False] * len(ids)
        ends = [end for _, end in offsets]
        for first, end in example.taught:
            token = bisect_right(ends, first)
            opening = self._opening_ids(example.text[:first])
            if ids[token - len(opening) : token] != opening:
                return self._in_pieces(example)
            last = bisect_right(ends, end)
            learn[token:last] = [True] * (last - token)
        return Encoded(ids=ids, learn=learn)

    def _opening_ids(self, prompt: str) -> list[int]:
        """The last tokens of a prompt that stands alone, from its last special token on."""
        near = prompt[-_HEADER_CHARS:]
        found = list(self._template.special.finditer(near))
        if not found:
            return self._ids(prompt)
        header = near[found[-1].start() :]
        if header not in self._headers:
            self._headers[header] = self._ids(header)
        return self._headers[header]

    def _in_pieces(self, example: Rendered) -> Encoded:
        ids: list[int] = []
        learn: list[bool] = []
        for text, taught in example.pieces():
            piece = self._ids(text)
            ids += piece
            learn += [taught] * len(piece)
        return Encoded(ids=ids, learn=learn)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    @cached_property
    def _opening(self) -> str:
        """What the tokenizer puts before raw text: its begin-of-text token, or nothing."""
        bos: int | None = self.tokenizer.bos_token_id
        opens = bos is not None and self.tokenizer("a")["input_ids"][0] == bos
        return str(self.tokenizer.bos_token) if opens and self._ids("a")[0] != bos else ""
