"""Replaced passes give what the model's own give; one that would not is not used."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from tests.modeling.models import tiny_model, tokens
from tunery.modeling import passes
from tunery.modeling.base import Base

EPS = 1e-5

# In fp32 and bf16 on the CPU these are compiled loops; fp64 goes torch's way.
every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def numbers(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)


def normed(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * weight


def gated(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


def agree(ours: passes.Pass, plain: passes.Pass, *inputs: Tensor) -> None:
    """Values and gradients are those of `plain` in fp64, to the rounding of the inputs' type."""
    dtype = inputs[0].dtype
    rounding = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    results: list[list[Tensor]] = []
    for run, kind in ((ours, dtype), (plain, torch.float64)):
        leaves = [x.detach().to(kind).requires_grad_() for x in inputs]
        out = run(*leaves)
        outs = out if isinstance(out, tuple) else (out,)
        slopes = [numbers(*o.shape, dtype=dtype, seed=i).to(kind) for i, o in enumerate(outs)]
        results.append([*outs, *torch.autograd.grad(outs, leaves, slopes)])
    for got, want in zip(*results, strict=True):
        assert got.dtype == dtype
        scale = want.abs().max().clamp_min(1).item()
        torch.testing.assert_close(got.double(), want, rtol=rounding, atol=rounding * scale)
    with torch.no_grad():
        out = ours(*inputs)
    for got, want in zip(out if isinstance(out, tuple) else (out,), results[0], strict=False):
        rounding = max(rounding, 1e-6)
        torch.testing.assert_close(got, want, rtol=rounding, atol=rounding)


@every_type
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 33), (3, 5, 4, 32), (2, 130)])
def test_a_norm_gives_values_and_gradients(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    weight = numbers(shape[-1], dtype=dtype, seed=1)
    agree(
        passes._norm(weight, EPS),
        lambda x: normed(x, weight.to(x.dtype)),
        numbers(*shape, dtype=dtype),
    )


@every_type
def test_a_norm_reads_rows_that_stand_apart(dtype: torch.dtype) -> None:
    weight = numbers(16, dtype=dtype, seed=1)

    def of_heads(norm: passes.Pass) -> passes.Pass:
        return lambda joint: norm(joint[..., 32:].unflatten(-1, (3, 16)))

    agree(
        of_heads(passes._norm(weight, EPS)),
        of_heads(lambda x: normed(x, weight.to(x.dtype))),
        numbers(2, 5, 80, dtype=dtype),
    )


def test_a_norm_in_bf16_rounds_where_transformers_rounds() -> None:
    theirs = LlamaRMSNorm(96, eps=EPS).bfloat16()
    theirs.weight.data = numbers(96, dtype=torch.bfloat16, seed=1)
    x = numbers(1, 500, 96, dtype=torch.bfloat16)
    ours = passes._norm(theirs.weight.data, EPS)(x)
    # A sum in another order moves a few numbers across the middle between two.
    assert (ours == theirs(x)).float().mean() > 0.999


def test_a_norm_of_another_width_is_refused() -> None:
    with pytest.raises((ValueError, RuntimeError)):
        passes._norm(torch.ones(8), EPS)(torch.ones(2, 9))


@every_type
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 33), (3, 5, 64), (2, 130)])
def test_a_gate_gives_values_and_gradients(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    agree(passes._gated, gated, numbers(*shape, dtype=dtype), numbers(*shape, dtype=dtype, seed=1))


@every_type
@pytest.mark.parametrize("n_rows", [3, 900])  # without gradients, few rows are torch's
def test_a_gate_reads_halves_of_a_joint_product(dtype: torch.dtype, n_rows: int) -> None:
    def of_joint(gate: Callable[[Tensor, Tensor], Tensor]) -> passes.Pass:
        return lambda joint: gate(*joint.chunk(2, -1))

    agree(of_joint(passes._gated), of_joint(gated), numbers(1, n_rows, 160, dtype=dtype))


@both_types
def test_the_gradients_of_a_gates_halves_stand_side_by_side(dtype: torch.dtype) -> None:
    gate, up = (numbers(1, 6, 40, dtype=dtype, seed=i).requires_grad_() for i in range(2))
    dgate, dup = torch.autograd.grad(passes._gated(gate, up).sum(), [gate, up])
    assert dgate.stride() == dup.stride() == (480, 80, 1)
    assert dup.data_ptr() - dgate.data_ptr() == 40 * dtype.itemsize


def test_a_gate_is_right_far_from_zero() -> None:
    gate = torch.tensor([-1e20, -200.0, -88.5, 88.5, 200.0, 3e38], requires_grad=True)
    up = torch.ones(6, requires_grad=True)
    dgate, dup = torch.autograd.grad(passes._gated(gate, up).sum(), [gate, up])
    torch.testing.assert_close(dgate, torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(dup, F.silu(gate))


def angles(n: int, n_rows: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    half = numbers(n, n_rows, width // 2, dtype=torch.float64, seed=7)
    angle = torch.cat((half, half), -1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def turned_plainly(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, ...]:
    """Transformers', where only the first numbers of a head may turn."""
    width = cos.shape[-1]
    turned = apply_rotary_pos_emb(
        q[..., :width], k[..., :width], cos.to(q.dtype), sin.to(q.dtype), unsqueeze_dim
    )
    rest = (x[..., width:] for x in (q, k))
    return tuple(torch.cat(pair, -1) for pair in zip(turned, rest, strict=True))


@every_type
@pytest.mark.parametrize(("n", "n_angles"), [(1, 1), (3, 1), (3, 3)])
@pytest.mark.parametrize("width", [32, 20, 6])  # of 32
@pytest.mark.parametrize("n_rows", [1, 70])
def test_rotary_gives_values_and_gradients(
    n: int, n_angles: int, width: int, n_rows: int, dtype: torch.dtype
) -> None:
    cos, sin = angles(n_angles, n_rows, width, dtype)
    agree(
        lambda q, k: passes.rotary(q, k, cos, sin),
        lambda q, k: turned_plainly(q, k, cos, sin),
        numbers(n, 4, n_rows, 32, dtype=dtype),
        numbers(n, 2, n_rows, 32, dtype=dtype, seed=1),
    )


@every_type
@pytest.mark.parametrize("unsqueeze_dim", [1, 2])
def test_rotary_reads_columns_of_a_joint_product(unsqueeze_dim: int, dtype: torch.dtype) -> None:
    cos, sin = angles(1, 50, 32, dtype)

    def of_joint(turn: passes.Pass) -> passes.Pass:
        def run(joint: Tensor) -> Tensor | tuple[Tensor, ...]:
            by_head = joint.unflatten(-1, (8, 32))
            q, k = by_head[:, :, :5], by_head[:, :, 5:7]
            if unsqueeze_dim == 1:
                q, k = q.transpose(1, 2), k.transpose(1, 2)
            return turn(q, k, cos, sin, unsqueeze_dim=unsqueeze_dim)

        return run

    agree(of_joint(passes.rotary), of_joint(turned_plainly), numbers(1, 50, 256, dtype=dtype))


@both_types
def test_rotary_leaves_the_rows_of_a_stream_in_order(dtype: torch.dtype) -> None:
    cos, sin = angles(1, 50, 32, dtype)
    q, k = (numbers(1, 50, heads, 32, dtype=dtype).transpose(1, 2) for heads in (6, 3))
    for x in passes.rotary(q, k, cos, sin):
        assert x.transpose(1, 2).is_contiguous()


def test_angles_of_other_rows_are_no_angles() -> None:
    q = numbers(1, 2, 5, 8)
    with pytest.raises(RuntimeError):
        passes.rotary(q, q, *angles(1, 4, 8, torch.float32))


@both_types
def test_what_is_no_number_stays_in_its_row(dtype: torch.dtype) -> None:
    cos, sin = angles(1, 5, 32, dtype)
    norm = passes._norm(torch.ones(64, dtype=dtype), EPS)

    def turned(x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (2, 32)).transpose(1, 2)
        return passes.rotary(heads, heads, cos, sin)[0].transpose(1, 2).flatten(2)

    def gate(x: Tensor) -> Tensor:
        return passes._gated(x, x)

    for run in (norm, gate, turned):
        x = numbers(1, 5, 64, dtype=dtype)
        x[0, 2] = torch.nan
        x.requires_grad_()
        out = run(x)
        slope = torch.ones_like(out)
        slope[0, 3] = torch.nan
        [dx] = torch.autograd.grad(out, x, slope)
        assert out[0, 2].isnan().all()
        assert out[0, [0, 1, 3, 4]].isfinite().all()
        assert dx[0, 3].isnan().all()
        assert dx[0, [0, 1, 4]].isfinite().all()


@both_types
def test_passes_go_through_in_two_threads_at_once(dtype: torch.dtype) -> None:
    weight = numbers(64, dtype=dtype, seed=1)
    norm = passes._norm(weight, EPS)
    inputs = [numbers(1, 400, 64, dtype=dtype, seed=i).requires_grad_() for i in range(16)]

    def slope(x: Tensor) -> Tensor:
        return torch.autograd.grad(passes._gated(norm(x), norm(x)).sum(), x)[0]

    alone = [slope(x) for x in inputs]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(slope, inputs))
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3", "phi3", "neox", "mamba2"])
def test_a_model_with_our_passes_gives_what_it_gave(name: str) -> None:
    [ids] = tokens(30)
    with torch.no_grad():
        want = tiny_model(name)(input_ids=ids[None]).logits
        got = Base(tiny_model(name)).model(input_ids=ids[None]).logits
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_what_is_replaced_is_named_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tunery.modeling"):
        base = Base(tiny_model("llama"))
        assert base.layout.packed
    assert {"rotary", "model.norm", "model.layers.1.mlp"} <= set(base.replaced)
    assert "passes replaced: rotary, model.layers.0.mlp" in caplog.text
    assert "Layout(packed=True, grain=1, plain_head=True)" in caplog.text


def test_why_a_model_is_not_packed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tunery.modeling"):
        assert not Base(tiny_model("lfm2")).layout.packed
    assert "not packed: layers of type conv" in caplog.text


def test_a_norm_that_takes_a_gate_keeps_its_own_pass() -> None:
    replaced = Base(tiny_model("mamba2")).replaced
    assert "backbone.norm_f" in replaced
    assert "backbone.layers.0.mixer.norm" not in replaced


def test_passes_that_together_change_the_model_are_taken_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(module: nn.Module) -> passes.Pass | None:
        return (lambda x: 2 * x) if "RMSNorm" in type(module).__name__ else None

    monkeypatch.setattr(passes, "_norm_for", wrong)
    base = Base(tiny_model("llama"))
    assert base.replaced == []
    assert "taken back" in caplog.text
    [ids] = tokens(9)
    with torch.no_grad():
        want = tiny_model("llama")(input_ids=ids[None]).logits
        got = base.model(input_ids=ids[None]).logits
    torch.testing.assert_close(got, want)


def test_another_value_or_gradient_is_another_pass() -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))

    def square(x: Tensor) -> Tensor:
        return x * x

    def flat(x: Tensor) -> Tensor:
        return (x * x).detach() + 0 * x

    assert passes.same(square, lambda x: x**2, x)
    assert not passes.same(square, lambda x: x**2 + 1e-3, x)
    assert not passes.same(square, flat, x)
    assert not passes.same(square, lambda x: x @ x, x)
