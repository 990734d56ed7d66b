"""Base models of random weights for the measurements: speed does not ask what a model knows."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tunery.bases.catalog import BUILT_IN

TINY_CHAT = BUILT_IN / "tiny-chat"

SHAPES: dict[str, dict[str, int]] = {
    "3M": {
        "vocab_size": 2048,
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
    },
    "30M": {
        "vocab_size": 16384,
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 9,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
    },
}
"""Llamas by their size, in the words of their configuration."""


def random_base(folder: Path, size: str) -> Path:
    """A Llama of one of `SHAPES` in `folder`, with tiny-chat's tokenizer and template."""
    tokenizer = AutoTokenizer.from_pretrained(TINY_CHAT)
    config = LlamaConfig(
        **SHAPES[size],
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
