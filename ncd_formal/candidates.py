"""Conditions under which two programs may be one function: read off the programs, never made up.

Only these families are looked for.  Hypotheses of a proof, each about inputs alone:

* a test over an axis, such as "no key is left", fails: some index is live, whatever the row, or an
  integer input is one of the indices that it is compared with;
* an integer input is nowhere the number that it is compared with, as the label that a loss leaves
  out;
* an input that is only ever compared with numbers is a truth value written as a number.

How a program is read, before anything is proved:

* a number far below any score, chosen where a score is masked, stands for −∞;
* softplus is above its threshold what it is below.

Besides, an input that reaches a test for −∞ as it is, as an additive mask does, is taken
to hold −∞ too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction
from typing import Literal

from ncd_formal.arrays import (
    Array,
    InputArray,
    OpaqueArray,
    Pointwise,
    Reduced,
    expand,
    number,
    pointwise,
    repeated_number,
    topological,
    with_sources,
)
from ncd_formal.conditions import Context
from ncd_formal.elaboration import function_wires
from ncd_formal.facts import Facts
from ncd_formal.hypotheses import some
from ncd_formal.proof import Hypothesis
from ncd_formal.wires import (
    ALL,
    NEGATIVE_INFINITY,
    ONE,
    SUM,
    ZERO,
    Term,
    factors_of,
    product_of,
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


def infinity_tested(outputs: Iterable[Array]) -> tuple[str, ...]:
    """The inputs that reach a test for −∞ through sums, choices and maxima alone."""
    found: dict[str, None] = {}
    seen: set[Array] = set()
    stack: list[Array] = []
    for array in topological(outputs):
        if isinstance(array, Pointwise):
            function = function_wires(array)
            tests = (
                node
                for node in subterms(function)
                if node.op in {"Equal", "Less"} and NEGATIVE_INFINITY in node.children
            )
            stack += _passed(array, *(child for node in tests for child in node.children))
    while stack:
        array = stack.pop()
        if array in seen:
            continue
        seen.add(array)
        if isinstance(array, InputArray):
            found[array.name] = None
        elif isinstance(array, Pointwise):
            stack += _passed(array, function_wires(array))
        elif not isinstance(array, Reduced) or array.monoid in {"Max", "Min"}:
            stack += () if isinstance(array, OpaqueArray) else array.sources
    return tuple(sorted(found))


def _passed(array: Pointwise, *roots: Term) -> list[Array]:
    """The operands that reach terms of a function through sums, choices and maxima alone."""
    found: list[Array] = []
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.op == "Input":
            found.append(array.operands[int(str(node.args[0]))])
        elif node.op in {"Add", "Maximum", "Minimum"}:
            stack += node.children
        elif node.op == "Select":
            stack += node.children[1:]
    return found


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


def unmarked(context: Context, *normal: Term) -> tuple[Hypothesis, ...]:
    """That no index in normal forms is one of the negative numbers that it is compared with.

    Such a number marks what a loss leaves out, as labels of −100 do; what is compared with the
    places of an axis is an index.
    """
    equalities = [
        (node, side, other)
        for node in subterms(*normal)
        if node.op == "Equal"
        for side, other in (node.children, node.children[::-1])
        if side.op == "Input" and context.inputs.get(str(side.args[0])) == "integer"
    ]
    indices = {side for _, side, other in equalities if other.op == "Index"}
    marked = [
        node
        for node, side, other in equalities
        if side in indices and isinstance(value := (other.args or (0,))[0], Fraction) and value < 0
    ]
    return tuple(Hypothesis(term("Not", node), ONE) for node in dict.fromkeys(marked))


def live_sums(context: Context, *normal: Term) -> tuple[Hypothesis, ...]:
    """For each masked sum of positive numbers in normal forms, that one of them is left."""
    facts = Facts(context)
    found: dict[Hypothesis, None] = {}
    for node in subterms(*normal):
        if node.op != "Reduce" or node.children[0] is not SUM:
            continue
        parts: dict[bool, list[Term]] = {True: [], False: []}
        for factor in factors_of(node.children[1]):
            parts[facts.holds("boolean", factor) and _is_mask(context, factor)].append(factor)
        if all(parts.values()) and facts.holds("positive", product_of(parts[False])):
            found[some([str(node.args[1])], product_of(parts[True]))] = None
    return tuple(found)


def indices_in_range(context: Context, *roots: Term) -> tuple[Hypothesis, ...]:
    """For each sum over the indices that an integer input is compared with, that it is one."""
    found: dict[Hypothesis, None] = {}
    for node in subterms(*roots):
        if node.op != "Reduce" or node.children[0] is not SUM:
            continue
        axis = str(node.args[1])
        for factor in factors_of(node.children[1]):
            reads = [c for c in factor.children if c.op == "Input" and axis not in c.axes]
            if factor.op != "Equal" or term("Index", axis) not in factor.children or not reads:
                continue
            if context.inputs.get(str(reads[0].args[0])) == "integer":
                found[some([axis], term("Equal", reads[0], term("Index", axis)))] = None
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


def stand_ins(outputs: Iterable[Array]) -> tuple[Fraction, ...]:
    """The far numbers that are chosen, or multiplied with, where a score is masked."""
    found: set[Fraction] = set()
    for array in topological(outputs):
        if isinstance(array, Pointwise) and array.function in {"where", "multiply"}:
            chosen = array.operands[1:] if array.function == "where" else array.operands
            found |= {value for value in map(_number, chosen) if value and value <= FARTHEST}
    return tuple(sorted(found))


def read_as_infinity(
    outputs: Sequence[Array], numbers: Collection[Fraction], is_truth: Callable[[Array], bool]
) -> tuple[Array, ...]:
    """``outputs`` with −∞ where one of the numbers is chosen, or multiplied with a truth value."""
    made: dict[Array, Array] = {}

    def repeated(value: Literal["-inf"] | Fraction, like: Array) -> Array:
        return expand(number(value, like.origin), like.shape, like.origin)

    for array in topological(outputs):
        sources = [made[source] for source in array.sources]
        made[array] = with_sources(array, sources)
        if not isinstance(array, Pointwise):
            continue
        far = [_number(operand) in numbers for operand in array.operands]
        if array.function == "where" and any(far[1:]):
            chosen = [
                repeated("-inf", array) if is_far else source
                for source, is_far in zip(sources, far, strict=True)
            ]
            made[array] = pointwise("where", sources[0], *chosen[1:], origin=array.origin)
        elif array.function == "multiply" and far.count(True) == 1:
            truth = far.index(False)
            if is_truth(array.operands[truth]):
                made[array] = pointwise(
                    "where",
                    sources[truth],
                    repeated("-inf", array),
                    repeated(Fraction(0), array),
                    origin=array.origin,
                )
    return tuple(made[output] for output in outputs)


def read_as_smooth(outputs: Sequence[Array]) -> tuple[tuple[Array, ...], tuple[str, ...]]:
    """``outputs`` with softplus the same above its threshold as below, and the conditions of it.

    PyTorch gives x in place of log(1 + exp(βx))/β where βx is above the threshold: for one of 20 or
    more the two differ by less than 2.1e-9/β, which is for rounding alone.
    """
    made: dict[Array, Array] = {}
    texts: dict[str, None] = {}
    for array in topological(outputs):
        made[array] = with_sources(array, [made[source] for source in array.sources])
        if not isinstance(array, Pointwise) or array.function != "where":
            continue
        above, plain, below = array.operands
        divided = isinstance(below, Pointwise) and below.function == "divide"
        soft = below.sources[0] if divided else below
        if not isinstance(soft, Pointwise) or soft.function != "softplus":
            continue
        if not isinstance(above, Pointwise) or above.function != "greater":
            continue
        # Above the threshold stands the argument itself, of which softplus takes a multiple.
        (scaled,) = soft.operands
        if scaled is not above.operands[0] or plain not in (
            scaled.sources if divided else (scaled,)
        ):
            continue
        threshold = _number(above.operands[1])
        if threshold is not None and threshold >= 20:
            made[array] = made[below]
            texts[f"softplus is log(1 + exp(x)) above its threshold of {threshold} too"] = None
    return tuple(made[output] for output in outputs), tuple(texts)


def _number(array: Array) -> Fraction | None:
    found = repeated_number(array)
    return Fraction(found.value) if found and isinstance(found.value, int | Fraction) else None


def stand_in_text(number: Fraction) -> str:
    """The condition that a number stands for −∞."""
    for name, least in _LEAST.items():
        if number == least:
            return f"{float(number)} (the least {name}) stands for -inf"
    whole = number.denominator == 1 and number > -(10**15)
    return f"{number if whole else float(number)} stands for -inf"


LEFT_OUT = "where an output is undefined as it is read, as a row without a key is, it is left out"
"""The condition beside those, unless the outputs are seen to be defined: as the programs run, the
numbers that stand for −∞ give some value there, and need not give the same."""

_LEAST = {
    "float16": Fraction(-65504),
    "bfloat16": -(2 - Fraction(1, 2**7)) * 2**127,
    "float32": -(2 - Fraction(1, 2**23)) * 2**127,
    "float64": -(2 - Fraction(1, 2**52)) * 2**1023,
}
