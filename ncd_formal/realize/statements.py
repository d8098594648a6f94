"""Terms as statements on tiles: the body of a kernel.

A value is a tile with one dimension for each axis, among those that have blocks, that it varies
along; two values meet by broadcasting.  What does not change inside a loop is computed before it.
A tile may reach past the end of an axis: there inputs are read as 0, and what is contracted or
folded leaves those places out, so that only places which are not stored hold anything else.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Union

from ncd_formal.frontends.shapes import Declaration, size_names
from ncd_formal.realize.tiles import (
    BLOCK,
    Fold,
    NotEmitted,
    Plan,
    Product,
    admitted,
    matrix_product,
    on_host,
    product_of,
)
from ncd_formal.sizes import Polynomial, size, variable
from ncd_formal.wires import ONE, Term, indices_of, is_axis, subterms

TRUTH, SUM, PRODUCT, ATOM = range(4)
"""How tightly an expression's text binds."""

NOTHING = '-float("inf")'
"""−∞, the score of what is not there."""

_RESERVED = frozenset(
    {*keyword.kwlist, *keyword.softkwlist, "math", "torch", "triton", "tl", "float", "len", "max"}
    | {"min", "range", "tuple", "sum", "ValueError", "configuration", "precision", "each"}
    | {"shapes", "expected", "INDEX", "PRECISION", "LOG2_E", "LN_2", "PORTABLE", "HOPPER"}
    | {"configuration_for", "tanh", "sinh", "cosh", "types", "names", "span", "size", "width"}
    | {"tensors", "target", "hopper", "contiguous", "table"}
)
"""Names that a kernel's file uses for itself."""

_WIDTH = 64
"""An expression longer than this gets a name."""


class Names:
    """Identifiers, each given out once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def fresh(self, stem: str) -> str:
        """An identifier like ``stem``, with a number where it is taken."""
        stem = re.sub(r"\W", "_", stem)
        stem = f"_{stem}" if not stem or stem[0].isdigit() else stem
        name, number = stem, 2
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name

    def snapshot(self) -> frozenset[str]:
        """The names that are taken."""
        return frozenset(self._taken)

    def release(self, names: Iterable[str]) -> None:
        """Let names be given out again."""
        self._taken.difference_update(names)


def polynomial_text(p: Polynomial, names: Mapping[str, str]) -> tuple[str, int]:
    """A polynomial as Python and Triton write it, and how tightly it binds.

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
    single = len(p.terms) == 1 and p.terms[0][1] > 0
    return (
        text or "0",
        ATOM if text.isidentifier() or text.isdigit() else PRODUCT if single else SUM,
    )


def closed(text: str, level: int, needed: int) -> str:
    """The text in parentheses where it binds less tightly than needed."""
    return text if level >= needed else f"({text})"


class Symbols:
    """The identifiers of a kernel and its launcher."""

    def __init__(self, plan: Plan, inputs: Mapping[str, Declaration], taken: Iterable[str]) -> None:
        self.plan = plan
        self.names = Names({*_RESERVED, *taken})
        self.inputs = {name: self.names.fresh(name) for name in inputs}
        self.output = self.names.fresh("out")
        self.sizes = {v: self.names.fresh(v.upper()) for v in size_names(inputs.values())}
        self.axes: dict[str, str] = {}
        self.blocks: dict[str, str] = {}
        self.inside: dict[str, str] = {}
        """Axis → the truth tile "within the axis"."""
        self.starts: dict[str, str] = {}
        """Axis → where its current block starts; axes that are held whole have none."""
        shared: dict[Polynomial, str] = {}
        output = [a for digits in plan.layout for a in digits]
        for axis in dict.fromkeys((*output, *plan.contracted, plan.stream)):
            extent = plan.context.axes[axis]
            twin = shared.get(extent) if axis in plan.whole else None
            if twin is not None:  # two axes of one size, each held whole: one range serves both
                for table in (self.axes, self.blocks, self.inside):
                    table[axis] = table[twin]
                continue
            name = self.axes[axis] = self.names.fresh(axis.removesuffix(".0").replace(".", "_"))
            if axis in plan.roles:
                self.blocks[axis] = self.names.fresh(f"BLOCK_{name.upper()}")
                self.inside[axis] = self.names.fresh(f"in_{name}")
            if axis in plan.whole:
                shared[extent] = axis
            elif axis in plan.roles:
                self.starts[axis] = self.names.fresh(f"{name}0")
        self.states = {f.term: self._state(f) for loop in plan.loops for f in loop}
        """Fold → the variables of its state, in pairs as its value is."""
        self.strides: dict[tuple[str, int], str] = {}
        for name, declaration in inputs.items():
            own = [str(p) for p in declaration.shape]
            for k, p in enumerate(own):
                label = p if p.isidentifier() and own.count(p) == 1 else str(k)
                self.strides[name, k] = self.names.fresh(f"{self.inputs[name]}_{label}")
        self.output_strides = [
            self.names.fresh(f"{self.output}_{'_'.join(self.axes[a] for a in digits) or k}")
            for k, digits in enumerate(plan.layout)
        ]

    def _state(self, fold: Fold) -> NameTree:
        if fold.monoid != "RescaledSum":
            wide = fold.monoid == "Sum" and len(self.plan.tile_of(fold.term)) > 1
            stem = (
                "acc" if wide else {"Sum": "total", "Max": "highest", "Min": "lowest"}[fold.monoid]
            )
            return self.names.fresh(stem)
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

    def extent(self, axis: str) -> tuple[str, int]:
        """The size of an axis, as text."""
        return self.size(self.plan.context.axes[axis])

    def size(self, p: Polynomial) -> tuple[str, int]:
        """A size, as text.

        Errors: NotEmitted for a size that no input shows.
        """
        unknown = sorted(p.variables - self.sizes.keys())
        if unknown:
            raise NotEmitted(f"the size {unknown[0]}, which no input has")
        return polynomial_text(p, self.sizes)


@dataclass(frozen=True, slots=True)
class Value:
    """An expression for a tile."""

    text: str
    axes: tuple[str, ...] = ()
    level: int = ATOM
    type: str = "float32"
    """``"float32"``; ``"stored"``, a real input's type; ``"integer"``; or ``"truth"``."""
    zero: frozenset[str] = frozenset()
    """Axes past whose end the value is 0."""
    finite: bool = True
    """Whether the value is a number past the end of every axis."""
    varying: bool = False
    """Whether it changes within the current loop."""
    within: str | None = None
    """The axis that this truth tile marks the range of."""


Wire = Union[Value, tuple["Wire", "Wire"]]
NameTree = Union[str, tuple["NameTree", "NameTree"]]


@dataclass
class _Region:
    """The body of a loop."""

    varying: frozenset[str]
    """The axes that the loop runs along."""
    ends: bool
    """Whether a block may reach past the end of the streamed axis."""
    assumed: frozenset[Term] = frozenset()
    """Predicates that hold at every place of every tile."""
    lines: list[str] = field(default_factory=list)
    memo: dict[object, Wire] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


class Statements:
    """Writes the statements of a kernel's body, from its first load to its store."""

    def __init__(
        self,
        plan: Plan,
        symbols: Symbols,
        inputs: Mapping[str, Declaration],
        stems: Mapping[Term, str],
    ) -> None:
        self.plan = plan
        self.symbols = symbols
        self.inputs = inputs
        self.stems = stems
        """Names that terms have elsewhere, for their variables."""
        self.lines: list[str] = []
        self.scalars: dict[str, str] = {}
        """Expressions that the launcher computes → the kernel's parameters."""
        self.helpers: set[str] = set()
        """Functions that Triton lacks."""
        self.reads: dict[Term, None] = {}
        self.base_two = False
        """Whether a maximum of exponents to base 2 leaves the kernel."""
        self.uses = Counter(c for node in subterms(plan.term) for c in node.children)
        self._memo: dict[object, Wire] = {}
        self._region: _Region | None = None
        self._states: dict[Term, Wire] = {}
        # An index in its own range: a tile's places past the end of an axis are masked apart.
        self._ranges = replace(plan.context, splits={})

    # Emission

    def _emit(self, line: str, varying: bool) -> None:
        region = self._region
        (region.lines if varying and region else self.lines).append(line)

    def _bind(self, value: Value, stem: str) -> Value:
        """Give an expression a name."""
        name = self.symbols.names.fresh(stem)
        if value.varying and self._region:
            self._region.names.append(name)
        self._emit(f"{name} = {value.text}", value.varying)
        return replace(value, text=name, level=ATOM)

    @contextmanager
    def _within(self, region: _Region) -> Iterator[_Region]:
        self._region = region
        try:
            yield region
        finally:
            self._region = None
            self.symbols.names.release(region.names)

    # Values

    def wire(self, t: Term) -> Wire:
        """The value of a term, or values of a tuple, computed once."""
        region = self._region
        varies = region is not None and not self.plan.varies[t].isdisjoint(region.varying)
        memo = region.memo if region and varies else self._memo
        found = memo.get(t)
        if found is None:
            found = self._make(t)
            if isinstance(found, Value) and self._deserves_name(t, found):
                found = self._bind(found, self.stems.get(t, "t"))
            memo[t] = found
        return found

    def _deserves_name(self, t: Term, made: Value) -> bool:
        simple = made.level == ATOM and not made.text.endswith(")")
        return not simple and (self.uses[t] > 1 or len(made.text) > _WIDTH)

    def value(self, t: Term) -> Value:
        """The value of a term that is no tuple."""
        found = self.wire(t)
        if not isinstance(found, Value):
            raise NotEmitted(f"a tuple as a number: {t}")
        return found

    def _make(self, t: Term) -> Wire:
        op = t.op
        if op == "Input":
            return self._read(t)
        if op == "Constant":
            return Value(_literal(t.args[0]))
        if op == "NegativeInfinity":
            return Value(NOTHING, level=SUM, finite=False)
        if op == "Undefined":
            return Value('float("nan")', finite=False)
        if op in {"First", "Second"}:
            both = self.wire(t.children[0])
            assert isinstance(both, tuple)
            return both[op == "Second"]
        if op == "Tuple":
            return self.wire(t.children[0]), self.wire(t.children[1])
        if op == "Reduce":
            return self._reduction(t)
        if op == "Predicate":
            return self._predicate(t)
        if on_host(t):
            return self._scalar(_host(t, self.symbols)[0])
        if op in {"Mul", "Inverse"} or (op == "Select" and product_of(t).conditions):
            return self._product(product_of(t))
        if op == "Index":
            return replace(self.number(size(str(t.args[0]))), type="integer")
        operands = [self.value(c) for c in t.children]
        if op == "Select":
            condition, then, otherwise = operands
            return self._where([self._truth(condition)], self.float(then), self.float(otherwise))
        return self._pointwise(t, operands)

    def _pointwise(self, t: Term, operands: list[Value]) -> Value:
        op = t.op
        if op in {"And", "Or"}:
            parts = [self._truth(v) for v in operands]
            return self._infix(f" {'&' if op == 'And' else '|'} ", parts, ATOM, TRUTH, "truth")
        if op == "Not":
            (part,) = map(self._truth, operands)
            return replace(part, text=f"~{closed(part.text, part.level, ATOM)}", level=PRODUCT)
        reals = [self.float(v) for v in operands]
        if op in {"Less", "Equal"}:
            return self._infix(f" {'<' if op == 'Less' else '=='} ", reals, SUM, TRUTH, "truth")
        if op == "Add":
            made = self._infix(" + ", reals, SUM, SUM)
            zero = reals[0].zero & reals[1].zero
            return replace(made, zero=zero if made.finite else frozenset())
        if op in {"Maximum", "Minimum"}:
            # The undefined spreads as NaN does.
            suffix = ", propagate_nan=tl.PropagateNan.ALL"
            return self._call(f"tl.{op.lower()}", reals, suffix)
        if op == "Rescale":
            score, shift = reals
            # −∞ weighs 0 against anything, as in the definition.
            there = self._infix(" == ", [score, Value(NOTHING)], SUM, TRUTH, "truth")
            power = self._call("tl.exp", [self._infix(" - ", [score, shift], SUM, SUM)])
            return self._where([there], Value("0.0"), replace(power, finite=False))
        (x,) = reals
        if op == "Function":
            return self._function(str(t.args[0]), x)
        name = {"Exp": "exp", "Log": "log", "Sqrt": "sqrt_rn", "Abs": "abs"}[op]
        return replace(self._call(f"tl.{name}", [x]), finite=op == "Abs" and x.finite)

    def _function(self, name: str, x: Value) -> Value:
        if name in {"erf", "sin", "cos", "floor", "ceil"}:
            return self._call(f"tl.{name}", [x])
        if name in {"tanh", "sinh", "cosh"}:
            self.helpers.add(name)
            return replace(self._call(name, [x]), finite=name == "tanh" and x.finite)
        if name == "tan":
            parts = [self._call(f"tl.{f}", [x]) for f in ("sin", "cos")]
            return self._infix(" / ", parts, PRODUCT, PRODUCT)
        raise NotEmitted(f"the function {name}")

    def _show(self, value: Value, axes: tuple[str, ...], needed: int = TRUTH) -> str:
        """A value's text where it meets a tile of ``axes``."""
        if value.axes in {(), axes}:
            return closed(value.text, value.level, needed)
        places = ", ".join(":" if a in value.axes else "None" for a in axes)
        return f"{closed(value.text, value.level, ATOM)}[{places}]"

    def _join(self, values: Iterable[Value]) -> tuple[str, ...]:
        return self.plan.arranged(a for v in values for a in v.axes)

    def _infix(
        self, operator: str, values: Sequence[Value], needed: int, level: int, type: str = "float32"
    ) -> Value:
        axes = self._join(values)
        # The right operand of − and / needs parentheses where the left one does not.
        right = needed + 1 if operator in {" - ", " / "} else needed
        shown = [self._show(v, axes, right if k else needed) for k, v in enumerate(values)]
        return Value(
            operator.join(shown),
            axes,
            level,
            type,
            finite=all(v.finite for v in values) and operator != " / ",
            varying=any(v.varying for v in values),
        )

    def _call(self, function: str, values: Sequence[Value], suffix: str = "") -> Value:
        axes = self._join(values)
        shown = ", ".join(self._show(v, axes) for v in values)
        varying = any(v.varying for v in values)
        finite = all(v.finite for v in values)
        return Value(f"{function}({shown}{suffix})", axes, finite=finite, varying=varying)

    def _where(self, conditions: Sequence[Value], then: Value, otherwise: Value) -> Value:
        if not conditions:
            return then
        condition = conditions[0]
        if len(conditions) > 1:
            condition = self._infix(" & ", conditions, ATOM, TRUTH, "truth")
        return self._call("tl.where", [condition, then, otherwise])

    def float(self, value: Value) -> Value:
        """The value in float32, in which everything but products of matrices is computed."""
        if value.type == "float32":
            return value
        if value.type == "truth":
            return replace(value, text=f"tl.where({value.text}, 1.0, 0.0)", level=ATOM,
                           type="float32")  # fmt: skip
        text = f"{closed(value.text, value.level, ATOM)}.to(tl.float32)"
        return replace(value, text=text, level=ATOM, type="float32")

    def _truth(self, value: Value) -> Value:
        if value.type == "truth":
            return value
        return replace(value, text=f"{closed(value.text, value.level, SUM)} != 0", level=TRUTH,
                       type="truth")  # fmt: skip

    # Indices

    def _position(self, axis: str) -> Value:
        """The index along an axis."""
        name = self.symbols.axes[axis]
        if axis not in self.plan.roles:
            return Value(name, type="integer", varying=self._runs_along(axis))
        start = self.symbols.starts.get(axis)
        text = f"{start} + {name}" if start else name
        return Value(text, (axis,), SUM if start else ATOM, "integer",
                     varying=self._runs_along(axis))  # fmt: skip

    def _runs_along(self, axis: str) -> bool:
        return self._region is not None and axis in self._region.varying

    def number(self, p: Polynomial) -> Value:
        """A polynomial in sizes and axes, as whole numbers."""
        summands = []
        for monomial, c in p.terms:
            assert c > 0, "the caller keeps what is taken away apart"
            parts = []
            for atom, power in monomial:
                if not isinstance(atom, str):
                    raise NotEmitted(f"an index that divides: {p}")
                one = self._position(atom) if is_axis(atom) else Value(
                    self.symbols.size(variable(atom))[0], type="integer")  # fmt: skip
                parts += [one] * power
            if c != 1 or not parts:
                parts.insert(0, Value(str(c), type="integer"))
            summands.append(
                parts[0] if len(parts) == 1 else self._infix(" * ", parts, PRODUCT, PRODUCT)
            )
        made = summands[0] if len(summands) == 1 else self._infix(" + ", summands, SUM, SUM)
        return replace(made, type="integer")

    def _predicate(self, t: Term) -> Value:
        p = size(str(t.args[0]))
        for axis in self.plan.roles:
            if p is self.plan.context.axes[axis] - 1 - variable(axis):
                return self._in_range(axis)
        return self._nonnegative(p)

    def _nonnegative(self, p: Polynomial) -> Value:
        """``p ≥ 0``, what is taken away on the right."""
        gained = Polynomial({m: c for m, c in p.terms if c > 0})
        taken = Polynomial({m: -c for m, c in p.terms if c < 0})
        strict = dict(taken.terms).get((), 0) > 0
        if strict:  # a ≥ b + 1 for whole numbers
            taken = taken - 1
        sides = [self.number(side) if side.terms else Value("0") for side in (taken, gained)]
        return self._infix(" < " if strict else " <= ", sides, SUM, TRUTH, "truth")

    def _in_range(self, axis: str) -> Value:
        """Where a tile lies within an axis."""
        return Value(self.symbols.inside[axis], (axis,), type="truth",
                     varying=self._runs_along(axis), within=axis)  # fmt: skip

    def _conditions(self, conditions: Iterable[Term]) -> list[Value]:
        """The conditions that are not known to hold here."""
        assumed = self._region.assumed if self._region else frozenset[Term]()
        return [self._truth(self.value(c)) for c in conditions if c not in assumed]

    # Memory

    def _address(
        self, indices: Sequence[Polynomial], strides: Sequence[str]
    ) -> tuple[list[str], list[str], Value | None]:
        """Where a tile lies: 64-bit offsets that lead to it, fixed and varying, and those in it."""
        fixed: list[str] = []
        moving: list[str] = []
        tile: dict[str, list[str]] = {}
        for index, stride in zip(indices, strides, strict=True):
            lead = index
            for axis in sorted(v for v in index.variables if is_axis(v)):
                step = index.coefficient(axis)
                if index.degree(axis) != 1 or any(map(is_axis, step.variables)):
                    raise NotEmitted(f"an index that is not affine: {index}")
                along, varying = self._runs_along(axis), axis in self.plan.roles
                if varying:
                    lead = lead - step * variable(axis)
                    tile.setdefault(axis, []).append(self._scaled(step, stride))
                    start = self.symbols.starts.get(axis)
                elif along:
                    lead = lead - step * variable(axis)
                    start = self.symbols.axes[axis]
                else:
                    continue
                if start:
                    far = f"tl.cast({start}, tl.int64) * {self._scaled(step, stride)}"
                    (moving if along else fixed).append(far)
            if lead.terms:
                names = {**self.symbols.sizes, **self.symbols.axes}
                text, level = polynomial_text(lead, names)
                if not any(map(is_axis, lead.variables)):
                    text, level = f"tl.cast({text}, tl.int64)", ATOM
                fixed.append(f"{closed(text, level, PRODUCT)} * {stride}")
        if not tile:
            return fixed, moving, None
        axes, parts = self.plan.arranged(tile), []
        for axis in axes:
            steps = tile[axis]
            step = steps[0] if len(steps) == 1 else f"({' + '.join(steps)})"
            parts.append(f"{self._show(Value(self.symbols.axes[axis], (axis,)), axes)} * {step}")
        return fixed, moving, Value(" + ".join(parts), axes, SUM)

    def _scaled(self, step: Polynomial, stride: str) -> str:
        if step.constant == 1:
            return stride
        text, level = polynomial_text(step, self.symbols.sizes)
        return f"{closed(text, level, PRODUCT)} * {stride}"

    def _read(self, t: Term) -> Value:
        name = str(t.args[0])
        declaration = self.inputs[name]
        indices = indices_of(str(t.args[1]))
        strides = [self.symbols.strides[name, k] for k in range(len(indices))]
        self.reads[t] = None
        pointer = self.symbols.inputs[name]
        fixed, moving, tile = self._address(indices, strides)
        conditions = [
            self._in_range(axis)
            for axis in self.plan.tile_of(t)
            if axis != self.plan.stream or self._region is None or self._region.ends
        ]
        zero = frozenset(a for c in conditions for a in c.axes)
        for index, extent in zip(indices, declaration.shape, strict=True):
            # Reads that a predicate keeps within the input are kept there in memory, too.
            outside = (p for p in (index, extent - 1 - index)
                       if not self._ranges.nonnegative(p))  # fmt: skip
            conditions += [self._nonnegative(p) for p in outside]
        varying = not self.plan.varies[t].isdisjoint(
            self._region.varying if self._region else frozenset()
        )
        at = self._memo.get(("at", t))
        if at is None:
            whole = Value(" + ".join([pointer, *fixed]), level=SUM if fixed else ATOM)
            at = self._bind(whole, f"{pointer}_at") if fixed and (moving or tile) else whole
            self._memo["at", t] = at
        assert isinstance(at, Value)
        if tile is not None and varying:
            offset = self._memo.get(("offset", t))
            if offset is None:
                offset = self._bind(replace(tile, varying=False), f"{pointer}_offset")
                self._memo["offset", t] = offset
            assert isinstance(offset, Value)
            tile = offset
        where = " + ".join([at.text, *moving, *([tile.text] if tile else [])])
        axes = tile.axes if tile else ()
        mask = ""
        if conditions:
            joined = conditions[0] if len(conditions) == 1 else self._infix(
                " & ", conditions, ATOM, TRUTH, "truth")  # fmt: skip
            other = "0.0" if declaration.kind == "real" else "0"
            mask = f", mask={self._show(joined, axes)}, other={other}"
        kinds = {"real": "stored", "integer": "integer", "boolean": "truth"}
        read = Value(f"tl.load({where}{mask})", axes, type=kinds[declaration.kind], zero=zero,
                     varying=varying)  # fmt: skip
        return self._bind(read, f"{pointer}_tile" if axes else f"{pointer}_value")

    # Products and contractions

    def _scalar(self, expression: str) -> Value:
        """A number that the launcher computes."""
        if expression not in self.scalars:
            self.scalars[expression] = self.symbols.names.fresh("scale")
        return Value(self.scalars[expression])

    def _split_scalars(
        self, product: Product, to_base_two: bool = False
    ) -> tuple[Value | None, list[Term], list[Term]]:
        """The factor that is a number, and the others above and below the line."""
        above, below = ([t for t in side if on_host(t)] for side in (product.over, product.under))
        over, under = (
            [t for t in side if not on_host(t)] for side in (product.over, product.under)
        )
        if not (above or below or to_base_two):
            return None, over, under
        numbers = [t for t in (*above, *below) if t.op != "Constant"]
        if not numbers and not to_base_two:
            value = Fraction(1)
            for t in above:
                value *= Fraction(str(t.args[0]))
            for t in below:
                value /= Fraction(str(t.args[0]))
            return Value(_literal(value)), over, under
        shown = ["LOG2_E"] if to_base_two else []
        shown += [closed(*_host(t, self.symbols), PRODUCT) for t in above]
        text = " * ".join(shown) or "1"
        text += "".join(f" / {closed(*_host(t, self.symbols), ATOM)}" for t in below)
        return self._scalar(text), over, under

    def _multiply(self, values: Sequence[Value]) -> Value:
        if len(values) == 1:
            return values[0]
        made = self._infix(" * ", [self.float(v) for v in values], PRODUCT, PRODUCT)
        zero = frozenset[str]().union(*(v.zero for v in values))
        return replace(made, zero=zero if made.finite else frozenset())

    def _product(self, product: Product, to_base_two: bool = False) -> Value:
        """A product of numbers; with ``to_base_two``, times log₂ e."""
        scalar, over, under = self._split_scalars(product, to_base_two)
        values = [self.value(t) for t in over] + ([scalar] if scalar else [])
        made = self._multiply(values or [Value("1.0")])
        made = self._divided(self.float(made), [self.value(t) for t in under])
        conditions = [c for c in self._conditions(product.conditions) if c.within not in made.zero]
        return self._where(conditions, made, Value("0.0"))

    def _divided(self, value: Value, by: Sequence[Value]) -> Value:
        for divisor in by:
            value = self._infix(" / ", [value, self.float(divisor)], PRODUCT, PRODUCT)
        return value

    def _reduction(self, t: Term) -> Wire:
        monoid, body = t.children
        axis = str(t.args[1])
        if t in self._states:
            return self._states[t]
        axis = self.plan.stream if axis == self.plan.tile else axis
        if monoid.op == "Sum":
            return self._contraction(axis, product_of(body))
        if monoid.op not in {"Max", "Min"}:
            raise NotEmitted(f"a reduction in {monoid.op} that is not a fold of blocks")
        absent = Value(NOTHING if monoid.op == "Max" else 'float("inf")')
        conditions, inner = admitted(body) if monoid.op == "Max" else ((), body)
        known = self._conditions(conditions)
        if axis in self.plan.whole:
            known.append(self._in_range(axis))
        value = self._spread(self._where(known, self.float(self.value(inner)), absent), (axis,))
        return self._reduced(monoid.op.lower(), value, axis)

    def _reduced(self, function: str, value: Value, axis: str) -> Value:
        place = value.axes.index(axis)
        rest = tuple(a for a in value.axes if a != axis)
        text = f"tl.{function}({value.text}, {place})"
        return replace(value, text=text, axes=rest, level=ATOM, zero=value.zero - {axis})

    def _spread(self, value: Value, axes: Iterable[str]) -> Value:
        """The value with a dimension for each of ``axes``."""
        missing = self.plan.arranged(set(axes) - set(value.axes))
        if not missing:
            return value
        blocks = ", ".join(self.symbols.blocks[a] for a in missing)
        zeros = Value(f"tl.zeros([{blocks}], tl.float32)", missing)
        return self._infix(" + ", [self.float(value), zeros], SUM, SUM)

    def _contraction(
        self,
        axis: str,
        product: Product,
        weight: Value | None = None,
        to: Value | None = None,
    ) -> Value:
        """Σ over an axis of a product, by ``weight`` where there is one, added to ``to``."""
        scalar, over, under = self._split_scalars(product)
        values = [self.value(t) for t in over]
        values += [self._divided(Value("1.0"), [self.value(t)]) for t in under]
        values += [weight] if weight else []
        conditions = self._conditions(product.conditions)
        if axis in self.plan.whole or (weight and self._region and self._region.ends):
            conditions.append(self._in_range(axis))
        inner = [v for v in values if axis in v.axes]
        outer = [v for v in values if axis not in v.axes] + ([scalar] if scalar else [])
        within = [c for c in conditions if axis in c.axes]
        without = [c for c in conditions if axis not in c.axes]
        pair = matrix_product(
            [frozenset(v.axes) for v in inner], [frozenset(c.axes) for c in within], axis
        )
        if pair:
            ordered_pair = self.plan.arranged(pair)
            if to and not outer and not without and to.axes == ordered_pair:
                return self._dot(axis, ordered_pair, inner, within, to)
            made = self._dot(axis, ordered_pair, inner, within)
        else:
            made = self._sum(axis, inner, within)
        made = self._where(without, self._multiply([made, *outer]), Value("0.0"))
        return self._infix(" + ", [to, made], SUM, SUM) if to else made

    def _sum(self, axis: str, values: Sequence[Value], conditions: Sequence[Value]) -> Value:
        body = self.float(self._multiply(values)) if values else Value("1.0")
        left_out = [c for c in conditions if c.within not in body.zero]
        body = self._spread(self._where(left_out, body, Value("0.0")), (axis,))
        return self._reduced("sum", body, axis)

    def _dot(
        self,
        axis: str,
        pair: tuple[str, ...],
        values: Sequence[Value],
        conditions: Sequence[Value],
        to: Value | None = None,
    ) -> Value:
        """A product of matrices: rows along ``pair[0]``, columns along ``pair[1]``."""
        sides = [
            self._multiply([v for v in values if pair[1] not in v.axes]),
            self._multiply([v for v in values if pair[1] in v.axes]),
        ]
        for condition in conditions:
            beyond = condition.within
            done = any(beyond in side.zero for side in sides)
            for k, side in enumerate(sides):
                # 0 on one side leaves out what is a number on the other.
                if set(condition.axes) <= set(side.axes) and not (done and side.finite):
                    cut = self._where([condition], self.float(side), Value("0.0"))
                    sides[k] = replace(cut, zero=side.zero | set(condition.axes))
                    done = True
        operands = []
        for k, side in enumerate(sides):
            text = side.text
            if side.type != "stored":
                other = sides[1 - k]
                type_ = f"{other.text}.dtype" if other.type == "stored" else self._narrow()
                text = f"{closed(text, side.level, ATOM)}.to({type_})"
            wanted = (pair[0], axis) if k == 0 else (axis, pair[1])
            operands.append(text if self.plan.arranged(wanted) == wanted else f"tl.trans({text})")
        added = f", {to.text}" if to else ""
        text = f"tl.dot({operands[0]}, {operands[1]}{added}, input_precision=PRECISION)"
        finite = all(side.finite for side in sides)
        zero = (sides[0].zero | sides[1].zero) - {axis} if finite else frozenset[str]()
        return Value(text, pair, zero=zero, finite=finite, varying=any(v.varying for v in sides))

    def _narrow(self) -> str:
        """The type of the real inputs."""
        first = next(n for n, d in self.inputs.items() if d.kind == "real" and self._is_read(n))
        return f"{self.symbols.inputs[first]}.dtype.element_ty"

    def _is_read(self, name: str) -> bool:
        return any(n.op == "Input" and n.args[0] == name for n in subterms(self.plan.term))

    # Folds

    def loop(self, folds: Sequence[Fold]) -> None:
        """One pass over the streamed axis: whole blocks first, then those that reach its end."""
        plan, symbols = self.plan, self.symbols
        axis = plan.stream
        start, block = symbols.starts[axis], symbols.blocks[axis]
        bounds = _Bounds(self, folds)
        whole, end = (symbols.names.fresh(n) for n in ("whole", "end"))
        axis_name = symbols.axes[axis]
        begin = symbols.names.fresh("begin") if bounds.starts else "0"
        passes = (
            (
                f"Blocks of {axis_name} that every place of the tile takes in whole.",
                f"{begin}, {whole}",
                False,
            ),
            ("Blocks that reach past a bound.", f"{whole}, {end}", True),
        )
        states = {f.term: self._state(f) for f in folds}
        prologue: list[str] = []
        for _, names in states.values():
            prologue += names
        for k, (comment, span, ends) in enumerate(passes):
            assumed = frozenset() if ends else bounds.upper.keys()
            with self._within(
                _Region(frozenset({axis, BLOCK}), ends, frozenset(assumed))
            ) as region:
                if ends:
                    extent, level = symbols.extent(axis)
                    position = f"{start} + {symbols.axes[axis]}"
                    inside = f"{symbols.inside[axis]} = {position} < {closed(extent, level, SUM)}"
                    region.lines.append(inside)
                for fold in folds:
                    self._update(fold, states[fold.term][0])
            if not k:
                self.lines += prologue
                self.lines += bounds.lines(begin, whole, end)
            self.lines.append(f"# {comment}")
            self.lines.append(f"for {start} in tl.range({span}, {block}):")
            self.lines += [f"    {line}" for line in region.lines]
        for fold in folds:
            self._states[fold.term] = self._result(fold, states[fold.term][0])

    def _state(self, fold: Fold) -> tuple[Wire, list[str]]:
        """The variables of a fold's state, and the statements that give them the unit."""
        lines: list[str] = []
        varies = self.plan.varies

        def begun(names: NameTree, axes: frozenset[str], part: Term | None, unit: str) -> Wire:
            if isinstance(names, tuple):
                assert part is not None
                left, right = part.children
                return begun(names[0], axes, left, unit), begun(names[1], axes, right, unit)
            axes |= varies[part] if part else frozenset()
            own = self.plan.arranged(axes - {self.plan.stream})
            shape = ", ".join(self.symbols.blocks[a] for a in own)
            lines.append(f"{names} = tl.full([{shape}], {unit}, tl.float32)")
            return Value(names, own)

        names = self.symbols.states[fold.term]
        if fold.monoid != "RescaledSum":
            units = {"Sum": "0.0", "Max": NOTHING, "Min": 'float("inf")'}
            return begun(names, varies[fold.term], None, units[fold.monoid]), lines
        assert isinstance(names, tuple)
        score, value = fold.body.children[1].children
        mu = begun(names[0], varies[score], None, NOTHING)
        return (mu, begun(names[1], varies[score], value, "0.0")), lines

    def _update(self, fold: Fold, state: Wire) -> None:
        """The statements that take one more block into a fold's state."""
        axis = self.plan.stream
        if fold.monoid == "RescaledSum":
            self._update_rescaled(fold, state)
            return
        assert isinstance(state, Value)
        body = fold.body
        name = state.text
        if fold.monoid != "Sum":
            value = self.float(self.value(body))
            function = f"tl.{'max' if fold.monoid == 'Max' else 'min'}imum"
            shown = self._show(value, state.axes)
            self._emit(f"{name} = {function}({name}, {shown})", True)
            return
        if body.op == "Reduce" and body.args[1] == self.plan.tile and body.children[0].op == "Sum":
            made = self._contraction(axis, product_of(body.children[1]), to=state)
            self._emit(f"{name} = {made.text}", True)
            return
        value = self.float(self.value(body))
        self._emit(f"{name} = {name} + {self._show(value, state.axes, SUM)}", True)

    def _update_rescaled(self, fold: Fold, state: Wire) -> None:
        axis = self.plan.stream
        score, value = fold.body.children[1].children
        assert isinstance(state, tuple)
        mu, sums = state
        assert isinstance(mu, Value)
        s = self._exponent(score, (*mu.axes, axis))
        higher = self._call("tl.maximum", [mu, self._reduced("max", s, axis)])
        higher = self._bind(replace(higher, varying=True), "higher")
        # Where nothing is admitted yet, μ = −∞, and −∞ − (−∞) is no exponent: any number will do.
        none_yet = self._infix(" == ", [higher, Value(NOTHING)], SUM, TRUTH, "truth")
        shift = self._bind(self._where([none_yet], Value("0.0"), higher), "shift")
        rescale = self._call("tl.exp2", [self._infix(" - ", [mu, shift], SUM, SUM)])
        rescale = self._bind(replace(rescale, varying=True), "rescale")
        weight = self._call("tl.exp2", [self._infix(" - ", [s, shift], SUM, SUM)])
        weight = self._bind(replace(weight, zero=frozenset({axis}), finite=True), "weight")

        def update(part: Term, own: Wire) -> None:
            if isinstance(own, tuple):
                update(part.children[0], own[0])
                update(part.children[1], own[1])
                return
            kept = self._infix(" * ", [own, rescale], PRODUCT, PRODUCT)
            made = self._contraction(axis, product_of(part), weight, to=kept)
            self._emit(f"{own.text} = {made.text}", True)

        update(value, sums)
        self._emit(f"{mu.text} = {higher.text}", True)

    def _exponent(self, score: Term, axes: Sequence[str]) -> Value:
        """log₂ e times a score, −∞ where it is not admitted."""
        assert self._region is not None
        key = ("exponent", score)
        found = self._region.memo.get(key)
        if isinstance(found, Value):
            return found
        conditions, inner = admitted(score)
        made = self._product(product_of(inner), to_base_two=True)
        known = self._conditions(conditions)
        made = self._bind(
            replace(self._spread(made, axes), varying=True), self.stems.get(inner, "s")
        )
        if known:
            cut = self._where(known, made, Value(NOTHING))
            self._emit(f"{made.text} = {cut.text}", True)
        self._region.memo[key] = made
        return made

    def _result(self, fold: Fold, state: Wire) -> Wire:
        """The value of a fold whose pass is done."""
        if fold.monoid != "RescaledSum":
            return state
        assert isinstance(state, tuple)
        mu, sums = state
        assert isinstance(mu, Value)
        if any(n.op == "First" and n.children[0] is fold.term for n in subterms(self.plan.term)):
            self.base_two = True
        back = self._infix(" * ", [mu, Value("LN_2")], PRODUCT, PRODUCT)
        return back, sums

    # The end

    def store(self) -> None:
        """The statements that compute the output from the folds and store it."""
        plan, symbols = self.plan, self.symbols
        if not plan.written:
            self._store()
            return
        with self._within(_Region(frozenset(plan.written), False)) as region:
            last = plan.written[-1]
            if last in plan.roles:
                extent, level = symbols.extent(last)
                position = f"{symbols.starts[last]} + {symbols.axes[last]}"
                inside = f"{symbols.inside[last]} = {position} < {closed(extent, level, SUM)}"
                region.lines.append(inside)
            self._store()
        indent = ""
        for axis in plan.written:
            extent = symbols.extent(axis)[0]
            if axis in plan.roles:
                span = f"0, {extent}, {symbols.blocks[axis]}"
                self.lines.append(f"{indent}for {symbols.starts[axis]} in tl.range({span}):")
            else:
                self.lines.append(f"{indent}for {symbols.axes[axis]} in tl.range({extent}):")
            indent += "    "
        self.lines += [indent + line for line in region.lines]

    def _store(self) -> None:
        plan, symbols = self.plan, self.symbols
        result = self.float(self.value(plan.term))
        indices = []
        for digits in plan.layout:
            index = size(0)
            for axis in digits:
                index = index * plan.context.axes[axis] + variable(axis)
            indices.append(index)
        fixed, moving, tile = self._address(indices, symbols.output_strides)
        where = " + ".join([symbols.output, *fixed])
        if fixed and (moving or tile):
            where = self._bind(Value(where, level=SUM), f"{symbols.output}_at").text
        where = " + ".join([where, *moving, *([tile.text] if tile else [])])
        axes = tile.axes if tile else ()
        conditions = [self._in_range(axis) for axis in axes]
        mask = ""
        if conditions:
            joined = conditions[0] if len(conditions) == 1 else self._infix(
                " & ", conditions, ATOM, TRUTH, "truth")  # fmt: skip
            mask = f", mask={self._show(joined, axes)}"
        value = f"{closed(result.text, result.level, ATOM)}.to({symbols.output}.dtype.element_ty)"
        shown = self._show(replace(result, text=value, level=ATOM), axes)
        self._emit(f"tl.store({where}, {shown}{mask})", True)


class _Bounds:
    """How far a pass reaches: the predicates that bound the streamed axis.

    A predicate ``u − x ≥ 0`` in which u depends on rows, columns and the grid admits an initial
    part of the streamed axis x.  It holds in every place of the blocks below its least bound; and
    where no fold takes anything from a place that it does not admit, its greatest bound ends the
    pass.  ``x − l ≥ 0`` begins the pass likewise.
    """

    def __init__(self, statements: Statements, folds: Sequence[Fold]) -> None:
        self.statements = statements
        self.plan = statements.plan
        axis = self.plan.stream
        self.upper: dict[Term, Polynomial] = {}
        """Predicate → how many places it admits."""
        lower: dict[Term, Polynomial] = {}
        for node in subterms(*(f.body for f in folds)):
            if node.op != "Predicate" or axis not in node.axes:
                continue
            p = size(str(node.args[0]))
            if p.degree(axis) != 1 or not self._simple(p):
                continue
            if p.coefficient(axis).constant == -1:
                self.upper[node] = p + variable(axis) + 1
            elif p.coefficient(axis).constant == 1:
                lower[node] = variable(axis) - p
        guards = [set(self._guards(f)) for f in folds]
        common = set.intersection(*guards)
        self.ends = {t: bound for t, bound in self.upper.items() if t in common}
        self.starts = {t: bound for t, bound in lower.items() if t in common}

    def _simple(self, p: Polynomial) -> bool:
        """Whether the sign of every index's factor is known, so that extremes are at corners."""
        known = self.plan.context.nonnegative
        for a in p.variables:
            if not is_axis(a) or a == self.plan.stream:
                continue
            step = p.coefficient(a)
            if p.degree(a) != 1 or any(map(is_axis, step.variables)):
                return False
            if a not in {*self.plan.grid, self.plan.row, self.plan.column}:
                return False
            if a in self.plan.roles and not (known(step) or known(-step)):
                return False
        return all(isinstance(atom, str) for atom in p.atoms)

    def _guards(self, fold: Fold) -> Iterator[Term]:
        """The conditions without which a place adds nothing to a fold."""
        body = fold.body
        if body.op != "Reduce" or body.args[1] != self.plan.tile:
            return
        inner = body.children[1]
        if fold.monoid == "RescaledSum":
            inner = inner.children[0]
        if fold.monoid in {"RescaledSum", "Max"}:
            yield from admitted(inner)[0]
        elif fold.monoid == "Sum":
            yield from product_of(inner).conditions

    def _corner(self, bound: Polynomial, greatest: bool) -> str:
        """The greatest or least value of a bound over the tile's rows and columns."""
        symbols, plan = self.statements.symbols, self.plan
        names = {**symbols.sizes, **{a: symbols.axes[a] for a in plan.grid}}
        for axis in sorted(a for a in bound.variables if a in plan.roles):
            rising = plan.context.nonnegative(bound.coefficient(axis))
            start = symbols.starts.get(axis)
            if rising == greatest:
                last = (
                    f"{start} + {symbols.blocks[axis]} - 1"
                    if start
                    else f"{symbols.blocks[axis]} - 1"
                )
                names[axis] = f"({last})"
                if start and bound.coefficient(axis).constant == 1:
                    # n0 + BLOCK − 1 + 1, as one would write it
                    bound = bound - 1
                    names[axis] = f"{start} + {symbols.blocks[axis]}"
            else:
                names[axis] = start or "0"
        return polynomial_text(bound, names)[0]

    @property
    def by_row(self) -> bool:
        """Whether later rows reach further, so that their programs take longer."""
        return any(self.plan.row in bound.variables for bound in self.ends.values())

    def lines(self, begin: str, whole: str, end: str) -> list[str]:
        """The statements for where the pass begins, where whole blocks end, and where all do."""
        context = self.plan.context
        block = self.statements.symbols.blocks[self.plan.stream]
        extent = context.axes[self.plan.stream]

        def least(bounds: Iterable[Polynomial], greatest: bool) -> str:
            corners = [self._corner(b, greatest) for b in bounds if b is not extent]
            shown = self._corner(extent, greatest)
            for corner in corners:
                shown = f"tl.minimum({shown}, {corner})"
            return shown

        narrowest = least(self.upper.values(), greatest=False)
        if not all(map(context.nonnegative, self.upper.values())):
            narrowest = f"tl.maximum({narrowest}, 0)"
        closed_ = narrowest if narrowest.isidentifier() or narrowest.endswith(")") else (
            f"({narrowest})")  # fmt: skip
        lines = []
        if self.starts:
            lowest = "0"
            for bound in self.starts.values():
                lowest = f"tl.maximum({lowest}, {self._corner(bound, greatest=False)})"
            lines.append(f"{begin} = {lowest} // {block} * {block}")
        return [
            *lines,
            f"{whole} = {closed_} // {block} * {block}",
            f"{end} = {least(self.ends.values(), greatest=True)}",
        ]


# Text -------------------------------------------------------------------------------------------


def _literal(value: object) -> str:
    """A number as a float32 literal."""
    number = float(value)  # type: ignore[arg-type]
    if abs(number) > 3e38:
        raise NotEmitted(f"the number {value}, which float32 lacks")
    return repr(number)


def _host(t: Term, symbols: Symbols) -> tuple[str, int]:
    """A term of sizes and numbers as Python, and how tightly it binds."""
    op = t.op
    if op == "Constant":
        value = Fraction(str(t.args[0]))
        if value.denominator == 1:
            return str(value), ATOM if value >= 0 else SUM
        if Fraction(float(value)) == value:
            return repr(float(value)), ATOM if value >= 0 else SUM
        return f"{value.numerator} / {value.denominator}", SUM
    if op == "Index":
        return symbols.size(size(str(t.args[0])))
    if op == "Predicate":
        return f"{symbols.size(size(str(t.args[0])))[0]} >= 0", TRUTH
    parts = [_host(c, symbols) for c in t.children]
    plain = [text for text, _ in parts]
    if op in {"Add", "Mul"}:
        level, sign = (SUM, " + ") if op == "Add" else (PRODUCT, " * ")
        return sign.join(closed(*part, level) for part in parts), level
    if op == "Inverse":
        return f"1 / {closed(*parts[0], ATOM)}", SUM
    if op == "Select":
        return f"({plain[1]} if {plain[0]} else {plain[2]})", ATOM
    if op == "Function":
        return f"math.{t.args[0]}({plain[0]})", ATOM
    names = {"Sqrt": "math.sqrt", "Exp": "math.exp", "Log": "math.log", "Abs": "abs"}
    names |= {"Maximum": "max", "Minimum": "min"}
    if op not in names:
        raise NotEmitted(f"{op} of sizes")
    return f"{names[op]}({', '.join(plain)})", ATOM
