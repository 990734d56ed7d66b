"""Pre-training batches: conversations as padded token ids, with the tokens to learn.

Axes: `B` rows of a batch, `T` tokens of its longest row.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from scripts.tiny_chat.tasks import Conversation, long_conversation, short_conversation
from scripts.tiny_chat.tokenizer import CONTEXT, END, ROLES, VOCABULARY_SIZE

_TOKENS_PER_BATCH = 2048
_POOL = 320
_LONG_SHARE = 0.05
_FIRST_FREE_ID = 2 + len(ROLES)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Token ids and which of them are learnt, both `(B, T)`."""

    input_ids: Tensor
    learn: Tensor


@dataclass(frozen=True, kw_only=True)
class Row:
    """One conversation as tokens."""

    ids: list[int]
    learn: list[bool]


def rendered(tokenizer: Tokenizer, conversation: Conversation) -> Row:
    """`conversation` as the chat template writes it.

    No token reaches across a role or the line break after it, so messages are encoded one by one.
    """
    ids: list[int] = []
    learn: list[bool] = []
    (line_break,), (end,) = tokenizer.encode("\n").ids, tokenizer.encode(END).ids
    for message in conversation:
        content = tokenizer.encode(message.content).ids
        taught = message.role == "assistant" and message.taught
        (role,) = tokenizer.encode(f"<|{message.role}|>").ids
        ids += [role, line_break, *content, end, line_break]
        learn += [False, False, *([taught] * (len(content) + 1)), False]
    return Row(ids=ids, learn=learn)


def repeated_tokens(rng: random.Random) -> Iterator[Batch]:
    """Rows of random tokens said twice; the second time is learnt. They make heads that copy."""
    while True:
        count = rng.choice((*range(6, 24), 48, 96, 192, 512, 1000))
        rows = []
        for _ in range(max(1, _TOKENS_PER_BATCH // (2 * count))):
            ids = [rng.randrange(_FIRST_FREE_ID, VOCABULARY_SIZE) for _ in range(count)]
            rows.append(Row(ids=ids * 2, learn=[False] * count + [True] * count))
        yield padded(rows)


def conversations(tokenizer: Tokenizer, rng: random.Random) -> Iterator[Batch]:
    """Conversations of like length together; now and then one as long as the context."""
    while True:
        pool = [rendered(tokenizer, short_conversation(rng)) for _ in range(_POOL)]
        batches = list(_of_like_length(pool))
        for _ in range(round(len(batches) * _LONG_SHARE)):
            batches.append([_fitting(lambda: rendered(tokenizer, long_conversation(rng)))])
        rng.shuffle(batches)
        yield from map(padded, batches)


def _of_like_length(rows: list[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batch and (len(batch) + 1) * len(row.ids) > _TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _fitting(draw: Callable[[], Row]) -> Row:
    while len((row := draw()).ids) > CONTEXT:
        pass
    return row


def padded(rows: list[Row]) -> Batch:
    """`rows` filled up on the right, where a causal model never looks back from."""
    length = max(len(row.ids) for row in rows)
    pad = [0] * length  # 0 is the id of PAD, the first special token, and "not learnt"
    return Batch(
        input_ids=torch.tensor([(row.ids + pad)[:length] for row in rows]),
        learn=torch.tensor([(row.learn + pad)[:length] for row in rows], dtype=torch.bool),
    )
