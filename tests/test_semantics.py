"""The definition of what a term means, and the evaluation of whole arrays that agrees with it."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest

from ncd_formal import semantics, wires
from ncd_formal.conditions import Context, Split
from ncd_formal.semantics import NINF, UNDEF, Evaluator, NotExactError, Value, Wire, denote
from ncd_formal.sizes import size
from ncd_formal.wires import Term, term
from tests.exact import (
    CONTEXTS,
    MONOIDS,
    POOLS,
    Terms,
    environments,
    exactly,
    same,
    sample_sizes,
)

RANKS = {"R": 1, "S": 2, "B": 1, "E": 2, "N": 0}
EXTENT = 3

_FLOATS: Mapping[str, Any] = {
    "_exp": lambda a: math.exp(min(a, 700)),
    "_log": math.log,
    "_sqrt": math.sqrt,
}


def arrays(context: Context, generator: random.Random) -> dict[str, npt.NDArray[np.float64]]:
    """Random inputs as arrays."""
    result = {}
    for name, rank in RANKS.items():
        drawn = [
            -math.inf if value is NINF else float(value)  # type: ignore[arg-type]
            for value in generator.choices(POOLS[context.inputs[name]], k=EXTENT**rank)
        ]
        result[name] = np.array(drawn).reshape((EXTENT,) * rank)
    return result


def reader(
    inputs: Mapping[str, npt.NDArray[np.float64]],
) -> Callable[[str, tuple[int, ...]], Value]:
    """The same arrays as total functions: an index past an edge reads the edge."""

    def read(name: str, index: tuple[int, ...]) -> Value:
        value = float(inputs[name][tuple(min(max(i, 0), EXTENT - 1) for i in index)])
        return NINF if value == -math.inf else Fraction(value)

    return read


def agrees(found: Wire, expected: Value, point: Mapping[str, int]) -> bool:
    """Whether an array's value at a point is the one expected."""
    if isinstance(found, tuple) or isinstance(expected, tuple):
        return (
            isinstance(found, tuple)
            and isinstance(expected, tuple)
            and agrees(found[0], expected[0], point)
            and agrees(found[1], expected[1], point)
        )
    value = float(found.values[tuple(point[axis] for axis in found.axes)])
    if expected is UNDEF or expected is NINF:
        return math.isnan(value) if expected is UNDEF else value == -math.inf
    return math.isclose(value, float(expected), rel_tol=1e-9, abs_tol=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONTEXTS)
def test_arrays_are_evaluated_as_defined(name: str) -> None:
    """``Evaluator`` has, at every index, the value of ``denote``: −∞, the undefined, splits,
    rescaled sums and empty axes among them.
    """
    context = CONTEXTS[name]
    generator = random.Random(name)
    terms = Terms(context, generator, RANKS)
    compared = 0
    for number in range(120):
        root = terms.pair(2) if number % 6 == 0 else terms.number(1 + number % 4)
        sizes, inputs = sample_sizes(context, generator), arrays(context, generator)
        found = Evaluator(context, sizes, inputs)(root)
        points = list(environments(context, sizes, root.axes))
        for point in generator.sample(points, min(4, len(points))):
            try:
                expected = exactly(root, context, sizes, reader(inputs), point)
            except NotExactError:
                continue
            if not agrees(found, expected, point):
                # Rounding may turn a 0 into a small number, in the definition over floats too.
                with mock.patch.multiple(semantics, **_FLOATS):
                    rounded = denote(root, context, sizes, reader(inputs), point)
                assert agrees(found, rounded, point), f"{root} at {point}: not {expected}"
            compared += 1
    assert compared >= 80


@pytest.mark.parametrize("function", sorted(wires.FUNCTIONS))
def test_functions_are_known_by_value(function: str) -> None:
    """tanh, erf, floor … in both readings; undefined at −∞."""
    context = Context(axes={"x.0": size("n")}, inputs={"X": "extended"})
    values = np.array([-1.5, 0.0, 0.25, 2.0, -math.inf])
    root = term("Function", function, wires.input_at("X", [size("x.0")]))
    found = Evaluator(context, {"n": 5}, {"X": values})(root)
    for i, value in enumerate(values):
        read: Value = NINF if value == -math.inf else float(value)
        expected = denote(root, context, {"n": 5}, partial(_always, read), {"x.0": i})
        assert agrees(found, expected, {"x.0": i})


def _always(value: Value, name: str, index: tuple[int, ...]) -> Value:
    return value


# Cases by hand ------------------------------------------------------------------------------

NOTHING = Context()


def value(root: Term, context: Context = NOTHING, **sizes: int) -> Value:
    """A closed term's value, its input ``A`` counting 1, 2, 3 … by its indices."""
    return denote(root, context, sizes, lambda name, at: Fraction(1 + sum(at)), {})


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (wires.exp(wires.NEGATIVE_INFINITY), Fraction(0)),
        (term("Log", wires.ZERO), NINF),
        (term("Log", wires.MINUS_ONE), UNDEF),
        (wires.add(wires.NEGATIVE_INFINITY, wires.ONE), NINF),
        (wires.add(wires.NEGATIVE_INFINITY, wires.UNDEFINED), UNDEF),
        (wires.subtract(wires.NEGATIVE_INFINITY, wires.NEGATIVE_INFINITY), UNDEF),
        (wires.mul(wires.NEGATIVE_INFINITY, wires.constant(2)), NINF),
        (wires.mul(wires.NEGATIVE_INFINITY, wires.ZERO), UNDEF),
        (wires.mul(wires.NEGATIVE_INFINITY, wires.MINUS_ONE), UNDEF),
        (wires.inverse(wires.ZERO), UNDEF),
        (wires.inverse(wires.NEGATIVE_INFINITY), UNDEF),
        (term("Sqrt", wires.MINUS_ONE), UNDEF),
        (term("Maximum", wires.NEGATIVE_INFINITY, wires.MINUS_ONE), Fraction(-1)),
        (term("Minimum", wires.NEGATIVE_INFINITY, wires.MINUS_ONE), NINF),
        (term("Rescale", wires.NEGATIVE_INFINITY, wires.NEGATIVE_INFINITY), Fraction(0)),
        (term("Rescale", wires.ONE, wires.NEGATIVE_INFINITY), UNDEF),
        (term("Equal", wires.NEGATIVE_INFINITY, wires.NEGATIVE_INFINITY), Fraction(1)),
        (term("Less", wires.NEGATIVE_INFINITY, wires.ZERO), Fraction(1)),
        (term("Not", wires.NEGATIVE_INFINITY), UNDEF),
    ],
    ids=str,
)
def test_special_values(root: Term, expected: Value) -> None:
    """The table of the design: what −∞ and the undefined do."""
    assert same(value(root), expected)
    ((),) = [Evaluator(NOTHING, {}, {})(root).axes]  # type: ignore[union-attr]
    assert agrees(Evaluator(NOTHING, {}, {})(root), expected, {})


def test_select_looks_only_at_the_branch_it_takes() -> None:
    """The other branch may be undefined; a condition that is no number makes both undefined."""
    bad, good = wires.inverse(wires.ZERO), wires.constant(5)
    assert value(wires.select(wires.ONE, good, bad)) == 5
    assert value(wires.select(wires.ZERO, bad, good)) == 5
    assert value(wires.select(wires.constant(-3), good, bad)) == 5
    assert value(wires.select(wires.ONE, bad, good)) is UNDEF
    assert value(wires.select(wires.NEGATIVE_INFINITY, good, good)) is UNDEF
    assert value(wires.select(bad, good, good)) is UNDEF


def test_an_empty_reduction_is_the_unit() -> None:
    """0, 1, −∞, true, false; least of nothing is undefined; a rescaled sum of nothing is
    (−∞, 0) with a 0 for each component.
    """
    context = Context(axes={"x.0": size("n")}, lower={"n": 0})
    body = wires.input_at("A", [size("x.0")])
    units: Mapping[str, Any] = {
        "Sum": 0,
        "Product": 1,
        "Max": NINF,
        "Min": UNDEF,
        "All": 1,
        "Any": 0,
    }
    for monoid, unit in units.items():
        root = wires.reduce(term(monoid), "x.0", body)
        expected: Value = Fraction(unit) if isinstance(unit, int) else unit
        assert same(value(root, context, n=0), expected)
        assert agrees(Evaluator(context, {"n": 0}, {"A": np.ones(3)})(root), expected, {})
    root = wires.reduce(
        wires.RESCALED_SUM, "x.0", wires.pair(body, wires.pair(body, wires.pair(body, body)))
    )
    zero = Fraction(0)
    nothing: Value = (NINF, (zero, (zero, zero)))
    assert same(value(root, context, n=0), nothing)
    assert agrees(Evaluator(context, {"n": 0}, {"A": np.ones(3)})(root), nothing, {})


def test_a_fold_of_one_value_is_a_value_of_the_monoid() -> None:
    """All of one number is a truth value; the weight of a score of −∞ is 0, side by side too."""
    context = Context(axes={"x.0": size("1")})
    two = wires.constant(2)
    assert value(wires.reduce(wires.ALL, "x.0", two), context) == 1
    assert value(wires.reduce(wires.ANY, "x.0", two), context) == 1
    masked = wires.pair(wires.NEGATIVE_INFINITY, two)
    expected: Value = (NINF, Fraction(0))
    assert same(value(wires.reduce(wires.RESCALED_SUM, "x.0", masked), context), expected)
    both = term("Both", wires.RESCALED_SUM, wires.ANY)
    root = wires.reduce(both, "x.0", wires.pair(masked, two))
    assert same(value(root, context), (expected, Fraction(1)))


@pytest.mark.parametrize("seed", range(12))
def test_a_rescaled_sum_is_the_weighted_sum_against_the_maximum(seed: int) -> None:
    """(max s, Σ e^(s − max s)·v), with weight 0 where s is −∞, also where every s is."""
    generator = random.Random(seed)
    count = generator.randint(1, 5)
    scores = [generator.choice([NINF, *map(Fraction, range(-2, 3))]) for _ in range(count)]
    values = [Fraction(generator.randint(-3, 3)) for _ in range(count)]
    context = Context(axes={"x.0": size("n")})
    body = wires.pair(*(wires.input_at(name, [size("x.0")]) for name in "SV"))
    read: Mapping[str, list[Any]] = {"S": scores, "V": values}
    root = wires.reduce(wires.RESCALED_SUM, "x.0", body)
    found = exactly(root, context, {"n": count}, lambda name, at: read[name][at[0]], {})
    numbers = [s for s in scores if isinstance(s, Fraction)]
    top = max(numbers, default=None)
    assert isinstance(found, tuple)
    assert found[0] is NINF if top is None else found[0] == top
    total = sum(
        math.exp(s - top) * v
        for s, v in zip(scores, values, strict=True)
        if isinstance(s, Fraction) and top is not None
    )
    assert math.isclose(float(found[1]), total, abs_tol=1e-12)  # type: ignore[arg-type]


def test_a_split_axis_runs_over_each_index_once() -> None:
    """In order; a masked one stops at its end, and a digit bound anew moves the whole index."""
    exact = Context(
        axes={"x.0": size("k*t"), "b.0": size("k"), "i.0": size("t")},
        splits={"x.0": Split("b.0", "i.0")},
    )
    masked = Context(
        axes={"x.0": size("n"), "b.0": size("k"), "i.0": size("t")},
        splits={"x.0": Split("b.0", "i.0", True)},
    )
    assert [p["x.0"] for p in semantics._points("x.0", exact, {"k": 3, "t": 2})] == [*range(6)]
    sizes = {"k": 3, "t": 2, "n": 5}
    assert [p["x.0"] for p in semantics._points("x.0", masked, sizes)] == [*range(5)]
    x = wires.index(size("x.0"))
    inner = wires.reduce(wires.SUM, "b.0", x)
    root = wires.reduce(wires.MAX, "x.0", inner)
    # For i = 1: 1 + 3 + 5.
    assert value(root, exact, k=3, t=2) == 9
    assert agrees(Evaluator(exact, {"k": 3, "t": 2}, {})(root), Fraction(9), {})


def test_a_bound_axis_hides_one_of_the_same_name() -> None:
    """Σ_x (A[x] · Σ_x A[x]) has one inner sum."""
    context = Context(axes={"x.0": size("n")})
    read = wires.input_at("A", [size("x.0")])
    root = wires.reduce(wires.SUM, "x.0", wires.mul(read, wires.reduce(wires.SUM, "x.0", read)))
    assert value(root, context, n=3) == 36
    found = Evaluator(context, {"n": 3}, {"A": np.array([1.0, 2.0, 3.0])})(root)
    assert agrees(found, Fraction(36), {})


@pytest.mark.parametrize("monoid", [m for m in MONOIDS if m != "Product"])
def test_folds_regroup(monoid: str) -> None:
    """Associative and commutative on all values; products are not, where −∞ is among them."""
    values: list[Value] = [NINF, UNDEF, *(Fraction(v) for v in (-1, 0, 1, 2))]
    of = term(monoid)
    for a, b, c in itertools.product(values, repeat=3):
        assert same(semantics.combine(of, a, b), semantics.combine(of, b, a))
        left = semantics.combine(of, semantics.combine(of, a, b), c)
        assert same(left, semantics.combine(of, a, semantics.combine(of, b, c)))


def test_products_do_not_regroup() -> None:
    """(−∞ · −1) · −1 is undefined, −∞ · (−1 · −1) is −∞: hence the condition ``regroups``."""
    minus = Fraction(-1)
    once = semantics.combine(wires.PRODUCT, NINF, minus)
    assert semantics.combine(wires.PRODUCT, once, minus) is UNDEF
    assert semantics.combine(wires.PRODUCT, NINF, minus * minus) is NINF


def test_a_pair_is_no_number() -> None:
    """Terms that would use a pair as a number, or a number as a pair, cannot be formed."""
    pair = wires.pair(wires.ONE, wires.ZERO)
    builders: tuple[Callable[[], Term], ...] = (
        lambda: wires.add(wires.ZERO, pair),
        lambda: wires.select(pair, wires.ONE, wires.ONE),
        lambda: wires.select(wires.ONE, pair, wires.ONE),
        lambda: term("First", wires.ONE),
        lambda: wires.reduce(wires.SUM, "x.0", pair),
        lambda: wires.reduce(wires.RESCALED_SUM, "x.0", wires.ONE),
        lambda: wires.reduce(wires.RESCALED_SUM, "x.0", wires.pair(pair, wires.ONE)),
        lambda: wires.reduce(term("Both", wires.SUM, wires.SUM), "x.0", wires.ONE),
    )
    for build in builders:
        with pytest.raises(TypeError):
            build()
    assert pair.shape == (None, None)
    assert term("Second", pair).shape is None


def test_an_output_has_its_digits_in_the_order_of_its_layout() -> None:
    """A dimension made of two axes is the one with the other below it."""
    context = Context(axes={"x.0": size("n"), "y.0": size("m")})
    root = wires.add(wires.mul(wires.constant(10), term("Index", "x.0")), term("Index", "y.0"))
    evaluator = Evaluator(context, {"n": 2, "m": 3}, {})
    assert evaluator.output(root, [["x.0", "y.0"]]).tolist() == [0, 1, 2, 10, 11, 12]
    assert evaluator.output(root, [["y.0"], ["x.0"]]).tolist() == [[0, 10], [1, 11], [2, 12]]
