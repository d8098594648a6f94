"""The reference semantics: what a term means.

A value is a real number, −∞, or *undefined*.  exp(−∞) = 0 and log 0 = −∞; + and max extend to −∞;
−∞ times a positive number is −∞; division by zero or by −∞, 0·(−∞), −∞ times a negative number,
and the root or logarithm of a negative number are undefined, which propagates, except through
``Select``, which looks only at the branch it takes.

:func:`denote` is the definition, one environment at a time, over exact rationals or floats.
:func:`evaluate` computes the same for all environments at once with NumPy in float64, where −∞ and
undefined are ``-inf`` and ``nan``; an overflow is left as ``inf`` and means "too large to tell".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce as fold
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ncd_formal.conditions import Context
from ncd_formal.wires import Shape, Term, indices_of, is_axis, subterms

Number = Union[Fraction, float]


class Special:
    """The two values that are not numbers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


NINF, UNDEF = Special("−∞"), Special("undefined")
Value = Union[Number, Special, tuple["Value", "Value"]]


class NotExactError(ArithmeticError):
    """An exact value was asked of a function that leaves the rationals."""


# The definition: one environment ------------------------------------------------------------


def denote(
    root: Term,
    context: Context,
    sizes: Mapping[str, int],
    inputs: Callable[[str, tuple[int, ...]], Value],
    environment: Mapping[str, int],
) -> Value:
    """⟦root⟧ at ``environment``, an index for every free axis.

    ``inputs`` gives the value of an input at any index: an input is a total function.  Values are
    exact as long as the inputs are rationals and no function leaves them; then NotExactError.
    """
    env = dict(environment)
    for split in context.splits:
        if split not in env and all(leaf in env for leaf in context.leaves(split)):
            env[split] = _derived(split, context, sizes, env)

    def at(node: object) -> Value:
        assert isinstance(node, Term)
        return denote(node, context, sizes, inputs, env)

    def where(text: object) -> tuple[int, ...]:
        return tuple(p.evaluate({**sizes, **env}) for p in indices_of(str(text)))

    op, args = root.op, root.args
    if op == "Input":
        return inputs(str(args[0]), where(args[1]))
    if op == "Constant":
        assert isinstance(args[0], Fraction)
        return args[0]
    if op == "NegativeInfinity":
        return NINF
    if op == "Undefined":
        return UNDEF
    if op == "Index":
        return Fraction(where(args[0])[0])
    if op == "Predicate":
        return Fraction(int(where(args[0])[0] >= 0))
    if op == "Select":
        condition = at(args[0])
        if isinstance(condition, (Special, tuple)):
            return _filled(UNDEF, root.shape)
        return at(args[1] if condition != 0 else args[2])
    if op == "Tuple":
        return at(args[0]), at(args[1])
    if op in {"First", "Second"}:
        both = at(args[0])
        return both[op == "Second"] if isinstance(both, tuple) else UNDEF
    if op == "Reduce":
        monoid, axis, body = args
        assert isinstance(monoid, Term) and isinstance(axis, str) and isinstance(body, Term)
        # An axis that shares digits with the one that is bound is derived anew.
        bound = set(context.leaves(axis))
        outer = {a: i for a, i in environment.items() if bound.isdisjoint(context.leaves(a))}
        values = [
            denote(body, context, sizes, inputs, {**outer, **point})
            for point in _points(axis, context, sizes)
        ]
        if not values:
            return unit(monoid, body.shape)
        first, *rest = values
        return fold(lambda a, b: combine(monoid, a, b), rest, _alone(monoid, first))
    if op == "Function":
        return apply(op, at(args[1]), name=str(args[0]))
    if op == "Opaque":
        raise NotExactError(f"{args[0]} is opaque")
    return apply(op, *map(at, args))


def _derived(axis: str, context: Context, sizes: Mapping[str, int], env: Mapping[str, int]) -> int:
    if axis in env:
        return env[axis]
    split = context.splits[axis]
    inner = context.axes[split.inner].evaluate(sizes)
    outer = _derived(split.outer, context, sizes, env)
    return outer * inner + _derived(split.inner, context, sizes, env)


def _points(axis: str, context: Context, sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """The indices of an axis, with those of the axes that it is split into."""
    split = context.splits.get(axis)
    extent = context.axes[axis].evaluate(sizes)
    if split is None:
        return [{axis: i} for i in range(extent)]
    inner = context.axes[split.inner].evaluate(sizes)
    points = []
    for outer in _points(split.outer, context, sizes):
        for low in _points(split.inner, context, sizes):
            position = outer[split.outer] * inner + low[split.inner]
            if position < extent:
                points.append({**outer, **low, axis: position})
    return points


def unit(monoid: Term, shape: Shape) -> Value:
    """The value of an empty reduction of a body of this shape."""
    if monoid.op == "Both":
        a, b = monoid.children
        assert shape is not None
        return unit(a, shape[0]), unit(b, shape[1])
    if monoid.op == "RescaledSum":
        assert shape is not None
        return NINF, _filled(Fraction(0), shape[1])
    units: Mapping[str, Value] = {
        "Sum": Fraction(0),
        "Product": Fraction(1),
        "Max": NINF,
        "Min": UNDEF,  # +∞ is no value
        "All": Fraction(1),
        "Any": Fraction(0),
    }
    return units[monoid.op]


def _filled(value: Value, shape: Shape) -> Value:
    """The value, or a pair of it for a pair."""
    return value if shape is None else (_filled(value, shape[0]), _filled(value, shape[1]))


def _alone(monoid: Term, value: Value) -> Value:
    """The fold of one value: beside the unit, where the monoid has one."""
    if monoid.op == "Both" and isinstance(value, tuple):
        left, right = monoid.children
        return _alone(left, value[0]), _alone(right, value[1])
    if monoid.op in {"All", "Any"}:
        return combine(monoid, unit(monoid, None), value)
    if monoid.op == "RescaledSum" and isinstance(value, tuple):
        return value[0], _scale(apply("Rescale", value[0], value[0]), value[1])
    return value


_MONOID_OPERATIONS = {
    "Sum": "Add",
    "Product": "Mul",
    "Max": "Maximum",
    "Min": "Minimum",
    "All": "And",
    "Any": "Or",
}


def combine(monoid: Term, a: Value, b: Value) -> Value:
    """The operation of a monoid."""
    if monoid.op in _MONOID_OPERATIONS:
        return apply(_MONOID_OPERATIONS[monoid.op], a, b)
    if not (isinstance(a, tuple) and isinstance(b, tuple)):
        return UNDEF
    if monoid.op == "Both":
        left, right = monoid.children
        return combine(left, a[0], b[0]), combine(right, a[1], b[1])
    top = apply("Maximum", a[0], b[0])
    kept, new = apply("Rescale", a[0], top), apply("Rescale", b[0], top)
    return top, _add(_scale(kept, a[1]), _scale(new, b[1]))


def _scale(factor: Value, value: Value) -> Value:
    if isinstance(value, tuple):
        return _scale(factor, value[0]), _scale(factor, value[1])
    return apply("Mul", factor, value)


def _add(a: Value, b: Value) -> Value:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return _add(a[0], b[0]), _add(a[1], b[1])
    return apply("Add", a, b)


def apply(op: str, *values: Value, name: str = "") -> Value:
    """A pointwise operator at values."""
    if any(v is UNDEF or isinstance(v, tuple) for v in values):
        return UNDEF
    a: Any = values[0]
    b: Any = values[-1]
    low = [v is NINF for v in values]
    if op == "Add":
        return NINF if any(low) else _number(a + b)
    if op == "Mul":
        if not any(low):
            return _number(a * b)
        return NINF if not all(low) and (b if low[0] else a) > 0 else UNDEF
    if op in {"Maximum", "Minimum"}:
        if all(low):
            return NINF
        if any(low):
            return NINF if op == "Minimum" else _number(b if low[0] else a)
        return _number(max(a, b) if op == "Maximum" else min(a, b))
    if op == "Rescale":
        if low[0]:
            return Fraction(0)
        return UNDEF if low[1] else _exp(a - b)
    if op == "Less":
        return Fraction(int((low[0] and not low[1]) or (not any(low) and a < b)))
    if op == "Equal":
        return Fraction(int(all(low) or (not any(low) and a == b)))
    if op == "Exp":
        return Fraction(0) if low[0] else _exp(a)
    if any(low):
        return UNDEF
    if op == "Inverse":
        return UNDEF if a == 0 else _number(1 / a)
    if op == "Log":
        return UNDEF if a < 0 else NINF if a == 0 else _log(a)
    if op == "Sqrt":
        return UNDEF if a < 0 else _sqrt(a)
    if op == "Abs":
        return _number(abs(a))
    if op == "Not":
        return Fraction(int(a == 0))
    if op == "And":
        return Fraction(int(a != 0 and b != 0))
    if op == "Or":
        return Fraction(int(a != 0 or b != 0))
    if op == "Function":
        return _named(name, a)
    raise KeyError(op)


def _number(value: Any) -> Number:
    assert isinstance(value, (Fraction, float, int))
    return value


def _named(name: str, a: Number) -> Number:
    if isinstance(a, Fraction):
        raise NotExactError(name)
    return float(_FUNCTIONS[name](np.float64(a)))


def _exp(a: Number) -> Number:
    if isinstance(a, Fraction):
        if a == 0:
            return Fraction(1)
        raise NotExactError("exp")
    return math.exp(a) if a < 700 else math.inf


def _log(a: Number) -> Number:
    if isinstance(a, Fraction):
        if a == 1:
            return Fraction(0)
        raise NotExactError("log")
    return math.log(a)


def _sqrt(a: Number) -> Number:
    if isinstance(a, Fraction):
        root = Fraction(math.isqrt(a.numerator), math.isqrt(a.denominator))
        if root * root == a:
            return root
        raise NotExactError("sqrt")
    return math.sqrt(a)


# All environments at once -------------------------------------------------------------------


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Values for every index of ``axes``, one array dimension an axis."""

    axes: tuple[str, ...]
    values: Floats


Wire = Union[Grid, tuple["Wire", "Wire"]]

_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "atan": np.arctan,
    "floor": np.floor,
    "ceil": np.ceil,
}


class Evaluator:
    """Evaluates terms in float64 at given sizes and inputs, sharing common subterms."""

    def __init__(
        self, context: Context, sizes: Mapping[str, int], inputs: Mapping[str, Floats]
    ) -> None:
        self.context = context
        self.sizes = sizes
        self.inputs = {k: np.asarray(v, dtype=np.float64) for k, v in inputs.items()}
        self.extents = {
            axis: extent.evaluate(sizes)
            for axis, extent in context.axes.items()
            if extent.variables <= sizes.keys()
        }
        self.memo: dict[Term, Wire] = {}

    def __call__(self, root: Term) -> Wire:
        with np.errstate(all="ignore"):
            for node in subterms(root, known=self.memo):
                self.memo[node] = self._node(node)
        return self.memo[root]

    def output(self, root: Term, layout: Sequence[Sequence[str]]) -> Floats:
        """The array of an output, its dimensions made of the axes of ``layout``."""
        value = self(root)
        assert isinstance(value, Grid)
        axes = [axis for digits in layout for axis in digits]
        spread = self._spread(value, tuple(axes))
        full = np.broadcast_to(spread, [self.extents[a] for a in axes])
        return full.reshape([math.prod(self.extents[a] for a in digits) for digits in layout])

    def _spread(self, grid: Grid, axes: tuple[str, ...]) -> Floats:
        kept = [a for a in axes if a in grid.axes]
        moved = np.transpose(grid.values, [grid.axes.index(a) for a in kept])
        return moved.reshape([self.extents[a] if a in grid.axes else 1 for a in axes])

    def _aligned(self, *grids: Grid) -> tuple[tuple[str, ...], list[Floats]]:
        axes = tuple(sorted(set().union(*(g.axes for g in grids))))
        return axes, [self._spread(g, axes) for g in grids]

    def _affine(self, text: str) -> list[tuple[tuple[str, ...], npt.NDArray[np.int64]]]:
        """Index expressions over the leaf axes that they use."""
        result = []
        for p in indices_of(text):
            names = sorted(
                {leaf for v in p.variables if is_axis(v) for leaf in self.context.leaves(v)}
            )
            shape = [self.extents[a] for a in names]
            grids: dict[str, Any] = dict(self.sizes)
            for axis, values in zip(names, np.indices(shape), strict=True):
                grids[axis] = values
            for v in p.variables:
                if is_axis(v):
                    grids[v] = _derived(v, self.context, self.sizes, grids)
            value = np.asarray(p.evaluate(grids))
            result.append((tuple(names), np.broadcast_to(value, shape)))
        return result

    def _node(self, node: Term) -> Wire:
        op, args = node.op, node.args
        if op == "Input":
            return self._read(str(args[0]), str(args[1]))
        if op in {"Index", "Predicate"}:
            ((axes, numbers),) = self._affine(str(args[0]))
            return Grid(axes, (numbers if op == "Index" else numbers >= 0).astype(np.float64))
        if op == "Constant":
            return Grid((), np.float64(args[0]))  # type: ignore[arg-type]
        if op == "NegativeInfinity":
            return Grid((), np.float64(-np.inf))  # type: ignore[arg-type]
        if op == "Undefined":
            return Grid((), np.float64(np.nan))  # type: ignore[arg-type]
        operands = [self.memo[child] for child in node.children if child.op not in _MONOID_NAMES]
        if op == "Tuple":
            return operands[0], operands[1]
        if op in {"First", "Second"}:
            (both,) = operands
            assert isinstance(both, tuple)
            return both[op == "Second"]
        if op == "Reduce":
            monoid, axis, _ = args
            assert isinstance(monoid, Term) and isinstance(axis, str)
            return self._reduce(monoid, axis, operands[0], node.shape)
        if op == "Opaque":
            raise NotExactError(f"{args[0]} is opaque")
        if op in _MONOID_NAMES:
            return Grid((), np.float64(np.nan))  # type: ignore[arg-type]
        if op == "Select":
            return self._select(*operands)
        return self._pointwise(op, str(args[0]) if op == "Function" else "", *operands)

    def _read(self, name: str, text: str) -> Grid:
        source = self.inputs[name]
        if not text:
            return Grid((), source.reshape(()))
        parts = self._affine(text)
        axes = tuple(sorted(set().union(*(a for a, _ in parts))))
        shape = [self.extents[a] for a in axes]
        positions = []
        for (own, numbers), extent in zip(parts, source.shape, strict=True):
            spread = np.broadcast_to(
                numbers.reshape([self.extents[a] if a in own else 1 for a in axes]), shape
            )
            # An input is a total function: what lies past its edge is some value of its kind,
            # and no law may depend on which.
            positions.append(np.clip(spread, 0, max(extent - 1, 0)))
        if source.size == 0:
            return Grid(axes, np.ones(shape))
        return Grid(axes, source[tuple(positions)])

    def _select(self, condition: Wire, then: Wire, otherwise: Wire) -> Wire:
        if isinstance(then, tuple) and isinstance(otherwise, tuple):
            return (
                self._select(condition, then[0], otherwise[0]),
                self._select(condition, then[1], otherwise[1]),
            )
        return self._pointwise("Select", "", condition, then, otherwise)

    def _pointwise(self, op: str, name: str, *operands: Wire) -> Wire:
        grids = [o for o in operands if isinstance(o, Grid)]
        if len(grids) != len(operands):
            raise TypeError(f"{op} of a tuple")
        axes, values = self._aligned(*grids)
        result = _function(name, *values) if op == "Function" else _OPERATORS[op](*values)
        shape = [self.extents[a] for a in axes]
        return Grid(axes, np.broadcast_to(result, shape).astype(np.float64))

    def _reduce(self, monoid: Term, axis: str, body: Wire, shape: Shape) -> Wire:
        points = _points(axis, self.context, self.sizes)
        leaves = self.context.leaves(axis)
        if not points:
            return _lift_value(unit(monoid, shape))
        if monoid.op in {"Sum", "Max"} and isinstance(body, Grid) and leaves == (axis,):
            # The fold as one call: NumPy's sum and maximum propagate as the definition does.
            if axis not in body.axes:
                body = Grid(
                    (axis, *body.axes),
                    np.broadcast_to(body.values, (len(points), *body.values.shape)),
                )
            k = body.axes.index(axis)
            total = body.values.sum(k) if monoid.op == "Sum" else body.values.max(k)
            return Grid(body.axes[:k] + body.axes[k + 1 :], total)
        values = [self._take(body, {leaf: p[leaf] for leaf in leaves}) for p in points]
        first, *rest = values
        return fold(lambda a, b: self._combine(monoid, a, b), rest, self._alone(monoid, first))

    def _alone(self, monoid: Term, value: Wire) -> Wire:
        if monoid.op == "Both" and isinstance(value, tuple):
            left, right = monoid.children
            return self._alone(left, value[0]), self._alone(right, value[1])
        if monoid.op in {"All", "Any"}:
            return self._combine(monoid, _lift_value(unit(monoid, None)), value)
        if monoid.op == "RescaledSum" and isinstance(value, tuple):
            weight = self._pointwise("Rescale", "", value[0], value[0])
            return value[0], self._scaled(weight, value[1])
        return value

    def _take(self, wire: Wire, at: Mapping[str, int]) -> Wire:
        if isinstance(wire, tuple):
            return self._take(wire[0], at), self._take(wire[1], at)
        where = tuple(at.get(axis, slice(None)) for axis in wire.axes)
        return Grid(tuple(a for a in wire.axes if a not in at), wire.values[where])

    def _combine(self, monoid: Term, a: Wire, b: Wire) -> Wire:
        if monoid.op in _MONOID_OPERATIONS:
            return self._pointwise(_MONOID_OPERATIONS[monoid.op], "", a, b)
        assert isinstance(a, tuple) and isinstance(b, tuple)
        if monoid.op == "Both":
            left, right = monoid.children
            return self._combine(left, a[0], b[0]), self._combine(right, a[1], b[1])
        top = self._pointwise("Maximum", "", a[0], b[0])
        kept = self._scaled(self._pointwise("Rescale", "", a[0], top), a[1])
        new = self._scaled(self._pointwise("Rescale", "", b[0], top), b[1])
        return top, self._plus(kept, new)

    def _scaled(self, factor: Wire, value: Wire) -> Wire:
        if isinstance(value, tuple):
            return self._scaled(factor, value[0]), self._scaled(factor, value[1])
        return self._pointwise("Mul", "", factor, value)

    def _plus(self, a: Wire, b: Wire) -> Wire:
        if isinstance(a, tuple) and isinstance(b, tuple):
            return self._plus(a[0], b[0]), self._plus(a[1], b[1])
        return self._pointwise("Add", "", a, b)


_MONOID_NAMES = frozenset({"Sum", "Product", "Max", "Min", "All", "Any", "Both", "RescaledSum"})


def _lift_value(value: Value) -> Wire:
    if isinstance(value, tuple):
        return _lift_value(value[0]), _lift_value(value[1])
    number = -math.inf if value is NINF else math.nan if isinstance(value, Special) else value
    return Grid((), np.asarray(float(number)))


def _function(name: str, a: Floats) -> Floats:
    return np.where(np.isneginf(a), np.nan, _FUNCTIONS[name](a))


def _mul(a: Floats, b: Floats) -> Floats:
    r = a * b
    return np.where((np.isneginf(a) | np.isneginf(b)) & (r > 0), np.nan, r)


def _rescale(s: Floats, m: Floats) -> Floats:
    r = np.where(np.isneginf(s), 0.0, np.where(np.isneginf(m), np.nan, np.exp(s - m)))
    return np.where(np.isnan(s) | np.isnan(m), np.nan, r)


def _truth(result: Any, *operands: Floats) -> Floats:
    undefined = fold(np.logical_or, (np.isnan(o) for o in operands))
    return np.where(undefined, np.nan, np.asarray(result, dtype=np.float64))


def _boolean(result: Any, *operands: Floats) -> Floats:
    undefined = fold(np.logical_or, (np.isneginf(o) for o in operands))
    return np.where(undefined, np.nan, _truth(result, *operands))


_OPERATORS: Mapping[str, Callable[..., Floats]] = {
    "Add": lambda a, b: a + b,
    "Mul": _mul,
    "Inverse": lambda a: np.where((a == 0) | np.isneginf(a), np.nan, 1 / a),
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Abs": lambda a: np.where(np.isneginf(a), np.nan, np.abs(a)),
    "Rescale": _rescale,
    "Less": lambda a, b: _truth(a < b, a, b),
    "Equal": lambda a, b: _truth(a == b, a, b),
    "Not": lambda a: _boolean(a == 0, a),
    "And": lambda a, b: _boolean((a != 0) & (b != 0), a, b),
    "Or": lambda a, b: _boolean((a != 0) | (b != 0), a, b),
    "Select": lambda c, a, b: np.where(
        np.isnan(c) | np.isneginf(c), np.nan, np.where(c != 0, a, b)
    ),
}
