"""Sequences that begin alike share the rows of their beginning, and get what each gets alone."""

import pytest
import torch
from torch import Tensor

from tests.modeling.models import ARCHITECTURES, fill, segments, tiny_model, tokens
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.segments import Fork, Segment

LENGTHS = ((5, 4, 9), (9, 1, 2), (3, 7, 7), (12, 3, 1))
"""What two sequences share, and what each has of its own; windows of the models are shorter."""


def forks(adapter: Adapter | None) -> list[Fork]:
    made = []
    for seed, (n_shared, n_first, n_second) in enumerate(LENGTHS):
        shared, first, second = tokens(n_shared, n_first, n_second, seed=seed)
        second[0] = 3 + (first[0] - 2) % 90  # another token, so that they part here
        rows = [torch.cat((shared, first)), torch.cat((shared, second))]
        one, other = segments(rows, adapter, learn=range(n_shared, 99).__contains__)
        made.append(Fork(first=one, second=other))
    return made


def both(made: list[Fork]) -> list[Segment]:
    return [segment for fork in made for segment in (fork.first, fork.second)]


def learnt(base: Base, adapter: Adapter, pieces: list[Fork] | list[Segment]) -> tuple[Tensor, ...]:
    """Log-likelihoods, and the gradient of a sum in which each sequence weighs something else."""
    adapter.grad.zero_()
    found = base.log_likelihoods(base.stream(pieces))
    (found * torch.linspace(-1, 2, len(found))).sum().backward()
    return found.detach(), adapter.grad.clone()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_fork_gets_what_its_two_sequences_get(name: str) -> None:
    base = Base(tiny_model(name))
    adapter = fill(Adapter(base.places, LoraConfig(r=3, lora_alpha=6), seed=1))
    made = forks(adapter)
    expected, wanted = learnt(base, adapter, both(made))
    found, gradient = learnt(base, adapter, made)
    assert torch.allclose(found, expected, atol=2e-4, rtol=1e-5)
    assert torch.allclose(gradient, wanted, atol=2e-4 * wanted.abs().max().item(), rtol=1e-3)
    assert wanted.abs().max() > 0


def test_what_is_shared_is_computed_once() -> None:
    base = Base(tiny_model("llama"))
    [fork] = forks(None)[:1]
    assert fork.n_shared == 5
    # The last token of each sequence has no row: nothing is asked after it.
    assert fork.n_rows == base.stream([fork]).size == 5 + 3 + 8
    assert base.stream(both([fork])).size == 8 + 13


def test_sequences_that_share_nothing_or_everything_are_forks_too() -> None:
    base = Base(tiny_model("llama"))
    one, other = segments(tokens(7, 9, seed=5))
    for first, second in ((one, other), (one, one)):
        fork = Fork(first=first, second=second)
        with torch.no_grad():
            found = base.log_likelihoods(base.stream([fork]))
            expected = base.log_likelihoods(base.stream([first, second]))
        assert torch.allclose(found, expected, atol=1e-4)


def test_the_second_sequence_does_not_see_the_first_ones_own_tokens() -> None:
    base = Base(tiny_model("llama"))
    [fork] = forks(None)[:1]
    ids = fork.first.ids.clone()
    ids[6:] = 3 + (ids[6:] + 40) % 90
    changed = Fork(first=Segment(ids=ids, learn=fork.first.learn), second=fork.second)
    with torch.no_grad():
        before, after = (base.log_likelihoods(base.stream([f])) for f in (fork, changed))
    assert before[1] == after[1]
    assert before[0] != after[0]


@pytest.mark.parametrize("n_shared", [40, 600])
def test_long_forks_take_the_fused_attention(n_shared: int) -> None:
    base = Base(tiny_model("llama"))
    adapter = fill(Adapter(base.places, LoraConfig(r=3, lora_alpha=6), seed=1))
    shared, one, other = tokens(n_shared, 30, 50, seed=7)
    rows = [torch.cat((shared, own)) for own in (one, other)]
    first, second = segments(rows, adapter, learn=lambda i: i >= n_shared)
    fork = Fork(first=first, second=second)
    expected, wanted = learnt(base, adapter, [first, second])
    found, gradient = learnt(base, adapter, [fork])
    assert torch.allclose(found, expected, atol=1e-3)
    assert torch.allclose(gradient, wanted, atol=1e-3 * wanted.abs().max().item(), rtol=1e-3)


def test_a_grain_fills_up_around_forks() -> None:
    base = Base(tiny_model("llama", dtype=torch.bfloat16))
    assert base.layout.grain > 1
    made = forks(None)
    with torch.no_grad():
        found = base.log_likelihoods(base.stream(made))
        expected = base.log_likelihoods(base.stream(both(made)))
    assert torch.allclose(found, expected, atol=0.3, rtol=0.02)
