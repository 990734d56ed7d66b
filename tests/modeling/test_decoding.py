"""The loops of a pass of few rows give what torch's operations give."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tests.modeling.models import fill, tiny_model
from tunery.core.lora import LoraConfig
from tunery.modeling.adapter import Adapter
from tunery.modeling.attention import Manner
from tunery.modeling.base import Base
from tunery.modeling.cache import Cache
from tunery.modeling.compiled import numbers
from tunery.modeling.compiled_decoding import multiply
from tunery.modeling.linears import Family
from tunery.modeling.reading import Portion, Reading
from tunery.modeling.stacks import Stack
from tunery.modeling.stream import Span

CPU = torch.device("cpu")
BOUNDS = {torch.float32: 1e-6, torch.bfloat16: 1e-2}
DTYPES = [torch.float32, torch.bfloat16]
LENGTHS = (70, 3, 0, 31, 32, 33, 8)


def close(ours: Tensor, theirs: Tensor) -> bool:
    distance = (ours.double() - theirs.double()).norm()
    return bool(distance <= BOUNDS[ours.dtype] * theirs.double().norm())


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def columns(x: Tensor, *heads: int) -> list[Tensor]:
    """Query, key and value as parts of one product, which are not contiguous."""
    return list(x.split(heads, 1))


class Read:
    """Sequences of `LENGTHS` in one table, of which some read another token."""

    def __init__(self, n_keys: int, d: int, e: int, dtype: torch.dtype) -> None:
        self.layer = nn.Identity()
        cache = Cache()
        self.memories = [cache.open(max(LENGTHS) + 1) for _ in LENGTHS]
        table = self.memories[0].table
        self.keys, self.values = table.layer(
            self.layer, *(torch.zeros(1, n_keys, width, dtype=dtype) for width in (d, e))
        )
        for memory, n in zip(self.memories, LENGTHS, strict=True):
            memory.length = n
            self.keys[memory.slot, :, :n] = noise(n_keys, n, d, dtype=dtype)
            self.values[memory.slot, :, :n] = noise(n_keys, n, e, dtype=dtype)

    def on(self, who: Sequence[int], q: Tensor, k: Tensor, v: Tensor, manner: Manner) -> Tensor:
        portions = [Portion(ids=[1], adapter=None, memory=self.memories[one]) for one in who]
        return Reading(portions, CPU).attention(self.layer, q, k, v, manner)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [None, 1, 5, 40])
@pytest.mark.parametrize(("heads", "d", "e"), [((4, 4), 32, 32), ((6, 2), 40, 24), ((3, 1), 8, 72)])
def test_each_row_attends_to_its_own_sequence(
    dtype: torch.dtype, window: int | None, heads: tuple[int, int], d: int, e: int
) -> None:
    who = [0, 2, 3, 4, 6]
    h, n_keys = heads
    q, k = columns(noise(len(who), h + n_keys, d, dtype=dtype), h, n_keys)
    v = noise(len(who), n_keys, e, dtype=dtype)
    sinks = noise(h)
    read = Read(n_keys, d, e, dtype)
    manner = Manner(scale=0.3, window=window, sinks=sinks)
    out = read.on(who, q, k, v, manner)
    for row, one in enumerate(who):
        n = LENGTHS[one]
        assert torch.equal(read.keys[one, :, n], k[row])
        assert torch.equal(read.values[one, :, n], v[row])
        first = 0 if window is None else max(0, n + 1 - window)
        keys, values = (
            x[one, :, first : n + 1].double().repeat_interleave(h // n_keys, 0)
            for x in (read.keys, read.values)
        )
        scores = torch.einsum("hd,hnd->hn", q[row].double(), keys) * manner.scale
        weights = torch.softmax(torch.cat((scores, sinks.double()[:, None]), 1), 1)[:, :-1]
        assert close(out[row], torch.einsum("hn,hne->he", weights, values))


@pytest.mark.parametrize("window", [None, 5])
def test_loops_and_products_attend_alike(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, manner = [5, 1, 4, 0], Manner(scale=0.2, window=window)
    q, k, v = columns(noise(len(who), 8, 32), 4, 2, 2)
    loops, products = Read(2, 32, 32, torch.float32), Read(2, 32, 32, torch.float32)
    out = loops.on(who, q, k, v, manner)
    monkeypatch.setattr("tunery.modeling.reading.suits", lambda *_: False)
    assert close(out, products.on(who, q, k, v, manner))
    assert torch.equal(loops.keys, products.keys)
    assert torch.equal(loops.values, products.values)


def test_a_sequence_of_no_numbers_harms_no_other() -> None:
    who, manner = [0, 1, 2], Manner(scale=0.2)
    q, k, v = columns(noise(3, 3, 32), 1, 1, 1)
    healthy = Read(1, 32, 32, torch.float32).on(who, q, k, v, manner)
    broken = k.clone()
    broken[1] = torch.nan
    out = Read(1, 32, 32, torch.float32).on(who, q, broken, v, manner)
    assert out[1].isnan().all()
    assert torch.equal(out[::2], healthy[::2])


@pytest.fixture(params=["loops", "products"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as it is, and once as it is where loops do not suit."""
    if request.param == "products":
        monkeypatch.setattr("tunery.modeling.stacks.suits", lambda *_: False)


def voices(base: Base) -> list[Adapter | None]:
    """The base, and some that differ in rank, scale and targets."""
    q, k, v = (name.rpartition(".")[2] for name in base.places.families[0].names)
    configs = [
        LoraConfig(r=3),
        LoraConfig(r=16, lora_alpha=20, target_modules=(q, v)),
        LoraConfig(r=1, target_modules=(k,)),
    ]
    return [None, *(fill(Adapter(base.places, one, seed=one.r), seed=one.r) for one in configs)]


def spans(adapters: Sequence[Adapter | None], counts: Sequence[int]) -> list[Span]:
    ends = np.cumsum(counts).tolist()
    return [
        Span(adapter, end - count, end)
        for adapter, count, end in zip(adapters, counts, ends, strict=True)
    ]


def shared(family: Family, spans: Sequence[Span], x: Tensor) -> Tensor:
    """What the adapters add, by one product after another."""
    y = torch.zeros(len(x), sum(family.widths), dtype=torch.float64)
    members = y.split(family.widths, 1)
    for span in spans:
        part = span.adapter.parts.get(family) if span.adapter else None
        if span.adapter is None or part is None:
            continue
        rows, r = slice(span.first, span.end), span.adapter.config.r
        low = x[rows].double() @ part.down.double().T * span.adapter.scale
        for i, at in enumerate(part.at):
            members[at][rows] += low[:, i * r : (i + 1) * r] @ part.up[i].double().T
    return y


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("counts", [(1, 1, 1, 1), (2, 1, 4, 3), (0, 0, 5, 0), (9, 1, 9, 4)])
def test_each_row_gets_what_its_own_adapter_gives(
    dtype: torch.dtype,
    counts: tuple[int, ...],
) -> None:
    base = Base(tiny_model("llama", dtype=dtype))
    laid_out = [span for span in spans(voices(base), counts) if span.end > span.first]
    stack = Stack(laid_out)
    for family in base.places.families[:3]:
        x = noise(sum(counts), family.n_inputs, dtype=dtype)
        y = noise(sum(counts), sum(family.widths), dtype=dtype)
        expected = y.double() + shared(family, laid_out, x)
        stack.add(family, x, y)
        assert close(y, expected)


@pytest.mark.usefixtures("either_way")
def test_who_comes_takes_the_seat_of_one_who_left() -> None:
    base = Base(tiny_model("llama"))
    plain, *others = voices(base)
    wide = fill(Adapter(base.places, LoraConfig(r=16), seed=9), seed=9)
    larger = fill(Adapter(base.places, LoraConfig(r=17), seed=9), seed=9)
    stack = Stack(spans([plain, *others], (1, 1, 1, 1)))
    after = [
        [others[2], plain, others[1]],  # one left, and the others changed places
        [wide, others[1], plain],
        [wide, others[0], others[1], others[2]],
        [others[1]],
    ]
    for adapters in after:
        for counts in ((1,) * len(adapters), range(1, len(adapters) + 1)):
            laid_out = spans(adapters, counts)
            assert stack.seat(laid_out)
            for family in base.places.families[:3]:
                x = noise(sum(counts), family.n_inputs)
                y = torch.zeros(sum(counts), sum(family.widths))
                stack.add(family, x, y)
                assert close(y, shared(family, laid_out, x))
    assert not stack.seat(spans([wide, plain, *others], (1, 1, 1, 1, 1)))
    assert not stack.seat(spans([larger], (1,)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_rows", [1, 3, 4, 7, 8])
@pytest.mark.parametrize("n_inputs", [20, 32, 71])
@pytest.mark.parametrize("biased", [True, False])
def test_rows_are_multiplied_as_torch_does(
    dtype: torch.dtype,
    n_rows: int,
    n_inputs: int,
    biased: bool,
) -> None:
    x, weight = noise(n_rows, n_inputs, dtype=dtype), noise(13, n_inputs, dtype=dtype)
    bias = noise(13, dtype=dtype) if biased else torch.empty(0, dtype=dtype)
    y = torch.empty(n_rows, 13, dtype=dtype)
    rows, weights, result = (numbers(one.view(-1)) for one in (x, weight, y))
    multiply(rows, weights, numbers(bias), 13, result)
    expected = F.linear(x.double(), weight.double(), bias.double() if biased else None)
    assert close(y, expected)
