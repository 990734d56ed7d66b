"""Rows of a training file as tokens, and the order in which they are learnt from."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tunery.core.errors import InvalidFile, TuneryError
from tunery.core.examples import (
    ChatExample,
    CompletionExample,
    Example,
    PreferencePair,
    read_examples,
)
from tunery.core.problems import MOST_PROBLEMS, Problem
from tunery.modeling.adapter import Adapter
from tunery.modeling.chat import Chat, Encoded
from tunery.modeling.segments import Segment
from tunery.modeling.template import Rendered

Overlong = Literal["error", "drop", "truncate"]
Which = Literal["training", "validation"]

# Rows that go to the tokenizer in one call.
_ROWS_AT_A_TIME = 512


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row as tokens, or why there are none.

    A preference is two sequences, the better one first; any other row is one.
    """

    line: int
    sequences: tuple[Encoded, ...]
    problem: Problem | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Tokenised rows, one after another in flat tensors; of a pair, its two sequences.

    Attributes:
        ids: `(n_tokens,)` token ids.
        learn: `(n_tokens,)` whether each is taught.
        starts: `(n_rows * width + 1,)` where each sequence begins, and the end of the last.
        width: sequences of a row.
        n_dropped: rows left out because they were too long.
        n_cut: rows cut to the context.
        n_silent: rows left out because they teach nothing.
    """

    ids: Tensor
    learn: Tensor
    starts: Tensor
    width: int = 1
    n_dropped: int = 0
    n_cut: int = 0
    n_silent: int = 0

    def __len__(self) -> int:
        """Rows to learn from."""
        return (len(self.starts) - 1) // self.width

    @property
    def lengths(self) -> Tensor:
        """`(n_rows,)` tokens of each row."""
        return self.starts[:: self.width].diff()

    @property
    def n_taught(self) -> int:
        """Taught tokens of one pass."""
        return int(self.learn.sum())

    def segments(self, indices: Iterable[int], adapter: Adapter | None) -> list[Segment]:
        """Several rows, for `adapter` to learn from."""
        return [
            self._segment(index * self.width + at, adapter)
            for index in indices
            for at in range(self.width)
        ]

    def _segment(self, index: int, adapter: Adapter | None) -> Segment:
        first, end = int(self.starts[index]), int(self.starts[index + 1])
        return Segment(ids=self.ids[first:end], learn=self.learn[first:end], adapter=adapter)


def read_rows(path: Path, chat: Chat, which: Which) -> Iterator[Row]:
    """Every row of the file as tokens, or what is wrong with it, in the order of the lines.

    Raises:
        InvalidFile: a line is no training example at all.
    """
    rows: list[tuple[int, Example]] = []
    with path.open("rb") as lines:
        try:
            for row in read_examples(lines):
                rows.append(row)
                if len(rows) == _ROWS_AT_A_TIME:
                    yield from _tokenised(rows, chat, which)
                    rows = []
        except InvalidFile:
            # What stands before the bad line has its own right to be looked at.
            yield from _tokenised(rows, chat, which)
            raise
    yield from _tokenised(rows, chat, which)


def rendered(example: Example, chat: Chat) -> tuple[Rendered, ...]:
    """`example` as the text that the model sees; a preference with each of its answers.

    Raises:
        TuneryError: the model's template cannot render it.
    """
    match example:
        case CompletionExample():
            return (chat.completion(example.prompt, example.completion),)
        case ChatExample():
            return (_conversation(example, chat),)
        case PreferencePair():
            return tuple(_conversation(answered, chat) for answered in example.answered)


def _conversation(example: ChatExample, chat: Chat) -> Rendered:
    messages = [
        {**message.to_template(), "weight": int(message.is_taught)} for message in example.messages
    ]
    return chat.conversation(messages, example.all_tools)


def _tokenised(rows: Iterable[tuple[int, Example]], chat: Chat, which: Which) -> Iterator[Row]:
    texts: list[Rendered] = []
    outcome: list[tuple[int, int, Problem | None]] = []
    for line, example in rows:
        try:
            found = rendered(example, chat)
        except TuneryError as refused:
            problem = Problem(line=line, field=None, message=refused.message, file=which)
            outcome.append((line, 0, problem))
        else:
            texts += found
            outcome.append((line, len(found), None))
    encoded = iter(chat.encode(texts))
    for line, width, wrong in outcome:
        yield Row(line=line, sequences=tuple(islice(encoded, width)), problem=wrong)


def too_long(line: int, n_tokens: int, context: int, which: Which) -> Problem:
    """What is said of a row that the model cannot take whole."""
    return Problem(
        line=line,
        field=None,
        message=f"has {n_tokens} tokens, but the model takes {context}; shorten it, or choose "
        'overlong "drop" or "truncate"',
        file=which,
    )


def _other_kind(row: Row, which: Which) -> Problem:
    kind = "no preference" if len(row.sequences) == 1 else "a preference"
    message = f"is {kind}, which this job cannot learn from"
    return Problem(line=row.line, field=None, message=message, file=which)


def load_examples(
    path: Path,
    chat: Chat,
    *,
    context: int | None,
    overlong: Overlong,
    which: Which = "training",
    width: int = 1,
) -> Examples:
    """The rows of a file, ready to learn from.

    Args:
        path: the file.
        chat: makes tokens of them.
        context: the longest sequence that the model takes.
        overlong: what becomes of a row with a longer one.
        which: what the file is for.
        width: sequences of a row: 2 where preferences are learnt.

    Raises:
        InvalidFile: a row cannot be used; the first hundred are named.
    """
    builder = ExamplesBuilder(context=context, overlong=overlong, which=which, width=width)
    for row in read_rows(path, chat, which):
        builder.take(row)
    return builder.examples()


class ExamplesBuilder:
    """Rows on their way into flat tensors, some bytes a token.

    Attributes:
        n_problems: how many cannot be used.
    """

    def __init__(
        self,
        *,
        context: int | None,
        overlong: Overlong,
        which: Which,
        width: int | None = None,
    ) -> None:
        """No rows yet. Without a `width` the first row's counts; else as in `load_examples`."""
        self._context, self._overlong, self._which = context, overlong, which
        self._width = width
        self._ids, self._learn, self._starts = array("i"), bytearray(), array("q", [0])
        self._problems: list[Problem] = []
        self.n_problems = self._n_dropped = self._n_cut = self._n_silent = 0

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """`rows`, each kept as it passes."""
        for row in rows:
            self.take(row)
            yield row

    def take(self, row: Row) -> None:
        """Keep the row, cut or drop it, or note what is wrong with it."""
        if row.problem is not None:
            self._wrong(row.problem)
            return
        self._width = self._width or len(row.sequences)
        if len(row.sequences) != self._width:
            self._wrong(_other_kind(row, self._which))
            return
        longest = max(len(sequence.ids) for sequence in row.sequences)
        if self._context is not None and longest > self._context:
            if self._overlong == "error":
                self._wrong(too_long(row.line, longest, self._context, self._which))
                return
            if self._overlong == "drop":
                self._n_dropped += 1
                return
            self._n_cut += 1
        if not all(any(sequence.learn[1 : self._context]) for sequence in row.sequences):
            self._n_silent += 1
            return
        for sequence in row.sequences:
            self._ids.extend(sequence.ids[: self._context])
            self._learn.extend(sequence.learn[: self._context])
            self._starts.append(len(self._ids))

    def examples(self) -> Examples:
        """What was kept.

        Raises:
            InvalidFile: a row cannot be used; the first hundred are named.
        """
        if self._problems:
            lines = "\n".join(str(problem) for problem in self._problems[:20])
            raise InvalidFile(
                f"{self.n_problems} rows of the {self._which} file cannot be used. {lines}",
                self._problems,
                param=f"{self._which}_file",
                code=f"invalid_{self._which}_file",
            )
        return Examples(
            ids=torch.frombuffer(self._ids or array("i", [0]), dtype=torch.int32)[: len(self._ids)],
            learn=torch.frombuffer(self._learn or bytearray(1), dtype=torch.bool)[
                : len(self._learn)
            ],
            starts=torch.frombuffer(self._starts, dtype=torch.int64),
            width=self._width or 1,
            n_dropped=self._n_dropped,
            n_cut=self._n_cut,
            n_silent=self._n_silent,
        )

    def _wrong(self, problem: Problem) -> None:
        self.n_problems += 1
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(problem)


def batches(
    n_rows: int, *, batch_size: int, n_epochs: int, seed: int, first_step: int = 1
) -> Iterator[list[int]]:
    """The rows of each optimizer step, from `first_step` on.

    Every epoch has an order of its own, which follows from the seed and its number alone; so a
    resumed job goes on where it was. An epoch's last batch may be a smaller one.
    """
    steps_per_epoch = -(-n_rows // batch_size)
    first_epoch, skipped = divmod(first_step - 1, steps_per_epoch)
    for epoch in range(first_epoch, n_epochs):
        order = epoch_order(n_rows, seed=seed, epoch=epoch)
        for step in range(skipped, steps_per_epoch):
            yield order[step * batch_size : (step + 1) * batch_size]
        skipped = 0


def epoch_order(n_rows: int, *, seed: int, epoch: int) -> list[int]:
    """The order of an epoch, counted from 0."""
    source = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    order: list[int] = torch.randperm(n_rows, generator=source).tolist()
    return order
