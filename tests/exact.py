"""The reference semantics without rounding, and random terms, for tests of soundness.

:func:`exactly` is ``semantics.denote`` itself over numbers that do not round: a rational stays one,
and exp, log, √, tanh, erf, sin and cos of rationals are carried to 100 digits, where a difference
smaller than 60 of them is 0.  So a test can tell "is 0" from "is small", which float64 cannot.

:class:`Terms` draws random terms of a context; :class:`Inputs` gives their inputs values, any index
included, because an input is a total function.
"""

from __future__ import annotations

import decimal
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import total_ordering
from typing import Any, Union
from unittest import mock

from ncd_formal import semantics, wires
from ncd_formal.conditions import Context, Split
from ncd_formal.facts import KINDS
from ncd_formal.semantics import NINF, UNDEF, NotExactError, Special, Value
from ncd_formal.sizes import size
from ncd_formal.wires import Term, term

DIGITS = decimal.Context(prec=100, Emax=10**6, Emin=-(10**6))
NOISE = Decimal(10) ** -60
LARGEST_EXPONENT = 80
"""exp of more is not computed: sums of such terms would need more digits."""
LARGEST_ARGUMENT = 8
"""Of more, the entries of a series are too large."""


@total_ordering
class Real:
    """A real number to 100 digits; the result of arithmetic on it that is rational noise is 0."""

    __slots__ = ("value",)

    def __init__(self, value: Decimal) -> None:
        self.value = value

    @staticmethod
    def of(number: object) -> Decimal:
        """The digits of a number."""
        if isinstance(number, Real):
            return number.value
        assert isinstance(number, (Fraction, int)), number
        return DIGITS.divide(Decimal(number.numerator), Decimal(number.denominator))

    def __add__(self, other: object) -> Any:
        a, b = self.value, self.of(other)
        total = DIGITS.add(a, b)
        return Fraction(0) if abs(total) <= NOISE * max(abs(a), abs(b)) else Real(total)

    def __mul__(self, other: object) -> Any:
        b = self.of(other)
        return Real(DIGITS.multiply(self.value, b)) if b else Fraction(0)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Any:
        return Real(self.value.copy_negate())

    def __sub__(self, other: object) -> Any:
        return self + Real(self.of(other).copy_negate())

    def __rsub__(self, other: object) -> Any:
        return -self + other

    def __rtruediv__(self, other: object) -> Any:
        return Real(DIGITS.divide(self.of(other), self.value))

    def __abs__(self) -> Any:
        return Real(self.value.copy_abs())

    def __eq__(self, other: object) -> bool:
        difference = self - other
        return isinstance(difference, Fraction)

    def __lt__(self, other: object) -> bool:
        difference = self - other
        return isinstance(difference, Real) and difference.value < 0

    def __hash__(self) -> int:
        return hash(round(float(self.value), 6))

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"{float(self.value):.12g}"


def _transcendental(
    exact: Callable[[Any], Any], digits: Callable[[Decimal], Decimal]
) -> Callable[[Any], Any]:
    def function(a: Any) -> Any:
        # e · 1/e is 1 but for noise, of which a logarithm near 0 would be nothing else.
        a = _snapped(Real.of(a)) if isinstance(a, Real) else a
        if isinstance(a, Fraction):
            try:
                return exact(a)
            except NotExactError:
                pass
        argument = Real.of(a)
        if digits == DIGITS.exp and abs(argument) > LARGEST_EXPONENT:
            raise NotExactError("exp")
        return _snapped(digits(argument))

    return function


def _snapped(number: Decimal) -> Real | Fraction:
    """A whole number where the digits are one but for noise."""
    nearest = Fraction(round(number)) if abs(number) < 10**6 else Fraction(0)
    return nearest if Real(number) == nearest else Real(number)


def _series(first: Decimal, ratio: Callable[[int], Decimal], weight: int = 0) -> Decimal:
    """Σ aₖ/(weight·k + 1), where a₀ = first and aₖ = ratio(k)·aₖ₋₁, which fall off in the end."""
    total, entry, k = first, first, 0
    while abs(entry) > Decimal(10) ** -DIGITS.prec:
        k += 1
        entry = DIGITS.multiply(entry, ratio(k))
        total = DIGITS.add(total, DIGITS.divide(entry, Decimal(weight * k + 1)))
    return total


def _less_square(x: Decimal, divisor: int) -> Decimal:
    return DIGITS.divide(DIGITS.multiply(x, x).copy_negate(), Decimal(divisor))


def _sin(x: Decimal) -> Decimal:
    return _series(x, lambda k: _less_square(x, 2 * k * (2 * k + 1)))


def _cos(x: Decimal) -> Decimal:
    return _series(Decimal(1), lambda k: _less_square(x, 2 * k * (2 * k - 1)))


def _erf(x: Decimal) -> Decimal:
    """2/√π·Σ (−1)ᵏ·x²ᵏ⁺¹/(k!·(2k + 1)), where π/3 = 2·arcsin ½."""
    third = _series(
        Decimal(1), lambda k: DIGITS.divide(Decimal(2 * k - 1), Decimal(8 * k)), weight=2
    )
    total = _series(x, lambda k: _less_square(x, k), weight=2)
    pi = DIGITS.multiply(Decimal(3), third)
    return DIGITS.divide(DIGITS.multiply(Decimal(2), total), DIGITS.sqrt(pi))


_SERIES: Mapping[str, Callable[[Decimal], Decimal]] = {"erf": _erf, "sin": _sin, "cos": _cos}


def _named(name: str, a: Any) -> Any:
    """tanh by its definition and erf, sin and cos by series, of the functions with a name."""
    if name in _SERIES:
        x = Real.of(a)
        if abs(x) > LARGEST_ARGUMENT:
            raise NotExactError(name)
        return _snapped(_SERIES[name](x)) if x else Fraction(name == "cos")
    if name != "tanh":
        raise NotExactError(name)
    if abs(Real.of(a)) > LARGEST_EXPONENT / 2:
        raise NotExactError(name)
    e = EXACT_FUNCTIONS["_exp"](2 * a)
    return (e + -1) * (1 / (e + 1))


EXACT_FUNCTIONS: Mapping[str, Any] = {
    "_exp": _transcendental(semantics._exp, DIGITS.exp),
    "_log": _transcendental(semantics._log, DIGITS.ln),
    "_sqrt": _transcendental(semantics._sqrt, DIGITS.sqrt),
    "_named": _named,
    "_number": lambda value: value,
}
"""What the semantics is run with in place of its own functions."""


def exactly(
    root: Term,
    context: Context,
    sizes: Mapping[str, int],
    inputs: Callable[[str, tuple[int, ...]], Value],
    environment: Mapping[str, int],
) -> Value:
    """``denote`` with exp, log, √, tanh, erf, sin and cos to 100 digits.

    Errors: NotExactError where an exponent is out of reach.
    """
    with mock.patch.multiple(semantics, **EXACT_FUNCTIONS):
        return semantics.denote(root, context, sizes, inputs, environment)


def same(a: Value, b: Value) -> bool:
    """Equality of values: undefined only to undefined, −∞ only to −∞."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        return (
            isinstance(a, tuple) and isinstance(b, tuple) and same(a[0], b[0]) and same(a[1], b[1])
        )
    if isinstance(a, Special) or isinstance(b, Special):
        return a is b
    return bool(a == b)


def kind(value: Value) -> int:
    """Which of ``facts.KINDS`` a value is."""
    negative, zero, unit, positive, minus_infinity, undefined = KINDS
    if value is NINF:
        return minus_infinity
    if isinstance(value, (Special, tuple)):
        return undefined
    return zero if value == 0 else unit if value == 1 else negative if value < 0 else positive


# Inputs -------------------------------------------------------------------------------------

REALS = tuple(Fraction(n, 2) for n in (-4, -2, -1, 0, 1, 2, 3, 4))
POOLS: Mapping[str, tuple[Value, ...]] = {
    "real": REALS,
    "integer": tuple(map(Fraction, range(-2, 4))),
    "boolean": (Fraction(0), Fraction(1)),
    "extended": (*REALS, NINF, NINF, NINF),
    "positive": tuple(v for v in REALS if v > 0),
    "nonnegative": tuple(v for v in REALS if v >= 0),
    "partial": (*REALS, UNDEF, UNDEF),
    "any": (*REALS, NINF, NINF, UNDEF),
}
"""Kind of input → the values that are drawn."""


@dataclass
class Inputs:
    """Random inputs: a value of the input's kind at every index, in range or not.

    Each input takes few values, so that rare combinations turn up.
    """

    context: Context
    generator: random.Random
    values: dict[tuple[str, tuple[int, ...]], Value] = field(default_factory=dict)
    few: dict[str, list[Value]] = field(default_factory=dict)

    def __call__(self, name: str, index: tuple[int, ...]) -> Value:
        key = name, index
        if key not in self.values:
            if name not in self.few:
                pool = POOLS[self.context.inputs.get(name, "extended")]
                number = min(len(pool), self.generator.randint(1, 4))
                self.few[name] = self.generator.sample(pool, number)
            self.values[key] = self.generator.choice(self.few[name])
        return self.values[key]


# Contexts -----------------------------------------------------------------------------------

INPUTS = {"R": "real", "S": "real", "B": "boolean", "E": "extended", "N": "integer"}


def _context(
    axes: str,
    assumptions: Sequence[str] = (),
    splits: Mapping[str, Split] | None = None,
    **lower: int,
) -> Context:
    pairs = [text.split("=") for text in axes.split()]
    return Context(
        {axis: size(extent) for axis, extent in pairs},
        lower,
        tuple(size(a) for a in assumptions),
        splits or {},
        INPUTS,
    )


CONTEXTS: Mapping[str, Context] = {
    "plain": _context("x.0=n y.0=m z.0=n u.0=2*m"),
    # An axis that may have no index, one that has none, and one that has one.
    "empty": _context("x.0=n y.0=m z.0=n v.0=0 w.0=1", n=0),
    # A condition on sizes, and an axis whose size is a difference.
    "assumed": _context("x.0=n y.0=m z.0=n-m", ["n - m"]),
    # x = b·t + i; r has the size of a tile, z that of x.
    "split": _context(
        "x.0=k*t b.0=k i.0=t r.0=t z.0=k*t y.0=m", splits={"x.0": Split("b.0", "i.0")}
    ),
    "split-empty": _context(
        "x.0=k*t b.0=k i.0=t y.0=m", splits={"x.0": Split("b.0", "i.0")}, k=0, t=0
    ),
    # The tile is split once more.
    "split-twice": _context(
        "x.0=k*s*t b.0=k i.0=s*t c.0=s d.0=t r.0=t",
        splits={"x.0": Split("b.0", "i.0"), "i.0": Split("c.0", "d.0")},
    ),
    # Sizes that are numbers, with a split among them.
    "literal": _context(
        "x.0=6 b.0=3 i.0=2 y.0=3 w.0=1 z.0=6", splits={"x.0": Split("b.0", "i.0")}
    ),
    # The blocks reach past the end.
    "masked": _context(
        "x.0=n b.0=k i.0=t r.0=t z.0=n y.0=m",
        ["k*t - n"],
        {"x.0": Split("b.0", "i.0", True)},
    ),
    "masked-empty": _context(
        "x.0=n b.0=k i.0=t y.0=m", ["k*t - n"], {"x.0": Split("b.0", "i.0", True)}, n=0, k=0, t=0
    ),
    # A masked split inside an exact one.
    "masked-inside": _context(
        "x.0=k*t b.0=k i.0=t c.0=s d.0=2",
        ["2*s - t"],
        {"x.0": Split("b.0", "i.0"), "i.0": Split("c.0", "d.0", True)},
    ),
}  # fmt: skip
"""Contexts in which laws are tried."""


def size_names(context: Context) -> tuple[str, ...]:
    """The size variables of a context."""
    used = [*context.axes.values(), *context.assumptions]
    return tuple(sorted({v for p in used for v in p.variables} | set(context.lower)))


def sample_sizes(context: Context, generator: random.Random, spread: int = 2) -> dict[str, int]:
    """Small sizes within the lower bounds and the assumptions."""
    names = size_names(context)
    for _ in range(1000):
        sizes = {n: context.least(n) + generator.randint(0, spread) for n in names}
        if all(a.evaluate(sizes) >= 0 for a in context.assumptions):
            return sizes
    raise ValueError(f"no small sizes satisfy {context.assumptions}")


def environments(
    context: Context, sizes: Mapping[str, int], axes: Iterable[str]
) -> Iterator[dict[str, int]]:
    """Every index of every leaf of ``axes``; the leaves of a masked axis reach past its end."""
    leaves = sorted({leaf for axis in axes for leaf in context.leaves(axis)})
    extents = [range(context.axes[leaf].evaluate(sizes)) for leaf in leaves]
    for point in itertools.product(*extents):
        yield dict(zip(leaves, point, strict=True))


# Random terms -------------------------------------------------------------------------------

NUMBERS = tuple(Fraction(n, 2) for n in (-4, -2, -1, 0, 1, 2, 3, 4))
_UNARY = ("Inverse", "Exp", "Log", "Sqrt", "Abs", "Not")
_BINARY = (
    "Add", "Add", "Mul", "Mul", "Maximum", "Minimum", "Rescale", "Less", "Equal", "And", "Or"
)  # fmt: skip
MONOIDS = ("Sum", "Product", "Max", "Min", "All", "Any")


@dataclass
class Terms:
    """Random terms of a context."""

    context: Context
    generator: random.Random
    ranks: Mapping[str, int] | None = None
    """How many indices each input is read at; any number without."""

    def __post_init__(self) -> None:
        self.axes = tuple(self.context.axes)

    def polynomial(self) -> str:
        """An index expression: mostly one or two axes, at times a quotient or a remainder."""
        g = self.generator
        a, b = g.choice(self.axes), g.choice(self.axes)
        n = str(self.context.axes[a])
        text = g.choice(
            [a, a, b, n, f"{n} - 1 - {a}", f"{a} - {b}", f"{a} + 1", f"2*{a} + {b}", f"{n} - {a}",
             f"-{a}", f"({a} // 2)", f"({a} % 2)", f"({a} + {b}) % ({n} + 1)", "2", "0", "-1",
             f"1 - {a}", f"{n} - 1", f"{a} + {b}", f"({a} + {b}) // ({n} + 1)", f"{n} - {n}*{b}"]
        )  # fmt: skip
        return str(size(text))

    def leaf(self) -> Term:
        """A term without operands."""
        g = self.generator
        match g.choices(range(6), weights=(12, 4, 1, 0.3, 2, 2))[0]:
            case 0:
                name = g.choice("RRSSBBEEN")
                rank = self.ranks[name] if self.ranks else g.choice((0, 1, 1, 2))
                indices = [size(self.polynomial()) for _ in range(rank)]
                if g.random() < 0.7:
                    indices = [size(axis) for axis in g.sample(self.axes, k=rank)]
                return wires.input_at(name, indices)
            case 1:
                return wires.constant(g.choice(NUMBERS))
            case 2:
                return wires.NEGATIVE_INFINITY
            case 3:
                return wires.UNDEFINED
            case 4:
                return term("Index", self.polynomial())
            case _:
                return term("Predicate", self.polynomial())

    def number(self, depth: int) -> Term:
        """A term whose value is one value, not a pair."""
        g = self.generator
        if depth == 0 or g.random() < 0.15:
            return self.leaf()
        match g.choices(range(6), weights=(6, 10, 3, 6, 1, 1.5))[0]:
            case 0:
                return term(g.choice(_UNARY), self.number(depth - 1))
            case 1:
                return term(g.choice(_BINARY), self.number(depth - 1), self.number(depth - 1))
            case 2:
                condition = self.leaf() if g.random() < 0.5 else self.number(depth - 1)
                return wires.select(condition, self.number(depth - 1), self.number(depth - 1))
            case 3:
                monoid = term(g.choice((*MONOIDS, "Sum", "Max")))
                return wires.reduce(monoid, g.choice(self.axes), self.number(depth - 1))
            case 4:
                return term(g.choice(("First", "Second")), self.pair(depth - 1))
            case _:
                fold = self.rescaled(self.number(depth - 1))
                return term(g.choice(("First", "Second")), fold)

    def rescaled(self, value: Term) -> Term:
        """A rescaled sum of random scores and a value, which may be a pair."""
        body = wires.pair(self.number(1), value)
        return wires.reduce(wires.RESCALED_SUM, self.generator.choice(self.axes), body)

    def pair(self, depth: int) -> Term:
        """A term whose value is a pair of numbers."""
        g = self.generator
        a, b = self.number(depth), self.number(depth)
        match g.choices(range(4), weights=(5, 1, 2, 1))[0]:
            case 0:
                return wires.pair(a, b)
            case 1:
                other = wires.pair(self.number(0), self.number(0))
                return wires.select(self.leaf(), wires.pair(a, b), other)
            case 2:
                left, right = term(g.choice(MONOIDS)), term(g.choice(MONOIDS))
                return wires.reduce(
                    term("Both", left, right), g.choice(self.axes), wires.pair(a, b)
                )
            case _:
                return self.rescaled(self.number(0))


Assignment = dict[str, Union[Term, str, Fraction]]
__all__ = [
    "CONTEXTS", "MONOIDS", "NINF", "NUMBERS", "UNDEF", "Assignment", "Inputs", "Real", "Terms",
    "environments", "exactly", "kind", "same", "sample_sizes", "size_names",
]  # fmt: skip
