"""The pre-training loop.

Axes: `B` rows of a batch, `T` tokens of its longest row, `N` taught tokens, `W` the width.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from scripts.tiny_chat.batches import Batch, conversations, repeated_tokens
from scripts.tiny_chat.induction import write_copying_heads
from scripts.tiny_chat.tokenizer import CONTEXT, END, PAD, VOCABULARY_SIZE

WIDTH = 160
LAYERS = 5
HEAD = 32
_PEAK_RATE = 1.5e-3
_WARM_UP = 100
_COPYING_STEPS = 200


def new_model(tokenizer: Tokenizer, *, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights and a few heads that copy."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=WIDTH,
            intermediate_size=WIDTH * 8 // 3 // 16 * 16,
            num_hidden_layers=LAYERS,
            num_attention_heads=WIDTH // HEAD,
            num_key_value_heads=WIDTH // HEAD,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.token_to_id(END),
            pad_token_id=tokenizer.token_to_id(PAD),
            initializer_range=0.5 * WIDTH**-0.5,
        )
    )
    write_copying_heads(model, seed=seed)
    return model


def curriculum(tokenizer: Tokenizer, *, steps: int, seed: int) -> Iterator[Batch]:
    """First repeated tokens, then conversations."""
    rng = random.Random(seed)
    return chain(
        islice(repeated_tokens(rng), _COPYING_STEPS),
        islice(conversations(tokenizer, rng), steps - _COPYING_STEPS),
    )


def train(model: LlamaForCausalLM, batches: Iterable[Batch], *, steps: int) -> None:
    """Take one step per batch, and print the loss now and then."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    start, tokens, recent = time.monotonic(), 0, 0.0
    for step, batch in enumerate(batches, start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = taught_loss(model, batch)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += batch.input_ids.numel()
        recent += loss.item()
        if step % 100 == 0 or step == steps:
            elapsed = time.monotonic() - start
            print(
                f"step {step}/{steps}  loss {recent / 100:.4f}  {tokens / elapsed:,.0f} tokens/s  "
                f"{elapsed / 60:.1f} min, {elapsed / step * (steps - step) / 60:.1f} min left",
                flush=True,
            )
            recent = 0.0


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step <= _WARM_UP:
        return _PEAK_RATE * step / _WARM_UP
    return _PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (step - _WARM_UP) / (steps - _WARM_UP)))


def taught_loss(model: LlamaForCausalLM, batch: Batch) -> Tensor:
    """Mean cross-entropy of the taught tokens, in nats; the head runs on those alone."""
    hidden = model.model(input_ids=batch.input_ids, use_cache=False).last_hidden_state[:, :-1]
    learn = batch.learn[:, 1:]
    logits = model.lm_head(hidden[learn])  # (N, W) -> (N, VOCABULARY_SIZE)
    return cross_entropy(logits, batch.input_ids[:, 1:][learn])


@torch.no_grad()
def share_right(model: LlamaForCausalLM, batches: Iterable[Batch]) -> float:
    """The share of rows whose taught tokens are all the most likely ones."""
    right = rows = 0
    for batch in batches:
        likely = model(input_ids=batch.input_ids, use_cache=False).logits[:, :-1].argmax(-1)
        wrong = (likely != batch.input_ids[:, 1:]) & batch.learn[:, 1:]
        right += int((~wrong.any(1)).sum())
        rows += len(wrong)
    return right / rows
