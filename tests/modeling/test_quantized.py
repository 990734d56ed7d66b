"""A base in four bits is the base with rounded weights, and adapters on it are as exact as ever."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from tests.modeling.models import fill, learn, segments, shares, tiny_model, tokens
from tunery.bases.catalog import BUILT_IN
from tunery.core.errors import Unsupported
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.batch import Batch
from tunery.modeling.choosing import Ask, Token
from tunery.modeling.load import load_model
from tunery.modeling.quantized import (
    PackedLinear,
    by_bitsandbytes,
    by_lookup,
    n_parameters,
    pack,
    pack_linears,
)

CPU = torch.device("cpu")


def both(name: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A model in four bits, and the model that has exactly its rounded weights."""
    rounded = tiny_model(name)
    packed = copy.deepcopy(rounded)
    pack_linears(packed, packed.get_output_embeddings(), CPU)
    for place, module in packed.named_modules():
        if isinstance(module, PackedLinear):
            linear = rounded.get_submodule(place)
            assert isinstance(linear, nn.Linear)
            linear.weight.data = module.weight
    return packed, rounded


def test_a_weight_is_rounded_to_one_of_sixteen_levels_of_its_block() -> None:
    torch.manual_seed(0)
    weight = torch.randn(12, 32)
    packed = pack(weight)
    unpacked = packed.unpacked()

    levels = (unpacked.view(-1, 64) / packed.scales[:, None]).mul(1e4).round().unique()
    assert len(levels) <= 16
    assert torch.equal(packed.scales, weight.view(-1, 64).abs().amax(1))
    # The widest gap between levels is 0.3 of a scale.
    error = (unpacked - weight).abs().view(-1, 64) / packed.scales[:, None]
    assert error.max() <= 0.16
    assert torch.equal(pack(unpacked).unpacked(), unpacked)
    assert packed.codes.numel() == weight.numel() // 2


def test_a_block_of_zeros_stays_zero() -> None:
    assert torch.equal(pack(torch.zeros(2, 64)).unpacked(), torch.zeros(2, 64))


def test_what_makes_no_whole_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 20\)"):
        pack(torch.ones(3, 20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bitsandbytes_finds_the_same_weights(dtype: torch.dtype) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    torch.manual_seed(0)
    weight = (torch.randn(96, 128) * 0.05).to(dtype)
    packed = pack(weight)
    codes, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=False)

    assert torch.equal(packed.codes, codes[:, 0])
    assert torch.equal(packed.scales, state.absmax)
    assert torch.equal(by_lookup(packed), functional.dequantize_4bit(codes, state))
    assert torch.equal(by_bitsandbytes(packed), by_lookup(packed))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "mixtral", "mamba"])
def test_adapters_learn_on_it_as_on_the_rounded_weights(name: str, recompute: bool) -> None:
    results = []
    for model in both(name):
        base = Base(model)
        base.recompute = recompute
        adapters = [
            fill(Adapter(base.places, LoraConfig(r=3), seed=1)),
            fill(Adapter(base.places, LoraConfig(r=2, lora_dropout=0.2), seed=2)),
        ]
        rows = [segments(tokens(9, 23, seed=i), adapters[i]) for i in range(2)]
        stream = base.stream(rows[0] + rows[1])
        losses = base.losses(stream)
        (losses.nats * shares(stream)).sum().backward()
        results.append([losses.nats.detach(), *(adapter.grad for adapter in adapters)])
    for packed, rounded in zip(*results, strict=True):
        torch.testing.assert_close(packed, rounded, atol=1e-6, rtol=1e-5)


def test_it_speaks_as_the_rounded_weights_do() -> None:
    answers = []
    for model in both("llama"):
        base = Base(model)
        adapters = [None, *(fill(Adapter(base.places, LoraConfig(r=2), seed=i)) for i in (1, 2))]
        batch = Batch(base)
        prompt = tokens(7)[0].tolist()
        batch.join([Ask(prompt=prompt, adapter=a, max_tokens=6, temperature=0) for a in adapters])
        said = [token for _ in range(8) for token in batch.step()]
        assert all(isinstance(token, Token) for token in said)
        answers.append(said)
    assert answers[0] == answers[1]


def test_the_weights_take_less_than_a_sixth_and_are_counted() -> None:
    model = tiny_model("llama")
    n_before = n_parameters(model)
    linears = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    linears -= model.get_output_embeddings().weight.numel()
    pack_linears(model, model.get_output_embeddings(), CPU)
    packed = [m.packed for m in model.modules() if isinstance(m, PackedLinear)]
    n_bytes = sum(one.codes.nbytes + one.scales.nbytes for one in packed)

    assert n_bytes == linears * 4.5 / 8
    assert n_parameters(model) == n_before
    assert type(model.get_output_embeddings()) is nn.Linear


def test_a_model_is_loaded_in_four_bits() -> None:
    base = Base(load_model(str(BUILT_IN / "tiny-chat"), device=CPU, quantization="nf4").model)
    assert base.layout.packed
    assert all(family.packed is not None for family in base.places.families)


def test_a_model_that_is_quantized_already_is_refused(tmp_path: Path) -> None:
    source = BUILT_IN / "tiny-chat"
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported, match="quantized already"):
        load_model(str(tmp_path), device=CPU)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bitsandbytes_kernel_unpacks_the_same_on_a_gpu(dtype: torch.dtype) -> None:
    pytest.importorskip("bitsandbytes")
    packed = pack(torch.randn(96, 128, device="cuda").to(dtype))
    assert torch.equal(by_bitsandbytes(packed), by_lookup(packed))
    assert torch.equal(packed.unpacked(), by_lookup(packed))


@pytest.mark.gpu
def test_a_base_in_four_bits_learns_on_a_gpu() -> None:
    device = torch.device("cuda")
    model = tiny_model("llama", dtype=torch.bfloat16)
    pack_linears(model, model.get_output_embeddings(), device)
    base = Base(model.to(device))
    adapter = Adapter(base.places, LoraConfig(r=4))
    [nats] = learn(base, base.stream(segments(tokens(30), adapter)))
    assert nats.sum() > 0
    assert adapter.grad.isfinite().all()
    assert adapter.grad.abs().max() > 0
