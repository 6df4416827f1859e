"""What the splat kernels need of eight numbers at once beyond `envs/raster/lanes.py`."""

from typing import Any

import numba
from llvmlite import ir
from numba.core import types

from s2e.envs.raster.lanes import F8, I8, inlined, intrinsic, select

_njit: Any = numba.njit
part: Any = _njit(
    cache=True, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Decorator of kernels that only other kernels call: what Python would need to call them takes long
to compile."""

ROUND = 12582912.0
"""1.5 * 2^23: a small number added to it leaves its nearest whole number in the lowest bits of the
sum."""


def _reinterpreted(result, element):
    def typed(typingctx, value):
        return result(value), lambda c, builder, sig, args: builder.bitcast(
            args[0], ir.VectorType(element, 8)
        )

    return typed


def _halves_added(typingctx, value):
    def emit(context, builder, sig, args):
        total, width = args[0], 8
        while width > 1:
            width //= 2
            kinds = [
                ir.Constant(ir.VectorType(ir.IntType(32), width), [i + k for i in range(width)])
                for k in (0, width)
            ]
            low, high = (
                builder.shuffle_vector(total, ir.Constant(total.type, ir.Undefined), kind)
                for kind in kinds
            )
            total = builder.fadd(low, high)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(value), emit


sum_of_lanes = intrinsic(_halves_added)
"""(float32) eight numbers added up."""
floats_of_bits = intrinsic(_reinterpreted(F8, ir.FloatType()))
"""(F8) whose bits are those of eight int32."""
bits_of_floats = intrinsic(_reinterpreted(I8, ir.IntType(32)))
"""(I8) the bits of eight float32."""


@inlined
def most(a, b):
    """The larger number in every lane."""
    return select(a > b, a, b)


@inlined
def least(a, b):
    """The smaller number in every lane."""
    return select(a < b, a, b)


@inlined
def powers_of_two(y):
    """2^y for y in -120..0, relative error under 1e-4: 2^n 2^f, f in -1/2..1/2 with the minimax
    polynomial of degree 3.
    """
    shifted = y + ROUND
    f = y - (shifted - ROUND)
    e = ((f * 0.05517165 + 0.24261112) * f + 0.69326099) * f + 0.99992807
    return floats_of_bits(bits_of_floats(e) + (bits_of_floats(shifted) << 23))


@inlined
def arctangents(t):
    """Of numbers in 0..1, error under 2e-6: the minimax polynomial of degree 11."""
    u = t * t
    p = (
        (((u * -0.01171913 + 0.05264735) * u - 0.11642648) * u + 0.19354038) * u - 0.33262283
    ) * u + 0.99997722
    return p * t


@inlined
def magnitudes(a):
    """Without their signs."""
    return select(a < 0.0, 0.0 - a, a)
