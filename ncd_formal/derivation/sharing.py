"""Memories that share what they load: groups that run at once need much of the same values.

``N`` groups side by side are one group ``N`` times as large to the memory above them: what they
all need crosses once.  What crosses is counted as for any group, at tiles that are N times as many
values of the output, so it is the ``H*(N·M)`` of the theorems wherever their optimum has whole
numbers of groups, and never less.

- *Theorem 2*: a cache stands for all memories that it serves.  Values reach it once, and then each
  memory: ``H(N·M)/B_above + H(M)/B_cache``.
- *Theorem 3*: memories of a cluster give each other what one of them loaded:
  ``H(N·M)/B_above + (H(M) − H(N·M))/B_exchange``.

Both hold where N groups run at once, and their blocks of the stream in step.

Source: FlashAttention on a Napkin, sections 4.4 and 4.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ncd_formal.derivation.machines import Level, Machine
from ncd_formal.derivation.nests import Nest, exact_transfers, transfers_of_a_step


@dataclass(frozen=True)
class Sharing:
    """How memories share what they load, and what that takes."""

    by: str
    """The cache, or ``"clusters"``."""
    count: int
    """The groups that share."""
    above: int
    """Values that cross from the memory above, once for all that share."""
    within: int
    """Values that a cache serves, or that memories exchange."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.by}: {self.count} groups share, {self.above:,} values from above, "
            f"{self.within:,} within"
        )

    def to_json(self) -> dict[str, Any]:
        """The sharing as plain data."""
        return {
            "by": self.by,
            "count": self.count,
            "above": self.above,
            "within": self.within,
            "seconds": self.seconds,
        }


def sharings(
    nest: Nest,
    sizes: Mapping[str, int],
    tiles: Mapping[str, int],
    machine: Machine,
) -> tuple[Sharing, ...]:
    """What a schedule can share on a machine, by every means that its file gives a rate for.

    ``tiles`` gives the tile size of each grouped and each streamed axis.
    """
    if not (machine.dtype and machine.bandwidth):
        return ()
    width, above = machine.bytes_per_value, machine.bandwidth
    own = exact_transfers(nest, sizes, tiles)
    found = []
    for most, rate in sorted(machine.cluster.items()):
        if most > 1:
            # What is measured is how much faster an exchange is than a load.
            exchange = above * rate / machine.cluster[1]
            count, once, _ = _together(nest, sizes, tiles, most)
            seconds = width * (once / above + (own - once) / exchange)
            found.append(Sharing("clusters", count, once, own - once, seconds))
    for cache in machine.levels:
        if cache.cache and cache.serves:
            count, once, side = _together(nest, sizes, tiles, machine.chip.count // cache.count)
            if _holds(cache, nest, sizes, side, width):
                seconds = width * (once / above + own / cache.serves)
                found.append(Sharing(cache.name, count, once, own, seconds))
    return tuple(found)


def _holds(
    cache: Level, nest: Nest, sizes: Mapping[str, int], side: Mapping[str, int], width: float
) -> bool:
    """Whether a cache holds a block of the stream of all that share it."""
    values = {**sizes, **{name: side[axis] for name, axis in nest.tile_axes.items()}}
    steps = (step.evaluate(values) for step in transfers_of_a_step(nest))
    return max(steps, default=0) * width <= cache.capacity


def _together(
    nest: Nest, sizes: Mapping[str, int], tiles: Mapping[str, int], most: int
) -> tuple[int, int, dict[str, int]]:
    """Of up to ``most`` groups side by side, those that load least: how many, what, tiles."""
    extents = {axis: nest.extents[axis].evaluate(sizes) for axis in nest.grouped}
    own = exact_transfers(nest, sizes, tiles)
    every = {axis: -(-extents[axis] // tiles[axis]) for axis in nest.grouped}
    best: tuple[int, int, dict[str, int]] | None = None
    for factors in _factors([every[axis] for axis in nest.grouped], most):
        side = dict(tiles)
        count = 1
        for axis, factor in zip(nest.grouped, factors, strict=True):
            side[axis] = min(extents[axis], tiles[axis] * factor)
            count *= factor
        # Below a diagonal a larger group reads what its first rows leave out; apart they do not.
        moved = min(exact_transfers(nest, sizes, side), own)
        if best is None or (moved, count) < (best[1], best[0]):
            best = count, moved, side
    assert best is not None
    return best


def _factors(limits: list[int], most: int) -> Iterator[tuple[int, ...]]:
    """Whole numbers within limits, of product at most ``most``; the last is the largest."""
    if not limits:
        yield ()
        return
    first, *rest = limits
    top = min(first, most)
    for factor in range(1, top + 1) if rest else (top,):
        for others in _factors(rest, most // factor):
            yield factor, *others
