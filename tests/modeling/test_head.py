"""Cross-entropy with logits that are never kept, by our chunks and by Liger's kernel."""

import sys
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tunery.modeling import compiled, head, liger
from tunery.modeling.compiled_head import _cross, cross_entropy
from tunery.modeling.head import by_chunks, next_token_nats
from tunery.modeling.liger import agree, by_liger

CPU = torch.device("cpu")
LIGER = "liger_kernel.ops.fused_linear_cross_entropy"


def inputs(*, bias: bool, n_rows: int = 21) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(n_rows, 8), torch.randn(30, 8)
    return hidden, weight, torch.randn(30) if bias else None, torch.randint(30, (n_rows,))


# In fp32 and bf16 on the CPU a compiled loop makes it; fp64 goes torch's way.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_chunks_give_what_autograd_gives(
    bias: bool, chunk: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(head._CHUNK_ELEMENTS, "cpu", chunk * 30)
    hidden, weight, b, target = inputs(bias=bias)
    hidden, weight = hidden.to(dtype).requires_grad_(), weight.to(dtype)
    b = None if b is None else b.to(dtype)
    slope = torch.randn(len(hidden))
    logits = F.linear(hidden, weight, b)
    theirs = F.cross_entropy(logits.float(), target, reduction="none")
    [gradient] = torch.autograd.grad((theirs * slope).sum(), hidden)

    nats, correct = next_token_nats(hidden, weight, b, target)
    [ours] = torch.autograd.grad((nats * slope).sum(), hidden)

    torch.testing.assert_close(nats, theirs)
    rounding = 5e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(ours, gradient, rtol=rounding, atol=rounding)
    assert torch.equal(correct, logits.argmax(-1) == target)
    with torch.no_grad():
        again, _ = next_token_nats(hidden, weight, b, target)
    assert torch.equal(again, nats)


def cross(logits: Tensor, target: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Nats, correctness and slope of rows of logits."""
    slope, nats = logits.clone(), torch.empty(len(logits))
    correct = torch.empty(len(logits), dtype=torch.bool)
    cross_entropy(slope, torch.tensor(target), learns=True, nats=nats, correct=correct)
    return nats, correct, slope


both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@both_types
@pytest.mark.parametrize("v", [1, 17, 1000])
@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_the_slope_of_logits_is_autograds(v: int, scale: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = (scale * torch.randn(9, v)).to(dtype)
    target = torch.randint(v, (9,))
    wide = logits.double().requires_grad_()
    theirs = F.cross_entropy(wide, target, reduction="none")
    [gradient] = torch.autograd.grad(theirs.sum(), wide)

    nats, correct, slope = cross(logits, target.tolist())

    torch.testing.assert_close(nats.double(), theirs, rtol=1e-5, atol=1e-5)
    rounding = 4e-3 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(slope.double(), gradient, rtol=rounding, atol=rounding / 1e3)
    assert torch.equal(correct, logits.argmax(-1) == target)


@both_types
def test_of_several_likeliest_tokens_the_first_counts(dtype: torch.dtype) -> None:
    rows = torch.tensor([[0.0, 2.0, 2.0, 1.0]], dtype=dtype).repeat(4, 1)
    _, correct, _ = cross(rows, [0, 1, 2, 3])
    assert correct.tolist() == [False, True, False, False]


@both_types
def test_what_is_no_number_stays_in_its_row_of_logits(dtype: torch.dtype) -> None:
    logits = torch.zeros(4, 40, dtype=dtype)
    logits[1, 33], logits[2, 3] = torch.nan, torch.inf
    nats, correct, slope = cross(logits, [0, 33, 3, 0])
    assert nats.isfinite().tolist() == [True, False, False, True]
    assert not correct[1]
    assert correct[[0, 3]].all()
    assert slope.isfinite().all(1).tolist() == [True, False, False, True]


@both_types
def test_a_token_that_cannot_be_takes_no_share(dtype: torch.dtype) -> None:
    logits = torch.zeros(2, 40, dtype=dtype)
    logits[:, 20:] = -torch.inf
    nats, _, slope = cross(logits, [3, 30])
    assert nats[1] == torch.inf
    torch.testing.assert_close(nats[0], torch.tensor(20.0).log())
    assert (slope[0, 20:] == 0).all()
    assert slope[1, 30] == -1


def test_nats_do_not_hang_on_where_rows_lie_in_memory() -> None:
    torch.manual_seed(0)
    logits, target = 3 * torch.randn(100, 1, 30), torch.tensor([3])
    found = []
    for apart in (32, 33, 64, 1000):
        nats, correct = torch.empty(100, 1), torch.empty(1, dtype=torch.bool)
        for row, slot in zip(logits, nats, strict=True):
            room = torch.zeros(apart + 30)
            room[:30] = row[0]
            whole, arrays = compiled.numbers(room), (compiled.numbers(x) for x in (slot, correct))
            _cross(whole[:30], target.numpy(), True, whole[apart:], *arrays)
        found.append(nats)
    assert all(torch.equal(nats, found[0]) for nats in found)


def test_a_target_beyond_the_vocabulary_is_refused() -> None:
    for token in (-1, 5):
        with pytest.raises(IndexError, match="none of 5 tokens"):
            cross(torch.zeros(2, 5), [0, token])


def without(*names: str) -> object:
    """`by_chunks`, with something wrong in what is named."""

    def erring(
        hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, *, learns: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        if "everything" in names:
            raise RuntimeError("no compiler")
        nats, correct, slope = by_chunks(hidden, weight, bias, target, learns=learns)
        assert slope is not None
        return (
            nats * 1.5 if "nats" in names else nats,
            ~correct if "correct" in names else correct,
            slope / 37 if "slope" in names else slope,
        )

    return erring


@pytest.mark.parametrize("bias", [False, True])
def test_the_probe_knows_what_errs(bias: bool) -> None:
    def same_as(theirs: object) -> bool:
        return agree(theirs, by_chunks, CPU, torch.float32, has_bias=bias)  # type: ignore[arg-type]

    assert same_as(without())
    for wrong in ("nats", "correct", "slope", "everything"):
        assert not same_as(without(wrong))


def test_liger_is_asked_for_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def forward(
        hidden: Tensor, weight: Tensor, target: Tensor, **more: object
    ) -> tuple[object, ...]:
        asked.update(more)
        n = len(hidden)
        return torch.ones(n), None, None, target.clone(), torch.full_like(hidden, 2), None, None

    stand_in: Mapping[str, object] = {"fused_linear_cross_entropy_forward": forward}
    monkeypatch.setitem(sys.modules, LIGER, SimpleNamespace(**stand_in))
    hidden, weight, _, target = inputs(bias=False)

    nats, correct, slope = by_liger(hidden, weight, None, target, learns=True)

    assert asked["reduction"] == "none"
    assert asked["weight_requires_grad"] is False
    assert nats.shape == correct.shape == target.shape
    assert correct.all()
    assert slope is not None
    assert by_liger(hidden, weight, None, target, learns=False)[2] is None


def test_on_a_cpu_liger_is_not_asked_for() -> None:
    hidden, _, _, _ = inputs(bias=False)
    assert not liger.serves(hidden, None, by_chunks)


@pytest.mark.gpu
@pytest.mark.parametrize("bias", [False, True])
def test_ligers_kernel_gives_what_our_chunks_give(bias: bool) -> None:
    pytest.importorskip("liger_kernel")
    device = torch.device("cuda")
    assert agree(by_liger, by_chunks, device, torch.bfloat16, has_bias=bias)
    assert liger.serves(torch.randn(3, 8, device=device).bfloat16(), None, by_chunks)
