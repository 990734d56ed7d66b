"""Attention in tiles and by rows is torch's own, in both types of numbers and across all bounds."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tests.modeling.models import segments, tokens
from tunery.modeling import by_rows, tiled
from tunery.modeling.attention import Manner, by_products
from tunery.modeling.segments import Fork
from tunery.modeling.stream import Stream
from tunery.modeling.tiles import tiles

CPU = torch.device("cpu")
LENGTHS = (150, 97, 96, 64, 65, 33, 200, 1)
WAYS = (tiled.attention, by_rows.attention)
BOUNDS = {torch.float32: 2e-5, torch.bfloat16: 3e-2}


Way: TypeAlias = Callable[[Tensor, Tensor, Tensor, Stream, Manner], Tensor]


def inputs(n: int, dtype: torch.dtype) -> list[Tensor]:
    """Query, key and value as columns of one product, which are not contiguous."""
    torch.manual_seed(0)
    joint = torch.randn(n, 8, 24).to(dtype)
    return [x.detach().requires_grad_() for x in joint.split([4, 2, 2], 1)]


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> bool:
    return bool((ours.double() - theirs.double()).norm() < BOUNDS[dtype] * theirs.double().norm())


@pytest.mark.parametrize("attend", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [None, 5, 70])
def test_values_and_gradients_are_torchs(
    attend: Way, dtype: torch.dtype, window: int | None
) -> None:
    stream = Stream(segments(tokens(*(n + 1 for n in LENGTHS))), CPU, grain=64)
    q, k, v = inputs(stream.size, dtype)
    slope = torch.randn(stream.size, 4, 24).to(dtype)
    slope[sum(LENGTHS) :] = 0
    out = attend(q, k, v, stream, Manner(scale=0.3, window=window))
    gradients = torch.autograd.grad(out, (q, k, v), slope)

    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    parts = []
    for start, n in zip(stream.starts, LENGTHS, strict=True):
        qs, ks, vs = (x[start : start + n].transpose(0, 1) for x in wide)
        back = torch.arange(n)[:, None] - torch.arange(n)
        seen = (back >= 0) & (back < (window or n))
        part = F.scaled_dot_product_attention(
            qs, ks, vs, attn_mask=seen, scale=0.3, enable_gqa=True
        )
        parts.append(part.transpose(0, 1))
    expected = torch.cat(parts)
    wanted = torch.autograd.grad(expected, wide, slope[: sum(LENGTHS)].double())

    assert close(out[: sum(LENGTHS)], expected, dtype)
    assert (out[sum(LENGTHS) :] == 0).all()
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert close(ours, theirs, dtype)


@pytest.mark.parametrize("ours", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("sinks", [None, torch.tensor([-1.0, 0.0, 2.0, 9.0])])
def test_long_forks_get_what_batched_products_give(
    ours: Way, dtype: torch.dtype, window: int | None, sinks: Tensor | None
) -> None:
    forks = []
    for n_shared, n_first, n_second in ((70, 90, 40), (130, 3, 200), (10, 64, 33)):
        shared, first, second = tokens(n_shared, n_first, n_second)
        second[0] = 3 + (first[0] - 2) % 90
        one, other = segments([torch.cat((shared, own)) for own in (first, second)])
        forks.append(Fork(first=one, second=other))
    stream = Stream(forks, CPU, grain=1 if dtype == torch.float32 else 64)
    q, k, v = inputs(stream.size, dtype)
    slope = torch.randn(stream.size, 4, 24).to(dtype)
    manner = Manner(scale=0.3, window=window, sinks=sinks)
    results = []
    for attend in (ours, by_products):
        out = attend(q, k, v, stream, manner)
        results.append((out, *torch.autograd.grad(out, (q, k, v), slope)))
    real = sum(fork.n_rows for fork in forks)
    for found, wanted in zip(*results, strict=True):
        assert close(found[:real], wanted[:real], dtype)


@pytest.mark.parametrize("attend", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_in_its_sequence(attend: Way, dtype: torch.dtype) -> None:
    stream = Stream(segments(tokens(81, 90, 81, 70)), CPU, grain=64)
    q, k, v = inputs(stream.size, dtype)
    spoilt = slice(stream.starts[1], stream.starts[2])
    with torch.no_grad():
        for x in (q, k, v):
            x[spoilt] = math.nan
    out = attend(q, k, v, stream, Manner(scale=0.3))
    for x in (out, *torch.autograd.grad(out.sum(), (q, k, v))):
        assert x[spoilt].isnan().all()
        assert x[: spoilt.start].isfinite().all()
        assert x[spoilt.stop :].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_heads_wider_than_a_vector_go_by_rows_too(dtype: torch.dtype) -> None:
    stream = Stream(segments(tokens(40, 70, 34)), CPU)
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(stream.size, *shape).to(dtype).requires_grad_()
        for shape in ((4, 72), (2, 72), (2, 33))
    )
    slope = torch.randn(stream.size, 4, 33).to(dtype)
    results = []
    for attend in (by_rows.attention, by_products):
        out = attend(q, k, v, stream, Manner(scale=0.1))
        results.append((out, *torch.autograd.grad(out, (q, k, v), slope)))
    for found, wanted in zip(*results, strict=True):
        assert close(found, wanted, dtype)


def test_rows_serve_where_products_are_mostly_the_asking_for_them() -> None:
    short, long = (Stream(segments(tokens(n + 1)), CPU) for n in (512, 513))
    narrow, wide = (torch.zeros(1, 1, d, dtype=torch.bfloat16) for d in (32, 64))
    plain, capped = Manner(scale=1.0), Manner(scale=1.0, cap=30.0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert by_rows.serves(narrow, narrow, narrow, short, plain)
        assert by_rows.serves(wide.float(), wide.float(), wide.float(), short, plain)
        assert not by_rows.serves(wide, wide, wide, short, plain)
        assert not by_rows.serves(narrow, narrow, narrow, long, plain)
        assert not by_rows.serves(narrow, narrow, narrow, short, capped)
        torch.set_num_threads(4)
        assert not by_rows.serves(narrow, narrow, narrow, short, plain)
    finally:
        torch.set_num_threads(threads)


def test_tiles_hold_each_row_that_asks_once_and_every_row_that_it_sees() -> None:
    lines = [(np.arange(200), 0), (np.concatenate((np.arange(90), np.arange(200, 300))), 90)]
    made = tiles(lines, 310, 64)
    asked = made.asking.rows[made.asking.rows >= 0]
    assert sorted(asked.tolist()) == list(range(300))
    for shape in made.shapes:
        assert shape.looked_at % 32 == 0
        assert (shape.before + shape.asks <= shape.looked_at).all()
        assert (shape.asks <= shape.most_asks).all()
    # Less is multiplied than each of them whole.
    assert sum(len(s.asks) * s.most_asks * s.looked_at for s in made.shapes) < 2 * 192 * 224
