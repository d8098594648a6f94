"""From a streamed schedule to the numbers of a kernel: sub-loops, registers, warpgroups, clocks.

A group of rows is shared by warpgroups of a fixed number of rows.  Each step of the inner loop is a
chain of operations on a block: contractions run on matrix units, the rest on vector and
special-function units.  Every value gets a level and a type; what a level must hold is a constant
part, for the whole block of threads, and a part for each warpgroup, so that

    N = (M_level − M_block) / M_warpgroup

warpgroups fit.  The least over levels, in whole numbers, gives the rows of a group, g = N · w.

Source: FlashAttention on a Napkin, section 5 (expansion to pseudocode, figures 29 to 35) and
section 6.  Of the paper's table of registers only the total was at hand, 74.75 KiB for a warpgroup;
the list that :func:`variables` makes is a reconstruction, by one law for all programs, of that sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ncd_formal.derivation.machines import BYTES, Machine
from ncd_formal.errors import InputError

ROWS = "rows"
"""The axis that groups cut and warpgroups share."""


@dataclass(frozen=True)
class Contraction:
    """A product of two blocks on a matrix unit, accumulated along ``depth``.

    ``left`` has the group's rows, ``right`` has not.  ``streams`` says that ``depth`` is the
    streamed axis, so that the result is the group's state.
    """

    name: str
    left: str
    right: str
    columns: int
    depth: int
    dtype: str
    """The type of the operands, which sets the rate."""
    result: str
    """The type of what is accumulated."""
    fragment: int
    """How much of ``depth`` (or, for a streamed one, of the columns) is in registers at once."""
    streams: bool = False


@dataclass(frozen=True)
class InnerLoop:
    """What happens to one block of a stream, as the refinement needs to know it.

    ``row_states`` counts the components of the fold's state that are one value a row, as a running
    maximum and a running sum are; ``rescaled`` says that they rescale what was accumulated.
    """

    contractions: tuple[Contraction, ...]
    block: int
    """Streamed indices of a step."""
    special_per_block: int = 0
    """Special functions for each row and block, one for each value and one for each rescaling."""
    row_states: int = 0
    rescaled: bool = False
    state_dtype: str = "fp16"


@dataclass(frozen=True)
class Variable:
    """A value of the kernel: where it lives, its size for one warpgroup or for the block."""

    name: str
    level: str
    shape: tuple[int, ...]
    dtype: str
    per_warpgroup: bool
    copies: int = 1

    @property
    def bytes(self) -> float:
        """Bytes of all its copies."""
        return math.prod(self.shape) * BYTES[self.dtype] * self.copies


def variables(loop: InnerLoop, rows: int, buffers: int = 2) -> tuple[Variable, ...]:
    """Every value that is placed, for warpgroups of ``rows`` rows.

    On chip: what is streamed, in ``buffers`` copies; and for each warpgroup, what it reads once and
    the state that it stores.  In registers, for each warpgroup: the result of each contraction; the
    values that a later contraction takes, once more as they are made from it; the fragments of the
    operands in use; a fragment of the result that is added to the state; and for each row, each
    component of the fold's state before a block, of the block, and after it, with the factor that
    rescales.
    """
    found: list[Variable] = []
    results = {c.name for c in loop.contractions}
    for c in loop.contractions:
        taken = any(other.left == c.name for other in loop.contractions)
        width = (c.depth, c.columns) if c.streams else (c.columns, c.depth)
        found.append(Variable(c.right, "shared", width, c.dtype, False, buffers))
        if c.left not in results:
            found.append(Variable(c.left, "shared", (rows, c.depth), c.dtype, True))
            found.append(Variable(f"{c.left}′", "registers", (rows, c.fragment), c.dtype, True))
        if c.streams:
            found.append(Variable(c.name, "shared", (rows, c.columns), c.result, True))
            found.append(Variable(f"{c.right}′", "registers", (c.depth, c.fragment), c.dtype, True))
            found.append(Variable(f"{c.name}′", "registers", (rows, c.fragment), c.result, True))
        else:
            found.append(
                Variable(f"{c.right}′", "registers", (c.columns, c.fragment), c.dtype, True)
            )
        found.append(Variable(c.name, "registers", (rows, c.columns), c.result, True))
        if taken:
            found.append(Variable(f"{c.name}*", "registers", (rows, c.columns), c.result, True))
    vectors = 3 * loop.row_states + int(loop.rescaled)
    if vectors:
        found.append(Variable("row states", "registers", (rows,), loop.state_dtype, True, vectors))
    return tuple(found)


@dataclass(frozen=True)
class Clocks:
    """Clocks that one row and one block take on each unit of a processor."""

    contractions: Mapping[str, float]
    special: float
    accumulate: float

    @property
    def tensor(self) -> float:
        """Clocks on the matrix units."""
        return sum(self.contractions.values())


def clocks(loop: InnerLoop, machine: Machine) -> Clocks:
    """Clocks for each row and block, by instruction.

    Errors: InputError for a type or a rate that the machine does not have.
    """
    spent = {}
    for c in loop.contractions:
        if c.dtype not in machine.rates:
            raise InputError(f"{machine.name}: [rates] has no {c.dtype}")
        per_clock = machine.rates[c.dtype] / machine.processors / machine.clock
        nearest = 2 ** round(math.log2(per_clock))
        spent[c.name] = 2 * c.columns * c.depth / nearest
    if loop.special_per_block and not machine.special:
        raise InputError(f"{machine.name}: special is missing")
    special = loop.special_per_block / machine.special if loop.special_per_block else 0.0
    accumulate = 0.0
    for c in loop.contractions:
        if c.streams and loop.rescaled:
            if c.result not in machine.vector:
                raise InputError(f"{machine.name}: [vector] has no {c.result}")
            # Each value of the state is rescaled and added to.
            accumulate += 2 * c.columns / machine.vector[c.result]
    return Clocks(spent, special, accumulate)


@dataclass(frozen=True)
class Configuration:
    """How a group is laid out on a processor."""

    variables: tuple[Variable, ...]
    limits: Mapping[str, float]
    """For each level, how many warpgroups fit: (M_level − M_block) / M_warpgroup."""
    warpgroups: int
    group: int
    """Rows of a group."""
    binds: str
    """The level that allows the fewest."""
    clocks: Clocks
    flops: float
    """Operations a second where the matrix units never wait."""
    compute_seconds: float
    """Of one step of the inner loop, on a processor."""
    transfer_seconds: float
    """To bring one block of the stream to every processor."""
    least_group: float
    """The rows at which both take the same time: below it, moving binds."""

    def table(self) -> str:
        """The variables and the limits, for people."""
        lines = [f"{'variable':<12} {'level':<10} {'shape':<12} {'type':<6} {'KiB':>8}  for"]
        for v in self.variables:
            shape = "×".join(map(str, v.shape)) + (f" ·{v.copies}" if v.copies > 1 else "")
            share = "warpgroup" if v.per_warpgroup else "block"
            size = f"{v.bytes / 1024:>8.2f}"
            lines.append(f"{v.name:<12} {v.level:<10} {shape:<12} {v.dtype:<6} {size}  {share}")
        limits = ", ".join(f"{name} {limit:.2f}" for name, limit in self.limits.items())
        lines.append(f"warpgroups: {limits}; {self.warpgroups} fit, {self.binds} binds")
        lines.append(f"rows of a group: {self.group}, at least {self.least_group:.0f} to keep up")
        return "\n".join(lines)


def configure(
    loop: InnerLoop, machine: Machine, rows: int | None = None, buffers: int = 2
) -> Configuration:
    """The most warpgroups that fit, and the time of a step.

    ``rows`` of a warpgroup are its threads unless given: one row for each thread.

    Errors: InputError where the machine has no warpgroups, where rows are no multiple of the
    machine's matrix instructions, and where not even one warpgroup fits; it names the level.
    """
    rows = machine.warpgroup if rows is None else rows
    if not rows:
        raise InputError(f"{machine.name}: warpgroup is missing")
    if rows % machine.matrix[0]:
        raise InputError(
            f"{rows} rows are no multiple of {machine.matrix[0]}, the rows of a matrix instruction "
            f"of {machine.name}"
        )
    placed = variables(loop, rows, buffers)
    levels = {"shared": machine.chip, "registers": machine.level("registers")}
    limits = {}
    for short, level in levels.items():
        block = sum(v.bytes for v in placed if v.level == short and not v.per_warpgroup)
        each = sum(v.bytes for v in placed if v.level == short and v.per_warpgroup)
        if each:
            limits[level.name] = (level.capacity - block) / each
    binds = min(limits, key=lambda name: limits[name])
    fitting = math.floor(limits[binds])
    if fitting < 1:
        raise InputError(
            f"not one warpgroup of {rows} rows fits the {binds} of {machine.name}: "
            f"{max(limits[binds], 0):.2f} do"
        )
    spent = clocks(loop, machine)
    work = sum(2 * c.columns * c.depth for c in loop.contractions)
    group = fitting * rows
    computing = spent.tensor * group / machine.clock
    streamed = sum(c.columns * c.depth * BYTES[c.dtype] for c in loop.contractions)
    moving = streamed * machine.processors / machine.bandwidth
    return Configuration(
        placed,
        limits,
        fitting,
        group,
        binds,
        spent,
        work / spent.tensor * machine.processors * machine.clock,
        computing,
        moving,
        group * moving / computing,
    )


def utilisation(
    tensor: Sequence[float], special: float, overlapped: int, overhead: float = 0.0
) -> float:
    """The share of time in which the matrix units work.

    Of the contractions' clocks ``tensor``, the last ``overlapped`` run beside the special
    functions; ``overhead`` is what the rest of a softmax adds to these, as a share of them.  The
    paper's section 6 explains FlashAttention-3 with an overhead of 2/3: one number fitted to two.
    """
    first = sum(tensor[: len(tensor) - overlapped])
    beside = sum(tensor[len(tensor) - overlapped :])
    return (first + beside) / (first + max(beside, special * (1 + overhead)))
