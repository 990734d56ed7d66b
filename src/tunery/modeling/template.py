"""Conversations as text, by a model's own chat template, and where in it the assistant speaks.

An assistant's turn goes from where generation would begin up to and with the token that ends it.
Nothing here needs torch.
"""

from __future__ import annotations

import json
import re
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


class Template:
    """A tokenizer's chat template; there may be none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """The template of `tokenizer`."""
        self._tokenizer = tokenizer

    @property
    def exists(self) -> bool:
        """Whether there is one; without it only raw text can be learnt."""
        return self._tokenizer.chat_template is not None

    def conversation(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> Rendered:
        """A whole conversation; the assistant's turns are taught, save those of `weight` 0.

        Raises:
            InvalidValue: the template refuses the messages, or it cannot be told where a turn is.
            Unsupported: the model has no chat template, or one that cannot be trained with.
        """
        plain = [_plain(message) for message in messages]
        whole = self._render(plain, tools)
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

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] | None = None) -> str:
        """The text after which the assistant's next turn begins."""
        return self._render([_plain(message) for message in messages], tools, answer=True)

    @cached_property
    def end_token(self) -> str:
        """What ends an assistant's turn."""
        probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        return self._last_end(self._render(probe)).group()

    @cached_property
    def special(self) -> re.Pattern[str]:
        """Any special token of the tokenizer."""
        added = self._tokenizer.added_tokens_decoder.values()
        tokens = {token.content for token in added if token.special}
        tokens |= {self._tokenizer.eos_token} - {None}
        return re.compile("|".join(re.escape(t) for t in sorted(tokens, key=len, reverse=True)))

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        *,
        answer: bool = False,
    ) -> str:
        """The template's text; with `answer`, up to where the assistant's turn begins."""
        if not self.exists:
            raise Unsupported("the base model has no chat template; train it with prompts instead")
        try:
            text: str = self._tokenizer.apply_chat_template(
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
        whole = self._render(messages[: index + 1], tools) if upto is None else upto
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
        ends = list(self.special.finditer(text, first))
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
        prompt = self._render(messages[:index], tools, answer=True)
        if whole.startswith(prompt):
            return prompt
        # The prompt opens what the turn does not have (a thinking block): go back to the header.
        known = self._last_special(prompt, inclusive=True)
        return prompt[:known] if whole.startswith(prompt[:known]) else None

    def _marked(
        self, messages: Sequence[Message], index: int, tools: Sequence[Tool] | None
    ) -> tuple[int, int]:
        """Where the template's own `{% generation %}` markers say that turn `index` is."""
        if "generation" not in str(self._tokenizer.chat_template):
            raise _not_a_continuation(index)
        out = self._tokenizer.apply_chat_template(
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
        end = self._last_special(self._render(messages, tools)[:last], inclusive=True)
        if end <= first:
            raise _not_a_continuation(index)
        return first, end

    @cached_property
    def _header(self) -> str:
        """What opens an assistant's turn."""
        probe = [{"role": "user", "content": "a"}]
        return self._render(probe, answer=True)[len(self._render(probe)) :]

    def _last_special(self, text: str, *, inclusive: bool = False) -> int:
        """Where the last special token of `text` begins; with `inclusive`, where it ends."""
        found = list(self.special.finditer(text))
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
