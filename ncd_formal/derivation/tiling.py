"""Tile sizes in whole numbers: the least H within a memory, exactly.

H falls and M grows in every tile size.  So in a box of choices H is at least its value at the upper
corner, and the box holds nothing that fits where its lower corner does not: branch and bound is
exact.  The largest axis is never branched on, its best choice being the largest that fits.  The
search starts from the geometric program's solution in real numbers, rounded.

Where tiles that large leave processors idle, what counts is H times the share of the machine that
works, inverted.  That factor grows in every tile size, so in a box the product is at least H at the
upper corner times the factor at the lower one: branch and bound is exact again, over all axes.

Source: FlashAttention on a Napkin, section 3; Boyd and others, A Tutorial on Geometric Programming
(2007), sections 2 and 9.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ncd_formal.derivation.signomials import Signomial

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Tiling:
    """The tile sizes chosen, what moves, and what is held."""

    tiles: Mapping[str, int]
    transfers: float
    memory: int


def choices(extent: int, divisor: int = 1) -> tuple[int, ...]:
    """The tile sizes of an axis: multiples of the divisor below its size, and the size itself."""
    return (*range(divisor, extent, divisor), extent)


def best_tiles(
    objective: Signomial,
    held: Sequence[Signomial],
    allowed: Mapping[str, Sequence[int]],
    capacity: int,
    counted: Callable[[Mapping[str, int]], float] | None = None,
) -> Tiling | None:
    """The tile sizes of least ``objective`` where each of ``held`` is at most ``capacity``.

    ``allowed`` gives each tile size its values in ascending order.  Both formulas hold no other
    variable; the objective must not grow and ``held`` must not fall in any of them.  ``counted``
    stands for the objective where groups are whole, and falls as it does.  None where nothing fits.
    """
    names = tuple(sorted(allowed, key=lambda name: (len(allowed[name]), name)))
    smooth = objective.compiled(names)

    def moved(point: tuple[int, ...]) -> float:
        return counted(dict(zip(names, point, strict=True))) if counted else smooth(point)

    parts = [m.compiled(names) for m in held]

    def memory(point: tuple[int, ...]) -> float:
        return max(part(point) for part in parts)

    if not names:
        return Tiling({}, moved(()), int(memory(()))) if memory(()) <= capacity else None
    outer, last = names[:-1], allowed[names[-1]]

    def complete(point: tuple[int, ...]) -> tuple[int, ...] | None:
        """The point with the largest last tile size that fits."""
        if memory((*point, last[0])) > capacity:
            return None
        low, high = 0, len(last) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if memory((*point, last[middle])) <= capacity:
                low = middle
            else:
                high = middle - 1
        return (*point, last[low])

    best: tuple[float, tuple[int, ...]] | None = None

    def offer(point: tuple[int, ...] | None) -> None:
        nonlocal best
        if point is not None and (best is None or moved(point) < best[0]):
            best = (moved(point), point)

    for start in _rounded(objective, held, names, allowed, capacity):
        offer(complete(start))
    Box = tuple[tuple[int, int], ...]
    box: Box = tuple((0, len(allowed[name]) - 1) for name in outer)
    queue: list[tuple[float, Box]] = [(0.0, box)]
    while queue:
        bound, box = heapq.heappop(queue)
        if best is not None and bound >= best[0]:
            break
        lower = complete(tuple(allowed[n][lo] for n, (lo, _) in zip(outer, box, strict=True)))
        if lower is None:
            continue
        offer(lower)
        widest = max(range(len(box)), key=lambda k: box[k][1] - box[k][0], default=None)
        if widest is None or box[widest][0] == box[widest][1]:
            continue
        lo, hi = box[widest]
        for half in ((lo, (lo + hi) // 2), ((lo + hi) // 2 + 1, hi)):
            part = (*box[:widest], half, *box[widest + 1 :])
            low = complete(tuple(allowed[n][a] for n, (a, _) in zip(outer, part, strict=True)))
            if low is not None:
                upper = (*(allowed[n][b] for n, (_, b) in zip(outer, part, strict=True)), low[-1])
                if best is None or moved(upper) < best[0]:
                    heapq.heappush(queue, (moved(upper), part))
    if best is None:
        return None
    return Tiling(dict(zip(names, best[1], strict=True)), best[0], int(memory(best[1])))


def busiest_tiles(
    first: Tiling,
    held: Sequence[Signomial],
    allowed: Mapping[str, Sequence[int]],
    capacity: int,
    counted: Callable[[Mapping[str, int]], float],
    idle: Callable[[Mapping[str, int]], float],
) -> Tiling:
    """The tile sizes of least ``counted · idle``, from ``first``, which fits.

    ``counted`` must not grow, and ``held`` and ``idle`` not fall in any tile size.
    """
    names = tuple(sorted(allowed))
    parts = [m.compiled(names) for m in held]
    moved: dict[tuple[int, ...], float] = {}
    Corner = tuple[int, ...]

    def point(corner: Corner) -> tuple[int, ...]:
        return tuple(allowed[name][k] for name, k in zip(names, corner, strict=True))

    def fits(corner: Corner) -> bool:
        return max(part(point(corner)) for part in parts) <= capacity

    def at(corner: Corner) -> dict[str, int]:
        return dict(zip(names, point(corner), strict=True))

    def count(corner: Corner) -> float:
        if corner not in moved:
            moved[corner] = counted(at(corner))
        return moved[corner]

    def shrunk(low: Corner, high: Corner) -> Corner:
        """The upper corner without what fits with nothing of the box."""
        found = list(high)
        for k in range(len(names)):
            below, above = low[k], high[k]
            while below < above:
                middle = (below + above + 1) // 2
                if fits((*low[:k], middle, *low[k + 1 :])):
                    below = middle
                else:
                    above = middle - 1
            found[k] = below
        return tuple(found)

    best, least = first, first.transfers * idle(first.tiles)
    queue: list[tuple[float, Corner, Corner]] = []

    def enter(low: Corner, high: Corner) -> None:
        nonlocal best, least
        if not fits(low):
            return
        high = shrunk(low, high)
        for corner in {low, high} if fits(high) else {low}:
            weight = count(corner) * idle(at(corner))
            if weight < least:
                held_there = int(max(part(point(corner)) for part in parts))
                best, least = Tiling(at(corner), count(corner), held_there), weight
        bound = count(high) * idle(at(low))
        if bound < least and low != high:
            heapq.heappush(queue, (bound, low, high))

    enter((0,) * len(names), tuple(len(allowed[name]) - 1 for name in names))
    while queue:
        bound, low, high = heapq.heappop(queue)
        if bound >= least:
            break
        widest = max(range(len(names)), key=lambda k: high[k] - low[k])
        middle = (low[widest] + high[widest]) // 2
        enter(low, (*high[:widest], middle, *high[widest + 1 :]))
        enter((*low[:widest], middle + 1, *low[widest + 1 :]), high)
    return best


def _rounded(
    objective: Signomial,
    held: Sequence[Signomial],
    names: tuple[str, ...],
    allowed: Mapping[str, Sequence[int]],
    capacity: int,
) -> list[tuple[int, ...]]:
    """The choices next below the solution in real numbers, all but the last axis."""
    if all(len(allowed[name]) == 1 for name in names[:-1]):
        return [tuple(allowed[name][0] for name in names[:-1])]
    upper = {name: float(allowed[name][-1]) for name in names}
    real = relaxed(objective, held, upper, capacity)
    if real is None:
        return []
    point = []
    for name in names[:-1]:
        below = [g for g in allowed[name] if g <= real[name] * (1 + 1e-6)]
        point.append(below[-1] if below else allowed[name][0])
    return [tuple(point)]


def relaxed(
    objective: Signomial, held: Sequence[Signomial], upper: Mapping[str, float], capacity: float
) -> dict[str, float] | None:
    """The geometric program over real tile sizes from 1 to ``upper``; None where 1 does not fit.

    In logarithms it is convex; a barrier for each constraint and Newton's steps solve it to about
    six digits.
    """
    names = tuple(upper)
    top = np.log([upper[name] for name in names])
    free = top > 1e-12
    goal = _LogPosynomial(objective, names)
    walls = [_LogPosynomial(m, names, 1.0 / capacity) for m in held]
    x: Vector = np.where(free, np.minimum(1e-9, top / 2), 0.0)
    if any(wall(x)[0] >= 0 for wall in walls):
        return None
    weight = 1.0
    while weight < 1e9:
        for _ in range(60):
            value, slope, curve = _barrier(goal, walls, x, top, free, weight)
            step = np.zeros_like(x)
            step[free] = np.linalg.solve(
                curve[np.ix_(free, free)] + 1e-12 * np.eye(int(free.sum())), -slope[free]
            )
            descent = float(slope @ step)
            if descent > -1e-10:
                break
            length = 1.0
            while length > 1e-12:
                tried = _barrier(goal, walls, x + length * step, top, free, weight)[0]
                if tried <= value + 0.25 * length * descent:
                    break
                length /= 2
            x = x + length * step
        weight *= 10
    return {name: math.exp(t) for name, t in zip(names, x, strict=True)}


class _LogPosynomial:
    """A posynomial in logarithms: its value there, its gradient and its second derivatives."""

    def __init__(self, formula: Signomial, names: tuple[str, ...], scale: float = 1.0) -> None:
        parts = formula.by_power(names)
        self.powers = np.array([[float(p) for p in key] for key in parts], dtype=np.float64)
        self.offsets = np.log([float(c.evaluate({})) * scale for c in parts.values()])

    def __call__(self, x: Vector) -> tuple[float, Vector, Vector]:
        exponents = self.powers @ x + self.offsets
        top = float(exponents.max())
        weights = np.exp(exponents - top)
        total = float(weights.sum())
        shares = weights / total
        slope = shares @ self.powers
        curve = (self.powers.T * shares) @ self.powers - np.outer(slope, slope)
        return top + math.log(total), slope, curve


def _barrier(
    goal: _LogPosynomial,
    walls: Sequence[_LogPosynomial],
    x: Vector,
    top: Vector,
    free: NDArray[np.bool_],
    weight: float,
) -> tuple[float, Vector, Vector]:
    """``weight · log H − Σ log(room)``, with its derivatives; infinite outside."""
    low, high = x[free], (top - x)[free]
    if (low <= 0).any() or (high <= 0).any():
        return math.inf, x, x
    value, slope, curve = goal(x)
    value, slope, curve = weight * value, weight * slope, weight * curve
    value -= float(np.log(low).sum() + np.log(high).sum())
    slope[free] += 1 / high - 1 / low
    curve[free, free] += 1 / high**2 + 1 / low**2
    for wall in walls:
        at, normal, bend = wall(x)
        if at >= 0:
            return math.inf, x, x
        value -= math.log(-at)
        slope = slope - normal / at
        curve = curve - bend / at + np.outer(normal, normal) / at**2
    return value, slope, curve
