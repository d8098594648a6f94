"""The reference meaning of a schedule: its loops walked, every load and store counted.

Nothing here knows the formulas of :mod:`ncd_formal.derivation.nests`.  A group's arrays are brought
onto a chip address by address; each point of each block looks its operands up there, and finds them
or the schedule is wrong.  Meant for small sizes: the oracle of H and M.

Source: FlashAttention on a Napkin, section 3 (H is what changes level, M the most held at once).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product

from ncd_formal.derivation.nests import Access, Nest
from ncd_formal.sizes import size

Address = tuple[str, tuple[int, ...]]


class OffChip(LookupError):
    """An operand is used that is not on the chip."""


@dataclass(frozen=True)
class Counts:
    """What a walk counted, in values."""

    loads: int
    stores: int
    peak: int
    points: int
    """How many points of the loops were visited: the work."""

    @property
    def transfers(self) -> int:
        """H."""
        return self.loads + self.stores


class _Chip:
    """The values on a chip, each by its address and by who holds it."""

    def __init__(self) -> None:
        self.held: dict[object, set[Address]] = {}
        self.loads = self.stores = self.peak = 0
        self.moments: dict[tuple[object, int], set[Address]] = {}
        """What was loaded at each moment of a group, by what for and how often before."""

    def load(self, holder: object, addresses: set[Address], use: object) -> None:
        self.loads += len(addresses)
        before = next(k for k in count() if (use, k) not in self.moments)
        self.moments[use, before] = addresses
        self.make(holder, addresses)

    def make(self, holder: object, addresses: set[Address]) -> None:
        self.held[holder] = addresses
        self.peak = max(self.peak, sum(map(len, self.held.values())))

    def store(self, holder: object) -> None:
        self.stores += len(self.held.pop(holder))

    def drop(self, holder: object) -> None:
        del self.held[holder]

    def need(self, address: Address) -> None:
        if not any(address in addresses for addresses in self.held.values()):
            raise OffChip(f"{address[0]}{list(address[1])}")


def walk(nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int]) -> Counts:
    """Run a schedule at sizes and tile sizes, and count.

    Errors: OffChip where the schedule uses what it has not loaded; KeyError for a missing tile.
    """
    return _walk(nest, sizes, tiles, {})[0]


def walk_together(
    nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int], side: Mapping[str, int]
) -> int:
    """The values that cross where groups side by side load in step what they all need once.

    ``side`` gives for each grouped axis how many neighbours share; stores are not shared.
    """
    return _walk(nest, sizes, tiles, side)[1]


def _walk(
    nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int], side: Mapping[str, int]
) -> tuple[Counts, int]:
    extents = {axis: extent.evaluate(sizes) for axis, extent in nest.extents.items()}
    chip = _Chip()
    points = 0
    tiles = {**tiles, **dict.fromkeys(nest.single, 1)}
    nest = _at_sizes(nest, sizes)
    blocks = [_blocks(extents[axis], tiles[axis]) for axis in nest.cut]
    together: dict[object, set[Address]] = {}
    for group in product(*blocks):
        ranges = {axis: range(size) for axis, size in extents.items()}
        ranges.update(zip(nest.cut, group, strict=True))
        points += _run_group(nest, chip, ranges, tiles)
        assert not chip.held
        places = zip(nest.cut, group, strict=True)
        team = tuple(part.start // tiles[axis] // side.get(axis, 1) for axis, part in places)
        for moment, addresses in chip.moments.items():
            together.setdefault((team, moment), set()).update(addresses)
        chip.moments.clear()
    counted = Counts(chip.loads, chip.stores, chip.peak, points)
    return counted, sum(map(len, together.values())) + chip.stores


def _at_sizes(nest: Nest, sizes: Mapping[str, int]) -> Nest:
    """The nest with strides that are numbers."""
    numbers = {name: size(value) for name, value in sizes.items()}

    def place(accesses: tuple[Access, ...]) -> tuple[Access, ...]:
        return tuple(
            Access(a.name, tuple(p.substitute(numbers) for p in a.dimensions)) for a in accesses
        )

    passes = tuple(replace(p, reads=place(p.reads), writes=place(p.writes)) for p in nest.passes)
    return replace(nest, passes=passes)


def _blocks(extent: int, tile: int) -> list[range]:
    return [range(start, min(start + tile, extent)) for start in range(0, extent, tile)]


def _run_group(
    nest: Nest, chip: _Chip, ranges: Mapping[str, range], tiles: Mapping[str, int]
) -> int:
    points = 0
    # What a group holds: the same addresses of a kept array are held once for all their readers.
    holders: dict[object, tuple[int, int, set[Address]]] = {}
    used: dict[object, Access] = {}
    for number, step in enumerate(nest.passes):
        for a in step.reads:
            if step.stream in a.axes and a.name not in nest.kept:
                continue
            addresses = _addresses(a, ranges)
            holder: object = frozenset(addresses) if a.name in nest.kept else a
            first = holders[holder][0] if holder in holders else number
            holders[holder] = (first, number, addresses)
            used.setdefault(holder, a)
    for number, step in enumerate(nest.passes):
        for held, (first, _, addresses) in holders.items():
            if first == number:
                chip.load(held, addresses, (number, used[held]))
        accumulators = [a for a in step.writes if step.stream not in a.axes]
        for k, a in enumerate(accumulators):
            chip.make(("output", k), _addresses(a, ranges))
        for block in _stream_blocks(nest, step.stream, ranges, tiles):
            inside = {**ranges, **block}
            moving = [a for a in dict.fromkeys(step.reads) if a.name not in nest.kept]
            moving = [a for a in moving if step.stream in a.axes]
            for a in moving:
                chip.load(("read", a), _addresses(a, inside), (number, a))
            appended = [a for a in step.writes if step.stream in a.axes]
            for a in appended:
                chip.make(("write", a), _addresses(a, inside))
            points += _use(chip, (*step.reads, *step.writes), inside)
            for a in moving:
                chip.drop(("read", a))
            for a in appended:
                chip.store(("write", a))
        for k, _ in enumerate(accumulators):
            chip.store(("output", k))
        for held, (_, last, _) in holders.items():
            if last == number:
                chip.drop(held)
    return points


def _stream_blocks(
    nest: Nest, stream: str | None, ranges: Mapping[str, range], tiles: Mapping[str, int]
) -> Iterator[dict[str, range]]:
    if stream is None:
        yield {}
        return
    ends = [ranges[t.grouped].stop for t in nest.triangles if t.streamed == stream]
    for block in _blocks(len(ranges[stream]), tiles[stream]):
        if all(block.start < end for end in ends):
            yield {stream: block}


def _use(chip: _Chip, accesses: Sequence[Access], ranges: Mapping[str, range]) -> int:
    axes = sorted(frozenset[str]().union(*(a.axes for a in accesses)))
    points = 0
    for point in product(*(ranges[axis] for axis in axes)):
        at = dict(zip(axes, point, strict=True))
        points += 1
        for a in accesses:
            chip.need((a.name, tuple(p.evaluate(at) for p in a.dimensions)))
    return points


def _addresses(access: Access, ranges: Mapping[str, range]) -> set[Address]:
    axes = sorted(access.axes)
    points = (dict(zip(axes, point, strict=True)) for point in product(*(ranges[a] for a in axes)))
    return {(access.name, tuple(p.evaluate(at) for p in access.dimensions)) for at in points}
