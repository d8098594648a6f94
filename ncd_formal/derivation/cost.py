"""The cost of a schedule: values that move, values on chip, operations, as formulas.

The general law: with the output's axes grouped, an array is sent to every group of each axis that
it does not carry,

    H = Σ_arrays |r| · Π_{grouped axes i not in r} a_i / g_i,

and a group holds a tile of each array, its grouped axes cut to g, the streamed axis to s, the rest
whole.  The optimum over group sizes is found by exhaustive search over the axes that matter.

Source: FlashAttention on a Napkin, sections 3 and 4 (H and M; group and stream partitions).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncd_formal.conditions import Context
from ncd_formal.derivation.machines import Machine
from ncd_formal.derivation.streaming import StreamedForm
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, product, size
from ncd_formal.wires import Term, indices_of, is_axis, subterms


@dataclass(frozen=True)
class Traffic:
    """One array that moves: its name, its size in values, and the axes that it carries."""

    name: str
    extent: Polynomial
    axes: frozenset[str]


@dataclass(frozen=True)
class Cost:
    """What a schedule costs; numbers where sizes are given, formulas otherwise."""

    formula: str
    """Values moved to and from a chip, H."""
    memory_formula: str
    """Values held on a chip at once, M."""
    flops_formula: str
    tiles: Mapping[str, int]
    """The group sizes chosen, and the stream size."""
    transfers: float | str
    """H in values."""
    memory: int | str
    """M in values."""
    flops: int | str
    time: float | str
    """Seconds at the machine's rates: the larger of transfers and arithmetic."""
    bound: str
    """``"memory"`` or ``"compute"``; ``""`` where that is not known."""

    def __str__(self) -> str:
        lines = [
            f"transfers H = {self.formula}",
            f"on chip M = {self.memory_formula}",
            f"operations = {self.flops_formula}",
        ]
        if not isinstance(self.transfers, str):
            tiles = ", ".join(f"{k} = {v}" for k, v in self.tiles.items())
            lines.append(f"at {tiles}: H = {self.transfers:,.0f} values, M = {self.memory:,}")
        if self.bound:
            lines.append(f"time ≥ {float(self.time) * 1e6:.3g} µs, bound by {self.bound}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The cost as plain data."""
        return {
            "formula": self.formula,
            "memory_formula": self.memory_formula,
            "flops_formula": self.flops_formula,
            "tiles": dict(self.tiles),
            "transfers": self.transfers,
            "memory": self.memory,
            "flops": self.flops,
            "time": self.time,
            "bound": self.bound,
        }


def traffic(form: StreamedForm) -> tuple[Traffic, ...]:
    """The arrays of a streamed form: each read of an input once, and the output."""
    arrays: list[Traffic] = []
    for node in subterms(form.term):
        if node.op == "Input" and node.axes:
            arrays.append(Traffic(str(node.args[0]), _extent(form.context, node), node.axes))
    output = frozenset(axis for digits in form.layout for axis in digits)
    arrays.append(Traffic("output", product(form.context.axes[a] for a in sorted(output)), output))
    return tuple(arrays)


def _extent(context: Context, read: Term) -> Polynomial:
    """How many values of an input are read."""
    axes = {v for p in indices_of(str(read.args[1])) for v in p.variables if is_axis(v)}
    return product(context.axes[a] for a in sorted(axes))


def operations(form: StreamedForm) -> Polynomial:
    """Multiply-adds of the contractions, counted as two, once for each value of the whole axes."""
    total = size(0)
    for node in subterms(form.term):
        if node.op != "Reduce" or node.args[1] == form.block:
            continue
        monoid, body = node.children
        if body.op == "Select":  # the end of a masked axis
            body = body.children[1]
        axes = set(body.axes) | {form.axis if node.args[1] == form.tile else str(node.args[1])}
        if monoid.op == "Sum" and body.op == "Mul":
            total = total + 2 * _volume(form, axes)
        elif monoid.op == "RescaledSum":
            for component in _components(body):
                if component.op != "Constant":
                    total = total + 2 * _volume(form, set(body.axes) & _needed(body, component))
    return total


def _components(body: Term) -> list[Term]:
    """The summands of a rescaled sum: what stands beside the score, tuples taken apart."""
    result, stack = [], [body.children[1]]
    while stack:
        node = stack.pop()
        if node.op == "Tuple":
            stack.extend(node.children)
        else:
            result.append(node)
    return result


def _needed(body: Term, component: Term) -> set[str]:
    return set(body.children[0].axes | component.axes)


def _volume(form: StreamedForm, axes: set[str]) -> Polynomial:
    return product(form.context.axes[a] for a in sorted(axes - {form.block, form.tile}))


def cost(
    form: StreamedForm, machine: Machine, sizes: Mapping[str, int] | None, stream: int = 1
) -> Cost:
    """The cost of a streamed form on a machine.

    Errors: InputError where a size is missing, or no group fits the memory.
    """
    arrays = traffic(form)
    output = arrays[-1].axes
    # An axis is worth grouping where some array lacks it and so is sent again for each group.
    grouped = sorted(a for a in output if any(a not in r.axes for r in arrays))
    label = {a: a.split(".")[0] for a in grouped}
    formula = " + ".join(_show_traffic(form, r, grouped, label) for r in arrays)
    memory_formula = " + ".join(_show_tile(form, r, grouped, output, label) for r in arrays)
    flops = operations(form)
    if sizes is None:
        return Cost(
            formula, memory_formula, str(flops), {}, formula, memory_formula, str(flops), "", ""
        )
    extents = {a: _value(form.context.axes[a], sizes) for r in arrays for a in r.axes}
    groups, moved, held = _best(form, arrays, grouped, extents, machine.memory, stream)
    total = _value(flops, sizes)
    transfer_time = moved * machine.bytes_per_value / machine.bandwidth if machine.bandwidth else 0
    compute_time = total / machine.flops if machine.flops else 0
    known = bool(machine.bandwidth and machine.flops)
    tiles = {label[a]: g for a, g in groups.items()} | {form.axis.split(".")[0]: stream}
    return Cost(
        formula,
        memory_formula,
        str(flops),
        tiles,
        moved,
        held,
        total,
        max(transfer_time, compute_time) if known else "",
        ("memory" if transfer_time > compute_time else "compute") if known else "",
    )


def _value(p: Polynomial, sizes: Mapping[str, int]) -> int:
    try:
        return p.evaluate(sizes)
    except KeyError as error:
        raise InputError(f"size {error.args[0]!r} has no value: give it with --size") from None


def _show_traffic(
    form: StreamedForm, r: Traffic, grouped: Sequence[str], label: Mapping[str, str]
) -> str:
    again = [a for a in grouped if a not in r.axes]
    volume = r.extent * product(form.context.axes[a] for a in again)
    below = "·".join(f"g_{label[a]}" for a in again)
    return (
        f"{volume}/({below})" if len(again) > 1 else f"{volume}/{below}" if below else f"{volume}"
    )


def _show_tile(
    form: StreamedForm,
    r: Traffic,
    grouped: Sequence[str],
    output: frozenset[str],
    label: Mapping[str, str],
) -> str:
    factors = []
    for axis in sorted(r.axes):
        if axis == form.axis:
            factors.append(f"s_{axis.split('.')[0]}")
        elif axis in grouped:
            factors.append(f"g_{label[axis]}")
        elif axis not in output:
            factors.append(str(form.context.axes[axis]))
    return "·".join(factors) or "1"


def _best(
    form: StreamedForm,
    arrays: Sequence[Traffic],
    grouped: Sequence[str],
    extents: Mapping[str, int],
    memory: int,
    stream: int,
) -> tuple[dict[str, int], float, int]:
    """Group sizes of least H within the memory: all but one by search, the last by what is left."""
    output = arrays[-1].axes

    def tile(r: Traffic, groups: Mapping[str, int]) -> int:
        held = 1
        for axis in r.axes:
            if axis == form.axis:
                held *= stream
            elif axis in groups:
                held *= groups[axis]
            elif axis not in output:
                held *= extents[axis]
        return held

    def held(groups: Mapping[str, int]) -> int:
        return sum(tile(r, groups) for r in arrays)

    def moved(groups: Mapping[str, int]) -> float:
        return sum(
            math.prod(extents[a] for a in r.axes)
            * math.prod(extents[a] / groups[a] for a in grouped if a not in r.axes)
            for r in arrays
        )

    best: tuple[float, int, dict[str, int]] | None = None

    def visit(rest: Sequence[str], groups: dict[str, int]) -> None:
        nonlocal best
        if not rest:
            total = held(groups)
            if total <= memory and (best is None or (moved(groups), total) < best[:2]):
                best = (moved(groups), total, dict(groups))
            return
        axis, *others = rest
        if others:
            for g in _candidates(extents[axis]):
                visit(others, {**groups, axis: g})
            return
        # M is affine in one group size: take the largest that fits.
        at_one, at_two = held({**groups, axis: 1}), held({**groups, axis: 2})
        slope = at_two - at_one
        room = memory - at_one
        largest = extents[axis] if slope == 0 else 1 + room // slope
        if room >= 0 and largest >= 1:
            visit((), {**groups, axis: min(extents[axis], largest)})

    visit(grouped, {})
    if best is None:
        raise InputError(
            f"no group fits the memory: {held(dict.fromkeys(grouped, 1)):,} values are needed, "
            f"{memory:,} are there"
        )
    return best[2], best[0], best[1]


def _candidates(extent: int) -> Sequence[int]:
    """Every group size of a small axis; of a large one, all up to 1,024 and then powers of two."""
    if extent <= 1024:
        return range(1, extent + 1)
    powers = [2**k for k in range(11, extent.bit_length())]
    return [*range(1, 1025), *powers, extent]
