"""Terms as expressions on tiles.

A value is a tile with one dimension for each axis, among those that have blocks, that it varies
along; two values meet by broadcasting.  What does not change within a loop is computed before it.

A tile may reach past the end of an axis.  There inputs are read as 0, and what is contracted or
folded leaves those places out; what any other place past an end holds is never stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Union

from ncd_formal.frontends.shapes import Declaration
from ncd_formal.realize.symbols import (
    ATOM,
    PRODUCT,
    SUM,
    TRUTH,
    Symbols,
    closed,
    host_text,
    literal,
    polynomial_text,
)
from ncd_formal.realize.tiles import (
    NotEmitted,
    Plan,
    Product,
    admitted,
    matrix_product,
    on_host,
    product_of,
)
from ncd_formal.sizes import Polynomial, size, variable
from ncd_formal.wires import MINUS_ONE, Term, indices_of, is_axis, subterms

NOTHING = '-float("inf")'
"""−∞, the score of what is not there."""

_LONG = 64
"""An expression of more characters gets a name."""


@dataclass(frozen=True, slots=True)
class Value:
    """An expression for a tile."""

    text: str
    axes: tuple[str, ...] = ()
    level: int = ATOM
    type: str = "float32"
    """``"float32"``; ``"stored"``, a real input's own type; ``"integer"``; or ``"truth"``."""
    zero: frozenset[str] = frozenset()
    """Axes past whose end the value is 0."""
    finite: bool = True
    """Whether the value is a number past the ends of axes."""
    varying: bool = False
    """Whether it changes within the current loop."""
    marks: str | None = None
    """The axis whose places this truth tile tells from those past its end."""
    wide: bool = False
    """Whether it may need the range of float32, as what another dispatch summed may."""


Wire = Union[Value, tuple["Wire", "Wire"]]
"""A value, or values nested as a tuple is."""


@dataclass
class Region:
    """The body of a loop in the making."""

    varying: frozenset[str]
    """The axes that the loop runs along."""
    ends: bool = False
    """Whether a block may reach past the end of the streamed axis."""
    assumed: frozenset[Term] = frozenset()
    """Predicates that hold at every place of every tile."""
    lines: list[str] = field(default_factory=list)
    memo: dict[object, Wire] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Expressions:
    """Writes values, and the statements that they need: loads, and what deserves a name."""

    def __init__(
        self,
        plan: Plan,
        symbols: Symbols,
        inputs: Mapping[str, Declaration],
        stems: Mapping[Term, str],
        stored: Collection[str] = (),
    ) -> None:
        self.plan = plan
        self.symbols = symbols
        self.inputs = inputs
        self.stored = stored
        """The inputs that another dispatch made, which are stored in float32."""
        self.stems = stems
        """What terms are called elsewhere, for their variables."""
        self.lines: list[str] = []
        """The statements outside the current loop."""
        self.region: Region | None = None
        self.folds: dict[Term, Wire] = {}
        """The values of the folds whose pass is done."""
        self.scalars: dict[str, str] = {}
        """Expressions for the launcher to compute → the kernel's parameters."""
        self.wide_products = False
        """Whether matrices are multiplied in float32, for the range that they need."""
        self.helpers: set[str] = set()
        """Functions that Triton lacks."""
        self.reads: dict[Term, None] = {}
        """The inputs read, each at its indices."""
        self._memo: dict[object, Wire] = {}
        self._uses = Counter(c for node in subterms(*plan.roots) for c in node.children)
        # Indices lie in the ranges of their axes: places past an end are masked apart.
        self._ranges = replace(plan.context, splits={})

    # Statements

    def emit(self, line: str, varying: bool = True) -> None:
        """Add a statement to the current loop where there is one and it varies there."""
        (self.region.lines if varying and self.region else self.lines).append(line)

    def bind(self, value: Value, stem: str) -> Value:
        """The value under a name of its own."""
        name = self.symbols.names.fresh(stem)
        if value.varying and self.region:
            self.region.names.add(name)
        self.emit(f"{name} = {value.text}", value.varying)
        return replace(value, text=name, level=ATOM)

    @contextmanager
    def within(self, region: Region) -> Iterator[Region]:
        """Write the body of a loop.  Its variables' names are free again afterwards."""
        self.region = region
        try:
            yield region
        finally:
            self.region = None
            self.symbols.names.taken -= region.names

    def runs_along(self, axis: str) -> bool:
        """Whether the current loop runs along an axis."""
        return self.region is not None and axis in self.region.varying

    # Values of terms

    def wire(self, t: Term) -> Wire:
        """The value of a term, or of its components, computed once."""
        region = self.region
        varies = region is not None and not self.plan.varies[t].isdisjoint(region.varying)
        memo = region.memo if region and varies else self._memo
        found = memo.get(t)
        if found is None:
            found = self._make(t)
            if isinstance(found, Value) and self._deserves_name(t, found):
                found = self.bind(found, self.stems.get(t, "t"))
            memo[t] = found
        return found

    def _deserves_name(self, t: Term, made: Value) -> bool:
        simple = made.level == ATOM and not made.text.endswith(")")
        return not simple and (self._uses[t] > 1 or len(made.text) > _LONG)

    def value(self, t: Term) -> Value:
        """The value of a term.

        Errors: NotEmitted for a tuple.
        """
        found = self.wire(t)
        if not isinstance(found, Value):
            raise NotEmitted(f"a tuple as a number: {t}")
        return found

    def real(self, t: Term) -> Value:
        """The value of a term in float32, in which everything but matrices is computed."""
        return self.as_float(self.value(t))

    def _make(self, t: Term) -> Wire:
        op = t.op
        if op == "Input":
            return self._read(t)
        if op == "Constant":
            return Value(literal(Fraction(str(t.args[0]))))
        if op == "NegativeInfinity":
            return Value(NOTHING, level=SUM, finite=False)
        if op == "Undefined":
            return Value('float("nan")', finite=False)
        if op in {"First", "Second"}:
            both = self.wire(t.children[0])
            if isinstance(both, Value):
                raise NotEmitted(f"a number as a tuple: {t.children[0]}")
            return both[op == "Second"]
        if op == "Tuple":
            return self.wire(t.children[0]), self.wire(t.children[1])
        if op == "Reduce":
            return self.folds[t] if t in self.folds else self._reduction(t)
        if op == "Predicate":
            return self._predicate(t)
        if on_host(t):
            return self._scalar(host_text(t, self.symbols))
        if op == "Index":
            return self._polynomial(size(str(t.args[0])))
        product = product_of(t)
        if op in {"Mul", "Inverse"} or (op == "Select" and product.conditions):
            return self.product(product)
        if op == "Select":
            condition, then, otherwise = t.children
            truth = self._truth(self.value(condition))
            return self.where([truth], self.real(then), self.real(otherwise))
        return self._pointwise(t)

    def _pointwise(self, t: Term) -> Value:
        op = t.op
        if op in {"And", "Or", "Not"}:
            truths = [self._truth(self.value(c)) for c in t.children]
            if op == "Not":
                shown = f"~{closed(truths[0].text, truths[0].level, ATOM)}"
                return replace(truths[0], text=shown, level=PRODUCT, marks=None)
            return self._infix(" & " if op == "And" else " | ", truths)
        if op == "Add":
            left, right = t.children
            taken = right.op == "Mul" and right.children[0] is MINUS_ONE
            terms = (left, right.children[1]) if taken else (left, right)
            summands = [self.real(c) for c in terms]
            made = self._infix(" - " if taken else " + ", summands)
            zero = summands[0].zero & summands[1].zero if made.finite else frozenset[str]()
            return replace(made, zero=zero)
        if op in {"Less", "Equal"}:
            values = [self.value(c) for c in t.children]
            if any(v.type != "integer" for v in values):  # whole numbers are compared exactly
                values = list(map(self.as_float, values))
            return self._infix(" < " if op == "Less" else " == ", values)
        reals = [self.real(c) for c in t.children]
        if op in {"Maximum", "Minimum"}:
            # The undefined spreads, as NaN then does.
            return self.call(f"tl.{op.lower()}", *reals, last="propagate_nan=tl.PropagateNan.ALL")
        if op == "Rescale":
            score, shift = reals
            # −∞ weighs 0 against everything, as in the definition.
            absent = self.infix(" == ", score, Value(NOTHING))
            power = replace(self.call("tl.exp", self.infix(" - ", score, shift)), finite=False)
            return self.where([absent], Value("0.0"), power)
        return self._function(str(t.args[0]) if op == "Function" else op, reals[-1])

    def _function(self, name: str, x: Value) -> Value:
        if name == "tan":
            return self.infix(" / ", self.call("tl.sin", x), self.call("tl.cos", x))
        if name not in _FUNCTIONS:
            raise NotEmitted(f"the function {name}")
        if "." not in _FUNCTIONS[name]:
            self.helpers.add(name)
        finite = x.finite and name in _BOUNDED
        zero = x.zero if finite and name in _ZERO_AT_ZERO else frozenset[str]()
        return replace(self.call(_FUNCTIONS[name], x), finite=finite, zero=zero)

    # Text of tiles

    def show(self, value: Value, axes: tuple[str, ...], needed: int = TRUTH) -> str:
        """A value's text where it meets a tile of ``axes``."""
        if value.axes in {(), axes}:
            return closed(value.text, value.level, needed)
        places = ", ".join(":" if a in value.axes else "None" for a in axes)
        return f"{closed(value.text, value.level, ATOM)}[{places}]"

    def infix(self, operator: str, *values: Value) -> Value:
        """Values joined by an operator."""
        return self._infix(operator, values)

    def _infix(self, operator: str, values: Sequence[Value]) -> Value:
        level, type_, needed = _OPERATORS[operator]
        axes = self._meeting(values)
        # What follows − and / needs parentheses where what precedes them does not.
        right = needed + 1 if operator in {" - ", " / "} else needed
        shown = [self.show(v, axes, right if k else needed) for k, v in enumerate(values)]
        finite = operator != " / " and all(v.finite for v in values)
        varying, wide = any(v.varying for v in values), any(v.wide for v in values)
        text = operator.join(shown)
        return Value(text, axes, level, type_, finite=finite, varying=varying, wide=wide)

    def call(self, function: str, *values: Value, last: str = "") -> Value:
        """A function of values, each broadcast to the tile on which they meet."""
        axes = self._meeting(values)
        shown = [self.show(v, axes) for v in values] + ([last] if last else [])
        finite, varying = all(v.finite for v in values), any(v.varying for v in values)
        wide = function in _AS_LARGE and any(v.wide for v in values)
        text = f"{function}({', '.join(shown)})"
        return Value(text, axes, finite=finite, varying=varying, wide=wide)

    def _meeting(self, values: Iterable[Value]) -> tuple[str, ...]:
        return self.plan.arranged(a for v in values for a in v.axes)

    def where(self, conditions: Sequence[Value], then: Value, otherwise: Value) -> Value:
        """``then`` where all conditions hold."""
        if not conditions:
            return then
        return self.call("tl.where", self.all_of(conditions), then, otherwise)

    def all_of(self, conditions: Sequence[Value]) -> Value:
        """Whether all conditions hold; there is at least one."""
        return conditions[0] if len(conditions) == 1 else self._infix(" & ", conditions)

    def as_float(self, value: Value) -> Value:
        """The value in float32."""
        if value.type == "float32":
            return value
        if value.type == "truth":
            text = f"tl.where({value.text}, 1.0, 0.0)"
        else:
            text = f"{closed(value.text, value.level, ATOM)}.to(tl.float32)"
        return replace(value, text=text, level=ATOM, type="float32", marks=None)

    def _truth(self, value: Value) -> Value:
        if value.type == "truth":
            return value
        text = f"{closed(value.text, value.level, SUM)} != 0"
        return replace(value, text=text, level=TRUTH, type="truth")

    def spread(self, value: Value, axes: Iterable[str]) -> Value:
        """The value with a dimension for each of ``axes``."""
        missing = self.plan.arranged(set(axes) - set(value.axes))
        if not missing:
            return value
        blocks = ", ".join(self.symbols.blocks[a] for a in missing)
        return self.infix(" + ", value, Value(f"tl.zeros([{blocks}], tl.float32)", missing))

    # Indices and conditions

    def _position(self, axis: str) -> Value:
        """The index along an axis."""
        varying = self.runs_along(axis)
        if axis not in self.plan.roles:
            return Value(self.symbols.axes[axis], type="integer", varying=varying)
        level = SUM if axis in self.symbols.starts else ATOM
        return Value(self.symbols.position(axis), (axis,), level, "integer", varying=varying)

    def _polynomial(self, p: Polynomial) -> Value:
        """A polynomial in sizes and axes, as whole numbers."""
        gained, taken = _parts(p)
        if not taken.terms:
            return self._sum_of_monomials(gained)
        parts = [self._sum_of_monomials(gained), self._sum_of_monomials(taken)]
        return replace(self._infix(" - ", parts), type="integer")

    def _sum_of_monomials(self, p: Polynomial) -> Value:
        summands = []
        for monomial, c in p.terms:
            factors = []
            for atom, power in monomial:
                if not isinstance(atom, str):
                    raise NotEmitted(f"an index that divides: {p}")
                size_ = variable(atom)
                one = self._position(atom) if is_axis(atom) else (
                    Value(self.symbols.size(size_), type="integer")
                )  # fmt: skip
                factors += [one] * power
            if c != 1 or not factors:
                factors.insert(0, Value(str(c), type="integer"))
            summands.append(factors[0] if len(factors) == 1 else self._infix(" * ", factors))
        if not summands:
            return Value("0", type="integer")
        made = summands[0] if len(summands) == 1 else self._infix(" + ", summands)
        return replace(made, type="integer")

    def _predicate(self, t: Term) -> Value:
        p = size(str(t.args[0]))
        for axis in self.plan.roles:
            if p is self.plan.context.axes[axis] - 1 - variable(axis):
                return self.in_range(axis)
        return self._nonnegative(p)

    def _nonnegative(self, p: Polynomial) -> Value:
        """``p ≥ 0``, with what is taken away on the left."""
        gained, taken = _parts(p)
        strict = dict(taken.terms).get((), 0) > 0  # a + 1 ≤ b for whole numbers
        left = self._sum_of_monomials(taken - 1 if strict else taken)
        return self.infix(" < " if strict else " <= ", left, self._sum_of_monomials(gained))

    def in_range(self, axis: str) -> Value:
        """Which places of a tile lie within an axis."""
        varying = self.runs_along(axis)
        return Value(self.symbols.inside[axis], (axis,), type="truth", varying=varying, marks=axis)

    def conditions(self, conditions: Iterable[Term]) -> list[Value]:
        """The conditions that are not known to hold here."""
        assumed = self.region.assumed if self.region else frozenset[Term]()
        return [self._truth(self.value(c)) for c in conditions if c not in assumed]

    # Memory

    def address(self, pointer: str, indices: Sequence[Polynomial], strides: Sequence[str]) -> Value:
        """Pointers to a tile: where it starts, by 64-bit offsets, and the offsets within it."""
        fixed: list[str] = []
        moving: list[str] = []
        steps: dict[str, list[str]] = {}
        for index, stride in zip(indices, strides, strict=True):
            lead = index
            for axis in sorted(filter(is_axis, index.variables)):
                step = index.coefficient(axis)
                if index.degree(axis) != 1 or any(map(is_axis, step.variables)):
                    raise NotEmitted(f"an index that is not affine: {index}")
                far = self._times(step, stride)
                along = self.runs_along(axis)
                if axis in self.plan.roles:
                    steps.setdefault(axis, []).append(far)
                    start = self.symbols.starts.get(axis)
                elif along:
                    start = self.symbols.axes[axis]
                else:
                    continue
                lead = lead - step * variable(axis)
                if start:
                    (moving if along else fixed).append(f"tl.cast({start}, tl.int64) * {far}")
            if lead.terms:
                # Indices of the grid are 64-bit numbers already.
                text = polynomial_text(lead, {**self.symbols.sizes, **self.symbols.axes}, PRODUCT)
                wide = any(map(is_axis, lead.variables))
                fixed.append(f"{text if wide else f'tl.cast({text}, tl.int64)'} * {stride}")
        axes = self.plan.arranged(steps)
        within = " + ".join(
            f"{self.show(Value(self.symbols.axes[a], (a,)), axes)} * {_summed(steps[a])}"
            for a in axes
        )
        at = pointer
        if fixed and (moving or within):
            at = self._once(" + ".join([pointer, *fixed]), f"{pointer}_at")
        elif fixed:
            at = " + ".join([pointer, *fixed])
        if moving and within:
            within = self._once(within, f"{pointer}_offset")
        text = " + ".join([at, *moving, *([within] if within else [])])
        varying = any(map(self.runs_along, axes)) or bool(moving)
        return Value(text, axes, ATOM if text.isidentifier() else SUM, varying=varying)

    def _times(self, step: Polynomial, stride: str) -> str:
        if step.constant == 1:
            return stride
        return f"{self.symbols.size(step, PRODUCT)} * {stride}"

    def _once(self, text: str, stem: str) -> str:
        """The name of a fixed expression."""
        found = self._memo.get(text)
        if found is None:
            found = self._memo[text] = self.bind(Value(text, level=SUM), stem)
        assert isinstance(found, Value)
        return found.text

    def _read(self, t: Term) -> Value:
        name = str(t.args[0])
        declaration = self.inputs[name]
        indices = indices_of(str(t.args[1]))
        strides = [self.symbols.strides[name, k] for k in range(len(indices))]
        self.reads[t] = None
        conditions = [
            self.in_range(axis)
            for axis in self.plan.tile_of(t)
            if axis != self.plan.stream or self.region is None or self.region.ends
        ]
        zero = frozenset(a for c in conditions for a in c.axes)
        for index, extent in zip(indices, declaration.shape, strict=True):
            # What a predicate keeps within the input is kept there in memory, too.
            for p in (index, extent - 1 - index):
                if not self._ranges.nonnegative(p):
                    conditions.append(self._nonnegative(p))
        pointer = self.symbols.inputs[name]
        at = self.address(pointer, indices, strides)
        mask = ""
        if conditions:
            other = "0.0" if declaration.kind == "real" else "0"
            mask = f", mask={self.show(self.all_of(conditions), at.axes)}, other={other}"
        text = f"tl.load({at.text}{mask})"
        wide = name in self.stored
        type_ = {"real": "stored", "integer": "integer", "boolean": "truth"}[declaration.kind]
        type_ = "float32" if wide else type_
        read = Value(text, at.axes, type=type_, zero=zero, varying=at.varying, wide=wide)
        read = self.bind(read, f"{pointer}_tile" if at.axes else f"{pointer}_value")
        if type_ == "stored" and t not in self.plan.matrices:
            self.emit(f"{read.text} = {read.text}.to(tl.float32)", read.varying)
            return replace(read, type="float32")
        return read

    # Products and reductions

    def _scalar(self, expression: str) -> Value:
        """A number that the launcher computes."""
        if expression not in self.scalars:
            self.scalars[expression] = self.symbols.names.fresh("scale")
        return Value(self.scalars[expression])

    def _number(self, product: Product, times: str = "") -> Value | None:
        """What a product has of sizes and numbers, ``times`` an expression of the launcher."""
        over, under = ([*filter(on_host, side)] for side in (product.over, product.under))
        if not (over or under or times):
            return None
        if not times and all(t.op == "Constant" for t in (*over, *under)):
            value = Fraction(1)
            for t in over:
                value *= Fraction(str(t.args[0]))
            for t in under:
                value /= Fraction(str(t.args[0]))
            return Value(literal(value), level=ATOM if value >= 0 else SUM)
        shown = [times] if times else []
        shown += [host_text(t, self.symbols, PRODUCT) for t in over]
        text = " * ".join(shown) or "1"
        return self._scalar(text + "".join(f" / {host_text(t, self.symbols, ATOM)}" for t in under))

    def _factors(self, product: Product) -> tuple[list[Value], list[Value]]:
        """The other factors above and below the line."""
        over, under = (
            [self.value(t) for t in side if not on_host(t)]
            for side in (product.over, product.under)
        )
        return over, [self.as_float(v) for v in under]

    def multiply(self, values: Sequence[Value]) -> Value:
        """The product of values; one alone keeps its type."""
        if len(values) == 1:
            return values[0]
        made = self._infix(" * ", [self.as_float(v) for v in values])
        zero = frozenset[str]().union(*(v.zero for v in values))
        return replace(made, zero=zero if made.finite else frozenset())

    def product(self, product: Product, times: str = "") -> Value:
        """A product of numbers, times an expression of the launcher."""
        number = self._number(product, times)
        over, under = self._factors(product)
        if over and number and number.text == "-1.0":
            made = self.as_float(self.multiply(over))
            made = replace(made, text=f"-{closed(made.text, made.level, PRODUCT)}", level=SUM)
        else:
            made = self.as_float(self.multiply([*over, *([number] if number else [])] or [_ONE]))
        for divisor in under:
            made = self.infix(" / ", made, divisor)
        conditions = self.conditions(product.conditions)
        left_out = [c for c in conditions if c.marks not in made.zero]
        return self.where(left_out, made, _ZERO)

    def _reduction(self, t: Term) -> Value:
        """A reduction within a block or over a whole axis."""
        monoid, body = t.children
        axis = str(t.args[1])
        axis = self.plan.stream if axis == self.plan.tile else axis
        if monoid.op == "Sum":
            return self.contraction(axis, product_of(body))
        if monoid.op == "RescaledSum":
            raise NotEmitted(f"a rescaled sum within a block that is no fold of blocks: {t}")
        absent = Value(NOTHING if monoid.op == "Max" else 'float("inf")')
        terms, inner = admitted(body) if monoid.op == "Max" else ((), body)
        conditions = self.conditions(terms)
        if axis in self.plan.whole:
            conditions.append(self.in_range(axis))
        return self.reduced(
            monoid.op.lower(), self.where(conditions, self.real(inner), absent), axis
        )

    def reduced(self, function: str, value: Value, axis: str) -> Value:
        """A tile without one of its dimensions."""
        value = self.spread(value, (axis,))
        rest = tuple(a for a in value.axes if a != axis)
        text = f"tl.{function}({value.text}, {value.axes.index(axis)})"
        return replace(value, text=text, axes=rest, level=ATOM, zero=value.zero - {axis})

    def contraction(
        self, axis: str, product: Product, weight: Value | None = None, to: Value | None = None
    ) -> Value:
        """Σ over an axis of a product, by ``weight`` where there is one, added to ``to``."""
        number = self._number(product)
        over, under = self._factors(product)
        values = [*over, *(self.infix(" / ", _ONE, v) for v in under)]
        values += [v for v in (weight, number) if v]
        conditions = self.conditions(product.conditions)
        if axis in self.plan.whole or (weight and self.region and self.region.ends):
            conditions.append(self.in_range(axis))
        inner, outer = ([v for v in values if (axis in v.axes) is own] for own in (True, False))
        kept, guards = ([c for c in conditions if (axis in c.axes) is own] for own in (True, False))
        remaining = matrix_product(
            [frozenset(v.axes) for v in inner], [frozenset(c.axes) for c in kept], axis
        )
        if remaining:
            pair = self.plan.arranged(remaining)
            if to and not outer and not guards and to.axes == pair:
                return self._dot(axis, pair, inner, kept, to)
            made = self._dot(axis, pair, inner, kept)
        else:
            body = self.as_float(self.multiply(inner or [_ONE]))
            left_out = [c for c in kept if c.marks not in body.zero]
            made = self.reduced("sum", self.where(left_out, body, _ZERO), axis)
        made = self.where(guards, self.multiply([made, *outer]), _ZERO)
        return self.infix(" + ", to, made) if to else made

    def _dot(
        self,
        axis: str,
        pair: tuple[str, ...],
        values: Sequence[Value],
        conditions: Sequence[Value],
        to: Value | None = None,
    ) -> Value:
        """A product of matrices, with rows along ``pair[0]`` and columns along ``pair[1]``."""
        sides = [
            self.multiply([v for v in values if (pair[1] in v.axes) is right])
            for right in (False, True)
        ]
        for condition in conditions:
            left_out = any(condition.marks in side.zero for side in sides)
            for k, side in enumerate(sides):
                # 0 on one side leaves out whatever is a number on the other.
                if set(condition.axes) <= set(side.axes) and not (left_out and side.finite):
                    cut = self.where([condition], self.as_float(side), _ZERO)
                    sides[k] = replace(cut, zero=side.zero | set(condition.axes))
                    left_out = True
        places = ((pair[0], axis), (axis, pair[1]))
        wide = any(side.wide for side in sides)
        self.wide_products |= wide
        shown = [self._operand(side, sides[1 - k], places[k], wide) for k, side in enumerate(sides)]
        shown += [to.text] if to else []
        finite = all(side.finite for side in sides)
        zero = (sides[0].zero | sides[1].zero) - {axis} if finite else frozenset[str]()
        varying = any(side.varying for side in sides)
        text = f"tl.dot({', '.join(shown)}, input_precision=PRECISION)"
        return Value(text, pair, zero=zero, finite=finite, varying=varying, wide=wide)

    def _operand(self, side: Value, other: Value, axes: tuple[str, str], wide: bool) -> str:
        """A matrix, in the type of the inputs: narrow products are what GPUs are fast at.

        ``wide`` is for a product whose operands need the range of float32.
        """
        text = side.text
        if wide:
            text = self.as_float(side).text
        elif side.type != "stored":
            type_ = f"{other.text}.dtype" if other.type == "stored" else self._input_type()
            text = f"{closed(text, side.level, ATOM)}.to({type_})"
        return text if self.plan.arranged(axes) == axes else f"tl.trans({text})"

    def _input_type(self) -> str:
        """The type of the real inputs."""
        read = (str(n.args[0]) for n in subterms(*self.plan.roots) if n.op == "Input")
        own = (n for n in read if n not in self.stored)
        real = next((n for n in own if self.inputs[n].kind == "real"), None)
        return f"{self.symbols.inputs[real]}.dtype.element_ty" if real else "tl.float32"


_ZERO, _ONE = Value("0.0"), Value("1.0")

_FUNCTIONS = {
    "Exp": "tl.exp",
    "Log": "tl.log",
    "Sqrt": "tl.sqrt_rn",
    "Abs": "tl.abs",
    **{name: f"tl.{name}" for name in ("erf", "sin", "cos", "floor", "ceil")},
    **{name: name for name in ("tanh", "sinh", "cosh")},
}
"""Operators and functions → what computes them; without a dot, a helper in the file."""
_BOUNDED = frozenset({"Abs", "erf", "sin", "cos", "tanh", "floor", "ceil"})
"""Those that take numbers to numbers, in float32 too."""
_AS_LARGE = frozenset({"tl.maximum", "tl.minimum", "tl.where", "tl.abs"})
"""Those whose values may be as large as what they are given."""
_ZERO_AT_ZERO = _BOUNDED - {"cos"}
"""Those of them that are 0 at 0."""

_OPERATORS = {
    # how tightly it binds, the type of the result, how tightly operands must bind
    " + ": (SUM, "float32", SUM),
    " - ": (SUM, "float32", SUM),
    " * ": (PRODUCT, "float32", PRODUCT),
    " / ": (PRODUCT, "float32", PRODUCT),
    " < ": (TRUTH, "truth", SUM),
    " <= ": (TRUTH, "truth", SUM),
    " == ": (TRUTH, "truth", SUM),
    " & ": (TRUTH, "truth", ATOM),
    " | ": (TRUTH, "truth", ATOM),
}


def _parts(p: Polynomial) -> tuple[Polynomial, Polynomial]:
    """``p`` as the difference of two polynomials without negative numbers."""
    gained = Polynomial({m: c for m, c in p.terms if c > 0})
    return gained, gained - p


def _summed(steps: Sequence[str]) -> str:
    return steps[0] if len(steps) == 1 else f"({' + '.join(steps)})"
