"""Eight neighbouring values at once: a small vector type for numba kernels.

The compiler only makes vector code of long plain loops; rows of triangles are short. Here a kernel
says so itself: `F8` are eight float32, `I8` eight int32, `M8` eight truths. Operators work lane by
lane and a scalar beside them fills all lanes. Kernels alone can use these; on processors without
such registers LLVM splits them.
"""

import operator
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _typed_intrinsic
from numba.extending import lower_builtin, models, register_model

WIDTH = 8
"""Lanes of a value."""

_njit: Any = numba.njit
kernel: Any = _njit(cache=True, error_model="numpy", _nrt=False)
"""Decorator of the rasteriser's functions: they allocate nothing, so that no array is counted in
and out of a call."""

inlined: Any = _njit(cache=True, error_model="numpy", _nrt=False, inline="always")
"""The same for what has to be compiled into its caller."""

intrinsic: Any = _typed_intrinsic

_SCALAR = {
    "float": (ir.FloatType(), types.float32),
    "int": (ir.IntType(32), types.int32),
    "truth": (ir.IntType(1), types.boolean),
}


class Lanes(types.Type):
    """The numba type of eight values of one kind."""

    def __init__(self, kind: str):
        self.kind = kind
        super().__init__(name=f"Lanes({kind})")


F8, I8, M8 = Lanes("float"), Lanes("int"), Lanes("truth")


def _vector(kind: str, count: int = WIDTH) -> ir.Type:
    return ir.VectorType(_SCALAR[kind][0], count)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _vector(fe_type.kind))


def _fill_lanes(context, builder, value, from_type, kind):
    """The value itself, or a scalar in every lane."""
    if isinstance(from_type, Lanes):
        return value
    element, scalar_type = _SCALAR[kind]
    scalar = context.cast(builder, value, from_type, scalar_type)
    if kind == "truth":
        scalar = builder.trunc(scalar, element) if scalar.type != element else scalar
    undefined = ir.Constant(_vector(kind), ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    )


def _kind_of(args) -> str | None:
    kinds = {a.kind for a in args if isinstance(a, Lanes)}
    fits = all(isinstance(a, Lanes | types.Number | types.Boolean) for a in args)
    return kinds.pop() if len(kinds) == 1 and fits else None


def _operation(symbol, emit, compares: bool) -> None:
    """Teaches numba an operator of two arguments; `emit(builder, kind, a, b)` writes the
    instruction.
    """

    class Template(AbstractTemplate):
        key = symbol

        def generic(self, args, kws):
            kind = _kind_of(args) if len(args) == 2 else None
            if kind is None:
                return None
            return signature(M8 if compares else Lanes(kind), *args)

    register: Any = infer_global(symbol)
    register(Template)

    def lower(context, builder, sig, args):
        kind = next(a.kind for a in sig.args if isinstance(a, Lanes))
        a, b = (_fill_lanes(context, builder, v, t, kind) for v, t in zip(args, sig.args))
        return emit(builder, kind, a, b)

    for pair in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(symbol, *pair)(lower)


def _arithmetic(of_floats: str, of_ints: str):
    def emit(builder, kind, a, b):
        # A product and a sum may become one instruction.
        return (
            getattr(builder, of_floats)(a, b, flags=["contract"])
            if kind == "float"
            else getattr(builder, of_ints)(a, b)
        )

    return emit


def _comparison(sign: str):
    return lambda builder, kind, a, b: (
        builder.fcmp_ordered(sign, a, b) if kind == "float" else builder.icmp_signed(sign, a, b)
    )


for _symbol, _floats, _ints in (
    (operator.add, "fadd", "add"),
    (operator.sub, "fsub", "sub"),
    (operator.mul, "fmul", "mul"),
    (operator.truediv, "fdiv", "sdiv"),
    (operator.and_, "and_", "and_"),
    (operator.or_, "or_", "or_"),
    (operator.xor, "xor", "xor"),
    (operator.lshift, "shl", "shl"),
    (operator.rshift, "lshr", "lshr"),
):
    _operation(_symbol, _arithmetic(_floats, _ints), False)
for _symbol, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
):
    _operation(_symbol, _comparison(_sign), True)


def _pointer(context, builder, array_type, array, index, index_type, vector):
    """Where element `index` of a contiguous array lies, as a pointer to `vector`."""
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    at = builder.gep(data, [context.cast(builder, index, index_type, types.intp)])
    return builder.bitcast(at, vector.as_pointer())


@intrinsic
def lanes_at(typingctx, array, index):
    """Elements index to index + 8 of a flat float32 or int32 array; nothing checks that they
    exist.
    """
    kind = "float" if array.dtype == types.float32 else "int"

    def emit(context, builder, sig, args):
        place = _pointer(
            context, builder, sig.args[0], args[0], args[1], sig.args[1], _vector(kind)
        )
        return builder.load(place, align=4)

    return Lanes(kind)(array, index), emit


@intrinsic
def put_lanes(typingctx, array, index, value):
    """Writes elements index to index + 8 of a flat array of the same kind."""

    def emit(context, builder, sig, args):
        place = _pointer(
            context, builder, sig.args[0], args[0], args[1], sig.args[1], _vector(sig.args[2].kind)
        )
        builder.store(args[2], place, align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def bytes_at(typingctx, array, index):
    """(I8) elements index to index + 8 of a flat uint8 array."""

    def emit(context, builder, sig, args):
        place = _pointer(
            context,
            builder,
            sig.args[0],
            args[0],
            args[1],
            sig.args[1],
            ir.VectorType(ir.IntType(8), WIDTH),
        )
        return builder.zext(builder.load(place, align=1), _vector("int"))

    return I8(array, index), emit


@intrinsic
def put_bytes(typingctx, array, index, value):
    """Writes the lowest bytes of eight lanes to elements index to index + 8 of a flat uint8
    array.
    """

    def emit(context, builder, sig, args):
        eight = ir.VectorType(ir.IntType(8), WIDTH)
        place = _pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1], eight)
        builder.store(builder.trunc(args[2], eight), place, align=1)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def put_pixels(typingctx, array, index, value):
    """Writes the lower three bytes of eight lanes, 24 bytes, at `index` of a flat uint8 array."""

    def emit(context, builder, sig, args):
        byte = ir.IntType(8)
        place = _pointer(
            context, builder, sig.args[0], args[0], args[1], sig.args[1], ir.VectorType(byte, 24)
        )
        all_bytes = builder.bitcast(args[2], ir.VectorType(byte, 32))
        kept = ir.Constant(
            ir.VectorType(ir.IntType(32), 24), [4 * i + c for i in range(8) for c in range(3)]
        )
        builder.store(
            builder.shuffle_vector(all_bytes, ir.Constant(all_bytes.type, ir.Undefined), kept),
            place,
            align=1,
        )
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def gather(typingctx, array, index):
    """(I8) elements of a flat int32 array at eight places."""

    def emit(context, builder, sig, args):
        data = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0]).data
        result = ir.Constant(_vector("int"), ir.Undefined)
        for lane in range(WIDTH):
            place = ir.Constant(ir.IntType(32), lane)
            at = builder.zext(builder.extract_element(args[1], place), ir.IntType(64))
            result = builder.insert_element(result, builder.load(builder.gep(data, [at])), place)
        return result

    return I8(array, index), emit


@intrinsic
def select(typingctx, truth, yes, no):
    """`yes` in lanes where `truth` holds, `no` in the others."""
    kind = yes.kind if isinstance(yes, Lanes) else no.kind

    def emit(context, builder, sig, args):
        a, b = (_fill_lanes(context, builder, v, t, kind) for v, t in zip(args[1:], sig.args[1:]))
        return builder.select(args[0], a, b)

    return Lanes(kind)(truth, yes, no), emit


@intrinsic
def settled(typingctx, value):
    """The same value. Between a load and a store to one place it keeps LLVM from making a masked
    store, slow on many processors.
    """

    def emit(context, builder, sig, args):
        freeze = ir.instructions.Instruction(builder.block, args[0].type, "freeze", [args[0]])
        builder._insert(freeze)
        return freeze

    return value(value), emit


def _one_to_one(result, emit):
    return lambda typingctx, value: (
        result(value),
        lambda context, builder, sig, args: emit(builder, args[0]),
    )


def _call(name: str):
    def emit(builder, value):
        function_type = ir.FunctionType(value.type, [value.type])
        return builder.call(
            cgutils.get_or_insert_function(builder.module, function_type, name), [value]
        )

    return emit


def _splat(kind: str):
    def typed(typingctx, value):
        return Lanes(kind)(value), lambda c, b, sig, args: _fill_lanes(
            c, b, args[0], sig.args[0], kind
        )

    return typed


def _ramp(typingctx):
    return F8(), lambda c, b, sig, args: ir.Constant(
        _vector("float"), [float(i) for i in range(WIDTH)]
    )


def _mask_bits(typingctx, value):
    def emit(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(8)), ir.IntType(32))

    return types.int32(value), emit


def _first_true(typingctx, value):
    def emit(context, builder, sig, args):
        bits = builder.zext(builder.bitcast(args[0], ir.IntType(8)), ir.IntType(32))
        return builder.cttz(bits, ir.Constant(ir.IntType(1), 0))

    return types.int32(value), emit


floats = intrinsic(_one_to_one(F8, lambda b, v: b.sitofp(v, _vector("float"))))
"""(F8) of eight whole numbers."""
ints = intrinsic(_one_to_one(I8, lambda b, v: b.fptosi(v, _vector("int"))))
"""(I8) of eight numbers, towards zero."""
float_bits = intrinsic(_one_to_one(I8, lambda b, v: b.bitcast(v, _vector("int"))))
"""(I8) the bits of eight float32."""
roots = intrinsic(_one_to_one(F8, _call("llvm.sqrt.v8f32")))
"""(F8) square roots."""
ceilings = intrinsic(_one_to_one(F8, _call("llvm.ceil.v8f32")))
"""(F8) the next whole numbers from below."""
fill_f8 = intrinsic(_splat("float"))
"""(F8) one number in all lanes."""
fill_i8 = intrinsic(_splat("int"))
"""(I8) one whole number in all lanes."""
fill_m8 = intrinsic(_splat("truth"))
"""(M8) one truth in all lanes."""
ramp = intrinsic(_ramp)
"""(F8) 0, 1, ... 7."""
mask_bits = intrinsic(_mask_bits)
"""Eight truths as the bits of an integer: 0 is none, 255 is all."""
first_true = intrinsic(_first_true)
"""The first lane whose truth holds, 32 where none does."""
