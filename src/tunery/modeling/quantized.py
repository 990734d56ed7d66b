"""A frozen base in four bits: QLoRA's NF4 (Dettmers et al. 2023, section 3).

A block of 64 weights, as they lie in memory, is its largest magnitude in fp32 and a code of four
bits for each weight: 4.5 bits a weight. The codes lie as those of bitsandbytes do (the first of two
weights in a byte's upper half), and give the same numbers to the bit; so PEFT, with the same base
in four bits by bitsandbytes, finds the base that an adapter was trained on. The scales are not
quantized once more. Weights are unpacked for each product and forgotten after it.

Axes: `o` outputs and `i` inputs of a layer, `b = o i / 64` blocks.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (everyone's name for it)

_log = logging.getLogger(__name__)

_BLOCK = 64

# Appendix E: quantiles of a normal distribution, zero among them, from -1 to 1.
_LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """A matrix in four bits.

    Attributes:
        codes: `(o * i / 2,)` bytes, two weights each.
        scales: `(b,)` fp32.
        shape: `(o, i)`.
        dtype: of what it is unpacked to.
    """

    codes: Tensor
    scales: Tensor
    shape: tuple[int, int]
    dtype: torch.dtype

    def unpacked(self) -> Tensor:
        """`(o, i)`, made anew."""
        if self.codes.device.type == "cuda" and _has_kernel(self.codes.device, self.dtype):
            return by_bitsandbytes(self)
        return by_lookup(self)

    def split(self, heights: Sequence[int]) -> list[Packed]:
        """Its rows as matrices so high, of which each is whole blocks; nothing is copied."""
        n = self.shape[1]
        codes = self.codes.split([height * n // 2 for height in heights])
        scales = self.scales.split([height * n // _BLOCK for height in heights])
        return [
            Packed(codes=code, scales=scale, shape=(height, n), dtype=self.dtype)
            for code, scale, height in zip(codes, scales, heights, strict=True)
        ]


def pack(weight: Tensor) -> Packed:
    """`weight`, `(o, i)`, in four bits.

    Raises:
        ValueError: its numbers do not make whole blocks.
    """
    if weight.numel() % _BLOCK:
        raise ValueError(f"{tuple(weight.shape)} numbers are no multiple of {_BLOCK}")
    levels = torch.tensor(_LEVELS, device=weight.device)
    blocks = weight.float().reshape(-1, _BLOCK)
    scales = blocks.abs().amax(1)
    unit = blocks / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    codes = torch.bucketize(unit, (levels[1:] + levels[:-1]) / 2).to(torch.uint8).view(-1, 2)
    rows, columns = weight.shape
    return Packed(
        codes=codes[:, 0] << 4 | codes[:, 1],
        scales=scales,
        shape=(rows, columns),
        dtype=weight.dtype,
    )


def joined(parts: Sequence[Packed]) -> Packed:
    """Matrices of one width, one below the other."""
    return Packed(
        codes=torch.cat([part.codes for part in parts]),
        scales=torch.cat([part.scales for part in parts]),
        shape=(sum(part.shape[0] for part in parts), parts[0].shape[1]),
        dtype=parts[0].dtype,
    )


def by_lookup(packed: Packed) -> Tensor:
    """Unpacked by a table of what each byte means."""
    pairs = F.embedding(packed.codes.int(), _pairs(packed.codes.device))
    numbers = pairs.view(-1, _BLOCK).mul_(packed.scales[:, None])
    return numbers.to(packed.dtype).view(packed.shape)


@lru_cache
def _pairs(device: torch.device) -> Tensor:
    """`(256, 2)` fp32, the two levels in each byte."""
    levels = torch.tensor(_LEVELS, device=device)
    byte = torch.arange(256, device=device)
    return torch.stack((levels[byte >> 4], levels[byte & 15]), 1)


def by_bitsandbytes(packed: Packed) -> Tensor:
    """Unpacked by one kernel of bitsandbytes."""
    from bitsandbytes import functional

    state = functional.QuantState(
        absmax=packed.scales,
        shape=torch.Size(packed.shape),
        blocksize=_BLOCK,
        quant_type="nf4",
        dtype=packed.dtype,
    )
    weight: Tensor = functional.dequantize_4bit(packed.codes[:, None], state)
    return weight


@lru_cache
def _has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    if importlib.util.find_spec("bitsandbytes") is None:
        _log.info("unpacked by a table: bitsandbytes is not installed")
        return False
    source = torch.Generator().manual_seed(0)
    packed = pack(torch.randn(48, _BLOCK, generator=source).to(device, dtype))
    try:
        same = torch.equal(by_bitsandbytes(packed), by_lookup(packed))
    except Exception as refused:  # whatever its library lacks on this machine
        _log.warning("unpacked by a table, as bitsandbytes refuses: %s", refused)
        return False
    if not same:
        _log.warning("unpacked by a table, as bitsandbytes gives something else")
    return same


class PackedLinear(nn.Linear):
    """A frozen linear layer in four bits; its `weight` is unpacked when it is asked for."""

    def __init__(self, packed: Packed, bias: Tensor | None) -> None:
        """`packed` is `(o, i)`, `bias` `(o,)`."""
        nn.Module.__init__(self)
        self.out_features, self.in_features = packed.shape
        self.packed = packed
        self.register_buffer("bias", bias)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """`(o, i)`, made anew."""
        return self.packed.unpacked()


def pack_linears(model: nn.Module, head: nn.Module | None, device: torch.device) -> None:
    """Put the linear layers of `model`, all but its output `head`, on `device` in four bits.

    Experts of a mixture, norms and embeddings are no linear layers, and stay as they are; so does
    a layer that does not make whole blocks.
    """
    linears = {name: m for name, m in model.named_modules() if type(m) is nn.Linear}
    for name, linear in linears.items():
        if linear is head:
            continue
        if linear.weight.numel() % _BLOCK:
            _log.info("%s is not kept in four bits: its size is odd", name)
            continue
        packed = pack(linear.weight.data.to(device))
        bias = None if linear.bias is None else linear.bias.data.to(device)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, PackedLinear(packed, bias))
        linear.weight.data = torch.empty(0)  # what has been packed need not stay in memory


def n_parameters(model: nn.Module) -> int:
    """How many weights `model` has, those in four bits too."""
    packed = (m.packed.codes.numel() * 2 for m in model.modules() if isinstance(m, PackedLinear))
    return sum(weight.numel() for weight in model.parameters()) + sum(packed)
