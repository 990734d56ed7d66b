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
    shapes = list(_linears(config))
    products = sum(i * o for _, i, o in shapes)
    low_rank_inputs = sum(i for _, i, _ in shapes) * r
    low_rank_outputs = sum(o for _, _, o in shapes) * r
    # Of the first layer alone: gradients of an input that is asked for none.
    unasked = [(i, o) for first, i, o in shapes if first]
    return Operations(
        linears=seen * (4 * n_layers * products - 2 * sum(i * o for i, o in unasked)),
        adapters=seen
        * (
            6 * n_layers * (low_rank_inputs + low_rank_outputs) - 2 * r * sum(i for i, _ in unasked)
        ),
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
