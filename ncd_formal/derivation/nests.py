"""Schedules as nests of loops, and what they move and hold: H and M.

A schedule cuts its *grouped* axes into groups.  A group runs its *passes* one after another; a pass
reads and writes tiles of arrays, and may *stream* one axis, block by block.  In a group,

- what does not run along a streamed axis is loaded once, before the first pass that reads it, and
  held until the last; so is what is *kept* whole;
- what runs along the streamed axis is loaded for each block and let go;
- an output is held while it is made, and stored once.

Hence the general law, from which every closed form of the source follows:

    H = Σ over arrays of |array| · Π over grouped axes that it lacks of (a / g),
    M = the most that is held at once, Σ over what is live of Π of its group and block sizes.

Values made and used within a block (scores, running maxima) move to no other level, and are not
counted here: they live at the level below, where :mod:`ncd_formal.derivation.refinement` counts
them.  Indices may be sums of axes: a window ``y + k`` reads all that it
spans, ``g_y + k − 1`` values.

Cut *in parts*, a streamed axis is dealt out to groups: they cut an axis of parts to single indices,
and each streams its own part, so the index along the axis is ``part·each + i``.

Source: FlashAttention on a Napkin, section 3 (group and stream partitions; H and M).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

from ncd_formal.derivation.signomials import Signomial, product, signomial, total, variable
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial
from ncd_formal.wires import is_axis


@dataclass(frozen=True)
class Access:
    """An array and the index at which it is read or written, one polynomial for each dimension."""

    name: str
    dimensions: tuple[Polynomial, ...]

    @property
    def axes(self) -> frozenset[str]:
        """The axes along which the index moves."""
        return frozenset(v for p in self.dimensions for v in p.variables if is_axis(v))


@dataclass(frozen=True)
class Pass:
    """One sweep within a group, over the blocks of ``stream`` where there is one."""

    reads: tuple[Access, ...]
    writes: tuple[Access, ...] = ()
    stream: str | None = None


@dataclass(frozen=True)
class Triangle:
    """Blocks of ``streamed`` past the end of a group of ``grouped`` are masked, and left out.

    The group that begins at i needs the streamed indices below ``i + g``.
    """

    grouped: str
    streamed: str


@dataclass(frozen=True)
class Nest:
    """One dispatch: groups, and the passes of each.

    ``extents`` gives each axis its size.  What is read under a name in ``kept`` is held whole
    along the streamed axis, from the first pass that reads it to the last, and loaded once.
    """

    extents: Mapping[str, Polynomial]
    grouped: tuple[str, ...]
    passes: tuple[Pass, ...]
    kept: frozenset[str] = frozenset()
    triangles: tuple[Triangle, ...] = ()
    single: tuple[str, ...] = ()
    """Axes that are cut to single indices: a larger group would move nothing less."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, axis: str) -> str:
        """How an axis is called in formulas."""
        return self.labels.get(axis, axis.split(".", maxsplit=1)[0])

    def tile(self, axis: str) -> Signomial:
        """The name of the tile size of an axis: g for a grouped one, s for a streamed one."""
        if axis in self.single:
            return signomial(1)
        if axis in self.grouped:
            return variable(f"g_{self.label(axis)}")
        if axis in self.streams:
            return variable(f"s_{self.label(axis)}")
        return signomial(self.extents[axis])

    @property
    def cut(self) -> tuple[str, ...]:
        """The axes that groups cut."""
        return (*self.grouped, *self.single)

    @property
    def groups(self) -> Signomial:
        """How many groups there are, as the ratio of the sizes."""
        return product(signomial(self.extents[a]) / self.tile(a) for a in self.cut)

    @cached_property
    def moved(self) -> Signomial:
        """H: the values that a dispatch moves, in sizes and group sizes."""
        return total(traffic_of(self, load) for load in loads(self))

    @cached_property
    def held(self) -> tuple[Signomial, ...]:
        """M: the values held in each pass, in sizes and tile sizes; the most of them is needed."""
        every = loads(self)
        found = (
            total(tile_of(self, load) for load in every if load.first <= number <= load.last)
            for number in range(len(self.passes))
        )
        return tuple(dict.fromkeys(found))

    @property
    def streams(self) -> frozenset[str]:
        """The axes that some pass streams."""
        return frozenset(p.stream for p in self.passes if p.stream is not None)

    @property
    def tile_axes(self) -> dict[str, str]:
        """The axis of each tile size, by the name of the tile size."""
        prefixes = {**dict.fromkeys(self.grouped, "g"), **dict.fromkeys(sorted(self.streams), "s")}
        return {f"{prefix}_{self.label(axis)}": axis for axis, prefix in prefixes.items()}


@dataclass(frozen=True)
class Load:
    """An access as a schedule performs it: by whole groups, or by blocks of a streamed axis."""

    access: Access
    stream: str | None
    """The axis along which it is read block by block; None where it is held by the group."""
    first: int
    last: int
    """The passes through which it is held."""
    stored: bool = False


def loads(nest: Nest) -> tuple[Load, ...]:
    """What a group loads and stores, each thing once for every time that it moves."""
    held: dict[Access, tuple[int, int]] = {}
    streamed: list[Load] = []
    for number, step in enumerate(nest.passes):
        for access in dict.fromkeys(step.reads):
            if step.stream in access.axes and access.name not in nest.kept:
                streamed.append(Load(access, step.stream, number, number))
                continue
            whole = _whole(nest, access)
            first, _ = held.get(whole, (number, number))
            held[whole] = (first, number)
    resident = [Load(access, None, first, last) for access, (first, last) in held.items()]
    stores = [
        Load(a, step.stream if step.stream in a.axes else None, number, number, stored=True)
        for number, step in enumerate(nest.passes)
        for a in step.writes
    ]
    return (*resident, *streamed, *stores)


def _whole(nest: Nest, access: Access) -> Access:
    """A kept access, its streamed axes renamed alike, so that two passes over it are one load."""
    if access.name not in nest.kept:
        return access
    alike: dict[str, Polynomial] = {}
    for axis in sorted(access.axes & nest.streams):
        first = min(a for a in nest.streams if nest.extents[a] is nest.extents[axis])
        alike[axis] = Polynomial({((first, 1),): 1})
    return Access(access.name, tuple(p.substitute(alike) for p in access.dimensions))


def in_parts(nest: Nest, axis: str, part: str, parts: Polynomial, each: Polynomial) -> Nest:
    """The nest with a streamed axis dealt out to parts, each of ``each`` indices.

    What runs along the axis runs along the parts, and is read once by all of them; what does not
    is read by every part, and what is written is written for every part.  A mask leaves out none
    of a part's blocks here, so below a diagonal too much is counted, never too little.

    Errors: InputError where an array is read along the axis in two dimensions.
    """
    number = Polynomial({((part, 1),): 1})
    place = {axis: number * each + Polynomial({((axis, 1),): 1})}

    def moved(access: Access) -> Access:
        if sum(axis in p.variables for p in access.dimensions) > 1:
            raise InputError(f"{access.name} is read along {axis} in two dimensions")
        return Access(access.name, tuple(p.substitute(place) for p in access.dimensions))

    return replace(
        nest,
        extents={**nest.extents, part: parts, axis: each},
        passes=tuple(
            Pass(
                tuple(map(moved, step.reads)),
                tuple(Access(a.name, (number, *moved(a).dimensions)) for a in step.writes),
                step.stream,
            )
            for step in nest.passes
        ),
        triangles=(),
        single=(part, *nest.single),
    )


def footprint(nest: Nest, access: Access, tiles: Mapping[str, Signomial]) -> Signomial:
    """How many values an access reads where each of its axes runs over a tile.

    An axis that stands alone in some dimension counts as its tile.  What is left of the other
    dimensions is a window, ``Σ c·(tile − 1) + 1`` values, where its parts overlap, and the product
    of the tiles where they are digits, as in ``a + 4·h`` with a < 4.
    """
    return product(_spread(part, nest, tiles) for part in _free_parts(access))


def _free_parts(access: Access) -> Iterator[dict[str, Polynomial]]:
    """The dimensions as strides of axes; an axis that stands alone once is fixed elsewhere."""
    dimensions = [
        {v: _distance(p.coefficient(v)) for v in sorted(p.variables) if is_axis(v)}
        for p in access.dimensions
    ]
    alone = {next(iter(d)) for d in dimensions if len(d) == 1}
    for axis in sorted(alone):
        yield {axis: Polynomial({(): 1})}
    for strides in dimensions:
        rest = {axis: c for axis, c in strides.items() if axis not in alone}
        if rest:
            yield rest
            alone |= rest.keys() if len(rest) == 1 else set()


def _distance(stride: Polynomial) -> Polynomial:
    """How far a stride goes, in either direction."""
    return -stride if all(c < 0 for _, c in stride.terms) else stride


def _spread(
    strides: Mapping[str, Polynomial], nest: Nest, tiles: Mapping[str, Signomial]
) -> Signomial:
    if len(strides) == 1:
        return product(tiles[axis] for axis in strides)
    if digits(strides, nest.extents):
        return product(tiles[axis] for axis in strides)
    return total(signomial(c) * (tiles[a] - 1) for a, c in strides.items()) + 1


def digits(strides: Mapping[str, Polynomial], extents: Mapping[str, Polynomial]) -> bool:
    """Whether the strides are those of digits: each at least what the lower ones can reach."""
    order = sorted(strides.items(), key=lambda item: (sum(c for _, c in item[1].terms), item[0]))
    return all(
        signomial(upper - lower * extents[axis]).nonnegative()
        for (axis, lower), (_, upper) in pairwise(order)
    )


def windows(access: Access, extents: Mapping[str, Polynomial]) -> list[frozenset[str]]:
    """The sets of axes of the access that share a dimension in which their reads overlap."""
    return [
        frozenset(part)
        for part in _free_parts(access)
        if len(part) > 1 and not digits(part, extents)
    ]


def tile_of(nest: Nest, load: Load) -> Signomial:
    """The values that a load holds at once."""
    tiles = {
        axis: signomial(nest.extents[axis])
        if axis in nest.streams and axis not in nest.cut and load.stream != axis
        else nest.tile(axis)
        for axis in load.access.axes
    }
    return footprint(nest, load.access, tiles)


def traffic_of(nest: Nest, load: Load) -> Signomial:
    """The values that a load moves in a dispatch, groups counted as the ratio a/g."""
    tiles = {
        axis: nest.tile(axis) if axis in nest.cut else signomial(nest.extents[axis])
        for axis in load.access.axes
    }
    blocks = signomial(1)
    if load.stream is not None and _in_window(nest, load):
        # Neighbouring blocks read what they share twice.
        tiles[load.stream] = nest.tile(load.stream)
        blocks = signomial(nest.extents[load.stream]) / nest.tile(load.stream)
    moved = nest.groups * blocks * footprint(nest, load.access, tiles)
    for triangle in nest.triangles:
        if load.stream == triangle.streamed:
            # Groups 1 … a/g need g, 2·g … of a: (a + g)/2 on average.
            extent = signomial(nest.extents[triangle.grouped])
            moved = moved * (extent + nest.tile(triangle.grouped)) / (2 * extent)
    return moved


def _in_window(nest: Nest, load: Load) -> bool:
    return any(load.stream in part for part in windows(load.access, nest.extents))


def transfers(nest: Nest) -> Signomial:
    """H: the values that a dispatch moves, in sizes and group sizes."""
    return nest.moved


def transfers_of_a_group(nest: Nest) -> Signomial:
    """The values that one group moves: H is this times the number of groups."""
    return transfers(nest) / nest.groups


def transfers_of_a_step(nest: Nest) -> tuple[Signomial, ...]:
    """The values that one block of each streaming pass moves."""
    return tuple(
        total(tile_of(nest, load) for load in loads(nest) if load.stream and load.first == number)
        for number, step in enumerate(nest.passes)
        if step.stream is not None
    )


def memory(nest: Nest) -> tuple[Signomial, ...]:
    """M: the values held in each pass, in sizes and tile sizes; the most of them is needed."""
    return nest.held


def exact_transfers(nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int]) -> int:
    """H at numbers, with whole groups: the last of an axis may be smaller.

    ``tiles`` gives the tile size of each grouped and each streamed axis.  Errors: KeyError where
    one is missing.
    """
    extents = {axis: size.evaluate(sizes) for axis, size in nest.extents.items()}
    tiles = {**tiles, **dict.fromkeys(nest.single, 1)}
    counts = {axis: -(-extents[axis] // tiles[axis]) for axis in nest.cut}
    moved = 0
    for load in loads(nest):
        values, done = 1, set[str]()
        for triangle in nest.triangles:
            if load.stream == triangle.streamed:
                done |= {triangle.grouped, triangle.streamed}
                values *= _visited(triangle, load.access.axes, extents, tiles)
        for axis in nest.cut:
            if axis not in load.access.axes | done:
                values *= counts[axis]
        parts = dict(counts)
        if load.stream is not None and _in_window(nest, load):
            parts[load.stream] = -(-extents[load.stream] // tiles[load.stream])
        for part in _free_parts(load.access):
            if done.isdisjoint(part):
                values *= _summed(part, nest, extents, parts, sizes)
        moved += values
    return moved


def group_count(nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int]) -> int:
    """How many groups there are at numbers.  Errors: KeyError for a missing tile size."""
    tiles = {**tiles, **dict.fromkeys(nest.single, 1)}
    return math.prod(-(-nest.extents[axis].evaluate(sizes) // tiles[axis]) for axis in nest.cut)


def _summed(
    part: Mapping[str, Polynomial],
    nest: Nest,
    extents: Mapping[str, int],
    counts: Mapping[str, int],
    sizes: Mapping[str, int],
) -> int:
    """Σ over the groups of the axes of a part, of how many values of it a group reads."""
    grouped = [axis for axis in part if axis in counts]
    if len(part) == 1 or digits(part, nest.extents):
        result = 1
        for axis in part:
            result *= extents[axis]
        return result
    # A window: Σ over groups of (1 + Σ c·(tile − 1)); each axis's tiles sum to its extent.
    groups = 1
    for axis in grouped:
        groups *= counts[axis]
    result = groups
    for axis, stride in part.items():
        step = stride.evaluate(sizes)
        if axis in counts:
            result += step * (extents[axis] - counts[axis]) * groups // counts[axis]
        else:
            result += step * (extents[axis] - 1) * groups
    return result


def _visited(
    triangle: Triangle,
    axes: frozenset[str],
    extents: Mapping[str, int],
    tiles: Mapping[str, int],
) -> int:
    """The streamed indices that all groups of a triangle need, by whole blocks."""
    rows, group = extents[triangle.grouped], tiles[triangle.grouped]
    columns, block = extents[triangle.streamed], tiles[triangle.streamed]
    visited = 0
    for start in range(0, rows, group):
        end = min(start + group, rows)
        needed = min(columns, -(-end // block) * block)
        visited += needed * (end - start if triangle.grouped in axes else 1)
    return visited


def exact_memory(nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int]) -> int:
    """M at numbers: tiles no larger than their axes.  Errors: KeyError for a missing tile size."""
    values: dict[str, float] = {**sizes}
    for name, axis in nest.tile_axes.items():
        values[name] = min(tiles[axis], nest.extents[axis].evaluate(sizes))
    return max(int(formula.evaluate(values)) for formula in memory(nest))


def grouped_axes(
    output: Iterable[str], accesses: Iterable[Access], extents: Mapping[str, Polynomial]
) -> tuple[str, ...]:
    """The output's axes that are worth grouping: some array lacks them, or overlaps along them.

    Along any other axis a larger group moves nothing less, so it is cut to single indices.
    """
    every = tuple(accesses)
    return tuple(
        axis
        for axis in sorted(output)
        if any(
            axis not in a.axes or any(axis in part for part in windows(a, extents)) for a in every
        )
    )
