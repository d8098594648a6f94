"""Where two programs part ways: the first array of each that the other does not have.

At inputs on which the outputs differ, every array of both programs is evaluated.  An array that
holds what some array of the other program holds is common.  Two programs that do the same in other
ways have arrays of their own as well, but come back to common ones; what never does lies beyond the
difference, and the first such array on the way to the output is where it begins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ncd_formal.arrays import Array, InputArray, IotaArray, topological
from ncd_formal.fingerprints import ByValue, Values, agree

TOLERANCE = 1e-7
"""How far two values of float64 that count as the same may be apart, relative to the largest."""


@dataclass(frozen=True)
class Parting:
    """The first array of each program that differs, and what it is made from that both have."""

    left: Array
    right: Array
    common: tuple[Array, ...]

    def __str__(self) -> str:
        text = f"{self.left.origin} on the left, {self.right.origin} on the right"
        agreed = ", ".join(dict.fromkeys(array.origin for array in self.common))
        return f"{text}; they agree on {agreed}" if agreed else text


def parting(
    left: Sequence[Array],
    right: Sequence[Array],
    data: Collection[str],
    samples: Sequence[Values],
) -> Parting | None:
    """Where the first outputs that differ in the first sample begin to; None where none do.

    ``samples`` hold every array of both programs; the more, the less agrees by chance.
    ``data`` names the inputs that are not parameters: what is made of parameters and numbers alone
    is no place where programs part ways, only how one of them writes its weights.
    """
    of = samples[0].of
    for pair in zip(left, right, strict=True):
        if not agree(of[pair[0]], of[pair[1]], TOLERANCE):
            orders = (topological(pair[:1]), topological(pair[1:]))
            common = _common(orders, samples)
            firsts = [_first(order, common, data) for order in orders]
            sources = dict.fromkeys(s for array in firsts for s in array.sources if s in common)
            return Parting(firsts[0], firsts[1], tuple(sources))
    return None


def _common(
    orders: tuple[Sequence[Array], Sequence[Array]], samples: Sequence[Values]
) -> set[Array]:
    """The arrays that hold what an array of the other program holds."""
    found: set[Array] = set()
    for own, other in (orders, orders[::-1]):
        held = ByValue(samples, TOLERANCE)
        for array in other:
            held.add(array)
        found |= {array for array in own if next(held.alike(array), None) is not None}
    return found


def _first(order: Sequence[Array], common: Collection[Array], data: Collection[str]) -> Array:
    """The first array of those, sources first, from which no way to the output is common again."""
    depends: set[Array] = set()
    for array in order:
        if (
            isinstance(array, IotaArray)
            or (isinstance(array, InputArray) and array.name in data)
            or not depends.isdisjoint(array.sources)
        ):
            depends.add(array)
    output = order[-1]
    rejoins: set[Array] = set()
    for array in reversed(order):
        if array in common or array in rejoins:
            rejoins |= {array, *array.sources}
    beyond = [array for array in order if array not in rejoins]
    return next((array for array in beyond if array in depends), output)
