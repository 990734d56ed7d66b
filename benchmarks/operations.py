"""How many operations the matrix products of a training step take: a product is 2 x m x n x k.

What is counted, per token, of a frozen Llama with LoRA of rank r on all of its linear layers:

- a linear layer `i -> o`: 2 i o forward, and 2 i o for the gradient of its input. The base is
  frozen: its weights have no gradient. Nothing learns below the first layer's query, key and
  value, so they have none of their input either.
- its low-rank part: 2 r (i + o) forward, as much for the gradients of A and B, and as much for
  those of what goes into A and B; the first layer's query, key and value again without the input.
- attention, of every row and each row that it sees, itself included: 4 w forward and 8 w backward,
  with w the width of all heads.
- the output projection, of every taught row: 2 d V forward and 2 d V backward.

Padding, the optimizer, and what is no matrix product are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import LlamaConfig


@dataclass(frozen=True, kw_only=True)
class RowSize:
    """A row of a training file.

    Attributes:
        tokens: all of it.
        seen: tokens that go through the model: those after the last taught one need not, and that
            one itself is only foretold.
        taught: tokens that are learnt.
    """

    tokens: int
    seen: int
    taught: int


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Of some rows, forward and backward."""

    linears: int
    adapters: int
    attention: int
    head: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.linears + self.adapters + self.attention + self.head


def operations(config: LlamaConfig, rows: Sequence[RowSize], *, r: int) -> Operations:
    """What learning from `rows` once takes, with adapters of rank `r`."""
    n_layers, width = config.num_hidden_layers, config.hidden_size
    seen, taught = sum(row.seen for row in rows), sum(row.taught for row in rows)
    pairs = sum(row.seen * (row.seen + 1) // 2 for row in rows)
    linears = low_rank = 0
    for of_input, i, o in _linears(config):
        # What the last layer makes of its attention is needed of taught rows alone.
        times = n_layers * seen if of_input else (n_layers - 1) * seen + taught
        linears += 4 * times * i * o
        low_rank += 6 * times * r * (i + o)
        if of_input:  # the first layer's is asked for no gradient
            linears -= 2 * seen * i * o
            low_rank -= 2 * seen * r * i
    return Operations(
        linears=linears,
        adapters=low_rank,
        attention=12 * pairs * n_layers * config.num_attention_heads * config.head_dim,
        head=4 * taught * width * config.vocab_size,
    )


def _linears(config: LlamaConfig) -> Iterator[tuple[bool, int, int]]:
    """Of one layer's linears: whether it reads the layer's input, its inputs, its outputs."""
    width, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    yield from ((True, width, queries), (True, width, keys), (True, width, keys))
    yield from ((False, queries, width), (False, width, inner), (False, width, inner))
    yield False, inner, width
