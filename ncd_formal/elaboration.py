"""Elaboration: from arrays to wires.

Views vanish here, before any rule runs, in two passes over both programs together.

1. *Classes.*  A union-find unifies the dimensions of arrays and refines them into *leaf axes*:
   products where a view splits or merges, coproducts where a concatenation or slice cuts.  A class
   is only a sort for names; a poor merge costs a proof, never the truth.
2. *Pull.*  Indices are pushed back from the outputs to the inputs.  A view regroups digits, a
   permutation moves them, a slice adds an offset, a diagonal uses one index twice, a reduction
   opens one new axis per leaf, a concatenation chooses by range.  What remains reads inputs at
   affine indices.

A bound axis is named after its size with the least number free in what is demanded, so that
programs which differ in names only become one term.  Several programs elaborated together share
classes and names, and only then may their terms be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from functools import reduce as fold

from ncd_formal import wires
from ncd_formal.arrays import (
    Array,
    Concatenated,
    InputArray,
    IotaArray,
    NumberArray,
    OpaqueArray,
    Pointwise,
    Reduced,
    Regrouped,
    Reindexed,
    repeated_number,
    topological,
)
from ncd_formal.conditions import Context
from ncd_formal.errors import InputError
from ncd_formal.operators import POINTWISE
from ncd_formal.sizes import (
    Polynomial,
    Quotient,
    Remainder,
    divide,
    fresh_names,
    product,
    quotient,
    remainder,
    size,
    variable,
)
from ncd_formal.strides import show_shape
from ncd_formal.wires import Term, term

Digit = tuple[Polynomial, Polynomial]
"""An index expression and the size that it is below."""
Digits = tuple[Digit, ...]
"""The index of one dimension, most significant digit first; () where the size is 1."""
Leaves = list[int]


@dataclass(frozen=True, slots=True)
class Output:
    """One output: its wires, and for each dimension the axes that make up its index."""

    term: Term
    layout: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Elaboration:
    """The outputs of each program, over one context."""

    context: Context
    programs: tuple[tuple[Output, ...], ...]


def elaborate(programs: Sequence[Sequence[Array]], context: Context | None = None) -> Elaboration:
    """The wires of programs that are to be compared with one another.

    Errors: InputError where the programs disagree about an input or the shape of an output.
    """
    first, *others = programs
    for outputs in others:
        check_alike(first, outputs)
    classes = _Classes()
    for outputs in programs:
        for array in topological(outputs):
            classes.visit(array)
    for outputs in others:
        for a, b in zip(first, outputs, strict=True):
            for left, right in zip(classes.dimensions[a], classes.dimensions[b], strict=True):
                # Outputs are compared only if their dimensions are cut alike.
                classes.unify(left, right, melting=True)
    pull = _Pull(classes, context or Context())
    elaborated = tuple(tuple(map(pull.output, outputs)) for outputs in programs)
    return Elaboration(pull.context, elaborated)


def check_alike(left: Sequence[Array], right: Sequence[Array]) -> None:
    """Errors: InputError where two programs have other outputs, or disagree about an input."""
    if len(left) != len(right):
        raise InputError(f"one program has {len(left)} outputs, the other {len(right)}")
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        if a.shape != b.shape:
            raise InputError(
                f"output {number}: the shapes {show_shape(a.shape)} and "
                f"{show_shape(b.shape)} differ"
            )
    inputs: dict[str, InputArray] = {}
    for array in topological((*left, *right)):
        if isinstance(array, InputArray):
            known = inputs.setdefault(array.name, array)
            if known.shape != array.shape or known.kind != array.kind:
                raise InputError(
                    f"input {array.name!r} is {show_shape(known.shape)} of {known.kind} in one "
                    f"program and {show_shape(array.shape)} of {array.kind} in the other"
                )


class _Classes:
    """Leaf axes: a union-find over dimensions, refined by products and coproducts."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.extent: list[Polynomial] = []
        self.factors: dict[int, Leaves] = {}
        self.pieces: dict[int, list[Leaves]] = {}
        self.dimensions: dict[Array, list[Leaves]] = {}
        self.inputs: dict[str, InputArray] = {}

    def fresh(self, extent: Polynomial) -> Leaves:
        if extent is size(1):
            return []
        self.parent.append(len(self.parent))
        self.extent.append(extent)
        return [len(self.parent) - 1]

    def find(self, leaf: int) -> int:
        while self.parent[leaf] != leaf:
            self.parent[leaf] = self.parent[self.parent[leaf]]
            leaf = self.parent[leaf]
        return leaf

    def leaves(self, elements: Iterable[int]) -> Leaves:
        result: Leaves = []
        for element in elements:
            root = self.find(element)
            result += self.leaves(self.factors[root]) if root in self.factors else [root]
        return result

    def total(self, elements: Iterable[int]) -> Polynomial:
        return product(self.extent[leaf] for leaf in self.leaves(elements))

    def split(self, leaf: int, low: Polynomial, melting: bool = False) -> tuple[int, int] | None:
        """Make ``leaf`` the product of a high part and a low part of size ``low``.

        If ``melting``, pieces that it is the coproduct of are forgotten.
        """
        high = divide(self.extent[leaf], low) if low.terms else None
        if high is None or (leaf in self.pieces and not melting):
            return None
        self.pieces.pop(leaf, None)
        (upper,), (lower,) = self.fresh(high), self.fresh(low)
        self.factors[leaf] = [upper, lower]
        return upper, lower

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.find(a), self.find(b)))
        if a == b:
            return
        self.parent[b] = a
        if b in self.pieces:
            if a not in self.pieces:
                self.pieces[a] = self.pieces[b]
            else:
                self._meet(self.pieces[a], self.pieces[b])

    def _meet(self, left: Iterable[Leaves], right: Iterable[Leaves]) -> None:
        """Join the pieces of two cuts of one axis, cutting longer ones where the other is cut."""
        a, b = list(left), list(right)
        while a and b:
            p, q = a.pop(0), b.pop(0)
            m, n = self.total(p), self.total(q)
            if m is n:
                self.unify(p, q)
            elif Context().nonnegative(m - n - 1):
                self.unify(self.piece(p, size(0), n), q)
                a.insert(0, self.piece(p, n, m - n))
            elif Context().nonnegative(n - m - 1):
                self.unify(p, self.piece(q, size(0), m))
                b.insert(0, self.piece(q, m, n - m))
            else:
                return

    def unify(self, left: Iterable[int], right: Iterable[int], melting: bool = False) -> None:
        """Join leaves aligned from the right; stop where the factors do not line up."""
        a, b = self.leaves(left), self.leaves(right)
        while a and b:
            x, y = a.pop(), b.pop()
            if self.find(x) == self.find(y):
                continue
            if self.extent[x] is self.extent[y]:
                self.join(x, y)
            elif (parts := self.split(x, self.extent[y], melting)) is not None:
                self.join(parts[1], y)
                a.append(parts[0])
            elif (parts := self.split(y, self.extent[x], melting)) is not None:
                self.join(parts[1], x)
                b.append(parts[0])
            else:
                return
            a, b = self.leaves(a), self.leaves(b)

    def regroup(self, elements: Iterable[int], shape: Sequence[Polynomial]) -> list[Leaves] | None:
        """Cut leaves into groups of the given sizes, splitting some; None where it cannot be."""
        rest = self.leaves(elements)
        if not all(extent.terms for extent in (*shape, *(self.extent[leaf] for leaf in rest))):
            return None  # an axis without indices can be cut in any way
        groups: list[Leaves] = []
        for extent in reversed(shape):
            group: Leaves = []
            need = extent
            while need is not size(1):
                if not rest:
                    return None
                leaf = rest.pop()
                above = divide(need, self.extent[leaf])
                if above is not None:
                    group.insert(0, leaf)
                    need = above
                    continue
                parts = self.split(leaf, need)
                if parts is None:
                    return None
                rest.append(parts[0])
                group.insert(0, parts[1])
                need = size(1)
            groups.insert(0, group)
        return groups

    def piece(self, elements: Leaves, offset: Polynomial, extent: Polynomial) -> Leaves:
        """The part ``[offset, offset + extent)`` of a dimension, cut out as a coproduct piece."""
        leaves = self.leaves(elements)
        if len(leaves) != 1 or not extent.terms:
            return self.fresh(extent)
        (leaf,) = leaves
        whole = self.extent[leaf]
        if leaf in self.pieces:
            position = size(0)
            for part in self.pieces[leaf]:
                total = self.total(part)
                if position is offset and total is extent:
                    return part
                inside = (offset - position, position + total - offset - extent)
                if all(map(Context().nonnegative, inside)):
                    return self.piece(part, offset - position, extent)
                position = position + total
            return self.fresh(extent)
        after = whole - offset - extent
        cut = [p for p in (offset, extent, after) if p is not size(0)]
        if len(cut) != 2 or not all(Context().nonnegative(p - 1) for p in cut):
            return self.fresh(extent)
        parts = [self.fresh(p) for p in cut]
        self.pieces[leaf] = parts
        return parts[0] if offset is size(0) else parts[1]

    def visit(self, array: Array) -> None:
        """Give every dimension of ``array`` its leaves; sources come first."""
        if array not in self.dimensions:
            self.dimensions[array] = self._dimensions(array)

    def _dimensions(self, array: Array) -> list[Leaves]:
        of = self.dimensions
        if isinstance(array, InputArray):
            known = self.inputs.setdefault(array.name, array)
            return of[known] if known in of else [self.fresh(s) for s in array.shape]
        if isinstance(array, Pointwise):
            first, *rest = [of[o] for o in array.operands]
            for dimensions in rest:
                for a, b in zip(first, dimensions, strict=True):
                    self.unify(a, b)
            return first
        if isinstance(array, Reindexed):
            return self._reindexed(array)
        if isinstance(array, Regrouped):
            flat = [leaf for dimension in of[array.source] for leaf in dimension]
            return self.regroup(flat, array.shape) or [self.fresh(s) for s in array.shape]
        if isinstance(array, Reduced):
            return [d for k, d in enumerate(of[array.source]) if k not in array.dimensions]
        if isinstance(array, Concatenated):
            first = list(of[array.parts[0]])
            for part in array.parts[1:]:
                for k, (a, b) in enumerate(zip(first, of[part], strict=True)):
                    if k != array.dimension:
                        self.unify(a, b)
            whole = self.fresh(array.shape[array.dimension])
            if whole:
                self.pieces[whole[0]] = [of[part][array.dimension] for part in array.parts]
            first[array.dimension] = whole
            return first
        if isinstance(array, OpaqueArray):
            tiled = min(
                (o.rank - seen for o, seen in zip(array.operands, array.seen, strict=True)),
                default=0,
            )
            lead = of[array.operands[0]][:tiled] if array.operands else []
            for operand in array.operands[1:]:
                for a, b in zip(lead, of[operand], strict=False):
                    self.unify(a, b)
            return [*lead, *(self.fresh(s) for s in array.shape[tiled:])]
        return [self.fresh(s) for s in array.shape]

    def _reindexed(self, array: Reindexed) -> list[Leaves]:
        source, into = self.dimensions[array.source], array.map
        result: list[Leaves | None] = [None] * array.rank
        for j, row in enumerate(into.strides):
            used = [k for k, stride in enumerate(row) if stride.terms]
            if len(used) == 1:
                k = used[0]
                one = row[k] in (size(1), size(-1))
                if one and into.codomain[j] is into.domain[k]:
                    leaves = source[j]
                elif row[k] is size(1):
                    leaves = self.piece(source[j], into.offsets[j], into.domain[k])
                else:
                    continue
                known = result[k]
                if known is None:
                    result[k] = leaves
                else:
                    self.unify(known, leaves)
            elif len(used) == 2 and not into.offsets[j].terms:
                # Windows that do not overlap are the two digits of the axis.
                for high, low in (used, used[::-1]):
                    tiles = row[high] is into.domain[low] and row[low] is size(1)
                    if tiles and into.domain[high] * into.domain[low] is into.codomain[j]:
                        groups = self.regroup(source[j], (into.domain[high], into.domain[low]))
                        if groups is not None and result[high] is None and result[low] is None:
                            result[high], result[low] = groups
        return [
            self.fresh(extent) if leaves is None else leaves
            for leaves, extent in zip(result, array.shape, strict=True)
        ]


_COMBINE = {
    "Sum": wires.add,
    "Product": wires.mul,
    "Max": lambda a, b: term("Maximum", a, b),
    "Min": lambda a, b: term("Minimum", a, b),
    "All": lambda a, b: term("And", a, b),
    "Any": lambda a, b: term("Or", a, b),
}


@dataclass
class _Pull:
    """Pushes indices from the outputs back to the inputs."""

    classes: _Classes
    context: Context
    labels: dict[Polynomial, str] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    memo: dict[tuple[Array, tuple[Digits, ...]], Term] = field(default_factory=dict)

    axes: dict[str, Polynomial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inputs = {array.name: array.kind for array in self.classes.inputs.values()}
        self.axes.update(self.context.axes)
        # The context sees the axes that are opened while it is in use.
        self.context = replace(
            self.context, axes=self.axes, inputs={**inputs, **self.context.inputs}
        )

    def output(self, array: Array) -> Output:
        taken: set[str] = set()
        index: list[Digits] = []
        for leaves in self.classes.dimensions[array]:
            names, digits = self._open(leaves, taken)
            taken |= set(names)
            index.append(digits)
        self.reserved = frozenset(taken)
        self.memo.clear()
        layout = tuple(tuple(str(e) for e, _ in digits) for digits in index)
        return Output(self.at(array, tuple(index)), layout)

    # Names ----------------------------------------------------------------------------------

    def _axis(self, leaf: int, taken: Iterable[str]) -> str:
        extent = self.classes.extent[leaf]
        label = self.labels.get(extent)
        if label is None:
            text = str(extent)
            stem = text if text.isidentifier() else "a"
            label = self.labels[extent] = next(fresh_names(stem, self.labels.values()))
        number = 0
        while (name := f"{label}.{number}") in taken:
            number += 1
        self.axes[name] = extent
        return name

    def _open(self, elements: Leaves, taken: Iterable[str]) -> tuple[list[str], Digits]:
        """A new axis for every leaf."""
        used, names, digits = set(taken), list[str](), list[Digit]()
        for leaf in self.classes.leaves(elements):
            name = self._axis(leaf, used)
            used.add(name)
            names.append(name)
            digits.append((variable(name), self.classes.extent[leaf]))
        return names, tuple(digits)

    def _ways(self, elements: Leaves, taken: Iterable[str]) -> list[tuple[list[str], Digits]]:
        """New axes for a reduction: one way, or one for each combination of coproduct pieces."""
        ways: list[tuple[list[str], Digits]] = [([], ())]
        for leaf in self.classes.leaves(elements):
            extended: list[tuple[list[str], Digits]] = []
            for names, digits in ways:
                used = {*taken, *names}
                if leaf not in self.classes.pieces:
                    more, new = self._open([leaf], used)
                    extended.append((names + more, digits + new))
                    continue
                offset = size(0)
                for part in self.classes.pieces[leaf]:
                    for more, new in self._ways(part, used):
                        whole = (offset + self.flat(new), self.classes.extent[leaf])
                        extended.append((names + more, (*digits, whole)))
                    offset = offset + self.classes.total(part)
            ways = extended
        return ways

    # Digits ---------------------------------------------------------------------------------

    def flat(self, digits: Digits) -> Polynomial:
        """The number that digits spell."""
        total, stride = size(0), size(1)
        for value, extent in reversed(digits):
            total, stride = total + value * stride, stride * extent
        for atom in total.atoms:
            # (e // k)·k + e % k = e
            if isinstance(atom, Remainder):
                whole = Polynomial({((Quotient(atom.numerator, atom.denominator), 1),): 1})
                scale = total.coefficient(atom)
                (other,) = whole.atoms
                if total.coefficient(other) is scale * atom.denominator:
                    rest = total - scale * Polynomial({((atom, 1),): 1})
                    return rest - scale * atom.denominator * whole + scale * atom.numerator
        return total

    def one(self, value: Polynomial, extent: Polynomial) -> Digits:
        return () if extent is size(1) else ((value, extent),)

    def _quotient(self, value: Polynomial, by: Polynomial) -> Polynomial:
        share = quotient(value, by)
        rest = value - share * by if all(isinstance(a, str) for a in share.atoms) else None
        if rest is None:
            whole = Polynomial(
                {m: c for m, c in share.terms if all(isinstance(a, str) for a, _ in m)}
            )
            rest = value - whole * by
            wraps = self._wraps(rest, by)
            if wraps is not None:
                return whole + wraps
        return share

    def _remainder(self, value: Polynomial, by: Polynomial) -> Polynomial:
        rest = remainder(value, by)
        for atom in rest.atoms:
            if isinstance(atom, Remainder):
                wraps = self._wraps(atom.numerator, by)
                if wraps is not None:
                    return atom.numerator - wraps * by
        return rest

    def _wraps(self, value: Polynomial, by: Polynomial) -> int | None:
        """How often ``by`` is to be taken from a value that is not far outside of it."""
        return next((k for k in (0, -1, 1) if self._below(value - k * by, by)), None)

    def _below(self, value: Polynomial, bound: Polynomial) -> bool:
        return self.context.nonnegative(value) and self.context.nonnegative(bound - 1 - value)

    def cut(self, digits: Digits, shape: Sequence[Polynomial]) -> list[Digits]:
        """The digits of one row-major number, regrouped to the dimensions of ``shape``."""
        rest = [d for d in digits if d[1] is not size(1)]
        groups: list[Digits] = []
        for extent in reversed(shape):
            group: Digits = ()
            need = extent
            while need is not size(1):
                value, below = rest.pop()
                above = divide(need, below)
                if above is not None:
                    group, need = ((value, below), *group), above
                    continue
                high = divide(below, need)
                if high is None:
                    # Digits that do not line up: take them as one number.
                    value, below = self.flat((*rest, (value, below))), size(1)
                    rest = []
                    left = product(shape[: len(shape) - len(groups) - 1])
                    high = left
                group = ((self._remainder(value, need), need), *group)
                if high is not size(1):
                    rest.append((self._quotient(value, need), high))
                need = size(1)
            groups.insert(0, group)
        return groups

    # Pull -----------------------------------------------------------------------------------

    def at(self, array: Array, index: tuple[Digits, ...]) -> Term:
        """The value of ``array`` at ``index``."""
        key = (array, index)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self._at(array, index)
        return found

    def _at(self, array: Array, index: tuple[Digits, ...]) -> Term:
        if not all(extent.terms for extent in array.shape):
            return wires.ZERO  # there is no such index: what is said of it does not matter
        if isinstance(array, InputArray):
            return wires.input_at(array.name, map(self.flat, index))
        if isinstance(array, NumberArray):
            return number_wires(array)
        if isinstance(array, IotaArray):
            return wires.index(self.flat(index[0]))
        if isinstance(array, Pointwise):
            return POINTWISE[array.function](*(self.at(o, index) for o in array.operands))
        if isinstance(array, Reindexed):
            return self._reindexed(array, index)
        if isinstance(array, Regrouped):
            flat = tuple(digit for digits in index for digit in digits)
            return self.at(array.source, tuple(self.cut(flat, array.source.shape)))
        if isinstance(array, Reduced):
            return self._reduced(array, index)
        if isinstance(array, Concatenated):
            return self._concatenated(array, index)
        assert isinstance(array, OpaqueArray)
        return self._opaque(array, index)

    def _reindexed(self, array: Reindexed, index: tuple[Digits, ...]) -> Term:
        into = array.map
        values: list[Polynomial] | None = None
        result: list[Digits] = []
        for j, extent in enumerate(into.codomain):
            source = into.source_of(j)
            if source is not None:
                result.append(index[source])
                continue
            if values is None:
                values = [self.flat(digits) for digits in index]
            result.append(self.one(into(values)[j], extent))
        return self.at(array.source, tuple(result))

    def _taken(self, index: Iterable[Digits]) -> set[str]:
        used = {v for digits in index for value, _ in digits for v in value.variables}
        return {v for v in used if wires.is_axis(v)} | self.reserved

    def _reduced(self, array: Reduced, index: tuple[Digits, ...]) -> Term:
        taken = self._taken(index)
        dimensions = self.classes.dimensions[array.source]
        kept = iter(index)
        template = [None if k in array.dimensions else next(kept) for k in range(array.source.rank)]
        results: list[Term] = []
        chosen: list[tuple[list[str], dict[int, Digits]]] = [([], {})]
        for k in array.dimensions:
            chosen = [
                (names + more, {**digits, k: new})
                for names, digits in chosen
                for more, new in self._ways(dimensions[k], {*taken, *names})
            ]
        monoid = term(array.monoid)
        for names, digits in chosen:
            at = tuple(digits[k] if d is None else d for k, d in enumerate(template))
            body = self.at(array.source, at)
            for name in reversed(names):
                body = wires.reduce(monoid, name, body)
            results.append(body)
        return fold(_COMBINE[array.monoid], results)

    def _concatenated(self, array: Concatenated, index: tuple[Digits, ...]) -> Term:
        d = array.dimension
        position, offset = self.flat(index[d]), size(0)
        candidates: list[tuple[Array, Polynomial, Polynomial]] = []
        for part in array.parts:
            extent = part.shape[d]
            below, above = offset - 1 - position, position - offset - extent
            if not self.context.nonnegative(below) and not self.context.nonnegative(above):
                candidates.append((part, offset, extent))
            offset = offset + extent
        if not candidates:
            raise InputError(f"{array.origin}: reads outside of what is concatenated")
        *earlier, (last, start, extent) = candidates
        result = self._part(last, index, d, position - start, extent)
        for part, start, extent in reversed(earlier):
            inside = wires.predicate(start + extent - 1 - position)
            result = wires.select(
                inside, self._part(part, index, d, position - start, extent), result
            )
        return result

    def _part(
        self,
        part: Array,
        index: tuple[Digits, ...],
        dimension: int,
        position: Polynomial,
        extent: Polynomial,
    ) -> Term:
        digits = self.one(position, extent)
        return self.at(part, (*index[:dimension], digits, *index[dimension + 1 :]))

    def _opaque(self, array: OpaqueArray, index: tuple[Digits, ...]) -> Term:
        tiled = min(
            (o.rank - seen for o, seen in zip(array.operands, array.seen, strict=True)), default=0
        )
        # Also the indices of the result, so that an axis of these is not bound inside.
        taken = self._taken(index)
        bound: list[str] = []
        groups: list[str] = []
        operands: list[Term] = []
        for operand in array.operands:
            inner: list[Digits] = []
            for leaves in self.classes.dimensions[operand][tiled:]:
                names, digits = self._open(leaves, taken | set(bound))
                bound += names
                groups.append(str(len(names)))
                inner.append(digits)
            groups.append("|")
            operands.append(self.at(operand, (*index[:tiled], *inner)))
        # The operator sees dimensions: how many leaves make up each is part of what it is.
        operator = f"{array.operator} [{' '.join(groups[:-1])}]"
        body = (
            fold(lambda rest, head: wires.pair(head, rest), reversed(operands))
            if operands
            else wires.ZERO
        )
        where = wires.indices_text(self.flat(digits) for digits in index[tiled:])
        return term("Opaque", operator, " ".join(bound), where, body)


def function_wires(array: Pointwise) -> Term:
    """The wires of a function of operands at one place: operand k, unless a number, is input k."""
    operands = [repeated_number(operand) for operand in array.operands]
    return _function_wires(
        array.function, *(k if o is None else number_wires(o) for k, o in enumerate(operands))
    )


@cache
def _function_wires(function: str, *operands: int | Term) -> Term:
    place = (variable("place.0"),)
    reads = (wires.input_at(str(o), place) if isinstance(o, int) else o for o in operands)
    return POINTWISE[function](*reads)


def number_wires(array: NumberArray) -> Term:
    """The wires of a number."""
    if array.value == "-inf":
        return wires.NEGATIVE_INFINITY
    if array.value == "nan":
        return wires.UNDEFINED
    if isinstance(array.value, Polynomial):
        return wires.index(array.value)
    assert not isinstance(array.value, str)
    return wires.constant(array.value)
