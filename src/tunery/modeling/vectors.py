"""Many neighbouring numbers as one value of a compiled loop, for loops too short to be left to it.

A compiler turns a loop over numbers into one over vectors, with the rest of them one by one; where
a row has few, the rest is most of them. Vectors are loaded, reckoned with and stored whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat

from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, models, overload, register_model

from tunery.modeling.compiled import HIGHEST, LN2_HIGH, LN2_LOW, LOG2_E, LOWEST, POWERS

WIDTH = 32

_I16, _I32, _F32 = ir.IntType(16), ir.IntType(32), ir.FloatType()
_FLOATS, _WORDS, _HALVES = (ir.VectorType(kind, WIDTH) for kind in (_F32, _I32, _I16))
# As of the loops in `compiled`: sums in another order, but what is no number stays none.
_FREE = ("contract", "reassoc", "nsz", "arcp")


class _Short(ir.Type):  # type: ignore[misc]
    """Bf16, which the assembler's library lacks."""

    def __str__(self) -> str:
        return "bfloat"


_SHORT_FLOATS = ir.VectorType(_Short(), WIDTH)


class _Vector(types.Type):  # type: ignore[misc]
    """`WIDTH` fp32 numbers."""

    def __init__(self) -> None:
        super().__init__("Vector")


_vector = _Vector()


@register_model(_Vector)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:  # noqa: ANN401
        super().__init__(manager, kind, _FLOATS)


Generate = Callable[[Any, Any, Sequence[Any]], Any]
"""Makes the code: of context and builder, the types of the arguments, and the arguments."""


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any, vector: Any) -> Any:  # noqa: ANN401
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(_: object, array: Any, at: Any) -> Any:  # noqa: ANN401
    """Those of an array from `at` on, fp32 or the bits of bf16."""

    def generate(context: Any, builder: Any, made: Signature, arguments: Any) -> Any:  # noqa: ANN401
        wide = array.dtype == types.float32
        vector = _FLOATS if wide else _HALVES
        place = _address(context, builder, made.args[0], arguments[0], arguments[1], vector)
        found = builder.load(place, align=4 if wide else 2)
        if wide:
            return found
        return builder.bitcast(builder.shl(builder.zext(found, _WORDS), _words(16)), _FLOATS)

    return _vector(array, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(_: object, array: Any, at: Any, vector: Any) -> Any:  # noqa: ANN401
    """Write them to an array from `at` on; as bf16 the nearest, of two the even one.

    As bf16, what is below 1.2e-38 may be zero.
    """

    def generate(context: Any, builder: Any, made: Signature, arguments: Any) -> Any:  # noqa: ANN401
        target, to, found = arguments
        if array.dtype == types.float32:
            place = _address(context, builder, made.args[0], target, to, _FLOATS)
            builder.store(found, place, align=4)
            return context.get_dummy_value()
        halves = builder.bitcast(builder.fptrunc(found, _SHORT_FLOATS), _HALVES)
        place = _address(context, builder, made.args[0], target, to, _HALVES)
        builder.store(halves, place, align=2)
        return context.get_dummy_value()

    return types.void(array, at, vector), generate


@intrinsic  # type: ignore[untyped-decorator]
def move(_: object, target: Any, to: Any, source: Any, at: Any) -> Any:  # noqa: ANN401
    """Write those of another array of the same type, as they are."""
    vector = _FLOATS if source.dtype == types.float32 else _HALVES

    def generate(context: Any, builder: Any, made: Signature, arguments: Any) -> Any:  # noqa: ANN401
        there = _address(context, builder, made.args[2], arguments[2], arguments[3], vector)
        found = builder.load(there, align=2)
        place = _address(context, builder, made.args[0], arguments[0], arguments[1], vector)
        builder.store(found, place, align=2)
        return context.get_dummy_value()

    return types.void(target, to, source, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def each(_: object, number: Any) -> Any:  # noqa: ANN401
    """One number in all vector."""

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        return _splat(builder, arguments[0], _FLOATS)

    return _vector(types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def spread(_: object, array: Any, at: Any) -> Any:  # noqa: ANN401
    """One number of an fp32 array in all of a vector."""

    def generate(context: Any, builder: Any, made: Signature, arguments: Any) -> Any:  # noqa: ANN401
        data = context.make_array(made.args[0])(context, builder, arguments[0]).data
        return _splat(builder, builder.load(builder.gep(data, [arguments[1]])), _FLOATS)

    return _vector(array, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def inside(_: object, first: Any, n: Any, vector: Any, other: Any) -> Any:  # noqa: ANN401
    """`vector` where `first`, `first + 1`, … is from 0 to below `n`, and `other` elsewhere."""

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        begin, end = (_splat(builder, builder.trunc(x, _I32), _WORDS) for x in arguments[:2])
        column = builder.add(begin, ir.Constant(_WORDS, list(range(WIDTH))))
        return builder.select(builder.icmp_unsigned("<", column, end), *arguments[2:])

    return _vector(types.int64, types.int64, vector, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def larger(_: object, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Place by place the larger of two; of a NaN either."""

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return _vector(x, y), generate


@intrinsic  # type: ignore[untyped-decorator]
def largest(_: object, vector: Any) -> Any:  # noqa: ANN401
    """The largest of all; beside a NaN any of them."""

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        return _reduced(builder, "fmax", [_FLOATS], arguments, ("nnan", "nsz"))

    return types.float32(vector), generate


@intrinsic  # type: ignore[untyped-decorator]
def total(_: object, vector: Any) -> Any:  # noqa: ANN401
    """The sum of all."""

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        kinds, start = [_F32, _FLOATS], ir.Constant(_F32, 0.0)
        return _reduced(builder, "fadd", kinds, [start, *arguments], _FREE)

    return types.float32(vector), generate


def _reduced(builder: Any, name: str, kinds: Any, arguments: Any, flags: Any) -> Any:  # noqa: ANN401
    kind = ir.FunctionType(_F32, kinds)
    function = f"llvm.vector.reduce.{name}.v{WIDTH}f32"
    found = builder.module.globals.get(function) or ir.Function(builder.module, kind, function)
    return builder.call(found, arguments, fastmath=flags)


@intrinsic  # type: ignore[untyped-decorator]
def exp(_: object, vector: Any) -> Any:  # noqa: ANN401
    """E to the power of each, as `compiled.exp`, from -87.3 to 88."""

    def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
        def times(x: Any, y: Any, z: Any) -> Any:  # noqa: ANN401
            return builder.fadd(builder.fmul(x, y, flags=_FREE), z, flags=_FREE)

        x = arguments[0]
        for sign, bound in (("<", LOWEST), (">", HIGHEST)):
            x = builder.select(builder.fcmp_ordered(sign, x, _floats(bound)), _floats(bound), x)
        kind = ir.FunctionType(_FLOATS, [_FLOATS])
        floor = f"llvm.floor.v{WIDTH}f32"
        whole = builder.module.globals.get(floor) or ir.Function(builder.module, kind, floor)
        n = builder.call(whole, [times(x, _floats(LOG2_E), _floats(0.5))])
        r = times(n, _floats(-LN2_HIGH), x)
        r = times(n, _floats(-LN2_LOW), r)
        p = _floats(POWERS[0])
        for power in (*POWERS[1:], 1.0, 1.0):
            p = times(p, r, _floats(power))
        # Of a NaN `n` is any integer at all; what it is multiplied with is the NaN itself.
        exponent = builder.add(builder.fptosi(n, _WORDS), _words(127))
        power_of_two = builder.bitcast(builder.shl(exponent, _words(23)), _FLOATS)
        return builder.fmul(p, power_of_two)

    return _vector(vector), generate


def _operation(name: str) -> Any:  # noqa: ANN401
    @intrinsic  # type: ignore[untyped-decorator]
    def operation(_: object, x: Any, y: Any) -> Any:  # noqa: ANN401
        def generate(_: object, builder: Any, __: object, arguments: Any) -> Any:  # noqa: ANN401
            return getattr(builder, name)(*arguments, flags=_FREE)

        return _vector(x, y), generate

    return operation


_add, _subtract, _multiply = (_operation(name) for name in ("fadd", "fsub", "fmul"))


def _both(x: Any, y: Any) -> bool:  # noqa: ANN401
    return isinstance(x, _Vector) and isinstance(y, _Vector)


@overload(operator.add, strict=False)  # type: ignore[untyped-decorator]
def _added(x: Any, y: Any) -> Any:  # noqa: ANN401
    return (lambda x, y: _add(x, y)) if _both(x, y) else None


@overload(operator.sub, strict=False)  # type: ignore[untyped-decorator]
def _subtracted(x: Any, y: Any) -> Any:  # noqa: ANN401
    return (lambda x, y: _subtract(x, y)) if _both(x, y) else None


@overload(operator.mul, strict=False)  # type: ignore[untyped-decorator]
def _multiplied(x: Any, y: Any) -> Any:  # noqa: ANN401
    return (lambda x, y: _multiply(x, y)) if _both(x, y) else None


def _words(n: int) -> Any:  # noqa: ANN401
    return ir.Constant(_WORDS, [n] * WIDTH)


def _floats(x: SupportsFloat) -> Any:  # noqa: ANN401
    return ir.Constant(_FLOATS, [float(x)] * WIDTH)


def _splat(builder: Any, x: Any, kind: Any) -> Any:  # noqa: ANN401
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), _words(0))
