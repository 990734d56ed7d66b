"""AdamW is torch's; the rate rises, falls, and ends near zero."""

import math
from itertools import pairwise

import pytest
import torch

from tests.modeling.models import tiny_model
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.optimizer import (
    AdamW,
    Decay,
    NonFiniteGradient,
    TooLargeStep,
    learning_rate,
)


def fresh() -> Adapter:
    return Adapter(Base(tiny_model("llama")).places, LoraConfig(r=2), seed=1)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_are_those_of_torch(weight_decay: float) -> None:
    adapter = fresh()
    ours = AdamW(adapter, weight_decay=weight_decay)
    weight = torch.nn.Parameter(adapter.master.clone())
    theirs = torch.optim.AdamW([weight], lr=1.0, weight_decay=weight_decay)
    source = torch.Generator().manual_seed(0)
    for step in range(30):
        gradient = torch.randn(weight.shape, generator=source) * 10 ** (step % 3 - 2)
        rate = 1e-2 / (1 + step)
        adapter.grad.copy_(gradient)
        norm = ours.step(rate)
        weight.grad = gradient.clone()
        want = torch.nn.utils.clip_grad_norm_([weight], 1.0)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        assert math.isclose(norm, float(want), rel_tol=1e-5)
        assert adapter.grad.eq(0).all()
    torch.testing.assert_close(adapter.master, weight.data, atol=1e-6, rtol=1e-5)


def test_it_goes_on_from_its_state() -> None:
    def advance(adapter: Adapter, optimizer: AdamW, n: int) -> None:
        source = torch.Generator().manual_seed(optimizer.n_steps)
        for _ in range(n):
            adapter.grad.copy_(torch.randn(adapter.grad.shape, generator=source))
            optimizer.step(1e-2)

    straight, broken = fresh(), fresh()
    optimizers = AdamW(straight), AdamW(broken)
    for adapter, optimizer in zip((straight, broken), optimizers, strict=True):
        advance(adapter, optimizer, 5)
    again = fresh()
    again.master.copy_(broken.master)
    resumed = AdamW(again)
    resumed.restore(optimizers[1].state())
    advance(straight, optimizers[0], 5)
    advance(again, resumed, 5)
    assert torch.equal(straight.master, again.master)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(bad: float) -> None:
    adapter = fresh()
    optimizer = AdamW(adapter)
    before = adapter.master.clone()
    adapter.grad[3] = bad
    with pytest.raises(NonFiniteGradient):
        optimizer.step(1e-2)
    assert torch.equal(adapter.master, before)
    assert optimizer.moment.eq(0).all()
    assert adapter.grad.eq(0).all()


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_the_rate_rises_to_its_peak_and_falls_towards_zero(decay: Decay) -> None:
    rates = [learning_rate(s, n_steps=200, peak=0.5, decay=decay) for s in range(1, 201)]
    assert rates.index(max(rates)) == 5  # 3 % of 200 steps
    assert max(rates) == 0.5
    assert rates[0] == pytest.approx(0.5 / 6)
    assert all(later < sooner for sooner, later in pairwise(rates[6:]))
    assert 0 < rates[-1] < 0.005
    middle = rates[6 + 97]
    assert middle == pytest.approx(0.25)


def test_a_constant_rate_stays_and_one_step_has_the_peak() -> None:
    assert learning_rate(50, n_steps=100, peak=0.5, decay="constant") == 0.5
    assert learning_rate(1, n_steps=1, peak=0.5) == 0.5
    assert learning_rate(1, n_steps=10, peak=0.5, warmup=0.0) == 0.5


@pytest.mark.parametrize("rate", [1e38, 1e300, math.inf])
def test_a_rate_that_fp32_does_not_hold_is_refused_and_nothing_changes(rate: float) -> None:
    adapter = fresh()
    optimizer = AdamW(adapter, weight_decay=0.1)
    before = adapter.master.clone()
    adapter.grad.fill_(1.0)
    with pytest.raises(TooLargeStep, match="the learning rate is"):
        optimizer.step(rate)
    assert torch.equal(adapter.master, before)
    assert adapter.grad.eq(0).all()
    assert optimizer.n_steps == 0
    assert optimizer.moment.eq(0).all()
