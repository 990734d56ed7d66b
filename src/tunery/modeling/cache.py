"""Keys and values of many sequences, which come, grow and go one by one.

A sequence lies in a table of sequences of about its length: capacities are powers of two, so that
less than half of a sequence's place is empty, and a long neighbour costs a short one nothing.

Axes: `B` sequences of a table, `C` its capacity, `K` key heads, `d` the width of a key or a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

_SMALLEST = 256
"""The capacity of the table for the shortest sequences."""


@dataclass(eq=False)
class Memory:
    """What is remembered of one sequence.

    Attributes:
        table: where it lies.
        slot: which of the table's sequences it is; changes as others leave.
        length: how many of its tokens have been read.
    """

    table: Table
    slot: int
    length: int = 0


class Table:
    """Sequences of about one length, layer by layer.

    What stands behind a sequence's last token is never looked at, but it is multiplied by zero: so
    it must be a number, and a slot is cleared before it is used again.

    Attributes:
        capacity: the tokens that each may have.
        memories: those that lie here, by slot.
    """

    def __init__(self, capacity: int) -> None:
        """Nothing lies here yet."""
        self.capacity = capacity
        self.memories: list[Memory] = []
        self._room = 0
        self._layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def layer(self, layer: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """`(room, K, C, d)` keys and values of `layer`, for keys and values like these."""
        if layer not in self._layers:
            self._layers[layer] = self._blank(key), self._blank(value)
        return self._layers[layer]

    def _blank(self, like: Tensor) -> Tensor:
        return like.new_zeros(self._room, like.shape[1], self.capacity, like.shape[-1])

    def take(self, memory: Memory) -> None:
        """Give `memory` the next slot, without its tokens."""
        if len(self.memories) == self._room:
            self._resize(max(1, 2 * self._room))
        memory.table, memory.slot = self, len(self.memories)
        self.memories.append(memory)
        for rows in self._all():
            rows[memory.slot].zero_()

    def release(self, slot: int) -> None:
        """Take back `slot`; the last sequence moves there."""
        last = self.memories.pop()
        end = len(self.memories)
        if slot != end:
            for rows in self._all():
                rows[slot] = rows[end]
            self.memories[slot], last.slot = last, slot
        if len(self.memories) <= self._room // 4:
            self._resize(self._room // 2)

    def fill(self, slot: int, source: Table, source_slot: int, n_tokens: int) -> None:
        """Copy the first `n_tokens` of a sequence from there."""
        for layer, (keys, values) in source._layers.items():
            own_keys, own_values = self.layer(layer, keys, values)
            own_keys[slot, :, :n_tokens] = keys[source_slot, :, :n_tokens]
            own_values[slot, :, :n_tokens] = values[source_slot, :, :n_tokens]

    def _resize(self, room: int) -> None:
        self._room, n_kept = room, len(self.memories)
        for layer, pair in self._layers.items():
            keys, values = (self._blank(rows) for rows in pair)
            keys[:n_kept], values[:n_kept] = (rows[:n_kept] for rows in pair)
            self._layers[layer] = keys, values

    def _all(self) -> Iterator[Tensor]:
        for pair in self._layers.values():
            yield from pair


class Cache:
    """The memories of all sequences under way."""

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._tables: dict[int, Table] = {}

    @property
    def size(self) -> int:
        """Tokens for which there is a place, used or not."""
        return sum(table.capacity * len(table.memories) for table in self._tables.values())

    def open(self, n_tokens: int) -> Memory:
        """Room for a sequence of `n_tokens`, none of which has been read."""
        table = self._table(capacity(n_tokens))
        memory = Memory(table, 0)
        table.take(memory)
        return memory

    def close(self, memory: Memory) -> None:
        """Forget a sequence."""
        self._release(memory.table, memory.slot)

    def grow(self, memory: Memory, n_tokens: int) -> None:
        """Make sure that there is room for `n_tokens`."""
        table, slot = memory.table, memory.slot
        if n_tokens > table.capacity:
            larger = self._table(capacity(n_tokens))
            larger.take(memory)
            larger.fill(memory.slot, table, slot, memory.length)
            self._release(table, slot)

    def share(self, memory: Memory, other: Memory, n_tokens: int) -> None:
        """Remember the first `n_tokens` of `other` as one's own."""
        memory.table.fill(memory.slot, other.table, other.slot, n_tokens)
        memory.length = n_tokens

    def _table(self, capacity: int) -> Table:
        return self._tables.setdefault(capacity, Table(capacity))

    def _release(self, table: Table, slot: int) -> None:
        table.release(slot)
        if not table.memories:
            del self._tables[table.capacity]


def capacity(n_tokens: int) -> int:
    """The place that a sequence of `n_tokens` takes, in tokens."""
    return max(_SMALLEST, 1 << (n_tokens - 1).bit_length())
