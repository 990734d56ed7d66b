"""The loops of attention on a CPU, compiled: all of it but the products.

Rows that ask are kept as `(B, K, Q, R, d)` and those that are looked at as `(B, K, M, d)`, so that
a product takes what a tile's query heads ask of one key head as one matrix of `Q * R` rows. A tile
of which some is padding holds that at its end.
"""

from __future__ import annotations

import numpy as np

from tunery.modeling.compiled import Numbers, inline, kernel, read, rounded
from tunery.modeling.vectors import (
    WIDTH,
    each,
    exp,
    inside,
    larger,
    largest,
    load,
    move,
    store,
    total,
)

_f = np.float32
_NOTHING, _ONE, _LEAST = _f(0), _f(1), _f(-np.inf)


@inline
def _copy(target: Numbers, to: int, source: Numbers, at: int, n: int) -> None:
    whole = n - n % WIDTH
    for i in range(0, whole, WIDTH):
        move(target, to + i, source, at + i)
    for i in range(whole, n):
        target[to + i] = source[at + i]


@kernel
def lay_out(
    source: Numbers,
    row_stride: int,
    head_stride: int,
    heads: int,
    fold: int,
    width: int,
    rows: Numbers,
    first: Numbers,
    length: Numbers,
    target: Numbers,
) -> None:
    """Copy rows of a stream into tiles, `(tile, heads, row, fold, width)`; zeros where padded."""
    wide = fold * width
    for tile in range(first.size):
        to = first[tile] * heads * wide
        for head in range(heads):
            for slot in range(first[tile], first[tile] + length[tile]):
                if rows[slot] < 0:
                    target[to : to + wide] = 0
                else:
                    at = rows[slot] * row_stride + head * fold * head_stride
                    for i in range(fold):
                        _copy(target, to + i * width, source, at + i * head_stride, width)
                to += wide


@kernel
def collect(
    source: Numbers,
    heads: int,
    width: int,
    begin: Numbers,
    by_row: Numbers,
    tiles: Numbers,
    first: Numbers,
    length: Numbers,
    target: Numbers,
) -> None:
    """Write each row of a stream: what the tiles have of it, summed; zeros where none has any."""
    whole = width - width % WIDTH
    to = 0
    for row in range(begin.size - 1):
        there = by_row[begin[row] : begin[row + 1]]
        for head in range(heads):
            for i in range(0, whole, WIDTH):
                x = each(_NOTHING)
                for slot in there:
                    at = _at(slot, head, heads, tiles, first, length) * width
                    x = x + load(source, at + i)
                store(target, to + i, x)
            for i in range(whole, width):
                y = _NOTHING
                for slot in there:
                    at = _at(slot, head, heads, tiles, first, length) * width
                    y += read(source[at + i])
                target[to + i] = rounded(target, y)
            to += width


@inline
def _at(slot: int, head: int, heads: int, tiles: Numbers, first: Numbers, length: Numbers) -> int:
    tile = tiles[slot]
    at: int = first[tile] * heads + head * length[tile] + slot - first[tile]
    return at


@kernel
def weigh(
    scores: Numbers,
    asks: Numbers,
    before: Numbers,
    heads: int,
    fold: int,
    most_asks: int,
    looked_at: int,
    window: int,
    scale: float,
    sinks: Numbers,
) -> None:
    """Softmax in place of scaled scores, over what each row may look at; zeros elsewhere."""
    found = np.empty(looked_at, np.float32)
    nothing, least, scales = each(_NOTHING), each(_LEAST), each(np.float32(scale))
    at = 0
    for tile in range(asks.size):
        for head in range(heads):
            for ask in range(asks[tile]):
                end = before[tile] + ask + 1
                start = max(end - window, 0)
                low, high = start // WIDTH * WIDTH, (end + WIDTH - 1) // WIDTH * WIDTH
                for query_head in range(head * fold, (head + 1) * fold):
                    most = each(sinks[query_head]) if sinks.size else least
                    for i in range(low, high, WIDTH):
                        x = load(scores, at + i) * scales
                        x = inside(i - start, end - start, x, least)
                        store(found, i, x)
                        most = larger(x, most)
                    top = largest(most)
                    most = each(top)
                    mass = nothing
                    for i in range(low, high, WIDTH):
                        x = exp(load(found, i) - most)
                        x = inside(i - start, end - start, x, nothing)
                        store(found, i, x)
                        mass = mass + x
                    whole = total(mass)
                    if sinks.size:
                        whole += total(exp(each(sinks[query_head] - top))) / np.float32(WIDTH)
                    part = each(_ONE / whole)
                    scores[at : at + low] = 0
                    for i in range(low, high, WIDTH):
                        store(scores, at + i, load(found, i) * part)
                    scores[at + high : at + looked_at] = 0
                    at += looked_at
            padding = (most_asks - asks[tile]) * fold * looked_at
            scores[at : at + padding] = 0
            at += padding


@kernel
def weigh_back(
    slopes: Numbers,
    weights: Numbers,
    asks: Numbers,
    before: Numbers,
    heads: int,
    fold: int,
    most_asks: int,
    looked_at: int,
    window: int,
    scale: float,
) -> None:
    """The slope of each score, in place of that of its weight."""
    scales = each(np.float32(scale))
    at = 0
    for tile in range(asks.size):
        for _ in range(heads):
            for ask in range(asks[tile]):
                end = before[tile] + ask + 1
                start = max(end - window, 0)
                low, high = start // WIDTH * WIDTH, (end + WIDTH - 1) // WIDTH * WIDTH
                for _ in range(fold):
                    mass = each(_NOTHING)
                    for i in range(at + low, at + high, WIDTH):
                        mass = mass + load(slopes, i) * load(weights, i)
                    along = each(total(mass))
                    slopes[at : at + low] = 0
                    for i in range(at + low, at + high, WIDTH):
                        x = (load(slopes, i) - along) * (load(weights, i) * scales)
                        store(slopes, i, x)
                    slopes[at + high : at + looked_at] = 0
                    at += looked_at
            padding = (most_asks - asks[tile]) * fold * looked_at
            slopes[at : at + padding] = 0
            at += padding
