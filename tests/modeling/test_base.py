"""A stream gives what each segment would get alone, through the model as transformers made it."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import PreTrainedModel

from tests.modeling.models import ARCHITECTURES, GRIDS, fill, learn, segments, tiny_model, tokens
from tunery.bases.catalog import BUILT_IN
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.load import load_model
from tunery.modeling.segments import Segment


def eager_nats(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Loss of every token of a row, alone, by the untouched model with eager attention."""
    logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0]
    return F.cross_entropy(logits.float(), ids[1:], reduction="none")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_stream_gives_what_each_row_gets_alone(name: str) -> None:
    model = tiny_model(name)
    untouched = copy.deepcopy(model)
    untouched.set_attn_implementation("eager")
    rows = tokens(9, 23, 5, 17, 9)

    base = Base(model)
    stream = base.stream(segments(rows))
    nats = base.losses(stream).nats

    assert base.layout.packed == (name not in GRIDS)
    with torch.no_grad():
        alone = torch.cat([eager_nats(untouched, ids) for ids in rows])
    torch.testing.assert_close(nats, alone, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "qwen2", "mixtral", "gptoss", "mamba", "falcon", "lfm2"])
def test_a_model_that_is_sure_of_itself_is_packed_in_bf16_where_it_is_in_fp32(name: str) -> None:
    model = tiny_model(name)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(3)
    assert Base(model.bfloat16()).layout.packed == (name not in GRIDS)


def test_the_built_in_model_is_packed_in_both() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert Base(load_model(str(BUILT_IN / "tiny-chat"), dtype=dtype).model).layout.packed


@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral", "phi", "gptoss", "mamba"])
def test_gradients_are_those_of_the_untouched_model(name: str) -> None:
    rows = tokens(9, 23, 5, seed=1)
    config = LoraConfig(r=3, lora_alpha=5)
    gradients = []
    for own_passes in (True, False):
        base = Base(tiny_model(name), own_passes=own_passes)
        adapter = fill(Adapter(base.places, config, seed=3))
        learn(base, base.stream(segments(rows, adapter, learn=lambda i: i > 2)))
        gradients.append(adapter.grad.clone())

    base = Base(tiny_model(name), own_passes=False)
    adapter = fill(Adapter(base.places, config, seed=3))
    gradients.append(merged_gradient(base, adapter, rows))
    scale = gradients[2].abs().max()
    for gradient in gradients[:2]:
        torch.testing.assert_close(gradient / scale, gradients[2] / scale, atol=1e-4, rtol=1e-3)


def merged_gradient(base: Base, adapter: Adapter, rows: list[Tensor]) -> Tensor:
    """The adapter's gradient by autograd alone: its product is merged into the weights."""
    leaves = {name: w.clone().requires_grad_() for name, w in adapter.named_weights()}
    merged = {}
    for family in adapter.parts:
        for name in family.names:
            a, b = (leaves[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
            frozen = base.model.get_parameter(f"{name}.base.weight")
            merged[f"{name}.base.weight"] = frozen + adapter.scale * b @ a
    total = torch.zeros(())
    for ids in rows:
        inputs = {"input_ids": ids[None, :-1], "use_cache": False}
        logits = torch.func.functional_call(base.model, merged, kwargs=inputs).logits[0]
        total = total + F.cross_entropy(logits[2:], ids[3:], reduction="sum")
    total = total / sum(len(ids) - 3 for ids in rows)
    total.backward()
    for name, weight in adapter.named_weights():
        gradient = leaves[name].grad
        assert gradient is not None
        weight.copy_(gradient)
    return adapter.master


def test_long_rows_agree_too() -> None:
    model = tiny_model("gemma3")
    untouched = copy.deepcopy(model)
    untouched.set_attn_implementation("eager")
    rows = tokens(700, 640, 30)
    base = Base(model)
    nats = base.losses(base.stream(segments(rows))).nats
    with torch.no_grad():
        alone = torch.cat([eager_nats(untouched, ids) for ids in rows])
    torch.testing.assert_close(nats, alone, atol=2e-4, rtol=1e-4)


def test_only_taught_tokens_are_scored_and_right_ones_counted() -> None:
    model = tiny_model("llama")
    [ids] = tokens(12)
    taught = torch.tensor([i in (3, 4, 8) for i in range(12)])
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0]
    nats = F.cross_entropy(logits[:-1], ids[1:], reduction="none")[[2, 3, 7]]
    right = int((logits[:-1].argmax(-1) == ids[1:])[[2, 3, 7]].sum())

    base = Base(model)
    found = base.losses(base.stream([Segment(ids=ids, learn=taught)]))

    assert int(found.correct.sum()) == right
    torch.testing.assert_close(found.nats, nats, atol=1e-5, rtol=1e-5)


def test_what_follows_the_last_taught_token_is_not_computed() -> None:
    base = Base(tiny_model("llama"))
    [ids] = tokens(20)
    stream = base.stream(segments([ids], learn=lambda i: i == 6))
    assert stream.size == 6


def test_a_bf16_base_agrees_to_its_rounding() -> None:
    rows = tokens(9, 23, 5, 17)
    nats = []
    for dtype in (torch.float32, torch.bfloat16):
        base = Base(tiny_model("llama", dtype=dtype))
        adapter = fill(Adapter(base.places, LoraConfig(r=2)))
        nats.append(float(torch.cat(learn(base, base.stream(segments(rows, adapter)))).mean()))
        assert torch.isfinite(adapter.grad).all()
    assert base.layout.packed
    assert base.layout.grain == 64
    assert math.isclose(nats[0], nats[1], rel_tol=2e-2)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu() -> None:
    rows = tokens(9, 23, 5, 17)
    nats = []
    for device in ("cpu", "cuda"):
        base = Base(tiny_model("llama").to(device))
        adapter = fill(Adapter(base.places, LoraConfig(r=2)))
        nats.append(torch.cat(learn(base, base.stream(segments(rows, adapter)))).cpu())
    torch.testing.assert_close(nats[0], nats[1], atol=1e-2, rtol=1e-3)
