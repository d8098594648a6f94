"""Between which sizes the whole numbers of an array lie, as far as that is read off its making.

Indices that a program computes from positions, by clamping or by choosing the largest, lie in the
dimension that they choose from whatever the inputs are: then no condition on them is printed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ncd_formal.arrays import (
    Array,
    Concatenated,
    IotaArray,
    NumberArray,
    OpaqueArray,
    Pointwise,
    Regrouped,
    Reindexed,
)
from ncd_formal.conditions import Context
from ncd_formal.sizes import Polynomial, quotient, size

Range = tuple[Polynomial | None, Polynomial | None]
"""The least and the largest value that there may be; None where none is known."""

_POSITIONS = re.compile(r"aten\.((topk|sort|max|min|kthvalue|median|mode)\..*#1$|arg(max|min)\.)")


def range_of(context: Context, x: Array) -> Range:
    """Bounds of the values of an array of whole numbers, at all sizes that the context allows."""
    if isinstance(x, NumberArray):
        value = x.value if isinstance(x.value, int | Polynomial) else None
        return (None, None) if value is None else (size(1) * value, size(1) * value)
    if isinstance(x, IotaArray):
        return size(0), x.shape[0] - 1
    if isinstance(x, Reindexed | Regrouped):
        return range_of(context, x.source)
    if isinstance(x, Concatenated):
        return _hull(context, [range_of(context, part) for part in x.parts])
    if isinstance(x, OpaqueArray) and x.seen == (1,) and _POSITIONS.match(x.operator):
        return size(0), x.operands[0].shape[-1] - 1
    if isinstance(x, Pointwise):
        return _pointwise_range(context, x)
    return (size(0), size(1)) if x.kind == "boolean" else (None, None)


def _pointwise_range(context: Context, x: Pointwise) -> Range:
    if x.kind == "boolean":
        return size(0), size(1)
    ranges = [range_of(context, o) for o in x.operands]
    if x.function == "where":
        return _hull(context, ranges[1:])
    low, high = ranges[0]
    if x.function == "identity":
        return low, high
    if x.function == "negative":
        return _negated(ranges[0])
    if x.function == "abs":
        _, most = _hull(context, [ranges[0], _negated(ranges[0])])
        return low if low is not None and context.nonnegative(low) else size(0), most
    if len(ranges) != 2:
        return None, None
    other_low, other_high = ranges[1]
    if x.function == "maximum":
        least = _larger(context, low, other_low) or _either(low, other_low)
        return least, _larger(context, high, other_high)
    if x.function == "minimum":
        most = _smaller(context, high, other_high) or _either(high, other_high)
        return _smaller(context, low, other_low), most
    if x.function == "subtract":
        other_low, other_high = _negated(ranges[1])
    if x.function in {"add", "subtract"}:
        return _sum(low, other_low), _sum(high, other_high)
    if other_low is None or not context.nonnegative(other_low):
        return None, None
    if x.function == "remainder" and context.nonnegative(other_low - 1):
        return size(0), other_high and other_high - 1
    if low is None or not context.nonnegative(low):
        return None, None
    if x.function == "multiply":
        return low * other_low, high and other_high and high * other_high
    if x.function == "floor_divide" and context.nonnegative(other_low - 1):
        numbers = high is not None and None not in {high.constant, other_low.constant}
        return size(0), quotient(high, other_low) if high is not None and numbers else high
    return None, None


def _either(a: Polynomial | None, b: Polynomial | None) -> Polynomial | None:
    """One of two bounds that both hold, a number where there is one."""
    return a if a is not None and (b is None or a.constant is not None) else b


def _sum(a: Polynomial | None, b: Polynomial | None) -> Polynomial | None:
    return a and b and a + b


def _negated(found: Range) -> Range:
    low, high = found
    return high and -high, low and -low


def _hull(context: Context, ranges: Sequence[Range]) -> Range:
    """The smallest range that holds all of them, where that is known."""
    (low, high), *others = ranges
    for other_low, other_high in others:
        low, high = _smaller(context, low, other_low), _larger(context, high, other_high)
    return low, high


def _larger(context: Context, a: Polynomial | None, b: Polynomial | None) -> Polynomial | None:
    if a is None or b is None:
        return None
    return a if context.nonnegative(a - b) else b if context.nonnegative(b - a) else None


def _smaller(context: Context, a: Polynomial | None, b: Polynomial | None) -> Polynomial | None:
    larger = _larger(context, a, b)
    return None if larger is None else b if larger is a else a
