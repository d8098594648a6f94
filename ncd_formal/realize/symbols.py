"""The identifiers of a kernel and its launcher, and what is written with them alone."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Union

from ncd_formal.frontends.shapes import Declaration, size_names
from ncd_formal.realize.tiles import Fold, NotEmitted, Plan
from ncd_formal.sizes import Polynomial, size, variable
from ncd_formal.wires import ONE, Term

TRUTH, SUM, PRODUCT, ATOM = range(4)
"""How tightly an expression's text binds."""

NameTree = Union[str, tuple["NameTree", "NameTree"]]
"""The names of a tuple's components, nested as the tuple is."""

_RESERVED = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, "math", "torch", "triton", "tl", "tanh", "sinh", "cosh"}
    | {"abs", "dict", "float", "len", "map", "max", "min", "sorted", "str", "tuple", "ValueError"}
    | {"INDEX", "PRECISION", "LOG2_E", "LN_2", "PORTABLE", "HOPPER", "configuration_for"}
    | {"parts", "dtype", "processors", "blocks"}
    | {"configuration", "precision", "shapes", "expected", "types", "names", "each", "span"}
)
"""Names that a kernel's file uses for itself."""


class Names:
    """Identifiers, each given out once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)

    def fresh(self, stem: str) -> str:
        """An identifier like ``stem``, with a number where it is taken."""
        stem = re.sub(r"\W", "_", stem)
        stem = f"_{stem}" if not stem or stem[0].isdigit() else stem
        name, number = stem, 2
        while name in self.taken:
            name, number = f"{stem}_{number}", number + 1
        self.taken.add(name)
        return name


class Symbols:
    """The identifiers of a kernel and its launcher."""

    def __init__(self, plan: Plan, inputs: Mapping[str, Declaration], taken: Iterable[str]) -> None:
        self.plan = plan
        self.names = Names({*_RESERVED, *taken})
        self.inputs = {name: self.names.fresh(name) for name in inputs}
        count = len(plan.outputs)
        written = ["out"] if count == 1 else [f"out_{k}" for k in range(1, count + 1)]
        self.outputs = tuple(map(self.names.fresh, written))
        """The arrays that are written."""
        self.sizes = {v: self.names.fresh(v.upper()) for v in size_names(inputs.values())}
        self.parts: tuple[str, str] | None = None
        """The number of parts and that of the blocks in one, where there are parts."""
        if plan.part is not None:
            counts = (plan.context.axes[plan.part], plan.context.axes[plan.step])
            self.sizes |= {str(p): self.names.fresh(str(p).upper()) for p in counts}
            self.parts = self.sizes[str(counts[0])], self.sizes[str(counts[1])]
        self.axes: dict[str, str] = {}
        """Axis → its index: a number for the grid, a range for a dimension of tiles."""
        self.blocks: dict[str, str] = {}
        """Axis → the size of its blocks."""
        self.inside: dict[str, str] = {}
        """Axis → the tile of truth values "within the axis"."""
        self.starts: dict[str, str] = {}
        """Axis → where its current block starts; axes that are held whole have none."""
        self._name_axes()
        self.states = {f.term: self._state(f) for loop in plan.loops for f in loop}
        """Fold → the variables of its state, in pairs as its value is."""
        self.strides: dict[tuple[str, int], str] = {}
        """(input, dimension) → its stride."""
        for name, declaration in inputs.items():
            own = [str(p) for p in declaration.shape]
            for k, p in enumerate(own):
                label = p if p.isidentifier() and own.count(p) == 1 else str(k)
                self.strides[name, k] = self.names.fresh(f"{self.inputs[name]}_{label}")
        self.output_strides = [
            [
                self.names.fresh(f"{name}_{'_'.join(self.axes[a] for a in digits) or k}")
                for k, digits in enumerate(output.layout)
            ]
            for name, output in zip(self.outputs, plan.outputs, strict=True)
        ]
        """The strides of each array that is written."""

    def _name_axes(self) -> None:
        plan = self.plan
        twins: dict[Polynomial, str] = {}
        for axis in dict.fromkeys((*plan.output, *plan.contracted, plan.stream)):
            extent = plan.context.axes[axis]
            twin = twins.get(extent) if axis in plan.whole else None
            if twin is not None:  # two axes of one size, each held whole: one range serves both
                for table in (self.axes, self.blocks, self.inside):
                    table[axis] = table[twin]
                continue
            name = self.axes[axis] = self.names.fresh(axis.removesuffix(".0").replace(".", "_"))
            if axis not in plan.roles:
                continue
            self.blocks[axis] = self.names.fresh(f"BLOCK_{name.upper()}")
            self.inside[axis] = self.names.fresh(f"in_{name}")
            if axis in plan.whole:
                twins[extent] = axis
            else:
                self.starts[axis] = self.names.fresh(
                    f"{name}_0" if name[-1].isdigit() else f"{name}0"
                )

    def _state(self, fold: Fold) -> NameTree:
        if fold.monoid != "RescaledSum":
            tile = fold.monoid == "Sum" and len(self.plan.tile_of(fold.term)) > 1
            stems = {"Sum": "acc" if tile else "total", "Max": "highest", "Min": "lowest"}
            return self.names.fresh(stems[fold.monoid])
        inner = fold.body
        if inner.op != "Reduce" or inner.args[1] != self.plan.tile:
            raise NotEmitted(f"a fold of rescaled sums that are not folds of a tile: {inner}")
        if inner.children[1].op != "Tuple":
            raise NotEmitted(f"a rescaled sum whose scores are not told apart: {inner}")

        def components(part: Term) -> NameTree:
            if part.op == "Tuple":
                return components(part.children[0]), components(part.children[1])
            return self.names.fresh("total" if part is ONE else "acc")

        return self.names.fresh("mu"), components(inner.children[1].children[1])

    def extent(self, axis: str, needed: int = TRUTH) -> str:
        """The size of an axis, as text that binds as tightly as is needed."""
        return self.size(self.plan.context.axes[axis], needed)

    def size(self, p: Polynomial, needed: int = TRUTH) -> str:
        """A size, as text that binds as tightly as is needed.

        Errors: NotEmitted for a size that no input shows, and for quotients.
        """
        unknown = sorted(p.variables - self.sizes.keys())
        if unknown:
            raise NotEmitted(f"the size {unknown[0]}, which no input has")
        return polynomial_text(p, self.sizes, needed)

    def position(self, axis: str) -> str:
        """The index along an axis that tiles have as a dimension."""
        start = self.starts.get(axis)
        return f"{start} + {self.axes[axis]}" if start else self.axes[axis]

    def inside_text(self, axis: str) -> str:
        """The statement for which places of a tile lie within an axis."""
        return f"{self.inside[axis]} = {self.position(axis)} < {self.extent(axis, SUM)}"

    def output_indices(self, number: int = 0) -> tuple[Polynomial, ...]:
        """The index of each dimension of an output."""
        return tuple(map(self.index, self.plan.outputs[number].layout))

    def index(self, digits: Iterable[str]) -> Polynomial:
        """The index of a dimension that is made of axes."""
        index = size(0)
        for axis in digits:
            index = index * self.plan.context.axes[axis] + variable(axis)
        return index


# Text -------------------------------------------------------------------------------------------


def closed(text: str, level: int, needed: int) -> str:
    """The text, in parentheses where it binds less tightly than needed."""
    return text if level >= needed else f"({text})"


def polynomial_text(p: Polynomial, names: Mapping[str, str], needed: int = TRUTH) -> str:
    """A polynomial as Python and Triton write it, its variables called by ``names``.

    Errors: NotEmitted for quotients and remainders.
    """
    text = ""
    for monomial, c in sorted(p.terms, key=lambda item: item[1] < 0):
        if not all(isinstance(atom, str) for atom, _ in monomial):
            raise NotEmitted(f"an index that divides: {p}")
        parts = [names[str(atom)] for atom, power in monomial for _ in range(power)]
        if abs(c) != 1 or not parts:
            parts.insert(0, str(abs(c)))
        sign = (" - " if c < 0 else " + ") if text else ("-" if c < 0 else "")
        text += sign + " * ".join(parts)
    if not text or text.isidentifier() or text.isdigit():
        return text or "0"
    return closed(text, PRODUCT if len(p.terms) == 1 and p.terms[0][1] > 0 else SUM, needed)


def literal(value: Fraction) -> str:
    """A number as a float32 literal.

    Errors: NotEmitted for a number that is too large.
    """
    if abs(value) > 3 * 10**38:
        raise NotEmitted(f"the number {value}, which float32 lacks")
    return repr(float(value))


_HOST = {"Sqrt": "math.sqrt", "Exp": "math.exp", "Log": "math.log", "Abs": "abs"}
_HOST |= {"Maximum": "max", "Minimum": "min"}


def host_text(t: Term, symbols: Symbols, needed: int = TRUTH) -> str:
    """A term of sizes and numbers as Python that a launcher evaluates.

    Errors: NotEmitted for an operator that it cannot evaluate.
    """
    op = t.op
    if op == "Constant":
        value = Fraction(str(t.args[0]))
        if value.denominator == 1 or Fraction(float(value)) == value:
            text = str(value) if value.denominator == 1 else repr(float(value))
            return closed(text, ATOM if value >= 0 else SUM, needed)
        return closed(f"{value.numerator} / {value.denominator}", SUM, needed)
    if op == "Index":
        return symbols.size(size(str(t.args[0])), needed)
    if op == "Predicate":
        return closed(f"{symbols.size(size(str(t.args[0])))} >= 0", TRUTH, needed)
    if op in {"Add", "Mul"}:
        level, sign = (SUM, " + ") if op == "Add" else (PRODUCT, " * ")
        text = sign.join(host_text(c, symbols, level) for c in t.children)
        return closed(text, level, needed)
    if op == "Inverse":
        return closed(f"1 / {host_text(t.children[0], symbols, ATOM)}", SUM, needed)
    parts = [host_text(c, symbols) for c in t.children]
    if op == "Select":
        return f"({parts[1]} if {parts[0]} else {parts[2]})"
    if op == "Function":
        return f"math.{t.args[0]}({parts[0]})"
    if op not in _HOST:
        raise NotEmitted(f"{op} of sizes")
    return f"{_HOST[op]}({', '.join(parts)})"
