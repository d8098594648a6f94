"""A streamed plan refined to a machine: normal form, divisors, configuration, clocks and overlap.

The instructions of a machine ask sizes to be multiples: a matrix instruction of its rows, columns
and depth, a coalesced access of a run of bytes.  What is cut can be cut so; a size that is held
whole, and is no such multiple, contradicts the machine, and is refused by name.

Blocks are powers of two, as compilers of kernels want them: of those that are multiples of their
divisors, the largest for which the rows that fit still take longer to compute than the next block
takes to arrive; where there is none, the one that comes nearest.

Source: FlashAttention on a Napkin, section 5 (figures 29 to 35).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ncd_formal.derivation.cost import value
from ncd_formal.derivation.inner_loops import Blocking, inner_loop, products
from ncd_formal.derivation.machines import BYTES, Machine
from ncd_formal.derivation.nests import Access
from ncd_formal.derivation.normal_form import NormalForm, normal_form
from ncd_formal.derivation.overlap import Overlap, overlap, phases
from ncd_formal.derivation.refinement import Configuration, InnerLoop, configure
from ncd_formal.derivation.schedules import Plan, nests
from ncd_formal.errors import InputError
from ncd_formal.sizes import variable

LARGEST_BLOCK = 256
MATRIX = "matrix units"


@dataclass(frozen=True)
class Divisor:
    """What a size must be a multiple of, and the level that asks for it."""

    axis: str
    size: int
    divisor: int
    level: str
    why: str

    @property
    def holds(self) -> bool:
        """Whether it is."""
        return self.size % self.divisor == 0

    def __str__(self) -> str:
        sign = "is a" if self.holds else "is no"
        return (
            f"{self.axis} = {self.size:,} {sign} multiple of {self.divisor}: "
            f"{self.why} ({self.level})"
        )


@dataclass(frozen=True)
class Refined:
    """A plan as the kernel of a machine."""

    name: str
    machine: Machine
    form: NormalForm
    loop: InnerLoop
    divisors: tuple[Divisor, ...]
    configuration: Configuration
    overlaps: Mapping[str, Overlap]
    """The rhythm of the warpgroups that fit, and of one alone, by how it overlaps."""

    def explain(self) -> str:
        """The refinement for people."""
        title = self.machine.title or self.machine.name
        lines = [f"{self.name} refined to {title}", *_indented(str(self.form))]
        lines += ["  divisors", *(f"    {each}" for each in self.divisors)]
        lines += _indented(self.configuration.table())
        spent = self.configuration.clocks
        parts = [f"{name} {clocks:.4g}" for name, clocks in spent.contractions.items()]
        parts += [f"special functions {spent.special:.4g}"] * bool(spent.special)
        parts += [f"accumulation {spent.accumulate:.4g}"] * bool(spent.accumulate)
        found = self.configuration
        computing, moving = found.compute_seconds * 1e6, found.transfer_seconds * 1e6
        lines += [
            f"  clocks for a row and a block of {self.loop.block}: {', '.join(parts)}",
            f"  matrix units that never wait reach {found.flops / 1e12:,.0f} TFLOP/s",
            f"  a step computes {computing:.3g} µs, its block arrives in {moving:.3g} µs",
            *(f"  {name}: {rhythm}" for name, rhythm in self.overlaps.items()),
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The refinement as plain data."""
        found = self.configuration
        return {
            "name": self.name,
            "machine": self.machine.name,
            "normal_form": self.form.to_json(),
            "block": self.loop.block,
            "divisors": [{**asdict(each), "holds": each.holds} for each in self.divisors],
            "variables": [{**asdict(v), "bytes": v.bytes} for v in found.variables],
            "limits": dict(found.limits),
            "warpgroups": found.warpgroups,
            "group": found.group,
            "binds": found.binds,
            "least_group": found.least_group,
            "clocks": {
                "contractions": dict(found.clocks.contractions),
                "special": found.clocks.special,
                "accumulate": found.clocks.accumulate,
            },
            "flops": found.flops,
            "compute_seconds": found.compute_seconds,
            "transfer_seconds": found.transfer_seconds,
            "overlaps": {name: rhythm.to_json() for name, rhythm in self.overlaps.items()},
        }


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def refine(
    name: str,
    plan: Plan,
    machine: Machine,
    sizes: Mapping[str, int],
    types: Mapping[str, str] | None = None,
    block: int | None = None,
) -> Refined:
    """A plan refined to a machine; ``types`` gives inputs other types than the machine's.

    Errors: InputError where nothing is streamed, the loop is not one of matrix instructions, a
    size is missing or contradicts a divisor, or not one warpgroup fits; it names what binds.
    """
    form = normal_form(plan)
    inputs = {access.name for step in nests(plan)[0].passes for access in step.reads}
    for other in types or ():
        if other not in inputs:
            raise InputError(f"no input {other!r} is read: there are {', '.join(sorted(inputs))}")
    kinds = dict.fromkeys(sorted(inputs), machine.dtype) | dict(types or {})
    for each in kinds.values():
        if each not in BYTES:
            raise InputError(f"no type is named {each!r}: there are {', '.join(BYTES)}")
    depth = max(machine.matrix_depth(each) for each in kinds.values())

    def looped(size: int) -> InnerLoop:
        cut = Blocking(size, depth, machine.matrix[1])
        return inner_loop(plan, sizes, kinds, cut, machine.dtype)

    asking = divisors(plan, looped(1), machine, sizes, kinds, 1)
    least = math.lcm(*(each.divisor for each in asking if each.axis == plan.axis))
    chosen = block or _block(looped, machine, least)
    loop = looped(chosen)
    asked = divisors(plan, loop, machine, sizes, kinds, chosen)
    wrong = dict.fromkeys(str(each) for each in asked if not each.holds)
    if wrong:
        raise InputError(f"sizes contradict the divisors of {machine.name}: {'; '.join(wrong)}")
    found = configure(loop, machine)
    waiting = sum(not each.streams for each in loop.contractions)
    transfer = found.transfer_seconds * machine.clock
    rows = machine.warpgroup
    rhythms = {
        f"{found.warpgroups} warpgroups take turns": overlap(
            phases(found.clocks, waiting, rows), found.warpgroups, transfer
        )
    }
    for beside in range(len(loop.contractions) + 1 if found.clocks.special else 0):
        what = f"{beside} products" if beside != 1 else "1 product"
        rhythms[f"one alone, {what} beside the special functions"] = overlap(
            phases(found.clocks, waiting, rows, beside), 1
        )
    return Refined(name, machine, form, loop, asked, found, rhythms)


def _block(looped: Callable[[int], InnerLoop], machine: Machine, least: int) -> int:
    """The block of the stream: see above."""
    best: tuple[bool, float, int] | None = None
    size = 1 << (least - 1).bit_length()
    failed: InputError | None = None
    while size <= max(LARGEST_BLOCK, least):
        if size % least == 0:
            try:
                found = configure(looped(size), machine)
            except InputError as error:
                failed = failed or error
            else:
                keeps = found.group >= found.least_group
                # Of blocks that keep up the largest; of others the one that comes nearest.
                order = (keeps, size if keeps else found.group / found.least_group, size)
                best = order if best is None else max(best, order)
        size *= 2
    if best is None:
        raise failed or InputError(f"no power of two is a multiple of {least}")
    return best[2]


def divisors(
    plan: Plan,
    loop: InnerLoop,
    machine: Machine,
    sizes: Mapping[str, int],
    types: Mapping[str, str],
    block: int,
) -> tuple[Divisor, ...]:
    """What the machine's instructions and accesses ask of the sizes of a loop's blocks."""
    order = [axis for digits in plan.layout for axis in digits]
    rows, column = order[-2], order[-1]
    stream = str(plan.axis)
    found = [Divisor(rows, machine.warpgroup, machine.matrix[0], MATRIX, "rows of an instruction")]
    for part, c in zip(products(plan), loop.contractions, strict=True):
        wide, deep = (column, stream) if part.streams else (stream, part.axis)
        columns = "columns of an instruction"
        least = machine.matrix_depth(c.dtype)
        found.append(Divisor(wide, c.columns, machine.matrix[1], MATRIX, columns))
        found.append(Divisor(deep, c.depth, least, MATRIX, f"depth of an instruction on {c.dtype}"))
    nest = nests(plan)[0]
    tiles = dict.fromkeys(set(nest.cut) - {column}, 1) | {stream: block, rows: machine.warpgroup}
    for access in dict.fromkeys(a for step in nest.passes for a in step.reads):
        found += _coalesced(access, plan, machine, sizes, tiles, types[access.name])
    return tuple(dict.fromkeys(found))


def _coalesced(
    access: Access,
    plan: Plan,
    machine: Machine,
    sizes: Mapping[str, int],
    tiles: Mapping[str, int],
    dtype: str,
) -> list[Divisor]:
    """What lies in a row in memory is whole accesses: the last axis, and more while it is whole."""
    values = asked = max(1, int(machine.line // BYTES[dtype]))
    why = f"accesses of {machine.line} bytes to {access.name} in {dtype}"
    inside = ""
    run = 1
    for dimension in reversed(access.dimensions):
        axes = dimension.variables & plan.context.axes.keys()
        if len(axes) != 1 or dimension is not variable(*axes):
            break
        (axis,) = axes
        extent = tiles.get(axis) or value(plan.context.axes[axis], sizes)
        if tiles.get(axis) == 1 and inside:
            return [Divisor(inside, run, values, machine.on_chip, why)]
        if axis in tiles:
            return [Divisor(axis, extent, asked, machine.on_chip, why)]
        inside, run = axis, run * extent
        asked //= math.gcd(asked, extent)
        if asked == 1:
            return [Divisor(axis, run, values, machine.on_chip, why)]
    return []
