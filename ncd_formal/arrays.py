"""Br, the array-broadcasted category: arrays, and the operators that make them.

An :class:`Array` is a node of a program: an array of a kind (real, boolean, integer) and a shape,
made by a *broadcasted operator* from other arrays.  Few operators suffice: an input, a reindexing
along a morphism of St, a regrouping of digits (a view), a pointwise function, a reduction in a
monoid, a concatenation, an index, a number, and an opaque operator known only by its type.  Their
meaning is given by their wires (``elaboration.py``).

Programs from PyTorch, einops-style expressions and morphisms are all built with the functions of
this file, which check shapes when they are called and raise InputError naming both sides.

Source: Weaves, Wires, and Morphisms, definition of Br (definitions 9 to 13 of v2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, Union

from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, divide, product, size
from ncd_formal.strides import Shape, StrideMap, identity, permutation, selection, show_shape

Kind = Literal["real", "boolean", "integer"]
Number = Union[int, Fraction, Polynomial, Literal["-inf", "nan"]]


@dataclass(frozen=True, eq=False)
class Array:
    """An array of a program: its kind, its shape, and where in the program it was made."""

    shape: Shape
    kind: Kind
    origin: str

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def sources(self) -> tuple[Array, ...]:
        """The arrays that this one is made from."""
        return ()


@dataclass(frozen=True, eq=False)
class InputArray(Array):
    """An input of the program, or a parameter."""

    name: str


@dataclass(frozen=True, eq=False)
class NumberArray(Array):
    """A number: rational, a size, −∞ or undefined.  Its shape is ()."""

    value: Number


@dataclass(frozen=True, eq=False)
class IotaArray(Array):
    """0, 1, 2 … along its one axis."""


@dataclass(frozen=True, eq=False)
class Reindexed(Array):
    """``out[i] = source[map(i)]``: the pullback along a morphism of St."""

    source: Array
    map: StrideMap

    @property
    def sources(self) -> tuple[Array, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Regrouped(Array):
    """The same values in row-major order under another shape (a view)."""

    source: Array

    @property
    def sources(self) -> tuple[Array, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Pointwise(Array):
    """A function of values at the same index; ``function`` is a key of ``operators.POINTWISE``."""

    function: str
    operands: tuple[Array, ...]

    @property
    def sources(self) -> tuple[Array, ...]:
        return self.operands


@dataclass(frozen=True, eq=False)
class Reduced(Array):
    """The fold over ``dimensions`` in a monoid: Sum, Product, Max, Min, All or Any."""

    monoid: str
    source: Array
    dimensions: tuple[int, ...]

    @property
    def sources(self) -> tuple[Array, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Concatenated(Array):
    """Arrays one after the other along ``dimension``."""

    parts: tuple[Array, ...]
    dimension: int

    @property
    def sources(self) -> tuple[Array, ...]:
        return self.parts


@dataclass(frozen=True, eq=False)
class OpaqueArray(Array):
    """An operator known only by its name and weave.

    It acts on the last ``seen[k]`` dimensions of operand ``k``; the leading ones are tiled and the
    same for all operands and for the result.  Equal operands give equal results.
    """

    operator: str
    operands: tuple[Array, ...]
    seen: tuple[int, ...]

    @property
    def sources(self) -> tuple[Array, ...]:
        return self.operands


_MONOIDS: Mapping[str, Kind] = {
    "Sum": "real",
    "Product": "real",
    "Max": "real",
    "Min": "real",
    "All": "boolean",
    "Any": "boolean",
}
TRUTH_FUNCTIONS = frozenset(
    {
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "logical_not",
        "logical_and",
        "logical_or",
        "logical_xor",
    }
)
WHOLE_FUNCTIONS = frozenset(
    {
        "add",
        "subtract",
        "multiply",
        "negative",
        "abs",
        "square",
        "sign",
        "maximum",
        "minimum",
        "where",
        "floor_divide",
        "remainder",
    }
)
"""Functions that take whole numbers to whole numbers."""


def _dimension(array: Array, dimension: int) -> int:
    if not -array.rank <= dimension < array.rank:
        raise InputError(f"{array.origin}: no dimension {dimension} in {show_shape(array.shape)}")
    return dimension % array.rank


def input_array(name: str, shape: Sequence[Polynomial], kind: Kind = "real") -> Array:
    """An input or parameter."""
    return InputArray(tuple(shape), kind, name, name)


def number(value: Number | float, origin: str = "") -> Array:
    """A number as an array of shape (); a float is taken as the exact rational that it is."""
    if isinstance(value, float):
        if value != value:
            value = "nan"
        elif value == float("-inf"):
            value = "-inf"
        elif value == float("inf"):
            raise InputError(f"{origin or 'a constant'}: +∞ is not a value of the calculus")
        else:
            value = Fraction(value)
    return NumberArray((), "real", origin or str(value), value)


def repeated_number(array: Array) -> NumberArray | None:
    """The number that an array repeats; None where it holds anything else."""
    while isinstance(array, (Reindexed, Regrouped)):
        array = array.source
    return array if isinstance(array, NumberArray) else None


def iota(extent: Polynomial, origin: str = "") -> Array:
    """0, 1, …, extent − 1."""
    return IotaArray((extent,), "integer", origin or f"arange({extent})")


def reindex(source: Array, stride_map: StrideMap, origin: str = "") -> Array:
    """The pullback of ``source`` along ``stride_map``.

    Errors: InputError where the map does not end in the shape of ``source``.
    """
    if stride_map.codomain != source.shape:
        raise InputError(
            f"{origin or source.origin}: a map into {show_shape(stride_map.codomain)} "
            f"cannot reindex {show_shape(source.shape)}"
        )
    if stride_map == identity(source.shape):
        return source
    return Reindexed(stride_map.domain, source.kind, origin or source.origin, source, stride_map)


def permute(source: Array, order: Sequence[int], origin: str = "") -> Array:
    """Result dimension ``k`` is source dimension ``order[k]``."""
    if sorted(_dimension(source, d) for d in order) != list(range(source.rank)):
        raise InputError(f"{origin or source.origin}: {tuple(order)} is no permutation")
    order = [d % source.rank for d in order]
    shape = tuple(source.shape[d] for d in order)
    back = [order.index(j) for j in range(source.rank)]
    return reindex(source, permutation(shape, back), origin)


def expand(source: Array, shape: Sequence[Polynomial], origin: str = "") -> Array:
    """Broadcast to ``shape``: new leading dimensions, and dimensions of size 1 repeated.

    Errors: InputError naming the two sizes that disagree.
    """
    shape = tuple(shape)
    lead = len(shape) - source.rank
    if lead < 0:
        raise InputError(
            f"{origin or source.origin}: {show_shape(source.shape)} has more dimensions than "
            f"{show_shape(shape)}"
        )
    origins: list[int | None] = []
    for j, extent in enumerate(source.shape):
        if extent is shape[lead + j]:
            origins.append(lead + j)
        elif extent is size(1):
            origins.append(None)
        else:
            raise InputError(
                f"{origin or source.origin}: {show_shape(source.shape)} does not broadcast to "
                f"{show_shape(shape)}: {extent} is not {shape[lead + j]}"
            )
    return reindex(source, selection(shape, source.shape, origins, [size(0)] * source.rank), origin)


def broadcast_shape(shapes: Sequence[Shape], origin: str = "") -> Shape:
    """The common shape, aligned from the right.

    Errors: InputError naming the two sizes that disagree.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result = [size(1)] * rank
    for shape in shapes:
        for k, extent in enumerate(shape, start=rank - len(shape)):
            if result[k] is size(1):
                result[k] = extent
            elif extent is not size(1) and extent is not result[k]:
                shown = " and ".join(map(show_shape, shapes))
                raise InputError(
                    f"{origin or 'broadcast'}: {shown} do not fit: {result[k]} is not {extent}"
                )
    return tuple(result)


def view(source: Array, shape: Sequence[Polynomial], origin: str = "") -> Array:
    """The same values in row-major order under another shape.

    Errors: InputError where the two shapes hold different numbers of values.
    """
    shape = tuple(shape)
    if shape == source.shape:
        return source
    if product(shape) is not product(source.shape):
        raise InputError(
            f"{origin or source.origin}: cannot view {show_shape(source.shape)} as "
            f"{show_shape(shape)}: {product(source.shape)} is not {product(shape)}"
        )
    return Regrouped(shape, source.kind, origin or source.origin, source)


def unsqueeze(source: Array, dimension: int, origin: str = "") -> Array:
    """A new dimension of size 1."""
    dimension %= source.rank + 1
    shape = (*source.shape[:dimension], size(1), *source.shape[dimension:])
    origins = [j if j < dimension else j + 1 for j in range(source.rank)]
    return reindex(source, selection(shape, source.shape, origins, [size(0)] * source.rank), origin)


def affine(
    source: Array,
    dimension: int,
    extent: Polynomial,
    offset: Polynomial | int = 0,
    stride: Polynomial | int = 1,
    origin: str = "",
) -> Array:
    """``out[…, i, …] = source[…, offset + stride·i, …]`` for i below ``extent``: slice and flip.

    That the reads lie in range is decided at elaboration, where the sizes are known.
    """
    dimension = _dimension(source, dimension)
    shape = tuple(extent if k == dimension else s for k, s in enumerate(source.shape))
    base = selection(shape, source.shape, range(source.rank), [size(0)] * source.rank)
    strides = [list(row) for row in base.strides]
    strides[dimension][dimension] = size(1) * stride
    offsets = [size(0) + (offset if k == dimension else 0) for k in range(source.rank)]
    new = StrideMap(shape, source.shape, tuple(map(tuple, strides)), tuple(offsets))
    return reindex(source, new, origin)


def choose(source: Array, dimension: int, index: Polynomial | int, origin: str = "") -> Array:
    """``source[…, index, …]``, without that dimension."""
    dimension = _dimension(source, dimension)
    shape = source.shape[:dimension] + source.shape[dimension + 1 :]
    origins = [None if k == dimension else k - (k > dimension) for k in range(source.rank)]
    offsets = [size(0) + (index if k == dimension else 0) for k in range(source.rank)]
    return reindex(source, selection(shape, source.shape, origins, offsets), origin)


def diagonal(source: Array, first: int, second: int, origin: str = "") -> Array:
    """``out[…, i] = source[…, i, …, i, …]``: the two dimensions become one, the last."""
    first, second = _dimension(source, first), _dimension(source, second)
    if source.shape[first] is not source.shape[second]:
        raise InputError(
            f"{origin or source.origin}: the diagonal of {source.shape[first]} by "
            f"{source.shape[second]} is not square"
        )
    rest = [k for k in range(source.rank) if k not in (first, second)]
    shape = (*(source.shape[k] for k in rest), source.shape[first])
    origins = [rest.index(k) if k in rest else len(rest) for k in range(source.rank)]
    return reindex(source, selection(shape, source.shape, origins, [size(0)] * source.rank), origin)


def window(
    source: Array,
    dimension: int,
    extent: Polynomial,
    width: Polynomial,
    stride: Polynomial | int = 1,
    dilation: Polynomial | int = 1,
    origin: str = "",
) -> Array:
    """``out[…, i, …, k] = source[…, stride·i + dilation·k, …]``: windows, as a new last dimension.

    Source: Weaves, Wires, and Morphisms, section on convolution as an affine read.
    """
    dimension = _dimension(source, dimension)
    shape = (*(extent if k == dimension else s for k, s in enumerate(source.shape)), width)
    base = selection(shape, source.shape, range(source.rank), [size(0)] * source.rank)
    strides = [list(row) for row in base.strides]
    strides[dimension][dimension] = size(1) * stride
    strides[dimension][-1] = size(1) * dilation
    new = StrideMap(shape, source.shape, tuple(map(tuple, strides)), base.offsets)
    return reindex(source, new, origin)


def pointwise(function: str, *operands: Array, origin: str = "") -> Array:
    """``function`` of the values at each index, the operands broadcast to their common shape.

    ``function`` is a key of ``operators.POINTWISE``.
    """
    shape = broadcast_shape([o.shape for o in operands], origin or function)
    aligned = tuple(expand(o, shape, origin) for o in operands)
    return Pointwise(shape, _result_kind(function, operands), origin or function, function, aligned)


def _result_kind(function: str, operands: Sequence[Array]) -> Kind:
    if function in TRUTH_FUNCTIONS:
        return "boolean"
    values = operands[1:] if function == "where" else operands
    kinds = {o.kind for o in values}
    if function in {"where", "identity"} and len(kinds) == 1:
        return values[0].kind
    whole = function in WHOLE_FUNCTIONS and kinds <= {"integer", "boolean"}
    return "integer" if whole else "real"


def reduce(monoid: str, source: Array, dimensions: Sequence[int], origin: str = "") -> Array:
    """The fold over ``dimensions`` in a monoid: Sum, Product, Max, Min, All or Any."""
    chosen = tuple(sorted({_dimension(source, d) for d in dimensions}))
    if not chosen:
        return source
    shape = tuple(s for k, s in enumerate(source.shape) if k not in chosen)
    kind: Kind = source.kind if monoid in {"Max", "Min"} else _MONOIDS[monoid]
    return Reduced(shape, kind, origin or monoid.lower(), monoid, source, chosen)


def concatenate(parts: Sequence[Array], dimension: int, origin: str = "") -> Array:
    """Arrays one after the other along ``dimension``.

    Errors: InputError where another dimension disagrees.
    """
    if not parts:
        raise InputError(f"{origin or 'concatenate'}: nothing to concatenate")
    first = parts[0]
    dimension = _dimension(first, dimension)
    for part in parts[1:]:
        others = [s for k, s in enumerate(part.shape) if k != dimension]
        if others != [s for k, s in enumerate(first.shape) if k != dimension]:
            raise InputError(
                f"{origin or 'concatenate'}: {show_shape(first.shape)} and "
                f"{show_shape(part.shape)} differ beside dimension {dimension}"
            )
    if len(parts) == 1:
        return first
    total = sum((part.shape[dimension] for part in parts), size(0))
    shape = tuple(total if k == dimension else s for k, s in enumerate(first.shape))
    return Concatenated(shape, first.kind, origin or "concatenate", tuple(parts), dimension)


def opaque(
    operator: str,
    operands: Sequence[Array],
    seen: Sequence[int],
    shape: Sequence[Polynomial],
    kind: Kind = "real",
    origin: str = "",
) -> Array:
    """An operator that is not known: see :class:`OpaqueArray`."""
    return OpaqueArray(
        tuple(shape), kind, origin or operator, operator, tuple(operands), tuple(seen)
    )


def split_sizes(extent: Polynomial, parts: int, origin: str = "") -> tuple[Polynomial, ...]:
    """``extent`` in ``parts`` equal pieces.

    Errors: InputError where ``parts`` does not divide it for all sizes.
    """
    piece = divide(extent, size(parts))
    if piece is None:
        raise InputError(f"{origin or 'split'}: {parts} does not divide {extent} for all sizes")
    return (piece,) * parts


def substitute(outputs: Sequence[Array], values: Mapping[str, Array]) -> tuple[Array, ...]:
    """The outputs with inputs replaced by other arrays of the same shape.

    Errors: InputError where a shape differs.
    """
    made: dict[Array, Array] = {}

    def new(array: Array) -> Array:
        if isinstance(array, InputArray) and array.name in values:
            value = values[array.name]
            if value.shape != array.shape:
                raise InputError(
                    f"{array.name} has shape {show_shape(array.shape)}, what is given for it "
                    f"{show_shape(value.shape)}"
                )
            return value
        return with_sources(array, [made[source] for source in array.sources])

    for array in topological(outputs):
        made[array] = new(array)
    return tuple(made[output] for output in outputs)


def with_sources(array: Array, sources: Sequence[Array]) -> Array:
    """The same operator on other arrays of the same shapes."""
    if all(a is b for a, b in zip(sources, array.sources, strict=True)):
        return array
    if isinstance(array, (Reindexed, Regrouped, Reduced)):
        return replace(array, source=sources[0])
    if isinstance(array, (Pointwise, OpaqueArray)):
        return replace(array, operands=tuple(sources))
    assert isinstance(array, Concatenated)
    return replace(array, parts=tuple(sources))


def topological(outputs: Iterable[Array]) -> list[Array]:
    """Every array that the outputs are made from, sources first."""
    order: list[Array] = []
    seen: set[Array] = set()
    stack = [(array, False) for array in reversed(list(outputs))]
    while stack:
        array, ready = stack.pop()
        if ready:
            order.append(array)
        elif array not in seen:
            seen.add(array)
            stack.append((array, True))
            stack.extend((source, False) for source in reversed(array.sources))
    return order
