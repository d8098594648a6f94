"""Sizes are a ring in normal form, and quotients and remainders mean what they say."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ncd_formal.errors import InputError
from ncd_formal.sizes import (
    Polynomial,
    divide,
    fresh_names,
    product,
    quotient,
    remainder,
    size,
    variable,
)

tried = settings(max_examples=120, deadline=None, derandomize=True)

NAMES = ("n", "m", "k", "n.0", "n_1")


def _grow(inner: st.SearchStrategy[Polynomial]) -> st.SearchStrategy[Polynomial]:
    pairs = st.tuples(inner, inner)
    divisors = st.one_of(st.integers(1, 5).map(size), st.sampled_from(NAMES).map(variable), inner)
    return st.one_of(
        pairs.map(lambda ab: ab[0] + ab[1]),
        pairs.map(lambda ab: ab[0] - ab[1]),
        pairs.map(lambda ab: ab[0] * ab[1]),
        st.tuples(inner, divisors)
        .filter(lambda ab: bool(ab[1].terms))
        .map(lambda ab: quotient(*ab)),
        st.tuples(inner, divisors)
        .filter(lambda ab: bool(ab[1].terms))
        .map(lambda ab: remainder(*ab)),
    )


_LEAVES = st.one_of(st.integers(-4, 4).map(size), st.sampled_from(NAMES).map(variable))
POLYNOMIALS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda ab: ab[0] + ab[1]),
        st.tuples(inner, inner).map(lambda ab: ab[0] - ab[1]),
        st.tuples(inner, inner).map(lambda ab: ab[0] * ab[1]),
    ),
    max_leaves=8,
)
"""Polynomials over the names."""
EXPRESSIONS = st.recursive(_LEAVES, _grow, max_leaves=6)
"""The same with quotients and remainders inside."""
POINTS = st.fixed_dictionaries({name: st.integers(1, 7) for name in NAMES})


def at(p: Polynomial, point: dict[str, int]) -> int:
    """The value; a test does not apply where something is divided by 0."""
    try:
        return p.evaluate(point)
    except ZeroDivisionError:
        assume(False)
        raise


@tried
@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS)
def test_the_ring_laws_hold_by_identity(a: Polynomial, b: Polynomial, c: Polynomial) -> None:
    """Equal polynomials are one object."""
    assert a + b is b + a
    assert (a + b) + c is a + (b + c)
    assert a * b is b * a
    assert (a * b) * c is a * (b * c)
    assert a * (b + c) is a * b + a * c
    assert a + 0 is a
    assert a * 1 is a
    assert a * 0 is size(0)
    assert a - a is size(0)
    assert a + -b is a - b
    assert 3 - a is size(3) - a
    assert a**3 is a * a * a
    assert a**0 is size(1)


@tried
@given(EXPRESSIONS, EXPRESSIONS, POINTS)
def test_arithmetic_is_that_of_the_values(
    a: Polynomial, b: Polynomial, point: dict[str, int]
) -> None:
    """Evaluation takes + − · to those of whole numbers."""
    x, y = at(a, point), at(b, point)
    assert at(a + b, point) == x + y
    assert at(a - b, point) == x - y
    assert at(a * b, point) == x * y
    assert at(a**2, point) == x**2
    assert at(product([a, b, a]), point) == x * y * x


@tried
@given(EXPRESSIONS, EXPRESSIONS, POINTS)
def test_quotient_and_remainder_are_those_of_the_values(
    a: Polynomial, b: Polynomial, point: dict[str, int]
) -> None:
    """Rounded down, for divisors of either sign; and q·b + r = a."""
    assume(b.terms)
    x, y = at(a, point), at(b, point)
    assume(y != 0)
    q, r = quotient(a, b), remainder(a, b)
    assert at(q, point) == x // y
    assert at(r, point) == x % y
    assert at(q * b + r, point) == x


@tried
@given(EXPRESSIONS, POINTS, st.sampled_from(NAMES), EXPRESSIONS)
def test_substitution_is_evaluation_at_a_value(
    a: Polynomial, point: dict[str, int], name: str, b: Polynomial
) -> None:
    """Also inside quotients and remainders."""
    moved = {**point, name: at(b, point)}
    try:
        value = a.evaluate(moved)
        substituted = a.substitute({name: b})
    except ZeroDivisionError:
        assume(False)
        raise
    assert at(substituted, point) == value


@tried
@given(POLYNOMIALS, POLYNOMIALS)
def test_division_is_exact(a: Polynomial, b: Polynomial) -> None:
    """What divides a product is found, and what is found divides."""
    assume(b.terms)
    assert divide(a * b, b) is a
    share = divide(a, b)
    assert share is None or share * b is a


@tried
@given(EXPRESSIONS, EXPRESSIONS)
def test_division_of_expressions_is_exact_where_it_is_found(a: Polynomial, b: Polynomial) -> None:
    """The same for atoms that are quotients and remainders."""
    assume(b.terms)
    share = divide(a, b)
    assert share is None or share * b is a


@tried
@given(EXPRESSIONS)
def test_the_text_of_a_size_is_read_back(a: Polynomial) -> None:
    """``str`` and ``size``, ``repr`` and pickling give the same object."""
    assert size(str(a)) is a
    assert eval(repr(a), {"size": size}) is a
    assert pickle.loads(pickle.dumps(a)) is a


@tried
@given(POLYNOMIALS, st.sampled_from(NAMES))
def test_a_polynomial_is_the_sum_of_its_powers(a: Polynomial, name: str) -> None:
    """Its degree bounds them, and its coefficient is that of the first."""
    assume(a.degree(name) <= 1)
    rest = a.substitute({name: size(0)})
    assert a.coefficient(name) * variable(name) + rest is a


@tried
@given(EXPRESSIONS)
def test_a_constant_has_no_variables(a: Polynomial) -> None:
    """And is the number that it is everywhere."""
    if a.constant is not None:
        assert not a.variables
        assert a.evaluate({}) == a.constant


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("n*2", "n + n"),
        ("(n + m)*(n - m)", "n**2 - m**2"),
        ("(n*m + m) // m", "n + 1"),
        ("(n*m + k) // m", "n + k // m"),
        ("(n*m + k) % m", "k % m"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("-7 % 2", "1"),
        ("n // 1", "n"),
        ("n % 1", "0"),
        ("2*n // (2*m)", "n*2 // (m*2)"),
    ],
)
def test_equal_sizes_are_one_object(a: str, b: str) -> None:
    """By their normal form."""
    assert size(a) is size(b)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n +",
        "n n",
        "(n",
        "n)",
        "n // 0",
        "n % 0",
        "n**-1",
        "n**m",
        "n**65",
        "1.5",
        "n $ m",
        "*",
    ],
)
def test_what_is_no_polynomial_is_refused(text: str) -> None:
    """With one clear line."""
    with pytest.raises(InputError, match="size"):
        size(text)


@pytest.mark.parametrize(
    "text",
    [
        "((n + m)**64)**64",
        "(((n + m)**9)**9)**9",
        "*".join(f"({' + '.join(f'{c}{k}' for k in range(40))})" for c in "abcdef"),
    ],
    ids=lambda text: text[:20],
)
def test_a_text_of_too_many_terms_is_refused(text: str) -> None:
    """Before they are written out: what is read may come from anyone."""
    with pytest.raises(InputError, match="too many terms"):
        size(text)


def test_minus_one_is_rounded_down_by_sizes_alone() -> None:
    """By what may be negative, −1 is not: −1 // −3 is 0."""
    for text in ("(0-1) // (1-2*n)", "(0-1) % (1-2*n)", "(0-1) // n", "(0-1) % (n*m + 2)"):
        for n in (1, 2, 3):
            expected = eval(text, {"n": n, "m": 2})
            assert size(text).evaluate({"n": n, "m": 2}) == expected, text


def test_division_by_zero_is_an_error() -> None:
    """Never an answer."""
    with pytest.raises(ZeroDivisionError):
        divide(size("n"), size(0))


def test_fresh_names_avoid_those_taken() -> None:
    """n, n2, n3 … without those taken."""
    names = fresh_names("n", {"n", "n3"})
    assert [next(names) for _ in range(3)] == ["n2", "n4", "n5"]
