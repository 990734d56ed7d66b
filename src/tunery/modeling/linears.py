"""The places in a frozen model that carry low-rank adapters, several at once.

Every linear layer gives way to a `Place`. Linears that read the same tensor (query, key, value) are
one `Family`: one product with the frozen weights for the rows of all adapters, then each adapter's
low-rank part on its own rows.

Axes: `T` rows, `i` inputs, `o` outputs of the whole family, `k` members of it that an adapter
targets, `r` its rank.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)
from transformers import PreTrainedModel

from tunery.modeling.autograd import Context
from tunery.modeling.quantized import Packed, PackedLinear, joined

if TYPE_CHECKING:
    from tunery.modeling.packs import Packs
    from tunery.modeling.reading import Reading
    from tunery.modeling.stacks import Stack
    from tunery.modeling.stream import Span, Stream

_log = logging.getLogger(__name__)

# State-space layers whose CUDA kernels read this linear's weight past the layer itself. PEFT takes
# no adapters on it, so what we made there could not be loaded.
_FUSED = (".out_proj",)
_FUSED_IN = {"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"}


class Flight(threading.local):
    """What the layers of one base need to know of the pass under way in a thread.

    The base, its places and its attention modules share one, set and emptied by the base. Each
    thread sees its own: several passes can be under way at once.

    Attributes:
        spans: whose rows are whose; `None` between passes, when places are plain linears.
        stream: the packed stream, where attention works on one.
        reading: or what attention reads on from, where earlier tokens are remembered.
        packs: copies of the weights for products of a few rows, as a reading's are.
        stack: the adapters of `spans` side by side, where each has a few rows only.
        recompute: whether layers keep nothing for backward, and are computed again there.
        products: each family's last input and what came of it, for its next member.
        anchor: makes autograd visit a product whose input needs no gradient.
        every_row: what the last layer was given, until its first norm asks, where it narrows.
    """

    def __init__(self, device: torch.device) -> None:
        """No pass is under way; done once for each thread."""
        self.spans: Sequence[Span] | None = None
        self.stream: Stream | None = None
        self.reading: Reading | None = None
        self.packs: Packs | None = None
        self.stack: Stack | None = None
        self.recompute = False
        self.products: dict[Family, tuple[Tensor, tuple[Tensor, ...]]] = {}
        self.anchor = torch.zeros((), device=device, requires_grad=True)
        self.every_row: Tensor | None = None

    def land(self) -> None:
        """Forget the pass."""
        self.spans = self.stream = self.reading = self.packs = self.stack = None
        self.every_row = None
        self.recompute = False
        self.products.clear()


class Family:
    """Linears that read the same tensor. Their weights become views of one matrix.

    Attributes:
        names: where each stands in the model.
        widths: outputs of each.
        packed: the weights where they are kept in four bits.
        bias: `(o,)`, or `None` where no member has one.
    """

    def __init__(self, named: Sequence[tuple[str, nn.Linear]], flight: Flight) -> None:
        """Join the linears; they keep working alone."""
        self.names = [name for name, _ in named]
        self.linears = [linear for _, linear in named]
        self.flight = flight
        self.widths = [linear.out_features for linear in self.linears]
        self.n_inputs = self.linears[0].in_features
        self.packed = _joint_packed(self.linears)
        self._weight = None if self.packed is not None else _joint_weight(self.linears)
        self._weights: tuple[Tensor, ...] | None = (
            None if self._weight is None else self._weight.split(self.widths)
        )
        self.bias = _joint_bias(self.linears)

    @property
    def weight(self) -> Tensor:
        """`(o, i)`, all members' rows one after another; made anew where they are in four bits."""
        if self._weight is not None:
            return self._weight
        assert self.packed is not None
        return self.packed.unpacked()

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Each member's rows of it."""
        if self._weights is not None:
            return self._weights
        parts: tuple[Tensor, ...] = self.weight.split(self.widths)
        return parts

    def zeros(self, *shape: int) -> Tensor:
        """Like its weight."""
        if self.packed is not None:
            return self.packed.scales.new_zeros(shape, dtype=self.packed.dtype)
        return self.weight.new_zeros(shape)

    def output(self, x: Tensor, at: int) -> Tensor:
        """What member `at` gives for `x` in the pass under way, adapters included."""
        known = self.flight.products.get(self)
        if known is None or known[0] is not x:
            known = x, self._products(x)
            self.flight.products[self] = known
        if at == len(self.widths) - 1:
            del self.flight.products[self]
        return known[1][at].view(*x.shape[:-1], -1)

    def _products(self, x: Tensor) -> tuple[Tensor, ...]:
        spans = self.flight.spans or ()
        flat = x.reshape(-1, x.shape[-1])
        if spans[-1].end != len(flat):
            raise RuntimeError(
                f"{self.names[0]} got {len(flat)} rows in a pass of {spans[-1].end}; "
                "it cannot carry an adapter"
            )
        if not torch.is_grad_enabled():
            return self._frozen_products(flat, spans)
        carries = any(span.adapter and self in span.adapter.parts for span in spans)
        anchor = self.flight.anchor if carries else None
        outputs: tuple[Tensor, ...] = _Product.apply(flat, anchor, self, spans)
        return outputs

    def _frozen_products(self, x: Tensor, spans: Sequence[Span]) -> tuple[Tensor, ...]:
        """The same where nothing learns: nothing is kept, nothing dropped."""
        packs = self.flight.packs if self.packed is None else None
        multiply = F.linear if packs is None else packs.product
        y = multiply(x, self.weight, self.bias)
        outputs = (y,) if len(self.widths) == 1 else y.split_with_sizes(self.widths, 1)
        if self.flight.stack is not None:
            self.flight.stack.add(self, x, y)
            return outputs
        for span in spans:
            part = span.adapter.parts.get(self) if span.adapter else None
            if span.adapter is not None and part is not None:
                rows, r = slice(span.first, span.end), span.adapter.config.r
                low = (part.down @ x[rows].T).mul_(span.adapter.scale)
                for i, at in enumerate(part.at):
                    outputs[at][rows].addmm_(low[i * r : (i + 1) * r].T, part.up[i].T)
        return outputs


def _joint_weight(linears: Sequence[nn.Linear]) -> Tensor:
    """One matrix of their weights, which become views of it."""
    weights = [linear.weight.data for linear in linears]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    heights = [linear.out_features for linear in linears]
    for linear, rows in zip(linears, weight.split(heights), strict=True):
        linear.weight.data = rows
    return weight


def _joint_packed(linears: Sequence[nn.Linear]) -> Packed | None:
    """The same of weights in four bits; None where one is not."""
    packed = [linear for linear in linears if isinstance(linear, PackedLinear)]
    if len(packed) < len(linears):
        return None
    joint = joined([linear.packed for linear in packed])
    parts = joint.split([linear.out_features for linear in packed])
    for linear, part in zip(packed, parts, strict=True):
        linear.packed = part
    return joint


def _joint_bias(linears: Sequence[nn.Linear]) -> Tensor | None:
    if all(linear.bias is None for linear in linears):
        return None
    return torch.cat(
        [
            linear.weight.new_zeros(linear.out_features) if linear.bias is None else linear.bias
            for linear in linears
        ]
    )


class Place(nn.Module):
    """Stands where an `nn.Linear` stood. Between passes it is that linear."""

    def __init__(self, family: Family, at: int) -> None:
        """Stand for member `at` of `family`."""
        super().__init__()
        self.family, self.at = family, at
        self.base = family.linears[at]
        self.in_features, self.out_features = self.base.in_features, self.base.out_features

    @property
    def weight(self) -> Tensor:
        """The frozen weight."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        """The base's product, and in a pass the adapters' parts."""
        if self.family.flight.spans is None:
            plain: Tensor = self.base(x)
            return plain
        return self.family.output(x, self.at)


class _ProductContext(Context, Protocol):
    family: Family
    spans: Sequence[Span]


class _Product(Function):
    """Base product of a family for all rows, low-rank parts per adapter on that adapter's rows.

    Adapter gradients are added to the adapter's own fp32 buffers and not handed to autograd, which
    would make a tensor of each. No row of one adapter is ever multiplied into another's, not even
    by zero: 0 x NaN is NaN.

    What lies between A and B is kept as `(k * r, T)`: on a CPU, products with a few columns take
    longer than those with a few rows (measured, fp32: `(512, T) @ (T, 8)` of 1,088 rows 1.9 ms, the
    same as `(8, T) @ (T, 512)` 0.2 ms).
    """

    @staticmethod
    def forward(
        ctx: _ProductContext,
        x: Tensor,
        anchor: Tensor | None,
        family: Family,
        spans: Sequence[Span],
    ) -> tuple[Tensor, ...]:
        y = F.linear(x, family.weight, family.bias)
        outputs = (y,) if len(family.widths) == 1 else tuple(y.split(family.widths, 1))
        kept: list[Tensor | None] = []
        for span in spans:
            part = span.adapter.parts.get(family) if span.adapter else None
            if span.adapter is None or part is None:
                kept += [None, None]
                continue
            rows, r = slice(span.first, span.end), span.adapter.config.r
            keep = None
            if ctx.needs_input_grad[1]:  # learning, not evaluating
                keep = span.dropout_mask(family.n_inputs)
            source = x[rows] if keep is None else x[rows] * keep
            low = (part.down @ source.T).mul_(span.adapter.scale)
            for i, at in enumerate(part.at):
                outputs[at][rows].addmm_(low[i * r : (i + 1) * r].T, part.up[i].T)
            kept += [low, keep]
        ctx.save_for_backward(x, *kept)
        ctx.family, ctx.spans = family, spans
        return outputs

    @staticmethod
    def backward(ctx: _ProductContext, *dys: Tensor) -> tuple[Tensor | None, ...]:
        # Asked for once: where layers are computed again, a second look finds nothing.
        x, *others = ctx.saved_tensors
        family, kept = ctx.family, list[Tensor | None](others)
        dx = _input_gradient(dys, family.weights) if ctx.needs_input_grad[0] else None
        for i, span in enumerate(ctx.spans):
            low, keep = kept[2 * i : 2 * i + 2]
            if span.adapter is None or low is None:
                continue
            rows, part = slice(span.first, span.end), span.adapter.parts[family]
            dlow = part.add_up_gradient([dys[at][rows] for at in part.at], low)
            dlow.mul_(span.adapter.scale)
            source = x[rows] if keep is None else x[rows] * keep
            part.down_grad.add_(dlow @ source)
            if dx is None:
                continue
            if keep is None:
                dx[rows].addmm_(dlow.T, part.down)
            else:
                dx[rows].add_((dlow.T @ part.down).mul_(keep))
        return dx, None, None, None


def _input_gradient(dys: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    dx = dys[0] @ weights[0]
    for dy, weight in zip(dys[1:], weights[1:], strict=True):
        dx.addmm_(dy, weight)
    return dx


@dataclass(frozen=True, eq=False)
class Places:
    """Where adapters can be in a model.

    Attributes:
        families: the linears that carry them.
        linear_names: every linear of the model, those that carry none included.
    """

    families: tuple[Family, ...]
    linear_names: frozenset[str]


def adopt(
    model: PreTrainedModel, head: nn.Module | None, flight: Flight, dry_run: Callable[[], Tensor]
) -> Places:
    """Put a `Place` where each linear of `model` stands, except for its output `head`.

    Args:
        model: the frozen model.
        head: its output projection, which carries no adapter (as in PEFT's `all-linear`).
        flight: what the places share.
        dry_run: runs the model on a few tokens and gives its logits; shows which linears read the
            same tensor, and which see each token exactly once. Others (experts) are left alone.
    """
    linears = {m: name for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    fused = _FUSED if model.config.model_type in _FUSED_IN else ()
    candidates = {
        m: name
        for m, name in linears.items()
        if m is not head and not name.endswith(fused) and _is_linear(m)
    }
    families = [
        Family([(candidates[linear], linear) for linear in run], flight)
        for run in _runs(list(candidates), dry_run)
    ]
    for family in families:
        for at, name in enumerate(family.names):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, Place(family, at))
    adopted = {name for family in families for name in family.names}
    for name in candidates.values():
        if name not in adopted:
            _log.info("%s does not see each token once: it carries no adapter", name)
    return Places(families=tuple(families), linear_names=frozenset(linears.values()))


def _runs(linears: list[nn.Linear], dry_run: Callable[[], Tensor]) -> list[list[nn.Linear]]:
    """Linears that see each token once, those which read the same tensor in one list."""
    calls: list[tuple[nn.Linear, Tensor]] = []

    def note(linear: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(linear, nn.Linear) and inputs:
            calls.append((linear, inputs[0]))

    hooks = [linear.register_forward_pre_hook(note) for linear in linears]
    n_tokens = dry_run().shape[:-1].numel()
    for hook in hooks:
        hook.remove()
    times = Counter(linear for linear, _ in calls)
    runs: list[list[nn.Linear]] = []
    seen: Tensor | None = None
    for linear, x in calls:
        if times[linear] == 1 and x.shape[:-1].numel() == n_tokens:
            if x is seen:
                runs[-1].append(linear)
            else:
                runs.append([linear])
            seen = x
    return runs


@torch.no_grad()
def _is_linear(module: nn.Linear) -> bool:
    """An `nn.Linear`, or a subclass that computes the same (a router may give other outputs)."""
    if type(module) is nn.Linear:
        return True
    x = torch.ones(2, module.in_features, device=module.weight.device, dtype=module.weight.dtype)
    y = module(x)
    plain = F.linear(x, module.weight, module.bias)
    return isinstance(y, Tensor) and y.shape == plain.shape and torch.allclose(y, plain, atol=1e-2)
