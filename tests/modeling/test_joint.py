"""Several adapters in one stream get what each would get alone."""

import math

import pytest
import torch

from tests.modeling.models import fill, learn, segments, tiny_model, tokens
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.optimizer import AdamW, NonFiniteGradient
from tunery.modeling.segments import Segment, micro_batches

CONFIGS = (
    LoraConfig(r=4, lora_alpha=8),
    LoraConfig(r=2, lora_alpha=8),
    LoraConfig(r=1, lora_alpha=3, target_modules=("q_proj", "down_proj")),
    LoraConfig(r=7, lora_alpha=7, target_modules=("v_proj",)),
)
RATES = (1e-2, 5e-3, 3e-3, 2e-2)


def fits(base: Base, config: LoraConfig) -> bool:
    if config.target_modules == "all-linear":
        return True
    names = " ".join(name for family in base.places.families for name in family.names)
    return all(target in names for target in config.target_modules)


def rows_of(job: int, step: int) -> list[torch.Tensor]:
    return tokens(7 + job, 19 - job, 12, seed=100 * job + step)


def train(base: Base, jobs: list[int], n_steps: int) -> dict[int, tuple[Adapter, list[float]]]:
    """Each job's adapter and losses; those in `jobs` share their streams."""
    adapters = {job: Adapter(base.places, CONFIGS[job], seed=job) for job in jobs}
    optimizers = {job: AdamW(adapters[job]) for job in jobs}
    losses: dict[int, list[float]] = {job: [] for job in jobs}
    for step in range(n_steps):
        batch: list[Segment] = []
        for job in jobs:
            batch += segments(rows_of(job, step), adapters[job], learn=lambda i: i > 2)
        stream = base.stream(batch)
        nats = list(zip(stream.segments, learn(base, stream), strict=True))
        for job in jobs:
            own = [part for segment, part in nats if segment.adapter is adapters[job]]
            losses[job].append(float(torch.cat(own).mean()))
            optimizers[job].step(RATES[job])
    return {job: (adapters[job], losses[job]) for job in jobs}


@pytest.mark.parametrize("name", ["llama", "qwen3moe", "mamba"])
def test_joint_equals_alone(name: str) -> None:
    base = Base(tiny_model(name))
    jobs = [job for job, config in enumerate(CONFIGS) if fits(base, config)]
    joint = train(base, jobs, 8)
    for job in jobs:
        adapter, losses = train(base, [job], 8)[job]
        together, losses_together = joint[job]
        assert max(abs(a - b) for a, b in zip(losses, losses_together, strict=True)) < 1e-5
        torch.testing.assert_close(together.master, adapter.master, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "mamba"])
def test_an_adapter_that_is_not_a_number_touches_nobody_else(name: str) -> None:
    base = Base(tiny_model(name))
    good = fill(Adapter(base.places, LoraConfig(r=2), seed=1))
    learn(base, base.stream(segments(tokens(8, 9), good)))
    alone = good.grad.clone()
    good.grad.zero_()

    bad = fill(Adapter(base.places, LoraConfig(r=3), seed=2))
    bad.master.fill_(math.nan)
    bad.refresh()
    batch = segments(tokens(9, 8, 10, seed=5), bad)[:2]
    batch += segments(tokens(8, 9), good) + segments(tokens(9, seed=6), bad)
    stream = base.stream(batch)
    for segment, nats in zip(stream.segments, learn(base, stream), strict=True):
        assert bool(nats.isfinite().all()) == (segment.adapter is good)
    torch.testing.assert_close(good.grad, alone, atol=1e-6, rtol=1e-4)
    before = bad.master.clone()
    with pytest.raises(NonFiniteGradient):
        AdamW(bad).step(1e-3)
    torch.testing.assert_close(bad.master, before, equal_nan=True)


@pytest.mark.parametrize("name", ["llama", "mamba"])
@pytest.mark.parametrize("max_rows", [1, 30, 64])
def test_micro_batches_do_not_change_the_gradient(name: str, max_rows: int) -> None:
    base = Base(tiny_model(name))
    rows = tokens(12, 30, 7, 22, 16)
    gradients = []
    for limit in (max_rows, 10_000):
        adapter = fill(Adapter(base.places, LoraConfig(r=2)))
        step = segments(rows, adapter, learn=lambda i: i % 3 == 1)
        cut = list(micro_batches(step, max_rows=limit, grid=not base.layout.packed))
        for batch in cut:
            learn(base, base.stream(batch), step)
        gradients.append(adapter.grad)
    assert len(cut) == 1
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def test_micro_batches_come_longest_first_and_keep_to_their_rows() -> None:
    step = segments(tokens(5, 40, 9, 12, 31, 8))
    cut = list(micro_batches(step, max_rows=40))
    lengths = [[segment.n_rows for segment in batch] for batch in cut]
    assert lengths == [[39], [30], [11, 8, 7, 4]]
    padded = list(micro_batches(step, max_rows=40, grid=True))
    assert [[s.n_rows for s in batch] for batch in padded] == [[39], [30], [11, 8, 7], [4]]


def test_dropout_is_drawn_again_the_same_from_its_state_and_not_when_evaluating() -> None:
    base = Base(tiny_model("llama"))
    adapter = fill(Adapter(base.places, LoraConfig(r=2, lora_dropout=0.3), seed=4))
    stream = base.stream(segments(tokens(12, 20), adapter))

    def gradient() -> torch.Tensor:
        adapter.grad.zero_()
        learn(base, stream)
        return adapter.grad.clone()

    state = adapter.dropout.get_state()
    first, second = gradient(), gradient()
    adapter.dropout.set_state(state)
    again = gradient()

    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    before = adapter.dropout.get_state()
    with torch.no_grad():
        assert torch.equal(base.losses(stream).nats, base.losses(stream).nats)
    assert torch.equal(before, adapter.dropout.get_state())


def test_dropout_leaves_the_mean_gradient_where_it_is() -> None:
    base = Base(tiny_model("llama"))
    rows = tokens(12)
    plain = Adapter(base.places, LoraConfig(r=2), seed=4)
    learn(base, base.stream(segments(rows, plain)))
    dropped = Adapter(base.places, LoraConfig(r=2, lora_dropout=0.2), seed=4)
    stream = base.stream(segments(rows, dropped))
    for _ in range(300):
        learn(base, stream)
    # B is zero, so the loss does not depend on A and the gradient of B is linear in the mask.
    error = (dropped.grad / 300 - plain.grad).norm() / plain.grad.norm()
    assert error < 0.1
