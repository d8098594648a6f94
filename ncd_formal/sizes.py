"""Sizes: polynomials with integer coefficients, in a normal form.

A size such as ``h*d`` or ``4*d + 1`` is a polynomial over named variables.  Equal polynomials are
the same object, so equality of sizes is identity.  The same normal form carries *index
expressions*: polynomials over size variables and axes, with two further atoms, the quotient
``a // b`` and the remainder ``a % b``, for views whose digits do not line up.

Source: Weaves, Wires, and Morphisms, definition of St (affine maps with size-valued strides).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from math import comb
from typing import ClassVar, Union

from ncd_formal.errors import InputError

Monomial = tuple[tuple["Atom", int], ...]
"""Atoms with their positive powers, in the order of their text."""


@dataclass(frozen=True, slots=True)
class Quotient:
    """``numerator // denominator``, rounded down."""

    numerator: Polynomial
    denominator: Polynomial

    def __str__(self) -> str:
        return f"(({self.numerator}) // ({self.denominator}))"


@dataclass(frozen=True, slots=True)
class Remainder:
    """``numerator % denominator``, in ``[0, denominator)``."""

    numerator: Polynomial
    denominator: Polynomial

    def __str__(self) -> str:
        return f"(({self.numerator}) % ({self.denominator}))"


Atom = Union[str, Quotient, Remainder]


class Polynomial:
    """An integer polynomial in normal form; construct with :func:`size` or by arithmetic.

    Instances are interned: ``size("n*2") is size("n + n")``.
    """

    __slots__ = ("_text", "atoms", "terms", "variables")
    _interned: ClassVar[dict[tuple[tuple[Monomial, int], ...], Polynomial]] = {}

    terms: tuple[tuple[Monomial, int], ...]
    atoms: frozenset[Atom]
    variables: frozenset[str]
    _text: str

    def __new__(cls, terms: Mapping[Monomial, int]) -> Polynomial:
        key = tuple(sorted(((m, c) for m, c in terms.items() if c), key=_display_order))
        found = cls._interned.get(key)
        if found is None:
            found = super().__new__(cls)
            found.terms = key
            found.atoms = frozenset(atom for monomial, _ in key for atom, _ in monomial)
            found.variables = frozenset(_variables(found.atoms))
            found._text = _show(key)
            cls._interned[key] = found
        return found

    def __add__(self, other: Polynomial | int) -> Polynomial:
        terms = dict(self.terms)
        for monomial, coefficient in _lift(other).terms:
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return Polynomial(terms)

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        terms: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _lift(other).terms:
                monomial = _times(left, right)
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Polynomial(terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> Polynomial:
        return self * -1

    def __sub__(self, other: Polynomial | int) -> Polynomial:
        return self + _lift(other) * -1

    def __rsub__(self, other: int) -> Polynomial:
        return _lift(other) - self

    def __pow__(self, exponent: int) -> Polynomial:
        result = size(1)
        for _ in range(exponent):
            result = result * self
        return result

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"size({self._text!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return size, (self._text,)

    @property
    def constant(self) -> int | None:
        """The number that this polynomial is, or None where a variable occurs."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    def degree(self, atom: Atom) -> int:
        """The highest power of ``atom``."""
        return max((dict(m).get(atom, 0) for m, _ in self.terms), default=0)

    def coefficient(self, atom: Atom) -> Polynomial:
        """The factor of ``atom`` to the first power (itself free of ``atom`` where affine)."""
        terms: dict[Monomial, int] = {}
        for monomial, c in self.terms:
            powers = dict(monomial)
            if powers.get(atom) == 1:
                del powers[atom]
                terms[_monomial(powers)] = c
        return Polynomial(terms)

    def substitute(self, values: Mapping[str, Polynomial]) -> Polynomial:
        """Replace variables, also inside quotients and remainders."""
        if self.variables.isdisjoint(values):
            return self
        total = size(0)
        for monomial, c in self.terms:
            product = size(c)
            for atom, power in monomial:
                product = product * _substitute_atom(atom, values) ** power
            total = total + product
        return total

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The value at whole numbers for every variable; KeyError names a missing one."""
        total = 0
        for monomial, product in self.terms:
            for atom, power in monomial:
                product *= _atom_value(atom, values) ** power
            total += product
        return total


def _lift(value: Polynomial | int) -> Polynomial:
    return value if isinstance(value, Polynomial) else size(value)


def _variables(atoms: Iterable[Atom]) -> Iterator[str]:
    for atom in atoms:
        if isinstance(atom, str):
            yield atom
        else:
            yield from atom.numerator.variables
            yield from atom.denominator.variables


def _monomial(powers: Mapping[Atom, int]) -> Monomial:
    return tuple(sorted(((a, p) for a, p in powers.items() if p), key=lambda item: str(item[0])))


def _times(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return _monomial(powers)


def _display_order(term: tuple[Monomial, int]) -> tuple[int, tuple[tuple[str, int], ...]]:
    monomial, _ = term
    return -sum(p for _, p in monomial), tuple((str(a), p) for a, p in monomial)


def _show(terms: tuple[tuple[Monomial, int], ...]) -> str:
    text = ""
    for monomial, c in terms:
        factors = [f"{a}" if p == 1 else f"{a}**{p}" for a, p in monomial]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)))
        sign = (" - " if c < 0 else " + ") if text else ("-" if c < 0 else "")
        text += sign + "*".join(factors)
    return text or "0"


def _substitute_atom(atom: Atom, values: Mapping[str, Polynomial]) -> Polynomial:
    if isinstance(atom, str):
        return values.get(atom, variable(atom))
    numerator = atom.numerator.substitute(values)
    denominator = atom.denominator.substitute(values)
    make = quotient if isinstance(atom, Quotient) else remainder
    return make(numerator, denominator)


def _atom_value(atom: Atom, values: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        return values[atom]
    numerator, denominator = atom.numerator.evaluate(values), atom.denominator.evaluate(values)
    return numerator // denominator if isinstance(atom, Quotient) else numerator % denominator


@cache
def variable(name: str) -> Polynomial:
    """The polynomial that is one variable."""
    return Polynomial({((name, 1),): 1})


def quotient(numerator: Polynomial, denominator: Polynomial) -> Polynomial:
    """``numerator // denominator``, exact division and whole multiples taken out."""
    if denominator.constant == 1:
        return numerator
    whole, rest = _multiples(numerator, denominator)
    if rest is size(0):
        return whole
    if rest.constant is not None and denominator.constant:
        return whole + rest.constant // denominator.constant
    if rest.constant == -1 and _is_size(denominator):  # a size is positive, so -1 // size is -1
        return whole - 1
    return whole + Polynomial({((Quotient(rest, denominator), 1),): 1})


def remainder(numerator: Polynomial, denominator: Polynomial) -> Polynomial:
    """``numerator % denominator``, whole multiples taken out."""
    if denominator.constant == 1:
        return size(0)
    _, rest = _multiples(numerator, denominator)
    if rest is size(0):
        return rest
    if rest.constant is not None and denominator.constant:
        return size(rest.constant % denominator.constant)
    if rest.constant == -1 and _is_size(denominator):
        return denominator - 1
    return Polynomial({((Remainder(rest, denominator), 1),): 1})


def _is_size(p: Polynomial) -> bool:
    """Whether p is a sum of products of sizes, and so not negative."""
    return all(c > 0 for _, c in p.terms) and all(isinstance(atom, str) for atom in p.atoms)


def _multiples(p: Polynomial, by: Polynomial) -> tuple[Polynomial, Polynomial]:
    """``p = by * whole + rest``, moving into ``whole`` each monomial that ``by`` divides."""
    whole = size(0)
    for monomial, c in p.terms:
        share = divide(Polynomial({monomial: c}), by)
        if share is not None:
            whole = whole + share
    rest = p - whole * by
    exact = divide(rest, by)
    return (whole + exact, size(0)) if exact is not None else (whole, rest)


def divide(dividend: Polynomial, divisor: Polynomial) -> Polynomial | None:
    """The polynomial ``q`` with ``q * divisor == dividend``, or None where there is none.

    Errors: ZeroDivisionError for a zero divisor.
    """
    if not divisor.terms:
        raise ZeroDivisionError("division of a size by 0")
    if dividend is divisor:
        return size(1)
    lead, lead_coefficient = max(divisor.terms, key=_division_order)
    result, rest = size(0), dividend
    while rest.terms:
        monomial, c = max(rest.terms, key=_division_order)
        powers = dict(monomial)
        for atom, power in lead:
            powers[atom] = powers.get(atom, 0) - power
        if c % lead_coefficient or any(p < 0 for p in powers.values()):
            return None
        step = Polynomial({_monomial(powers): c // lead_coefficient})
        result, rest = result + step, rest - step * divisor
    return result


def _division_order(term: tuple[Monomial, int]) -> tuple[int, list[tuple[str, int]]]:
    # Graded, then lexicographic with the alphabetically first atom strongest: an admissible
    # monomial order, as long division needs.  Absent atoms compare as power 0 because a
    # monomial that lacks the atom has a later name in its place, which the negated code of
    # the name ranks lower.
    monomial, _ = term
    return sum(p for _, p in monomial), [(_negated(str(a)), p) for a, p in monomial]


def _negated(name: str) -> str:
    return "".join(chr(0x10FFFF - ord(c)) for c in name) + chr(0x10FFFF)


_LARGEST = 20_000
"""How many terms a product in a text may have: what is read may come from anyone."""

_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][\w.']*)|(\*\*|//|[-+*%()]))")


@cache
def size(value: int | str) -> Polynomial:
    """A size from a number or its text: ``size("4*d + 1")``.

    Errors: InputError where the text is no polynomial.
    """
    if isinstance(value, int):
        return Polynomial({(): value})
    return _Parser(value).parse()


class _Parser:
    """Recursive descent over ``+ - * ** // %``, names, whole numbers and parentheses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise self.error(f"unexpected {stripped[position:].strip()[:1]!r}")
            self.tokens.append(match.group(0).strip())
            position = match.end()
        self.position = 0

    def error(self, why: str) -> InputError:
        return InputError(f"size {self.text!r}: {why}")

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def parse(self) -> Polynomial:
        result = self.sum()
        if self.peek():
            raise self.error(f"unexpected {self.peek()!r}")
        return result

    def sum(self) -> Polynomial:
        total = self.product()
        while self.peek() in {"+", "-"}:
            total = total + self.product() if self.take() == "+" else total - self.product()
        return total

    def product(self) -> Polynomial:
        result = self.power()
        while self.peek() in {"*", "//", "%"}:
            operator, right = self.take(), self.power()
            if operator == "*":
                self.limit(len(result.terms) * len(right.terms))
                result = result * right
            elif right is size(0):
                raise self.error("division by 0")
            else:
                result = (quotient if operator == "//" else remainder)(result, right)
        return result

    def power(self) -> Polynomial:
        base = self.atom()
        if self.peek() != "**":
            return base
        self.take()
        exponent = self.atom().constant
        if exponent is None or not 0 <= exponent <= 64:
            raise self.error("an exponent must be a whole number up to 64")
        self.limit(comb(len(base.terms) + exponent, exponent))
        return base**exponent

    def limit(self, terms: int) -> None:
        if terms > _LARGEST:
            raise self.error("it has too many terms")

    def atom(self) -> Polynomial:
        token = self.take()
        if token == "-":
            return -self.power()
        if token == "(":
            inner = self.sum()
            if self.take() != ")":
                raise self.error("a parenthesis is not closed")
            return inner
        if token.isdigit():
            return size(int(token))
        if token and (token[0].isalpha() or token[0] == "_"):
            return variable(token)
        raise self.error(f"unexpected {token!r}" if token else "it ends too early")


def product(sizes: Iterable[Polynomial]) -> Polynomial:
    """The product of sizes; 1 for none."""
    result = size(1)
    for each in sizes:
        result = result * each
    return result


def fresh_names(stem: str, taken: Iterable[str]) -> Iterator[str]:
    """``stem``, ``stem2``, ``stem3`` …, without those taken."""
    used = set(taken)
    if stem not in used:
        yield stem
    yield from (name for k in count(2) if (name := f"{stem}{k}") not in used)
