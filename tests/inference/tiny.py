"""A tiny random Llama on disk, and an adapter for it."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.modeling.models import fill
from tests.modeling.templates import CHATML, tokenizer
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.load import load_model

CONTEXT = 96


def write_model(folder: Path, *, template: str | None = CHATML, seed: int = 0) -> Path:
    """A model folder as any other, in which every token is about as likely as the next."""
    words = tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write_adapter(model: Path, folder: Path, *, seed: int = 0) -> Path:
    """An adapter that changes what the model says."""
    base = Base(load_model(str(model)).model)
    adapter = fill(Adapter(base.places, LoraConfig(r=4, lora_alpha=32), seed=seed), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_adapter(adapter, folder, base_model="tiny")
    return folder
