"""Attention as compiled loops, its products included: a few rows of one head at a time.

What a few rows give each other is made, used and gone from the fastest memory before the next are
begun, and hardly anything is computed of what no row sees. Numbers are fp32 from where they are
read to where they are written.

Axes: `n` rows that a sequence looks at, `m` the same filled up to whole vectors, `d` and `e` the
widths of a key and of a value, `wide_d` and `wide_e` the same filled up.
"""

from __future__ import annotations

from typing import TypeAlias

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
    spread,
    store,
    total,
)

Heads: TypeAlias = tuple[Numbers, int, int]
"""The numbers of `(T, H, d)`, and how far apart rows and heads are."""

Sizes: TypeAlias = tuple[int, int, int, int]
"""Query heads, key heads, `d` and `e`."""

Lines: TypeAlias = tuple[Numbers, Numbers, Numbers, Numbers]
"""The rows of all sequences; where each begins in them; how many rows of each at its beginning do
not ask; where the weights of each begin, of one head."""

_NOTHING, _ONE, _LEAST = np.float32(0), np.float32(1), np.float32(-np.inf)
# Rows that go through a product together; they fill the registers. Of the last few of a sequence
# some may be no rows at all: whatever stands there goes through and is not looked at again, like
# what stands in a row beyond its width.
_FEW = 4


@inline
def _wide(n: int) -> int:
    return (n + WIDTH - 1) // WIDTH * WIDTH


@inline
def _multiply(
    a: Numbers,
    at: int,
    row: int,
    column: int,
    n: int,
    b: Numbers,
    first: int,
    width: int,
    c: Numbers,
    to: int,
    apart: int,
    more: bool,
) -> None:
    """Multiply a few rows of `a` with a vector's columns of `b`, and write or add that to `c`.

    Args:
        a: its number `(i, j)` is at `at + i * row + j * column`.
        at: where it begins.
        row: how far apart its rows are.
        column: how far apart its columns are.
        n: how many columns it has.
        b: of its rows, `width` apart, those numbers that follow `first`.
        first: where they are in the first row.
        width: how far apart its rows are.
        c: what comes out, in rows `apart` from `to` on.
        to: where it begins.
        apart: how far apart its rows are.
        more: whether that is added to what is there.
    """
    if more:
        p, q = load(c, to), load(c, to + apart)
        r, s = load(c, to + 2 * apart), load(c, to + 3 * apart)
    else:
        p = q = r = s = each(_NOTHING)
    for j in range(n):
        y, x = load(b, first + j * width), at + j * column
        p = p + spread(a, x) * y
        q = q + spread(a, x + row) * y
        r = r + spread(a, x + 2 * row) * y
        s = s + spread(a, x + 3 * row) * y
    store(c, to, p)
    store(c, to + apart, q)
    store(c, to + 2 * apart, r)
    store(c, to + 3 * apart, s)


@inline
def _copy(source: Numbers, at: int, n: int, factor: float, target: Numbers, to: int) -> None:
    """Write a row, multiplied by a factor."""
    whole, factors = n - n % WIDTH, each(np.float32(factor))
    for i in range(0, whole, WIDTH):
        store(target, to + i, load(source, at + i) * factors)
    for i in range(whole, n):
        target[to + i] = rounded(target, read(source[at + i]) * np.float32(factor))


@inline
def _add(source: Numbers, at: int, n: int, target: Numbers, to: int) -> None:
    """Add a row to what is there."""
    whole = n - n % WIDTH
    for i in range(0, whole, WIDTH):
        store(target, to + i, load(target, to + i) + load(source, at + i))
    for i in range(whole, n):
        target[to + i] = rounded(target, read(target[to + i]) + read(source[at + i]))


@inline
def _as_rows(source: Heads, head: int, rows: Numbers, n: int, wide: int, target: Numbers) -> None:
    """Collect a sequence's rows of one head; zeros after the last."""
    numbers, row_stride, head_stride = source
    for j in range(rows.size):
        _copy(numbers, rows[j] * row_stride + head * head_stride, n, 1.0, target, j * wide)
    target[rows.size * wide : _wide(rows.size) * wide] = 0


@inline
def _as_columns(source: Heads, head: int, rows: Numbers, n: int, target: Numbers) -> None:
    """Collect them as columns; zeros after the last."""
    numbers, row_stride, head_stride = source
    m = _wide(rows.size)
    for j in range(rows.size):
        at = rows[j] * row_stride + head * head_stride
        for i in range(n):
            target[i * m + j] = read(numbers[at + i])
    for i in range(n):
        target[i * m + rows.size : i * m + m] = 0


@inline
def _longest(begin: Numbers) -> int:
    most = 0
    for line in range(begin.size - 1):
        most = max(most, begin[line + 1] - begin[line])
    return most


@inline
def _weigh(
    scores: Numbers, at: int, low: int, high: int, start: int, end: int, sink: float
) -> None:
    """Softmax in place, over places from `start` to `end`; zeros elsewhere from `low` to `high`.

    A sink is the score of one more place, which takes weight and gives nothing.
    """
    most, mass = each(np.float32(sink)), each(_NOTHING)
    for j in range(low, high, WIDTH):
        x = inside(j - start, end - start, load(scores, at + j), each(_LEAST))
        most = larger(x, most)
    top = largest(most)
    most = each(top)
    for j in range(low, high, WIDTH):
        x = exp(load(scores, at + j) - most)
        x = inside(j - start, end - start, x, each(_NOTHING))
        store(scores, at + j, x)
        mass = mass + x
    taken = total(exp(each(np.float32(sink) - top))) / np.float32(WIDTH)
    part = each(_ONE / (total(mass) + taken))
    for j in range(low, high, WIDTH):
        store(scores, at + j, load(scores, at + j) * part)


@kernel
def attend(
    q: Heads,
    k: Heads,
    v: Heads,
    sizes: Sizes,
    lines: Lines,
    window: int,
    scale: float,
    sinks: Numbers,
    out: Numbers,
    weights: Numbers,
) -> None:
    """Write what each row that asks gets, `(T, H, e)`, and keep its weights.

    A sequence's weights are `(H, rows that ask, m)`; what no row of a few sees is not written.
    """
    (queries, row_stride, head_stride), (h, heads, d, e) = q, sizes
    rows, begin, repeated, kept = lines
    longest, wide_d, wide_e = _wide(_longest(begin)), _wide(d), _wide(e)
    keys, values = np.empty(d * longest, np.float32), np.empty(longest * wide_e, np.float32)
    few, found = np.empty(_FEW * wide_d, np.float32), np.empty(_FEW * wide_e, np.float32)
    scores = np.empty(_FEW * longest, np.float32)
    for line in range(begin.size - 1):
        own, before = rows[begin[line] : begin[line + 1]], repeated[line]
        n, m = own.size, _wide(own.size)
        for query_head in range(h):
            if query_head % (h // heads) == 0:
                _as_columns(k, query_head // (h // heads), own, d, keys)
                _as_rows(v, query_head // (h // heads), own, e, wide_e, values)
            sink = sinks[query_head] if sinks.size else _LEAST
            for first in range(before, n, _FEW):
                end = min(first + _FEW, n)
                low, high = max(first + 1 - window, 0) // WIDTH * WIDTH, _wide(end)
                for row in range(first, end):
                    at = own[row] * row_stride + query_head * head_stride
                    _copy(queries, at, d, scale, few, (row - first) * wide_d)
                for j in range(low, high, WIDTH):
                    _multiply(few, 0, wide_d, 1, d, keys, j, m, scores, j, m, False)
                for row in range(first, end):
                    at, start = (row - first) * m, max(row + 1 - window, 0)
                    _weigh(scores, at, low, high, start, row + 1, sink)
                    to = kept[line] * h + (query_head * (n - before) + row - before) * m
                    for j in range(low, high, WIDTH):
                        store(weights, to + j, load(scores, at + j))
                many = high - low
                for c in range(0, wide_e, WIDTH):
                    at = low * wide_e + c
                    _multiply(scores, low, m, 1, many, values, at, wide_e, found, c, wide_e, False)
                for row in range(first, end):
                    to = (own[row] * h + query_head) * e
                    _copy(found, (row - first) * wide_e, e, 1.0, out, to)


@kernel
def attend_back(
    slopes: Heads,
    q: Heads,
    k: Heads,
    v: Heads,
    sizes: Sizes,
    lines: Lines,
    window: int,
    scale: float,
    weights: Numbers,
    dq: Numbers,
    dk: Numbers,
    dv: Numbers,
) -> None:
    """Write the slopes of q, k and v, from those of what was given and the kept weights.

    A row that several sequences look at is one that asks in the first of them.
    """
    (queries, q_row, q_head), (given, o_row, o_head), (h, heads, d, e) = q, slopes, sizes
    rows, begin, repeated, kept = lines
    longest, wide_d, wide_e = _wide(_longest(begin)), _wide(d), _wide(e)
    most = longest + _FEW
    keys, values = np.empty(longest * wide_d, np.float32), np.empty(e * longest, np.float32)
    asking, wanted = np.empty(most * wide_d, np.float32), np.empty(most * wide_e, np.float32)
    p, ds = np.empty(most * longest, np.float32), np.empty(most * longest, np.float32)
    of_keys, of_values = (
        np.empty(longest * wide_d, np.float32),
        np.empty(longest * wide_e, np.float32),
    )
    found = np.empty(_FEW * wide_d, np.float32)
    for line in range(begin.size - 1):
        own, before = rows[begin[line] : begin[line + 1]], repeated[line]
        n, m, n_asks = own.size, _wide(own.size), own.size - before
        for query_head in range(h):
            head, at_head = query_head // (h // heads), query_head % (h // heads)
            if at_head == 0:
                _as_rows(k, head, own, d, wide_d, keys)
                _as_columns(v, head, own, e, values)
                of_keys[: m * wide_d] = 0
                of_values[: m * wide_e] = 0
            for ask in range(n_asks):
                row = own[before + ask]
                _copy(queries, row * q_row + query_head * q_head, d, scale, asking, ask * wide_d)
                _copy(given, row * o_row + query_head * o_head, e, 1.0, wanted, ask * wide_e)
            place = kept[line] * h + query_head * n_asks * m
            for first in range(0, n_asks, _FEW):
                end = min(first + _FEW, n_asks)
                low = max(before + first + 1 - window, 0) // WIDTH * WIDTH
                high = _wide(before + end)
                for j in range(low, high, WIDTH):
                    at, to = first * wide_e, first * m + j
                    _multiply(wanted, at, wide_e, 1, e, values, j, m, ds, to, m, False)
                for at in range(first * m, end * m, m):
                    mass = each(_NOTHING)
                    for j in range(at + low, at + high, WIDTH):
                        weight = load(weights, place + j)
                        store(p, j, weight)
                        mass = mass + weight * load(ds, j)
                    along = each(total(mass))
                    for j in range(at + low, at + high, WIDTH):
                        store(ds, j, (load(ds, j) - along) * load(p, j))
                at, many = first * m + low, high - low
                for c in range(0, wide_d, WIDTH):
                    of = low * wide_d + c
                    _multiply(ds, at, m, 1, many, keys, of, wide_d, found, c, wide_d, False)
                for ask in range(first, end):
                    to = (own[before + ask] * h + query_head) * d
                    _copy(found, (ask - first) * wide_d, d, scale, dq, to)
            for j in range(0, n, _FEW):
                # From the first few rows that see one of these to the last that does.
                first = max(j - before, 0) // _FEW * _FEW
                end = min(max(j + _FEW - 1 + window - before, first), n_asks)
                at, many = first * m + j, end - first
                for c in range(0, wide_e, WIDTH):
                    of, to = first * wide_e + c, j * wide_e + c
                    _multiply(p, at, 1, m, many, wanted, of, wide_e, of_values, to, wide_e, True)
                for c in range(0, wide_d, WIDTH):
                    of, to = first * wide_d + c, j * wide_d + c
                    _multiply(ds, at, 1, m, many, asking, of, wide_d, of_keys, to, wide_d, True)
            if at_head == h // heads - 1:
                for j in range(n):
                    to_k, to_v = (own[j] * heads + head) * d, (own[j] * heads + head) * e
                    if j < before:
                        _add(of_keys, j * wide_d, d, dk, to_k)
                        _add(of_values, j * wide_e, e, dv, to_v)
                    else:
                        _copy(of_keys, j * wide_d, d, 1.0, dk, to_k)
                        _copy(of_values, j * wide_e, e, 1.0, dv, to_v)
