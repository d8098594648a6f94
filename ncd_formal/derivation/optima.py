"""The least that a schedule can move, as formulas of sizes and memory: geometric programming.

Minimise the posynomial H over tile sizes g, where the posynomial M(g) fits the memory and g ≤ a.
In logarithms this is convex, so a point that satisfies the conditions of Karush, Kuhn and Tucker
is *the* optimum.  Which constraints are active depends on the sizes: each choice of axes held whole
gives one candidate with its conditions, inequalities of sizes.  Together they are a map: where the
conditions of one hold, its formula is the least H.

A candidate has a closed form where the active constraint is one monomial in the free tile sizes.
One of them is then eliminated, and what is left has degree of difficulty 0: as many terms as
dimensions and one.  Its dual has a single point w, and the optimum is Π (c/w)^w, which for one
dimension is the inequality of arithmetic and geometric means.

Terms of streamed blocks in M are dropped: they shrink as the blocks do, so what is found is a lower
bound for every schedule, and the leading order for a large memory.

Source: FlashAttention on a Napkin, section 3 and equation 1; Duffin, Peterson, Zener, Geometric
Programming (1967), for the dual.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from ncd_formal.derivation.nests import Nest, memory, transfers
from ncd_formal.derivation.signomials import Signomial, signomial, total, variable

MEMORY = variable("M")
"""The values that fit on a chip."""

MOST_FREE = 3
"""How many tile sizes may be free at once: of many grouped axes, all others are held whole."""


@dataclass(frozen=True)
class Optimum:
    """The least transfers in a regime of sizes."""

    transfers: Signomial
    tiles: Mapping[str, Signomial]
    """The tile size for each name ``g_…``; an axis held whole has its extent."""
    conditions: tuple[Signomial, ...]
    """What is ≥ 0 where this is the optimum; what is evident is left out."""

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether the conditions hold at sizes and a memory ``M``."""
        return all(c.evaluate(values) >= -1e-9 for c in self.conditions)

    def __str__(self) -> str:
        where = " and ".join(f"{inequality(c)}" for c in self.conditions)
        return f"{self.transfers}" + (f"   where {where}" if where else "")


def inequality(condition: Signomial) -> str:
    """``condition ≥ 0`` with the negative terms on the right."""
    left = total(Signomial({m: c}) for m, c in condition.terms if c > 0)
    right = total(Signomial({m: -c}) for m, c in condition.terms if c < 0)
    return f"{left} ≥ {right}"


def optima(nest: Nest) -> tuple[Optimum, ...]:
    """The least transfers of a nest, regime by regime, those with the most axes free first.

    A regime without a closed form is left out, and one with more than ``MOST_FREE`` free axes.
    """
    names = [f"g_{nest.label(axis)}" for axis in nest.grouped]
    wholes = {
        name: signomial(nest.extents[axis]) for name, axis in zip(names, nest.grouped, strict=True)
    }
    streams = {name: signomial(0) for name in nest.tile_axes if name not in wholes}
    held = tuple(dict.fromkeys(m.substitute(streams) for m in memory(nest)))
    return least(transfers(nest), held, wholes)


def least(
    objective: Signomial, held: Sequence[Signomial], wholes: Mapping[str, Signomial]
) -> tuple[Optimum, ...]:
    """The least ``objective`` over ``1 ≤ g ≤ whole`` where each of ``held`` is at most ``M``."""
    found: list[Optimum] = []
    for count in range(max(0, len(wholes) - MOST_FREE), len(wholes) + 1):
        for fixed in combinations(sorted(wholes), count):
            at = {name: wholes[name] for name in fixed}
            free = tuple(name for name in wholes if name not in at)
            candidates = _candidates(objective.substitute(at), held, at, free)
            for moved, tiles, active in candidates:
                conditions = _conditions(objective, held, wholes, {**at, **tiles}, free, active)
                if conditions is not None:
                    found.append(Optimum(moved, {**at, **tiles}, conditions))
    unique = {(o.transfers, o.conditions): o for o in reversed(found)}
    return tuple(reversed(unique.values()))


def _candidates(
    objective: Signomial,
    held: Sequence[Signomial],
    fixed: Mapping[str, Signomial],
    free: tuple[str, ...],
) -> Iterator[tuple[Signomial, dict[str, Signomial], Signomial | None]]:
    """Stationary points with some tile sizes fixed: transfers, tiles, the active constraint."""
    if not free:
        yield objective, {}, None
        return
    for constraint in held:
        parts = constraint.substitute(fixed).by_power(free)
        if len(parts) != 1:
            continue
        ((powers, coefficient),) = parts.items()
        solved = next((k for k, p in enumerate(powers) if p), None)
        if solved is None or not all(powers):
            continue
        # coefficient · Π g^p = M, solved for one g.
        rest = tuple(name for k, name in enumerate(free) if k != solved)
        others = zip(free, powers, strict=True)
        product = MEMORY / coefficient
        for name, power in others:
            if name != free[solved]:
                product = product * variable(name) ** -power
        eliminated = product ** (1 / powers[solved])
        at = {free[solved]: eliminated}
        inner = _unconstrained(objective.substitute(at), rest)
        if inner is not None:
            value, tiles = inner
            yield value, {**tiles, free[solved]: eliminated.substitute(tiles)}, constraint


def _unconstrained(
    objective: Signomial, free: tuple[str, ...]
) -> tuple[Signomial, dict[str, Signomial]] | None:
    """The least of a posynomial with degree of difficulty 0 over all positive ``free``."""
    if not free:
        return objective, {}
    parts = objective.by_power(free)
    constant = parts.pop((Fraction(0),) * len(free), signomial(0))
    exponents = list(parts)
    if len(exponents) != len(free) + 1:
        return None
    # Σ w = 1 and Σ w · exponent = 0.
    rows = [[Fraction(1)] * len(exponents), *([e[k] for e in exponents] for k in range(len(free)))]
    weights = solve(rows, [Fraction(1)] + [Fraction(0)] * len(free))
    if weights is None or any(w <= 0 for w in weights):
        return None
    value = signomial(1)
    for weight, coefficient in zip(weights, parts.values(), strict=True):
        value = value * (coefficient / weight) ** weight
    # Each term is its share w of the optimum: in logarithms, linear equations for the tile sizes.
    tiles: dict[str, Signomial] = {}
    for k, name in enumerate(free):
        unit = [Fraction(int(j == k)) for j in range(len(free))]
        columns = [[e[j] for e in exponents] for j in range(len(free))]
        shares = solve([*columns, [Fraction(1)] * len(exponents)], [*unit, Fraction(0)])
        if shares is None:
            return None
        tile = signomial(1)
        for share, weight, coefficient in zip(shares, weights, parts.values(), strict=True):
            tile = tile * (weight * value / coefficient) ** share
        tiles[name] = tile
    return constant + value, tiles


def solve(rows: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction] | None:
    """The single solution of a square linear system; None where there is none or many."""
    size = len(rows)
    table = [[*row, value] for row, value in zip(rows, right, strict=True)]
    for column in range(size):
        pivot = next((r for r in range(column, size) if table[r][column]), None)
        if pivot is None:
            return None
        table[column], table[pivot] = table[pivot], table[column]
        table[column] = [x / table[column][column] for x in table[column]]
        for r in range(size):
            if r != column and table[r][column]:
                factor = table[r][column]
                table[r] = [x - factor * y for x, y in zip(table[r], table[column], strict=True)]
    return [row[-1] for row in table]


def _conditions(
    objective: Signomial,
    held: Sequence[Signomial],
    wholes: Mapping[str, Signomial],
    tiles: Mapping[str, Signomial],
    free: tuple[str, ...],
    active: Signomial | None,
) -> tuple[Signomial, ...] | None:
    """Where a candidate is the optimum: it is within bounds, and no multiplier is negative.

    None where a condition evidently fails.
    """
    conditions = [MEMORY - m.substitute(tiles) for m in held if m is not active]
    for name in free:
        conditions += [wholes[name] - tiles[name], tiles[name] - 1]
    if active is not None:
        price = _slope(objective, free[0], tiles) / active.elasticity(free[0]).substitute(tiles)
        conditions.append(price)
        for name in wholes:
            if name not in free:
                gain = _slope(objective, name, tiles)
                conditions.append(gain - price * active.elasticity(name).substitute(tiles))
    kept = []
    for condition in conditions:
        condition = condition.cleared()
        if condition.nonnegative():
            continue
        if condition.terms and all(c < 0 for _, c in condition.terms):
            return None
        kept.append(primitive(condition))
    return tuple(dict.fromkeys(kept))


def _slope(objective: Signomial, name: str, tiles: Mapping[str, Signomial]) -> Signomial:
    """How fast the objective falls in the logarithm of a tile size."""
    return -objective.elasticity(name).substitute(tiles)


def primitive(condition: Signomial) -> Signomial:
    """The condition without common factors, which are positive."""
    if len(condition.terms) < 2:
        return condition
    common, coefficient, _ = condition.content()
    return condition / (Signomial({common: Fraction(1)}) * abs(coefficient))
