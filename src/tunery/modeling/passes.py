"""Hand-written norm, gate and rotary passes, used only where they give what the model's own give.

Each replaces a handful of small operations, each with a tensor for its gradient, by one or two.
A probe compares values and gradients first; every answer is logged, because a replacement that is
refused costs speed unseen.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

from tunery.modeling import compiled, compiled_passes
from tunery.modeling.autograd import Context

_log = logging.getLogger(__name__)

# Numbers from which on a compiled loop is faster than torch where nothing learns: to call it takes
# longer.
_MANY_GATED, _MANY_TURNED = 2**16, 2**13

Pass = Callable[..., Tensor | tuple[Tensor, ...]]


class _NormContext(Context, Protocol):
    pass


class _Norm(Function):
    """Root-mean-square norm of `(…, d)` with a frozen weight (Zhang & Sennrich 2019, eq. 4)."""

    @staticmethod
    def forward(ctx: _NormContext, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        mean_square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).pow_(2)
        inverse = mean_square.div_(x.shape[-1]).add_(eps).rsqrt_()
        unit: Tensor = (wide * inverse).to(x.dtype)
        ctx.save_for_backward(unit, inverse.to(x.dtype), weight)
        return unit * weight

    @staticmethod
    def backward(ctx: _NormContext, dy: Tensor) -> tuple[Tensor | None, ...]:
        unit, inverse, weight = ctx.saved_tensors
        g = dy * weight
        along = (g * unit).mean(-1, keepdim=True)
        return g.addcmul_(unit, along, value=-1).mul_(inverse), None, None


class _Gate(Function):
    """`silu(gate) * up`."""

    @staticmethod
    def forward(ctx: Context, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(dy * up, gate), F.silu(gate).mul_(dy)


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    learns = torch.is_grad_enabled()
    if (learns or gate.numel() >= _MANY_GATED) and compiled.serves(gate, up):
        return compiled_passes.gated(gate, up)
    if learns:
        out: Tensor = _Gate.apply(gate, up)
        return out
    return F.silu(gate).mul_(up)


class _Turn(Function):
    """Rotary embedding of `(…, d)` in halves (Su et al. 2021); backward turns the other way."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(dy, cos, sin, -1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    half, width = cos.shape[-1] // 2, cos.shape[-1]  # what is beyond `width` passes unturned
    a, b, c, s = x[..., :half], x[..., half:width], cos[..., :half], sin[..., :half]
    out = torch.empty_like(x)
    torch.mul(a, c, out=out[..., :half]).addcmul_(b, s, value=-sign)
    torch.mul(b, c, out=out[..., half:width]).addcmul_(a, s, value=sign)
    if width < x.shape[-1]:
        out[..., width:] = x[..., width:]
    return out


def rotary(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """`apply_rotary_pos_emb` of transformers."""
    learns = torch.is_grad_enabled()
    if (learns or q.numel() >= _MANY_TURNED) and compiled.serves(q, k, cos, sin):
        # Rows before heads: it is how the products gave them, and how attention reads them.
        swaps = unsqueeze_dim == 1
        by_rows = (q.transpose(1, 2), k.transpose(1, 2)) if swaps else (q, k)
        if all(compiled_passes.turns(x, cos) for x in by_rows):
            q, k = compiled_passes.turned(*by_rows, cos, sin)
            return (q.transpose(1, 2), k.transpose(1, 2)) if swaps else (q, k)
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    if not learns and q.shape[-1] == k.shape[-1]:
        turned = _turned(torch.cat((q, k), unsqueeze_dim), cos, sin, 1)
        heads = [x.shape[unsqueeze_dim] for x in (q, k)]
        q, k = turned.split(heads, unsqueeze_dim)
        return q, k
    return _Turn.apply(q, cos, sin), _Turn.apply(k, cos, sin)


def replace_passes(
    model: nn.Module, decoder: nn.Module, dry_run: Callable[[], Tensor]
) -> list[str]:
    """Swap norms, gated MLPs and the rotary function where a probe agrees; say which.

    The rotary function is a global of the architecture's module in transformers, so that one is
    swapped for the whole process. At the end the whole model is asked again: if it then gives
    anything else, it gets its own passes back.

    Args:
        model: the model.
        decoder: the part of it below the head.
        dry_run: runs the model on a few tokens and gives its logits.
    """
    before = dry_run()
    done: list[str] = ["rotary"] if _replace_rotary(decoder, dry_run) else []
    replaced: list[nn.Module] = []
    for name, module in list(model.named_modules()):
        ours = _norm_for(module) or _mlp_for(module)
        if ours is not None:
            module.forward = ours
            replaced.append(module)
            done.append(name)
    scale = before.abs().max()
    if replaced and not close(dry_run() / scale, before / scale):
        _log.warning("the replaced passes together give something else: taken back")
        for module in replaced:
            del module.forward
        return []
    _log.info("passes replaced: %s", ", ".join(done) or "none")
    return done


def _norm_for(module: nn.Module) -> Pass | None:
    """Our norm for `module`, if it is one that it equals. Some multiply by 1 + weight."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = getattr(module, "weight", None)
    if "RMSNorm" not in type(module).__name__ or eps is None or weight is None:
        return None
    if len(signature(module.forward).parameters) != 1:  # some take a gate too (Mamba 2)
        return None
    for factor in (weight.data, (1.0 + weight.data.float()).to(weight.dtype)):
        ours = _norm(factor, eps)
        if same(module, ours, _noise(1, 3, weight.numel(), like=weight)):
            return ours
    return None


def _norm(factor: Tensor, eps: float) -> Callable[[Tensor], Tensor]:
    def ours(x: Tensor) -> Tensor:
        if compiled.serves(x, factor):
            return compiled_passes.norm(x, factor, eps)
        if x.dtype == factor.dtype == torch.float32 and not torch.is_grad_enabled():
            return F.rms_norm(x, factor.shape, factor, eps)
        out: Tensor = _Norm.apply(x, factor, eps)
        return out

    return ours


def _mlp_for(module: nn.Module) -> Pass | None:
    """Our gated MLP for `module`, if it is one that it equals."""
    if not all(hasattr(module, n) for n in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return None
    gate_proj, up_proj, down_proj = module.gate_proj, module.up_proj, module.down_proj
    if not isinstance(gate_proj, nn.Linear) or not isinstance(up_proj, nn.Linear):
        return None

    def ours(x: Tensor) -> Tensor:
        # Looked up anew each time: by then, places may stand where the linears stood.
        gate, up, down = (module.get_submodule(n) for n in ("gate_proj", "up_proj", "down_proj"))
        out: Tensor = down(_gated(gate(x), up(x)))
        return out

    weight = gate_proj.weight
    agrees = isinstance(down_proj, nn.Linear) and same(
        module, ours, _noise(1, 3, gate_proj.in_features, like=weight)
    )
    return ours if agrees else None


def _replace_rotary(decoder: nn.Module, dry_run: Callable[[], Tensor]) -> bool:
    """Swap the architecture's rotary function, probed with what the model really passes."""
    home = sys.modules[type(decoder).__module__]
    theirs = getattr(home, "apply_rotary_pos_emb", None)
    if theirs is None or theirs is rotary:
        return theirs is rotary
    seen: list[tuple[Sequence[Tensor], dict[str, object]]] = []

    def noted(*args: Tensor, **more: object) -> tuple[Tensor, ...]:
        seen.append((args, more))
        out: tuple[Tensor, ...] = theirs(*args, **more)
        return out

    home.apply_rotary_pos_emb = noted  # type: ignore[attr-defined]
    try:
        dry_run()
    finally:
        home.apply_rotary_pos_emb = theirs  # type: ignore[attr-defined]
    agrees = bool(seen) and all(_same_turn(theirs, args, more) for args, more in seen)
    if agrees:
        home.apply_rotary_pos_emb = rotary  # type: ignore[attr-defined]
    return agrees


def _same_turn(theirs: Pass, args: Sequence[Tensor], more: dict[str, object]) -> bool:
    if len(args) < 4 or set(more) - {"unsqueeze_dim"}:
        return False
    turn: Pass = rotary
    q, k, *rest = args
    return same(
        lambda q, k: theirs(q, k, *rest, **more), lambda q, k: turn(q, k, *rest, **more), q, k
    )


def _noise(*shape: int, like: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=source).to(like.device, like.dtype)


@torch.enable_grad()
def same(theirs: Pass, ours: Pass, *inputs: Tensor) -> bool:
    """Whether two passes give the same values and the same gradients of their inputs."""
    results: list[list[Tensor]] = []
    for run in (theirs, ours):
        leaves = [x.detach().clone().requires_grad_() for x in inputs]
        try:
            out = run(*leaves)
        except (RuntimeError, TypeError, ValueError) as refused:
            _log.info("a pass could not be replaced: %s", refused)
            return False
        outs = out if isinstance(out, tuple) else (out,)
        flat = torch.cat([o.flatten() for o in outs])
        slope = torch.linspace(-1, 1, flat.numel(), device=flat.device)
        grads = torch.autograd.grad((flat.float() * slope).sum(), leaves)
        results.append([flat, *grads])
    return all(close(a, b) for a, b in zip(*results, strict=True))


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree to the rounding of their type."""
    tolerance = 1e-5 if a.dtype == torch.float32 else 5e-2
    return a.shape == b.shape and torch.allclose(
        a.float(), b.float(), atol=tolerance, rtol=tolerance
    )
