"""St, the axis-stride category: affine maps between index spaces.

An object is a shape, a tuple of sizes.  A morphism η : P → Q gives each axis of Q as an affine
expression in the indices of P,

    η(i)_j = offset_j + Σ_k stride_jk · i_k,

with strides and offsets that are sizes.  Identity, permutation, deletion (repeat), duplication
(diagonal), slice, window, flip and flattening are values of this one type.  That a map lands in
range is a side condition, decided by :meth:`StrideMap.in_range` and never assumed.

Source: Weaves, Wires, and Morphisms, definition of St (definition 8 of v2), with strides
that may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ncd_formal.conditions import Context
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, size, variable

Shape = tuple[Polynomial, ...]


def show_shape(shape: Shape) -> str:
    """``(n, h*d)``."""
    return "(" + ", ".join(map(str, shape)) + ")"


@dataclass(frozen=True, slots=True)
class StrideMap:
    """A morphism ``domain → codomain`` of St.

    ``strides[j][k]`` is the step of codomain axis ``j`` for one step of domain axis ``k``.

    >>> n, m = size("n"), size("m")
    >>> swap = permutation((n, m), (1, 0))
    >>> swap @ swap.transposed() == identity((n, m))
    True
    """

    domain: Shape
    codomain: Shape
    strides: tuple[tuple[Polynomial, ...], ...]
    offsets: tuple[Polynomial, ...]

    def __post_init__(self) -> None:
        rows, columns = len(self.codomain), len(self.domain)
        if len(self.offsets) != rows or len(self.strides) != rows:
            raise InputError(f"a map into {show_shape(self.codomain)} needs {rows} rows")
        if any(len(row) != columns for row in self.strides):
            raise InputError(f"a map out of {show_shape(self.domain)} needs {columns} columns")

    def __call__(self, index: Sequence[Polynomial]) -> tuple[Polynomial, ...]:
        """The indices in the codomain of an index in the domain."""
        return tuple(
            sum((stride * i for stride, i in zip(row, index, strict=True)), offset)
            for row, offset in zip(self.strides, self.offsets, strict=True)
        )

    def __matmul__(self, other: StrideMap) -> StrideMap:
        """``self @ other``: first ``self``, then ``other``; composition is substitution.

        Errors: InputError where the middle shapes differ, naming both.
        """
        if self.codomain != other.domain:
            raise InputError(
                f"cannot compose strides: {show_shape(self.codomain)} is not "
                f"{show_shape(other.domain)}"
            )
        strides = tuple(
            tuple(
                sum((row[j] * self.strides[j][k] for j in range(len(row))), size(0))
                for k in range(len(self.domain))
            )
            for row in other.strides
        )
        return StrideMap(self.domain, other.codomain, strides, other(self.offsets))

    def __mul__(self, other: StrideMap) -> StrideMap:
        """The monoidal product: both maps side by side."""
        left = (size(0),) * len(self.domain)
        right = (size(0),) * len(other.domain)
        strides = tuple(row + right for row in self.strides)
        strides += tuple(left + row for row in other.strides)
        return StrideMap(
            self.domain + other.domain,
            self.codomain + other.codomain,
            strides,
            self.offsets + other.offsets,
        )

    def transposed(self) -> StrideMap:
        """The map with rows and columns exchanged: the inverse of a permutation."""
        strides = tuple(
            tuple(self.strides[j][k] for j in range(len(self.codomain)))
            for k in range(len(self.domain))
        )
        return StrideMap(self.codomain, self.domain, strides, (size(0),) * len(self.domain))

    def source_of(self, axis: int) -> int | None:
        """The domain axis that codomain ``axis`` copies unchanged, or None."""
        row = self.strides[axis]
        used = [k for k, stride in enumerate(row) if stride.terms]
        if len(used) != 1 or row[used[0]] is not size(1) or self.offsets[axis].terms:
            return None
        return used[0] if self.domain[used[0]] is self.codomain[axis] else None

    def in_range(self, context: Context) -> bool:
        """Whether every index of the domain is proved to land inside the codomain."""
        names = [f"{k}'" for k in range(len(self.domain))]
        local = context.with_axes(dict(zip(names, self.domain, strict=True)))
        images = self([variable(name) for name in names])
        return all(
            local.nonnegative(image) and local.nonnegative(extent - 1 - image)
            for image, extent in zip(images, self.codomain, strict=True)
        )


def selection(
    domain: Shape, codomain: Shape, sources: Sequence[int | None], offsets: Sequence[Polynomial]
) -> StrideMap:
    """Each codomain axis is one domain axis (or none) plus an offset."""
    strides = tuple(
        tuple(size(1) if k == source else size(0) for k in range(len(domain))) for source in sources
    )
    return StrideMap(domain, codomain, strides, tuple(offsets))


def identity(shape: Shape) -> StrideMap:
    """The identity of ``shape``."""
    return permutation(shape, range(len(shape)))


def permutation(domain: Shape, order: Sequence[int]) -> StrideMap:
    """Codomain axis ``j`` is domain axis ``order[j]``."""
    return selection(domain, tuple(domain[k] for k in order), order, [size(0)] * len(order))
