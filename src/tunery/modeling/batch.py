"""One running batch of sequences on a base, whoever asked for them: they come and go at any step.

A step reads, for every sequence, what it has not read yet: the token chosen last, or the next piece
of its prompt. So a long prompt is read beside the others' answers and does not stop them. A
sequence is its token ids; its memory can be made again from them, and is let go where it takes room
from those who came before.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.cache import Cache, Memory, capacity
from tunery.modeling.choosing import Ask, Broken, Chooser, Token, choose
from tunery.modeling.reading import Portion, Reading
from tunery.modeling.stacks import Stack, worthwhile
from tunery.modeling.stream import Span

logger = logging.getLogger(__name__)

_WORTH_SHARING = 2**30
"""Rows times parameters of a pass: with fewer, threads that share its operations wait longer for
each other than they work."""

_FEWEST_ROWS = 64
"""A pass of fewer takes as long: its weights are read all the same."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a batch may hold; others wait.

    Attributes:
        sequences: so many at once.
        tokens: places for tokens that they may take together; one sequence alone may take more.
        piece: tokens of prompts read in a step.
    """

    sequences: int = 32
    tokens: int = 32_768
    piece: int = 512


@dataclass(eq=False)
class _Sequence:
    """One ask under way.

    Attributes:
        twins: a number that the asks have in common which came with it and begin alike.
        ids: its prompt and the tokens chosen so far.
        memory: what has been read of them; `None` while it waits.
    """

    index: int
    twins: int
    ask: Ask
    chooser: Chooser
    ids: list[int]
    memory: Memory | None = None

    @property
    def n_unread(self) -> int:
        return len(self.ids) - (self.memory.length if self.memory else 0)


class Batch:
    """The sequences under way, and those that wait for room, first come first served."""

    def __init__(self, base: Base, limits: Limits | None = None) -> None:
        """Nobody asks yet."""
        self._base = base
        self._limits = limits or Limits()
        self._cache = Cache()
        self._indices, self._twins = count(), count()
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._stack: Stack | None = None

    def join(self, asks: Sequence[Ask]) -> list[int]:
        """Continue these too; gives back the `index` of each one's tokens.

        Raises:
            InvalidValue: a prompt is empty or fills the context.
        """
        choosers = [Chooser(ask, self._base.context) for ask in asks]
        twins: dict[tuple[Adapter | None, tuple[int, ...]], int] = {}
        joined = []
        for ask, chooser in zip(asks, choosers, strict=True):
            alike = twins.setdefault((ask.adapter, tuple(ask.prompt)), next(self._twins))
            joined.append(_Sequence(next(self._indices), alike, ask, chooser, list(ask.prompt)))
        self._waiting.extend(joined)
        return [sequence.index for sequence in joined]

    def leave(self, index: int) -> None:
        """Stop this one, if it is not over."""
        self._waiting = deque(one for one in self._waiting if one.index != index)
        for sequence in [one for one in self._running if one.index == index]:
            self._end(sequence)

    def step(self) -> list[Token | Broken]:
        """The next token of every sequence that has read its prompt."""
        self._admit()
        self._make_room()
        due = self._due()
        try:
            with self._threads_for(sum(n_tokens for _, n_tokens in due.values())):
                return self._tokens(due) if due else []
        except Exception as error:
            logger.exception("a step of %d sequences failed", len(due))
            return [self._broken(sequence, error) for sequence in tuple(self._running)]

    def _admit(self) -> None:
        while self._waiting and self._has_room(self._waiting[0]):
            sequence = self._waiting.popleft()
            sequence.memory = self._cache.open(len(sequence.ids))
            self._running.append(sequence)

    def _has_room(self, sequence: _Sequence) -> bool:
        if not self._running:
            return True
        n_tokens = self._cache.size + capacity(len(sequence.ids))
        return len(self._running) < self._limits.sequences and n_tokens <= self._limits.tokens

    def _make_room(self) -> None:
        """Let each grow by what it has to read; who came last makes room, and reads again later."""
        for sequence in tuple(self._running):
            while len(self._running) > 1 and self._lacks_room(sequence):
                last = self._running[-1]
                self._end(last)
                self._waiting.appendleft(last)
            if sequence.memory is not None:
                self._cache.grow(sequence.memory, len(sequence.ids))

    def _lacks_room(self, sequence: _Sequence) -> bool:
        if sequence.memory is None:
            return False
        more = capacity(len(sequence.ids)) - sequence.memory.table.capacity
        return more > 0 and self._cache.size + more > self._limits.tokens

    def _due(self) -> dict[Memory, tuple[_Sequence, int]]:
        """Which sequences read in this step, and how many tokens each, by their memories."""
        due: dict[Memory, tuple[_Sequence, int]] = {}
        left, reading = self._limits.piece, set[int]()
        for sequence in self._running:
            memory = self._memory(sequence)
            n_tokens = len(sequence.ids) - memory.length
            if n_tokens > 1:
                if sequence.twins in reading:  # it will be given what is read now
                    continue
                reading.add(sequence.twins)
                n_tokens = min(n_tokens, left)
                left -= n_tokens
            if n_tokens:
                due[memory] = sequence, n_tokens
        return due

    def _memory(self, sequence: _Sequence) -> Memory:
        """The memory of a running sequence, with what a twin has read of their prompt.

        The prompt's last token is left, as it gives the first one of the answer.
        """
        memory, n_prompt = sequence.memory, len(sequence.ask.prompt) - 1
        if memory is None:
            raise RuntimeError(f"sequence {sequence.index} is not running")
        for twin in self._running:
            if twin.twins == sequence.twins and twin.memory is not None:
                n_shared = min(twin.memory.length, n_prompt)
                if n_shared > memory.length:
                    self._cache.share(memory, twin.memory, n_shared)
        return memory

    def _tokens(self, due: Mapping[Memory, tuple[_Sequence, int]]) -> list[Token | Broken]:
        """Read what is due, and choose a token where nothing is left to read."""
        portions = [
            Portion(
                ids=sequence.ids[memory.length : memory.length + n_tokens],
                adapter=sequence.ask.adapter,
                memory=memory,
            )
            for memory, (sequence, n_tokens) in due.items()
        ]
        reading = Reading(portions, self._base.device)
        logits = self._base.next_logits(reading, self._stacked(reading.spans))
        readers = [due[portion.memory][0] for portion in reading.portions]
        ready = [row for row, reader in enumerate(readers) if reader.n_unread == 0]
        return self._chosen(logits[ready], [readers[row] for row in ready]) if ready else []

    @contextmanager
    def _threads_for(self, n_rows: int) -> Iterator[None]:
        """One thread for a step of which each operation is short; otherwise all."""
        threads = torch.get_num_threads()
        rows = max(n_rows, _FEWEST_ROWS)
        if self._base.device.type == "cpu" and rows * self._base.n_parameters < _WORTH_SHARING:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def _stacked(self, spans: Sequence[Span]) -> Stack | None:
        """The adapters of `spans` side by side, where that is faster; kept for the next step."""
        if not worthwhile(spans):
            return None
        if self._stack is None or not self._stack.seat(spans):
            self._stack = Stack(spans)
        return self._stack

    def _chosen(self, logits: Tensor, sequences: Sequence[_Sequence]) -> list[Token | Broken]:
        indices = [sequence.index for sequence in sequences]
        chosen = choose(logits, indices, [sequence.chooser for sequence in sequences])
        for sequence, token in zip(sequences, chosen, strict=True):
            if isinstance(token, Token) and token.finish is None:
                sequence.ids.append(token.id)
            else:
                self._end(sequence)
        return chosen

    def _broken(self, sequence: _Sequence, error: Exception) -> Broken:
        self._end(sequence)
        return Broken(index=sequence.index, error=error)

    def _end(self, sequence: _Sequence) -> None:
        """Take a running sequence out."""
        self._running.remove(sequence)
        if sequence.memory is not None:
            self._cache.close(sequence.memory)
            sequence.memory = None
        if not self._running:
            self._stack = None
