"""The cheapest term of a class, exactly: a node that is used twice is paid once.

A greedy choice takes the best form of numerator and denominator apart and so misses the form that
computes both in one pass.  The choice of one node for each needed class is an optimisation with
shared costs and without cycles, which Z3 solves; the graphs are those of one kernel, and small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ncd_formal.egraph.run import Graph
from ncd_formal.wires import SIGNATURE, Argument, Term, term

Cost = Callable[[str, Sequence[Argument | None]], int]
"""Takes an operator and its literal arguments (None in the place of a term)."""


Class = tuple[str, Any]
"""A sort and the engine's value."""


@dataclass(frozen=True, slots=True)
class _Node:
    op: str
    literals: tuple[Argument | None, ...]
    children: tuple[Class, ...]
    cost: int


def cheapest(graph: Graph, root: Term, cost: Cost, seconds: float = 10.0) -> Term | None:
    """The term of least total cost that is equal to ``root``; None where time ran out."""
    classes = _snapshot(graph, cost)
    start = graph.class_of(root)
    needed = _reachable(classes, start)
    choice = _solve(classes, start, needed, seconds)
    if choice is None:
        return None
    return _build(classes, choice, start)


def _snapshot(graph: Graph, cost: Cost) -> dict[Any, list[_Node]]:
    classes: dict[Any, list[_Node]] = {}
    engine = graph.engine
    functions = engine.freeze().functions
    for op, (sorts, sort) in SIGNATURE.items():
        for row in functions[op].rows:
            literals: list[Argument | None] = []
            children = []
            for own, value in zip(sorts, row.inputs, strict=True):
                if own == "String":
                    literals.append(str(engine.value_to_string(value)))
                elif own == "BigRat":
                    literals.append(Fraction(engine.value_to_bigrat(value)))
                else:
                    literals.append(None)
                    children.append((own, value))
            node = _Node(op, tuple(literals), tuple(children), cost(op, literals))
            classes.setdefault((sort, row.output), []).append(node)
    return classes


def _reachable(classes: dict[Any, list[_Node]], start: Any) -> list[Any]:
    seen, stack = {start: None}, [start]
    while stack:
        for node in classes[stack.pop()]:
            for child in node.children:
                if child not in seen:
                    seen[child] = None
                    stack.append(child)
    return list(seen)


def _solve(
    classes: dict[Any, list[_Node]], start: Any, needed: Sequence[Any], seconds: float
) -> dict[Any, _Node] | None:
    """For each class in use one node, at least total cost, no class below itself."""
    import z3

    # In a context of its own: of forms that cost the same, the choice does not depend on what was
    # solved before.
    own = z3.Context()
    solver = z3.Optimize(ctx=own)
    solver.set("timeout", int(1000 * seconds))
    options = {c: _undominated([n for n in classes[c] if c not in n.children]) for c in needed}
    names = {c: k for k, c in enumerate(needed)}
    used = {c: z3.Bool(f"class{k}", own) for c, k in names.items()}
    level = {c: z3.Int(f"level{k}", own) for c, k in names.items()}
    picked: dict[tuple[Any, int], Any] = {}
    total = []
    below = _below(options)
    solver.add(used[start])
    for c in needed:
        chosen_of_class = []
        for number, node in enumerate(options[c]):
            chosen = picked[c, number] = z3.Bool(f"node{names[c]}-{number}", own)
            chosen_of_class.append(chosen)
            total.append(z3.If(chosen, node.cost, 0))
            for child in dict.fromkeys(node.children):
                solver.add(z3.Implies(chosen, used[child]))
                if c in below[child]:  # only classes that lead to one another can go round
                    solver.add(z3.Implies(chosen, level[child] < level[c]))
        solver.add(z3.Implies(used[c], z3.Or(*chosen_of_class, own)))
    solver.minimize(z3.Sum(total))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    result: dict[Any, _Node] = {}
    for (c, number), chosen in picked.items():
        if z3.is_true(model.eval(chosen)):
            result.setdefault(c, options[c][number])
    return result


def _undominated(nodes: Sequence[_Node]) -> list[_Node]:
    """The nodes of a class without those that cost no less than another and need what it needs."""
    kept: list[_Node] = []
    for node in sorted(nodes, key=lambda n: (n.cost, len(set(n.children)))):
        if not any(set(other.children) <= set(node.children) for other in kept):
            kept.append(node)
    return kept


def _below(options: dict[Any, list[_Node]]) -> dict[Any, set[Any]]:
    """For each class those that its forms are made of, at any depth."""
    below = {c: {child for node in nodes for child in node.children}
             for c, nodes in options.items()}  # fmt: skip
    grown = True
    while grown:
        grown = False
        for found in below.values():
            before = len(found)
            found.update(*(below[child] for child in tuple(found)))
            grown |= len(found) > before
    return below


def _build(classes: dict[Any, list[_Node]], choice: dict[Any, _Node], start: Any) -> Term:
    made: dict[Any, Term] = {}
    stack = [start]
    while stack:
        c = stack[-1]
        node = choice[c]
        missing = [child for child in node.children if child not in made]
        if missing:
            stack += missing
            continue
        stack.pop()
        children = iter(node.children)
        args = [made[next(children)] if a is None else a for a in node.literals]
        made[c] = term(node.op, *args)
    return made[start]
