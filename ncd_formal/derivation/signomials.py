"""Formulas of cost: sums of monomials with rational exponents.

What a schedule moves and holds is a *posynomial* in sizes and tile sizes: a sum of products of
powers with positive coefficients.  Its optima need roots (``2*a*b*c/√M``), and halos need
differences (``k − 1``), so coefficients here may be negative: a signomial.

Source: FlashAttention on a Napkin, equation 1 (optimal costs are sums of α·M^−β).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Union

from ncd_formal.sizes import Polynomial

Atom = Union[str, int, "Signomial"]
"""A variable; a prime, under a root; or a sum, under a root or below a line."""
Monomial = tuple[tuple[Atom, Fraction], ...]
"""Atoms with their powers, none of them 0, in the order of their text."""
Number = Union[int, Fraction]

ONE: Monomial = ()


class Signomial:
    """A sum of monomials in normal form; construct with :func:`signomial` or by arithmetic.

    Like terms are collected, sums to a positive whole power are multiplied out, and numbers under
    roots are products of primes.  Equality decides identity of such forms, and of fractions of
    them, by multiplying out what stands below lines.
    """

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, Fraction], ...]
    """Monomials and their coefficients, in no order."""

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self.terms = tuple((m, c) for m, c in terms.items() if c)
        self._hash = hash(frozenset(self.terms))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, Fraction)):
            other = signomial(other)
        if not isinstance(other, Signomial):
            return NotImplemented
        difference = self - other
        return not difference.terms or not difference.cleared().terms

    def __add__(self, other: Signomial | Number) -> Signomial:
        terms = dict(self.terms)
        for monomial, c in _lift(other).terms:
            terms[monomial] = terms.get(monomial, Fraction(0)) + c
        return Signomial(terms)

    def __mul__(self, other: Signomial | Number) -> Signomial:
        total: dict[Monomial, Fraction] = {}
        for left, a in self.terms:
            for right, b in _lift(other).terms:
                for monomial, c in _times(left, right).terms:
                    total[monomial] = total.get(monomial, Fraction(0)) + a * b * c
        return Signomial(total)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Signomial:
        return self * -1

    def __sub__(self, other: Signomial | Number) -> Signomial:
        return self + -_lift(other)

    def __rsub__(self, other: Number) -> Signomial:
        return _lift(other) - self

    def __truediv__(self, other: Signomial | Number) -> Signomial:
        return self * _lift(other) ** -1

    def __rtruediv__(self, other: Number) -> Signomial:
        return _lift(other) / self

    def __pow__(self, exponent: Number) -> Signomial:
        """A power.

        Errors: ZeroDivisionError for 0 to a negative power; ValueError for a root of a monomial
        with a negative coefficient.
        """
        power = Fraction(exponent)
        if power.denominator == 1 and power >= 0:
            result = signomial(1)
            for _ in range(int(power)):
                result = result * self
            return result
        if not self.terms:
            raise ZeroDivisionError("0 to a negative power")
        common, coefficient, rest = self.content()
        powers = {atom: p * power for atom, p in common}
        outside = _number_power(coefficient, power) * _from_powers(powers)
        if rest is None:
            return outside
        return outside * Signomial({((rest, power),): Fraction(1)})

    def content(self) -> tuple[Monomial, Fraction, Signomial | None]:
        """``common · coefficient · rest``: rest is a sum without common factors, or None."""
        shared = dict(self.terms[0][0])
        for monomial, _ in self.terms[1:]:
            own = dict(monomial)
            shared = {
                a: min(shared.get(a, Fraction(0)), own.get(a, Fraction(0))) for a in {*shared, *own}
            }
        shared = {a: p for a, p in shared.items() if p}
        numerator = math.gcd(*(c.numerator for _, c in self.terms))
        denominator = math.lcm(*(c.denominator for _, c in self.terms))
        content = Fraction(numerator, denominator)
        if len(self.terms) == 1:
            return _ordered(shared), self.terms[0][1], None
        rest = self * _from_powers({a: -p for a, p in shared.items()}) * (1 / content)
        return _ordered(shared), content, rest

    def cleared(self) -> Signomial:
        """This multiplied by what stands below its lines, so that it is 0 just where this is."""
        lowest: dict[Signomial, Fraction] = {}
        for monomial, _ in self.terms:
            for atom, power in monomial:
                if isinstance(atom, Signomial):
                    lowest[atom] = min(lowest.get(atom, Fraction(0)), power)
        below: Monomial = tuple((atom, -power) for atom, power in lowest.items() if power < 0)
        if not below:
            return self
        # Power by power, before anything is multiplied out: so what cancels does.
        return total(_times(monomial, below) * c for monomial, c in self.terms).cleared()

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        text = ""
        for monomial, c in sorted(self.terms, key=_display_order):
            sign = (" - " if c < 0 else " + ") if text else ("-" if c < 0 else "")
            text += sign + _show(monomial, abs(c))
        return text

    def __repr__(self) -> str:
        return f"Signomial({self})"

    @property
    def variables(self) -> frozenset[str]:
        """The names that occur."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                elif isinstance(atom, Signomial):
                    found |= atom.variables
        return frozenset(found)

    @property
    def constant(self) -> Fraction | None:
        """The number that this is; None where anything but a rational number occurs."""
        if not self.terms:
            return Fraction(0)
        return self.terms[0][1] if self.terms[0][0] == ONE and len(self.terms) == 1 else None

    def by_power(self, names: Iterable[str]) -> dict[tuple[Fraction, ...], Signomial]:
        """The coefficients of the monomials in ``names``, by the powers of these.

        Errors: ValueError where a name occurs inside a sum under a root or below a line.
        """
        order = tuple(names)
        groups: dict[tuple[Fraction, ...], Signomial] = {}
        for monomial, c in self.terms:
            powers = dict(monomial)
            key = tuple(powers.pop(name, Fraction(0)) for name in order)
            rest = Signomial({_ordered(powers): c})
            if not rest.variables.isdisjoint(order):
                raise ValueError(f"{self}: {', '.join(order)} inside a sum")
            groups[key] = groups.get(key, signomial(0)) + rest
        return {key: value for key, value in groups.items() if value.terms}

    def leading(self) -> Signomial:
        """The monomials of the highest degree: what this is like where all variables are large."""
        degrees = [
            sum((p for a, p in monomial if not isinstance(a, int)), Fraction(0))
            for monomial, _ in self.terms
        ]
        most = max(degrees, default=Fraction(0))
        kept = zip(self.terms, degrees, strict=True)
        return Signomial({m: c for (m, c), degree in kept if degree == most})

    def elasticity(self, name: str) -> Signomial:
        """``x · ∂/∂x``: the derivative in the logarithm of a variable.

        Errors: ValueError as :meth:`by_power`.
        """
        parts = self.by_power((name,))
        powers = ((coefficient * power, power) for (power,), coefficient in parts.items())
        return total(c * variable(name) ** power for c, power in powers)

    def substitute(self, values: Mapping[str, Signomial | Number]) -> Signomial:
        """Replace variables, also inside sums."""
        if self.variables.isdisjoint(values):
            return self
        result = signomial(0)
        for monomial, c in self.terms:
            product = signomial(c)
            for atom, power in monomial:
                if isinstance(atom, str):
                    base = _lift(values[atom]) if atom in values else variable(atom)
                elif isinstance(atom, Signomial):
                    base = atom.substitute(values)
                else:
                    base = signomial(atom)
                product = product * base**power
            result = result + product
        return result

    def evaluate(self, values: Mapping[str, float]) -> float:
        """The value at numbers for every variable; KeyError names a missing one.

        Whole numbers and fractions stay exact where no root is taken.
        """
        result: Fraction | float = Fraction(0)
        for monomial, c in self.terms:
            product: Fraction | float = c
            for atom, power in monomial:
                if isinstance(atom, Signomial):
                    base = atom.evaluate(values)
                else:
                    base = values[atom] if isinstance(atom, str) else atom
                product = product * _exact_power(base, power)
            result = result + product
        if isinstance(result, Fraction) and result.denominator == 1:
            return int(result)
        return float(result)

    def compiled(self, names: tuple[str, ...]) -> Callable[[tuple[int, ...]], float]:
        """A fast evaluator at whole numbers for ``names``, all the variables that there are.

        Errors: ValueError where a power is not whole, or another variable occurs.
        """
        order = {name: k for k, name in enumerate(names)}
        rows: list[tuple[float, tuple[tuple[int, int], ...]]] = []
        for monomial, c in self.terms:
            row = []
            for atom, power in monomial:
                if not isinstance(atom, str) or atom not in order or power.denominator != 1:
                    raise ValueError(f"{self} is no signomial in {', '.join(names)} alone")
                row.append((order[atom], int(power)))
            whole = c.denominator == 1 and abs(c.numerator) < 1 << 1023
            rows.append((int(c) if whole else float(c), tuple(row)))

        def value(point: tuple[int, ...]) -> float:
            result: float = 0
            for coefficient, row in rows:
                product: float = coefficient
                for k, power in row:
                    factor = point[k] ** abs(power)
                    product = product * factor if power > 0 else product / factor
                result += product
            return result

        return value

    def nonnegative(self) -> bool:
        """Whether this is *evidently* ≥ 0 where every variable is at least 1.

        Shown by coefficients: all positive; or each negative term is at most a share of a positive
        one with no lower powers; or all positive after each variable x with whole powers is
        written 1 + x′.  False says nothing.
        """
        if _matched(self):
            return True
        cleared = self.cleared()
        names = [
            name
            for name in cleared.variables
            if all(p.denominator == 1 and p >= 0 for (p,) in _powers_of(cleared, name))
        ]
        moved = cleared.substitute({name: variable(name) + 1 for name in names})
        return all(c >= 0 for _, c in moved.terms)


def _matched(formula: Signomial) -> bool:
    """Whether the positive terms cover the negative ones, monomial by monomial."""
    left = {m: c for m, c in formula.terms if c > 0}
    for monomial, c in formula.terms:
        need = -c
        for larger, cover in left.items():
            if need > 0 and _at_least(larger, monomial):
                left[larger] = max(cover - need, Fraction(0))
                need -= cover - left[larger]
        if need > 0:
            return False
    return True


def _at_least(larger: Monomial, smaller: Monomial) -> bool:
    """Whether no power falls; numbers and sums must be the same."""
    a, b = dict(larger), dict(smaller)
    return all(
        a.get(atom, Fraction(0)) >= b.get(atom, Fraction(0))
        if isinstance(atom, str)
        else a.get(atom) == b.get(atom)
        for atom in {*a, *b}
    )


def signomial(value: Polynomial | Number | str) -> Signomial:
    """A formula from a size, a number, or the name of a variable.

    Errors: ValueError for a size with a quotient or a remainder, which is no sum of monomials.
    """
    if isinstance(value, (int, Fraction)):
        return Signomial({ONE: Fraction(value)})
    if isinstance(value, str):
        return variable(value)
    terms: dict[Monomial, Fraction] = {}
    for monomial, c in value.terms:
        powers: dict[Atom, Fraction] = {}
        for atom, power in monomial:
            if not isinstance(atom, str):
                raise ValueError(f"{value} is rounded")
            powers[atom] = Fraction(power)
        terms[_ordered(powers)] = Fraction(c)
    return Signomial(terms)


def variable(name: str) -> Signomial:
    """The formula that is one variable."""
    return Signomial({((name, Fraction(1)),): Fraction(1)})


def total(parts: Iterable[Signomial]) -> Signomial:
    """The sum of formulas; 0 for none."""
    return reduce(lambda a, b: a + b, parts, signomial(0))


def product(parts: Iterable[Signomial]) -> Signomial:
    """The product of formulas; 1 for none."""
    return reduce(lambda a, b: a * b, parts, signomial(1))


def _lift(value: Signomial | Number) -> Signomial:
    return value if isinstance(value, Signomial) else signomial(value)


def _powers_of(formula: Signomial, name: str) -> Iterable[tuple[Fraction]]:
    return [
        (power,) for monomial, _ in formula.terms for atom, power in monomial if atom == name
    ] + [
        (Fraction(1, 2),)
        for monomial, _ in formula.terms
        for atom, _ in monomial
        if isinstance(atom, Signomial) and name in atom.variables
    ]


def _ordered(powers: Mapping[Atom, Fraction]) -> Monomial:
    kept = ((a, p) for a, p in powers.items() if p)
    return tuple(sorted(kept, key=lambda item: (not isinstance(item[0], int), str(item[0]))))


def _times(left: Monomial, right: Monomial) -> Signomial:
    powers: dict[Atom, Fraction] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, Fraction(0)) + power
    return _from_powers(powers)


def _from_powers(powers: Mapping[Atom, Fraction]) -> Signomial:
    """A product of powers, with whole powers of primes and of sums multiplied out."""
    kept: dict[Atom, Fraction] = {}
    coefficient = Fraction(1)
    sums: list[tuple[Signomial, int]] = []
    for atom, power in powers.items():
        if isinstance(atom, str):
            kept[atom] = power
            continue
        whole = math.floor(power)
        if isinstance(atom, int):
            coefficient *= Fraction(atom) ** whole
            kept[atom] = power - whole
        elif whole > 0:
            sums.append((atom, whole))
            kept[atom] = power - whole
        else:
            kept[atom] = power
    result = Signomial({_ordered(kept): coefficient})
    for base, whole in sums:
        for _ in range(whole):
            result = result * base
    return result


def _number_power(number: Fraction, power: Fraction) -> Signomial:
    if number < 0 and power.denominator != 1:
        raise ValueError(f"a root of {number}")
    if power.denominator == 1:
        return signomial(number ** int(power))
    powers: dict[Atom, Fraction] = {}
    for part, sign in ((number.numerator, 1), (number.denominator, -1)):
        for prime, count in _factors(part).items():
            powers[prime] = powers.get(prime, Fraction(0)) + sign * count * power
    return _from_powers(powers)


def _factors(number: int) -> dict[int, int]:
    found: dict[int, int] = {}
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found[divisor] = found.get(divisor, 0) + 1
            number //= divisor
        divisor += 1
    if number > 1:
        found[number] = found.get(number, 0) + 1
    return found


def _exact_power(base: float, power: Fraction) -> Fraction | float:
    if power.denominator == 1 and isinstance(base, (int, Fraction)):
        return Fraction(base) ** int(power)
    return math.pow(base, power)


def _display_order(
    term: tuple[Monomial, Fraction],
) -> tuple[Fraction, tuple[tuple[str, Fraction], ...]]:
    monomial, _ = term
    degree = sum((p for a, p in monomial if not isinstance(a, int)), Fraction(0))
    return -degree, tuple((str(a), -p) for a, p in monomial)


def _show(monomial: Monomial, coefficient: Fraction) -> str:
    rooted = math.prod(a for a, p in monomial if isinstance(a, int) and p == Fraction(1, 2))
    monomial = tuple((a, p) for a, p in monomial if not isinstance(a, int) or p != Fraction(1, 2))
    above = [*([f"√{rooted}"] if rooted > 1 else []), *(_power(a, p) for a, p in monomial if p > 0)]
    below = [_power(a, -p) for a, p in monomial if p < 0]
    if coefficient.numerator != 1 or not above:
        above.insert(0, str(coefficient.numerator))
    if coefficient.denominator != 1:
        below.insert(0, str(coefficient.denominator))
    line = "*".join(below)
    return "*".join(above) + (f"/({line})" if len(below) > 1 else f"/{line}" if below else "")


def _power(atom: Atom, power: Fraction) -> str:
    base = f"({atom})" if isinstance(atom, Signomial) else str(atom)
    if power == 1:
        return base
    if power == Fraction(1, 2):
        return f"√{base}"
    return f"{base}**{power}" if power.denominator == 1 else f"{base}**({power})"
