"""A certificate of any length: a stack of layers, each rewritten."""

from __future__ import annotations

from ncd_formal.certificate import Certificate, Goal
from ncd_formal.conditions import Context
from ncd_formal.proof import Congruence, Instance
from ncd_formal.sizes import size, variable
from ncd_formal.wires import SUM, Term, add, constant, input_at, mul, reduce, term


def stack(layers: int) -> Certificate:
    """h ← h + tanh(Σ_j 2·W_ij h_j), each layer rewritten to h + tanh(2·Σ_j W_ij h_j)."""
    axes = {"d.0": size("d"), "d.1": size("d")}
    inputs = {"x": "real", **{f"w{k}": "real" for k in range(layers)}}
    closure = Congruence()
    two = constant(2)
    left = right = {axis: input_at("x", [variable(axis)]) for axis in axes}

    def layer(h: dict[str, Term], k: int, i: str, j: str) -> Term:
        return mul(input_at(f"w{k}", [variable(i), variable(j)]), h[j])

    for k in range(layers):
        before, after = left, right
        left, right = {}, {}
        for i, j in (("d.0", "d.1"), ("d.1", "d.0")):
            body = layer(before, k, i, j)
            inside, outside = reduce(SUM, j, mul(two, body)), mul(two, reduce(SUM, j, body))
            closure.merge(inside, outside, Instance("sum-mul", {"x": j, "c": two, "a": body}))
            left[i] = add(before[i], term("Function", "tanh", inside))
            summed = mul(two, reduce(SUM, j, layer(after, k, i, j)))
            right[i] = add(after[i], term("Function", "tanh", summed))
    goal = (left["d.0"], right["d.0"])
    context = Context(axes=axes, inputs=inputs)
    return Certificate(context, (Goal(*goal, (("d.0",),)),), closure.explain(goal))
