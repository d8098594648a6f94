"""The best of the ways to run a program, and why it is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ncd_formal.conditions import Context
from ncd_formal.derivation.contractions import orders
from ncd_formal.derivation.cost import Cost
from ncd_formal.derivation.fusion import advantage, comparison
from ncd_formal.derivation.machines import Machine
from ncd_formal.derivation.regimes import Boundary, rank
from ncd_formal.derivation.schedules import Plan, operations
from ncd_formal.derivation.signomials import Signomial, signomial
from ncd_formal.derivation.ways import Way, brief
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError


@dataclass(frozen=True)
class Choice:
    """A way to run a program, with its cost."""

    way: Way
    cost: Cost
    why: str
    """Why it is this one, where there are others."""


def choose(found: Sequence[Way], machine: Machine, sizes: Mapping[str, int] | None) -> Choice:
    """The way of the least cost at sizes; without sizes the first, and where it is better.

    Errors: InputError where none fits, and for a size that has no value.
    """
    first = found[0]
    formulas = {way.name: way.candidate(machine).cost(None) for way in found[:2]}
    where = comparison(formulas["fused"], formulas["unfused"]) if "unfused" in formulas else ""
    if sizes is None:
        return Choice(first, formulas[first.name], where)
    costs: dict[str, Cost] = {}
    refusals: dict[str, InputError] = {}
    for way in found:
        try:
            costs[way.name] = way.candidate(machine).cost(sizes)
        except InputError as error:
            refusals[way.name] = error
    if not costs:
        raise refusals[first.name]
    least = min(costs, key=lambda name: rank(costs[name]))
    (best,) = (way for way in found if way.name == least)
    if len(found) == 1:
        return Choice(best, costs[least], "")
    if first.name in refusals:
        why = [f"{least}, as {first.name} {refusals[first.name]}"]
    else:
        moved = ", ".join(f"{name} H = {each.transfers:,.0f}" for name, each in costs.items())
        why = [f"{moved} values"]
    if best.divided is not None and first.name in costs:
        why.append(_kept_busy(first.name, costs[first.name]))
    elif best.order is not None:
        own = best.candidate(machine).cost(None)
        why.append(fewer(least, own.operations, first.name, formulas[first.name].operations))
    elif where:
        why.append(where)
    return Choice(best, costs[least], "; ".join(why))


def _kept_busy(name: str, whole: Cost) -> str:
    """What a way does about processors that have no group, where another cuts its axis in parts."""
    if not any(whole.idle):
        return f"{name} cuts smaller groups to keep processors busy"
    return f"{name} leaves {max(whole.idle)} of {whole.processors} processors idle"


def fewer(name: str, own: Signomial, other: str, against: Signomial) -> str:
    """Where one of two takes no more operations than the other, as a line."""
    return Boundary(name, other, "operations", advantage(against, own)).text()


def other_orders(output: Output, context: Context) -> tuple[str, ...]:
    """The other orders of the contractions of an output, each with where it takes no more work."""
    own = _operations(output, context)
    return tuple(
        fewer(brief(each.term), _operations(replace(output, term=each.term), context), "this", own)
        for each in orders(output, context)
    )


def _operations(output: Output, context: Context) -> Signomial:
    return signomial(operations(Plan(context, output.term, output.layout)))
