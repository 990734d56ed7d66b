"""Layers that are computed again in backward give the same losses and the same gradients."""

import pytest
import torch
from torch import Tensor

from tests.modeling.models import fill, segments, shares, tiny_model, tokens
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.checkpointing import fits, kept_bytes, rows_that_fit
from tunery.modeling.segments import Fork, Segment
from tunery.modeling.stream import Stream
from tunery.trainers import memory
from tunery.trainers.preparation import rows_at_a_time

GIB = 2**30


def two_jobs(base: Base, *, dropout: float = 0.0) -> list[Adapter]:
    configs = (
        LoraConfig(r=3, lora_alpha=5, lora_dropout=dropout),
        LoraConfig(r=2, lora_dropout=dropout / 2),
    )
    return [fill(Adapter(base.places, config, seed=i)) for i, config in enumerate(configs)]


def joint(base: Base, adapters: list[Adapter], *lengths: int, untaught: int = 3) -> Stream:
    batch: list[Segment] = []
    for i, adapter in enumerate(adapters):
        batch += segments(tokens(*lengths, seed=i), adapter, learn=lambda i: i >= untaught)
    return base.stream(batch)


def step(base: Base, stream: Stream, adapters: list[Adapter]) -> tuple[Tensor, list[Tensor]]:
    for adapter in adapters:
        adapter.grad.zero_()
    losses = base.losses(stream)
    (losses.nats * shares(stream)).sum().backward()
    return losses.nats.detach(), [adapter.grad.clone() for adapter in adapters]


# A window, several lengths (attention by groups), sinks, experts, and a grid.
@pytest.mark.parametrize("name", ["llama", "gemma2", "gptoss", "qwen3moe", "mamba"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_losses_and_gradients_are_the_same_to_the_bit(name: str, dropout: float) -> None:
    base = Base(tiny_model(name))
    adapters = two_jobs(base, dropout=dropout)
    stream = joint(base, adapters, 9, 23, 14)
    before = [adapter.dropout.get_state() for adapter in adapters]
    results, drawn = [], []
    for recompute in (False, True):
        for adapter, state in zip(adapters, before, strict=True):
            adapter.dropout.set_state(state)
        base.recompute = recompute
        results.append(step(base, stream, adapters))
        drawn.append([adapter.dropout.get_state() for adapter in adapters])

    (nats, gradients), (nats_again, gradients_again) = results
    assert torch.equal(nats, nats_again)
    for kept, again in zip(gradients, gradients_again, strict=True):
        assert kept.abs().max() > 0
        assert torch.equal(kept, again)
    # And the next step draws the same masks in both.
    for kept, again in zip(*drawn, strict=True):
        assert torch.equal(kept, again)


@pytest.mark.parametrize("length", [9, 600])
def test_forks_and_long_rows_are_computed_again_the_same(length: int) -> None:
    base = Base(tiny_model("llama"))
    [adapter] = two_jobs(base)[:1]
    prompt, *answers = tokens(length, 6, 9)
    rows = [torch.cat((prompt, answer)) for answer in answers]
    first, second = segments(rows, adapter, learn=lambda i: i >= length)
    stream = base.stream([Fork(first=first, second=second)])
    gradients = []
    for base.recompute in (False, True):
        gradients.append(step(base, stream, [adapter])[1][0])
    assert torch.equal(*gradients)


def test_the_next_pass_may_be_another_before_the_backward_of_one() -> None:
    base = Base(tiny_model("llama"))
    adapters = two_jobs(base, dropout=0.3)
    stream = joint(base, adapters, 9, 23)
    states = [adapter.dropout.get_state() for adapter in adapters]
    _, gradients = step(base, stream, adapters)

    for adapter, state in zip(adapters, states, strict=True):
        adapter.grad.zero_()
        adapter.dropout.set_state(state)
    base.recompute = True
    losses = base.losses(stream)
    with torch.no_grad():
        base.losses(joint(base, adapters, 30))
    (losses.nats * shares(stream)).sum().backward()

    for adapter, gradient in zip(adapters, gradients, strict=True):
        assert torch.equal(adapter.grad, gradient)


def test_a_layer_keeps_its_input_and_no_more() -> None:
    base = Base(tiny_model("llama"))
    stream = joint(base, two_jobs(base), 200, 180)
    kept = []
    for base.recompute in (False, True):
        kept.append(kept_bytes(lambda: base.losses(stream), base.model))
    assert kept[1] < kept[0] / 3


def test_what_a_row_keeps_is_known_beforehand() -> None:
    base = Base(tiny_model("llama"))
    # So long that attention keeps no weights.
    stream = joint(base, [two_jobs(base)[0]], 700)
    base.layout  # noqa: B018  (its probes are passes too)
    kept = kept_bytes(lambda: base.losses(stream), base.model)
    # The trial's rows are short, and it has a larger rank: it errs on the safe side.
    assert 0.8 * kept < base.kept_bytes(stream) < 2 * kept


def test_it_fits_with_room_for_logits_and_gaps() -> None:
    assert fits(GIB, 4 * GIB)
    assert not fits(GIB, 3 * GIB)
    assert not fits(16 * GIB, 18 * GIB)


@pytest.mark.gpu
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_on_a_gpu_the_gradients_are_the_same_to_rounding(dropout: float) -> None:
    base = Base(tiny_model("llama", dtype=torch.bfloat16).to("cuda"))
    adapters = two_jobs(base, dropout=dropout)
    stream = joint(base, adapters, 9, 23, 300)
    before = [adapter.dropout.get_state() for adapter in adapters]
    results = []
    for base.recompute in (False, True):
        for adapter, state in zip(adapters, before, strict=True):
            adapter.dropout.set_state(state)
        results.append(step(base, stream, adapters))
    (nats, gradients), (nats_again, gradients_again) = results
    torch.testing.assert_close(nats, nats_again, atol=1e-2, rtol=1e-2)
    for kept, again in zip(gradients, gradients_again, strict=True):
        # Flash attention's backward adds in any order.
        assert (kept - again).norm() < 2e-2 * kept.norm()


@pytest.mark.gpu
def test_on_a_gpu_a_pass_takes_about_what_was_foreseen() -> None:
    base = Base(tiny_model("llama", dtype=torch.bfloat16).to("cuda"))
    [adapter] = two_jobs(base)[:1]
    stream = joint(base, [adapter], 4000, 4000)
    foreseen = base.kept_bytes(stream)
    before = torch.cuda.memory_allocated()
    losses = base.losses(stream)
    kept = torch.cuda.memory_allocated() - before
    assert losses.nats.requires_grad
    assert foreseen / 2 < kept < 2 * foreseen


def test_what_a_row_keeps_is_measured_where_nothing_learns_too() -> None:
    base = Base(tiny_model("llama"))
    with torch.no_grad():
        assert base.kept_bytes(joint(base, two_jobs(base), 9)) > 0


def test_rows_that_fit_leave_room_for_adapters() -> None:
    rows = rows_that_fit(80 * GIB, 4 * 2**20)
    assert fits(rows * 4 * 2**20, 80 * GIB)
    assert not fits(rows * 4 * 2**20, 60 * GIB)
    assert rows_that_fit(GIB, 4 * 2**20) == 0


@pytest.mark.parametrize(("free", "expected"), [(3, 4096), (5, 7123), (80, 16384)])
def test_a_gpu_takes_as_many_rows_as_it_can_keep(
    free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base(tiny_model("llama"))
    monkeypatch.setattr("tunery.modeling.base.free_bytes", lambda device: free * GIB)
    base.__dict__["_kept_per_row"] = 2**18
    assert rows_at_a_time(base).max_rows == expected


@pytest.mark.parametrize("free", [2, 100])
def test_layers_are_computed_again_where_memory_is_short(
    free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base(tiny_model("llama"))
    [adapter] = two_jobs(base)[:1]
    stream = joint(base, [adapter], 40)
    monkeypatch.setattr("tunery.modeling.base.free_bytes", lambda device: free * GIB)
    kept = kept_bytes(lambda: base.losses(stream), base.model)
    assert (kept < base.kept_bytes(stream) / 2) == (free == 2)


def test_on_a_cpu_nothing_is_computed_twice_unasked() -> None:
    base = Base(tiny_model("llama"))
    [adapter] = two_jobs(base)[:1]
    stream = joint(base, [adapter], 9)  # which lays it out, by probes
    calls: list[object] = []
    base.decoder.get_submodule("layers.1.self_attn").register_forward_pre_hook(
        lambda *_: calls.append(1)
    )
    step(base, stream, [adapter])
    assert len(calls) == 1
    base.recompute = True
    step(base, stream, [adapter])
    assert len(calls) == 3
    with torch.no_grad():
        base.losses(stream)
    assert len(calls) == 4


def test_dropout_masks_are_counted_too() -> None:
    base = Base(tiny_model("llama"))
    kept = []
    for dropout in (0.0, 0.2):
        # With every token taught, the last layer has masks of all rows too.
        stream = joint(base, two_jobs(base, dropout=dropout), 300, untaught=1)
        more = base.kept_bytes(stream)
        kept.append((kept_bytes(lambda stream=stream: base.losses(stream), base.model), more))  # type: ignore[misc]
    [(plain, expected_plain), (dropped, expected_dropped)] = kept
    assert dropped - plain == expected_dropped - expected_plain


@pytest.mark.parametrize(("memory_bytes", "expected"), [(2**30, 4096), (2**20, 2048)])
def test_a_pass_on_a_cpu_has_more_rows_where_they_are_little_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, memory_bytes: int, expected: int
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: memory_bytes)
    assert rows_at_a_time(Base(tiny_model("llama"))).max_rows == expected
