"""Facts about values: which kinds of value a term may take.

A fact is a set of kinds: negative, 0, 1, any other positive number, −∞, undefined.  It is derived
for every term by evaluating each operator on kinds, so ``exp`` of anything real is positive and a
masked row's maximum may be −∞.  Laws name the facts that they need (``real``, ``positive`` …).
The same tables generate the analysis that runs inside the e-graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from itertools import product as pairs
from typing import Union

from ncd_formal.conditions import Context
from ncd_formal.sizes import size
from ncd_formal.wires import Term, subterms

NEGATIVE, ZERO, UNIT, POSITIVE, MINUS_INFINITY, UNDEFINED = (1 << k for k in range(6))
KINDS = (NEGATIVE, ZERO, UNIT, POSITIVE, MINUS_INFINITY, UNDEFINED)
REAL = NEGATIVE | ZERO | UNIT | POSITIVE
ANYTHING = REAL | MINUS_INFINITY | UNDEFINED

NAMED: Mapping[str, int] = {
    "real": REAL,
    "positive": UNIT | POSITIVE,
    "nonzero": NEGATIVE | UNIT | POSITIVE,
    "boolean": ZERO | UNIT,
    "defined": REAL | MINUS_INFINITY,
    "nonnegative": ZERO | UNIT | POSITIVE,
    # The same with "or undefined": laws that propagate the undefined on both sides allow it.
    "no-infinity": REAL | UNDEFINED,
    "positive-or-undefined": UNIT | POSITIVE | UNDEFINED,
    "nonzero-or-undefined": NEGATIVE | UNIT | POSITIVE | UNDEFINED,
    "nonnegative-or-undefined": ZERO | UNIT | POSITIVE | UNDEFINED,
}
"""Name of a fact → the kinds that it allows."""

INPUT_KINDS: Mapping[str, int] = {
    "real": REAL,
    "integer": REAL,
    "boolean": ZERO | UNIT,
    "extended": REAL | MINUS_INFINITY,
    "positive": UNIT | POSITIVE,
    "nonnegative": ZERO | UNIT | POSITIVE,
    "partial": REAL | UNDEFINED,
    "any": ANYTHING,
}
"""What an input of a kind may hold.  Programs take numbers; what one step of a proof reads from
another may also be −∞ or undefined."""


def _add(a: int, b: int) -> int:
    if MINUS_INFINITY in (a, b):
        return MINUS_INFINITY
    if a == ZERO or b == ZERO:
        return b if a == ZERO else a
    if a == b == NEGATIVE:
        return NEGATIVE
    if NEGATIVE in (a, b):
        return REAL
    return POSITIVE | (UNIT if a == b == POSITIVE else 0)


def _mul(a: int, b: int) -> int:
    if MINUS_INFINITY in (a, b):
        other = b if a == MINUS_INFINITY else a
        return MINUS_INFINITY if other in (UNIT, POSITIVE) else UNDEFINED
    if ZERO in (a, b):
        return ZERO
    if UNIT in (a, b):
        return b if a == UNIT else a
    return NEGATIVE if a != b else UNIT | POSITIVE


_ORDER = (MINUS_INFINITY, NEGATIVE, ZERO, POSITIVE)


def _extreme(a: int, b: int, choose: Callable[..., int]) -> int:
    if a == b:
        return a
    ranks = [_ORDER.index(POSITIVE if k == UNIT else k) for k in (a, b)]
    if ranks[0] == ranks[1]:  # 1 and another positive number
        return UNIT | POSITIVE
    return (a, b)[ranks.index(choose(ranks))]


def _compare(a: int, b: int) -> int:
    return ZERO | UNIT


_BINARY: Mapping[str, Callable[[int, int], int]] = {
    "Add": _add,
    "Mul": _mul,
    "Maximum": lambda a, b: _extreme(a, b, max),
    "Minimum": lambda a, b: _extreme(a, b, min),
    "Less": _compare,
    "Equal": _compare,
    "And": lambda a, b: (
        UNDEFINED if MINUS_INFINITY in (a, b) else (ZERO if ZERO in (a, b) else UNIT)
    ),
    "Or": lambda a, b: (
        UNDEFINED if MINUS_INFINITY in (a, b) else (ZERO if a == b == ZERO else UNIT)
    ),
    "Rescale": lambda s, m: (
        ZERO if s == MINUS_INFINITY else (UNDEFINED if m == MINUS_INFINITY else UNIT | POSITIVE)
    ),
}

_UNARY: Mapping[str, Mapping[int, int]] = {
    "Inverse": {ZERO: UNDEFINED, MINUS_INFINITY: UNDEFINED},
    "Exp": {
        NEGATIVE: POSITIVE,
        ZERO: UNIT,
        UNIT: POSITIVE,
        POSITIVE: POSITIVE,
        MINUS_INFINITY: ZERO,
    },
    "Log": {
        NEGATIVE: UNDEFINED,
        ZERO: MINUS_INFINITY,
        UNIT: ZERO,
        POSITIVE: NEGATIVE | UNIT | POSITIVE,
        MINUS_INFINITY: UNDEFINED,
    },
    "Sqrt": {NEGATIVE: UNDEFINED, MINUS_INFINITY: UNDEFINED},
    "Abs": {NEGATIVE: UNIT | POSITIVE, MINUS_INFINITY: UNDEFINED},
    "Not": {
        NEGATIVE: ZERO,
        ZERO: UNIT,
        UNIT: ZERO,
        POSITIVE: ZERO,
        MINUS_INFINITY: UNDEFINED,
    },
    "Function": {
        NEGATIVE: REAL,
        ZERO: REAL,
        UNIT: REAL,
        POSITIVE: REAL,
        MINUS_INFINITY: UNDEFINED,
    },
}
"""Operator → kind → kinds; a kind that is not listed is kept."""

UNARY, BINARY = tuple(_UNARY), tuple(_BINARY)


def unary(op: str, kind: int) -> int:
    """The kinds of a unary operator at one kind."""
    return UNDEFINED if kind == UNDEFINED else _UNARY[op].get(kind, kind)


def binary(op: str, a: int, b: int) -> int:
    """The kinds of a binary operator at one kind each."""
    return UNDEFINED if UNDEFINED in (a, b) else _BINARY[op](a, b)


def kinds_in(fact: int) -> tuple[int, ...]:
    """The single kinds of a set of kinds."""
    return tuple(k for k in KINDS if fact & k)


@cache
def lift(op: str, *facts: int) -> int:
    """An operator on sets of kinds."""
    result = 0
    if len(facts) == 1:
        for a in kinds_in(facts[0]):
            result |= unary(op, a)
    else:
        for a, b in pairs(kinds_in(facts[0]), kinds_in(facts[1])):
            result |= binary(op, a, b)
    return result


def power_kinds(fact: int, power: int) -> int:
    """The kinds of aⁿ for a of the kinds of ``fact`` and n ≥ 1."""
    result = 0
    for kind in kinds_in(fact):
        reached = kind
        for _ in range(power - 1):
            step = 0
            for k in kinds_in(reached):
                step |= binary("Mul", k, kind)
            reached = step
        result |= reached
    return result


FOLDS: Mapping[str, tuple[str, int]] = {
    "Sum": ("Add", ZERO),
    "Product": ("Mul", UNIT),
    "Max": ("Maximum", MINUS_INFINITY),
    "Min": ("Minimum", UNDEFINED),
    "All": ("And", UNIT),
    "Any": ("Or", ZERO),
}
"""Monoid → its operation and the kind of its unit."""


@cache
def fold_kinds(monoid: str, fact: int, nonempty: bool) -> int:
    """The kinds of a reduction of values of the kinds of ``fact``."""
    if monoid not in FOLDS:
        return ANYTHING
    operation, unit = FOLDS[monoid]
    if monoid in {"All", "Any"}:
        fact = lift("Not", lift("Not", fact))
    closure, grown = 0, fact
    while grown != closure:
        closure, grown = grown, grown | lift(operation, grown, grown)
    return closure if nonempty else closure | unit


def choice(condition: int, then: int, otherwise: int) -> int:
    """The kinds of ``Select``."""
    result = UNDEFINED if condition & (MINUS_INFINITY | UNDEFINED) else 0
    result |= then if condition & (NEGATIVE | UNIT | POSITIVE) else 0
    return result | (otherwise if condition & ZERO else 0)


Fact = Union[int, tuple["Fact", "Fact"]]
"""The kinds of a value, or of the components of a pair."""


class Facts:
    """The facts of terms in a context, each derived once."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.memo: dict[Term, Fact] = {}

    def __call__(self, root: Term) -> int:
        """The kinds of value that ``root`` may take; a pair may be anything."""
        for node in subterms(root, known=self.memo):
            self.memo[node] = self._derive(node)
        found = self.memo[root]
        return found if isinstance(found, int) else ANYTHING

    def holds(self, name: str, subject: Term) -> bool:
        """Whether the named fact is shown of ``subject``."""
        return not self(subject) & ~NAMED[name]

    def _derive(self, node: Term) -> Fact:
        op, args = node.op, node.args
        of = [self.memo[child] for child in node.children]
        if op == "Tuple":
            return of[0], of[1]
        if op in {"First", "Second"}:
            return of[0][op == "Second"] if isinstance(of[0], tuple) else ANYTHING
        if op == "Reduce":
            return self._reduce(node.children[0].op, of[1], self.context.nonempty(str(args[1])))
        plain = [fact if isinstance(fact, int) else ANYTHING for fact in of]
        if op == "Mul":
            return lift(op, *plain) & self._squares(node)
        if op in _UNARY or op in _BINARY:
            return lift(op, *plain)
        if op == "Select":
            return choice(plain[0], plain[1], plain[2])
        return self.leaf(node)

    def _squares(self, product: Term) -> int:
        """The kinds of a product whose equal factors are taken together: a·a is never negative."""
        powers: dict[Term, int] = {}
        rest = product
        while rest.op == "Mul":
            head, rest = rest.children
            powers[head] = powers.get(head, 0) + 1
        powers[rest] = powers.get(rest, 0) + 1
        kinds = UNIT
        for factor, power in powers.items():
            own = self.memo[factor]
            if not isinstance(own, int) or own & MINUS_INFINITY:
                return ANYTHING  # products that may hold −∞ do not regroup
            kinds = lift("Mul", kinds, own if power == 1 else power_kinds(own, power))
        return kinds

    def _reduce(self, monoid: str, body: Fact, nonempty: bool) -> Fact:
        if monoid == "RescaledSum" and isinstance(body, tuple):
            score = body[0] if isinstance(body[0], int) else ANYTHING
            top = fold_kinds("Max", score, nonempty)
            return top, self._weighted(lift("Rescale", score, top), body[1], nonempty)
        return fold_kinds(monoid, body, nonempty) if isinstance(body, int) else ANYTHING

    def _weighted(self, weight: int, value: Fact, nonempty: bool) -> Fact:
        if isinstance(value, tuple):
            first, second = value
            return (
                self._weighted(weight, first, nonempty),
                self._weighted(weight, second, nonempty),
            )
        # The unit of the fold adds a 0.
        return fold_kinds("Sum", lift("Mul", weight, value) | ZERO, nonempty)

    def leaf(self, node: Term) -> int:
        """The kinds of a term without operands."""
        op, args = node.op, node.args
        if op == "Constant":
            assert isinstance(args[0], Fraction)
            return constant_kind(args[0])
        if op == "Index":
            p = size(str(args[0]))
            if self.context.nonnegative(p - 1):
                return UNIT | POSITIVE
            return REAL & ~NEGATIVE if self.context.nonnegative(p) else REAL
        if op == "Predicate":
            return ZERO | UNIT
        if op == "NegativeInfinity":
            return MINUS_INFINITY
        if op == "Undefined":
            return UNDEFINED
        if op == "Input":
            return INPUT_KINDS[self.context.inputs.get(str(args[0]), "extended")]
        return ANYTHING


def constant_kind(value: Fraction) -> int:
    """The kind of a number."""
    if value == 1:
        return UNIT
    return NEGATIVE if value < 0 else POSITIVE if value > 0 else ZERO
