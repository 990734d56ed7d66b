"""Loops over a CPU tensor's numbers, compiled by numba: what torch would make in several passes.

A kernel is written for one thread and lets go of the interpreter while it runs. Numbers are read
and written in the tensor's own type, fp32 or bf16, and are fp32 in between.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from filelock import FileLock
from llvmlite import ir
from numba import njit, types
from numba.core.caching import FunctionCache, NullCache
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from torch import Tensor

_log = logging.getLogger(__name__)

Kernel = TypeVar("Kernel", bound=Callable[..., None])

Numbers: TypeAlias = np.ndarray[Any, Any]
"""A tensor's memory, as a kernel takes it."""

SERVED = (torch.float32, torch.bfloat16)
"""The types of numbers that kernels read and write."""

# Sums may be taken in another order, and a product and its sum in one operation. Numbers that are
# not finite keep their meaning: a job is told by them.
_RULES = {"contract", "reassoc", "nsz", "arcp"}

_KERNELS: list[Any] = []
"""Every kernel that was defined."""


def serves(*tensors: Tensor) -> bool:
    """Whether kernels can work on these: on the CPU, of one type that they know."""
    kinds = {tensor.dtype for tensor in tensors}
    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    return on_cpu and len(kinds) == 1 and kinds.issubset(SERVED)


@cache
def _parts(source: str) -> str:
    """A digest of what the kernels in a file are made of."""
    folder = Path(__file__).parent
    sources = (folder / "compiled.py", folder / "vectors.py", Path(source))
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]


def kernel(function: Kernel) -> Kernel:
    """`function` compiled at its first call for the types of its arguments, and kept on disk."""
    # Numba looks at a file's time alone, and writes what is new where the old stands: where a disk
    # is full in between, it would take the one for the other ever after.
    function.__qualname__ += f"-{_parts(function.__code__.co_filename)}"
    compiled: Any = njit(nogil=True, fastmath=_RULES, error_model="numpy")(function)
    compiled._cache = _Kept(function)
    _KERNELS.append(compiled)
    return cast("Kernel", compiled)


def load_kept() -> None:
    """Load what earlier processes have kept of the kernels defined so far.

    A process that others are forked from spares them this, and numba's own tables, which take
    longer.
    """
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    for compiled in _KERNELS:
        for arguments in compiled._cache.kept():
            compiled.compile(arguments)


class _Kept(NullCache):  # type: ignore[misc]
    """What is kept of a kernel on disk, where no folder is made before it is asked for.

    One process at a time keeps something, as numba reads, changes and writes its index without a
    lock; and a full disk costs no more than the keeping.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function

    @cached_property
    def _files(self) -> FunctionCache | None:
        try:
            return FunctionCache(self._function)
        except RuntimeError as nowhere:
            _log.info("%s is compiled anew in every process: %s", self._function.__name__, nowhere)
            return None

    def kept(self) -> list[Any]:
        """The types of arguments for which there is something that this processor can run."""
        index = self._files._cache_file._load_index() if self._files else ()
        processor = cpu_target.target_context.codegen().magic_tuple()
        return [arguments for arguments, made_for, *_ in index if made_for == processor]

    def load_overload(self, arguments: object, target: object) -> object:
        return self._files.load_overload(arguments, target) if self._files else None

    def save_overload(self, arguments: object, made: object) -> None:
        if self._files is None:
            return
        try:
            with FileLock(Path(self._files.cache_path) / ".kernels.lock"):
                self._files.save_overload(arguments, made)
        except OSError as trouble:
            _log.warning("%s is compiled again next time: %s", self._function.__name__, trouble)


inline: Callable[[Callable[..., Any]], Any] = njit(
    inline="always", fastmath=_RULES, error_model="numpy"
)
"""Makes a part of kernels."""


def numbers(tensor: Tensor) -> Numbers:
    """The tensor's own memory as an array; of bf16, its bits."""
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    return tensor.numpy()


def stretch(tensor: Tensor) -> Numbers:
    """The memory from a tensor's first number to its last, with what lies between its rows."""
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return numbers(tensor.as_strided((last + 1 if tensor.numel() else 0,), (1,)))


_I32, _F32 = ir.IntType(32), ir.FloatType()
_SHIFT, _ONE, _ROUND, _BIAS, _MANTISSA = (ir.Constant(_I32, n) for n in (16, 1, 0x7FFF, 127, 23))
_QUIET = ir.Constant(_I32, 0x400000)


@intrinsic  # type: ignore[untyped-decorator]
def read(_: object, number: Any) -> Any:  # noqa: ANN401
    """A number of a tensor as fp32."""
    signature = types.float32(number)

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        (found,) = arguments
        if number == types.float32:
            return found
        return builder.bitcast(builder.shl(builder.zext(found, _I32), _SHIFT), _F32)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def rounded(_: object, array: Any, number: Any) -> Any:  # noqa: ANN401
    """An fp32 number as `array` keeps it: of bf16 the nearest, of two the even one."""
    signature = array.dtype(array, number)

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        if array.dtype == types.float32:
            return arguments[1]
        bits = builder.bitcast(arguments[1], _I32)
        odd = builder.and_(builder.lshr(bits, _SHIFT), _ONE)
        nearest = builder.add(builder.add(bits, _ROUND), odd)
        # Rounding up could carry the bits of a NaN over into infinity's or zero's.
        is_nan = builder.fcmp_unordered("uno", arguments[1], arguments[1])
        kept = builder.select(is_nan, builder.or_(bits, _QUIET), nearest)
        return builder.trunc(builder.lshr(kept, _SHIFT), ir.IntType(16))

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def _floor(_: object, number: Any) -> Any:  # noqa: ANN401
    signature = types.float32(number)

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        kind = ir.FunctionType(_F32, [_F32])
        return builder.call(builder.module.declare_intrinsic("llvm.floor", [_F32], kind), arguments)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(_: object, exponent: Any) -> Any:  # noqa: ANN401
    """Of a whole fp32 number from -126 to 127; of a NaN anything."""
    signature = types.float32(exponent)

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        # Of a NaN this is any integer at all; what it is multiplied with is the NaN itself.
        whole = builder.fptosi(arguments[0], _I32)
        return builder.bitcast(builder.shl(builder.add(whole, _BIAS), _MANTISSA), _F32)

    return signature, generate


_f = np.float32
# Cody & Waite 1980: ln 2 in two parts, so that the remainder is exact; then Cephes' `expf`.
LOG2_E, LN2_HIGH, LN2_LOW = _f(1.44269504), _f(0.693359375), _f(-2.12194440e-4)
_P5, _P4, _P3 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_P2, _P1, _P0 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)
POWERS = _P5, _P4, _P3, _P2, _P1, _P0
LOWEST, HIGHEST = _f(-87.3), _f(88.0)
_HALF, _UNIT = _f(0.5), _f(1.0)


@inline
def exp(x: Any) -> Any:  # noqa: ANN401
    """E to the power of an fp32 number, to 2e-7 relative, from -87.3 to 88 and not beyond."""
    x = LOWEST if x < LOWEST else x
    x = HIGHEST if x > HIGHEST else x
    n = _floor(x * LOG2_E + _HALF)
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = ((((_P5 * r + _P4) * r + _P3) * r + _P2) * r + _P1) * r + _P0
    return (p * r * r + r + _UNIT) * _power_of_two(n)
