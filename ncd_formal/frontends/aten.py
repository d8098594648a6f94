"""The operators of ATen by their definitions: what each node of an exported graph is as an array.

:data:`ATEN` is the table, from the name of an operator (``"aten.softmax.int"``) to its handler.
A handler takes the :class:`Site` where the operator is applied and the operator's arguments by
their names in ATen's schema (``self`` and ``input`` are called ``x``), and returns an array, or one
for each result.  Tensors arrive as arrays, symbolic sizes as polynomials, symbolic numbers as
arrays of shape ().  An argument that a handler does not name must have its default; where it has
not, and where a handler raises :class:`UnsupportedError`, the operator stays opaque.

Handlers follow PyTorch's documentation at *every* size.  Where an operator has a meaning at some
sizes only (a slice that must not be clamped, an index that must exist), they say so with
:meth:`Site.require`.
"""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from typing import Any, TypeVar

import torch

from ncd_formal import arrays, operators
from ncd_formal.arrays import (
    Array,
    Concatenated,
    IotaArray,
    Kind,
    NumberArray,
    OpaqueArray,
    Pointwise,
    Regrouped,
    Reindexed,
    number,
    pointwise,
)
from ncd_formal.errors import InputError
from ncd_formal.frontends.ranges import range_of
from ncd_formal.frontends.symbolic import Conditions, near_rational
from ncd_formal.sizes import Polynomial, product, quotient, size
from ncd_formal.strides import Shape, StrideMap

Extent = int | Polynomial
Scalar = bool | int | float | Polynomial | Array
Result = Array | tuple[Array, ...]


class UnsupportedError(Exception):
    """A use of a known operator that is not expressed; the node stays opaque."""


class RandomError(Exception):
    """An operator that draws random numbers, so that it is no function of its inputs."""


def kind_of(dtype: torch.dtype) -> Kind:
    """The kind of values of a dtype.

    Errors: InputError for complex numbers, which are not values of the calculus.
    """
    if dtype is torch.bool:
        return "boolean"
    if dtype.is_complex:
        raise InputError(f"complex numbers ({dtype}) are not values of the calculus")
    return "real" if dtype.is_floating_point else "integer"


@dataclass(frozen=True)
class Site:
    """Where an operator is applied: its node's result and place in the program."""

    conditions: Conditions
    notes: dict[str, None]
    """What the import relies on beside sizes."""
    operator: str
    """``"aten.softmax.int"``."""
    line: str
    """``"file.py:12"``, or nothing where it is not known."""
    module: str
    """The module by its path, ``"layers.3.attention"``; nothing for the program itself."""
    result: Any
    """torch's description of the result: a fake tensor, or a tuple of them."""
    row_major: bool = False
    """Whether the first operand lies in memory row by row, from the start of its storage."""

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the operator's arguments, by their names in ATen's schema."""
        return {a.name: a.default_value for a in _schema(self.operator) if a.has_default_value()}

    @cached_property
    def name(self) -> str:
        """The operator in everyday words: ``softmax``."""
        return self.operator.split(".")[1].lstrip("_")

    @cached_property
    def origin(self) -> str:
        """``"file.py:12 softmax"``, and of which module: ``"file.py:12 softmax in layers.3"``."""
        module = f" in {self.module}" if self.module else ""
        return f"{self.line} {self.name}{module}".strip()

    @cached_property
    def shape(self) -> Shape:
        """The shape of the (first) result.

        Errors: UnknownSizeError where it is no tuple of polynomials.
        """
        result = self.result[0] if isinstance(self.result, tuple | list) else self.result
        return self.shape_of(result)

    def shape_of(self, tensor: Any) -> Shape:
        """The shape of a fake tensor."""
        return tuple(map(self.conditions.symbols.size, tensor.shape))

    @cached_property
    def kind(self) -> Kind:
        """The kind of the (first) result."""
        result = self.result[0] if isinstance(self.result, tuple | list) else self.result
        return kind_of(result.dtype)

    @property
    def place(self) -> str:
        """``" at file.py:12"``, or nothing."""
        return f" at {self.line}" if self.line else ""

    def require(self, p: Polynomial) -> None:
        """The operator has a meaning only where ``p >= 0``."""
        self.conditions.require(p)

    def note(self, text: str) -> None:
        """The import relies on ``text``, which holds of this place in the program."""
        self.notes[text + self.place] = None

    def apply(self, function: str, *operands: Scalar) -> Array:
        """A pointwise function of arrays and numbers."""
        return pointwise(function, *map(self.array, operands), origin=self.origin)

    def array(self, value: Scalar) -> Array:
        """A number as an array of its kind; see :meth:`rational` for floats."""
        if isinstance(value, Array):
            return value
        if isinstance(value, bool):
            return replace(number(int(value), self.origin), kind="boolean")
        if isinstance(value, int | Polynomial):
            return replace(number(value, self.origin), kind="integer")
        logarithm = logarithm_of(value)
        if logarithm is not None:
            sign, of = logarithm
            self.note(f"constants are exact: {value!r} is {'-' if sign < 0 else ''}log({of})")
            result = pointwise("log", number(of), origin=self.origin)
            return result if sign > 0 else pointwise("negative", result, origin=self.origin)
        root = root_of(value)
        if root is None:
            return number(self.rational(value), self.origin)
        sign, inverse, k = root
        self.note(f"constants are exact: {value!r} is {show_root(*root)}")
        result = pointwise("rsqrt" if inverse else "sqrt", number(k), origin=self.origin)
        return result if sign > 0 else pointwise("negative", result, origin=self.origin)

    def rational(self, value: float) -> Fraction | float:
        """A float as a number: that of small terms it is the float64 nearest to, else as it is.

        Reading 0.1 as 1/10 is a condition of the import.
        """
        near = near_rational(value)
        if near is None:
            return value
        self.note(f"constants are exact: {value!r} is {near}")
        return near

    def cast(self, x: Array, kind: Kind) -> Array:
        """The same values as another kind; boolean values are 0 and 1.

        Errors: UnsupportedError where values that may be others would become boolean.
        """
        if x.kind == kind:
            return x
        if kind == "boolean":
            raise UnsupportedError(f"{x.kind} values as boolean")
        return replace(pointwise("identity", x, origin=self.origin), kind=kind)

    def truth(self, x: Array) -> Array:
        """Whether each value is not 0, as a boolean array."""
        return x if x.kind == "boolean" else self.apply("not_equal", x, 0)


LARGEST_TERM = 1000
"""Floats are read as logarithms of fractions whose terms are no larger, and of whole numbers."""


def logarithm_of(value: float) -> tuple[int, Fraction] | None:
    """``(sign, k)`` where the float is ±log(k) rounded, for k of 2 or more or of small terms."""
    if not 0 < abs(value) < 14:
        return None
    for sign in (1, -1):
        near = Fraction(math.exp(sign * value)).limit_denominator(LARGEST_TERM)
        small = near < LARGEST_TERM or near.denominator == 1
        if near > (0 if sign > 0 else 1) and small and math.log(near) == sign * value:
            return sign, near
    return None


def root_of(value: float) -> tuple[int, bool, int] | None:
    """``(sign, inverse, k)`` where the float is ±√k or ±1/√k rounded, for k that is no square."""
    if not math.isfinite(value) or value == 0:
        return None
    size_, sign = abs(value), 1 if value > 0 else -1
    if not 1e-6 < size_ < 1e6:
        return None
    for inverse, square in ((False, size_ * size_), (True, 1 / (size_ * size_))):
        k = round(square) if 1 < square < 1e6 else 0
        if k and math.isqrt(k) ** 2 != k:
            exact = {1 / math.sqrt(k), k**-0.5} if inverse else {math.sqrt(k)}
            if size_ in exact:
                return sign, inverse, k
    return None


def show_root(sign: int, inverse: bool, k: int) -> str:
    """``-1/sqrt(3)``."""
    return f"{'-' if sign < 0 else ''}{'1/' if inverse else ''}sqrt({k})"


# The table -------------------------------------------------------------------------------------

Handler = Callable[..., Result]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Entry:
    """A handler, with the arguments that it takes."""

    handler: Handler
    takes: frozenset[str]
    opaque: bool = False
    """Whether the operator has no definition, but is known to see a part of its operands only."""


ATEN: dict[str, Entry] = {}
"""The name of an operator → how its result is made."""

# Arguments that do not change values over the reals, or that are read from the result.
_IMMATERIAL = frozenset(
    {
        "allow_tf32", "benchmark", "copy", "cudnn_enable", "cudnn_enabled", "deterministic",
        "device", "dtype", "half_to_float", "implicit", "layout", "memory_format", "non_blocking",
        "padding_idx", "path", "pin_memory", "requires_grad", "scale_grad_by_freq", "sparse",
    }
)  # fmt: skip
_RENAMED = {"self": "x", "input": "x"}


def overload_of(name: str) -> torch._ops.OpOverload:
    """``torch.ops.aten.softmax.int`` for ``"aten.softmax.int"``."""
    _, packet, overload = name.split(".")
    found: torch._ops.OpOverload = getattr(getattr(torch.ops.aten, packet), overload)
    return found


def _schema(name: str) -> Sequence[Any]:
    """The arguments of an operator in ATen's schema."""
    arguments: Sequence[Any] = overload_of(name)._schema.arguments
    return arguments


def aten(*names: str, opaque: bool = False) -> Callable[[H], H]:
    """Register a handler for operators: ``@aten("softmax.int", "_softmax.default")``."""

    def register(handler: H) -> H:
        parameters = list(inspect.signature(handler).parameters.values())[1:]
        for name in names:
            takes = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
            if any(p.kind is p.VAR_KEYWORD for p in parameters):
                takes |= {_RENAMED.get(a.name, a.name) for a in _schema(f"aten.{name}")}
            ATEN[f"aten.{name}"] = Entry(handler, frozenset(takes), opaque)
        return handler

    return register


def apply(site: Site, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> Result | None:
    """The result of the operator at a site; None where it is not known or not supported."""
    entry = ATEN.get(site.operator)
    if entry is None:
        return None
    given: dict[str, Any] = {}
    for name, value in arguments.items():
        renamed = _RENAMED.get(name, name)
        if renamed in entry.takes:
            given[renamed] = value
        elif name not in _IMMATERIAL and not (name in defaults and _same(value, defaults[name])):
            return None
    dtype, x = arguments.get("dtype"), given.get("x")
    if isinstance(dtype, torch.dtype) and "dtype" not in entry.takes:
        converted = kind_of(dtype) != "real"
        if converted and isinstance(x, Array) and x.kind == "real":
            return None
    try:
        return entry.handler(site, **given)
    except UnsupportedError:
        return None


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


# Pointwise functions ---------------------------------------------------------------------------


def _pointwise(function: str, *names: str) -> None:
    """Register operators that apply ``function`` to all their operands, in order."""

    @aten(*names)
    def handler(site: Site, **operands: Scalar) -> Array:
        return site.apply(function, *operands.values())


for _name in (
    "abs", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "relu",
    "sigmoid", "silu", "mish", "tanh", "erf", "sin", "cos", "tan", "sinh", "cosh", "atan", "floor",
    "ceil", "sign", "square",
):  # fmt: skip
    _pointwise(_name, f"{_name}.default")
_pointwise("negative", "neg.default")
_pointwise("inverse", "reciprocal.default")
_pointwise("log_sigmoid", "log_sigmoid.default")
_pointwise("divide", "div.Tensor", "div.Scalar")
_pointwise("maximum", "maximum.default")
_pointwise("minimum", "minimum.default")
_pointwise("floor_divide", "floor_divide.default", "floor_divide.Scalar")
_pointwise("remainder", "remainder.Tensor", "remainder.Scalar")
_pointwise("power", "pow.Tensor_Tensor", "pow.Tensor_Scalar", "pow.Scalar")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}

for _name, _function in zip(("eq", "ne", "lt", "le", "gt", "ge"), _COMPARISONS, strict=True):

    @aten(f"{_name}.Tensor", f"{_name}.Scalar")
    def _compare(site: Site, x: Array, other: Scalar, function: str = _function) -> Array:
        """A truth value that is compared with a number is itself, its opposite, or settled."""
        known, held = number_of(other), x
        while isinstance(held, Pointwise) and held.function == "identity":
            (held,) = held.operands
        if x.kind == "integer" and known is not None and known.denominator == 1:
            settled = _settled_by_range(site, x, function, int(known))
            if settled is not None:
                return arrays.expand(site.array(settled), site.shape, site.origin)
        if held.kind != "boolean" or known is None:
            return site.apply(function, x, other)
        compare = _COMPARISONS[function]
        where_false, where_true = compare(0, known), compare(1, known)
        if where_false is where_true:
            return arrays.expand(site.array(where_true), site.shape, site.origin)
        truth = site.apply("logical_not", held) if where_false else held
        return arrays.expand(truth, site.shape, site.origin)


def _settled_by_range(site: Site, x: Array, function: str, known: int) -> bool | None:
    """What a comparison with a number gives wherever ``x`` lies in its range, if that is known."""
    nonnegative = site.conditions.context.nonnegative
    low, high = range_of(site.conditions.context, x)
    if low is not None and nonnegative(low - known - 1):
        return _COMPARISONS[function](1, 0)
    if high is not None and nonnegative(known - 1 - high):
        return _COMPARISONS[function](0, 1)
    return None


def number_of(value: Scalar) -> Fraction | None:
    """A number that is the same everywhere, if it is one."""
    if isinstance(value, bool | int):
        return Fraction(value)
    if isinstance(value, float):
        return Fraction(value) if math.isfinite(value) else None
    held = value if isinstance(value, Array) else None
    while isinstance(held, Pointwise | Reindexed | Regrouped):
        if isinstance(held, Pointwise) and held.function != "identity":
            return None
        held = held.sources[0]
    number_ = held.value if isinstance(held, NumberArray) else None
    return Fraction(number_) if isinstance(number_, int | Fraction) else None


@aten("add.Tensor", "add.Scalar")
def _add(site: Site, x: Scalar, other: Scalar, alpha: Scalar = 1) -> Array:
    left, right = site.array(x), site.array(other)
    if left.kind == right.kind == "boolean":
        return site.apply("logical_or", left, right)
    return site.apply("add", left, _scaled(site, right, alpha))


@aten("sub.Tensor", "sub.Scalar")
def _sub(site: Site, x: Scalar, other: Scalar, alpha: Scalar = 1) -> Array:
    return site.apply("subtract", x, _scaled(site, site.array(other), alpha))


@aten("rsub.Tensor", "rsub.Scalar")
def _rsub(site: Site, x: Scalar, other: Scalar, alpha: Scalar = 1) -> Array:
    return site.apply("subtract", other, _scaled(site, site.array(x), alpha))


def _scaled(site: Site, x: Array, factor: Scalar) -> Array:
    return x if isinstance(factor, int) and factor == 1 else site.apply("multiply", x, factor)


@aten("mul.Tensor", "mul.Scalar")
def _mul(site: Site, x: Scalar, other: Scalar) -> Array:
    left, right = site.array(x), site.array(other)
    both = left.kind == right.kind == "boolean"
    return site.apply("logical_and" if both else "multiply", left, right)


@aten("div.Tensor_mode", "div.Scalar_mode")
def _div(site: Site, x: Scalar, other: Scalar, rounding_mode: str | None = None) -> Array:
    if rounding_mode is None:
        return site.apply("divide", x, other)
    if rounding_mode == "floor":
        return site.apply("floor_divide", x, other)
    return _truncated(site, site.apply("divide", x, other))


@aten("fmod.Tensor", "fmod.Scalar")
def _fmod(site: Site, x: Array, other: Scalar) -> Array:
    """The remainder with the sign of the dividend."""
    whole = _truncated(site, site.apply("divide", x, other))
    return site.apply("subtract", x, site.apply("multiply", whole, other))


@aten("isinf.default", "isneginf.default")
def _isinf(site: Site, x: Array) -> Array:
    return site.apply("equal", x, -math.inf)


@aten("trunc.default")
def _trunc(site: Site, x: Array) -> Array:
    return _truncated(site, x)


def _truncated(site: Site, x: Array) -> Array:
    negative = site.apply("less", x, 0)
    return site.apply("where", negative, site.apply("ceil", x), site.apply("floor", x))


@aten("gelu.default")
def _gelu(site: Site, x: Array, approximate: str = "none") -> Array:
    return site.apply("gelu" if approximate == "none" else "gelu_tanh", x)


@aten("elu.default")
def _elu(
    site: Site, x: Array, alpha: Scalar = 1, scale: Scalar = 1, input_scale: Scalar = 1
) -> Array:
    if not isinstance(input_scale, int | float) or input_scale != 1:
        raise UnsupportedError("a scale of the input")
    return _scaled(site, site.apply("elu", x, alpha), scale)


@aten("leaky_relu.default")
def _leaky_relu(site: Site, x: Array, negative_slope: Scalar = 0.01) -> Array:
    return site.apply("leaky_relu", x, negative_slope)


@aten("softplus.default")
def _softplus(site: Site, x: Array, beta: Scalar = 1, threshold: Scalar = 20) -> Array:
    """``log(1 + exp(βx))/β``, and x where βx is above the threshold."""
    scaled = _scaled(site, x, beta)
    soft = site.apply("softplus", scaled)
    if scaled is not x:
        soft = site.apply("divide", soft, beta)
    return site.apply("where", site.apply("greater", scaled, threshold), x, soft)


@aten("lerp.Scalar", "lerp.Tensor")
def _lerp(site: Site, x: Array, end: Array, weight: Scalar) -> Array:
    step = site.apply("multiply", weight, site.apply("subtract", end, x))
    return site.apply("add", x, step)


@aten("erfc.default", "special_erfc.default")
def _erfc(site: Site, x: Array) -> Array:
    return site.apply("subtract", 1, site.apply("erf", x))


@aten("xlogy.Tensor", "xlogy.Scalar_Other")
def _xlogy(site: Site, x: Array, other: Scalar) -> Array:
    """``x · log y``, and 0 where x is 0, whatever number y is."""
    other = site.array(other)
    # A comparison that fails where both sides are numbers, and is undefined where they are not.
    nothing = site.cast(site.apply("less", other, other), "real")
    found = site.apply("multiply", x, site.apply("log", other))
    return site.apply("where", site.apply("equal", x, 0), nothing, found)


@aten("clamp.default", "clamp.Tensor", "hardtanh.default", "relu6.default")
def _clamp(
    site: Site,
    x: Array,
    min: Scalar | None = None,
    max: Scalar | None = None,
    min_val: Scalar | None = None,
    max_val: Scalar | None = None,
) -> Array:
    low, high = (min, max) if min_val is None else (min_val, max_val)
    if site.name == "relu6":
        low, high = 0, 6
    if low is not None:
        x = site.apply("maximum", x, low)
    return x if high is None else site.apply("minimum", x, high)


@aten("clamp_min.default", "clamp_min.Tensor")
def _clamp_min(site: Site, x: Array, min: Scalar) -> Array:
    return site.apply("maximum", x, min)


@aten("clamp_max.default", "clamp_max.Tensor")
def _clamp_max(site: Site, x: Array, max: Scalar) -> Array:
    return site.apply("minimum", x, max)


@aten("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(site: Site, condition: Array, x: Scalar, other: Scalar) -> Array:
    known = number_of(condition)
    if known is not None:
        chosen = site.cast(site.array(x if known else other), site.kind)
        return arrays.expand(chosen, site.shape, site.origin)
    return site.apply("where", site.truth(condition), x, other)


@aten("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(site: Site, x: Array, mask: Array, value: Scalar) -> Array:
    return site.apply("where", mask, value, x)


@aten("logical_not.default", "bitwise_not.default")
def _not(site: Site, x: Array) -> Array:
    return site.apply("logical_not", _truth_operand(site, x))


def _truth_operand(site: Site, x: Scalar) -> Array:
    """An operand of a logical operator; the bitwise ones are known on truth values only."""
    x = site.array(x)
    if site.name.startswith("bitwise") and x.kind != "boolean":
        raise UnsupportedError("bits of a number")
    return site.truth(x)


for _name in ("and", "or", "xor"):

    @aten(
        f"logical_{_name}.default",
        f"bitwise_{_name}.Tensor",
        f"bitwise_{_name}.Scalar",
        f"__{_name}__.Tensor",
        f"__{_name}__.Scalar",
    )
    def _logical(site: Site, x: Scalar, other: Scalar, function: str = f"logical_{_name}") -> Array:
        return site.apply(function, _truth_operand(site, x), _truth_operand(site, other))


# The same values -------------------------------------------------------------------------------


@aten(
    "alias.default",
    "clone.default",
    "contiguous.default",
    "detach.default",
    "detach_.default",
    "lift_fresh_copy.default",
    "positive.default",
)
def _same_values(site: Site, x: Array) -> Array:
    return x


@aten("_to_copy.default", "to.dtype", "to.dtype_layout", "to.device")
def _convert(site: Site, x: Array, dtype: torch.dtype | None = None) -> Array:
    if site.kind == "boolean":
        return site.truth(x)
    if x.kind == "real" and site.kind == "integer":
        x = _truncated(site, x)
    return site.cast(x, site.kind)


@aten("type_as.default")
def _type_as(site: Site, x: Array, other: Array) -> Array:
    return _convert(site, x)


@aten("copy.default")
def _copy(site: Site, x: Array, src: Array) -> Array:
    return arrays.expand(_convert(site, src), x.shape, site.origin)


@aten("dropout.default", "native_dropout.default", "feature_dropout.default")
def _dropout(site: Site, x: Array, p: float, train: bool | None) -> Result:
    if train is not False and p:
        raise RandomError
    kept = arrays.expand(site.array(True), x.shape, site.origin)
    return (x, kept) if site.name == "native_dropout" else x


# Contractions ----------------------------------------------------------------------------------


@aten("mm.default", "bmm.default", "matmul.default", "mv.default", "dot.default")
def _matmul(
    site: Site,
    x: Array,
    other: Array | None = None,
    mat2: Array | None = None,
    vec: Array | None = None,
    tensor: Array | None = None,
) -> Array:
    (right,) = (y for y in (other, mat2, vec, tensor) if y is not None)
    return operators.matmul(x, right, site.origin)


@aten("addmm.default", "baddbmm.default", "addmv.default")
def _addmm(
    site: Site,
    x: Array,
    mat1: Array | None = None,
    mat2: Array | None = None,
    batch1: Array | None = None,
    batch2: Array | None = None,
    mat: Array | None = None,
    vec: Array | None = None,
    beta: Scalar = 1,
    alpha: Scalar = 1,
) -> Array:
    left, right = (y for y in (mat1, mat2, batch1, batch2, mat, vec) if y is not None)
    product_ = _scaled(site, operators.matmul(left, right, site.origin), alpha)
    if isinstance(beta, int | float) and beta == 0:
        return product_
    return site.apply("add", _scaled(site, x, beta), product_)


@aten("linear.default")
def _linear(site: Site, x: Array, weight: Array, bias: Array | None = None) -> Array:
    if weight.rank != 2:
        raise UnsupportedError("a weight that is no matrix")
    return operators.linear(x, weight, bias, site.origin)


@aten("einsum.default")
def _einsum(site: Site, equation: str, tensors: Sequence[Array]) -> Array:
    terms, arrow, result = equation.replace(" ", "").partition("->")
    inputs = terms.split(",")
    # An ellipsis stands for the dimensions that are not named, aligned from the right.
    rest = [t.rank - len(term.replace("...", "")) for term, t in zip(inputs, tensors, strict=True)]
    hidden = [f"_{k}" for k in range(max(rest), 0, -1)]

    def names(term: str, count: int) -> list[str]:
        before, dots, after = term.partition("...")
        return [*before, *(hidden[len(hidden) - count :] if dots else ()), *after]

    operands = [names(term, count) for term, count in zip(inputs, rest, strict=True)]
    every = [name for operand in operands for name in operand]
    if not arrow:
        once = sorted(n for n in set(every) if every.count(n) == 1 and n not in hidden)
        result = ("..." if "..." in terms else "") + "".join(once)
    extents: dict[str, Polynomial] = {}
    for operand, tensor in zip(operands, tensors, strict=True):
        for name, extent in zip(operand, tensor.shape, strict=True):
            if extents.get(name, size(1)) is size(1):
                extents[name] = extent
    stretched = [
        arrays.expand(tensor, [extents[name] for name in operand], site.origin)
        for operand, tensor in zip(operands, tensors, strict=True)
    ]
    pattern = ", ".join(map(" ".join, operands)) + " -> " + " ".join(names(result, len(hidden)))
    return operators.contract(pattern, *stretched, origin=site.origin)


# Views -----------------------------------------------------------------------------------------


def _polynomial(value: Extent) -> Polynomial:
    return size(value) if isinstance(value, int) else value


def _axis(x: Array, dim: int) -> int:
    return dim % x.rank if x.rank else 0


@aten("view.default", "_unsafe_view.default", "view_copy.default", "reshape.default")
@aten("flatten.using_ints", "unflatten.int", "view_as.default", "reshape_as.default")
def _view(site: Site, x: Array, **shape: object) -> Array:
    return arrays.view(x, site.shape, site.origin)


@aten("permute.default")
def _permute(site: Site, x: Array, dims: Sequence[int]) -> Array:
    return arrays.permute(x, dims, site.origin)


@aten("movedim.int", "moveaxis.int")
def _movedim(
    site: Site, x: Array, source: int | Sequence[int], destination: int | Sequence[int]
) -> Array:
    before = [source] if isinstance(source, int) else source
    after = [destination] if isinstance(destination, int) else destination
    moved = {d % x.rank: s % x.rank for s, d in zip(before, after, strict=True)}
    rest = iter(k for k in range(x.rank) if k not in moved.values())
    order = [moved[k] if k in moved else next(rest) for k in range(x.rank)]
    return arrays.permute(x, order, site.origin)


@aten("transpose.int")
def _transpose(site: Site, x: Array, dim0: int, dim1: int) -> Array:
    order = list(range(x.rank))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return arrays.permute(x, order, site.origin)


@aten("t.default", "numpy_T.default")
def _t(site: Site, x: Array) -> Array:
    return arrays.permute(x, range(x.rank)[::-1], site.origin)


@aten("mT.default", "adjoint.default")
def _mt(site: Site, x: Array) -> Array:
    return _transpose(site, x, -2, -1)


@aten("expand.default", "expand_as.default", "broadcast_to.default")
def _expand(site: Site, x: Array, **shape: object) -> Array:
    return arrays.expand(x, site.shape, site.origin)


@aten("repeat.default")
def _repeat(site: Site, x: Array, repeats: Sequence[Extent]) -> Array:
    for _ in range(len(repeats) - x.rank):
        x = arrays.unsqueeze(x, 0, site.origin)
    spread: Shape = ()
    for count, extent in zip(repeats, x.shape, strict=True):
        spread += (size(1) * count, extent)
    for k in range(x.rank):
        x = arrays.unsqueeze(x, 2 * k, site.origin)
    return arrays.view(arrays.expand(x, spread, site.origin), site.shape, site.origin)


@aten("repeat_interleave.self_int")
def _repeat_interleave(
    site: Site, x: Array, repeats: Extent, dim: int | None = None, output_size: Extent | None = None
) -> Array:
    """Every index of a dimension, of all the values without one, ``repeats`` times in a row."""
    if dim is None:
        x, dim = arrays.view(x, (product(x.shape),), site.origin), 0
    after = _axis(x, dim) + 1
    x = arrays.unsqueeze(x, after, site.origin)
    spread = (*x.shape[:after], size(1) * repeats, *x.shape[after + 1 :])
    return arrays.view(arrays.expand(x, spread, site.origin), site.shape, site.origin)


@aten("unsqueeze.default")
def _unsqueeze(site: Site, x: Array, dim: int) -> Array:
    return arrays.unsqueeze(x, dim, site.origin)


@aten("squeeze.default", "squeeze.dim", "squeeze.dims")
def _squeeze(site: Site, x: Array, dim: int | Sequence[int] | None = None) -> Array:
    dims = range(x.rank) if dim is None else [dim] if isinstance(dim, int) else dim
    for d in sorted({_axis(x, d) for d in dims}, reverse=True):
        if d < x.rank and x.shape[d] is size(1):
            x = arrays.choose(x, d, 0, site.origin)
        elif d < x.rank and x.shape[d].constant is None:
            site.require(x.shape[d] - 2)
    return x


_NO_END = 2**63 - 1


def _bound(value: Extent | None, extent: Polynomial, default: Polynomial) -> Polynomial:
    """An end of a slice, counted from the front; the largest int64 is no end at all."""
    if value is None:
        return default
    if isinstance(value, int) and value >= _NO_END:
        return extent
    value = size(value) if isinstance(value, int) else value
    return extent + value if (value.constant or 0) < 0 else value


@aten("slice.Tensor")
def _slice(
    site: Site,
    x: Array,
    dim: int = 0,
    start: Extent | None = None,
    end: Extent | None = None,
    step: Extent = 1,
) -> Array:
    dim = _axis(x, dim)
    offset, extent = _span(site, x.shape[dim], start, end, step, site.shape[dim])
    return arrays.affine(x, dim, extent, offset, step, site.origin)


def _span(
    site: Site,
    extent: Polynomial,
    start: Extent | None,
    end: Extent | None,
    step: Extent,
    traced: Polynomial,
) -> tuple[Polynomial, Polynomial]:
    """The first index of a slice and the number of its indices.

    PyTorch clamps both ends.  Whether an end lies within the dimension or beyond it is decided by
    the context; where it is not, the case of the trace, in which the slice has ``traced`` indices,
    is required.
    """

    def count(first: Polynomial, last: Polynomial) -> Polynomial:
        return quotient(last - first + step - 1, size(1) * step)

    known, none = site.conditions.context.nonnegative, size(0)
    first, last = _bound(start, extent, none), _bound(end, extent, extent)
    # Each case: the end, and what must be non-negative for it.
    firsts = [(first, (first, extent - first)), (none, (-first,)), (extent, (first - extent,))]
    lasts = [(last, (extent - last,)), (extent, (last - extent,))]
    cases = [(f, e, (*p, *q, e - f)) for f, p in firsts for e, q in lasts]
    cases += [(f, f, (*p, f - e)) for f, p in firsts for e, _ in lasts]
    shown = [(f, e) for f, e, needs in cases if all(map(known, needs))]
    if shown:
        return shown[0][0], count(*shown[0])
    for f, e, needs in cases:
        if count(f, e) is traced:
            for need in needs:
                site.require(need)
            return f, traced
    raise InputError(f"{site.origin}: it is not known where the slice of {extent} ends")


@aten("narrow.default")
def _narrow(site: Site, x: Array, dim: int, start: Extent, length: Extent) -> Array:
    first = _bound(start, x.shape[_axis(x, dim)], size(0))
    return _slice(site, x, dim, first, first + length)


@aten("select.int")
def _select(site: Site, x: Array, dim: int, index: Extent) -> Array:
    extent = x.shape[_axis(x, dim)]
    position = _bound(index, extent, size(0))
    site.require(position)
    site.require(extent - 1 - position)
    return arrays.choose(x, dim, position, site.origin)


@aten("unbind.int")
def _unbind(site: Site, x: Array, dim: int = 0) -> tuple[Array, ...]:
    extent = x.shape[_axis(x, dim)]
    if extent.constant != len(site.result):
        raise InputError(f"{site.origin}: the program fixes size {extent} to {len(site.result)}")
    return tuple(arrays.choose(x, dim, k, site.origin) for k in range(extent.constant))


@aten("split.Tensor")
def _split(site: Site, x: Array, split_size: Extent, dim: int = 0) -> tuple[Array, ...]:
    extent, parts = x.shape[_axis(x, dim)], len(site.result)
    last = extent - size(1) * split_size * (parts - 1)
    site.require(last - 1)
    site.require(size(1) * split_size - last)
    return _pieces(site, x, [size(1) * split_size] * (parts - 1) + [last], dim)


@aten("chunk.default")
def _chunk(site: Site, x: Array, chunks: int, dim: int = 0) -> tuple[Array, ...]:
    dim = _axis(x, dim)
    # Their number is as traced while none of them is empty.
    extents = [site.shape_of(part)[dim] for part in site.result]
    for extent in extents:
        site.require(extent - 1)
    return _split_with_sizes(site, x, extents, dim=dim)


@aten("split_with_sizes.default", "split.sizes")
def _split_with_sizes(
    site: Site,
    x: Array,
    split_sizes: Sequence[Extent] | None = None,
    split_size: Sequence[Extent] | None = None,
    dim: int = 0,
) -> tuple[Array, ...]:
    extents = [size(1) * s for s in split_sizes or split_size or ()]
    total, extent = sum(extents, size(0)), x.shape[_axis(x, dim)]
    if total is not extent:
        raise InputError(f"{site.origin}: the parts have {total} of {extent} in all")
    return _pieces(site, x, extents, dim)


def _pieces(site: Site, x: Array, extents: Iterable[Polynomial], dim: int) -> tuple[Array, ...]:
    offset, result = size(0), []
    for extent in extents:
        site.require(extent)
        result.append(arrays.affine(x, dim, extent, offset, origin=site.origin))
        offset = offset + extent
    return tuple(result)


@aten("cat.default")
def _cat(site: Site, tensors: Sequence[Array], dim: int = 0) -> Array:
    # PyTorch skips empty vectors, of whatever rank the others are; no other empty part matters.
    parts = [t for t in tensors if t.shape != (size(0),)] or list(tensors)
    parts = [t for t in parts if t.shape[_axis(t, dim)] is not size(0)] or parts[:1]
    return arrays.concatenate([site.cast(p, site.kind) for p in parts], dim, site.origin)


@aten("stack.default")
def _stack(site: Site, tensors: Sequence[Array], dim: int = 0) -> Array:
    dim %= tensors[0].rank + 1
    return _cat(site, [arrays.unsqueeze(t, dim, site.origin) for t in tensors], dim)


@aten("flip.default")
def _flip(site: Site, x: Array, dims: Sequence[int]) -> Array:
    for dim in dims:
        extent = x.shape[_axis(x, dim)]
        x = arrays.affine(x, dim, extent, extent - 1, -1, site.origin)
    return x


@aten("roll.default")
def _roll(site: Site, x: Array, shifts: Sequence[Extent], dims: Sequence[int] = ()) -> Array:
    if not dims:
        flat = arrays.view(x, (product(x.shape),), site.origin)
        return arrays.view(_rolled(site, flat, shifts[0], 0), x.shape, site.origin)
    for shift, dim in zip(shifts, dims, strict=True):
        x = _rolled(site, x, shift, dim)
    return x


def _rolled(site: Site, x: Array, shift: Extent, dim: int) -> Array:
    """``out[i] = x[(i − shift) mod n]``, for a shift of at most n either way if n is symbolic."""
    extent, shift = x.shape[_axis(x, dim)], size(1) * shift
    if extent.constant == 0:
        return x
    if extent.constant is not None and shift.constant is not None:
        shift = size(shift.constant % extent.constant)
    if (shift.constant or 0) < 0:
        shift = extent + shift
    site.require(shift)
    site.require(extent - shift)
    front = arrays.affine(x, dim, shift, extent - shift, origin=site.origin)
    back = arrays.affine(x, dim, extent - shift, origin=site.origin)
    return arrays.concatenate((front, back), dim, site.origin)


@aten("diagonal.default")
def _diagonal(site: Site, x: Array, offset: Extent = 0, dim1: int = 0, dim2: int = 1) -> Array:
    offset, extent = size(1) * offset, site.shape[-1]
    below = (offset.constant or 0) < 0
    rows, columns = (-offset, size(0)) if below else (size(0), offset)
    for dim, first in ((dim1, rows), (dim2, columns)):
        site.require(x.shape[_axis(x, dim)] - first - extent)
        x = arrays.affine(x, dim, extent, first, origin=site.origin)
    return arrays.diagonal(x, dim1, dim2, site.origin)


@aten("unfold.default")
def _unfold(site: Site, x: Array, dimension: int, size: Extent, step: Extent) -> Array:
    return _windows(site, x, dimension, size, step)


def _windows(
    site: Site, x: Array, dim: int, width: Extent, stride: Extent = 1, dilation: Extent = 1
) -> Array:
    """Windows, of which there must be at least one."""
    site.require(x.shape[_axis(x, dim)] - size(1) * dilation * (size(1) * width - 1) - 1)
    return operators.windows(x, dim, width, stride, dilation, site.origin)


@aten("as_strided.default")
def _as_strided(
    site: Site,
    x: Array,
    size: Sequence[Extent],
    stride: Sequence[Extent],
    storage_offset: Extent | None = None,
) -> Array:
    if not site.row_major:
        raise UnsupportedError("an operand that does not lie in memory row by row")
    flat = arrays.view(x, (product(x.shape),), site.origin)
    steps = tuple(_polynomial(s) for s in stride)
    into = StrideMap(site.shape, flat.shape, (steps,), (_polynomial(storage_offset or 0),))
    if not into.in_range(site.conditions.context):
        raise UnsupportedError("reads that may lie outside of the operand")
    return arrays.reindex(flat, into, site.origin)


@aten("slice_scatter.default")
def _slice_scatter(
    site: Site,
    x: Array,
    src: Array,
    dim: int = 0,
    start: Extent | None = None,
    end: Extent | None = None,
    step: Extent = 1,
) -> Array:
    if step != 1:
        raise UnsupportedError("a step")
    dim = _axis(x, dim)
    first, extent = _span(site, x.shape[dim], start, end, 1, src.shape[dim])
    after = x.shape[dim] - first - extent
    parts = [
        arrays.affine(x, dim, first, origin=site.origin),
        site.cast(src, site.kind),
        arrays.affine(x, dim, after, first + extent, origin=site.origin),
    ]
    kept = [p for p in parts if p.shape[dim] is not size(0)] or parts[:1]
    return arrays.concatenate(kept, dim, site.origin)


@aten("select_scatter.default")
def _select_scatter(site: Site, x: Array, src: Array, dim: int, index: Extent) -> Array:
    position = _bound(index, x.shape[_axis(x, dim)], size(0))
    site.require(x.shape[_axis(x, dim)] - 1 - position)
    src = arrays.unsqueeze(src, _axis(x, dim), site.origin)
    return _slice_scatter(site, x, src, dim, position, position + 1)


# Indices ---------------------------------------------------------------------------------------


def affine_form(x: Array) -> tuple[Polynomial, tuple[Polynomial, ...]] | None:
    """``offset + Σ stride_k · i_k`` where the values of ``x`` are that at every index ``i``."""
    if isinstance(x, IotaArray):
        return size(0), (size(1),)
    if isinstance(x, NumberArray):
        whole = x.value if isinstance(x.value, int | Polynomial) else None
        return None if whole is None else (size(1) * whole, ())
    if isinstance(x, Reindexed):
        form = affine_form(x.source)
        if form is None:
            return None
        offset = sum((s * o for s, o in zip(form[1], x.map.offsets, strict=True)), form[0])
        steps = zip(form[1], x.map.strides, strict=True)
        weighted = [[s * stride for stride in row] for s, row in steps]
        return offset, tuple(sum((r[k] for r in weighted), size(0)) for k in range(x.rank))
    if isinstance(x, Regrouped):
        form = affine_form(x.source)
        long = [s for s in x.source.shape if s is not size(1)]
        if form is None or long != [s for s in x.shape if s is not size(1)]:
            return None
        strides = iter(f for f, s in zip(form[1], x.source.shape, strict=True) if s is not size(1))
        return form[0], tuple(size(0) if s is size(1) else next(strides) for s in x.shape)
    if not isinstance(x, Pointwise):
        return None
    forms = [affine_form(o) for o in x.operands]
    (o, a), *others = (f for f in forms if f is not None) if all(forms) else ((size(0), ()),)
    if not all(forms):
        return None
    if x.function in {"identity", "negative"}:
        sign = -1 if x.function == "negative" else 1
        return o * sign, tuple(s * sign for s in a)
    if x.function in {"add", "subtract"}:
        ((p, b),) = others
        sign = -1 if x.function == "subtract" else 1
        return o + p * sign, tuple(s + t * sign for s, t in zip(a, b, strict=True))
    if x.function == "multiply":
        ((p, b),) = others
        if any(s.terms for s in a):
            (o, a), (p, b) = (p, b), (o, a)
        if not any(s.terms for s in a):
            return o * p, tuple(o * t for t in b)
    return None


@aten("index.Tensor")
def _index(site: Site, x: Array, indices: Sequence[Array | None]) -> Array:
    where = [k for k, ids in enumerate(indices) if ids is not None]
    given = [ids for ids in indices if ids is not None]
    if any(ids.kind == "boolean" for ids in given):
        raise UnsupportedError("a choice by truth values")
    block = arrays.broadcast_shape([ids.shape for ids in given], site.origin)
    given = [_from_front(site, each, x.shape[k]) for k, each in zip(where, given, strict=True)]
    first, *others = given
    if not others and isinstance(first, Regrouped) and first.source.rank == 1:
        flat = _index(site, x, [None] * where[0] + [first.source])
        before, after = flat.shape[: where[0]], flat.shape[where[0] + 1 :]
        return arrays.view(flat, (*before, *first.shape, *after), site.origin)
    if not others and isinstance(first, Concatenated) and all(map(affine_form, first.parts)):
        # A few rows, one after the other.
        pieces = [_index(site, x, [None] * where[0] + [part]) for part in first.parts]
        return arrays.concatenate(pieces, where[0] + first.dimension, site.origin)
    ids = [arrays.expand(each, block, site.origin) for each in given]
    rest = [k for k in range(x.rank) if k not in where]
    # The block of indices stands where the first index stood, or in front if they are apart.
    together = where == list(range(where[0], where[-1] + 1))
    at = where[0] if together else 0
    forms = [affine_form(each) for each in ids]
    if all(forms):
        columns = [*range(len(block), len(block) + len(rest))]
        columns = [c if c - len(block) >= at else c - len(block) for c in columns]
        shape = [x.shape[k] for k in rest]
        shape[at:at] = block
        strides: list[tuple[Polynomial, ...]] = []
        offsets: list[Polynomial] = []
        for k in range(x.rank):
            row = [size(0)] * len(shape)
            if k in rest:
                row[columns[rest.index(k)]] = size(1)
                offsets.append(size(0))
            else:
                form = forms[where.index(k)]
                assert form is not None
                offsets.append(form[0])
                row[at : at + len(block)] = form[1]
            strides.append(tuple(row))
        into = StrideMap(tuple(shape), x.shape, tuple(strides), tuple(offsets))
        if not into.in_range(site.conditions.context):
            _note_range(site, *((x.shape[k], each) for k, each in zip(where, ids, strict=True)))
        return arrays.reindex(x, into, site.origin)
    _note_range(site, *((x.shape[k], each) for k, each in zip(where, ids, strict=True)))
    # Those that are affine are read where they are; the others are chosen by, one by one.
    chosen = [k for k, form in zip(where, forms, strict=True) if form is None]
    sources = [*chosen, *rest]
    domain = (*block, *(x.shape[k] for k in sources))
    rows, starts = list[tuple[Polynomial, ...]](), list[Polynomial]()
    for k in range(x.rank):
        own = [size(int(k == source)) for source in sources]
        start, steps = size(0), (size(0),) * len(block)
        if k not in sources:
            form = forms[where.index(k)]
            assert form is not None
            start, steps = form
        rows.append((*steps, *own))
        starts.append(start)
    result = arrays.reindex(x, StrideMap(domain, x.shape, tuple(rows), tuple(starts)), site.origin)
    for k in chosen:
        position = ids[where.index(k)]
        while position.rank < result.rank:
            position = arrays.unsqueeze(position, -1, site.origin)
        result = _take(site, result, position, len(block))
    order = list(range(len(block), result.rank))
    order[at:at] = range(len(block))
    return arrays.permute(result, order, site.origin)


def _take(site: Site, x: Array, ids: Array, dim: int) -> Array:
    result = operators.take(x, ids, dim, site.origin)
    return site.apply("not_equal", result, 0) if x.kind == "boolean" else result


def _from_front(site: Site, ids: Array, extent: Polynomial) -> Array:
    """Indices counted from the front, where it is known that they may be negative."""
    context = site.conditions.context
    low, high = range_of(context, ids)
    if low is None or high is None or context.nonnegative(low):
        return ids
    if isinstance(ids, Regrouped):
        return arrays.view(_from_front(site, ids.source, extent), ids.shape, site.origin)
    if isinstance(ids, Concatenated):
        parts = [_from_front(site, part, extent) for part in ids.parts]
        return arrays.concatenate(parts, ids.dimension, site.origin)
    later = site.apply("add", ids, extent)
    if context.nonnegative(-1 - high):
        return later
    return site.apply("where", site.apply("less", ids, 0), later, ids)


def _note_range(site: Site, *indices: tuple[Polynomial, Array]) -> None:
    """Indices lie in the dimensions that they choose from: a condition unless that is known."""
    nonnegative = site.conditions.context.nonnegative
    for extent, ids in indices:
        low, high = range_of(site.conditions.context, ids)
        inside = low is not None and high is not None and nonnegative(extent - 1 - high)
        if low is None or not (inside and nonnegative(low)):
            site.note(f"indices of {site.name} lie in [0, {extent})")


@aten("index_select.default")
def _index_select(site: Site, x: Array, dim: int, index: Array) -> Array:
    return _index(site, x, [None] * _axis(x, dim) + [index])


@aten("embedding.default")
def _embedding(site: Site, weight: Array, indices: Array) -> Array:
    if affine_form(indices) is not None:
        return _index(site, weight, [indices])
    _note_range(site, (weight.shape[0], indices))
    return operators.embedding(weight, indices, site.origin)


@aten("gather.default")
def _gather(site: Site, x: Array, dim: int, index: Array) -> Array:
    dim = _axis(x, dim)
    _note_range(site, (x.shape[dim], index))
    for k, extent in enumerate(index.shape):
        if k != dim and extent is not x.shape[k]:
            site.require(x.shape[k] - extent)
            x = arrays.affine(x, k, extent, origin=site.origin)
    form = affine_form(index)
    if form is None:
        return values_at(site, x, dim, index)
    own = [tuple(size(int(k == j)) for j in range(x.rank)) for k in range(x.rank)]
    own[dim], starts = form[1], [form[0] if k == dim else size(0) for k in range(x.rank)]
    into = StrideMap(index.shape, x.shape, tuple(own), tuple(starts))
    return arrays.reindex(x, into, site.origin)


def values_at(site: Site, x: Array, dim: int, index: Array) -> Array:
    """``out[…, i, …] = x[…, index[…, i, …], …]``."""
    order = [*(k for k in range(x.rank) if k != dim), dim]
    rows = arrays.unsqueeze(arrays.permute(x, order, site.origin), dim, site.origin)
    return _take(site, rows, arrays.unsqueeze(index, -1, site.origin), -1)


def _meets(site: Site, x: Array, dim: int, index: Array) -> Array:
    """``out[…, j, …, k] = [index[…, k, …] = j]``, j in place of ``dim`` and k last.

    An index of rank 1 is the same everywhere.
    """
    places = arrays.iota(x.shape[dim], site.origin)
    if index.rank == x.rank:
        order = [*(k for k in range(x.rank) if k != dim), dim]
        index = arrays.permute(index, order, site.origin)
        index = arrays.unsqueeze(index, dim, site.origin)
    for _ in range(x.rank - dim):
        places = arrays.unsqueeze(places, -1, site.origin)
    return site.apply("equal", index, places)


def _spread_along(site: Site, source: Array, dim: int) -> Array:
    """``source`` with ``dim`` moved to the end, and a dimension of size 1 in its place."""
    order = [*(k for k in range(source.rank) if k != dim), dim]
    return arrays.unsqueeze(arrays.permute(source, order, site.origin), dim, site.origin)


def _placed(
    site: Site, x: Array, dim: int, index: Array, source: Array, mode: str = "replace"
) -> Array:
    """``x`` with the values of ``source`` at the indices along ``dim``.

    With ``mode`` "add" or "max" they are added or compared to what is there, and an index may
    occur more than once.  Which of several values replaces is not defined: without a mode the index
    is one, or affine, or the source is the same for all of them.

    Errors: UnsupportedError where an index that may occur twice replaces, and where the index
    does not span the other dimensions.
    """
    dim = _axis(x, dim)
    if index.rank == x.rank:
        for k, (extent, found) in enumerate(zip(x.shape, index.shape, strict=True)):
            if k != dim and extent is not found:
                raise UnsupportedError("an index of a part")
        if source.rank:
            for k, extent in enumerate(index.shape):
                if extent is not source.shape[k]:
                    site.require(source.shape[k] - extent)
                    source = arrays.affine(source, k, extent, origin=site.origin)
    form = affine_form(index) if index.rank == 1 and mode == "replace" else None
    if form is not None and form[1] == (size(1),):
        first, extent = form[0], index.shape[0]
        site.require(first)
        site.require(x.shape[dim] - first - extent)
        shape = (*x.shape[:dim], extent, *x.shape[dim + 1 :])
        return _slice_scatter(
            site, x, arrays.expand(source, shape, site.origin), dim, first, first + extent
        )
    alone = index.shape[dim if index.rank == x.rank else 0] is size(1)
    once = alone or (index.rank == x.rank and _are_distinct(index, dim))
    if mode == "replace" and source.rank and not once:
        raise UnsupportedError("an index that may occur twice")
    _note_range(site, (x.shape[dim], index))
    chosen = _whole_rank(site, _meets(site, x, dim, index), x.rank + 1)
    source = _spread_along(site, source, dim) if source.rank else source
    taken = arrays.reduce("Any", chosen, (-1,), site.origin)
    if mode == "replace" and (alone or not source.rank):
        value = arrays.choose(source, -1, 0, site.origin) if source.rank else source
        return site.apply("where", taken, value, x)
    nothing = replace(site.array(-math.inf if mode == "max" else 0), kind=source.kind)
    spread = site.apply("where", chosen, source, nothing)
    is_truth = spread.kind == "boolean"
    monoid, function = ("Max", "maximum") if mode == "max" else ("Sum", "add")
    spread = _whole_rank(site, spread, x.rank + 1)
    total = arrays.reduce("Any" if is_truth else monoid, spread, (-1,), site.origin)
    # Into zeros, what is added replaces where no index occurs twice.
    if mode != "replace" or (number_of(x) == 0 and not is_truth):
        return site.apply(function, x, total)
    return site.apply("where", taken, total, x)


def _are_distinct(index: Array, dim: int) -> bool:
    """Whether no index occurs twice along ``dim``: they are positions of a choice or an order."""
    while isinstance(index, Reindexed | Pointwise):
        if isinstance(index, Pointwise):
            if index.function != "identity":
                return False
            (index,) = index.operands
            continue
        into = index.map
        origins = [into.source_of(j) for j in range(len(into.codomain))]
        if dim not in origins or len(into.domain) != len(into.codomain):
            return False
        index, dim = index.source, origins.index(dim)
    chosen = isinstance(index, OpaqueArray) and re.fullmatch(
        r"aten\.(topk|sort)\..*#1", index.operator
    )
    return bool(chosen) and dim == index.rank - 1


def _whole_rank(site: Site, x: Array, rank: int) -> Array:
    while x.rank < rank:
        x = arrays.unsqueeze(x, 0, site.origin)
    return x


@aten("scatter.src", "scatter.value")
def _scatter(
    site: Site,
    x: Array,
    dim: int,
    index: Array,
    src: Array | None = None,
    value: Scalar | None = None,
) -> Array:
    source = site.array(value) if value is not None else src
    assert source is not None
    return _placed(site, x, dim, index, site.cast(source, site.kind))


@aten("scatter_add.default")
def _scatter_add(site: Site, x: Array, dim: int, index: Array, src: Array) -> Array:
    return _placed(site, x, dim, index, src, "add")


@aten("scatter_reduce.two")
def _scatter_reduce(site: Site, x: Array, dim: int, index: Array, src: Array, reduce: str) -> Array:
    modes = {"sum": "add", "amax": "max"}
    if reduce not in modes:
        raise UnsupportedError("a reduction other than sum and amax")
    return _placed(site, x, dim, index, src, modes[reduce])


@aten("index_add.default")
def _index_add(
    site: Site, x: Array, dim: int, index: Array, source: Array, alpha: Scalar = 1
) -> Array:
    index = index if index.rank else arrays.unsqueeze(index, 0, site.origin)
    return _placed(site, x, dim, index, _scaled(site, source, alpha), "add")


@aten("index_copy.default")
def _index_copy(site: Site, x: Array, dim: int, index: Array, source: Array) -> Array:
    index = index if index.rank else arrays.unsqueeze(index, 0, site.origin)
    return _placed(site, x, dim, index, source)


@aten("index_fill.int_Scalar", "index_fill.int_Tensor")
def _index_fill(site: Site, x: Array, dim: int, index: Array, value: Scalar) -> Array:
    index = index if index.rank else arrays.unsqueeze(index, 0, site.origin)
    return _placed(site, x, dim, index, site.cast(site.array(value), site.kind))


@aten("index_put.default")
def _index_put(
    site: Site,
    x: Array,
    indices: Sequence[Array | None],
    values: Array,
    accumulate: bool = False,
) -> Array:
    given = [(dim, index) for dim, index in enumerate(indices) if index is not None]
    if len(given) != 1:
        raise UnsupportedError("several indices")
    ((dim, index),) = given
    values = site.cast(values, site.kind)
    if index.kind == "boolean":
        if values.rank or dim:
            raise UnsupportedError("values in the order of truth values")
        for _ in range(x.rank - index.rank):
            index = arrays.unsqueeze(index, -1, site.origin)
        placed = site.apply("add", x, values) if accumulate else values
        return site.apply("where", index, placed, x)
    if index.rank != 1:
        raise UnsupportedError("an index of several dimensions")
    index = _from_front(site, index, x.shape[dim])
    if values.rank:
        shape = (*x.shape[:dim], index.shape[0], *x.shape[dim + 1 :])
        values = arrays.expand(values, shape, site.origin)
    return _placed(site, x, dim, index, values, "add" if accumulate else "replace")


@aten("tril.default")
def _tril(site: Site, x: Array, diagonal: Extent = 0) -> Array:
    kept = operators.causal_mask(x.shape[-2], x.shape[-1], diagonal, site.origin)
    return site.apply("where", kept, x, _zero(site, x))


@aten("triu.default")
def _triu(site: Site, x: Array, diagonal: Extent = 0) -> Array:
    below = operators.causal_mask(x.shape[-2], x.shape[-1], size(1) * diagonal - 1, site.origin)
    return site.apply("where", below, _zero(site, x), x)


def _zero(site: Site, x: Array) -> Array:
    return replace(site.array(0), kind=x.kind)


# Reductions ------------------------------------------------------------------------------------

Dims = int | Sequence[int] | None


def _dims(x: Array, dim: Dims) -> list[int]:
    """The dimensions that are reduced; none given means all."""
    if isinstance(dim, int):
        dim = [dim]
    return sorted({_axis(x, d) for d in dim or range(x.rank)} if x.rank else ())


def _fold(site: Site, monoid: str, x: Array, dim: Dims, keepdim: bool) -> Array:
    dims = _dims(x, dim)
    return _kept(site, arrays.reduce(monoid, x, dims, site.origin), dims, keepdim)


def _kept(site: Site, x: Array, dims: Sequence[int], keepdim: bool) -> Array:
    for dim in dims if keepdim else ():
        x = arrays.unsqueeze(x, dim, site.origin)
    return x


@aten("sum.default", "sum.dim_IntList")
def _sum(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return _fold(site, "Sum", x, dim, keepdim)


@aten("prod.default", "prod.dim_int")
def _prod(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return _fold(site, "Product", x, dim, keepdim)


@aten("mean.default", "mean.dim")
def _mean(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return operators.mean(x, _dims(x, dim), keepdim, site.origin)


@aten("amax.default", "max.default")
def _amax(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return _fold(site, "Max", x, dim, keepdim)


@aten("amin.default", "min.default")
def _amin(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return _fold(site, "Min", x, dim, keepdim)


@aten("max.dim", "min.dim")
def _max_dim(site: Site, x: Array, dim: int, keepdim: bool = False) -> tuple[Array, ...]:
    values = _fold(site, "Max" if site.name == "max" else "Min", x, dim, keepdim)
    positions = opaque_along(site, x, dim, f"{site.operator}#1", "integer")
    return values, _kept(site, positions, _dims(x, dim), keepdim)


def opaque_along(
    site: Site, x: Array, dim: int, name: str, kind: Kind, extent: Polynomial | None = None
) -> Array:
    """An operator that is not known, and sees nothing but ``dim``.

    Its result has ``extent`` values there, or lacks the dimension.
    """
    if not x.rank:
        return arrays.opaque(name, (x,), (0,), (), kind, site.origin)
    dim = _axis(x, dim)
    others = [k for k in range(x.rank) if k != dim]
    shape = [x.shape[k] for k in others] + ([] if extent is None else [extent])
    moved = arrays.permute(x, [*others, dim], site.origin)
    result = arrays.opaque(name, (moved,), (1,), shape, kind, site.origin)
    if extent is None:
        return result
    order = [*range(dim), x.rank - 1, *range(dim, x.rank - 1)]
    return arrays.permute(result, order, site.origin)


def opaque_positions(site: Site, x: Array, name: str, count: int, shape: Shape) -> Array:
    """Where in the last ``count`` dimensions the chosen values are.

    Which of equal values is chosen is PyTorch's affair.
    """
    return arrays.opaque(f"{name}#1", (x,), (count,), shape, "integer", site.origin)


@aten("any.default", "any.dim", "any.dims")
def _any(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return _fold(site, "Any", site.truth(x), dim, keepdim)


@aten("all.default", "all.dim", "all.dims")
def _all(site: Site, x: Array, dim: Dims = None, keepdim: bool = False) -> Array:
    return _fold(site, "All", site.truth(x), dim, keepdim)


@aten("var.correction")
def _var(
    site: Site, x: Array, dim: Dims = None, correction: Scalar | None = None, keepdim: bool = False
) -> Array:
    return operators.variance(x, _dims(x, dim), _correction(correction), keepdim, site.origin)


@aten("var.dim")
def _var_unbiased(
    site: Site, x: Array, dim: Dims, unbiased: bool = True, keepdim: bool = False
) -> Array:
    return _var(site, x, dim, int(unbiased), keepdim)


@aten("var.default")
def _var_of_all(site: Site, x: Array, unbiased: bool = True) -> Array:
    return _var(site, x, None, int(unbiased))


@aten("std.dim")
def _std_unbiased(
    site: Site, x: Array, dim: Dims, unbiased: bool = True, keepdim: bool = False
) -> Array:
    return site.apply("sqrt", _var_unbiased(site, x, dim, unbiased, keepdim))


@aten("std.default")
def _std_of_all(site: Site, x: Array, unbiased: bool = True) -> Array:
    return site.apply("sqrt", _var_of_all(site, x, unbiased))


@aten("std.correction")
def _std(
    site: Site, x: Array, dim: Dims = None, correction: Scalar | None = None, keepdim: bool = False
) -> Array:
    return site.apply("sqrt", _var(site, x, dim, correction, keepdim))


@aten("var_mean.correction")
def _var_mean(
    site: Site, x: Array, dim: Dims = None, correction: Scalar | None = None, keepdim: bool = False
) -> tuple[Array, ...]:
    return _var(site, x, dim, correction, keepdim), _mean(site, x, dim, keepdim)


def _correction(value: Scalar | None) -> int:
    if value is None:
        return 1
    if not isinstance(value, int | float) or value != int(value):
        raise UnsupportedError("a correction that is no whole number")
    return int(value)


@aten("logsumexp.default")
def _logsumexp(site: Site, x: Array, dim: Dims, keepdim: bool = False) -> Array:
    return operators.logsumexp(x, _dims(x, dim), keepdim, site.origin)


@aten("cumsum.default")
def _cumsum(site: Site, x: Array, dim: int) -> Array:
    return operators.cumulative_sum(x, dim, site.origin) if x.rank else x


@aten("logaddexp.default")
def _logaddexp(site: Site, x: Array, other: Array) -> Array:
    total = site.apply("add", site.apply("exp", x), site.apply("exp", other))
    return site.apply("log", total)


@aten("cumprod.default")
def _cumprod(site: Site, x: Array, dim: int) -> Array:
    return operators.cumulative_product(x, dim, site.origin) if x.rank else x


@aten("logcumsumexp.default")
def _logcumsumexp(site: Site, x: Array, dim: int) -> Array:
    return site.apply("log", _cumsum(site, site.apply("exp", x), dim))


@aten("linalg_vector_norm.default")
def _vector_norm(
    site: Site, x: Array, ord: Scalar = 2, dim: Dims = None, keepdim: bool = False
) -> Array:
    if not isinstance(ord, int | float):
        raise UnsupportedError("a symbolic order")
    sizes = site.apply("abs", x)
    if ord == math.inf:
        return _fold(site, "Max", sizes, dim, keepdim)
    if ord == -math.inf:
        return _fold(site, "Min", sizes, dim, keepdim)
    if ord == 0:
        return _fold(site, "Sum", site.cast(site.truth(x), "real"), dim, keepdim)
    if ord == 1:
        return _fold(site, "Sum", sizes, dim, keepdim)
    if ord == 2:
        return site.apply("sqrt", _fold(site, "Sum", site.apply("square", x), dim, keepdim))
    total = _fold(site, "Sum", site.apply("power", sizes, ord), dim, keepdim)
    return site.apply("power", total, site.apply("inverse", ord))


@aten("cdist.default", "_cdist_forward.default")
def _cdist(
    site: Site, x1: Array, x2: Array, p: float = 2, compute_mode: int | None = None
) -> Array:
    """The norm of every difference of two rows; how it is computed is a matter of rounding."""
    rows = arrays.unsqueeze(x1, -2, site.origin)
    columns = arrays.unsqueeze(x2, -3, site.origin)
    return _vector_norm(site, site.apply("subtract", rows, columns), p, [-1])


# Softmax and norms -----------------------------------------------------------------------------


@aten("softmax.int", "_softmax.default")
def _softmax(site: Site, x: Array, dim: int) -> Array:
    return operators.softmax(x, dim, site.origin)


@aten("log_softmax.int", "_log_softmax.default")
def _log_softmax(site: Site, x: Array, dim: int) -> Array:
    return operators.log_softmax(x, dim, site.origin)


@aten("_safe_softmax.default")
def _safe_softmax(site: Site, x: Array, dim: int) -> Array:
    return operators.safe_softmax(x, dim, site.origin)


@aten("layer_norm.default")
def _layer_norm(
    site: Site,
    x: Array,
    normalized_shape: Sequence[Extent],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    dims, eps_ = len(normalized_shape), site.rational(eps)
    return operators.layer_norm(x, dims, weight, bias, eps_, site.origin)


@aten("native_layer_norm.default")
def _native_layer_norm(
    site: Site,
    x: Array,
    normalized_shape: Sequence[Extent],
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> tuple[Array, ...]:
    dims = range(-len(normalized_shape), 0)
    result = _layer_norm(site, x, normalized_shape, weight, bias, eps)
    spread = operators.variance(x, dims, 0, True, site.origin)
    inverse = site.apply("rsqrt", site.apply("add", spread, number(site.rational(eps))))
    return result, operators.mean(x, dims, True, site.origin), inverse


@aten("rms_norm.default", "_fused_rms_norm.default")
def _rms_norm(
    site: Site,
    x: Array,
    normalized_shape: Sequence[Extent],
    weight: Array | None = None,
    eps: float | None = None,
) -> Result:
    if eps is None:
        eps = torch.finfo(_first(site.result).dtype).eps
        site.note(f"the eps of rms_norm is {eps!r}, as for {_first(site.result).dtype}")
    dims = len(normalized_shape)
    result = operators.rms_norm(x, dims, weight, eps=site.rational(eps), origin=site.origin)
    if site.name == "rms_norm":
        return result
    square = operators.mean(site.apply("square", x), range(-dims, 0), True, site.origin)
    return result, site.apply("rsqrt", site.apply("add", square, number(site.rational(eps))))


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple | list) else result


@aten("group_norm.default")
def _group_norm(
    site: Site,
    x: Array,
    num_groups: Extent,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    return operators.group_norm(x, num_groups, weight, bias, site.rational(eps), site.origin)


@aten("native_group_norm.default")
def _native_group_norm(
    site: Site,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    N: Extent,
    C: Extent,
    HxW: Extent,
    group: Extent,
    eps: float,
) -> tuple[Array, ...]:
    result = _group_norm(site, x, group, weight, bias, eps)
    shape = (size(1) * N, size(1) * group, quotient(size(1) * C * HxW, size(1) * group))
    parts = arrays.view(x, shape, site.origin)
    spread = operators.variance(parts, (2,), 0, origin=site.origin)
    inverse = site.apply("rsqrt", site.apply("add", spread, number(site.rational(eps))))
    return result, operators.mean(parts, (2,), origin=site.origin), inverse


@aten("batch_norm.default")
def _batch_norm(
    site: Site,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Array:
    if running_mean is not None and running_var is not None and not training:
        return operators.batch_norm(
            x, running_mean, running_var, weight, bias, site.rational(eps), site.origin
        )
    dims = [k for k in range(x.rank) if k != 1]
    flat = partial(arrays.view, shape=(x.shape[1],), origin=site.origin)
    mean = flat(operators.mean(x, dims, origin=site.origin))
    spread = flat(operators.variance(x, dims, 0, origin=site.origin))
    return operators.batch_norm(x, mean, spread, weight, bias, site.rational(eps), site.origin)


@aten("_native_batch_norm_legit_no_training.default")
def _native_batch_norm(
    site: Site,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array,
    running_var: Array,
    momentum: float,
    eps: float,
) -> tuple[Array, ...]:
    result = _batch_norm(site, x, weight, bias, running_mean, running_var, False, momentum, eps)
    empty = arrays.expand(number(0), (size(0),), site.origin)
    return result, empty, empty


@aten("_native_batch_norm_legit.no_stats")
def _native_batch_norm_no_stats(
    site: Site,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Array, ...]:
    result = _batch_norm(site, x, weight, bias, None, None, training, momentum, eps)
    dims = [k for k in range(x.rank) if k != 1]
    spread = operators.variance(x, dims, 0, origin=site.origin)
    inverse = site.apply("rsqrt", site.apply("add", spread, number(site.rational(eps))))
    return result, operators.mean(x, dims, origin=site.origin), inverse


# Attention -------------------------------------------------------------------------------------


@aten("scaled_dot_product_attention.default")
def _attention(
    site: Site,
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | Polynomial | Array | None = None,
    enable_gqa: bool = False,
) -> Array:
    if dropout_p:
        raise RandomError
    factor = None
    if isinstance(scale, float):
        root = root_of(scale)
        if root is not None and root[:2] == (1, True) and query.shape[-1] is size(root[2]):
            site.note(f"constants are exact: {scale!r} is {show_root(*root)}")
            scale = None
    if scale is not None:
        query, factor = site.apply("multiply", query, scale), 1
    return operators.attention(
        query, key, value, attn_mask, is_causal, factor, enable_gqa, site.origin
    )


# Numbers ---------------------------------------------------------------------------------------


def filled(site: Site, value: Scalar) -> Array:
    """The result's shape, every value the same."""
    filling = site.array(value)
    if site.kind == "boolean":
        filling = site.truth(filling)
    elif site.kind == "integer" and filling.kind == "real":
        filling = _truncated(site, filling)
    return arrays.expand(site.cast(filling, site.kind), site.shape, site.origin)


# Values of an operand do not matter to these, so that its conversion to a dtype does not either.
@aten("full.default", "full_like.default", "new_full.default")
def _full(
    site: Site,
    fill_value: Scalar,
    x: Array | None = None,
    size: object = None,
    dtype: object = None,
) -> Array:
    return filled(site, fill_value)


@aten("fill.Scalar", "fill.Tensor")
def _fill(site: Site, x: Array, value: Scalar) -> Array:
    return filled(site, value)


@aten("zeros.default", "zeros_like.default", "new_zeros.default")
def _zeros(site: Site, x: Array | None = None, size: object = None, dtype: object = None) -> Array:
    return filled(site, 0)


@aten("ones.default", "ones_like.default", "new_ones.default")
def _ones(site: Site, x: Array | None = None, size: object = None, dtype: object = None) -> Array:
    return filled(site, 1)


@aten("scalar_tensor.default")
def _scalar_tensor(site: Site, s: Scalar) -> Array:
    return filled(site, s)


@aten("_local_scalar_dense.default", "item.default")
def _item(site: Site, x: Array) -> Array:
    return arrays.view(x, (), site.origin)


@aten("arange.default", "arange.start", "arange.start_step")
def _arange(site: Site, end: Scalar, start: Scalar = 0, step: Scalar = 1) -> Array:
    if site.kind == "integer" and not all(
        isinstance(v, int | Polynomial) for v in (start, end, step)
    ):
        raise UnsupportedError("fractions as whole numbers")
    (extent,) = site.shape
    values = arrays.iota(extent, site.origin)
    if step != 1:
        values = site.apply("multiply", values, step)
    if start != 0:
        values = site.apply("add", values, start)
    return site.cast(values, site.kind)


@aten("eye.default", "eye.m")
def _eye(site: Site, n: Extent, m: Extent | None = None) -> Array:
    rows, columns = (arrays.iota(extent, site.origin) for extent in site.shape)
    equal = site.apply("equal", arrays.unsqueeze(rows, 1, site.origin), columns)
    return site.cast(equal, site.kind)
