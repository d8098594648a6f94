"""What a proof supposes of the inputs, in words.

A :class:`~ncd_formal.proof.Hypothesis` is a pair of terms that are equal at every index.  Its text
is computed from the terms alone, so that a certificate cannot say one thing and suppose another.
Where it is about the rows of a whole input the text is short, ``every row of mask has a True``;
else it is a formula, ``for all i < b, j < n: some k < m has mask[i, k] and k <= j``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from ncd_formal.conditions import Context
from ncd_formal.facts import Facts
from ncd_formal.proof import Hypothesis
from ncd_formal.sizes import Polynomial, Quotient, size, variable
from ncd_formal.wires import (
    ANY,
    INDEX_TEXT,
    NEGATIVE_INFINITY,
    ONE,
    ZERO,
    Term,
    indices_of,
    is_axis,
    pretty,
    subterms,
    term,
)

Shapes = Mapping[str, Sequence[Polynomial]]

_LETTERS = "ijklpqrstu"


def some(axes: Sequence[str], body: Term) -> Hypothesis:
    """That a truth value holds at some index of the axes, whatever the other indices are."""
    for axis in reversed(axes):
        body = term("Reduce", ANY, axis, body)
    return Hypothesis(body, ONE)


def zero_or_one(read: Term) -> Hypothesis:
    """That an input holds nothing but 0 and 1: it is the truth of its being 1."""
    return Hypothesis(read, term("Equal", read, ONE))


def condition_text(hypothesis: Hypothesis, context: Context, shapes: Shapes) -> str:
    """A hypothesis in words, given the shapes that inputs are declared to have."""
    left, right = hypothesis.left, hypothesis.right
    if left.op == "Input" and hypothesis == zero_or_one(left):
        if _is_whole(left, (), context, shapes):
            return f"{left.args[0]} is 0 or 1"
        words = _Words(context, left)
        return f"{words.quantified((), 'for all')}{words(left)} is 0 or 1"
    bound: list[str] = []
    body = left
    while body.op == "Reduce" and body.children[0] is ANY:
        bound.append(str(body.args[1]))
        body = body.children[1]
    if right is ONE and bound:
        return (
            _range(body, bound, context, shapes)
            or _row(body, bound, context, shapes)
            or _Words(context, left).some(bound, body)
        )
    words = _Words(context, left, right)
    is_truth = right is ONE and Facts(context).holds("boolean", left)
    said = words.truth(left) if is_truth else f"{words(left)} = {words(right)}"
    return f"{words.quantified((), 'for all')}{said}"


def _range(body: Term, bound: Sequence[str], context: Context, shapes: Shapes) -> str | None:
    """The text of that a whole integer input is an index of an axis."""
    place = term("Index", bound[0])
    if body.op != "Equal" or len(bound) != 1 or place not in body.children:
        return None
    read = body.children[body.children[0] is place]
    if read.op != "Input" or context.inputs.get(str(read.args[0])) != "integer":
        return None
    if not _is_whole(read, (), context, shapes) or bound[0] in read.axes:
        return None
    return f"0 <= {read.args[0]} < {context.axes[bound[0]]}"


def _row(body: Term, bound: Sequence[str], context: Context, shapes: Shapes) -> str | None:
    """The text of what each row of a whole input has, where that is what is said."""
    read, has = body, "a True"
    if body.op == "Not" and body.children[0].op == "Equal":
        read, other = body.children[0].children
        has = "a value above -inf" if other is NEGATIVE_INFINITY else has
        if other not in (NEGATIVE_INFINITY, ZERO):
            return None
    elif body.op == "Equal" and body.children[1].op == "Constant":
        read, other = body.children
        has = f"a {other.args[0]}"
    elif body.op == "Input" and context.inputs.get(str(body.args[0])) != "boolean":
        return None
    if read.op != "Input" or not _is_whole(read, bound, context, shapes):
        return None
    return f"every row of {read.args[0]} has {has}"


def _is_whole(read: Term, last: Sequence[str], context: Context, shapes: Shapes) -> bool:
    """Whether an input is read at every index of its shape, in its last dimension by ``last``."""
    shape, indices = shapes.get(str(read.args[0])), indices_of(str(read.args[1]))
    if shape is None or len(shape) != len(indices) or any(a in context.splits for a in read.axes):
        return False
    used: list[str] = []
    for extent, index in zip(shape, indices, strict=True):
        digits = _digits(index, context)
        if digits is None or _product(digits, context) is not extent:
            return False
        used += digits
    rows = len(indices[-1].variables) if indices else 0
    return len(set(used)) == len(used) and (
        not last or (set(used[len(used) - rows :]) == set(last) and rows == len(last))
    )


def _digits(index: Polynomial, context: Context) -> list[str] | None:
    """The axes whose indices spell a row-major number, from the first to the last."""
    digits: list[str] = []
    stride, rest = size(1), index
    while rest.terms:
        axis = next(
            (v for v in sorted(rest.variables)
             if is_axis(v) and v in context.axes and rest.coefficient(v) is stride),
            None,
        )  # fmt: skip
        if axis is None:
            return None
        rest = rest - stride * variable(axis)
        stride = stride * context.axes[axis]
        digits.insert(0, axis)
    return digits


def _product(axes: Sequence[str], context: Context) -> Polynomial:
    total = size(1)
    for axis in axes:
        total = total * context.axes[axis]
    return total


class _Words:
    """Formulas with letters for the axes, the free ones first, in the order of their reading."""

    def __init__(self, context: Context, *roots: Term) -> None:
        self.context = context
        self.free = frozenset[str]().union(*(root.axes for root in roots))
        taken = {*context.inputs, *context.lower}
        taken |= {v for p in context.axes.values() for v in p.variables}
        letters = iter([letter for letter in _LETTERS if letter not in taken])
        read: dict[str, None] = {}
        for node in subterms(*roots):
            if node.op in INDEX_TEXT:
                for p in indices_of(str(node.args[INDEX_TEXT[node.op]])):
                    atoms = (a for monomial, _ in p.terms for a, _ in monomial)
                    read.update((a, None) for a in atoms if isinstance(a, str) and is_axis(a))
        ordered = sorted(read, key=lambda axis: axis not in self.free)
        self.names = {axis: next(letters, axis) for axis in ordered}

    def some(self, bound: Sequence[str], body: Term) -> str:
        """That a truth value holds at some index of the bound axes."""
        return (
            f"{self.quantified(bound, 'for all')}some {self._ranges(bound)} has {self.truth(body)}"
        )

    def quantified(self, bound: Sequence[str], word: str) -> str:
        """The ranges of the axes that are not bound."""
        free = [axis for axis in self.names if axis in self.free and axis not in bound]
        free += sorted(self.free - set(free) - set(bound))
        return f"{word} {self._ranges(free)}: " if free else ""

    def _ranges(self, axes: Sequence[str]) -> str:
        extents = ((axis, self.context.axes.get(axis)) for axis in axes)
        return ", ".join(f"{self.names.get(axis, axis)} < {extent}" for axis, extent in extents)

    def __call__(self, node: Term) -> str:
        """A value."""
        op, args = node.op, node.args
        if op == "Input":
            indices = ", ".join(map(self.index, indices_of(str(args[1]))))
            return f"{args[0]}[{indices}]"
        if op == "Index":
            return self.index(size(str(args[0])))
        if op == "Constant":
            assert isinstance(args[0], Fraction)
            return str(args[0])
        if op == "NegativeInfinity":
            return "-inf"
        if op in {"Add", "Mul"}:
            sign = " + " if op == "Add" else "*"
            return f"({sign.join(map(self, node.children))})"
        if op in {"Equal", "Less", "Not", "And", "Or", "Predicate"}:
            return f"({self.truth(node)})"
        if op == "Select":
            c, a, b = node.children
            return f"({self(a)} if {self.truth(c)} else {self(b)})"
        return f"({pretty(node)})"

    def truth(self, node: Term, holds: bool = True, inside: bool = False) -> str:
        """That a truth value holds, or does not; ``inside`` another connective."""
        op, children = node.op, node.children
        if op == "Not":
            return self.truth(children[0], not holds, inside)
        if op == "Predicate":
            p = size(str(node.args[0]))
            return self.compare(p if holds else -1 - p)
        if op in {"Mul", "And", "Or"}:
            word = "or" if (op == "Or") == holds else "and"
            text = f" {word} ".join(self.truth(child, holds, True) for child in children)
            return f"({text})" if inside and word == "or" else text
        if op == "Equal":
            a, b = children
            if b is NEGATIVE_INFINITY and not holds:
                return f"{self(a)} > -inf"
            return f"{self(a)} {'=' if holds else '!='} {self(b)}"
        if op == "Less":
            a, b = children
            return f"{self(a)} {'<' if holds else '>='} {self(b)}"
        return self(node) if holds else f"not {self(node)}"

    def compare(self, p: Polynomial) -> str:
        """That a polynomial is at least 0, with its negative summands on the other side."""
        strict = bool(p.terms) and p.terms[-1] == ((), -1)
        sides: tuple[dict[object, int], dict[object, int]] = ({}, {})
        for monomial, c in p.terms[:-1] if strict else p.terms:
            sides[c < 0][monomial] = abs(c)
        more, less = (self.index(Polynomial(side)) for side in sides)  # type: ignore[arg-type]
        return f"{less} {'<' if strict else '<='} {more}"

    def index(self, p: Polynomial) -> str:
        """A polynomial in sizes and letters."""
        parts: list[str] = []
        for monomial, c in p.terms:
            factors = [] if abs(c) == 1 and monomial else [str(abs(c))]
            for atom, power in monomial:
                if isinstance(atom, str):
                    text = self.names.get(atom, atom)
                else:
                    sign = "//" if isinstance(atom, Quotient) else "%"
                    text = f"({self.index(atom.numerator)} {sign} {self.index(atom.denominator)})"
                factors += [text] * power
            sign = "-" if c < 0 else "+"
            parts += [sign, "*".join(factors)] if parts or c < 0 else ["*".join(factors)]
        text = " ".join(parts) or "0"
        return f"-{text[2:]}" if text.startswith("- ") else text
