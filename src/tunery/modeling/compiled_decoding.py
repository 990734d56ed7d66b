"""The loops of a pass that reads a token of each of several sequences, compiled, for a CPU.

With so few rows, torch's operations take longer to begin than to do, and look at what no row asks
for. Here weights are read once for all rows, in the order in which they lie, and of a sequence's
keys and values no more than it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunery.modeling.compiled import Numbers, inline, kernel, read, rounded, serves
from tunery.modeling.vectors import WIDTH, each, exp, larger, largest, load, store, total

FEW_ROWS = 32
"""Of more rows, torch's products are no slower."""

_SHORT = 2**21
"""Numbers that one thread has read before several have shared them out."""

_NOTHING, _ONE, _LEAST = np.float32(0), np.float32(1), np.float32(-np.inf)


def suits(n_numbers: int, *tensors: Tensor) -> bool:
    """Whether a loop over so many numbers of such tensors is no slower than torch's threads."""
    alone = n_numbers <= _SHORT or torch.get_num_threads() == 1
    return alone and serves(*tensors)


@inline
def _product(x: Numbers, at: int, y: Numbers, to: int, n: int) -> Any:  # noqa: ANN401
    """The inner product of `n` numbers of each."""
    whole = n - n % WIDTH
    sums = each(_NOTHING)
    for i in range(0, whole, WIDTH):
        sums = sums + load(x, at + i) * load(y, to + i)
    found = total(sums)
    for i in range(whole, n):
        found += read(x[at + i]) * read(y[to + i])
    return found


@kernel
def multiply(x: Numbers, weight: Numbers, bias: Numbers, n_outputs: int, y: Numbers) -> None:
    """Rows `x` by `weight`, `(outputs, inputs)`; `bias` may be empty."""
    n_rows = y.size // n_outputs
    n = x.size // n_rows
    whole, fours = n - n % WIDTH, n_rows - n_rows % 4
    for o in range(n_outputs):
        more = read(bias[o]) if bias.size else _NOTHING
        line = o * n
        for t in range(0, fours, 4):  # four rows for each look at the weights
            first, second, third, fourth = t * n, t * n + n, t * n + 2 * n, t * n + 3 * n
            a, b, c, d = each(_NOTHING), each(_NOTHING), each(_NOTHING), each(_NOTHING)
            for i in range(0, whole, WIDTH):
                w = load(weight, line + i)
                a = a + w * load(x, first + i)
                b = b + w * load(x, second + i)
                c = c + w * load(x, third + i)
                d = d + w * load(x, fourth + i)
            sums = (total(a), total(b), total(c), total(d))
            for j in range(4):
                found = sums[j]
                for i in range(whole, n):
                    found += read(x[(t + j) * n + i]) * read(weight[line + i])
                y[(t + j) * n_outputs + o] = rounded(y, found + more)
        for t in range(fours, n_rows):
            found = _product(x, t * n, weight, line, n)
            y[t * n_outputs + o] = rounded(y, found + more)


@kernel
def add_shares(
    x: Numbers,
    owners: Numbers,
    down: Numbers,
    up: Numbers,
    rank: int,
    columns: Numbers,
    places: Numbers,
    y: Numbers,
) -> None:
    """Add to each row of `y` what its owner, one of several adapters, gives for that of `x`.

    `down` is `(adapters, members * rank, inputs)` and `up` `(adapters, rank, outputs)`: a member's
    are from one of `columns` to the next, and in a row of `y` they begin at its place.
    """
    n_members, wide = places.size, columns[places.size]
    n_inputs, n_outputs = x.size // owners.size, y.size // owners.size
    low = np.empty(rank, np.float32)
    for t in range(owners.size):
        for member in range(n_members):
            line = (owners[t] * n_members + member) * rank * n_inputs
            for c in range(rank):
                low[c] = _product(x, t * n_inputs, down, line + c * n_inputs, n_inputs)
            line = owners[t] * rank * wide + columns[member]
            n = columns[member + 1] - columns[member]
            _add_mixed(low, up, line, wide, n, y, t * n_outputs + places[member])


@inline
def _add_mixed(
    shares: Numbers, rows: Numbers, at: int, apart: int, n: int, y: Numbers, to: int
) -> None:
    """Add to `n` numbers the sum of rows, each by its share."""
    whole = n - n % WIDTH
    for i in range(0, whole, WIDTH):
        sums = load(y, to + i)
        for j in range(shares.size):
            sums = sums + each(shares[j]) * load(rows, at + j * apart + i)
        store(y, to + i, sums)
    for i in range(whole, n):
        found = read(y[to + i])
        for j in range(shares.size):
            found += shares[j] * read(rows[at + j * apart + i])
        y[to + i] = rounded(y, found)


@kernel
def attend(
    q: Numbers,
    k: Numbers,
    v: Numbers,
    strides: tuple[tuple[int, ...], ...],
    sizes: tuple[int, int, int, int, int],
    rows: Numbers,
    slots: Numbers,
    lengths: Numbers,
    window: int,
    scale: float,
    sinks: Numbers,
    keys: Numbers,
    values: Numbers,
    out: Numbers,
) -> None:
    """Put a token's key and value behind those of its sequence, and let it attend to these.

    `strides` are those of rows and heads of `q`, `k` and `v`. Of each sequence a row is read; its
    earlier tokens, so many as its length, lie in its slot of `keys` and `values`.
    """
    (of_q, of_q_head), (of_k, of_k_head), (of_v, of_v_head) = strides
    n_heads, fold, capacity, d, e = sizes
    weights = np.empty(capacity + WIDTH, np.float32)
    out[:] = 0
    to = 0
    for one in range(rows.size):
        row, end = rows[one], lengths[one] + 1
        start = max(end - window, 0)
        for head in range(n_heads):
            line = (slots[one] * n_heads + head) * capacity
            new_key, new_value = row * of_k + head * of_k_head, row * of_v + head * of_v_head
            for i in range(d):
                keys[(line + end - 1) * d + i] = k[new_key + i]
            for i in range(e):
                values[(line + end - 1) * e + i] = v[new_value + i]
            for query_head in range(head * fold, (head + 1) * fold):
                asked = row * of_q + query_head * of_q_head
                for j in range(end - start):
                    found = _product(q, asked, keys, (line + start + j) * d, d)
                    weights[j] = found * np.float32(scale)
                _weigh(weights, end - start, sinks[query_head : query_head + 1])
                _add_mixed(weights[: end - start], values, (line + start) * e, e, e, out, to)
                to += e


@inline
def _weigh(scores: Numbers, n: int, sink: Numbers) -> None:
    """Softmax of the first `n` in place, and of a sink's score if there is one."""
    full = (n + WIDTH - 1) // WIDTH * WIDTH
    scores[n:full] = _LEAST
    most = each(sink[0]) if sink.size else each(_LEAST)
    for i in range(0, full, WIDTH):
        most = larger(load(scores, i), most)
    top = largest(most)
    most, mass = each(top), each(_NOTHING)
    for i in range(0, full, WIDTH):
        x = exp(load(scores, i) - most)
        store(scores, i, x)
        mass = mass + x
    whole = total(mass)
    if sink.size:
        whole += total(exp(each(sink[0] - top))) / np.float32(WIDTH)
    part = each(_ONE / whole)
    for i in range(0, full, WIDTH):
        store(scores, i, load(scores, i) * part)
