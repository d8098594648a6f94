"""Conditions on sizes and strides, decided.

A :class:`Context` holds what a verdict may rely on: the least value of each size variable, the
assumed inequalities, the axes with their sizes, the declared splits of axes and the kinds of the
inputs.  Questions are settled by the polynomial normal form alone, so that a checker can settle
them again; :func:`consistent` and :func:`implies` ask Z3, which is loaded on first use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, islice, product
from typing import Any

from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, Quotient, Remainder, divide, size, variable


@dataclass(frozen=True, slots=True)
class Split:
    """The axis is ``outer * inner_size + inner``: it is an index derived from two others.

    With ``masked``, the two reach past the end of the axis, and what lies there is left out.
    """

    outer: str
    inner: str
    masked: bool = False


@dataclass(frozen=True)
class Context:
    """What holds of sizes, axes and inputs."""

    axes: Mapping[str, Polynomial] = field(default_factory=dict)
    lower: Mapping[str, int] = field(default_factory=dict)
    assumptions: tuple[Polynomial, ...] = ()
    splits: Mapping[str, Split] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)

    def with_axes(self, axes: Mapping[str, Polynomial]) -> Context:
        """This context with further axes."""
        return replace(self, axes={**self.axes, **axes})

    def leaves(self, axis: str) -> tuple[str, ...]:
        """The axes that ``axis`` is split into, down to those that are not split."""
        split = self.splits.get(axis)
        if split is None:
            return (axis,)
        return self.leaves(split.outer) + self.leaves(split.inner)

    def stands_alone(self, axis: str) -> bool:
        """Whether no split is about the axis, so that its index is a variable like any other."""
        parts = {p for split in self.splits.values() for p in (split.outer, split.inner)}
        return axis in self.axes and axis not in self.splits and axis not in parts

    def least(self, name: str) -> int:
        """The least value of a variable: 0 for an axis, 1 for a size unless declared otherwise."""
        return 0 if name in self.axes or "." in name else self.lower.get(name, 1)

    def nonempty(self, axis: str) -> bool:
        """Whether the axis has at least one index."""
        return self.nonnegative(self.axes[axis] - 1)

    def nonnegative(self, p: Polynomial) -> bool:
        """Whether ``p ≥ 0`` is *shown* at all sizes and indices; False where it is not."""
        lowest = self._lowest(self._by_parts(p))
        if lowest is None:
            return False
        if self._evidently_nonnegative(lowest):
            return True
        # One step of Farkas: what is left after taking off a few of the assumptions.
        return any(
            self._evidently_nonnegative(lowest - sum(chosen, size(0)))
            for count in (1, 2)
            for chosen in combinations(self.assumptions, count)
        )

    def _by_parts(self, p: Polynomial) -> Polynomial:
        """``p`` with every split axis as its parts spell it: a masked one runs past its end."""
        while split := p.variables & self.splits.keys():
            p = p.substitute(
                {
                    axis: variable(parts.outer) * self.axes[parts.inner] + variable(parts.inner)
                    for axis in split
                    for parts in [self.splits[axis]]
                }
            )
        return p

    def _evidently_nonnegative(self, p: Polynomial) -> bool:
        shifted = p.substitute({v: variable(v) + self.least(v) for v in p.variables})
        return all(c >= 0 for _, c in shifted.terms) and all(
            isinstance(atom, str) for atom in shifted.atoms
        )

    def _lowest(self, p: Polynomial) -> Polynomial | None:
        """``p`` with every index at the end of its range where ``p`` is least.

        None where ``p`` is not affine in some index, or the sign of a stride is not known.
        """
        for atom in sorted((a for a in p.atoms if not isinstance(a, str)), key=str):
            stride = p.coefficient(atom)
            bounds = self._atom_range(atom)
            if p.degree(atom) != 1 or bounds is None:
                return None
            end = self._end(stride, *bounds)
            if end is None:
                return None
            p = p - stride * Polynomial({((atom, 1),): 1}) + stride * end
        if not all(isinstance(atom, str) for atom in p.atoms):
            return None  # what is left is not affine in the axes inside
        for axis in sorted(v for v in p.variables if v in self.axes):
            if p.degree(axis) == 0:
                continue
            stride = p.coefficient(axis)
            end = self._end(stride, size(0), self.axes[axis] - 1)
            if p.degree(axis) != 1 or end is None or axis in stride.variables:
                return None
            p = p.substitute({axis: end})
        return p

    def _atom_range(self, atom: Quotient | Remainder) -> tuple[Polynomial, Polynomial] | None:
        if not self.nonnegative(atom.denominator - 1) or not self.nonnegative(atom.numerator):
            return None
        if isinstance(atom, Remainder):
            return size(0), atom.denominator - 1
        highest = self._lowest(-atom.numerator)
        # (q·b − 1) // b ≤ q − 1
        whole = None if highest is None else divide(1 - highest, atom.denominator)
        return None if whole is None else (size(0), whole - 1)

    def _end(self, stride: Polynomial, low: Polynomial, high: Polynomial) -> Polynomial | None:
        if self._evidently_nonnegative(stride):
            return low
        if self._evidently_nonnegative(-stride):
            return high
        return None


_COMPARISON = re.compile(r"^(.+?)(==|>=|<=|!=|=|>|<)(.+)$")


def parse_comparison(text: str) -> tuple[Polynomial, str, Polynomial]:
    """``"n >= 2*m"`` as two sizes and their relation.

    Errors: InputError where the text is no comparison of sizes.
    """
    match = _COMPARISON.match(text.strip())
    if match is None:
        raise InputError(f"condition {text!r}: expected a comparison of sizes such as 'n >= 2'")
    left, relation, right = match.groups()
    return size(left), "==" if relation == "=" else relation, size(right)


def assume(conditions: Sequence[str], variables: Iterable[str]) -> Context:
    """The context of ``conditions`` over size ``variables``.

    Errors: InputError for a condition on an unknown size, and where no sizes satisfy them all.
    """
    known = set(variables)
    lower: dict[str, int] = {}
    inequalities: list[Polynomial] = []
    for text in conditions:
        left, relation, right = parse_comparison(text)
        unknown = sorted((left.variables | right.variables) - known)
        if unknown:
            raise InputError(f"condition {text!r}: no input has a size named {unknown[0]!r}")
        difference = left - right
        forms = {
            ">=": (difference,),
            ">": (difference - 1,),
            "<=": (-difference,),
            "<": (-difference - 1,),
            "==": (difference, -difference),
            "!=": (),
        }[relation]
        for form in forms:
            bound = _lower_bound(form)
            if bound is None:
                inequalities.append(form)
            else:
                name, least = bound
                lower[name] = max(lower.get(name, least), least)
    context = Context(lower=lower, assumptions=tuple(inequalities))
    if not consistent(conditions, known, context):
        raise InputError(f"no sizes satisfy {', '.join(conditions)}")
    return context


def _lower_bound(p: Polynomial) -> tuple[str, int] | None:
    """``n ≥ c`` as ``("n", c)``; None for any other inequality ``p ≥ 0``."""
    if len(p.variables) != 1:
        return None
    (name,) = p.variables
    rest = p - variable(name)
    if rest.constant is None or rest.constant > 0:
        return None
    return name, -rest.constant


def consistent(conditions: Sequence[str], variables: Iterable[str], context: Context) -> bool:
    """Whether some sizes satisfy the conditions, by Z3; True where Z3 cannot tell."""
    if not conditions:
        return True
    import z3

    solver = _solver(variables, context)
    for text in conditions:
        solver.add(_z3_comparison(*parse_comparison(text)))
    return bool(solver.check() != z3.unsat)


def witness(context: Context) -> dict[str, int] | None:
    """Sizes that satisfy the assumptions, small ones by trial and else by Z3; None without any."""
    names = sorted({v for p in context.assumptions for v in p.variables})
    for top in (1, 2, 3, 4):
        for steps in islice(product(range(top), repeat=len(names)), 2000):
            sizes = {n: context.least(n) + step for n, step in zip(names, steps, strict=True)}
            if all(p.evaluate(sizes) >= 0 for p in context.assumptions):
                return sizes
    import z3

    solver = _solver(names, context)
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    return {n: model.eval(z3.Int(n), model_completion=True).as_long() for n in names}


def implies(context: Context, conclusion: str, variables: Iterable[str]) -> bool:
    """Whether the context implies a comparison of sizes, by Z3; False where Z3 cannot tell."""
    import z3

    comparison = parse_comparison(conclusion)
    solver = _solver(set(variables) | comparison[0].variables | comparison[2].variables, context)
    solver.add(z3.Not(_z3_comparison(*comparison)))
    return bool(solver.check() == z3.unsat)


def _solver(variables: Iterable[str], context: Context) -> Any:
    import z3

    solver = z3.Solver()
    solver.set("timeout", 2000)
    for name in sorted(variables):
        solver.add(z3.Int(name) >= context.least(name))
    for assumption in context.assumptions:
        solver.add(_z3_polynomial(assumption) >= 0)
    return solver


def _z3_comparison(left: Polynomial, relation: str, right: Polynomial) -> Any:
    a, b = _z3_polynomial(left), _z3_polynomial(right)
    return {
        ">=": lambda: a >= b,
        ">": lambda: a > b,
        "<=": lambda: a <= b,
        "<": lambda: a < b,
        "==": lambda: a == b,
        "!=": lambda: a != b,
    }[relation]()


def _z3_polynomial(p: Polynomial) -> Any:
    import z3

    total = z3.IntVal(0)
    for monomial, c in p.terms:
        product = z3.IntVal(c)
        for atom, power in monomial:
            if isinstance(atom, str):
                value = z3.Int(atom)
            else:
                a, b = _z3_polynomial(atom.numerator), _z3_polynomial(atom.denominator)
                # Rounded down whatever the sign of b; Z3 keeps the remainder non-negative instead.
                whole = z3.If(b > 0, a / b, -a / -b)
                value = whole if isinstance(atom, Quotient) else a - b * whole
            for _ in range(power):
                product = product * value
        total = total + product
    return total
