"""The whole stream as one call of a kernel for variable lengths gives the textbook's attention."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tests.modeling.models import fill, segments, tiny_model, tokens
from tests.modeling.test_attention import CPU, LENGTHS, MANNERS, textbook
from tunery.core.lora import LoraConfig
from tunery.modeling import attention, varlen
from tunery.modeling.adapter import Adapter
from tunery.modeling.attention import Manner, fused
from tunery.modeling.base import Base
from tunery.modeling.segments import Fork, Segment
from tunery.modeling.stream import Stream
from tunery.modeling.varlen import agrees_with_plain, by_kernel

CUDA = torch.device("cuda")


def stand_in(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """What torch documents of its kernel, which has no code for a CPU."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert cu_seq_q[-1] == len(query)
    assert cu_seq_k[-1] == len(key) == len(value)
    assert max_q == cu_seq_q.diff().max()
    assert max_k == cu_seq_k.diff().max()
    left, right = window_size
    assert right == 0
    if not enable_gqa:
        assert query.shape[1] == key.shape[1]
    outs = []
    for i in range(len(cu_seq_q) - 1):
        q = query[cu_seq_q[i] : cu_seq_q[i + 1]].transpose(0, 1)
        k, v = (x[cu_seq_k[i] : cu_seq_k[i + 1]].transpose(0, 1) for x in (key, value))
        n_q, n_k = q.shape[1], k.shape[1]
        back = torch.arange(n_k - n_q, n_k)[:, None] - torch.arange(n_k)
        seen = (back >= 0) & ((back <= left) if left >= 0 else (back >= 0))
        outs.append(
            F.scaled_dot_product_attention(q, k, v, seen, scale=scale, enable_gqa=enable_gqa)
        )
    return torch.cat(outs, 1).transpose(0, 1)


@pytest.mark.parametrize("grain", [1, 16])
@pytest.mark.parametrize("name", ["full", "window"])
def test_values_and_gradients_are_the_textbooks(name: str, grain: int) -> None:
    torch.manual_seed(0)
    rows = segments(tokens(*(n + 1 for n in LENGTHS)))
    stream = Stream(rows, CPU, grain=grain)
    q, k, v = (torch.randn(stream.size, n, 6, requires_grad=True) for n in (4, 2, 2))
    slope = torch.zeros(stream.size, 4, 6)
    slope[: sum(LENGTHS)] = torch.randn(sum(LENGTHS), 4, 6)

    results = []
    for out in (
        by_kernel(stand_in, q, k, v, stream, MANNERS[name]),
        textbook(q, k, v, stream, MANNERS[name]),
    ):
        gradients = torch.autograd.grad((out * slope).sum(), (q, k, v))
        results.append((out[: sum(LENGTHS)], *gradients))

    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert stream.sequences.keys is None


def forks(adapter: Adapter | None = None) -> list[Fork]:
    """The second answer goes on from the prompt, is the first's beginning, or shares nothing."""
    found = []
    for i, (n_shared, first, second) in enumerate([(12, 5, 9), (7, 8, 0), (0, 6, 4), (20, 2, 30)]):
        prompt, *answers = tokens(n_shared + 1, first + 1, second + 1, seed=i)
        rows = [torch.cat((prompt[:n_shared], answer)) for answer in answers]
        if not second:
            rows[1] = rows[0][: n_shared + 3]
        chosen, rejected = segments(rows, adapter)
        found.append(Fork(first=chosen, second=rejected))
    return found


@pytest.mark.parametrize("name", ["full", "window"])
def test_what_a_fork_shares_is_seen_from_both_of_its_ends(name: str) -> None:
    torch.manual_seed(0)
    stream = Stream([*forks(), *segments(tokens(15))], CPU)
    q, k, v = (torch.randn(stream.size, n, 8, requires_grad=True) for n in (4, 2, 2))
    slope = torch.randn(stream.size, 4, 8)
    results = []
    for out in (
        by_kernel(stand_in, q, k, v, stream, MANNERS[name]),
        fused(q, k, v, stream, MANNERS[name]),
    ):
        results.append((out, *torch.autograd.grad((out * slope).sum(), (q, k, v))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_probe_knows_a_kernel_that_errs() -> None:
    def without_window(*inputs: Any, **more: Any) -> Tensor:  # noqa: ANN401
        return stand_in(*inputs, **{**more, "window_size": (-1, 0)})

    def refusing(*inputs: object, **more: object) -> Tensor:
        raise RuntimeError("no code for this card")

    shape = (4, 2, 8)
    assert agrees_with_plain(stand_in, CPU, torch.float32, shape)
    assert agrees_with_plain(stand_in, CPU, torch.bfloat16, (4, 4, 16))
    assert not agrees_with_plain(without_window, CPU, torch.float32, shape)
    assert not agrees_with_plain(refusing, CPU, torch.float32, shape)


def test_a_whole_model_learns_the_same_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for by_stand_in in (False, True):
        if by_stand_in:
            monkeypatch.setattr(varlen, "serves", lambda q, k, v: True)
            monkeypatch.setattr(varlen, "_kernel", lambda: stand_in)
        base = Base(tiny_model("mistral"))  # a window of 6, several heads to a key
        adapter = fill(Adapter(base.places, LoraConfig(r=2)))
        batch: list[Fork | Segment] = [
            *forks(adapter),
            *segments(tokens(30, 9, 4), adapter),
        ]
        losses = base.losses(base.stream(batch))
        losses.nats.sum().backward()
        results.append((losses.nats.detach(), adapter.grad))
    for groups, kernel in zip(*results, strict=True):
        torch.testing.assert_close(groups, kernel, atol=1e-4, rtol=1e-3)


def test_on_a_cpu_it_is_not_asked_for() -> None:
    q, k, v = (torch.randn(5, n, 8, dtype=torch.bfloat16) for n in (4, 2, 2))
    stream = Stream(segments(tokens(6)), CPU)
    assert not varlen.serves(q, k, v)
    assert attention._way(q, k, v, stream, Manner(scale=1.0)) is not varlen.attention


@pytest.mark.gpu
@pytest.mark.parametrize("width", [64, 128])
def test_torchs_kernel_gives_plain_attention(width: int) -> None:
    q, k, v = (torch.randn(5, n, width, dtype=torch.bfloat16, device=CUDA) for n in (8, 2, 2))
    assert varlen.serves(q, k, v)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 64), (torch.bfloat16, 20)])
def test_what_the_kernel_has_no_code_for_goes_by_groups(dtype: torch.dtype, width: int) -> None:
    q, k, v = (torch.randn(5, 4, width, dtype=dtype, device=CUDA) for _ in range(3))
    assert not varlen.serves(q, k, v)
    stream = Stream(segments(tokens(6)), CUDA)
    assert attention._way(q, k, v, stream, Manner(scale=1.0)) is attention.fused


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["full", "window"])
def test_a_fork_by_torchs_kernel_is_the_same_as_by_groups(name: str) -> None:
    stream = Stream([*forks(), *segments(tokens(300, 15))], CUDA)
    q, k, v = (
        torch.randn(stream.size, n, 64, device=CUDA, dtype=torch.bfloat16, requires_grad=True)
        for n in (4, 2, 2)
    )
    slope = torch.randn(stream.size, 4, 64, device=CUDA, dtype=torch.bfloat16)
    results = []
    for out in (
        varlen.attention(q, k, v, stream, MANNERS[name]),
        fused(q, k, v, stream, MANNERS[name]),
    ):
        results.append((out, *torch.autograd.grad((out * slope).sum(), (q, k, v))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=3e-2, rtol=3e-2)


@pytest.mark.gpu
def test_a_segment_that_is_not_a_number_leaves_its_neighbours_alone() -> None:
    torch.manual_seed(0)
    stream = Stream(segments(tokens(9, 10, 9, 10)), CUDA)
    q, k, v = (torch.randn(stream.size, 2, 64, dtype=torch.bfloat16).to(CUDA) for _ in range(3))
    for x in (q, k, v):
        x[8:17] = torch.nan
        x.requires_grad_()

    out = varlen.attention(q, k, v, stream, Manner(scale=0.5))
    for x in (out, *torch.autograd.grad(out.sum(), (q, k, v))):
        assert x[:8].isfinite().all()
        assert x[17:].isfinite().all()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral", "gemma2"])
def test_a_stream_gives_what_the_eager_model_gives_on_a_gpu(name: str) -> None:
    model = tiny_model(name, dtype=torch.bfloat16).to(CUDA)
    untouched = copy.deepcopy(model).float()
    untouched.set_attn_implementation("eager")
    rows = tokens(9, 23, 5, 300, 9)
    base = Base(model)
    nats = base.losses(base.stream(segments(rows))).nats
    with torch.no_grad():
        alone = [
            F.cross_entropy(
                untouched(input_ids=ids[None, :-1].to(CUDA), use_cache=False).logits[0].float(),
                ids[1:].to(CUDA),
                reduction="none",
            )
            for ids in rows
        ]
    error = (nats - torch.cat(alone)).abs().mean() / torch.cat(alone).mean()
    assert error < 2e-2
