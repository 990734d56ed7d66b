"""Cross-entropy with logits that are never kept, by our chunks and by Liger's kernel."""

import sys
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tunery.modeling import head, liger
from tunery.modeling.head import by_chunks, next_token_nats
from tunery.modeling.liger import agree, by_liger

CPU = torch.device("cpu")
LIGER = "liger_kernel.ops.fused_linear_cross_entropy"


def inputs(*, bias: bool, n_rows: int = 21) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(n_rows, 8), torch.randn(30, 8)
    return hidden, weight, torch.randn(30) if bias else None, torch.randint(30, (n_rows,))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_chunks_give_what_autograd_gives(
    bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(head._CHUNK_ELEMENTS, "cpu", chunk * 30)
    hidden, weight, b, target = inputs(bias=bias)
    hidden.requires_grad_()
    slope = torch.randn(len(hidden))
    logits = F.linear(hidden, weight, b)
    theirs = F.cross_entropy(logits, target, reduction="none")
    [gradient] = torch.autograd.grad((theirs * slope).sum(), hidden)

    nats, correct = next_token_nats(hidden, weight, b, target)
    [ours] = torch.autograd.grad((nats * slope).sum(), hidden)

    torch.testing.assert_close(nats, theirs)
    torch.testing.assert_close(ours, gradient)
    assert torch.equal(correct, logits.argmax(-1) == target)


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
