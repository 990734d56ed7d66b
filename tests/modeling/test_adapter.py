"""Adapters travel to PEFT and back, and say clearly what they cannot do."""

import json
from pathlib import Path

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from tests.modeling.models import fill, segments, tiny_model, tokens
from tunery.core.errors import InvalidValue, TuneryError, Unsupported
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter, load_adapter, restore, save_adapter
from tunery.modeling.base import Base
from tunery.modeling.sample import _spans as spans_of

# PEFT 0.21 asks transformers 5 by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def our_logits(base: Base, adapter: Adapter, ids: Tensor) -> Tensor:
    with torch.no_grad(), base.carrying(spans_of([adapter], len(ids))):
        logits: Tensor = base.model(input_ids=ids[None]).logits[0]
    return logits


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("llama", LoraConfig(r=4, lora_alpha=10)),
        ("qwen2", LoraConfig(r=3, lora_alpha=2, target_modules=("q_proj", "v_proj"))),
        ("gemma2", LoraConfig(r=2)),
        ("neox", LoraConfig(r=2)),
        ("mixtral", LoraConfig(r=2)),
        ("mamba", LoraConfig(r=2)),
        ("llama", LoraConfig(r=2, target_modules=("layers.1.mlp.up_proj",))),
    ],
)
def test_peft_loads_ours_and_gives_our_logits(
    name: str, config: LoraConfig, tmp_path: Path
) -> None:
    base = Base(tiny_model(name))
    adapter = fill(Adapter(base.places, config, seed=1))
    save_adapter(adapter, tmp_path, base_model="org/name")
    [ids] = tokens(15)

    theirs = PeftModel.from_pretrained(tiny_model(name), str(tmp_path)).eval()
    with torch.no_grad():
        want = theirs(input_ids=ids[None]).logits[0]
        plain = tiny_model(name)(input_ids=ids[None]).logits[0]

    torch.testing.assert_close(our_logits(base, adapter, ids), want, atol=1e-4, rtol=1e-4)
    assert (want - plain).abs().max() > 1e-2
    n_loaded = sum(p.numel() for n, p in theirs.named_parameters() if ".lora_" in n)
    assert n_loaded == adapter.n_parameters


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["k_proj", "down_proj"], "use_rslora": True},
        {"target_modules": r".*\.0\..*\.(q|up)_proj", "lora_dropout": 0.1},
        {"target_modules": ["v_proj"], "layers_to_transform": [1]},
    ],
)
def test_ours_loads_what_peft_made(options: dict[str, object], tmp_path: Path) -> None:
    config = peft.LoraConfig(r=3, lora_alpha=7, task_type="CAUSAL_LM", **options)
    theirs = get_peft_model(tiny_model("llama"), config).eval()
    torch.manual_seed(2)
    for parameter_name, parameter in theirs.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.05)
    theirs.save_pretrained(str(tmp_path))
    [ids] = tokens(15)
    with torch.no_grad():
        want = theirs(input_ids=ids[None]).logits[0]

    base = Base(tiny_model("llama"))
    adapter = load_adapter(base.places, tmp_path)

    torch.testing.assert_close(our_logits(base, adapter, ids), want, atol=1e-4, rtol=1e-4)


def test_a_saved_adapter_comes_back_bit_for_bit(tmp_path: Path) -> None:
    base = Base(tiny_model("llama", dtype=torch.bfloat16))
    adapter = fill(Adapter(base.places, LoraConfig(r=4, lora_dropout=0.1), seed=1))
    save_adapter(adapter, tmp_path, base_model="org/name")
    again = load_adapter(base.places, tmp_path)
    assert torch.equal(again.master, adapter.master)
    assert again.config.lora_dropout == 0.1


def test_a_fresh_adapter_begins_as_pefts_does() -> None:
    base = Base(tiny_model("llama"))
    adapter = Adapter(base.places, LoraConfig(r=4), seed=1)
    for name, weight in adapter.named_weights():
        if ".lora_B." in name:
            assert weight.eq(0).all()
        else:
            bound = weight.shape[1] ** -0.5
            assert weight.abs().max() <= bound
            assert abs(float(weight.std()) - bound / 3**0.5) < 0.1 * bound
    assert not torch.equal(Adapter(base.places, LoraConfig(r=4), seed=2).master, adapter.master)


def test_an_adapter_does_not_adapt_the_head_or_the_experts() -> None:
    base = Base(tiny_model("mixtral"))
    names = Adapter(base.places, LoraConfig(r=1)).targets
    assert {name.rpartition(".")[2] for name in names} == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_linears_that_read_the_same_tensor_are_one_family() -> None:
    base = Base(tiny_model("llama"))
    families = [
        tuple(name.rpartition(".")[2] for name in family.names) for family in base.places.families
    ]
    layer = [("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",)]
    assert families == layer * 2


def test_an_unknown_target_is_refused_by_name() -> None:
    base = Base(tiny_model("llama"))
    with pytest.raises(InvalidValue, match=r'"c_attn".*they are called .*q_proj') as refused:
        Adapter(base.places, LoraConfig(target_modules=("q_proj", "c_attn")))
    assert refused.value.param == "target_modules"


def test_a_model_without_linears_is_refused() -> None:
    config = GPT2Config(vocab_size=96, n_embd=32, n_head=4, n_layer=2, n_positions=64)
    base = Base(GPT2LMHeadModel(config))
    with pytest.raises(Unsupported, match="no linear layers"):
        Adapter(base.places, LoraConfig())


def _changed(folder: Path, **more: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"peft_type": "IA3"}, "IA3"),
    ],
)
def test_what_peft_can_and_we_cannot_is_named(
    change: dict[str, object], words: str, tmp_path: Path
) -> None:
    base = Base(tiny_model("llama"))
    save_adapter(Adapter(base.places, LoraConfig(r=2)), tmp_path, base_model="org/name")
    _changed(tmp_path, **change)
    with pytest.raises(Unsupported, match=words):
        load_adapter(base.places, tmp_path)


def test_an_adapter_of_another_model_or_rank_is_refused(tmp_path: Path) -> None:
    base = Base(tiny_model("llama"))
    save_adapter(Adapter(base.places, LoraConfig(r=2)), tmp_path, base_model="org/name")
    saved = load_file(tmp_path / "adapter_model.safetensors")
    with pytest.raises(InvalidValue, match=r"is \(2, 32\); .* \(3, 32\)"):
        restore(Adapter(base.places, LoraConfig(r=3)), saved)
    with pytest.raises(InvalidValue, match="has no base_model"):
        restore(Adapter(base.places, LoraConfig(r=2)), {})
    with pytest.raises(TuneryError, match="query_key_value"):
        load_adapter(Base(tiny_model("neox")).places, tmp_path)
    save_file({"base_model.model.lm_head.weight": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").rename(tmp_path / "adapter_model.safetensors")
    with pytest.raises(Unsupported, match="not a low-rank matrix"):
        load_adapter(base.places, tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    base = Base(tiny_model("llama"))
    save_adapter(Adapter(base.places, LoraConfig(r=2)), tmp_path, base_model="org/name")
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(InvalidValue, match="safetensors"):
        load_adapter(base.places, tmp_path)


def test_two_adapters_share_one_pass(tmp_path: Path) -> None:
    base = Base(tiny_model("llama"))
    first, second = (fill(Adapter(base.places, LoraConfig(r=2), seed=s), seed=s) for s in (1, 2))
    rows = tokens(9, 9)
    batch = segments(rows[:1], first) + segments(rows[1:], second)
    stream = base.stream(batch)
    joint = base.losses(stream).nats.split(stream.counts.tolist())
    for segment, nats in zip(batch, joint, strict=True):
        alone = base.losses(base.stream([segment])).nats
        torch.testing.assert_close(nats, alone, atol=1e-4, rtol=1e-4)
