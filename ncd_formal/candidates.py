"""Conditions under which two programs may be one function: read off the programs, never made up.

Only three families are looked for, and each is about inputs alone:

* a test over an axis, such as "no key is left", fails: some index is live, whatever the row;
* an input that is only ever compared with numbers is a truth value written as a number;
* a number far below any score, chosen where a score is masked, stands for −∞.

The first two are hypotheses of a proof; the last is how a program is read, before anything is
proved.  Besides, an input that reaches a test for −∞ as it is, as an additive mask does, is taken
to hold −∞ too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction

from ncd_formal.conditions import Context
from ncd_formal.hypotheses import some
from ncd_formal.proof import Hypothesis
from ncd_formal.wires import (
    ALL,
    NEGATIVE_INFINITY,
    ZERO,
    Argument,
    Term,
    select,
    subterms,
    term,
)

FARTHEST = Fraction(-10_000)
"""Numbers up to this one may stand for −∞: the customary ones are −10⁴, −10⁹ and least floats."""

_MASKS = frozenset(
    {
        "Input",
        "Constant",
        "NegativeInfinity",
        "Index",
        "Predicate",
        "Equal",
        "Less",
        "Not",
        "And",
        "Or",
        "Mul",
        "Add",
        "Select",
    }
)
"""What a mask is made of: inputs and positions, compared and combined."""


def infinity_tested(*roots: Term) -> tuple[str, ...]:
    """The inputs that reach a test for −∞ through sums, choices and maxima alone."""
    found: dict[str, None] = {}
    seen: set[Term] = set()
    stack = [
        child
        for node in subterms(*roots)
        if node.op in {"Equal", "Less"} and NEGATIVE_INFINITY in node.children
        for child in node.children
    ]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "Input":
            found[str(node.args[0])] = None
        elif node.op in {"Add", "Maximum", "Minimum"}:
            stack += node.children
        elif node.op == "Select":
            stack += node.children[1:]
        elif node.op == "Reduce" and node.children[0].op in {"Max", "Min"}:
            stack.append(node.children[1])
    return tuple(sorted(found))


def live_rows(
    context: Context, truths: Sequence[Hypothesis], *normal: Term
) -> tuple[Hypothesis, ...]:
    """For each test of normal forms that all of a row is masked, that some of it is not.

    What is 0 or 1 by ``truths`` is live where it is not 0.
    """
    is_one = {h.right: term("Not", term("Equal", h.left, ZERO)) for h in truths}
    inner = {
        node.children[1] for node in subterms(*normal) if node.op == "Reduce" and _is_all(node)
    }
    found: dict[Hypothesis, None] = {}
    for node in subterms(*normal):
        axes, body = list[str](), node
        while _is_all(body):
            axes.append(str(body.args[1]))
            body = body.children[1]
        if axes and node not in inner and _is_mask(context, body):
            live = body.children[0] if body.op == "Not" else term("Not", body)
            found[some(axes, is_one.get(live, live))] = None
    return tuple(found)


def _is_mask(context: Context, body: Term) -> bool:
    """Whether a truth value is a mask; real inputs are in one where they equal a number or −∞."""
    for node in subterms(body):
        if node.op not in _MASKS:
            return False
        for read in (child for child in node.children if child.op == "Input"):
            marks = node.op == "Equal" and node.children[1].op in {"Constant", "NegativeInfinity"}
            if not marks and context.inputs.get(str(read.args[0])) not in {"boolean", "integer"}:
                return False
    return body.op != "Input" or context.inputs.get(str(body.args[0])) == "boolean"


def _is_all(node: Term) -> bool:
    return node.op == "Reduce" and node.children[0] is ALL


def truth_inputs(context: Context, *roots: Term) -> tuple[str, ...]:
    """The real and whole inputs that are used as truth values alone.

    They are compared with numbers, negated, or made a bias by a number that stands for −∞, and are
    compared at least once.
    """
    reads = {node for node in subterms(*roots) if node.op == "Input"}
    reads = {r for r in reads if context.inputs.get(str(r.args[0])) in {"real", "integer"}}
    compared: set[Term] = set()
    otherwise: set[Term] = set()
    biases = {bias for node in subterms(*roots) for bias in _biases(node)}
    for node in subterms(*roots):
        for child in reads.intersection(node.children):
            if node.op == "Not" or (
                node.op in {"Equal", "Less"} and any(c.op == "Constant" for c in node.children)
            ):
                compared.add(child)
            elif node not in biases:
                otherwise.add(child)
    otherwise |= reads.intersection(roots)
    names = {str(r.args[0]) for r in compared} - {str(r.args[0]) for r in otherwise}
    return tuple(sorted(names))


def _biases(node: Term) -> Iterable[Term]:
    """The parts of a product of a far number and what is affine in inputs."""
    if node.op != "Mul" or not any(map(_is_far, node.children)):
        return ()
    parts = list(subterms(node))
    return parts if all(p.op in {"Mul", "Add", "Constant", "Input"} for p in parts) else ()


def _is_far(node: Term) -> bool:
    return node.op == "Constant" and isinstance(node.args[0], Fraction) and node.args[0] <= FARTHEST


def stand_ins(*roots: Term) -> tuple[Fraction, ...]:
    """The far numbers that are chosen, or multiplied with, where a score is masked."""
    found: set[Fraction] = set()
    for node in subterms(*roots):
        if node.op in {"Select", "Mul"}:
            chosen = node.children[1:] if node.op == "Select" else node.children
            found |= {Fraction(str(c.args[0])) for c in chosen if _is_far(c)}
    return tuple(sorted(found))


def read_as_infinity(
    root: Term, numbers: Collection[Fraction], is_truth: Callable[[Term], bool]
) -> Term:
    """``root`` with −∞ where it chooses one of the numbers, or multiplies a truth value with it."""
    made: dict[Term, Term] = {}

    def stands(node: Term) -> bool:
        return node.op == "Constant" and node.args[0] in numbers

    for node in subterms(root):
        args: list[Argument] = [made[a] if isinstance(a, Term) else a for a in node.args]
        made[node] = term(node.op, *args)
        if node.op == "Select":
            condition, *chosen = (a for a in args if isinstance(a, Term))
            a, b = (NEGATIVE_INFINITY if stands(c) else c for c in chosen)
            made[node] = select(condition, a, b)
        elif node.op == "Mul" and any(map(stands, node.children)):
            truth, number = sorted(node.children, key=stands)
            if stands(number) and is_truth(truth):
                made[node] = select(made[truth], NEGATIVE_INFINITY, ZERO)
    return made[root]


def stand_in_text(number: Fraction) -> str:
    """The condition that a number stands for −∞."""
    for name, least in _LEAST.items():
        if number == least:
            return f"{float(number)} (the least {name}) stands for -inf"
    whole = number.denominator == 1 and number > -(10**15)
    return f"{number if whole else float(number)} stands for -inf"


_LEAST = {
    "float16": Fraction(-65504),
    "bfloat16": -(2 - Fraction(1, 2**7)) * 2**127,
    "float32": -(2 - Fraction(1, 2**23)) * 2**127,
    "float64": -(2 - Fraction(1, 2**52)) * 2**1023,
}
