"""The statements of a kernel: where a program works, its passes over the streamed axis, its store.

A pass has two loops with one body.  The first takes blocks that lie within every bound, and asks no
questions about them; the second takes what is left, and masks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ncd_formal.frontends.shapes import Declaration
from ncd_formal.realize.expressions import NOTHING, Expressions, Region, Value, Wire
from ncd_formal.realize.symbols import ATOM, PRODUCT, NameTree, Symbols, closed, polynomial_text
from ncd_formal.realize.tiles import BLOCK, Fold, Plan, admitted, product_of
from ncd_formal.sizes import Polynomial, size, variable
from ncd_formal.wires import Term, is_axis, subterms


class Body(Expressions):
    """The body of a kernel: after construction, ``lines`` holds its statements."""

    def __init__(
        self,
        plan: Plan,
        symbols: Symbols,
        inputs: Mapping[str, Declaration],
        stems: Mapping[Term, str],
        stored: Collection[str] = (),
    ) -> None:
        super().__init__(plan, symbols, inputs, stems, stored)
        self._shared_weights: dict[Term, tuple[Value, Value, Value]] = {}
        self.bounds = [Bounds(plan, symbols, loop) for loop in plan.loops]
        self._place()
        for loop, bounds in zip(plan.loops, self.bounds, strict=True):
            self._pass(loop, bounds)
        self._end()

    @property
    def maximum_leaves(self) -> bool:
        """Whether a maximum, which is kept to base 2, is itself asked for."""
        rescaled = {f.term for loop in self.plan.loops for f in loop if f.monoid == "RescaledSum"}
        nodes = subterms(*self.plan.roots)
        return any(n.op == "First" and n.children[0] in rescaled for n in nodes)

    # Where a program works

    def _place(self) -> None:
        """Find the program's place, and the ranges of its tile."""
        plan, symbols = self.plan, self.symbols
        left = "tl.program_id(0)"
        for axis in plan.spread:
            blocks = symbols.names.fresh(f"blocks_{symbols.axes[axis]}")
            block, start = symbols.blocks[axis], symbols.starts[axis]
            last = axis == plan.spread[-1] and not plan.grid
            longest_first = axis == plan.row and any(b.ends_later_below for b in self.bounds)
            if longest_first or not last:
                self.emit(f"{blocks} = tl.cdiv({symbols.extent(axis)}, {block})")
            place, note = left if last else f"{left} % {blocks}", ""
            if longest_first:
                place, note = f"({blocks} - 1 - {place})", "  # the longest first"
            self.emit(f"{start} = {place} * {block}{note}")
            left = f"{left} // {blocks}"
        if plan.grid:
            left = f"{closed(left, PRODUCT if plan.spread else ATOM, ATOM)}.to(tl.int64)"
            if len(plan.grid) > 1:
                program = symbols.names.fresh("program")
                self.emit(f"{program} = {left}")
                left = program
            for axis in reversed(plan.grid[1:]):
                extent = symbols.extent(axis, ATOM)
                self.emit(f"{symbols.axes[axis]} = {left} % {extent}")
                left = f"{left} // {extent}"
            self.emit(f"{symbols.axes[plan.grid[0]]} = {left}")
        self.emit(
            "# The offsets that lead to a tile have 64 bits; those within it are of type INDEX."
        )
        named: set[str] = set()
        for axis in plan.arranged(plan.roles):
            name = symbols.axes[axis]
            if name in named:
                continue
            named.add(name)
            self.emit(f"{name} = tl.arange(0, {symbols.blocks[axis]}).to(INDEX)")
            if axis in {*plan.whole, *plan.spread}:
                self.emit(symbols.inside_text(axis))

    # Passes

    def _pass(self, folds: Sequence[Fold], bounds: Bounds) -> None:
        """One pass over the streamed axis: whole blocks, then those that reach past a bound."""
        symbols, axis = self.symbols, self.plan.stream
        name, start = symbols.axes[axis], symbols.starts[axis]
        begin = symbols.names.fresh("begin") if bounds.lower or symbols.parts else "0"
        whole, end = (symbols.names.fresh(n) for n in ("whole", "end"))
        loops = (
            (f"Blocks of {name} that lie within every bound.", begin, whole, False),
            ("Blocks that reach past a bound.", whole, end, True),
        )
        units: list[str] = []
        states = [(f, self._state(f, units)) for f in folds]
        for comment, first, last, ends in loops:
            assumed = frozenset[Term]() if ends else frozenset(bounds.upper)
            region = Region(frozenset({axis, BLOCK}), ends, assumed)
            self._shared_weights = {}
            with self.within(region):
                if ends:
                    self.emit(symbols.inside_text(axis))
                for fold, state in states:
                    self._update(fold, state)
            if not ends:
                self.lines += [*units, *bounds.lines(begin, whole, end)]
            self.lines += [
                f"# {comment}",
                f"for {start} in tl.range({first}, {last}, {symbols.blocks[axis]}):",
                *(f"    {line}" for line in region.lines),
            ]
        self.folds.update((fold.term, self._result(fold, state)) for fold, state in states)

    def _state(self, fold: Fold, units: list[str]) -> Wire:
        """The variables of a fold's state; ``units`` gains the statements that begin them."""
        varies = self.plan.varies

        def begun(names: NameTree, axes: frozenset[str], part: Term | None, unit: str) -> Wire:
            if isinstance(names, tuple):
                assert part is not None
                left, right = part.children
                return begun(names[0], axes, left, unit), begun(names[1], axes, right, unit)
            axes |= varies[part] if part else frozenset()
            own = self.plan.arranged(axes - {self.plan.stream})
            shape = ", ".join(self.symbols.blocks[a] for a in own)
            units.append(f"{names} = tl.full([{shape}], {unit}, tl.float32)")
            return Value(names, own)

        names = self.symbols.states[fold.term]
        if isinstance(names, str):
            unit = {"Sum": "0.0", "Max": NOTHING, "Min": 'float("inf")'}[fold.monoid]
            return begun(names, varies[fold.term], None, unit)
        score, value = fold.body.children[1].children
        mu = begun(names[0], varies[score], None, NOTHING)
        return mu, begun(names[1], varies[score], value, "0.0")

    def _update(self, fold: Fold, state: Wire) -> None:
        """Take one more block into a fold's state."""
        body = fold.body
        if isinstance(state, tuple):
            self._update_rescaled(body.children[1], state)
        elif fold.monoid != "Sum":
            larger = self.call(f"tl.{fold.monoid.lower()}imum", state, self.real(body))
            self.emit(f"{state.text} = {larger.text}")
        elif (
            body.op == "Reduce" and body.args[1] == self.plan.tile and body.children[0].op == "Sum"
        ):
            made = self.contraction(self.plan.stream, product_of(body.children[1]), to=state)
            self.emit(f"{state.text} = {made.text}")
        else:
            self.emit(f"{state.text} = {self.infix(' + ', state, self.real(body)).text}")

    def _update_rescaled(self, pair: Term, state: tuple[Wire, Wire]) -> None:
        """The fold of (score, value) over a block, from a state on."""
        axis = self.plan.stream
        score, value = pair.children
        mu, sums = state
        assert isinstance(mu, Value)
        higher, rescale, weight = self._weights(score, mu)

        def update(part: Term, own: Wire) -> None:
            if isinstance(own, tuple):
                update(part.children[0], own[0])
                update(part.children[1], own[1])
                return
            kept = self.infix(" * ", own, rescale)
            made = self.contraction(axis, product_of(part), weight, to=kept)
            self.emit(f"{own.text} = {made.text}")

        update(value, sums)
        self.emit(f"{mu.text} = {higher.text}")

    def _weights(self, score: Term, mu: Value) -> tuple[Value, Value, Value]:
        """The maximum with a block's scores, the weight of the state, those of the block."""
        found = self._shared_weights.get(score)
        if found is not None:  # another fold has these scores
            return found
        axis = self.plan.stream
        s = self._exponent(score, (*mu.axes, axis))
        higher = self.bind(self.call("tl.maximum", mu, self.reduced("max", s, axis)), "higher")
        self.emit("# Until a place is admitted μ is −∞, and −∞ − (−∞) no exponent: then 0 serves.")
        nothing_yet = self.infix(" == ", higher, Value(NOTHING))
        shift = self.bind(self.where([nothing_yet], Value("0.0"), higher), "shift")
        rescale = self.bind(self.call("tl.exp2", self.infix(" - ", mu, shift)), "rescale")
        weight = self.bind(self.call("tl.exp2", self.infix(" - ", s, shift)), "weight")
        weight = replace(weight, zero=frozenset({axis}), finite=True)
        self._shared_weights[score] = higher, rescale, weight
        return higher, rescale, weight

    def _exponent(self, score: Term, axes: Sequence[str]) -> Value:
        """log₂ e times a score, and −∞ where it is not admitted."""
        terms, inner = admitted(score)
        made = self.spread(self.product(product_of(inner), times="LOG2_E"), axes)
        made = self.bind(replace(made, varying=True), self.stems.get(inner, "s"))
        conditions = self.conditions(terms)
        if conditions:
            self.emit(f"{made.text} = {self.where(conditions, made, Value(NOTHING)).text}")
        return made

    def _result(self, fold: Fold, state: Wire) -> Wire:
        """The value of a fold whose pass is done; a long sum may be large."""
        if not isinstance(state, tuple):
            return replace(state, wide=fold.monoid == "Sum")
        mu, sums = state
        assert isinstance(mu, Value)
        return self.infix(" * ", mu, Value("LN_2")), _wide(sums)

    # The end

    def _end(self) -> None:
        """Compute the output from the folds, and store it."""
        plan, symbols = self.plan, self.symbols
        region = Region(frozenset(plan.written))
        with self.within(region):
            for axis in plan.written[-1:]:
                if axis in plan.roles:
                    self.emit(symbols.inside_text(axis))
            self._store()
        indent = ""
        for axis in plan.written:
            extent = symbols.extent(axis)
            span = f"0, {extent}, {symbols.blocks[axis]}" if axis in plan.roles else f"0, {extent}"
            index = symbols.starts[axis] if axis in plan.roles else symbols.axes[axis]
            self.lines.append(f"{indent}for {index} in tl.range({span}):")
            indent += "    "
        self.lines += [indent + line for line in region.lines]

    def _store(self) -> None:
        symbols = self.symbols
        for number, (output, name) in enumerate(
            zip(self.plan.outputs, symbols.outputs, strict=True)
        ):
            result = self.real(output.term)
            at = self.address(name, symbols.output_indices(number), symbols.output_strides[number])
            text = f"{closed(result.text, result.level, ATOM)}.to({name}.dtype.element_ty)"
            shown = self.show(replace(result, text=text, level=ATOM), at.axes)
            conditions = [self.in_range(axis) for axis in at.axes]
            mask = f", mask={self.show(self.all_of(conditions), at.axes)}" if conditions else ""
            self.emit(f"tl.store({at.text}, {shown}{mask})")


class Bounds:
    """How far a pass reaches: the predicates that bound the streamed axis x.

    ``u − x ≥ 0``, in which u depends on rows, columns and the grid, admits an initial part of x.
    It holds at every place of the blocks below its least bound; and where no fold takes anything
    from a place that it does not admit, its greatest bound ends the pass.  ``x − l ≥ 0`` likewise
    begins it.
    """

    def __init__(self, plan: Plan, symbols: Symbols, folds: Sequence[Fold]) -> None:
        self.plan, self.symbols = plan, symbols
        guards = set.intersection(*({*_guards(f, plan)} for f in folds))
        self.upper: dict[Term, Polynomial] = {}
        """Predicate → the number of places that it admits."""
        self.lower: list[Polynomial] = []
        """The numbers of places, at the beginning, that no fold takes anything from."""
        self.ends: list[Polynomial] = []
        """The numbers of places after which no fold takes anything."""
        stream = variable(plan.stream)
        for node in subterms(*(f.body for f in folds)):
            if node.op != "Predicate" or plan.stream not in node.axes:
                continue
            p = size(str(node.args[0]))
            step = p.coefficient(plan.stream).constant
            if abs(step or 0) != 1 or not self._monotone(p):
                continue
            if step == -1:
                self.upper[node] = p + stream + 1
                self.ends += [self.upper[node]] * (node in guards)
            elif node in guards:
                self.lower.append(stream - p)

    def _monotone(self, p: Polynomial) -> bool:
        """Whether the extremes of a bound over a tile are known to lie at its corners."""
        known = self.plan.context.nonnegative
        for axis in filter(is_axis, p.variables):
            step = p.coefficient(axis)
            if p.degree(axis) != 1 or any(map(is_axis, step.variables)):
                return False
            if axis not in {*self.plan.grid, self.plan.row, self.plan.column, self.plan.stream}:
                return False
            if axis in self.plan.roles and not (known(step) or known(-step)):
                return False
        return all(isinstance(atom, str) for atom in p.atoms)

    @property
    def ends_later_below(self) -> bool:
        """Whether later rows reach further, so that their programs take longer."""
        return any(self.plan.row in bound.variables for bound in self.ends)

    def lines(self, begin: str, whole: str, end: str) -> Iterator[str]:
        """The statements for where the pass begins, where whole blocks end, and where all do."""
        block = self.symbols.blocks[self.plan.stream]
        extent = self.plan.context.axes[self.plan.stream]
        part_end = ""
        if self.symbols.parts:
            place, (_, steps) = self.symbols.axes[str(self.plan.part)], self.symbols.parts
            span = f"{steps} * {block}"
            yield f"{begin} = {place} * {span}  # where the part begins"
            part_end = self.symbols.names.fresh("part_end")
            yield f"{part_end} = {begin} + {span}"
        if self.lower:
            corners = (self._corner(bound, greatest=False) for bound in self.lower)
            first = f"{_nested('tl.maximum', ('0', *corners))} // {block} * {block}"
            yield f"{begin} = {f'tl.maximum({begin}, {first})' if part_end else first}"

        def least(bounds: Iterable[Polynomial], greatest: bool) -> str:
            distinct = dict.fromkeys((extent, *bounds))
            return _nested("tl.minimum", [self._corner(b, greatest) for b in distinct])

        narrowest = least(self.upper.values(), greatest=False)
        if not all(map(self.plan.context.nonnegative, self.upper.values())):
            narrowest = f"tl.maximum({narrowest}, 0)"
        simple = narrowest.isidentifier() or narrowest.startswith("tl.")
        blocks = f"{closed(narrowest, ATOM if simple else 0, ATOM)} // {block} * {block}"
        last = least(self.ends, greatest=True)
        if part_end:
            # A part may lie past the end, where nothing is left of it.
            blocks = f"tl.maximum({begin}, tl.minimum({blocks}, {part_end}))"
            last = f"tl.minimum({last}, {part_end})"
        yield f"{whole} = {blocks}"
        yield f"{end} = {last}"

    def _corner(self, bound: Polynomial, greatest: bool) -> str:
        """The greatest or least value of a bound over the tile's rows and columns."""
        symbols = self.symbols
        names = {**symbols.sizes, **{a: symbols.axes[a] for a in self.plan.grid}}
        for axis in sorted(bound.variables & self.plan.roles.keys()):
            start, step = symbols.starts.get(axis), bound.coefficient(axis)
            if self.plan.context.nonnegative(step) is greatest:
                # At the last place, start + block − 1.
                bound = bound - step + step * variable(symbols.blocks[axis])
                names[symbols.blocks[axis]] = symbols.blocks[axis]
            if start:
                names[axis] = start
            else:
                bound = bound - step * variable(axis)
        return polynomial_text(bound, names)


def _guards(fold: Fold, plan: Plan) -> tuple[Term, ...]:
    """The conditions without which a place adds nothing to a fold."""
    body = fold.body
    if body.op != "Reduce" or body.args[1] != plan.tile or body.children[0].op != fold.monoid:
        return ()
    inner = body.children[1]
    if fold.monoid == "Sum":
        return product_of(inner).conditions
    if fold.monoid == "RescaledSum":
        inner = inner.children[0]
    return () if fold.monoid == "Min" else admitted(inner)[0]


def _wide(wire: Wire) -> Wire:
    if isinstance(wire, tuple):
        return _wide(wire[0]), _wide(wire[1])
    return replace(wire, wide=True)


def _nested(function: str, arguments: Sequence[str]) -> str:
    shown = arguments[0]
    for argument in arguments[1:]:
        shown = f"{function}({shown}, {argument})"
    return shown
