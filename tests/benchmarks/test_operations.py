import pytest
import torch
from benchmarks.operations import RowSize, operations
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from tunery.core.lora import LoraConfig
from tunery.modeling import by_rows
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.segments import Segment

R = 3
N_TOKENS, N_TAUGHT = 12, 5


def test_the_counted_operations_are_those_that_a_step_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A compiled loop's are counted by nobody: attention goes by products.
    monkeypatch.setattr(by_rows, "_SHORT", 0)
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=20,
        intermediate_size=28,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
    )
    base = Base(LlamaForCausalLM(config))
    adapter = Adapter(base.places, LoraConfig(r=R, lora_alpha=6))
    learn = torch.arange(N_TOKENS) >= N_TOKENS - N_TAUGHT
    ids = torch.arange(N_TOKENS)
    stream = base.stream([Segment(ids=ids, learn=learn, adapter=adapter) for _ in range(3)])

    # It knows no product that adds to something in place.
    in_place = {torch.ops.aten.addmm_: _product}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        base.losses(stream).nats.sum().backward()

    size = RowSize(tokens=N_TOKENS, seen=N_TOKENS - 1, taught=N_TAUGHT)
    counted = operations(config, [size] * 3, r=R)
    found = counter.get_flop_counts()["Global"]
    # Attention multiplies whole tiles and masks the rest, which is not counted.
    tiles = found.pop(torch.ops.aten.bmm)
    assert tiles > counted.attention
    assert sum(found.values()) == counted.linears + counted.adapters + counted.head


def _product(sum_: torch.Size, left: torch.Size, right: torch.Size, **_: object) -> int:
    """Operations of adding a product to something, by the shapes of all three."""
    return 2 * left[0] * left[1] * right[1]
