"""Tiny random models of many architectures, and the tokens to try them with."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.segments import Segment
from tunery.modeling.stream import Stream

VOCABULARY = 96

_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_HEADS: dict[str, Any] = {"head_dim": 8}
_MIXED: dict[str, Any] = {"layer_types": ["sliding_attention", "full_attention"]}

# name: (architecture, what differs). Windows are shorter than the rows of the tests.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", _HEADS),
    "gemma2": ("Gemma2", {**_HEADS, **_MIXED, "sliding_window": 6, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3", {**_HEADS, **_MIXED, "sliding_window": 6, "query_pre_attn_scalar": 8}),
    "mistral": ("Mistral", {"sliding_window": 6}),
    "neox": ("GPTNeoX", {"num_key_value_heads": None}),
    "phi": ("Phi", {"num_key_value_heads": 4}),
    "phi3": ("Phi3", {}),
    "olmo2": ("Olmo2", {}),
    "granite": ("Granite", {"logits_scaling": 2.0, "residual_multiplier": 0.5}),
    "cohere": ("Cohere", {}),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3moe": (
        "Qwen3Moe",
        {**_HEADS, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    ),
    "gptoss": (
        "GptOss",
        {**_HEADS, **_MIXED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6},
    ),
    "mamba": ("Mamba", {"state_size": 4}),
    "mamba2": (
        "Mamba2",
        {"state_size": 4, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    ),
    "deepseek3": (
        "DeepseekV3",
        {
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "moe_intermediate_size": 16,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
    ),
    "falcon": ("Falcon", {"multi_query": True, "new_decoder_architecture": False}),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3}),
}
GRIDS = {"falcon", "lfm2", "mamba", "mamba2"}


def tiny_model(
    name: str, *, dtype: torch.dtype = torch.float32, vocabulary: int = VOCABULARY
) -> PreTrainedModel:
    """A random model of the architecture `name`, the same each time."""
    family, more = ARCHITECTURES[name]
    asked = {**_SMALL, **more, "vocab_size": vocabulary}
    options = {k: v for k, v in asked.items() if v is not None}
    kind = "TextConfig" if family == "Gemma3" else "Config"
    config = getattr(transformers, f"{family}{kind}")(**options)
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, f"{family}ForCausalLM")(config)
    # Random models are so flat that errors would not show: give every matrix some weight.
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return model.to(dtype).eval()


def tokens(*lengths: int, seed: int = 0) -> list[Tensor]:
    """Random rows of these lengths."""
    source = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (n,), generator=source) for n in lengths]


def segments(
    rows: list[Tensor], adapter: Adapter | None = None, *, learn: Callable[[int], bool] = bool
) -> list[Segment]:
    """`rows` to learn from, token `i` of each where `learn(i)`."""
    return [
        Segment(ids=ids, learn=torch.tensor([learn(i) for i in range(len(ids))]), adapter=adapter)
        for ids in rows
    ]


def fill(adapter: Adapter, *, seed: int = 0) -> Adapter:
    """Give the B matrices something, so that the adapter changes what comes out."""
    source = torch.Generator().manual_seed(seed)
    for name, weight in adapter.named_weights():
        if ".lora_B." in name:
            weight.copy_(torch.randn(weight.shape, generator=source) * 0.05)
    adapter.refresh()
    return adapter


def shares(stream: Stream, step: Sequence[Segment] = ()) -> Tensor:
    """`(R,)` weights by which the loss of each adapter is a mean over its taught tokens.

    Those of a whole `step`, of which `stream` may be a part.
    """
    sequences = [line.segment for item in stream.segments for line in item.lines]
    n_taught: Counter[Adapter | None] = Counter()
    for sequence in step or sequences:
        n_taught[sequence.adapter] += sequence.n_taught
    weights = [
        torch.full((sequence.n_taught,), 1 / n_taught[sequence.adapter]) for sequence in sequences
    ]
    return torch.cat(weights).to(stream.device)


def learn(base: Base, stream: Stream, step: Sequence[Segment] = ()) -> list[Tensor]:
    """Add to the gradient of each adapter's mean loss; what each sequence's tokens have cost."""
    nats = base.losses(stream).nats
    (nats * shares(stream, step)).sum().backward()
    return list(nats.detach().split(stream.counts.tolist()))
