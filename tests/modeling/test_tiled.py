"""Attention in tiles is torch's own, in both types of numbers and across the tiles' bounds."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tests.modeling.models import segments, tokens
from tunery.modeling import tiled
from tunery.modeling.attention import Manner, by_products
from tunery.modeling.segments import Fork
from tunery.modeling.stream import Stream
from tunery.modeling.tiles import tiles

CPU = torch.device("cpu")
LENGTHS = (150, 97, 96, 64, 65, 33, 200, 1)
BOUNDS = {torch.float32: 2e-5, torch.bfloat16: 3e-2}


def inputs(n: int, dtype: torch.dtype) -> list[Tensor]:
    """Query, key and value as columns of one product, which are not contiguous."""
    torch.manual_seed(0)
    joint = torch.randn(n, 8, 24).to(dtype)
    return [x.detach().requires_grad_() for x in joint.split([4, 2, 2], 1)]


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> bool:
    return bool((ours.double() - theirs.double()).norm() < BOUNDS[dtype] * theirs.double().norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [None, 5, 70])
def test_values_and_gradients_are_torchs(dtype: torch.dtype, window: int | None) -> None:
    stream = Stream(segments(tokens(*(n + 1 for n in LENGTHS))), CPU, grain=64)
    q, k, v = inputs(stream.size, dtype)
    slope = torch.randn(stream.size, 4, 24).to(dtype)
    slope[sum(LENGTHS) :] = 0
    out = tiled.attention(q, k, v, stream, Manner(scale=0.3, window=window))
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [None, 40])
def test_long_forks_get_what_batched_products_give(dtype: torch.dtype, window: int | None) -> None:
    forks = []
    for n_shared, n_first, n_second in ((70, 90, 40), (130, 3, 200), (10, 64, 33)):
        shared, first, second = tokens(n_shared, n_first, n_second)
        second[0] = 3 + (first[0] - 2) % 90
        one, other = segments([torch.cat((shared, own)) for own in (first, second)])
        forks.append(Fork(first=one, second=other))
    stream = Stream(forks, CPU, grain=1 if dtype == torch.float32 else 64)
    q, k, v = inputs(stream.size, dtype)
    slope = torch.randn(stream.size, 4, 24).to(dtype)
    manner = Manner(scale=0.3, window=window)
    results = []
    for attend in (tiled.attention, by_products):
        out = attend(q, k, v, stream, manner)
        results.append((out, *torch.autograd.grad(out, (q, k, v), slope)))
    real = sum(fork.n_rows for fork in forks)
    for ours, theirs in zip(*results, strict=True):
        assert close(ours[:real], theirs[:real], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_in_its_sequence(dtype: torch.dtype) -> None:
    stream = Stream(segments(tokens(81, 90, 81, 70)), CPU, grain=64)
    q, k, v = inputs(stream.size, dtype)
    spoilt = slice(stream.starts[1], stream.starts[2])
    with torch.no_grad():
        for x in (q, k, v):
            x[spoilt] = math.nan
    out = tiled.attention(q, k, v, stream, Manner(scale=0.3))
    for x in (out, *torch.autograd.grad(out.sum(), (q, k, v))):
        assert x[spoilt].isnan().all()
        assert x[: spoilt.start].isfinite().all()
        assert x[spoilt.stop :].isfinite().all()


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
