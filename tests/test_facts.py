"""Facts are sound: a value is always of a kind that is derived for its term."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest import mock

import pytest

from ncd_formal import facts, semantics
from ncd_formal.egraph.run import Budget, Graph
from ncd_formal.facts import KINDS, Fact, Facts
from ncd_formal.semantics import NINF, UNDEF, NotExactError, Value
from ncd_formal.wires import SIGNATURE, Term, subterms, term
from tests.exact import (
    CONTEXTS,
    DIGITS,
    EXACT_FUNCTIONS,
    Inputs,
    Real,
    Terms,
    environments,
    exactly,
    kind,
    sample_sizes,
)

NEGATIVE, ZERO, UNIT, POSITIVE, MINUS_INFINITY, UNDEFINED = KINDS

E = Real(DIGITS.exp(Decimal(1)))
REPRESENTATIVES: Mapping[int, tuple[Any, ...]] = {
    NEGATIVE: (Fraction(-2), Fraction(-1), Fraction(-1, 2), Fraction(-3, 2)),
    ZERO: (Fraction(0),),
    UNIT: (Fraction(1),),
    POSITIVE: (Fraction(1, 2), Fraction(2), Fraction(3, 2), E),
    MINUS_INFINITY: (NINF,),
    UNDEFINED: (UNDEF,),
}
"""Kind → values of it, with which each operator reaches all that it can."""

VALUES = [value for values in REPRESENTATIVES.values() for value in values]


def reached(op: str, *kinds: int) -> int:
    """The kinds of an operator's values at all representatives of some kinds."""
    result = 0
    with mock.patch.multiple(semantics, **EXACT_FUNCTIONS):
        for values in itertools.product(*(REPRESENTATIVES[k] for k in kinds)):
            result |= kind(semantics.apply(op, *values))
    return result


def test_kinds_tell_values_apart() -> None:
    """Each representative is of its kind, and of no other."""
    for own, values in REPRESENTATIVES.items():
        assert {kind(value) for value in values} == {own}


@pytest.mark.parametrize("op", [op for op in facts.UNARY if op != "Function"])
def test_the_table_of_a_unary_operator(op: str) -> None:
    """It holds the kinds of all values, and no others."""
    for a in KINDS:
        assert facts.unary(op, a) == reached(op, a), (op, bin(a))


@pytest.mark.parametrize("op", facts.BINARY)
def test_the_table_of_a_binary_operator(op: str) -> None:
    """It holds the kinds of all values; it is allowed to hold more."""
    for a, b in itertools.product(KINDS, repeat=2):
        assert not reached(op, a, b) & ~facts.binary(op, a, b), (op, bin(a), bin(b))


def test_a_function_takes_numbers_to_numbers() -> None:
    """tanh, floor and their like are real at numbers and undefined elsewhere."""
    for name in facts_functions():
        for value in (-2.0, -0.5, 0.0, 1.0, 2.5):
            found = semantics.apply("Function", value, name=name)
            assert kind(found) & facts.unary("Function", kind(value))
        for special in (NINF, UNDEF):
            assert semantics.apply("Function", special, name=name) is UNDEF


def facts_functions() -> list[str]:
    """The functions that have a value."""
    from ncd_formal.wires import FUNCTIONS

    return sorted(FUNCTIONS)


@pytest.mark.parametrize("monoid", facts.FOLDS)
def test_the_kinds_of_a_fold(monoid: str) -> None:
    """Folds of up to three values of some kinds are of the kinds that are derived from those."""
    with mock.patch.multiple(semantics, **EXACT_FUNCTIONS):
        empty = kind(semantics.unit(term(monoid), None))
        for length in (1, 2, 3):
            for values in itertools.product(VALUES, repeat=length):
                kinds = 0
                for value in values:
                    kinds |= kind(value)
                first, *rest = values
                result: Value = semantics._alone(term(monoid), first)
                for value in rest:
                    result = semantics.combine(term(monoid), result, value)
                assert kind(result) & facts.fold_kinds(monoid, kinds, True), (monoid, values)
                both = facts.fold_kinds(monoid, kinds, False)
                assert kind(result) & both
                assert empty & both


def test_the_kinds_of_a_choice() -> None:
    """Select is of the kinds of the branches that it may take, or undefined."""
    for c, a, b in itertools.product(KINDS, repeat=3):
        derived = facts.choice(c, a, b)
        for value in REPRESENTATIVES[c]:
            taken = UNDEFINED if kind(value) in (MINUS_INFINITY, UNDEFINED) else None
            taken = taken or (b if value == 0 else a)
            assert taken & derived


def test_the_kinds_of_inputs() -> None:
    """What is drawn for an input of a kind is what may be in one, and a constant is its value."""
    from tests.exact import POOLS

    assert POOLS.keys() == facts.INPUT_KINDS.keys()
    for name, pool in POOLS.items():
        assert not any(kind(value) & ~facts.INPUT_KINDS[name] for value in pool)
    for number in range(-6, 7):
        assert facts.constant_kind(Fraction(number, 2)) == kind(Fraction(number, 2))


def allows(fact: Fact, value: Value) -> bool:
    """Whether a fact, of one value or of a pair, allows a value."""
    if isinstance(fact, tuple):
        return isinstance(value, tuple) and allows(fact[0], value[0]) and allows(fact[1], value[1])
    return isinstance(value, tuple) or bool(kind(value) & fact)


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_value_is_of_a_derived_kind(name: str) -> None:
    """At random terms, sizes, inputs and indices, past the end of masked axes too."""
    context = CONTEXTS[name]
    generator = random.Random(name)
    terms, derive = Terms(context, generator), Facts(context)
    compared = defined = 0
    for number in range(160):
        root = terms.pair(2) if number % 8 == 0 else terms.number(1 + number % 3)
        derive(root)
        fact = derive.memo[root]
        sizes, inputs = sample_sizes(context, generator), Inputs(context, generator)
        points = list(environments(context, sizes, root.axes))
        for point in generator.sample(points, min(3, len(points))):
            try:
                value = exactly(root, context, sizes, inputs, point)
            except NotExactError:
                continue
            assert allows(fact, value), f"{root} is {value}, derived {fact}"
            compared += 1
            defined += value is not UNDEF
    assert compared >= 120
    assert defined >= 60


def has_pairs(root: Term) -> bool:
    """Whether a pair occurs, of which the e-graph derives nothing."""
    return any(node.op in {"Tuple", "First", "Second"} for node in subterms(root))


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_e_graph_derives_the_same(name: str) -> None:
    """For loaded terms the analysis finds Python's facts, of pairs perhaps less; and of the axes
    that a value depends on none too few: at an index of those alone, it has its value.
    """
    context = CONTEXTS[name]
    generator = random.Random(name)
    terms, derive = Terms(context, generator), Facts(context)
    roots = [terms.number(1 + number % 4) for number in range(60)]
    graph = Graph(context, roots, rules=[])
    graph.search((), [], Budget(iterations=0))
    engine, functions = graph.engine, graph.engine.freeze().functions
    classes = {engine.value_to_i64(row.inputs[0]): row.output for row in functions["at-Term"].rows}
    kinds = {row.inputs[0]: engine.value_to_i64(row.output) for row in functions["kinds"].rows}
    axes = {row.inputs[0]: engine.value_to_set(row.output) for row in functions["axes"].rows}
    sizes, inputs = sample_sizes(context, generator), Inputs(context, generator)
    compared = evaluated = 0
    for node, number in graph.numbers.items():
        if SIGNATURE[node.op][1] != "Term":
            continue
        found = kinds.get(classes[number])
        if has_pairs(node):
            assert found is None or not derive(node) & ~found, node
        else:
            assert found == derive(node), node
            compared += 1
        depends = {engine.value_to_string(value) for value in axes[classes[number]]}
        assert depends <= {leaf for axis in node.axes for leaf in context.leaves(axis)}, node
        for point in itertools.islice(environments(context, sizes, depends), 2):
            exactly(node, context, sizes, inputs, point)  # KeyError: it depends on another axis
            evaluated += 1
    assert compared >= 60
    assert evaluated >= 60
