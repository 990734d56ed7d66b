"""What the model says while it learns, to the same few prompts each time."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tunery.core.errors import TuneryError
from tunery.core.examples import (
    ChatExample,
    CompletionExample,
    Example,
    PreferencePair,
    read_examples,
)
from tunery.core.progress import AnyProgress, Note, SampledText, TextSample
from tunery.core.samples import MOST_CHARACTERS, MOST_PROMPTS
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.choosing import Ask
from tunery.modeling.endings import stop_ids
from tunery.modeling.sample import sample
from tunery.trainers import memory
from tunery.trainers.asks import Alone
from tunery.trainers.preparation import Training

_log = logging.getLogger(__name__)

# Enough to see what an answer is like; while it is written, nobody on this base learns.
_MOST_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model is asked.

    Attributes:
        text: as its owner sees it: of a conversation, what was said last.
        ids: the tokens after which the answer begins.
    """

    text: str
    ids: list[int]


class Samples:
    """Asks the model as it is at the moment. Whatever goes wrong here, the job goes on."""

    def __init__(self, training: Training) -> None:
        """Choose the prompts of a job: its own, or those of the first rows held out."""
        self._training = training
        self._note: Note | None = None
        try:
            self._prompts = _prompts(training)
        except Exception as refused:
            self._prompts = []
            self._note = _without(str(refused))
        else:
            asked = training.request.sample_prompts or ()
            if len(self._prompts) < len(asked):
                self._note = _too_long(len(asked) - len(self._prompts), len(asked))

    def take(self) -> Generator[AnyProgress | Alone, Any, None]:
        """Report the answers at this step; nothing where there are no prompts."""
        if self._note is not None:
            yield self._note
            self._note = None
        if not self._prompts:
            return
        answers = yield Alone(work=self._answers, budget=self._training.budget)
        if isinstance(answers, Note):
            self._prompts = []
            yield answers
            return
        yield SampledText(
            step=self._training.position.step,
            samples=tuple(
                TextSample(prompt=prompt.text, answer=answer)
                for prompt, answer in zip(self._prompts, answers, strict=True)
            ),
        )

    def _answers(self, base: Base) -> list[str] | Note:
        """To every prompt the likeliest answer, or why there is none."""
        # What fails is not raised: the job would be blamed, and take smaller portions for nothing.
        try:
            return self._together(base)
        except Exception as error:
            _log.warning("no samples", exc_info=error)
            reason = "out of memory" if memory.is_out_of_memory(error) else str(error)
        memory.let_go(base.device)
        return _without(reason)

    def _together(self, base: Base) -> list[str]:
        ends = stop_ids(base, self._training.chat)
        asks = [
            Ask(
                prompt=prompt.ids,
                adapter=self._training.adapter,
                max_tokens=_MOST_TOKENS,
                temperature=0.0,
                stop_ids=ends,
            )
            for prompt in self._prompts
        ]
        said: list[list[int]] = [[] for _ in asks]
        for token in sample(base, asks):
            if token.finish != "stop":
                said[token.index].append(token.id)
        tokenizer = self._training.chat.tokenizer
        return [
            str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
            for ids in said
        ]


def _without(reason: str) -> Note:
    first, _, _ = reason.partition("\n")
    return Note(
        level="warn", message=f"The job goes on without samples of what its model says: {first}"
    )


def _too_long(n_left_out: int, n_prompts: int) -> Note:
    return Note(
        level="warn",
        message=f"Left out of the samples, as the model has no room to answer: {n_left_out} of "
        f"{n_prompts} prompts.",
    )


def _prompts(training: Training) -> list[Prompt]:
    """What the job's owner asks, or what the validation file does.

    Raises:
        TuneryError: the model cannot be asked like that.
    """
    request, chat = training.request, training.chat
    fits = partial(_fits, context=training.base.context)
    if request.sample_prompts is not None:
        raw = not chat.has_template or _teaches_raw_text(Path(request.training_file))
        asked = [_own(text, chat, raw=raw) for text in request.sample_prompts]
        return [prompt for prompt in asked if fits(prompt)]
    if request.validation_file is None:
        return []
    held_out = _of_rows(Path(request.validation_file), chat)
    return list(islice(filter(fits, held_out), MOST_PROMPTS))


def _fits(prompt: Prompt, context: int | None) -> bool:
    """Whether there is room for an answer."""
    return bool(prompt.ids) and (context is None or len(prompt.ids) < context)


def _teaches_raw_text(training_file: Path) -> bool:
    """Whether the model learns to go on with text, and not to answer in a conversation."""
    with training_file.open("rb") as lines:
        return any(isinstance(row, CompletionExample) for _, row in islice(read_examples(lines), 1))


def _own(text: str, chat: Chat, *, raw: bool) -> Prompt:
    ids = chat.text_prompt(text) if raw else chat.prompt([{"role": "user", "content": text}])
    return Prompt(text=text, ids=ids)


def _of_rows(file: Path, chat: Chat) -> Iterator[Prompt]:
    """What the rows ask; those that the model's template refuses, and silent ones, are left out."""
    with file.open("rb") as lines:
        for _, row in read_examples(lines):
            try:
                prompt = _of_row(row, chat)
            except TuneryError:
                continue
            if prompt is not None:
                yield prompt


def _of_row(row: Example, chat: Chat) -> Prompt | None:
    """What stands before the answer; None where nothing is taught."""
    match row:
        case CompletionExample():
            return Prompt(text=_shown(row.prompt), ids=chat.text_prompt(row.prompt))
        case PreferencePair():
            return _up_to(row.input, len(row.input.messages), chat)
        case ChatExample():
            taught = [place for place, said in enumerate(row.messages) if said.is_taught]
            return _up_to(row, taught[-1], chat) if taught else None


def _up_to(conversation: ChatExample, end: int, chat: Chat) -> Prompt:
    said = conversation.messages[:end]
    ids = chat.prompt([message.to_template() for message in said], conversation.all_tools)
    return Prompt(text=_shown(said[-1].text) if said else "", ids=ids)


def _shown(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
