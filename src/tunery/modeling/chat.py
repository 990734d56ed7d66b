"""Conversations as token ids, by the model's own chat template, with a mask of what is taught.

An assistant's turn is taught from where generation would begin up to and with the token that ends
it. Nothing here needs torch.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from tunery.core.errors import InvalidValue, Unsupported

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, Any]
"""A message in OpenAI's shape, which is also what chat templates take."""

Tool = Mapping[str, Any]
"""A tool in OpenAI's shape."""

# A turn's header is no longer than this.
_HEADER_CHARS = 200


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """An example as text.

    Attributes:
        text: all of it, as the model sees it.
        taught: the stretches `(first, end)` of `text` that are learnt, in order.
    """

    text: str
    taught: tuple[tuple[int, int], ...]

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """The text cut up, each piece with whether it is taught."""
        at = 0
        for first, end in self.taught:
            yield self.text[at:first], False
            yield self.text[first:end], True
            at = end
        yield self.text[at:], False


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
        self._headers: dict[str, list[int]] = {}

    # What an example looks like

    def conversation(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> Rendered:
        """A whole conversation; the assistant's turns are taught, save those of `weight` 0.

        Raises:
            InvalidValue: the template refuses the messages, or it cannot be told where a turn is.
            Unsupported: the model has no chat template, or one that cannot be trained with.
        """
        plain = [_plain(message) for message in messages]
        whole = self.render(plain, tools)
        taught: list[tuple[int, int]] = []
        for index, message in enumerate(messages):
            if message["role"] == "assistant" and message.get("weight") != 0:
                is_last = index + 1 == len(plain)
                turn = self._turn(plain, index, tools, whole if is_last else None)
                cursor = taught[-1][1] if taught else 0
                found = turn.locate(whole, cursor) if turn else None
                first, end = found or self._marked(plain, index, tools)
                _check_tool_calls(message, index, whole[first:end])
                taught.append((first, end))
        return Rendered(text=whole, taught=tuple(taught))

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
        plain = [_plain(message) for message in messages]
        return self._ids(self.render(plain, tools, answer=True))

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
            probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
            end = self._last_end(self.render(probe)).group()
            ids.add(self.tokenizer.convert_tokens_to_ids(end))
        return frozenset(ids - {None})

    @property
    def has_template(self) -> bool:
        """Whether there is a chat template; without one only raw text can be learnt."""
        return self.tokenizer.chat_template is not None

    # How

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        answer: bool = False,
    ) -> str:
        """The template's text; with `answer`, up to where the assistant's turn begins."""
        if not self.has_template:
            raise Unsupported("the base model has no chat template; train it with prompts instead")
        try:
            text: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] if tools else None,
                add_generation_prompt=answer,
                tokenize=False,
            )
        except TemplateError as refused:
            raise InvalidValue(
                f"the base model's chat template refuses these messages: {refused}",
                param="messages",
            ) from refused
        return text

    def _turn(
        self,
        messages: Sequence[Message],
        index: int,
        tools: Sequence[Tool] | None,
        upto: str | None,
    ) -> _Turn | None:
        """Turn `index`, by rendering the conversation up to it; None where that begins otherwise.

        `upto` is that conversation with the turn, where it is rendered already.

        Raises:
            Unsupported: nothing ends the turn.
        """
        whole = self.render(messages[: index + 1], tools) if upto is None else upto
        prompt = self._prompt_before(messages, index, tools, whole)
        if prompt is None:
            return None
        end = self._last_end(whole, len(prompt))
        return _Turn(
            prompt=prompt,
            header=prompt[self._last_special(prompt) :],
            text=whole[len(prompt) : end.end()],
            end_token=end.group(),
        )

    def _last_end(self, text: str, first: int = 0) -> re.Match[str]:
        """The last special token of `text` from `first` on, which ends its last turn."""
        ends = list(self._special.finditer(text, first))
        if not ends:
            raise Unsupported(
                "the base model's chat template ends an assistant's turn with no special token, so "
                "a model could never learn to stop"
            )
        return ends[-1]

    def _prompt_before(
        self, messages: Sequence[Message], index: int, tools: Sequence[Tool] | None, whole: str
    ) -> str | None:
        """The start of `whole` that stands before turn `index` begins; None if it has another."""
        if index == 0:
            header = self._header
            return whole[: whole.find(header) + len(header)] if header in whole else ""
        prompt = self.render(messages[:index], tools, answer=True)
        if whole.startswith(prompt):
            return prompt
        # The prompt opens what the turn does not have (a thinking block): go back to the header.
        known = self._last_special(prompt, inclusive=True)
        return prompt[:known] if whole.startswith(prompt[:known]) else None

    def _marked(
        self, messages: Sequence[Message], index: int, tools: Sequence[Tool] | None
    ) -> tuple[int, int]:
        """Where the template's own `{% generation %}` markers say that turn `index` is."""
        if "generation" not in str(self.tokenizer.chat_template):
            raise _not_a_continuation(index)
        out = self.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=[dict(tool) for tool in tools] if tools else None,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            tokenizer_kwargs={"return_offsets_mapping": True},
        )
        spans = _runs(out["assistant_masks"], out["offset_mapping"])
        assistants = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        if len(spans) != len(assistants):
            raise _not_a_continuation(index)
        first, last = spans[assistants.index(index)]
        end = self._last_special(self.render(messages, tools)[:last], inclusive=True)
        if end <= first:
            raise _not_a_continuation(index)
        return first, end

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
        found = list(self._special.finditer(near))
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

    @cached_property
    def _header(self) -> str:
        """What opens an assistant's turn."""
        probe = [{"role": "user", "content": "a"}]
        return self.render(probe, answer=True)[len(self.render(probe)) :]

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = self.tokenizer.added_tokens_decoder.values()
        tokens = {token.content for token in added if token.special}
        tokens |= {self.tokenizer.eos_token} - {None}
        return re.compile("|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True)))

    def _last_special(self, text: str, *, inclusive: bool = False) -> int:
        """Where the last special token of `text` begins; with `inclusive`, where it ends."""
        found = list(self._special.finditer(text))
        if not found:
            return 0
        return found[-1].end() if inclusive else found[-1].start()


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """An assistant's turn, and the prompt that it answers.

    Attributes:
        prompt: the conversation up to it.
        header: the end of the prompt, from its last special token on.
        text: what the model gives, up to and with the end of turn.
        end_token: that end.
    """

    prompt: str
    header: str
    text: str
    end_token: str

    def locate(self, whole: str, cursor: int) -> tuple[int, int] | None:
        """Where the turn stands in the whole conversation, not before `cursor`.

        Templates may show an earlier turn in fewer words (without its thinking), or put something
        into the last message (the system prompt).
        """
        if whole.startswith(self.prompt):
            first = len(self.prompt)
            if whole.startswith(self.text, first):
                return first, first + len(self.text)
            if self.text.count(self.end_token) == 1:
                return first, whole.index(self.end_token, first) + len(self.end_token)
        if self.header:
            found = whole.find(self.header + self.text, cursor)
            if found >= 0:
                first = found + len(self.header)
                return first, first + len(self.text)
        return None


def _check_tool_calls(message: Message, index: int, text: str) -> None:
    for call in message.get("tool_calls") or ():
        name = call["function"]["name"]
        if name not in text:
            raise Unsupported(
                f"messages[{index}] calls the tool {name}, which the base model's chat template "
                "leaves out; it has no place for tool calls",
                param="messages",
            )


def _not_a_continuation(index: int) -> InvalidValue:
    return InvalidValue(
        f"messages[{index}]: the base model's chat template changes what stands before this turn "
        "when more follows, so it cannot be told which tokens are the assistant's",
        param="messages",
    )


def _runs(mask: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of characters whose tokens are marked."""
    runs: list[tuple[int, int]] = []
    before = 0
    for marked, (first, end) in zip(mask, offsets, strict=True):
        if marked and before:
            runs[-1] = runs[-1][0], end
        elif marked:
            runs.append((first, end))
        before = marked
    return runs


def _plain(message: Message) -> dict[str, Any]:
    """`message` as templates expect it: text content, decoded arguments, no `weight`."""
    plain = {k: v for k, v in message.items() if k != "weight" and v is not None}
    plain["content"] = _text(message.get("content"))
    if plain["role"] == "developer":  # OpenAI's newer name, which open templates do not know
        plain["role"] = "system"
    if calls := message.get("tool_calls"):
        plain["tool_calls"] = [_decoded(call) for call in calls]
    return plain


def _text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content)


def _decoded(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments are an object: OpenAI sends them as text, templates write it."""
    function = dict(call["function"])
    if isinstance(arguments := function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(arguments)
        except json.JSONDecodeError as bad:
            raise InvalidValue(
                f"the arguments of the call to {function.get('name')} are not JSON: {bad}",
                param="messages",
            ) from bad
    return {**call, "function": function}


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] | None = None,
) -> Encoded:
    """One conversation as tokens, by the template of `tokenizer`."""
    return Chat(tokenizer).encode_conversation(messages, tools)
