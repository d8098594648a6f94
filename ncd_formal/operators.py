"""Operators: the functions of deep learning, each by its definition.

Two layers, and no operator stands outside them.

* :data:`POINTWISE` gives each function of values at one index its *wires*.  Arithmetic between
  indices and sizes folds to one polynomial, and a comparison of them to an affine predicate: so
  masks written with ``arange`` are predicates on axes, whichever way they were written.
* The functions of arrays below are written with the few primitives of :mod:`ncd_formal.arrays`.
  What they compute is what PyTorch documents, over the calculus' values: a real number, −∞ or
  undefined.  All raise InputError where shapes disagree, naming the sizes.

A number may be an ``int``, a ``Fraction``, a size or a ``float``, which stands for the rational
number that it is.

Source: Neural Circuit Diagrams (broadcasting, contractions, figures 19 to 28); Weaves, Wires, and
Morphisms (operators of Br).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Literal

from ncd_formal import arrays, wires
from ncd_formal.arrays import (
    Array,
    Number,
    concatenate,
    expand,
    iota,
    number,
    permute,
    pointwise,
    reduce,
    reindex,
    unsqueeze,
    view,
)
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, divide, product, quotient, remainder, size
from ncd_formal.strides import Shape, selection, show_shape
from ncd_formal.wires import ONE, ZERO, Term, constant, exp, inverse, mul, select, term

Extent = int | str | Polynomial
"""A size: a whole number, its text such as ``"4*d"``, or a polynomial."""

# Functions of values -------------------------------------------------------------------------


def _whole(t: Term) -> Polynomial | None:
    """The polynomial of a term that is an index, a size or a whole number."""
    if t.op == "Index":
        return size(str(t.args[0]))
    if t.op == "Constant":
        value = t.args[0]
        assert isinstance(value, Fraction)
        return size(value.numerator) if value.denominator == 1 else None
    return None


def _add(a: Term, b: Term) -> Term:
    p, q = _whole(a), _whole(b)
    return wires.add(a, b) if p is None or q is None else wires.index(p + q)


def _multiply(a: Term, b: Term) -> Term:
    p, q = _whole(a), _whole(b)
    return mul(a, b) if p is None or q is None else wires.index(p * q)


def _negative(a: Term) -> Term:
    p = _whole(a)
    return wires.negative(a) if p is None else wires.index(-p)


def _subtract(a: Term, b: Term) -> Term:
    return _add(a, _negative(b))


def _divide(a: Term, b: Term) -> Term:
    return _multiply(a, inverse(b))


def _square(a: Term) -> Term:
    return _multiply(a, a)


def _log(a: Term) -> Term:
    return term("Log", a)


def _sqrt(a: Term) -> Term:
    return term("Sqrt", a)


def _maximum(a: Term, b: Term) -> Term:
    return term("Maximum", a, b)


def _minimum(a: Term, b: Term) -> Term:
    return term("Minimum", a, b)


def _function(name: str) -> Callable[[Term], Term]:
    return partial(term, "Function", name)


def _rounded(name: str) -> Callable[[Term], Term]:
    """Floor or ceiling, which leave whole numbers as they are."""
    return lambda a: a if _whole(a) is not None else term("Function", name, a)


def _power(base: Term, exponent: Term) -> Term:
    """A product for whole exponents, √ for halves; otherwise exp(y · log x), for x ≥ 0 only."""
    if exponent.op != "Constant":
        return exp(_multiply(exponent, _log(base)))
    y = exponent.args[0]
    assert isinstance(y, Fraction)
    if y.denominator == 2:
        base, y = _sqrt(base), y * 2
    if y.denominator != 1:
        return exp(mul(exponent, _log(base)))
    result: Term | None = None
    for digit in f"{abs(y.numerator):b}":
        result = None if result is None else _square(result)
        if digit == "1":
            result = base if result is None else _multiply(result, base)
    if result is None:
        return ONE
    return result if y > 0 else inverse(result)


def _floor_divide(a: Term, b: Term) -> Term:
    p, q = _whole(a), _whole(b)
    if p is not None and q is not None and (q.constant or 0) > 0:
        return wires.index(quotient(p, q))
    return term("Function", "floor", _divide(a, b))


def _remainder(a: Term, b: Term) -> Term:
    """The remainder with the sign of the divisor: a − b·⌊a / b⌋."""
    p, q = _whole(a), _whole(b)
    if p is not None and q is not None and (q.constant or 0) > 0:
        return wires.index(remainder(p, q))
    return _subtract(a, _multiply(b, _floor_divide(a, b)))


def _less(a: Term, b: Term) -> Term:
    p, q = _whole(a), _whole(b)
    if p is not None and q is not None:
        return wires.predicate(q - p - 1)
    if a.op == b.op == "Constant":
        (x,), (y,) = a.args, b.args
        assert isinstance(x, Fraction) and isinstance(y, Fraction)
        return constant(int(x < y))
    return term("Less", a, b)


def _less_equal(a: Term, b: Term) -> Term:
    return _logical_not(_less(b, a))


def _equal(a: Term, b: Term) -> Term:
    p, q = _whole(a), _whole(b)
    if a.op == b.op == "Constant":
        return constant(int(a is b))
    if p is None or q is None:
        return term("Equal", a, b)
    difference = p - q
    if difference.constant is not None:
        return constant(int(difference.constant == 0))
    return term("And", wires.predicate(difference), wires.predicate(-difference))


def _logical_not(a: Term) -> Term:
    if a.op == "Predicate":
        return wires.predicate(-size(str(a.args[0])) - 1)
    if a.op == "Constant":
        return constant(int(a is ZERO))
    return term("Not", a)


def _logical_and(a: Term, b: Term) -> Term:
    return term("And", a, b)


def _logical_or(a: Term, b: Term) -> Term:
    return term("Or", a, b)


def _logical_xor(a: Term, b: Term) -> Term:
    return _logical_and(_logical_or(a, b), _logical_not(_logical_and(a, b)))


def _sigmoid(a: Term) -> Term:
    return inverse(_add(ONE, exp(_negative(a))))


def _softplus(a: Term) -> Term:
    return _log(_add(ONE, exp(a)))


def _half(a: Term, factor: Term) -> Term:
    """½ · a · (1 + factor), the common form of the two GELUs."""
    return mul(mul(constant(Fraction(1, 2)), a), _add(ONE, factor))


def _gelu(a: Term) -> Term:
    return _half(a, term("Function", "erf", _divide(a, _sqrt(constant(2)))))


_SQRT_2_OVER_PI = constant(Fraction(0.7978845608028654))
_GELU_CUBIC = constant(Fraction(0.044715))


def _gelu_tanh(a: Term) -> Term:
    """GELU as approximated with tanh; its constants are the float64 numbers of PyTorch."""
    cubic = _add(a, mul(_GELU_CUBIC, _power(a, constant(3))))
    return _half(a, term("Function", "tanh", mul(_SQRT_2_OVER_PI, cubic)))


def _positive_or(a: Term, otherwise: Term) -> Term:
    """``a`` where it is positive."""
    return select(_less(ZERO, a), a, otherwise)


POINTWISE: Mapping[str, Callable[..., Term]] = {
    "identity": lambda a: a,
    # arithmetic
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negative": _negative,
    "inverse": inverse,
    "square": _square,
    "sqrt": _sqrt,
    "rsqrt": lambda a: inverse(_sqrt(a)),
    "power": _power,
    "abs": lambda a: term("Abs", a),
    "sign": lambda a: _subtract(_less(ZERO, a), _less(a, ZERO)),
    "maximum": _maximum,
    "minimum": _minimum,
    "clamp": lambda a, low, high: _minimum(_maximum(a, low), high),
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    # exponentials and logarithms
    "exp": exp,
    "exp2": lambda a: exp(_multiply(a, _log(constant(2)))),
    "expm1": lambda a: _subtract(exp(a), ONE),
    "log": _log,
    "log2": lambda a: _divide(_log(a), _log(constant(2))),
    "log10": lambda a: _divide(_log(a), _log(constant(10))),
    "log1p": lambda a: _log(_add(ONE, a)),
    "rescale": lambda s, m: term("Rescale", s, m),
    # functions known by name and value
    **{name: _function(name) for name in sorted(wires.FUNCTIONS - {"floor", "ceil"})},
    # activations
    "relu": lambda a: _maximum(a, ZERO),
    "leaky_relu": lambda a, slope: _positive_or(a, _multiply(slope, a)),
    "elu": lambda a, alpha: _positive_or(a, _multiply(alpha, _subtract(exp(a), ONE))),
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda a: _negative(_softplus(_negative(a))),
    "silu": lambda a: _multiply(a, _sigmoid(a)),
    "softplus": _softplus,
    "mish": lambda a: _multiply(a, term("Function", "tanh", _softplus(a))),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    # truth values
    "less": _less,
    "less_equal": _less_equal,
    "greater": lambda a, b: _less(b, a),
    "greater_equal": lambda a, b: _less_equal(b, a),
    "equal": _equal,
    "not_equal": lambda a, b: _logical_not(_equal(a, b)),
    "logical_not": _logical_not,
    "logical_and": _logical_and,
    "logical_or": _logical_or,
    "logical_xor": _logical_xor,
    "where": select,
}
"""Pointwise function → the wires that define it.

The least facts a reader needs: a − b is a + (−1)·b and a / b is a·(1/b); a ≤ b is ¬(b < a), so a
comparison with an undefined value is undefined; ``power`` of a negative number by an exponent that
is no constant is undefined, and so is the sigmoid of −∞ (exp(−(−∞)) is not a value).
"""


# Sizes and reductions ------------------------------------------------------------------------


def _extent(value: Extent) -> Polynomial:
    return value if isinstance(value, Polynomial) else size(value)


def _dimensions(x: Array, dims: Iterable[int], origin: str) -> tuple[int, ...]:
    dims = tuple(dims)
    for dim in dims:
        if not -x.rank <= dim < x.rank:
            raise InputError(f"{origin}: no dimension {dim} in {show_shape(x.shape)}")
    return tuple(sorted({dim % x.rank for dim in dims}))


def _reduce_kept(monoid: str, x: Array, dims: Sequence[int], origin: str) -> Array:
    """A reduction whose dimensions stay, with size 1."""
    dims = _dimensions(x, dims, origin)
    result = reduce(monoid, x, dims, origin)
    for dim in dims:
        result = unsqueeze(result, dim, origin)
    return result


def _count(x: Array, dims: Iterable[int]) -> Polynomial:
    return product(x.shape[dim] for dim in dims)


def _trailing(dims: int) -> range:
    return range(-dims, 0)


def mean(x: Array, dims: Sequence[int], keep: bool = False, origin: str = "mean") -> Array:
    """Σ x / N over ``dims``; with ``keep`` they stay, with size 1.  Undefined where N is 0."""
    total = _reduce_kept("Sum", x, dims, origin) if keep else reduce("Sum", x, dims, origin)
    return pointwise("divide", total, number(_count(x, dims)), origin=origin)


def variance(
    x: Array,
    dims: Sequence[int],
    correction: int = 1,
    keep: bool = False,
    origin: str = "variance",
) -> Array:
    """Σ (x − mean)² / (N − correction) over ``dims``; undefined where the divisor is 0."""
    f = partial(pointwise, origin=origin)
    squares = f("square", f("subtract", x, mean(x, dims, keep=True, origin=origin)))
    total = (_reduce_kept if keep else reduce)("Sum", squares, dims, origin)
    return f("divide", total, number(_count(x, dims) - correction))


def standard_deviation(
    x: Array,
    dims: Sequence[int],
    correction: int = 1,
    keep: bool = False,
    origin: str = "standard_deviation",
) -> Array:
    """The square root of the :func:`variance`."""
    return pointwise("sqrt", variance(x, dims, correction, keep, origin), origin=origin)


def cumulative_sum(x: Array, dim: int, origin: str = "cumulative_sum") -> Array:
    """``out[…, t, …] = Σ_s [s ≤ t] · x[…, s, …]``: a sum limited by the predicate "not after t"."""
    return _cumulative("Sum", x, dim, 0, origin)


def cumulative_product(x: Array, dim: int, origin: str = "cumulative_product") -> Array:
    """``out[…, t, …] = Π_s where(s ≤ t, x[…, s, …], 1)``."""
    return _cumulative("Product", x, dim, 1, origin)


def _cumulative(monoid: str, x: Array, dim: int, unit: int, origin: str) -> Array:
    (dim,) = _dimensions(x, (dim,), origin)
    limit = causal_mask(x.shape[dim], x.shape[dim], origin=origin)
    for _ in range(x.rank - dim - 1):
        limit = unsqueeze(limit, -1, origin)
    seen = pointwise("where", limit, unsqueeze(x, dim, origin), number(unit), origin=origin)
    return reduce(monoid, seen, (dim + 1,), origin)


# Softmax and norms ---------------------------------------------------------------------------


def naive_softmax(x: Array, dim: int, origin: str = "naive_softmax") -> Array:
    """``exp x / Σ exp x`` along ``dim``; undefined where every score is −∞."""
    weights = pointwise("exp", x, origin=origin)
    total = _reduce_kept("Sum", weights, (dim,), origin)
    return pointwise("divide", weights, total, origin=origin)


def softmax(x: Array, dim: int, origin: str = "softmax") -> Array:
    """``exp(x − max x) / Σ exp(x − max x)`` along ``dim``; undefined where every score is −∞.

    Equal to :func:`naive_softmax`: a theorem, not a definition.
    """
    highest = _reduce_kept("Max", x, (dim,), origin)
    return naive_softmax(pointwise("subtract", x, highest, origin=origin), dim, origin)


def safe_softmax(x: Array, dim: int, origin: str = "safe_softmax") -> Array:
    """:func:`softmax`, with zeros where every score is −∞ (``torch._safe_softmax``)."""
    f = partial(pointwise, origin=origin)
    dead = _reduce_kept("All", f("equal", x, number("-inf")), (dim,), origin)
    return f("where", dead, number(0), softmax(x, dim, origin))


def logsumexp(
    x: Array, dims: Sequence[int], keep: bool = False, origin: str = "logsumexp"
) -> Array:
    """``log Σ exp x`` over ``dims``; −∞ where every score is −∞."""
    weights = pointwise("exp", x, origin=origin)
    total = (_reduce_kept if keep else reduce)("Sum", weights, dims, origin)
    return pointwise("log", total, origin=origin)


def log_softmax(x: Array, dim: int, origin: str = "log_softmax") -> Array:
    """``s − log Σ exp s`` along ``dim``, where s = x − max x."""
    f = partial(pointwise, origin=origin)
    shifted = f("subtract", x, _reduce_kept("Max", x, (dim,), origin))
    return f("subtract", shifted, logsumexp(shifted, (dim,), keep=True, origin=origin))


def normalize(
    x: Array, dim: int, order: Literal[1, 2] = 2, eps: Number | float = 0, origin: str = "normalize"
) -> Array:
    """``x / Σ|x|`` (order 1) or ``x / √(Σ x²)`` (order 2), the divisor at least ``eps``.

    Source: Spherical Attention, definition 2 (normalised contraction).
    """
    f = partial(pointwise, origin=origin)
    if order == 1:
        norm = _reduce_kept("Sum", f("abs", x), (dim,), origin)
    elif order == 2:
        norm = f("sqrt", _reduce_kept("Sum", f("square", x), (dim,), origin))
    else:
        raise InputError(f"{origin}: the order must be 1 or 2, not {order}")
    return f("divide", x, f("maximum", norm, number(eps)) if eps else norm)


def _scale_and_shift(x: Array, weight: Array | None, bias: Array | None, origin: str) -> Array:
    if weight is not None:
        x = pointwise("multiply", x, weight, origin=origin)
    return x if bias is None else pointwise("add", x, bias, origin=origin)


def _standardize(x: Array, dims: Sequence[int], eps: Number | float, origin: str) -> Array:
    """``(x − mean) / √(variance + eps)``, the variance without correction."""
    f = partial(pointwise, origin=origin)
    centred = f("subtract", x, mean(x, dims, keep=True, origin=origin))
    spread = f("add", variance(x, dims, 0, keep=True, origin=origin), number(eps))
    return f("multiply", centred, f("rsqrt", spread))


def layer_norm(
    x: Array,
    dims: int = 1,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: Number | float = 1e-5,
    origin: str = "layer_norm",
) -> Array:
    """``(x − mean) / √(variance + eps) · weight + bias`` over the ``dims`` trailing dimensions."""
    return _scale_and_shift(_standardize(x, _trailing(dims), eps, origin), weight, bias, origin)


def rms_norm(
    x: Array,
    dims: int = 1,
    weight: Array | None = None,
    *,
    eps: Number | float,
    origin: str = "rms_norm",
) -> Array:
    """``x / √(mean x² + eps) · weight`` over the ``dims`` trailing dimensions."""
    f = partial(pointwise, origin=origin)
    square = mean(f("square", x), _trailing(dims), keep=True, origin=origin)
    scaled = f("multiply", x, f("rsqrt", f("add", square, number(eps))))
    return _scale_and_shift(scaled, weight, None, origin)


def _per_channel(parameter: Array | None, rank: int, origin: str) -> Array | None:
    """A parameter of one value per channel, aligned with dimension 1."""
    for _ in range(rank - 2):
        parameter = None if parameter is None else unsqueeze(parameter, -1, origin)
    return parameter


def batch_norm(
    x: Array,
    running_mean: Array,
    running_variance: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: Number | float = 1e-5,
    origin: str = "batch_norm",
) -> Array:
    """``(x − mean) / √(variance + eps) · weight + bias`` per channel (dimension 1): inference."""
    f = partial(pointwise, origin=origin)

    def aligned(parameter: Array | None) -> Array | None:
        return _per_channel(parameter, x.rank, origin)

    centre, spread = aligned(running_mean), aligned(running_variance)
    assert centre is not None
    assert spread is not None
    scaled = f("multiply", f("subtract", x, centre), f("rsqrt", f("add", spread, number(eps))))
    return _scale_and_shift(scaled, aligned(weight), aligned(bias), origin)


def group_norm(
    x: Array,
    groups: Extent,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: Number | float = 1e-5,
    origin: str = "group_norm",
) -> Array:
    """Each of ``groups`` groups of channels (dimension 1) standardised with all its positions."""
    groups = _extent(groups)
    channels = _share(x, 1, groups, origin)
    parts = view(x, (x.shape[0], groups, channels, *x.shape[2:]), origin)
    scaled = view(_standardize(parts, range(2, parts.rank), eps, origin), x.shape, origin)
    weight, bias = (_per_channel(p, x.rank, origin) for p in (weight, bias))
    return _scale_and_shift(scaled, weight, bias, origin)


def _share(x: Array, dim: int, parts: Polynomial, origin: str) -> Polynomial:
    share = divide(x.shape[dim], parts)
    if share is None:
        raise InputError(
            f"{origin}: {parts} does not divide {x.shape[dim]} in {show_shape(x.shape)}"
        )
    return share


# Patterns and contractions -------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z_]\w*")
_GROUPS = re.compile(r"\s*(?:([A-Za-z_]\w*|1)|\(([^()]*)\))")


def contract(pattern: str, *operands: Array, origin: str = "") -> Array:
    """The sum of products over the axes that the result lacks, as in ``einops.einsum``.

    ``contract("b h n d, b h m d -> b h n m", q, k)``.  A name repeated within one operand reads
    its diagonal.

    Errors: InputError with the pattern and the shapes, for sizes that disagree or unknown names.
    """
    shapes = ", ".join(show_shape(o.shape) for o in operands)

    def wrong(why: str) -> InputError:
        return InputError(
            f"{origin + ': ' if origin else ''}contract {pattern!r} of {shapes}: {why}"
        )

    left, arrow, right = pattern.partition("->")
    names = [part.split() for part in left.split(",")]
    result = right.split()
    for name in (*chain.from_iterable(names), *result):
        if _NAME.fullmatch(name) is None:
            raise wrong(f"{name!r} is no axis name")
    if not arrow:
        raise wrong("'->' is missing")
    if len(names) != len(operands):
        raise wrong(f"{len(names)} operands are named and {len(operands)} are given")
    extents: dict[str, tuple[Polynomial, int]] = {}
    for k, (operand, axes) in enumerate(zip(operands, names, strict=True), start=1):
        if operand.rank != len(axes):
            raise wrong(f"operand {k} has {operand.rank} dimensions, not {len(axes)}")
        for axis, extent in zip(axes, operand.shape, strict=True):
            known, first = extents.setdefault(axis, (extent, k))
            if known is not extent:
                raise wrong(f"{axis} is {known} in operand {first} and {extent} in operand {k}")
    for axis in result:
        if axis not in extents:
            raise wrong(f"no operand has an axis {axis!r}")
    if len(set(result)) != len(result):
        raise wrong("the result repeats an axis")
    order = [*result, *(axis for axis in extents if axis not in result)]
    full = tuple(extents[axis][0] for axis in order)
    at = origin or f"contract {pattern!r}"
    factors = [
        _select_axes(operand, full, [order.index(axis) for axis in axes], at)
        for operand, axes in zip(operands, names, strict=True)
    ]
    total = factors[0]
    for factor in factors[1:]:
        total = pointwise("multiply", total, factor, origin=at)
    return reduce("Sum", total, range(len(result), len(order)), at)


def _select_axes(x: Array, shape: Shape, sources: Sequence[int], origin: str) -> Array:
    """``x`` over ``shape``: its axis ``j`` is axis ``sources[j]``, all others repeat it."""
    return reindex(x, selection(shape, x.shape, sources, [size(0)] * x.rank), origin)


def rearrange(x: Array, pattern: str, origin: str = "", **sizes: Extent) -> Array:
    """Split, permute and merge axes: ``rearrange(x, "b n (h d) -> b h n d", h=8)``.

    In each group at most one size may be left open.  ``1`` is an axis of size 1.

    Errors: InputError with the pattern, the shape and the sizes.
    """
    return _regroup(x, pattern, sizes, origin, repeating=False)


def repeat(x: Array, pattern: str, origin: str = "", **sizes: Extent) -> Array:
    """:func:`rearrange`, with new axes along which ``x`` is repeated: ``"h n d -> (h g) n d"``.

    Errors: InputError with the pattern, the shape and the sizes.
    """
    return _regroup(x, pattern, sizes, origin, repeating=True)


def _regroup(
    x: Array, pattern: str, sizes: Mapping[str, Extent], origin: str, repeating: bool
) -> Array:
    verb = "repeat" if repeating else "rearrange"

    def wrong(why: str) -> InputError:
        given = "".join(f", {name} = {extent}" for name, extent in sizes.items())
        at = origin + ": " if origin else ""
        return InputError(f"{at}{verb} {pattern!r} of {show_shape(x.shape)}{given}: {why}")

    def groups(side: str) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        position, side = 0, side.rstrip()
        while position < len(side):
            match = _GROUPS.match(side, position)
            if match is None:
                raise wrong(f"unexpected {side[position:].strip()!r}")
            name, inner = match.groups()
            found.append(tuple(n for n in (inner.split() if name is None else [name]) if n != "1"))
            position = match.end()
        for name in chain.from_iterable(found):
            if _NAME.fullmatch(name) is None:
                raise wrong(f"{name!r} is no axis name")
        return found

    before, arrow, after = pattern.partition("->")
    if not arrow:
        raise wrong("'->' is missing")
    left, right = groups(before), groups(after)
    sources, targets = list(chain.from_iterable(left)), list(chain.from_iterable(right))
    for side in (sources, targets):
        if len(set(side)) != len(side):
            raise wrong("an axis is repeated on one side")
    for name in sources:
        if name not in targets:
            raise wrong(f"{name} is missing on the right")
    for name in targets:
        if name not in sources and not (repeating and name in sizes):
            raise wrong(f"{name} is missing on the left")
    for name in sizes:
        if name not in targets:
            raise wrong(f"the pattern has no axis {name!r}")
    if len(left) != x.rank:
        raise wrong(f"{len(left)} axes are named, and there are {x.rank}")
    extents = {name: _extent(value) for name, value in sizes.items()}
    for group, extent in zip(left, x.shape, strict=True):
        known = product(extents[name] for name in group if name in extents)
        rest = [name for name in group if name not in extents]
        if len(rest) > 1:
            raise wrong(f"the sizes of {' and '.join(rest)} in {extent} are open")
        share = divide(extent, known)
        if share is None or (not rest and share is not size(1)):
            relation = "does not divide" if rest else "is not"
            raise wrong(f"{known} {relation} {extent}")
        extents.update((name, share) for name in rest)
    at = origin or f"{verb} {pattern!r}"
    parts = view(x, [extents[name] for name in sources], at)
    moved = _select_axes(
        parts, tuple(extents[name] for name in targets), [targets.index(s) for s in sources], at
    )
    return view(moved, [product(extents[name] for name in group) for group in right], at)


def matmul(a: Array, b: Array, origin: str = "matmul") -> Array:
    """The matrix product as ``torch.matmul``: vectors are promoted, leading dimensions broadcast.

    Errors: InputError where the contracted sizes disagree, naming both.
    """
    if not a.rank or not b.rank:
        raise InputError(f"{origin}: a number has no axis to contract")
    left = unsqueeze(a, 0, origin) if a.rank == 1 else a
    right = unsqueeze(b, 1, origin) if b.rank == 1 else b
    if left.shape[-1] is not right.shape[-2]:
        raise InputError(
            f"{origin}: {show_shape(a.shape)} and {show_shape(b.shape)} do not fit: "
            f"{left.shape[-1]} is not {right.shape[-2]}"
        )
    batch = f"{origin} of {show_shape(a.shape)} and {show_shape(b.shape)}"
    arrays.broadcast_shape((left.shape[:-2], right.shape[:-2]), batch)
    terms = pointwise(
        "multiply", unsqueeze(left, -1, origin), unsqueeze(right, -3, origin), origin=origin
    )
    result = reduce("Sum", terms, (-2,), origin)
    if b.rank == 1:
        result = arrays.choose(result, -1, 0, origin)
    return arrays.choose(result, -1 if b.rank == 1 else -2, 0, origin) if a.rank == 1 else result


def linear(x: Array, weight: Array, bias: Array | None = None, origin: str = "linear") -> Array:
    """``out[…, o] = Σ_i x[…, i] · weight[o, i] + bias[o]``."""
    if weight.rank != 2:
        raise InputError(f"{origin}: the weight {show_shape(weight.shape)} is no matrix")
    result = matmul(x, permute(weight, (1, 0), origin), origin)
    return result if bias is None else pointwise("add", result, bias, origin=origin)


def take(x: Array, ids: Array, dim: int, origin: str = "take") -> Array:
    """``out[…] = Σ_v where(ids[…] = v, x[…, v, …], 0)``: the choice of an index as a contraction.

    ``ids`` broadcasts against ``x`` with ``dim`` of size 1; the result lacks ``dim``.  An id out of
    range chooses 0.
    """
    (dim,) = _dimensions(x, (dim,), origin)
    choices = iota(x.shape[dim], origin)
    for _ in range(x.rank - dim - 1):
        choices = unsqueeze(choices, -1, origin)
    chosen = pointwise("equal", ids, choices, origin=origin)
    terms = pointwise("where", chosen, x, number(0), origin=origin)
    return reduce("Sum", terms, (dim - x.rank,), origin)


def embedding(weight: Array, ids: Array, origin: str = "embedding") -> Array:
    """``out[…, e] = weight[ids[…], e]``, as a contraction with a one-hot vector."""
    if weight.rank != 2:
        raise InputError(f"{origin}: the weight {show_shape(weight.shape)} is no matrix")
    return take(weight, unsqueeze(unsqueeze(ids, -1, origin), -1, origin), 0, origin)


# Attention -----------------------------------------------------------------------------------


def causal_mask(
    queries: Extent, keys: Extent, offset: Extent = 0, origin: str = "causal_mask"
) -> Array:
    """``out[i, j] = [i + offset ≥ j]``, of shape (queries, keys): ``torch.tril`` of ones."""
    f = partial(pointwise, origin=origin)
    rows = unsqueeze(iota(_extent(queries), origin), -1, origin)
    columns = iota(_extent(keys), origin)
    return f("greater_equal", f("add", rows, number(_extent(offset))), columns)


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    causal: bool = False,
    scale: Number | float | None = None,
    grouped: bool = False,
    origin: str = "attention",
) -> Array:
    """Scaled dot product attention, as ``torch.nn.functional`` documents it.

    ``softmax(q·kᵀ · scale + bias) · v`` with q (…, n, d), k (…, m, d), v (…, m, e).  ``scale`` is
    1/√d unless given.  A boolean mask keeps where it is true, any other mask is added; with a mask,
    rows without a key are zeros.  ``causal`` keeps j ≤ i, from the top left.  ``grouped`` repeats
    the heads (dimension −3) of k and v until there are as many as q has.

    Errors: InputError for shapes that disagree, and for a mask beside ``causal``.

    Source: Neural Circuit Diagrams, figure 20.
    """
    f = partial(pointwise, origin=origin)
    if mask is not None and causal:
        raise InputError(f"{origin}: give a mask or causal, not both")
    if min(q.rank, k.rank, v.rank) < 2:
        raise InputError(f"{origin}: queries, keys and values have at least 2 dimensions")
    if grouped:
        k, v = (_repeat_heads(x, q, origin) for x in (k, v))
    factor = f("rsqrt", number(q.shape[-1])) if scale is None else number(scale)
    transposed = permute(k, (*range(k.rank - 2), k.rank - 1, k.rank - 2), origin)
    scores = f("multiply", matmul(q, transposed, origin), factor)
    if causal:
        mask = causal_mask(q.shape[-2], k.shape[-2], origin=origin)
    if mask is not None:
        bias = mask
        if mask.kind == "boolean":
            bias = f("where", mask, number(0), number("-inf"))
        scores = f("add", scores, bias)
    normal = softmax if mask is None or causal else safe_softmax
    return matmul(normal(scores, -1, origin), v, origin)


def _repeat_heads(x: Array, like: Array, origin: str) -> Array:
    """Each head of ``x`` (dimension −3) repeated, until there are as many as ``like`` has."""
    if min(x.rank, like.rank) < 3:
        raise InputError(
            f"{origin}: grouped heads need 3 dimensions, {show_shape(x.shape)} has not"
        )
    copies = _share(like, -3, x.shape[-3], origin)
    lead, heads, (rows, width) = x.shape[:-3], x.shape[-3], x.shape[-2:]
    repeated = expand(unsqueeze(x, -3, origin), (*lead, heads, copies, rows, width), origin)
    return view(repeated, (*lead, heads * copies, rows, width), origin)


# Windows and convolution ---------------------------------------------------------------------


def pad(
    x: Array,
    dim: int,
    before: Extent = 0,
    after: Extent = 0,
    value: Number | float = 0,
    origin: str = "pad",
) -> Array:
    """``x`` with ``before`` and ``after`` copies of a value at the ends of ``dim``."""
    (dim,) = _dimensions(x, (dim,), origin)

    def margin(extent: Extent) -> tuple[Array, ...]:
        shape = (*x.shape[:dim], _extent(extent), *x.shape[dim + 1 :])
        return () if shape[dim] is size(0) else (expand(number(value, origin), shape, origin),)

    return concatenate((*margin(before), x, *margin(after)), dim, origin)


def windows(
    x: Array,
    dim: int,
    width: Extent,
    stride: Extent = 1,
    dilation: Extent = 1,
    origin: str = "windows",
) -> Array:
    """``out[…, i, …, k] = x[…, stride·i + dilation·k, …]`` for every window that fits.

    There are ``(n − dilation·(width − 1) − 1) // stride + 1`` of them, and ``k`` is the last
    dimension, as in ``torch.Tensor.unfold``.

    Source: Weaves, Wires, and Morphisms, convolution as an affine read.
    """
    (dim,) = _dimensions(x, (dim,), origin)
    width, stride, dilation = _extent(width), _extent(stride), _extent(dilation)
    count = quotient(x.shape[dim] - dilation * (width - 1) - 1, stride) + 1
    return arrays.window(x, dim, count, width, stride, dilation, origin)


def _positions(x: Array, weight: Array, origin: str) -> int:
    """How many dimensions a kernel moves along."""
    if x.rank < 3 or weight.rank != x.rank:
        raise InputError(
            f"{origin}: {show_shape(x.shape)} and weight {show_shape(weight.shape)} do not fit: "
            "both have two dimensions and one for each position"
        )
    return x.rank - 2


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Extent | Sequence[Extent] = 1,
    padding: Extent | Sequence[Extent] = 0,
    dilation: Extent | Sequence[Extent] = 1,
    groups: Extent = 1,
    origin: str = "convolution",
) -> Array:
    """Convolution (correlation) in any number of dimensions: windows, contracted with the weight.

    x (batch, channels, positions…), weight (outputs, channels / groups, widths…), bias (outputs).
    ``stride``, ``padding`` (with zeros, at both ends) and ``dilation`` are one size for all
    positions, or one for each.

    Errors: InputError for shapes that disagree.

    Source: Neural Circuit Diagrams, figures 23 to 25; Weaves, Wires, and Morphisms (no operator:
    an affine read and a contraction).
    """
    spatial = _positions(x, weight, origin)
    groups = _extent(groups)
    channels, outputs = _share(x, 1, groups, origin), _share(weight, 0, groups, origin)
    if weight.shape[1] is not channels:
        raise InputError(
            f"{origin}: {show_shape(x.shape)} in {groups} groups and the weight "
            f"{show_shape(weight.shape)} do not fit: {channels} is not {weight.shape[1]}"
        )
    settings = zip(
        weight.shape[2:],
        _each(stride, spatial, origin),
        _each(padding, spatial, origin),
        _each(dilation, spatial, origin),
        strict=True,
    )
    for dim, (width, step, margin, gap) in enumerate(settings, start=2):
        padded = pad(x, dim, margin, margin, origin=origin)
        x = windows(padded, dim, width, step, gap, origin)
    x = view(x, (x.shape[0], groups, channels, *x.shape[2:]), origin)
    weight = view(weight, (groups, outputs, *weight.shape[1:]), origin)
    positions = " ".join(f"p{k}" for k in range(spatial))
    widths = " ".join(f"w{k}" for k in range(spatial))
    result = contract(
        f"b g c {positions} {widths}, g o c {widths} -> b g o {positions}", x, weight, origin=origin
    )
    result = view(result, (result.shape[0], groups * outputs, *result.shape[3:]), origin)
    return _scale_and_shift(result, None, _per_channel(bias, result.rank, origin), origin)


def transposed_convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Extent | Sequence[Extent] = 1,
    padding: Extent | Sequence[Extent] = 0,
    output_padding: Extent | Sequence[Extent] = 0,
    dilation: Extent | Sequence[Extent] = 1,
    groups: Extent = 1,
    origin: str = "transposed_convolution",
) -> Array:
    """The transpose of :func:`convolution`: every value spreads along the kernel.

    ``out[b, o, t] = Σ_{c, i, k} [stride·i + dilation·k = t + padding] · x[b, c, i] · w[c, o, k]``
    with x (batch, channels, positions…) and weight (channels, outputs / groups, widths…).  There
    are ``stride·(n − 1) + dilation·(width − 1) + 1 − 2·padding + output_padding`` positions.

    Written by phases, as t + padding = stride·m + r: the taps at r, stride + r, … of the kernel
    meet the values at m, m − 1, ….  So it is windows and a contraction again, and one linear layer
    for each position where stride and width are equal.

    Errors: InputError for shapes that disagree, and for a stride, width and dilation that are
    symbolic unless the stride is 1 or divides the width.
    """
    spatial = _positions(x, weight, origin)
    groups = _extent(groups)
    channels, outputs = _share(x, 1, groups, origin), weight.shape[1]
    if weight.shape[0] is not x.shape[1]:
        raise InputError(
            f"{origin}: {show_shape(x.shape)} and the weight {show_shape(weight.shape)} do not "
            f"fit: {x.shape[1]} is not {weight.shape[0]}"
        )
    batch, counts = x.shape[0], x.shape[2:]
    settings = [
        tuple(map(_extent, each))
        for each in zip(
            *(_each(v, spatial, origin) for v in (stride, padding, output_padding, dilation)),
            strict=True,
        )
    ]
    one = size(1)
    spans = [
        gap * (w - 1) + 1 for w, (_, _, _, gap) in zip(weight.shape[2:], settings, strict=True)
    ]
    taps: list[Polynomial] = []
    for dim, (step, _, _, gap) in enumerate(settings, start=2):
        if step is not one:
            weight = _spread(weight, dim, gap, origin)
            gap = one
        phases = _rounded_up(weight.shape[dim], step, origin)
        weight = pad(weight, dim, 0, phases * step - weight.shape[dim], origin=origin)
        taps.append(phases)
        reach = gap * (phases - 1)
        x = windows(pad(x, dim, reach, reach, origin=origin), dim, phases, 1, gap, origin)
    steps = [step for step, _, _, _ in settings]
    phased = [extent for pair in zip(taps, steps, strict=True) for extent in pair]
    weight = view(weight, (groups, channels, outputs, *phased), origin)
    for k, phases in enumerate(taps):
        weight = arrays.affine(weight, 3 + 2 * k, phases, phases - 1, -1, origin)
    x = view(x, (batch, groups, channels, *x.shape[2:]), origin)
    m, q, r = ([f"{letter}{k}" for k in range(spatial)] for letter in "mqr")
    kernel = " ".join(f"{a} {b}" for a, b in zip(q, r, strict=True))
    fine = " ".join(f"{a} {b}" for a, b in zip(m, r, strict=True))
    pattern = f"b g c {' '.join(m)} {' '.join(q)}, g c o {kernel} -> b g o {fine}"
    full = contract(pattern, x, weight, origin=origin)
    lengths = [a * b for a, b in zip(full.shape[3::2], full.shape[4::2], strict=True)]
    full = view(full, (batch, groups * outputs, *lengths), origin)
    for dim, (step, margin, beyond, _) in enumerate(settings, start=2):
        length = step * (counts[dim - 2] - 1) + spans[dim - 2] + beyond - margin * 2
        missing = margin + length - full.shape[dim]
        if (missing.constant or 0) > 0:
            full = pad(full, dim, 0, missing, origin=origin)
        if margin.terms or length is not full.shape[dim]:
            full = arrays.affine(full, dim, length, margin, origin=origin)
    return _scale_and_shift(full, None, _per_channel(bias, full.rank, origin), origin)


def _spread(x: Array, dim: int, gap: Polynomial, origin: str) -> Array:
    """``x`` with ``gap`` − 1 zeros between neighbours along ``dim``."""
    if gap is size(1):
        return x
    extent = x.shape[dim]
    spaced = pad(unsqueeze(x, dim + 1, origin), dim + 1, 0, gap - 1, origin=origin)
    shape = (*x.shape[:dim], extent * gap, *x.shape[dim + 1 :])
    return arrays.affine(view(spaced, shape, origin), dim, gap * (extent - 1) + 1, origin=origin)


def _rounded_up(extent: Polynomial, step: Polynomial, origin: str) -> Polynomial:
    """The least number of steps that hold ``extent``."""
    share = divide(extent, step)
    if share is not None:
        return share
    if extent.constant is None or step.constant is None:
        raise InputError(f"{origin}: the stride {step} does not divide the width {extent}")
    return size(-(-extent.constant // step.constant))


def _each(value: Extent | Sequence[Extent], count: int, origin: str) -> tuple[Extent, ...]:
    if isinstance(value, (int, str, Polynomial)):
        return (value,) * count
    if len(value) != count:
        raise InputError(f"{origin}: {len(value)} values for {count} positions")
    return tuple(value)


# Training ------------------------------------------------------------------------------------


def dropout(x: Array, mask: Array, probability: Number | float, origin: str = "dropout") -> Array:
    """``x · mask / (1 − p)`` with the mask as an input: 1 where a value is kept.

    Dropout draws its mask; as a function of the mask it is deterministic.

    Errors: InputError unless 0 ≤ p ≤ 1.
    """
    p = Fraction(probability) if isinstance(probability, (int, float, Fraction)) else None
    if p is None or not 0 <= p <= 1:
        raise InputError(f"{origin}: the probability {probability} is not between 0 and 1")
    kept = pointwise("multiply", x, mask, origin=origin)
    return pointwise("multiply", kept, number(0 if p == 1 else 1 / (1 - p)), origin=origin)


def cross_entropy(
    scores: Array,
    targets: Array,
    reduction: Literal["mean", "sum", "none"] = "mean",
    origin: str = "cross_entropy",
) -> Array:
    """``−log softmax(scores)`` at the target class: scores (n, classes, …), targets (n, …).

    Scores of one dimension are one sample.  The classes are chosen by a one-hot contraction.
    """
    dim = min(1, scores.rank - 1)
    ids = unsqueeze(targets, dim, origin)
    f = partial(pointwise, origin=origin)
    losses = f("negative", take(log_softmax(scores, dim, origin), ids, dim, origin))
    if reduction == "none":
        return losses
    if reduction not in {"mean", "sum"}:
        raise InputError(f"{origin}: the reduction {reduction!r} is not mean, sum or none")
    every = range(losses.rank)
    if reduction == "mean":
        return mean(losses, every, origin=origin)
    return reduce("Sum", losses, every, origin)
