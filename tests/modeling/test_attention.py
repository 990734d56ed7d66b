"""Attention per segment equals the textbook's, whichever way it is computed."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.modeling.models import segments, tokens
from tunery.modeling import tiled
from tunery.modeling.attention import Manner, by_products, fused
from tunery.modeling.stream import Stream

Attend = Callable[[Tensor, Tensor, Tensor, Stream, Manner], Tensor]
CPU = torch.device("cpu")
LENGTHS = (5, 9, 8, 30, 8)


def textbook(q: Tensor, k: Tensor, v: Tensor, stream: Stream, manner: Manner) -> Tensor:
    """Row by row and head by head, `(T, H, e)`."""
    heads, fold = q.shape[1], q.shape[1] // k.shape[1]
    out = torch.zeros(q.shape[0], heads, v.shape[2])
    rows = []
    for segment, start in zip(stream.segments, stream.starts, strict=True):
        for row in range(start, start + segment.n_rows):
            first = start if manner.window is None else max(start, row - manner.window + 1)
            seen = slice(first, row + 1)
            each = []
            for head in range(heads):
                scores = k[seen, head // fold] @ q[row, head] * manner.scale
                if manner.cap is not None:
                    scores = manner.cap * torch.tanh(scores / manner.cap)
                if manner.sinks is not None:
                    scores = torch.cat((scores, manner.sinks[head : head + 1]))
                weights = torch.softmax(scores, 0)[: row + 1 - first]
                each.append(weights @ v[seen, head // fold])
            rows.append((row, torch.stack(each)))
    index = torch.tensor([row for row, _ in rows])
    return out.index_copy(0, index, torch.stack([values for _, values in rows]))


MANNERS = {
    "full": Manner(scale=0.4),
    "window": Manner(scale=0.4, window=4),
    "cap": Manner(scale=0.4, cap=2.0, window=4),
    "sinks": Manner(scale=0.4, sinks=torch.tensor([0.3, -1.0, 2.0, 0.0])),
}
CASES = [(way, name) for way in (by_products, tiled.attention) for name in MANNERS]
CASES = [case for case in CASES if case != (tiled.attention, "cap")]
CASES += [(fused, "full"), (fused, "window")]


@pytest.mark.parametrize("grain", [1, 16])
@pytest.mark.parametrize(("attend", "name"), CASES)
def test_values_and_gradients_are_the_textbooks(attend: Attend, name: str, grain: int) -> None:
    torch.manual_seed(0)
    stream = Stream(segments(tokens(*(n + 1 for n in LENGTHS))), CPU, grain=grain)
    shapes = ((4, 6), (2, 6), (2, 3))
    q, k, v = (torch.randn(stream.size, *shape, requires_grad=True) for shape in shapes)
    slope = torch.zeros(stream.size, 4, 3)
    slope[: sum(LENGTHS)] = torch.randn(sum(LENGTHS), 4, 3)

    results = []
    for function in (attend, textbook):
        out = function(q, k, v, stream, MANNERS[name])
        gradients = torch.autograd.grad((out * slope).sum(), (q, k, v))
        results.append((out[: sum(LENGTHS)], *gradients))

    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("attend", [by_products, tiled.attention, fused])
def test_a_segment_that_is_not_a_number_leaves_its_neighbours_alone(attend: Attend) -> None:
    torch.manual_seed(0)
    stream = Stream(segments(tokens(9, 10, 9, 10)), CPU)
    assert len(stream.groups) == 1
    q, k, v = (torch.randn(stream.size, 2, 4) for _ in range(3))
    for x in (q, k, v):
        x[8:17] = math.nan
        x.requires_grad_()

    out = attend(q, k, v, stream, Manner(scale=0.5))
    gradients = torch.autograd.grad(out.sum(), (q, k, v))

    for x in (out, *gradients):
        assert x[:8].isfinite().all()
        assert x[17:].isfinite().all()
