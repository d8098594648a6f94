"""One dispatch or several: a fused schedule against the same form cut at what it makes inside.

What a streamed fold makes inside its blocks, such as scores or hidden features, can be written out
by a dispatch of its own and read back.  That moves two arrays more, and frees each dispatch to
choose its groups.  Which is less is a comparison of two formulas, so its answer is an inequality of
sizes and memory.

Source: FlashAttention on a Napkin, section 3 (fusion); the comparison is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

from ncd_formal.derivation.cost import Cost
from ncd_formal.derivation.optima import Optimum, inequality, primitive
from ncd_formal.derivation.schedules import Plan, replaced
from ncd_formal.derivation.signomials import Signomial, total
from ncd_formal.sizes import variable
from ncd_formal.wires import Term, input_at, outermost, subterms


def cut(plan: Plan) -> tuple[Plan, ...]:
    """The dispatches of a plan whose inner contractions are written out, in order; () for none.

    An inner contraction is a sum of products inside the fold that runs along the streamed axis.
    """
    if plan.axis is None:
        return ()
    inner = _inner(plan)
    if not inner:
        return ()
    made: list[Plan] = []
    written: dict[Term, Term] = {}
    for number, node in enumerate(inner, 1):
        axes = sorted(node.axes, key=lambda axis: (axis == plan.axis, axis))
        layout = tuple((axis,) for axis in axes)
        contracted = str(node.args[1])
        made.append(Plan(plan.context, node, layout, contracted, contracted))
        written[node] = input_at(f"intermediate {number}", map(variable, axes))
    return (*made, replace(plan, term=replaced(plan.term, written)))


def _inner(plan: Plan) -> list[Term]:
    """The outermost contractions below the fold that run along the streamed axis."""

    def inside(node: Term) -> bool:
        contracts = node.op == "Reduce" and node.children[1].op == "Mul"
        return contracts and plan.axis in node.axes and not _folds(node, plan)

    return sorted(outermost(plan.term, inside), key=str)


def _folds(root: Term, plan: Plan) -> bool:
    """Whether a term is a fold along the streamed axis, or made of one."""
    return any(n.op == "Reduce" and n.args[1] in (plan.block, plan.tile) for n in subterms(root))


def combined(costs: Sequence[Cost]) -> Cost:
    """The cost of dispatches one after another: what they move, work and take adds up."""
    first = costs[0]
    if len(costs) == 1:
        return first
    formulas = replace(
        first,
        formula=" + ".join(c.formula for c in costs),
        memory_formula=" or ".join(dict.fromkeys(c.memory_formula for c in costs)),
        flops_formula=" + ".join(c.flops_formula for c in costs if c.flops_formula != "0"),
        operations=total(c.operations for c in costs),
        group_formula=" then ".join(c.group_formula for c in costs),
        step_formula=" then ".join(c.step_formula for c in costs if c.step_formula),
        special_formula=_added([c.special_formula for c in costs]),
        regimes=_sums(costs),
    )
    if isinstance(first.transfers, str):
        return replace(
            formulas,
            transfers=formulas.formula,
            memory=formulas.memory_formula,
            flops=formulas.flops_formula,
            special=formulas.special_formula,
        )
    times: dict[str, float] = {}
    for c in costs:
        for name, seconds in c.times.items():
            times[name] = times.get(name, 0.0) + seconds
    longest = max(costs, key=lambda c: float(c.time or 0))
    flops, loaded = _sum([c.flops for c in costs]), _sum([c.device_bytes for c in costs])
    timed = all(c.time != "" for c in costs)
    return replace(
        formulas,
        tiles={f"{n}.{k}": g for n, c in enumerate(costs, 1) for k, g in c.tiles.items()},
        transfers=_sum([c.transfers for c in costs]),
        memory=max(int(c.memory) for c in costs),
        flops=int(flops),
        special=int(_sum([c.special for c in costs])),
        bytes=_sum([c.bytes for c in costs]) if first.bytes != "" else "",
        device_bytes=loaded if first.device_bytes != "" else "",
        sharing=None,
        times=times,
        time=_sum([c.time for c in costs]) if timed else "",
        bound=longest.bound,
        intensity=flops / loaded if loaded else "",
        groups=tuple(count for c in costs for count in c.groups),
    )


def _added(formulas: Sequence[str]) -> str:
    return " + ".join(f for f in formulas if f != "0") or "0"


def _sum(numbers: Sequence[float | str]) -> float:
    return sum(n for n in numbers if not isinstance(n, str))


def _sums(costs: Sequence[Cost]) -> tuple[Optimum, ...]:
    """The sum of the first regimes that agree: those in which each dispatch is large."""

    def agree(found: Sequence[Optimum]) -> bool:
        conditions = dict.fromkeys(c for o in found for c in o.conditions)
        sums = (a + b for a, b in combinations(conditions, 2))
        return not any(all(c < 0 for _, c in each.terms) for each in sums)

    firsts = next(filter(agree, product(*(c.regimes for c in costs))), None)
    if firsts is None:
        return ()
    conditions = dict.fromkeys(c for o in firsts for c in o.conditions)
    tiles = {f"{n}.{k}": g for n, o in enumerate(firsts, 1) for k, g in o.tiles.items()}
    return (Optimum(total(o.transfers for o in firsts), tiles, tuple(conditions)),)


def advantage(other: Signomial, own: Signomial) -> Signomial:
    """What is ≥ 0 just where ``own`` is at most ``other``, without common factors."""
    return primitive((other - own).cleared())


def comparison(fused: Cost, unfused: Cost) -> str:
    """Where fusing moves less, as an inequality of sizes and memory, both in the large."""
    if not (fused.regimes and unfused.regimes):
        return ""
    own, other = fused.regimes[0].transfers, unfused.regimes[0].transfers
    return f"fused moves less where {inequality(advantage(other, own))}"
