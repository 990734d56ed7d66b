"""Random models from disk learn as eager transformers and PEFT let them learn."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.modeling.models import fill, segments
from tests.modeling.templates import CHATML, tokenizer
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.load import load_model

VOCABULARY = 448
LENGTHS = (9, 23, 5, 17, 9)
WINDOW = 6
"""Shorter than most rows."""
UNTAUGHT = 3
"""So many tokens at the beginning of each row are not learnt."""

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@dataclass(frozen=True)
class Kind:
    """What a model is to have; all else of its configuration is drawn.

    Attributes:
        bias: a module of it that has a bias.
        packed: whether its rows lie end to end; otherwise state crosses them, each is padded.
    """

    family: str
    options: dict[str, Any] = field(default_factory=dict)
    bias: str | None = None
    tied: bool = False
    windowed: bool = False
    packed: bool = True


_MIXED = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_GEMMA = {**_MIXED, "query_pre_attn_scalar": 8}
KINDS = {
    "llama": Kind("Llama"),
    "llama with biases": Kind(
        "Llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        bias="layers.0.mlp.down_proj", tied=True,
    ),
    "qwen2": Kind(
        "Qwen2", {"tie_word_embeddings": True}, bias="layers.0.self_attn.q_proj", tied=True,
    ),
    "qwen2 with windows": Kind(
        "Qwen2", {**_MIXED, "use_sliding_window": True}, bias="layers.1.self_attn.v_proj",
        windowed=True,
    ),
    "qwen3": Kind("Qwen3"),
    "mistral": Kind("Mistral", {"sliding_window": WINDOW}, windowed=True),
    "gemma": Kind("Gemma", tied=True),
    "gemma2": Kind("Gemma2", _GEMMA, tied=True, windowed=True),
    "gemma3": Kind("Gemma3", _GEMMA, tied=True, windowed=True),
    "phi": Kind("Phi", bias="layers.0.self_attn.q_proj"),
    "phi3": Kind("Phi3", {"sliding_window": WINDOW}, windowed=True),
    "mixtral": Kind("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3moe": Kind("Qwen3Moe", {**_EXPERTS, "num_experts": 4}),
    "lfm2": Kind(
        "Lfm2", {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3}, tied=True,
        packed=False,
    ),
}  # fmt: skip


def drawn(kind: Kind, folder: Path, seed: int) -> Path:
    """A random model of a random shape, with grouped queries where there are enough heads."""
    source = random.Random(seed)
    n_heads = source.choice([4, 6])
    options = {
        "vocab_size": VOCABULARY,
        "hidden_size": 8 * n_heads,
        "intermediate_size": source.choice([40, 56, 72]),
        "num_hidden_layers": 2,
        "num_attention_heads": n_heads,
        "num_key_value_heads": source.choice([1, 2]),
        "head_dim": 8,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **kind.options,
    }
    config = "TextConfig" if kind.family == "Gemma3" else "Config"
    made = getattr(transformers, f"{kind.family}{config}")(**options)
    torch.manual_seed(seed)
    model: PreTrainedModel = getattr(transformers, f"{kind.family}ForCausalLM")(made)
    for name, parameter in model.named_parameters():
        # Random models are so flat that errors would not show: give every matrix some weight.
        if parameter.dim() >= 2 or name.endswith(".bias"):
            nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    tokenizer(CHATML).save_pretrained(folder)
    return folder


def rows_of(seed: int) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (n,), generator=source) for n in LENGTHS]


def by_peft(folder: Path, adapter: Path, rows: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses of the taught tokens, row after row, and the gradient of their mean, by name."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    tuned = PeftModel.from_pretrained(model, str(adapter), is_trainable=True).eval()
    nats = []
    for ids in rows:
        logits = tuned(input_ids=ids[None, :-1], use_cache=False).logits[0]
        nats.append(F.cross_entropy(logits, ids[1:], reduction="none")[UNTAUGHT - 1 :])
    torch.cat(nats).mean().backward()
    gradients = {
        name.replace(".default", ""): weight.grad
        for name, weight in tuned.named_parameters()
        if weight.grad is not None
    }
    return torch.cat(nats).detach(), gradients


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", KINDS)
def test_losses_and_gradients_are_those_of_the_eager_model(
    name: str, seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kind = KINDS[name]
    folder = drawn(kind, tmp_path / "model", seed)
    caplog.set_level("INFO", logger="tunery")
    base = Base(load_model(str(folder)).model)
    has_what_it_is_to_have(kind, base)
    adapter = fill(Adapter(base.places, LoraConfig(r=3, lora_alpha=5), seed=3))
    save_adapter(adapter, tmp_path / "adapter", base_model=str(folder))
    rows = rows_of(seed)

    nats = base.losses(base.stream(segments(rows, adapter, learn=lambda i: i >= UNTAUGHT))).nats
    nats.mean().backward()

    assert base.layout.packed == kind.packed
    assert ("packed=False" in caplog.text) == (not kind.packed)
    expected, gradients = by_peft(folder, tmp_path / "adapter", rows)
    torch.testing.assert_close(nats.detach(), expected, atol=2e-4, rtol=1e-4)
    adapter.master.copy_(adapter.grad)
    ours = dict(adapter.named_weights())
    assert ours.keys() == gradients.keys()
    scale = max(float(gradient.abs().max()) for gradient in gradients.values())
    for place, gradient in gradients.items():
        torch.testing.assert_close(
            ours[place] / scale, gradient / scale, atol=1e-4, rtol=1e-3, msg=place
        )


def has_what_it_is_to_have(kind: Kind, base: Base) -> None:
    config = base.model.config.get_text_config()
    assert config.num_key_value_heads < config.num_attention_heads
    embeddings = base.model.get_input_embeddings()
    assert base.head is not None
    assert (base.head.get_parameter("weight") is embeddings.get_parameter("weight")) == kind.tied
    if kind.windowed:
        assert config.sliding_window == WINDOW < sorted(LENGTHS)[1]
    if kind.bias is not None:
        module = base.decoder.get_submodule(kind.bias)
        assert any(name.endswith("bias") and bool(w.any()) for name, w in module.named_parameters())
