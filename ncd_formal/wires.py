"""Wires: the normal form of a program.

A term denotes a function from an *environment*, an index for every axis, to a value.  Broadcasting
is implicit, a reduction is an operator and not a binder, and views are gone: inputs are read at
affine indices.  Hence there is no substitution and no capture, and a law holds at every rank.

Terms are interned: equal terms are the same object.  A term is ``(operator arguments…)``, its
arguments terms, numbers (:class:`fractions.Fraction`) or canonical text; ``SIGNATURE`` is the table
of operators, which the rule texts, the e-graph and certificates all share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import ClassVar, Union

from ncd_formal.sizes import Polynomial, size, variable

Argument = Union["Term", str, Fraction]
Shape = Union[None, tuple["Shape", "Shape"]]
"""None for one value, the shapes of the components for a pair."""

SIGNATURE: Mapping[str, tuple[tuple[str, ...], str]] = {
    # leaves
    "Input": (("String", "String"), "Term"),  # name; indices, each a polynomial, by "; "
    "Constant": (("BigRat",), "Term"),
    "NegativeInfinity": ((), "Term"),
    "Undefined": ((), "Term"),
    "Index": (("String",), "Term"),  # a polynomial in sizes and axes, as a number
    "Predicate": (("String",), "Term"),  # 1 where the polynomial is non-negative, else 0
    # arithmetic
    "Add": (("Term", "Term"), "Term"),
    "Mul": (("Term", "Term"), "Term"),
    "Inverse": (("Term",), "Term"),
    "Maximum": (("Term", "Term"), "Term"),
    "Minimum": (("Term", "Term"), "Term"),
    "Exp": (("Term",), "Term"),
    "Log": (("Term",), "Term"),
    "Sqrt": (("Term",), "Term"),
    "Abs": (("Term",), "Term"),
    "Rescale": (("Term", "Term"), "Term"),  # exp(s - m), and 0 where s is −∞
    "Function": (("String", "Term"), "Term"),  # tanh, erf, sin …: known by name and value
    # truth values, 0 and 1
    "Less": (("Term", "Term"), "Term"),
    "Equal": (("Term", "Term"), "Term"),
    "Not": (("Term",), "Term"),
    "And": (("Term", "Term"), "Term"),
    "Or": (("Term", "Term"), "Term"),
    "Select": (("Term", "Term", "Term"), "Term"),
    # axes
    "Reduce": (("Monoid", "String", "Term"), "Term"),
    # several values
    "Tuple": (("Term", "Term"), "Term"),
    "First": (("Term",), "Term"),
    "Second": (("Term",), "Term"),
    # an operator known only by its name and weave: name; bound axes; indices of its output
    "Opaque": (("String", "String", "String", "Term"), "Term"),
    # monoids
    "Sum": ((), "Monoid"),
    "Product": ((), "Monoid"),
    "Max": ((), "Monoid"),
    "Min": ((), "Monoid"),
    "All": ((), "Monoid"),
    "Any": ((), "Monoid"),
    "Both": (("Monoid", "Monoid"), "Monoid"),  # two monoids side by side
    "RescaledSum": ((), "Monoid"),  # max acting on sums through exp(m − m')
}
"""Operator → (sorts of its arguments, sort of the result)."""

INDEX_TEXT: Mapping[str, int] = {"Input": 1, "Index": 0, "Predicate": 0, "Opaque": 2}
"""The operators that read indices, and which argument is their text."""

FUNCTIONS = frozenset({"erf", "sin", "cos", "tan", "tanh", "sinh", "cosh", "atan", "floor", "ceil"})
"""The names that ``Function`` knows a value for; each takes reals to reals."""


class Term:
    """An interned term; construct with :func:`term` or the named constructors below."""

    __slots__ = ("args", "axes", "digest", "op", "shape")
    _interned: ClassVar[dict[tuple[str, tuple[Argument, ...]], Term]] = {}

    op: str
    args: tuple[Argument, ...]
    axes: frozenset[str]
    """The axes that the value may depend on."""
    digest: str
    """A hash of the whole term, the same in every process; also the order of normal forms."""
    shape: Shape
    """Whether the value is a pair, and of what."""

    def __repr__(self) -> str:
        return f"parse({_text(self)!r})"

    def __str__(self) -> str:
        return pretty(self)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse, (_text(self),)

    @property
    def children(self) -> tuple[Term, ...]:
        """The arguments that are terms."""
        return tuple(a for a in self.args if isinstance(a, Term))


def term(op: str, *args: Argument) -> Term:
    """The term ``op(args…)``.

    Errors: TypeError where the arguments do not fit ``SIGNATURE``, or a pair stands for a number.
    """
    key = (op, args)
    found = Term._interned.get(key)
    if found is not None:
        return found
    sorts, _ = SIGNATURE[op]
    if len(sorts) != len(args) or not all(map(_fits, args, sorts)):
        raise TypeError(f"{op} takes {sorts}, not {args}")
    made = object.__new__(Term)
    made.op, made.args = op, args
    made.shape = _shape(op, args)
    made.axes = _free_axes(op, args)
    made.digest = hashlib.blake2b(
        "\0".join((op, *(a.digest if isinstance(a, Term) else f"={a}" for a in args))).encode(),
        digest_size=12,
    ).hexdigest()
    Term._interned[key] = made
    return made


def _fits(argument: Argument, sort: str) -> bool:
    if sort == "String":
        return isinstance(argument, str)
    if sort == "BigRat":
        return isinstance(argument, Fraction)
    return isinstance(argument, Term) and SIGNATURE[argument.op][1] == sort


def _shape(op: str, args: tuple[Argument, ...]) -> Shape:
    shapes = [a.shape for a in args if isinstance(a, Term) and SIGNATURE[a.op][1] == "Term"]
    if op == "Tuple":
        return shapes[0], shapes[1]
    if op in {"First", "Second"} and shapes[0] is not None:
        return shapes[0][op == "Second"]
    if op == "Select" and shapes[0] is None and shapes[1] == shapes[2]:
        return shapes[1]
    if op == "Reduce" and isinstance(args[0], Term) and _folds(args[0], shapes[0]):
        return shapes[0]
    if op in {"First", "Second", "Select", "Reduce"} or (op != "Opaque" and any(shapes)):
        raise TypeError(f"{op} does not take a pair here, or takes only one")
    return None


def _folds(monoid: Term, shape: Shape) -> bool:
    """Whether values of a shape are elements of a monoid."""
    if monoid.op == "Both":
        left, right = monoid.children
        return shape is not None and _folds(left, shape[0]) and _folds(right, shape[1])
    if monoid.op == "RescaledSum":
        return shape is not None and shape[0] is None
    return shape is None


def indices_of(text: str) -> tuple[Polynomial, ...]:
    """The polynomials of an ``Input``'s or ``Opaque``'s index text."""
    return tuple(size(part) for part in text.split("; ")) if text else ()


def indices_text(indices: Iterable[Polynomial]) -> str:
    """The canonical text of indices."""
    return "; ".join(map(str, indices))


def is_axis(name: str) -> bool:
    """Whether a variable of a polynomial is an axis: axes carry a dot, sizes do not."""
    return "." in name


@cache
def _axes_in(text: str) -> frozenset[str]:
    return frozenset(v for p in indices_of(text) for v in p.variables if is_axis(v))


def _free_axes(op: str, args: tuple[Argument, ...]) -> frozenset[str]:
    axes = frozenset[str]().union(*(a.axes for a in args if isinstance(a, Term)))
    if op == "Input":
        axes |= _axes_in(str(args[1]))
    elif op in {"Index", "Predicate"}:
        axes |= _axes_in(str(args[0]))
    elif op == "Reduce":
        axes -= {str(args[1])}
    elif op == "Opaque":
        axes = (axes - set(str(args[1]).split())) | _axes_in(str(args[2]))
    return axes


# Constructors -------------------------------------------------------------------------------


def input_at(name: str, indices: Iterable[Polynomial]) -> Term:
    """The input ``name`` read at ``indices``."""
    return term("Input", name, indices_text(indices))


def constant(value: Fraction | int) -> Term:
    """A rational number."""
    return term("Constant", Fraction(value))


def index(p: Polynomial) -> Term:
    """A polynomial in sizes and axes as a number; a whole number is a ``Constant``."""
    return term("Index", str(p)) if p.constant is None else constant(p.constant)


def predicate(p: Polynomial) -> Term:
    """1 where ``p ≥ 0`` and 0 elsewhere."""
    if p.constant is not None:
        return constant(int(p.constant >= 0))
    return term("Predicate", str(p))


def add(a: Term, b: Term) -> Term:
    """a + b."""
    return term("Add", a, b)


def mul(a: Term, b: Term) -> Term:
    """a · b."""
    return term("Mul", a, b)


def factors_of(a: Term) -> Iterator[Term]:
    """The factors of a product that is a right comb."""
    while a.op == "Mul":
        head, a = a.children
        yield head
    yield a


def product_of(factors: Sequence[Term]) -> Term:
    """The right comb of at least one factor."""
    result = factors[-1]
    for factor in reversed(factors[:-1]):
        result = mul(factor, result)
    return result


def negative(a: Term) -> Term:
    """−a, defined as (−1) · a."""
    return mul(constant(-1), a)


def subtract(a: Term, b: Term) -> Term:
    """a − b, defined as a + (−1) · b."""
    return add(a, negative(b))


def inverse(a: Term) -> Term:
    """1 / a; undefined at 0 and at −∞."""
    return term("Inverse", a)


def divide(a: Term, b: Term) -> Term:
    """a / b, defined as a · (1 / b)."""
    return mul(a, inverse(b))


def exp(a: Term) -> Term:
    """exp a; 0 at −∞."""
    return term("Exp", a)


def select(condition: Term, then: Term, otherwise: Term) -> Term:
    """``then`` where the condition is not 0, else ``otherwise``; looks only at what it takes."""
    return term("Select", condition, then, otherwise)


def reduce(monoid: Term, axis: str, body: Term) -> Term:
    """The fold of ``body`` over all indices of ``axis``, in order, from the monoid's unit."""
    return term("Reduce", monoid, axis, body)


def pair(a: Term, b: Term) -> Term:
    """Two values."""
    return term("Tuple", a, b)


NEGATIVE_INFINITY = term("NegativeInfinity")
UNDEFINED = term("Undefined")
ZERO, ONE, MINUS_ONE = constant(0), constant(1), constant(-1)
SUM, PRODUCT, MAX, MIN = term("Sum"), term("Product"), term("Max"), term("Min")
ALL, ANY, RESCALED_SUM = term("All"), term("Any"), term("RescaledSum")


# Traversal and text -------------------------------------------------------------------------


def subterms(*roots: Term, known: Container[Term] = ()) -> Iterator[Term]:
    """Every distinct subterm, children before parents, without recursion.

    What is ``known`` is passed over with all below it, so that a memo is filled in linear time.
    """
    seen: set[Term] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen and node not in known:
            seen.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children) if child not in seen)


def outermost(root: Term, wanted: Callable[[Term], bool]) -> Iterator[Term]:
    """The subterms that are wanted, each once, but for those inside another one."""
    seen: set[Term] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if wanted(node):
            yield node
        else:
            stack.extend(node.children)


def bound_axes(root: Term) -> set[str]:
    """The axes that something inside ``root`` binds."""
    return {
        axis
        for node in subterms(root)
        if node.op in {"Reduce", "Opaque"}
        for axis in str(node.args[1]).split()
    }


def renamed(root: Term, inputs: Mapping[str, str], axes: Mapping[str, str]) -> Term:
    """``root`` with inputs and axes, bound ones too, under other names; no two axes become one."""
    made: dict[Term, Term] = {}
    to = {axis: variable(name) for axis, name in axes.items()}
    for node in subterms(root):
        args: list[Argument] = [made[a] if isinstance(a, Term) else a for a in node.args]
        if node.op == "Input":
            args[0] = inputs.get(str(args[0]), str(args[0]))
        if node.op in {"Reduce", "Opaque"}:
            args[1] = " ".join(axes.get(axis, axis) for axis in str(args[1]).split())
        if node.op in INDEX_TEXT:
            place = INDEX_TEXT[node.op]
            args[place] = indices_text(p.substitute(to) for p in indices_of(str(args[place])))
        made[node] = term(node.op, *args)
    return made[root]


def substitute(root: Term, values: Mapping[str, Polynomial]) -> Term:
    """``root`` at other indices: free axes replaced by index expressions.

    Errors: ValueError where an axis of an expression would be caught by a reduction inside.
    """
    return substitutions(root, values)[root]


def substitutions(root: Term, values: Mapping[str, Polynomial]) -> dict[Term, Term]:
    """Every subterm of ``root`` at other indices, children before parents; see ``substitute``."""
    made: dict[Term, Term] = {}
    caught = values.keys() | {v for p in values.values() for v in p.variables}
    for node in subterms(root):
        if node.axes.isdisjoint(values):
            made[node] = node
            continue
        args: list[Argument] = [made[a] if isinstance(a, Term) else a for a in node.args]
        if node.op in {"Reduce", "Opaque"} and caught & set(str(node.args[1]).split()):
            raise ValueError(f"a substitution is caught by the axis {node.args[1]}")
        position = INDEX_TEXT.get(node.op)
        if position is not None:
            indices = indices_of(str(node.args[position]))
            args[position] = indices_text(p.substitute(values) for p in indices)
        made[node] = term(node.op, *args)
    return made


def replace_free(root: Term, old: Term, new: Term) -> Term:
    """``root`` with ``old`` replaced wherever none of its axes is bound."""
    return replacements(root, old, new)[root]


def replacements(root: Term, old: Term, new: Term) -> dict[Term, Term]:
    """Every subterm of ``root`` with ``old`` replaced, children first; see ``replace_free``."""
    made: dict[Term, Term] = {}
    for node in subterms(root):
        binds = set(str(node.args[1]).split()) if node.op in {"Reduce", "Opaque"} else set()
        if node is old:
            made[node] = new
        elif binds & old.axes:
            made[node] = node
        else:
            made[node] = term(node.op, *(made[a] if isinstance(a, Term) else a for a in node.args))
    return made


def _text(root: Term) -> str:
    parts: dict[Term, str] = {}
    for node in subterms(root):
        shown = [
            parts[a] if isinstance(a, Term) else f'"{a}"' if isinstance(a, str) else str(a)
            for a in node.args
        ]
        parts[node] = f"({' '.join([node.op, *shown])})"
    return parts[root]


def parse(text: str) -> Term:
    """The term of its S-expression, the inverse of ``repr``."""
    from ncd_formal.rules import read_expressions

    (expression,) = read_expressions(text)
    return _from_expression(expression)


def _from_expression(expression: object) -> Term:
    if not isinstance(expression, tuple):
        raise TypeError(f"{expression!r} is not a term")
    op, *args = expression
    return term(op, *(_from_expression(a) if isinstance(a, tuple) else a for a in args))


_SYMBOLS = {"Sum": "Σ", "Product": "Π", "Max": "max", "Min": "min", "All": "∀", "Any": "∃"}


def pretty(root: Term) -> str:
    """The term as one would write it on a blackboard."""
    return _pretty(root, 0)


def _pretty(node: Term, level: int) -> str:
    """``level``: 0 anything, 1 a summand, 2 a factor, 3 an argument without parentheses."""
    op, args = node.op, node.args

    def at(k: int, to: int = 0) -> str:
        child = args[k]
        return _pretty(child, to) if isinstance(child, Term) else str(child)

    text, own = "", 3
    if op == "Input":
        text = f"{args[0]}[{args[1]}]"
    elif op in {"Constant", "Index"}:
        text = str(args[0])
        own = 3 if text.replace(".", "").isalnum() else 1
    elif op == "NegativeInfinity":
        text = "−∞"
    elif op == "Predicate":
        text = f"[{args[0]} ≥ 0]"
    elif op == "Add":
        right = args[1]
        assert isinstance(right, Term)
        if right.op == "Mul" and right.args[0] is MINUS_ONE:
            text = f"{at(0, 1)} − {_pretty(right.args[1], 2)}"  # type: ignore[arg-type]
        else:
            text = f"{at(0, 1)} + {at(1, 1)}"
        own = 1
    elif op == "Mul":
        left, right = args
        assert isinstance(left, Term) and isinstance(right, Term)
        first = _pretty(left, 3 if _ends_in_reduction(left) else 2)
        if left is MINUS_ONE:
            text = f"−{at(1, 2)}"
        elif right.op == "Inverse":
            text = f"{first} / {_pretty(right.args[0], 3)}"  # type: ignore[arg-type]
        else:
            text = f"{first}·{at(1, 2)}"
        own = 2
    elif op == "Inverse":
        text, own = f"1 / {at(0, 3)}", 2
    elif op == "Reduce":
        monoid = args[0]
        assert isinstance(monoid, Term)
        name = _SYMBOLS.get(monoid.op, "fold" if monoid.op == "RescaledSum" else _text(monoid))
        text, own = f"{name}_{args[1]} {at(2, 2)}", 2
    elif op == "Select":
        text, own = f"{at(1, 1)} if {at(0, 1)} else {at(2, 1)}", 0
    elif op == "Tuple":
        text = f"({at(0)}, {at(1)})"
    elif op == "Function":
        text = f"{args[0]}({at(1)})"
    else:
        text = f"{op.lower()}({', '.join(at(k) for k in range(len(args)))})"
    return f"({text})" if own < level else text


def _ends_in_reduction(node: Term) -> bool:
    """Whether what is written to the right of a product would be read as part of a reduction."""
    while node.op == "Mul" and node.children[1].op != "Inverse":
        node = node.children[1]
    return node.op == "Reduce"
