"""Sizes of blocks, warps and stages: what a kernel's table holds.

Where matrices are multiplied they are measured: of the sizes that compile without spilling
registers, the largest, for they read each input least often.  Elsewhere a law gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ncd_formal.realize.tiles import Plan

Table = dict[tuple[int, ...], dict[str, int]]
"""(bytes of a number, width), or (bytes,) where nothing is held whole → the size of each axis's
block, ``num_warps`` and ``num_stages``."""

WIDTHS = (32, 64, 128)
"""The widths that tables have, of axes that are held whole."""

# (bytes, width): row, stream, warps, stages.  For sm_80, sm_90, sm_100 and gfx942, any strides.
_CHAIN = {
    (2, 32): (128, 64, 8, 2),
    (2, 64): (128, 64, 8, 2),
    (2, 128): (128, 32, 8, 2),
    (4, 32): (64, 32, 8, 2),
    (4, 64): (64, 32, 8, 2),
    (4, 128): (32, 16, 8, 2),
}
_CHAIN_HOPPER = {
    (2, 32): (128, 128, 8, 3),
    (2, 64): (128, 128, 8, 3),
    (2, 128): (128, 64, 8, 3),
}
# The same where a tile of rows by stream is read too, a mask or a bias: it takes registers.
_CHAIN_WITH_TILE = {
    (2, 32): (128, 32, 8, 2),
    (2, 64): (64, 64, 8, 2),
    (2, 128): (64, 32, 8, 2),
    (4, 32): (64, 32, 8, 2),
    (4, 64): (32, 32, 4, 2),
    (4, 128): (32, 16, 8, 2),
}
# (bytes,): row, column, stream, warps, stages.
_PRODUCT = {
    (2,): (128, 128, 32, 8, 2),
    (4,): (64, 64, 16, 8, 2),
}
_PRODUCT_HOPPER = {(2,): (128, 128, 64, 8, 3)}

_NUMBERS = 2048
"""How many numbers a tile holds where it is not measured: 16 for each thread of 4 warps."""

_LARGEST = 1024


def tables(plan: Plan) -> tuple[Table, Table]:
    """The table for any GPU, and what is better on Hopper and later where rows are contiguous.

    Where it is not measured, such as with a further axis that is written in blocks, blocks grow in
    turn while every tile holds few enough numbers.
    """
    multiplies = plan.products and all(len(shape) <= 2 for shape in plan.shapes)
    if multiplies and plan.whole and {*plan.blocked} == {plan.row, plan.stream}:
        assert plan.row is not None
        two = (plan.row, plan.stream)
        if any(t.op == "Input" and {*two} <= own for t, own in plan.varies.items()):
            return _table(two, _CHAIN_WITH_TILE), {}
        return _table(two, _CHAIN), _table(two, _CHAIN_HOPPER)
    if multiplies and plan.row and {*plan.blocked} == {plan.row, plan.column, plan.stream}:
        assert plan.column is not None
        axes = (plan.row, plan.column, plan.stream)
        return _table(axes, _PRODUCT), _table(axes, _PRODUCT_HOPPER)
    if plan.whole:
        return {(size, w): _grown(plan, w) for size in (2, 4) for w in WIDTHS}, {}
    return {(size,): _grown(plan, 1) for size in (2, 4)}, {}


def _table(axes: Sequence[str], rows: Mapping[Any, tuple[int, ...]]) -> Table:
    names = (*axes, "num_warps", "num_stages")
    return {key: dict(zip(names, row, strict=True)) for key, row in rows.items()}


def _grown(plan: Plan, width: int) -> dict[str, int]:
    """Blocks of 16 at least that double in turn while no tile holds too many numbers."""

    def most(sizes: Mapping[str, int]) -> int:
        return max(prod(sizes.get(axis, width) for axis in shape) for shape in plan.shapes)

    blocks = dict.fromkeys(plan.blocked, 16)
    growing = list(blocks)
    while growing:
        for axis in list(growing):
            larger = {**blocks, axis: 2 * blocks[axis]}
            if larger[axis] <= _LARGEST and most(larger) <= _NUMBERS:
                blocks = larger
            else:
                growing.remove(axis)
    return {**blocks, "num_warps": 4 if most(blocks) <= 4 * _NUMBERS else 8, "num_stages": 2}
