"""Br as a category: programs as morphisms between tuples of arrays.

A morphism has a domain and a codomain, tuples of array types.  Its generators are *broadcasted
operators*: an operator; for each input and output a weave, which says of each axis whether it is
tiled or the operator sees it; and for each input a reindexing from the degree, the tiled axes of
the result.  Beside them stand the *rearrangements*, which permute, copy and delete arrays.
Morphisms are built with

* ``f @ g``, composition: first ``f``, then ``g``, their axes aligned by size and position;
* ``f * g``, the product: side by side;
* ``f >> axes``, the lift: ``f`` at every index of new leading axes;
* :class:`Block`: a named part of a program, repeated.

:func:`ap` applies a morphism to arrays, and so gives the laws their meaning: two morphisms are
equal when they are equal on all arrays.  Compositions and products are kept flat and
rearrangements are fused, so that associativity and the units hold on the nose:

>>> f, g, h = (broadcast(name, "n -> n") for name in ("exp", "abs", "relu"))
>>> (f @ g) @ h == f @ (g @ h) and (f * g) * h == f * (g * h)
True
>>> f @ identity("n") == f == identity("n") @ f
True
>>> f * identity("") == f == identity("") * f
True
>>> swap("n", "m") @ swap("m", "n") == identity("n, m")
True

Lifting is a functor, [f;g, P] = [f,P];[g,P], and reindexing a contravariant one,
[X; ρ;η] = [X;η];[X;ρ]:

>>> f @ g >> "b" == (f >> "b") @ (g >> "b")
True
>>> from ncd_formal.strides import permutation
>>> shape = tuple(map(size, "bcd"))
>>> eta = permutation(shape, (1, 2, 0))
>>> rho = permutation(eta.codomain, (1, 0, 2))
>>> equal_wires(reindexing(eta @ rho), reindexing(rho) @ reindexing(eta))
True

Interchange, symmetry and the naturality of copying hold by evaluation.  A random operator can be
discarded, but not slid past a copy, or past a reindexing that repeats:

>>> k = broadcast("tanh", "m -> m")
>>> equal_wires((f * k) @ (g * k), (f @ g) * (k @ k))
True
>>> equal_wires((f * k) @ swap("n", "m"), swap("n", "m") @ (k * f))
True
>>> equal_wires(f @ copy("n"), slide_copy(f))
True
>>> slide_copy(broadcast("dropout", "n -> n", deterministic=False, probability=0.5))
Traceback (most recent call last):
ncd_formal.errors.InputError: dropout[n] is random: it does not slide past a copy

Source: Weaves, Wires, and Morphisms, definitions 5 to 13 and lemma 1; Neural Circuit Diagrams,
definition 2.14 (inner broadcasting).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import chain, count

from ncd_formal import arrays, operators
from ncd_formal.arrays import Array, Kind, expand, input_array, permute, pointwise, reindex, view
from ncd_formal.conditions import Context
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.operators import POINTWISE, Extent
from ncd_formal.sizes import Polynomial, product, size
from ncd_formal.strides import Shape, StrideMap, selection, show_shape
from ncd_formal.strides import identity as same_index

# Objects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its size, and a name for people, which equality ignores."""

    size: Polynomial
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name or str(self.size)


Axes = tuple[Axis, ...]
_KINDS: Mapping[str, Kind] = {
    "real": "real",
    "float": "real",
    "boolean": "boolean",
    "bool": "boolean",
    "integer": "integer",
    "int": "integer",
}


@dataclass(frozen=True, slots=True)
class ArrayType:
    """An object of Br that is one array: its axes and its kind."""

    axes: Axes
    kind: Kind = "real"

    def __str__(self) -> str:
        shown = "(" + ", ".join(map(str, self.axes)) + ")"
        return shown if self.kind == "real" else f"{shown} of {self.kind}"

    @property
    def shape(self) -> Shape:
        return tuple(axis.size for axis in self.axes)

    def over(self, axes: Axes) -> ArrayType:
        """The array over further leading axes: [X; P]."""
        return replace(self, axes=axes + self.axes)


Types = tuple[ArrayType, ...]
"""An object of Br: a tuple of array types."""
AxesLike = str | Polynomial | Iterable[Axis]
TypesLike = str | ArrayType | Iterable[ArrayType]
Sizes = Mapping[str, Extent]
"""The sizes of axes whose name is not their size."""


def axes_of(axes: AxesLike, sizes: Sizes | None = None) -> Axes:
    """Axes from their text, between blanks: ``axes_of("b h 4*d")``.

    A name in ``sizes`` has that size; any other text is a size, and a name of that size.
    """
    if isinstance(axes, str):
        return tuple(_axis(text, sizes or {}) for text in axes.split())
    return (Axis(axes),) if isinstance(axes, Polynomial) else tuple(axes)


def _axis(text: str, sizes: Sizes) -> Axis:
    extent = sizes.get(text, text)
    name = text if text.isidentifier() else ""
    return Axis(extent if isinstance(extent, Polynomial) else size(extent), name)


def types_of(types: TypesLike, sizes: Sizes | None = None) -> Types:
    """Array types from their text: ``types_of("b h n d, b 1 n m : boolean")``; "" is none.

    A number, an array without axes, is written ``()``.

    Errors: InputError for an unknown kind and for text that is no size.
    """
    if isinstance(types, ArrayType):
        return (types,)
    if not isinstance(types, str):
        return tuple(types)
    return tuple(_type_of(text, sizes) for text in types.split(",")) if types.strip() else ()


def _type_of(text: str, sizes: Sizes | None) -> ArrayType:
    dimensions, kind = _split_kind(text)
    return ArrayType(() if dimensions == "()" else axes_of(dimensions, sizes), kind)


def _split_kind(text: str) -> tuple[str, Kind]:
    dimensions, colon, kind = (part.strip() for part in text.partition(":"))
    if colon and kind not in _KINDS:
        raise InputError(f"{text.strip()!r}: {kind!r} is no kind; {', '.join(_KINDS)} are")
    return dimensions, _KINDS[kind] if colon else "real"


def _show(types: Types) -> str:
    return ", ".join(map(str, types)) if types else "nothing"


# Morphisms ------------------------------------------------------------------------------------


class Morphism(ABC):
    """A morphism of Br; frozen, compared by structure, and ``eval(repr(f)) == f``."""

    @property
    @abstractmethod
    def domain(self) -> Types:
        """The types of its inputs."""

    @property
    @abstractmethod
    def codomain(self) -> Types:
        """The types of its outputs."""

    @property
    @abstractmethod
    def deterministic(self) -> bool:
        """Whether equal inputs give equal outputs: only then may it slide past a copy."""

    @abstractmethod
    def __rshift__(self, axes: AxesLike) -> Morphism:
        """The lift [f, P]: ``f`` at every index of new leading axes, on all inputs and outputs."""

    @abstractmethod
    def _apply(self, operands: tuple[Array, ...], draws: Iterator[int]) -> tuple[Array, ...]:
        """The outputs; ``draws`` numbers what random operators draw."""

    def __matmul__(self, other: Morphism) -> Morphism:
        """``f @ g``: first ``f``, then ``g``.

        Where one side has further leading axes, the same on all its arrays, the other is lifted.

        Errors: InputError naming the array and the axes that disagree.
        """
        f, g = _aligned(self, other)
        parts: list[Morphism] = []
        for part in chain(_factors(Composed, f), _factors(Composed, g)):
            last = parts[-1] if parts else None
            if isinstance(last, Rearrangement) and isinstance(part, Rearrangement):
                sources = tuple(last.sources[s] for s in part.sources)
                parts[-1] = Rearrangement(last.domain, sources)
            else:
                parts.append(part)
        kept = [part for part in parts if not _is_identity(part)] or parts[:1]
        return kept[0] if len(kept) == 1 else Composed(tuple(kept))

    def __mul__(self, other: Morphism) -> Morphism:
        """``f * g``: both side by side, each on its own inputs."""
        parts: list[Morphism] = []
        for part in chain(_factors(Product, self), _factors(Product, other)):
            last = parts[-1] if parts else None
            if isinstance(last, Rearrangement) and isinstance(part, Rearrangement):
                shifted = tuple(s + len(last.domain) for s in part.sources)
                parts[-1] = Rearrangement(last.domain + part.domain, last.sources + shifted)
            else:
                parts.append(part)
        kept = [part for part in parts if part.domain or part.codomain] or parts[:1]
        return kept[0] if len(kept) == 1 else Product(tuple(kept))


@dataclass(frozen=True)
class Rearrangement(Morphism):
    """Output ``k`` is input ``sources[k]``: identity, swap, copy and deletion of arrays.

    >>> print(copy("n") @ (broadcast("exp", "n -> n") * discard("n")))
    ⟨0 0⟩ ; exp[n] ⊗ ⟨⟩
    """

    types: Types
    sources: tuple[int, ...]

    def __post_init__(self) -> None:
        if any(not 0 <= s < len(self.types) for s in self.sources):
            raise InputError(f"the sources {self.sources} are not all below {len(self.types)}")

    @property
    def domain(self) -> Types:
        return self.types

    @property
    def codomain(self) -> Types:
        return tuple(self.types[s] for s in self.sources)

    @property
    def deterministic(self) -> bool:
        return True

    def __str__(self) -> str:
        return "id" if _is_identity(self) else f"⟨{' '.join(map(str, self.sources))}⟩"

    def __rshift__(self, axes: AxesLike) -> Rearrangement:
        lead = axes_of(axes)
        return Rearrangement(tuple(t.over(lead) for t in self.domain), self.sources)

    def _apply(self, operands: tuple[Array, ...], draws: Iterator[int]) -> tuple[Array, ...]:
        return tuple(operands[s] for s in self.sources)


@dataclass(frozen=True)
class Composed(Morphism):
    """One morphism after the other; build it with ``@``."""

    parts: tuple[Morphism, ...]

    def __post_init__(self) -> None:
        for f, g in zip(self.parts, self.parts[1:], strict=False):
            if f.codomain != g.domain:
                raise InputError(f"{g} takes {_show(g.domain)}, and {f} gives {_show(f.codomain)}")

    @property
    def domain(self) -> Types:
        return self.parts[0].domain

    @property
    def codomain(self) -> Types:
        return self.parts[-1].codomain

    @property
    def deterministic(self) -> bool:
        return all(part.deterministic for part in self.parts)

    def __str__(self) -> str:
        return " ; ".join(map(str, self.parts))

    def __rshift__(self, axes: AxesLike) -> Composed:
        lead = axes_of(axes)
        return Composed(tuple(part >> lead for part in self.parts))

    def _apply(self, operands: tuple[Array, ...], draws: Iterator[int]) -> tuple[Array, ...]:
        for part in self.parts:
            operands = part._apply(operands, draws)
        return operands


@dataclass(frozen=True)
class Product(Morphism):
    """Morphisms side by side; build it with ``*``."""

    parts: tuple[Morphism, ...]

    @property
    def domain(self) -> Types:
        return tuple(chain.from_iterable(part.domain for part in self.parts))

    @property
    def codomain(self) -> Types:
        return tuple(chain.from_iterable(part.codomain for part in self.parts))

    @property
    def deterministic(self) -> bool:
        return all(part.deterministic for part in self.parts)

    def __str__(self) -> str:
        return " ⊗ ".join(f"({p})" if isinstance(p, Composed) else str(p) for p in self.parts)

    def __rshift__(self, axes: AxesLike) -> Product:
        lead = axes_of(axes)
        return Product(tuple(part >> lead for part in self.parts))

    def _apply(self, operands: tuple[Array, ...], draws: Iterator[int]) -> tuple[Array, ...]:
        results: tuple[Array, ...] = ()
        for part in self.parts:
            own, operands = operands[: len(part.domain)], operands[len(part.domain) :]
            results += part._apply(own, draws)
        return results


@dataclass(frozen=True)
class Block(Morphism):
    """A named part of a program, ``times`` after itself: the stack of layers of an architecture.

    Errors: InputError where a repeated body does not end where it begins.
    """

    body: Morphism
    name: str = ""
    times: int = 1

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(f"{self}: a block is repeated at least once")
        if self.times > 1 and self.body.domain != self.body.codomain:
            raise InputError(
                f"{self}: {_show(self.body.domain)} is not {_show(self.body.codomain)}"
            )

    @property
    def domain(self) -> Types:
        return self.body.domain

    @property
    def codomain(self) -> Types:
        return self.body.codomain

    @property
    def deterministic(self) -> bool:
        return self.body.deterministic

    def __str__(self) -> str:
        return (self.name or f"({self.body})") + (f"^{self.times}" if self.times > 1 else "")

    def __rshift__(self, axes: AxesLike) -> Block:
        return replace(self, body=self.body >> axes)

    def _apply(self, operands: tuple[Array, ...], draws: Iterator[int]) -> tuple[Array, ...]:
        for _ in range(self.times):
            operands = self.body._apply(operands, draws)
        return operands


def _factors(kind: type[Composed] | type[Product], f: Morphism) -> tuple[Morphism, ...]:
    return f.parts if isinstance(f, (Composed, Product)) and isinstance(f, kind) else (f,)


def _is_identity(f: Morphism) -> bool:
    return isinstance(f, Rearrangement) and f.sources == tuple(range(len(f.domain)))


def _aligned(f: Morphism, g: Morphism) -> tuple[Morphism, Morphism]:
    """``f`` and ``g``, one of them lifted, so that ``f`` ends where ``g`` begins."""
    given, taken = f.codomain, g.domain
    if given == taken:
        return f, g

    def wrong(why: str) -> InputError:
        return InputError(f"{f} gives {_show(given)} and {g} takes {_show(taken)}: {why}")

    if len(given) != len(taken):
        raise wrong(f"{len(given)} arrays are not {len(taken)}")
    leads: dict[tuple[int, Axes], None] = {}
    for k, (a, b) in enumerate(zip(given, taken, strict=True), start=1):
        if a.kind != b.kind:
            raise wrong(f"array {k} is {a.kind} on the left and {b.kind} on the right")
        longer, lead = max(a.axes, b.axes, key=len), len(a.axes) - len(b.axes)
        leads[lead, longer[: abs(lead)]] = None
        pairs = zip(reversed(a.axes), reversed(b.axes), strict=False)
        for j, (left, right) in enumerate(pairs, start=1):
            if left != right:
                raise wrong(
                    f"in array {k}, axis −{j} is {left.size} on the left and {right.size} on the "
                    "right"
                )
    if len(leads) > 1:
        shown = " and ".join(
            f"{ArrayType(axes)} on the {'left' if lead > 0 else 'right'}" if lead else "none"
            for lead, axes in leads
        )
        raise wrong(f"the further leading axes of the arrays differ: {shown}")
    ((lead, axes),) = leads
    return (f, g >> axes) if lead > 0 else (f >> axes, g)


def identity(types: TypesLike) -> Rearrangement:
    """The identity."""
    types = types_of(types)
    return Rearrangement(types, tuple(range(len(types))))


def swap(first: TypesLike, second: TypesLike) -> Rearrangement:
    """(X, Y) → (Y, X)."""
    a, b = types_of(first), types_of(second)
    order = (*range(len(a), len(a) + len(b)), *range(len(a)))
    return Rearrangement(a + b, order)


def copy(types: TypesLike, times: int = 2) -> Rearrangement:
    """X → (X, X), or as many ``times``."""
    types = types_of(types)
    return Rearrangement(types, tuple(range(len(types))) * times)


def discard(types: TypesLike) -> Rearrangement:
    """X → ()."""
    return copy(types, 0)


# Broadcasted operators ------------------------------------------------------------------------

Setting = int | float | str | Fraction | Polynomial
Settings = Mapping[str, Setting]
Definition = Callable[[Types, Sequence[Array], Settings], Array]
"""The types that the operator sees, arrays whose last axes are those, settings → the result."""


def _pointwise(name: str) -> Definition:
    return lambda types, operands, settings: pointwise(name, *operands)


def _fold(monoid: str) -> Definition:
    """A reduction of every axis that the operator sees."""

    def definition(types: Types, operands: Sequence[Array], settings: Settings) -> Array:
        (source,) = operands
        return arrays.reduce(monoid, source, range(-len(types[0].axes), 0))

    return definition


def _calls(function: Callable[..., Array], **defaults: object) -> Definition:
    """A function of arrays, called with the settings as its further arguments."""

    def definition(types: Types, operands: Sequence[Array], settings: Settings) -> Array:
        return function(*operands, **{**defaults, **settings})

    return definition


def _merge(types: Types, operands: Sequence[Array], settings: Settings) -> Array:
    """All axes that are seen as one, in row-major order."""
    (source,) = operands
    seen = types[0].shape
    return view(source, (*source.shape[: source.rank - len(seen)], product(seen)), "merge")


def _gather(x: Array, ids: Array) -> Array:
    return operators.take(x, arrays.unsqueeze(ids, -1), -1)


def _dropout(x: Array, noise: Array, probability: float) -> Array:
    """Dropout with its noise uniform in [0, 1): a value is kept where that is at least p."""
    kept = pointwise("greater_equal", noise, arrays.number(probability))
    return operators.dropout(x, kept, probability)


DEFINITIONS: Mapping[str, Definition] = {
    **{name: _pointwise(name) for name in POINTWISE},
    **{monoid.lower(): _fold(monoid) for monoid in ("Sum", "Product", "Max", "Min", "All", "Any")},
    "identity": lambda types, operands, settings: operands[0],
    # (n) → ()
    "mean": _calls(operators.mean, dims=(-1,)),
    "variance": _calls(operators.variance, dims=(-1,)),
    "standard_deviation": _calls(operators.standard_deviation, dims=(-1,)),
    "logsumexp": _calls(operators.logsumexp, dims=(-1,)),
    # (n) → (n)
    "cumulative_sum": _calls(operators.cumulative_sum, dim=-1),
    "naive_softmax": _calls(operators.naive_softmax, dim=-1),
    "softmax": _calls(operators.softmax, dim=-1),
    "safe_softmax": _calls(operators.safe_softmax, dim=-1),
    "log_softmax": _calls(operators.log_softmax, dim=-1),
    "normalize": _calls(operators.normalize, dim=-1),
    "layer_norm": _calls(operators.layer_norm, dims=1),
    "rms_norm": _calls(operators.rms_norm, dims=1),
    # several arrays, several axes
    "matmul": _calls(operators.matmul),
    "attention": _calls(operators.attention),
    "gather": _calls(_gather),
    "concatenate": lambda types, operands, settings: arrays.concatenate(operands, -1),
    "merge": _merge,
    # no input
    "number": _calls(arrays.number),
    "causal_mask": _calls(operators.causal_mask),
    # random: the last operand is the noise
    "dropout": _calls(_dropout),
}
"""Operator → its definition, on arrays whose last axes are those that it sees."""


def _defined(name: str, domain: Types, settings: Settings, deterministic: bool) -> ArrayType:
    """The type of what a definition gives."""
    operands = [input_array(str(k), t.shape, t.kind) for k, t in enumerate(domain, start=1)]
    if not deterministic:
        operands.append(input_array("noise", ()))
    try:
        result = DEFINITIONS[name](domain, operands, settings)
    except TypeError as error:
        shown = ", ".join(f"{key} = {value}" for key, value in settings.items())
        raise InputError(
            f"{name} of {_show(domain)} with {shown or 'no settings'}: {error}"
        ) from error
    return ArrayType(tuple(map(Axis, result.shape)), result.kind)


@dataclass(frozen=True)
class Operator:
    """An operator, by the axes that it sees.

    ``name`` is a key of :data:`DEFINITIONS`; of an operator with any other name only the type is
    known.  One that is not ``deterministic`` takes the noise that it draws as a last operand,
    fresh each time it is applied.

    Errors: InputError where the definition gives another codomain.
    """

    name: str
    domain: Types
    codomain: Types
    settings: tuple[tuple[str, Setting], ...] = ()
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.name in DEFINITIONS:
            found = _defined(self.name, self.domain, dict(self.settings), self.deterministic)
            if self.codomain != (found,):
                raise InputError(
                    f"{self.name} of {_show(self.domain)} gives {found}, not {_show(self.codomain)}"
                )

    def __call__(self, operands: Sequence[Array], degree: Shape) -> tuple[Array, ...]:
        """The outputs over ``degree``, which leads the shape of every operand."""
        if self.name in DEFINITIONS:
            result = DEFINITIONS[self.name](self.domain, operands, dict(self.settings))
            return (expand(result, degree + self.codomain[0].shape, self.name),)
        seen = [len(t.axes) for t in self.domain] + [0] * (not self.deterministic)
        name = self.name + "".join(f" {key}={value}" for key, value in self.settings)
        return tuple(
            arrays.opaque(f"{name}[{k}]" if k else name, operands, seen, degree + t.shape, t.kind)
            for k, t in enumerate(self.codomain)
        )


Weave = tuple[bool, ...]
"""For each axis of an array: True where it is tiled, False where the operator sees it."""


@dataclass(frozen=True)
class Broadcasted(Morphism):
    """A generator of Br: ``operator`` at every index p of ``degree``.

    Input ``k`` is read at the tiled index ``reindexings[k](p)``, output ``k`` is written at p; the
    weaves place the axes that the operator sees among the tiled ones.

    Errors: InputError where weaves, reindexings and the types of the operator do not fit.
    """

    operator: Operator
    degree: Axes
    inputs: tuple[Weave, ...]
    outputs: tuple[Weave, ...]
    reindexings: tuple[StrideMap, ...]

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.reindexings) == len(self.operator.domain):
            raise InputError(f"{self}: a weave and a reindexing are needed for each input")
        if len(self.outputs) != len(self.operator.codomain):
            raise InputError(f"{self}: a weave is needed for each output")
        for read in self.reindexings:
            if read.domain != self._shape:
                raise InputError(
                    f"{self}: a reindexing from {show_shape(read.domain)} does not start from the "
                    f"degree {show_shape(self._shape)}"
                )
        tiled = [len(read.codomain) for read in self.reindexings]
        tiled += [len(self.degree)] * len(self.outputs)
        seen = self.operator.domain + self.operator.codomain
        for weave, outer, inner in zip(self.inputs + self.outputs, tiled, seen, strict=True):
            if weave.count(True) != outer or weave.count(False) != len(inner.axes):
                raise InputError(
                    f"{self}: a weave of {weave.count(True)} tiled and {weave.count(False)} seen "
                    f"axes does not fit {outer} tiled axes and {inner}"
                )

    @property
    def _shape(self) -> Shape:
        return tuple(axis.size for axis in self.degree)

    @cached_property
    def domain(self) -> Types:
        types = []
        for weave, read, seen in zip(
            self.inputs, self.reindexings, self.operator.domain, strict=True
        ):
            sources = [read.source_of(j) for j in range(len(read.codomain))]
            tiled = [
                Axis(extent) if k is None else self.degree[k]
                for k, extent in zip(sources, read.codomain, strict=True)
            ]
            types.append(_woven(weave, tiled, seen))
        return tuple(types)

    @cached_property
    def codomain(self) -> Types:
        return tuple(
            _woven(weave, self.degree, seen)
            for weave, seen in zip(self.outputs, self.operator.codomain, strict=True)
        )

    @property
    def deterministic(self) -> bool:
        return self.operator.deterministic

    def __str__(self) -> str:
        return f"{self.operator.name}[{', '.join(map(str, self.degree))}]"

    def __rshift__(self, axes: AxesLike) -> Broadcasted:
        lead = axes_of(axes)
        tiled, alike = (True,) * len(lead), same_index(tuple(axis.size for axis in lead))
        return Broadcasted(
            self.operator,
            lead + self.degree,
            tuple(tiled + weave for weave in self.inputs),
            tuple(tiled + weave for weave in self.outputs),
            tuple(alike * read for read in self.reindexings),
        )

    def _apply(self, operands: tuple[Array, ...], draws: Iterator[int]) -> tuple[Array, ...]:
        name = self.operator.name
        read = [
            reindex(permute(x, _unwoven(weave), name), into * same_index(seen.shape), name)
            for x, weave, into, seen in zip(
                operands, self.inputs, self.reindexings, self.operator.domain, strict=True
            )
        ]
        if not self.deterministic:
            read.append(input_array(f"{name}#{next(draws)}", self._shape))
        results = self.operator(read, self._shape)
        return tuple(
            permute(result, _inverse(_unwoven(weave)), name)
            for result, weave in zip(results, self.outputs, strict=True)
        )


def _woven(weave: Weave, tiled: Iterable[Axis], seen: ArrayType) -> ArrayType:
    outer, inner = iter(tiled), iter(seen.axes)
    return replace(seen, axes=tuple(next(outer) if tile else next(inner) for tile in weave))


def _unwoven(weave: Weave) -> list[int]:
    """The positions of the tiled axes, then those of the seen."""
    return sorted(range(len(weave)), key=lambda k: not weave[k])


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


_TOKEN = re.compile(r"[\[\]]|[^\s\[\]]+")


def broadcast(
    name: str,
    pattern: str,
    *,
    sizes: Sizes | None = None,
    deterministic: bool = True,
    **settings: Setting,
) -> Broadcasted:
    """A broadcasted operator from a pattern: brackets hold the axes that the operator sees.

    ``broadcast("softmax", "b h n [m] -> b h n [m]")``, ``broadcast("multiply", "n d, m d -> n m
    d")``.  The degree is what is outside the brackets on the right, and each input reads it by
    name; ``1`` is an axis of size 1, read at 0.  An axis has the size that it is named after,
    unless ``sizes`` has its name.  ``: boolean`` and ``: integer`` after an array give its kind.
    Without a definition of ``name``, the right side gives the codomain.

    Errors: InputError with the pattern, for axes and shapes that do not fit.
    """

    def wrong(why: str) -> InputError:
        return InputError(f"{name} {pattern!r}: {why}")

    def axes(names: Iterable[str]) -> Axes:
        return axes_of(" ".join(names), sizes)

    def side(text: str) -> list[tuple[list[str], Weave, ArrayType]]:
        """For each array its tiled axes, its weave, and what the operator sees."""
        result = []
        for part in text.split(",") if text.strip() else ():
            dimensions, kind = _split_kind(part)
            inside, tiled, seen, weave = False, list[str](), list[str](), list[bool]()
            for token in _TOKEN.findall("" if dimensions == "()" else dimensions):
                if token in "[]":
                    if inside == (token == "["):
                        raise wrong("brackets do not match")
                    inside = not inside
                else:
                    (seen if inside else tiled).append(token)
                    weave.append(not inside)
            if inside:
                raise wrong("brackets do not match")
            result.append((tiled, tuple(weave), ArrayType(axes(seen), kind)))
        return result

    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise wrong("'->' is missing")
    inputs, outputs = side(left), side(right)
    if not outputs:
        raise wrong("the right side names no array")
    degree = outputs[0][0]
    if any(tiled != degree for tiled, _, _ in outputs) or len(set(degree)) != len(degree):
        raise wrong("the results tile the same axes, each of them once")
    shape = tuple(axis.size for axis in axes(degree))
    reads = []
    for tiled, _, _ in inputs:
        for axis in tiled:
            if axis not in degree and axis != "1":
                raise wrong(f"{axis} is neither in brackets nor in the result")
        extents = tuple(axis.size for axis in axes(tiled))
        sources = [degree.index(axis) if axis in degree else None for axis in tiled]
        reads.append(selection(shape, extents, sources, [size(0)] * len(tiled)))
    domain = tuple(seen for _, _, seen in inputs)
    codomain = tuple(seen for _, _, seen in outputs)
    if name in DEFINITIONS:
        found = _defined(name, domain, settings, deterministic)
        if len(codomain) > 1 or found.shape != codomain[0].shape:
            raise wrong(f"of {_show(domain)} it gives {found}, not {_show(codomain)}")
        codomain = (replace(codomain[0], kind=found.kind),)
    return Broadcasted(
        Operator(name, domain, codomain, tuple(sorted(settings.items())), deterministic),
        axes(degree),
        tuple(weave for _, weave, _ in inputs),
        tuple(weave for _, weave, _ in outputs),
        tuple(reads),
    )


def contraction(pattern: str, sizes: Sizes | None = None) -> Morphism:
    """The sum of products over the axes that the result lacks.

    ``contraction("h n d, h m d -> h n m")``: products at every index of all the axes, then their
    sum.  It needs no operator of its own.

    Errors: InputError with the pattern, for axes that do not fit.

    Source: Neural Circuit Diagrams, section on linearity (inner and outer products, diagonals).
    """
    left, arrow, right = (part.strip() for part in pattern.partition("->"))
    first, *others = (part.strip() for part in left.split(","))
    named = dict.fromkeys(left.replace(",", " ").split())
    kept = right.split()
    if not arrow or not named.keys() >= {*kept}:
        raise InputError(f"contraction {pattern!r}: the result has axes of the left side only")
    summed = [axis for axis in named if axis not in kept]
    every = " ".join([*kept, *summed])
    if not others:
        f: Morphism = broadcast("identity", f"{first} -> {every}", sizes=sizes)
    else:
        f = broadcast("multiply", f"{first}, {others[0]} -> {every}", sizes=sizes)
    for operand in others[1:]:
        factor = broadcast("multiply", f"{every}, {operand} -> {every}", sizes=sizes)
        f = (f * identity(types_of(operand, sizes))) @ factor
    if not summed:
        return f
    return f @ broadcast("sum", f"{right} [{' '.join(summed)}] -> {right or '()'}", sizes=sizes)


def reindexing(
    read: StrideMap, of: str | ArrayType = "()", context: Context | None = None
) -> Broadcasted:
    """[X; η] for η : Q → P: from X over P to X over Q, the pullback along ``read``.

    Identity, repetition, diagonals, slices, strides and windows are all of this form.

    Errors: InputError where η is not shown to land in range.
    """
    if not read.in_range(context or Context()):
        raise InputError(
            f"a read of {show_shape(read.codomain)} from {show_shape(read.domain)} is not shown to "
            "stay in range"
        )
    (seen,) = types_of(of)
    whole = read * same_index(seen.shape)
    scalar = ArrayType((), seen.kind)
    return Broadcasted(
        Operator("identity", (scalar,), (scalar,)),
        tuple(map(Axis, read.domain)) + seen.axes,
        ((True,) * len(whole.codomain),),
        ((True,) * len(whole.domain),),
        (whole,),
    )


def repetition(types: TypesLike, axes: AxesLike) -> Morphism:
    """Each array repeated along new leading axes: reindexing by deletion."""
    lead = tuple(axis.size for axis in axes_of(axes))
    return _each(types_of(types), partial(reindexing, StrideMap(lead, (), (), ())))


def _each(types: Types, make: Callable[[ArrayType], Morphism]) -> Morphism:
    result: Morphism = identity(())
    for each in types:
        result = result * make(each)
    return result


# Laws -----------------------------------------------------------------------------------------


def inner_lift(f: Morphism, axes: AxesLike, carried: Sequence[bool]) -> Morphism:
    """``f`` at every index of new leading axes, which only the inputs marked in ``carried`` have.

    H(X[i], d) = (cH)(X, d)[i]: the others are repeated.

    Source: Neural Circuit Diagrams, definition 2.14.
    """
    lead = axes_of(axes)
    if len(carried) != len(f.domain):
        raise InputError(f"{f} takes {_show(f.domain)}: {len(carried)} marks are given")
    spread: Morphism = identity(())
    for has, each in zip(carried, f.domain, strict=True):
        spread = spread * (identity(each.over(lead)) if has else repetition(each, lead))
    return spread @ (f >> lead)


def slide_copy(f: Morphism) -> Morphism:
    """``copy ; (f ⊗ f)``, which is ``f ; copy``: copying is natural for deterministic morphisms.

    Errors: InputError where ``f`` is random.
    """
    if not f.deterministic:
        raise InputError(f"{f} is random: it does not slide past a copy")
    return copy(f.domain) @ (f * f)


def slide_reindexing(read: StrideMap, f: Morphism, context: Context | None = None) -> Morphism:
    """``(f >> P) ; [Y; η]``, which is ``[X; η] ; (f >> Q)``, for η : Q → P and f : X → Y.

    Errors: InputError where ``f`` is random and η is not shown to read each index at most once:
    what is drawn once and repeated is not what is drawn for each repetition.

    Source: Weaves, Wires, and Morphisms, lemma 1 (Yoneda sliding).
    """
    if not f.deterministic and not _reads_once(read):
        raise InputError(
            f"{f} is random: it does not slide past a reindexing of {show_shape(read.codomain)} "
            f"by {show_shape(read.domain)} that may repeat"
        )
    lifted = f >> tuple(map(Axis, read.codomain))
    return lifted @ _each(f.codomain, lambda each: reindexing(read, each, context))


def _reads_once(read: StrideMap) -> bool:
    """Whether each axis of the domain is shown to set an axis of the codomain by itself."""
    own = {
        used[0]
        for row in read.strides
        if len(used := [k for k, stride in enumerate(row) if stride.terms]) == 1
        and Context().nonnegative(row[used[0]] * row[used[0]] - 1)
    }
    return all(k in own or extent is size(1) for k, extent in enumerate(read.domain))


def ap(f: Morphism, operands: Sequence[Array]) -> tuple[Array, ...]:
    """``f`` applied: ap (f ; g) = ap g ∘ ap f, and ap (f ⊗ g) (v, w) = (ap f v, ap g w).

    A random operator draws a fresh input, named after it, each time that it is applied.

    Errors: InputError where the arrays are not of the types of the domain.
    """
    if len(operands) != len(f.domain):
        raise InputError(f"{f} takes {_show(f.domain)}, and {len(operands)} arrays are given")
    for k, (array, expected) in enumerate(zip(operands, f.domain, strict=True), start=1):
        given = ArrayType(tuple(map(Axis, array.shape)), array.kind)
        if given != expected:
            raise InputError(f"{f}: input {k} is {given}, not {expected}")
    return f._apply(tuple(operands), count(1))


def equal_wires(f: Morphism, g: Morphism, context: Context | None = None) -> bool:
    """Whether two morphisms have the same wires on generic arrays, and so are equal.

    Where False, they may still be equal, by laws that no normal form holds.

    Errors: InputError where their types differ.
    """
    if f.domain != g.domain or f.codomain != g.codomain:
        raise InputError(
            f"{_show(f.domain)} → {_show(f.codomain)} is not "
            f"{_show(g.domain)} → {_show(g.codomain)}"
        )
    operands = [input_array(f"x{k}", t.shape, t.kind) for k, t in enumerate(f.domain, start=1)]
    left, right = elaborate([ap(f, operands), ap(g, operands)], context).programs
    return left == right
