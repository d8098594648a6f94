"""The map of regimes: of several ways to run a program, which is the best where.

A *candidate* is a name with a cost: one fused dispatch, the dispatches that it is cut into, or an
equal form with another order of contractions.  Two candidates are separated by an inequality of
sizes and memory, from their least transfers in closed form and from their operations.  At numbers
every candidate is costed on the machine, tiles in whole numbers, and the least time wins; where
times are equal, or a machine has no rates, the fewest values moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

from ncd_formal.derivation.cost import Cost, Schedules, cost, divisors, schedules, value
from ncd_formal.derivation.fusion import advantage, combined
from ncd_formal.derivation.machines import Machine
from ncd_formal.derivation.optima import inequality, primitive
from ncd_formal.derivation.schedules import Plan
from ncd_formal.derivation.signomials import Signomial
from ncd_formal.errors import InputError

MOST_CELLS = 1024
"""The cells of the largest map."""


MOST_PAIRED = 3
"""Of so many ways each two are compared in words; of more, each with the first."""


@dataclass(frozen=True)
class Candidate:
    """A way to run a program."""

    name: str
    cost: Callable[[Mapping[str, int] | None], Cost]
    """What it costs at sizes, or as formulas for None; InputError where it does not fit."""


def candidate(name: str, plans: Sequence[Plan], machine: Machine) -> Candidate:
    """The candidate that runs plans one after another on a machine."""
    known = [schedules(plan) for plan in plans]

    def costed(sizes: Mapping[str, int] | None) -> Cost:
        if sizes is not None and plans[0].part is not None:
            return _best_parts(known, machine, sizes)
        return combined([cost(plan, machine, sizes) for plan in known])

    return Candidate(name, costed)


def _best_parts(known: Sequence[Schedules], machine: Machine, sizes: Mapping[str, int]) -> Cost:
    """The cost of a form in parts, at the best number of them.

    Tried are the powers of two, until a part has less than a block.  Each part
    has as many indices of the axis, rounded up: at most as many as there are parts are counted that
    are not there.

    Errors: InputError where there is one block, no group fits, or a size has no value.
    """
    plan = known[0].plan
    assert plan.axis is not None and plan.part is not None
    extent = value(plan.context.axes[plan.axis], sizes)
    block = divisors(known[0].nests[0], plan, machine)[plan.axis]
    (counted,), (each,) = plan.context.axes[plan.part].variables, plan.each.variables
    best: Cost | None = None
    parts = 2
    while parts <= -(-extent // block):
        at = {**sizes, counted: parts, each: -(-extent // parts)}
        found = combined([cost(each_plan, machine, at) for each_plan in known])
        found = replace(found, tiles={counted: parts, **found.tiles})
        if best is None or rank(found) < rank(best):
            best = found
        parts *= 2
    if best is None:
        raise InputError(f"{plan.axis} has no two blocks of {block} to deal out")
    return best


@dataclass(frozen=True)
class Boundary:
    """Where one candidate takes no more of something than another, as formulas."""

    first: str
    other: str
    measure: str
    """``"values moved"`` or ``"operations"``."""
    where: Signomial
    """What is ≥ 0 just where the first takes no more."""
    given: tuple[Signomial, ...] = ()
    """What is ≥ 0 where both formulas are the least."""

    @property
    def verdict(self) -> bool | None:
        """Whether the first takes no more at all sizes, or more at all; None where it depends."""
        if self.where.nonnegative():
            return True
        return False if all(c < 0 for _, c in self.where.terms) else None

    def text(self) -> str:
        """The boundary as one line."""
        verdict = self.verdict
        where = f"where {inequality(self.where)}"
        if verdict is not None:
            where = "everywhere" if verdict else "nowhere"
        given = " and ".join(map(inequality, self.given))
        leading = primitive(self.where.leading())
        if verdict is None and leading != self.where and self.measure == "operations":
            where += f", in the large {inequality(leading)}"
        line = f"{self.first} against {self.other}: no more {self.measure} {where}"
        return f"{line}, given {given}" if given and verdict is None else line


@dataclass(frozen=True)
class Cell:
    """All candidates at some sizes."""

    sizes: Mapping[str, int]
    costs: Mapping[str, Cost]
    """By name, those that fit."""
    refusals: Mapping[str, str]
    """Why the others do not."""

    @property
    def winner(self) -> str:
        """The best candidate; empty where none fits."""
        return min(self.costs, key=lambda name: rank(self.costs[name]), default="")


def rank(found: Cost) -> tuple[float, float]:
    """The order of costs in numbers: by time, where a machine has rates, then by values moved."""
    return float(found.time or 0), float(found.transfers)


@dataclass(frozen=True)
class RegimeMap:
    """Which candidate wins where."""

    name: str
    machine: Machine
    given: Mapping[str, int]
    """The sizes that are the same everywhere."""
    over: Mapping[str, tuple[int, ...]]
    """The one or two sizes that vary, with their values."""
    candidates: tuple[str, ...]
    formulas: Mapping[str, Cost]
    boundaries: tuple[Boundary, ...]
    cells: tuple[Cell, ...]

    @property
    def measure(self) -> str:
        """What the winner has the least of."""
        return "time" if self.machine.flops else "values moved"

    def agreement(self, boundary: Boundary) -> tuple[int, int]:
        """In how many cells a boundary in values moved tells who moves less, and of how many.

        Counted are those where its conditions hold and both candidates fit.
        """
        told = counted = 0
        for cell in self.cells:
            both = cell.costs.get(boundary.first), cell.costs.get(boundary.other)
            chosen = {k: g for each in both if each for k, g in each.tiles.items()}  # m_parts
            at = {**chosen, **self.given, **cell.sizes, "M": self.machine.memory}
            if both[0] and both[1] and all(c.evaluate(at) >= 0 for c in boundary.given):
                counted += 1
                less = float(both[0].transfers) <= float(both[1].transfers)
                told += less == (boundary.where.evaluate(at) >= 0)
        return told, counted

    def explain(self) -> str:
        """The map for people."""
        title = self.machine.title or self.machine.name
        lines = [f"{self.name} on {title}: which of {len(self.candidates)} ways wins where"]
        for name in self.candidates:
            least = self.formulas[name].regimes
            lines.append(f"  {name}: H = {least[0] if least else self.formulas[name].formula}")
        for boundary in self.boundaries:
            if len(self.candidates) > MOST_PAIRED and boundary.first != self.candidates[0]:
                continue
            line = f"  {boundary.text()}"
            if boundary.measure == "values moved":
                told, counted = self.agreement(boundary)
                line += f" (tells {told} of {counted} cells)" if counted else ""
            lines.append(line)
        if not self.cells:
            return "\n".join(lines)
        (across, columns), *rest = self.over.items()
        down, rows = rest[0] if rest else ("", (0,))
        lines.append(f"  least {self.measure}, by number:")
        lines += [f"    {number} {name}" for number, name in enumerate(self.candidates, 1)]
        numbers = {name: str(k) for k, name in enumerate(self.candidates, 1)} | {"": "-"}
        width = max(len(str(value)) for value in columns) + 1
        wide = max(len(f"{down} = {row}") for row in rows) if down else 0
        won = {tuple(cell.sizes.items()): numbers[cell.winner] for cell in self.cells}
        for row in reversed(rows):
            head = f"{down} = {row}" if down else ""
            marks = (
                won[((across, column), *(((down, row),) if down else ()))] for column in columns
            )
            lines.append(f"    {head:>{wide}} " + "".join(f"{mark:>{width}}" for mark in marks))
        feet = "".join(f"{column:>{width}}" for column in columns)
        lines.append(f"    {f'{across} =':>{wide}} {feet}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The map as plain data."""
        return {
            "name": self.name,
            "machine": self.machine.name,
            "memory": self.machine.memory,
            "sizes": dict(self.given),
            "over": {name: list(values) for name, values in self.over.items()},
            "measure": self.measure,
            "candidates": {name: self.formulas[name].to_json() for name in self.candidates},
            "boundaries": [
                {
                    "first": b.first,
                    "other": b.other,
                    "measure": b.measure,
                    "where": inequality(b.where),
                    "everywhere": b.verdict,
                    "given": [inequality(c) for c in b.given],
                }
                for b in self.boundaries
            ],
            "cells": [
                {
                    "sizes": dict(cell.sizes),
                    "winner": cell.winner,
                    "time": {name: found.time for name, found in cell.costs.items()},
                    "transfers": {name: found.transfers for name, found in cell.costs.items()},
                    "bound": {name: found.bound for name, found in cell.costs.items()},
                    "refused": dict(cell.refusals),
                }
                for cell in self.cells
            ],
        }


def boundaries(formulas: Mapping[str, Cost]) -> tuple[Boundary, ...]:
    """What separates each two candidates, from their costs as formulas.

    Values moved are compared regime by regime where both have closed forms; operations where they
    differ.
    """
    found = []
    for (first, own), (other, against) in combinations(formulas.items(), 2):
        for a, b in product(own.regimes, against.regimes):
            given = tuple(dict.fromkeys((*a.conditions, *b.conditions)))
            if not any(-condition in given for condition in given):
                where = advantage(b.transfers, a.transfers)
                found.append(Boundary(first, other, "values moved", where, given))
        if own.operations != against.operations:
            where = advantage(against.operations, own.operations)
            found.append(Boundary(first, other, "operations", where))
    return tuple(found)


def regime_map(
    name: str,
    candidates: Sequence[Candidate],
    machine: Machine,
    over: Mapping[str, Sequence[int]],
    given: Mapping[str, int] | None = None,
) -> RegimeMap:
    """The map of candidates over the grid of one or two sizes.

    Without sizes in ``over`` there are formulas and boundaries alone.

    Errors: InputError for three sizes or more, for a grid that is too large, and for a size that
    has no value, or two.
    """
    fixed = dict(given or {})
    if len(over) > 2:
        raise InputError(f"a map has one or two sizes, not {', '.join(over)}")
    for size in over:
        if size in fixed:
            raise InputError(f"{size} is mapped, so it has no single value")
    if math.prod(len(values) for values in over.values()) > MOST_CELLS:
        raise InputError(f"a map has at most {MOST_CELLS} cells")
    cells = []
    for point in product(*over.values()) if over else ():
        sizes = dict(zip(over, point, strict=True))
        costs, refusals = {}, {}
        for each in candidates:
            try:
                costs[each.name] = each.cost({**fixed, **sizes})
            except InputError as error:
                if "has no value" in str(error):
                    raise
                refusals[each.name] = str(error)
        cells.append(Cell(sizes, costs, refusals))
    formulas = {each.name: each.cost(None) for each in candidates}
    return RegimeMap(
        name,
        machine,
        fixed,
        {size: tuple(values) for size, values in over.items()},
        tuple(formulas),
        formulas,
        boundaries(formulas),
        tuple(cells),
    )
