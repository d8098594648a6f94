"""What a schedule costs on a machine: formulas, numbers, and what binds.

Values moved and held follow from the nest of the schedule; the least of them in closed form, by
regime, from geometric programming.  With sizes, tiles are chosen in whole numbers under the memory
and the divisors of the machine, and time is the largest of three: moving, multiplying, and special
functions.

The two-level model counts groups as the ratio a/g and streams single indices, as the source does;
on a machine groups are whole, and tiles are multiples of matrix instructions and of coalesced
accesses.  A processor works on one group at a time, so fewer groups than processors leave the
others idle, and tiles are chosen for that too.

Source: FlashAttention on a Napkin, sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ncd_formal.derivation.machines import Machine
from ncd_formal.derivation.nests import (
    Nest,
    exact_memory,
    exact_transfers,
    group_count,
    memory,
    transfers,
    transfers_of_a_group,
    transfers_of_a_step,
)
from ncd_formal.derivation.optima import Optimum, inequality, optima, primitive
from ncd_formal.derivation.schedules import Plan, nests, operations, plan_of, work
from ncd_formal.derivation.sharing import Sharing, sharings
from ncd_formal.derivation.signomials import Signomial, signomial
from ncd_formal.derivation.streaming import StreamedForm
from ncd_formal.derivation.tiling import Tiling, best_tiles, busiest_tiles, choices
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial

_NOTHING = signomial(0)


@dataclass(frozen=True)
class Cost:
    """What a schedule costs; numbers where sizes are given, formulas otherwise."""

    formula: str
    """Values moved to and from a chip in a dispatch, H."""
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
    """Seconds at the machine's rates: the largest of moving, multiplying and special functions."""
    bound: str
    """``"memory"``, ``"compute"`` or ``"special functions"``; ``""`` where that is not known."""
    group_formula: str = ""
    """Values that one group moves."""
    step_formula: str = ""
    """Values that one block of each streaming pass moves."""
    special_formula: str = ""
    """Exponentials and other special functions."""
    regimes: tuple[Optimum, ...] = ()
    """The least H in closed form, with where it holds."""
    special: int | str = ""
    bytes: float | str = ""
    """H in bytes, on a machine with a type."""
    times: Mapping[str, float] = field(default_factory=dict)
    """Seconds by what takes them."""
    intensity: float | str = ""
    """Operations for each byte from the memory above."""
    ridge: float | str = ""
    """The intensity at which moving and multiplying take the same time."""
    operations: Signomial = _NOTHING
    """The operations of contractions as a formula to compute with."""
    sharing: Sharing | None = None
    """How memories share what they load, where that is the fastest way to move it."""
    device_bytes: float | str = ""
    """Bytes from the memory above the chips, once for all that share them."""
    groups: tuple[int, ...] = ()
    """How many groups each dispatch has, on a machine with a type."""
    processors: int = 1
    """How many there are to work on groups."""

    @property
    def idle(self) -> tuple[int, ...]:
        """How many processors have no group to work on, in each dispatch."""
        return tuple(max(0, self.processors - count) for count in self.groups)

    def __str__(self) -> str:
        lines = [
            f"transfers H = {self.formula}",
            f"  a group moves {self.group_formula}",
            *([f"  a block moves {self.step_formula}"] if self.step_formula else []),
            f"on chip M = {self.memory_formula}",
            f"operations = {self.flops_formula}",
        ]
        if self.special_formula != "0":
            lines.append(f"special functions = {self.special_formula}")
        lines += [f"least H = {regime}" for regime in self.regimes]
        if not isinstance(self.transfers, str):
            tiles = ", ".join(f"{k} = {v}" for k, v in self.tiles.items())
            lines.append(
                f"{f'at {tiles}: ' if tiles else ''}H = {self.transfers:,.0f} values, "
                f"M = {self.memory:,}"
            )
        if self.intensity != "" and self.ridge != "":
            side = "right" if float(self.intensity) >= float(self.ridge) else "left"
            lines.append(
                f"roofline: {float(self.intensity):,.4g} operations a byte, {side} of the ridge at "
                f"{float(self.ridge):,.4g}"
            )
        if self.sharing:
            lines.append(f"shared by {self.sharing}")
        if any(self.idle):
            count, idle = " then ".join(map(str, self.groups)), " then ".join(map(str, self.idle))
            groups = "group" if self.groups == (1,) else "groups"
            lines.append(f"{count} {groups}: {idle} of {self.processors} processors idle")
        if self.times:
            parts = ", ".join(f"{k} {v * 1e6:.3g} µs" for k, v in self.times.items())
            lines.append(f"times: {parts}")
        if self.bound:
            lines.append(f"time ≥ {float(self.time) * 1e6:.3g} µs, bound by {self.bound}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The cost as plain data."""
        return {
            "formula": self.formula,
            "memory_formula": self.memory_formula,
            "flops_formula": self.flops_formula,
            "group_formula": self.group_formula,
            "step_formula": self.step_formula,
            "special_formula": self.special_formula,
            "regimes": [
                {
                    "transfers": str(regime.transfers),
                    "tiles": {name: str(tile) for name, tile in regime.tiles.items()},
                    "where": [inequality(c) for c in regime.conditions],
                }
                for regime in self.regimes
            ],
            "tiles": dict(self.tiles),
            "transfers": self.transfers,
            "bytes": self.bytes,
            "device_bytes": self.device_bytes,
            "sharing": self.sharing.to_json() if self.sharing else None,
            "memory": self.memory,
            "flops": self.flops,
            "special": self.special,
            "times": dict(self.times),
            "intensity": self.intensity,
            "ridge": self.ridge,
            "time": self.time,
            "bound": self.bound,
            **({"groups": [*self.groups], "idle": [*self.idle]} if any(self.idle) else {}),
        }


@dataclass(frozen=True)
class Schedules:
    """The schedules of a plan with their formulas, which hold on all machines and at all sizes."""

    plan: Plan
    nests: tuple[Nest, ...]
    formulas: tuple[Cost, ...]
    """The cost of each nest as formulas."""


def schedules(form: StreamedForm | Plan) -> Schedules:
    """The schedules of a streamed form, or of a plan that need not stream."""
    plan = plan_of(form) if isinstance(form, StreamedForm) else form
    every = nests(plan)
    given: dict[str, Signomial] = {}
    if plan.axis is not None and plan.part is not None:
        (each,) = plan.each.variables
        given[each] = plan.extent(plan.axis) / plan.extent(plan.part)

    def shown(formula: Signomial) -> Signomial:
        """A formula in the sizes of the program and the number of parts."""
        return formula.substitute(given) if given else formula

    regimes = tuple(
        Optimum(
            shown(o.transfers),
            {name: shown(g) for name, g in o.tiles.items()},
            tuple(primitive(shown(c).cleared()) if given else c for c in o.conditions),
        )
        for nest in every
        for o in optima(nest)
    )
    done, special = operations(plan), str(work(plan).special)
    formulas = []
    for nest in every:
        moved = str(shown(transfers(nest)))
        held = " or ".join(str(shown(each)) for each in memory(nest))
        formulas.append(
            Cost(
                formula=moved,
                memory_formula=held,
                flops_formula=str(done),
                tiles={},
                transfers=moved,
                memory=held,
                flops=str(done),
                time="",
                bound="",
                group_formula=str(shown(transfers_of_a_group(nest))),
                step_formula=" then ".join(str(shown(h)) for h in transfers_of_a_step(nest)),
                special_formula=special,
                regimes=regimes,
                special=special,
                operations=signomial(done),
            )
        )
    return Schedules(plan, every, tuple(formulas))


def cost(
    form: StreamedForm | Plan | Schedules,
    machine: Machine,
    sizes: Mapping[str, int] | None,
    stream: int | None = None,
) -> Cost:
    """The cost of a streamed form, or of a plan that need not stream, on a machine.

    ``stream`` is the size of a streamed block: by default one index in the two-level model, and
    the least that a machine's instructions and accesses take.

    G groups keep at most min(G, processors) busy.  Each has its share of the rates of the whole
    machine, of the memory's too; so all times are those of the whole machine times
    processors/min(G, processors).  That a few processors may draw more than their share from the
    memory is left out, and so is that the last round of groups may be smaller than the others.

    Errors: InputError where a size is missing, or no group fits the memory.
    """
    known = form if isinstance(form, Schedules) else schedules(form)
    plan = known.plan
    if sizes is None:
        return known.formulas[0]
    chosen: tuple[float, int, Tiling, dict[str, int]] | None = None
    shortages: list[InputError] = []
    for number, nest in enumerate(known.nests):
        try:
            tiling, blocks = tile(nest, plan, machine, sizes, stream)
        except InputError as error:
            shortages.append(error)
            continue
        weight = tiling.transfers * _idle_factor(nest, machine, sizes, tiling.tiles)
        if chosen is None or weight < chosen[0]:
            chosen = (weight, number, tiling, blocks)
    if chosen is None:
        raise shortages[0]
    _, number, tiling, blocks = chosen
    nest = known.nests[number]
    values: dict[str, float] = {**sizes, **tiling.tiles, **blocks}
    done = work(plan, nest)
    total, special = (math.ceil(part.evaluate(values)) for part in (done.flops, done.special))
    if not nest.grouped and plan.part is None:
        total = value(operations(plan), sizes)
    moved = loaded = tiling.transfers * machine.bytes_per_value
    times: dict[str, float] = {}
    shared: Sharing | None = None
    if machine.bandwidth:
        times["memory"] = moved / machine.bandwidth
        cuts = {nest.tile_axes[name]: g for name, g in {**tiling.tiles, **blocks}.items()}
        ways = sharings(nest, sizes, cuts, machine)
        fastest = min(ways, key=lambda way: way.seconds, default=None)
        if fastest and fastest.seconds < times["memory"]:
            shared, times["memory"] = fastest, fastest.seconds
            loaded = fastest.above * machine.bytes_per_value
    if machine.flops:
        times["compute"] = total / machine.flops
    if machine.special_rate and special:
        times["special functions"] = special / machine.special_rate
    factor = _idle_factor(nest, machine, sizes, tiling.tiles)
    times = {name: seconds * factor for name, seconds in times.items()}
    shared = replace(shared, seconds=shared.seconds * factor) if shared else None
    bound = max(times, key=lambda name: times[name], default="")
    return replace(
        known.formulas[number],
        tiles={name[2:]: g for name, g in {**tiling.tiles, **blocks}.items()},
        transfers=tiling.transfers,
        memory=tiling.memory,
        flops=total,
        time=times[bound] if bound else "",
        bound=bound,
        special=special,
        bytes=moved if machine.dtype else "",
        times=times,
        intensity=total / loaded if machine.dtype and loaded else "",
        ridge=machine.flops / machine.bandwidth if machine.bandwidth and machine.flops else "",
        sharing=shared,
        device_bytes=loaded if machine.dtype else "",
        groups=(_groups(nest, sizes, tiling.tiles),) if machine.dtype else (),
        processors=machine.processors,
    )


def _groups(nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int]) -> int:
    """How many groups there are at tile sizes by name."""
    axes = nest.tile_axes
    return group_count(nest, sizes, {axes[name]: g for name, g in tiles.items()})


def _idle_factor(
    nest: Nest, machine: Machine, sizes: Mapping[str, int], tiles: Mapping[str, int]
) -> float:
    """How many times longer a dispatch takes for the processors that have no group."""
    if not machine.dtype:
        return 1.0
    return machine.processors / min(machine.processors, _groups(nest, sizes, tiles))


def leaves_idle(plan: Plan, machine: Machine, sizes: Mapping[str, int]) -> bool:
    """Whether a plan has fewer groups than a machine has processors, at the tiles of least H.

    Then it may also cut smaller groups than these, to keep processors busy.
    """
    if not machine.dtype or machine.processors < 2:
        return False
    for nest in nests(plan):
        with suppress(InputError):
            tiling, _ = tile(nest, plan, machine, sizes, spread=False)
            if _groups(nest, sizes, tiling.tiles) < machine.processors:
                return True
    return False


def value(p: Polynomial, sizes: Mapping[str, int]) -> int:
    """A size as a number.  Errors: InputError for a variable without one."""
    try:
        return p.evaluate(sizes)
    except KeyError as error:
        raise InputError(f"size {error.args[0]!r} has no value: give it with --size") from None


def divisors(nest: Nest, plan: Plan, machine: Machine) -> dict[str, int]:
    """What each tile size is a multiple of, by axis, unless it is the whole axis.

    The last axis of an array is read by coalesced accesses.  Of the output of a contraction, the
    last axis takes the columns of a matrix instruction and the one grouped before it the rows; what
    is streamed is contracted.  Requirements of one axis meet in their least common multiple.
    """
    line = max(1, int(machine.line // machine.bytes_per_value)) if machine.dtype else 1
    rows, columns, depth = machine.matrix if operations(plan).terms else (1, 1, 1)
    last = {
        axis
        for step in nest.passes
        for access in (*step.reads, *step.writes)
        if access.dimensions
        for axis in (access.dimensions[-1].variables & nest.extents.keys())
    }
    order = [axis for digits in plan.layout for axis in digits]
    shape = dict.fromkeys(nest.streams, depth)
    shape |= dict.fromkeys([a for a in order[:-1] if a in nest.grouped][-1:], rows)
    shape |= dict.fromkeys([a for a in order[-1:] if a in nest.grouped], columns)
    found = {}
    for axis in (*nest.grouped, *sorted(nest.streams)):
        found[axis] = math.lcm(shape.get(axis, 1), line if axis in last else 1)
    return found


def tile(
    nest: Nest,
    plan: Plan,
    machine: Machine,
    sizes: Mapping[str, int],
    stream: int | None = None,
    spread: bool = True,
) -> tuple[Tiling, dict[str, int]]:
    """The best tile sizes on a machine, by name, and the blocks streamed.

    They are those of least H; with ``spread``, where these leave processors idle, those of least
    H·processors/min(G, processors), as smaller groups keep more of them busy.

    Errors: InputError where a size is missing, or nothing fits; it names the level that binds.
    """
    extents = {axis: value(extent, sizes) for axis, extent in nest.extents.items()}
    needed = divisors(nest, plan, machine)
    names = {axis: name for name, axis in nest.tile_axes.items()}
    blocks = {
        names[axis]: min(extents[axis], needed[axis] if stream is None else stream)
        for axis in sorted(nest.streams)
    }
    allowed = {names[a]: choices(extents[a], needed[a]) for a in nest.grouped}
    if any(extent == 0 for extent in extents.values()):
        raise InputError("a size is 0, so nothing is moved")
    fixed: dict[str, Signomial | int] = {**sizes, **blocks}
    held = [m.substitute(fixed) for m in memory(nest)]
    by_axis = {axis: blocks[names[axis]] for axis in sorted(nest.streams)}

    def whole_groups(tiles: Mapping[str, int]) -> float:
        return exact_transfers(
            nest, sizes, by_axis | {nest.tile_axes[n]: g for n, g in tiles.items()}
        )

    counted = whole_groups if machine.dtype else None
    found = best_tiles(transfers(nest).substitute(fixed), held, allowed, machine.memory, counted)
    if found is None:
        least = {axis: allowed[names[axis]][0] for axis in nest.grouped}
        asked = exact_memory(nest, sizes, by_axis | least)
        where = machine.on_chip + (f" of {machine.name}" if machine.dtype else "")
        at = ", ".join(f"{names[axis]} = {g}" for axis, g in {**least, **by_axis}.items())
        raise InputError(
            f"no group fits the {where}: {asked:,} values are needed"
            f"{f' at {at}' if at else ''}, {machine.memory:,} are there"
        )

    def idle(tiles: Mapping[str, int]) -> float:
        return _idle_factor(nest, machine, sizes, tiles)

    if spread and nest.grouped and idle(found.tiles) > 1:
        # Below a diagonal a smaller tile reads less; elsewhere H depends on how many there are.
        diagonal = {names[t.grouped] for t in nest.triangles}
        fewer = {
            names[a]: allowed[names[a]]
            if names[a] in diagonal
            else least_of_each_count(extents[a], allowed[names[a]])
            for a in nest.grouped
        }
        found = busiest_tiles(found, held, fewer, machine.memory, whole_groups, idle)
    return found, blocks


def least_of_each_count(extent: int, tiles: Sequence[int]) -> list[int]:
    """Of tiles in ascending order that cut an axis in equally many, the least: it holds least."""
    found: dict[int, int] = {}
    for g in tiles:
        found.setdefault(-(-extent // g), g)
    return [*found.values()]
