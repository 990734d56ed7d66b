"""Vectors hold what an array has, and reckon with it as torch does."""

import math

import pytest
import torch
from torch import Tensor

from tunery.modeling.compiled import Numbers, kernel, numbers
from tunery.modeling.vectors import WIDTH, each, exp, inside, larger, largest, load, store, total


@kernel
def _copy(source: Numbers, target: Numbers) -> None:
    for i in range(0, source.size, WIDTH):
        store(target, i, load(source, i))


@kernel
def _exp(source: Numbers, target: Numbers) -> None:
    for i in range(0, source.size, WIDTH):
        store(target, i, exp(load(source, i)))


@kernel
def _reckon(x: Numbers, y: Numbers, first: int, n: int, target: Numbers) -> None:
    one, other = load(x, 0), load(y, 0)
    store(target, 0, (one + other) * one - other)
    store(target, WIDTH, larger(one, other))
    store(target, 2 * WIDTH, inside(first, n, one, other))
    store(target, 3 * WIDTH, each(largest(one)))
    store(target, 4 * WIDTH, each(total(one)))


def _numbers() -> Tensor:
    source = torch.Generator().manual_seed(0)
    odd = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 3.4e38, -3.4e38])
    some = torch.randn(WIDTH * 1000 - len(odd), generator=source)
    power = torch.randint(-100, 120, some.shape, generator=source)
    return torch.cat((odd, torch.ldexp(some, power)))


@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("target", [torch.float32, torch.bfloat16])
def test_numbers_are_read_and_rounded_as_torch_does(
    source: torch.dtype, target: torch.dtype
) -> None:
    x = _numbers().to(source)
    y = torch.empty(x.shape, dtype=target)
    _copy(numbers(x), numbers(y))
    torch.testing.assert_close(y, x.to(target), rtol=0, atol=0, equal_nan=True)


def test_exp_is_right_to_three_in_ten_million_and_of_no_number_none() -> None:
    x = torch.linspace(-87.3, 88, WIDTH * 5000)
    x[7] = math.nan
    y = torch.empty_like(x)
    _exp(numbers(x), numbers(y))
    torch.testing.assert_close(y.double(), x.double().exp(), rtol=3.2e-7, atol=0, equal_nan=True)


def test_vectors_are_reckoned_with_one_by_one() -> None:
    x, y = torch.randn(2, WIDTH)
    found = torch.empty(5, WIDTH)
    _reckon(numbers(x), numbers(y), -3, 7, numbers(found.view(-1)))
    at = torch.arange(WIDTH) - 3
    assert torch.allclose(found[0], (x + y) * x - y, atol=1e-6)
    assert torch.equal(found[1], torch.maximum(x, y))
    assert torch.equal(found[2], torch.where((at >= 0) & (at < 7), x, y))
    assert (found[3] == x.max()).all()
    assert torch.allclose(found[4], x.sum(), atol=1e-5)
