"""Formulas: arithmetic keeps values, normal forms decide equality, roots are exact."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncd_formal.derivation.signomials import Signomial, signomial, total, variable
from ncd_formal.sizes import size

a, b, d, e, M = map(variable, ("a", "b", "d", "e", "M"))
NAMES = ("a", "b", "c")

exponents = st.fractions(-2, 2, max_denominator=3)
numbers = st.fractions(Fraction(1, 4), 6, max_denominator=4)


@st.composite
def formulas(draw: st.DrawFn) -> Signomial:
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        term = signomial(draw(numbers))
        for name in NAMES:
            term = term * variable(name) ** draw(exponents)
        terms.append(term)
    return total(terms)


points = st.fixed_dictionaries({name: st.integers(1, 9) for name in NAMES})


@settings(max_examples=50, deadline=None)
@given(formulas(), formulas(), points)
def test_arithmetic_keeps_values(x: Signomial, y: Signomial, at: dict[str, int]) -> None:
    u, v = x.evaluate(at), y.evaluate(at)
    for formula, value in (
        (x + y, u + v),
        (x - y, u - v),
        (x * y, u * v),
        (x / y, u / v),
        (x ** Fraction(1, 2), math.sqrt(u)),
        (x ** Fraction(-3, 2), u**-1.5),
        (x.substitute({"a": variable("b") * 2}), x.evaluate({**at, "a": 2 * at["b"]})),
    ):
        assert formula.evaluate(at) == pytest.approx(value, rel=1e-9, abs=1e-9 * (abs(u) + abs(v)))


@settings(max_examples=50, deadline=None)
@given(formulas(), formulas())
def test_equality_is_decided_through_fractions_and_roots(x: Signomial, y: Signomial) -> None:
    assert x / y * y == x
    assert (x * y) / y == x
    root = (x * x + y) ** Fraction(1, 2)
    assert root * root == x * x + y
    assert x + 1 != x and x * 2 != x


@settings(max_examples=50, deadline=None)
@given(formulas(), points)
def test_the_elasticity_is_the_derivative_in_the_logarithm(
    x: Signomial, at: dict[str, int]
) -> None:
    step = 1e-6
    up, down = ({**at, "a": at["a"] * math.exp(t)} for t in (step, -step))
    slope = (x.evaluate(up) - x.evaluate(down)) / (2 * step)
    assert x.elasticity("a").evaluate(at) == pytest.approx(slope, rel=1e-4, abs=1e-3)


def test_formulas_are_written_as_on_a_blackboard() -> None:
    assert str(2 * a * b * M ** Fraction(-1, 2) + a) == "2*a*b/√M + a"
    assert str(a**2 * b ** Fraction(2, 3)) == "a**2*b**(2/3)"
    assert str(a * b / (2 * d)) == "a*b/(2*d)"
    assert str((2 * a) ** Fraction(1, 2)) == "√2*√a"
    assert str(1 / (a + b)) == "1/(a + b)"
    assert str(a - 1) == "a - 1"
    assert str(signomial(0)) == "0"


def test_roots_of_numbers_are_exact() -> None:
    root = signomial(8) ** Fraction(1, 2)
    assert root * root == 8 and root == 2 * signomial(2) ** Fraction(1, 2)
    assert (signomial(9) ** Fraction(1, 2)).constant == 3
    with pytest.raises(ValueError, match="a root of -2"):
        (a * -2) ** Fraction(1, 2)
    with pytest.raises(ZeroDivisionError):
        signomial(0) ** -1


def test_sums_below_a_line_multiply_out() -> None:
    assert (d * d + 2 * d * e + e * e) / (d + e) == d + e
    assert (d + e) ** 2 / M == d**2 / M + 2 * d * e / M + e**2 / M


def test_sizes_become_formulas() -> None:
    assert signomial(size("4*h*d + 1 - k")) == 4 * variable("h") * d + 1 - variable("k")
    with pytest.raises(ValueError, match="rounded"):
        signomial(size("(n + 1) // 2"))


def test_what_is_evidently_nonnegative() -> None:
    assert (a - 1).nonnegative() and (a * b - 1).nonnegative() and (a + 1 / b).nonnegative()
    assert not (a - b).nonnegative() and not (a - 2).nonnegative()
    assert (2 * a * b - a - b).nonnegative() and not (2 * a - a * b).nonnegative()
    assert not (1 / a - 1).nonnegative()


def test_powers_are_collected_by_variables() -> None:
    parts = (d * a + e * a + b / a).by_power(("a",))
    assert parts == {(Fraction(1),): d + e, (Fraction(-1),): b}
    with pytest.raises(ValueError, match="inside a sum"):
        (1 / (a + b)).by_power(("a",))


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(KeyError, match="b"):
        (a * b).evaluate({"a": 2})
    assert (a * b).compiled(("a", "b"))((3, 4)) == 12
    with pytest.raises(ValueError, match="alone"):
        (a * b).compiled(("a",))
