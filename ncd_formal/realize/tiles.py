"""The plan of a kernel: what each axis of a streamed form does.

A kernel is many copies of one program.  Each computes a *tile* of the output: a block of one axis
(the rows), perhaps by another (the columns), at one index of every further axis (the grid).  It
passes over the streamed axis block by block and keeps the states of the folds.  An axis that is
contracted inside a block is held whole.  An axis of the output on which no fold depends is
*written*: a program runs through it once its folds are done.

Which axes become rows and columns is the one choice.  The form makes it: they are the pair by which
most contractions become products of matrices, the operation that GPUs are built for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce as fold_left
from itertools import combinations, count

from ncd_formal.conditions import Context
from ncd_formal.derivation import StreamedForm
from ncd_formal.derivation.schedules import apart, replaced
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.wires import (
    MINUS_ONE,
    NEGATIVE_INFINITY,
    ONE,
    ZERO,
    Argument,
    Term,
    inverse,
    negative,
    subterms,
    term,
)

ROW, STREAM, COLUMN, WRITTEN, CONTRACTED = range(5)
"""What the dimensions of a tile are, in the order in which a tile has them."""

BLOCK = "block"
"""Stands for the axis that counts blocks among the axes that a value varies along."""

MONOIDS = frozenset({"Sum", "Max", "Min", "RescaledSum"})
"""The monoids whose reductions are emitted."""

TRUTHS = frozenset({"Predicate", "Less", "Equal", "Not", "And", "Or"})
"""The operators whose values are 0 and 1."""

_COMMUTATIVE = frozenset({"Mul", "Add", "Maximum", "Minimum", "And", "Or"})


class NotEmitted(InputError):
    """A form that is proved and has a meaning, but for which no kernel is written yet."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no kernel is emitted yet for {what}")


# Terms as the generator reads them --------------------------------------------------------------


def ordered(root: Term, inputs: Sequence[str], regrouped: Collection[str] = _COMMUTATIVE) -> Term:
    """The term with the operands of commutative operators in one order.

    Which of ``k·q`` and ``q·k`` a search finds is chance; what is printed must not be.  Numbers
    come first in products and last in sums; what divides or is taken away comes last; and what
    reads inputs stands where the first of them is declared.  A product of products, and likewise
    for every operator in ``regrouped``, is ordered as one.
    """
    place = {name: k for k, name in enumerate(inputs)}
    made: dict[Term, Term] = {}
    earliest: dict[Term, int] = {}

    def position(t: Term) -> int:
        """The place of the first input that a term reads; −1 for none."""
        if t not in earliest:
            for node in subterms(t):
                own = [place.get(str(node.args[0]), len(place))] if node.op == "Input" else []
                own += [earliest[c] for c in node.children if earliest[c] >= 0]
                earliest[node] = min(own, default=-1)
        return earliest[t]

    def operands(t: Term, op: str) -> list[Term]:
        if t.op != op:
            return [t]
        return [x for c in t.children for x in (operands(c, op) if op in regrouped else [c])]

    def key(t: Term, op: str) -> tuple[bool, int, bool, str]:
        divides = op == "Mul" and t.op == "Inverse"
        taken = t.op == "Mul" and t.children[0] is MINUS_ONE
        where = position(t)
        return divides, len(place) if op == "Add" and where < 0 else where, taken, t.digest

    def commuted(t: Term) -> Term:
        first, *others = sorted(operands(t, t.op), key=lambda x: key(x, t.op))
        if first is MINUS_ONE:  # −(a·b), as ``negative`` writes it
            return negative(fold_left(lambda a, b: term(t.op, a, b), others))
        return fold_left(lambda a, b: term(t.op, a, b), others, first)

    for node in subterms(root):
        args: list[Argument] = [made[a] if isinstance(a, Term) else a for a in node.args]
        built = term(node.op, *args)
        made[node] = commuted(built) if node.op in _COMMUTATIVE else built
    return made[root]


@dataclass(frozen=True, slots=True)
class Product:
    """A term as Π over / Π under where every condition holds, and 0 elsewhere."""

    conditions: tuple[Term, ...]
    over: tuple[Term, ...]
    under: tuple[Term, ...]

    @property
    def factors(self) -> tuple[Term, ...]:
        """The factors, divisors as inverses."""
        return (*self.over, *map(inverse, self.under))


def product_of(t: Term) -> Product:
    """The factors of a term; a term that is no product is its only factor."""
    if t.op == "Mul":
        left, right = map(product_of, t.children)
        return Product(
            left.conditions + right.conditions, left.over + right.over, left.under + right.under
        )
    if t.op == "Select" and t.children[2] is ZERO:
        inner = product_of(t.children[1])
        return Product((*conjuncts(t.children[0]), *inner.conditions), inner.over, inner.under)
    if t.op == "Inverse":
        inner = product_of(t.children[0])
        if not inner.conditions:
            return Product((), inner.under, inner.over)
    if t.op in TRUTHS:
        return Product(conjuncts(t), (), ())
    return Product((), () if t is ONE else (t,), ())


def conjuncts(condition: Term) -> tuple[Term, ...]:
    """The conditions that must all hold for this one to hold."""
    if condition.op in {"And", "Mul"}:
        parts = tuple(c for child in condition.children for c in conjuncts(child))
        if condition.op == "And" or all(c.op in TRUTHS for c in parts):
            return parts
    return (condition,)


def admitted(t: Term) -> tuple[tuple[Term, ...], Term]:
    """``t`` as (conditions, inner): inner where they all hold, and −∞ elsewhere."""
    if t.op == "Select" and t.children[2] is NEGATIVE_INFINITY:
        conditions, inner = admitted(t.children[1])
        return (*conjuncts(t.children[0]), *conditions), inner
    return (), t


def leaves(value: Term) -> tuple[Term, ...]:
    """The components of nested tuples, from left to right."""
    if value.op == "Tuple":
        return tuple(x for child in value.children for x in leaves(child))
    return (value,)


def on_host(t: Term) -> bool:
    """Whether a term depends on sizes and numbers alone, so that a launcher can compute it."""
    return not t.axes and all(node.op not in {"Input", "Reduce"} for node in subterms(t))


def matrix_product(
    operands: Sequence[frozenset[str]], conditions: Iterable[frozenset[str]], axis: str
) -> tuple[str, str] | None:
    """The two axes that remain where contracting factors over ``axis`` is a product of matrices.

    Factors and conditions are given by the axes that they vary along.  None where not two axes
    remain, or a factor varies along both.
    """
    inner = [own for own in operands if axis in own]
    rest = frozenset[str]().union(*inner) - {axis}
    if len(rest) != 2 or any(rest < own for own in inner):
        return None
    if any(rest | {axis} <= own for own in conditions):
        return None
    one, other = sorted(rest)
    return one, other


# The plan ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold over the blocks of the streamed axis."""

    term: Term
    monoid: str
    body: Term
    """What is folded: a value for each block."""


@dataclass(frozen=True)
class Plan:
    """What each axis does, and what is folded in which order."""

    context: Context
    outputs: tuple[Output, ...]
    """What a program computes, as the generator reads it."""
    stream: str
    tile: str
    """The streamed axis within one block, as the form's inner reductions name it."""
    loops: tuple[tuple[Fold, ...], ...]
    """The folds of one pass over the streamed axis each; a pass needs earlier ones only."""
    part: str | None
    """The axis that counts the parts of the streamed axis, one of the grid."""
    step: str
    """The axis that counts the blocks, of a part where there are parts."""
    grid: tuple[str, ...]
    row: str | None
    column: str | None
    column_whole: bool
    """Whether a program holds all columns, so that what does not depend on them is done once."""
    written: tuple[str, ...]
    """Axes of the output that only the end depends on."""
    contracted: tuple[str, ...]
    varies: Mapping[Term, frozenset[str]]
    """The axes that a value varies along; ``BLOCK`` where it belongs to one block."""
    products: int
    """How many contractions are products of matrices."""
    matrices: frozenset[Term]
    """The factors of those products."""
    shapes: frozenset[tuple[str, ...]]
    """The axes of the tiles that are computed."""

    roles: Mapping[str, int] = field(init=False)
    """The axes that are dimensions of tiles, each with its place there."""

    def __post_init__(self) -> None:
        roles = dict.fromkeys(self.contracted, CONTRACTED) | {self.stream: STREAM}
        if self.row:
            roles[self.row] = ROW
        if self.column:
            roles[self.column] = COLUMN
        elif self.written:
            roles[self.written[-1]] = WRITTEN
        object.__setattr__(self, "roles", roles)

    def arranged(self, axes: Iterable[str]) -> tuple[str, ...]:
        """Those axes that are dimensions of tiles, in the order in which tiles have them."""
        return tuple(sorted(set(axes) & self.roles.keys(), key=lambda a: (self.roles[a], a)))

    def tile_of(self, t: Term) -> tuple[str, ...]:
        """The dimensions of a value's tile."""
        return self.arranged(self.varies[t])

    @property
    def roots(self) -> tuple[Term, ...]:
        """The terms that are computed."""
        return tuple(each.term for each in self.outputs)

    @property
    def output(self) -> tuple[str, ...]:
        """The axes of the outputs."""
        return axes_of(self.outputs)

    @property
    def whole(self) -> tuple[str, ...]:
        """The axes that are held whole."""
        held = (self.column,) if self.column and self.column_whole else ()
        return (*held, *self.contracted)

    @property
    def spread(self) -> tuple[str, ...]:
        """The axes whose blocks are spread over programs."""
        return tuple(a for a in (self.row, self.column) if a and a not in self.whole)

    @property
    def blocked(self) -> tuple[str, ...]:
        """The axes that are cut into blocks of a size that is free."""
        return tuple(a for a in self.arranged(self.roles) if a not in self.whole)


def axes_of(outputs: Iterable[Output]) -> tuple[str, ...]:
    """The axes of outputs, each once."""
    return tuple(dict.fromkeys(a for each in outputs for digits in each.layout for a in digits))


def with_axes_apart(
    form: StreamedForm, outputs: Sequence[Output]
) -> tuple[StreamedForm, tuple[Output, ...]]:
    """A form and outputs in which nothing is reduced over an axis of an output.

    A kernel tells axes by their names, which for a reduced one is free to choose.
    """
    axes = dict(form.context.axes)

    def fresh(like: str, taken: Iterable[str]) -> str:
        used, label = set(taken), like.split(".", maxsplit=1)[0]
        names = (f"{label}.{k}" for k in count())
        name = next(n for n in names if n not in used and axes.get(n, axes[like]) is axes[like])
        axes.setdefault(name, axes[like])
        return name

    free = axes_of(outputs or [Output(form.term, form.layout)])
    made = tuple(replace(each, term=apart(each.term, free, fresh)) for each in outputs)
    if form.part is None:
        root = apart(form.term, free, fresh)
    else:  # an axis of what parts end in may be reduced later
        folds = [n for n in subterms(form.term) if n.op == "Reduce" and n.args[1] == form.part]
        inner = [fold.children[1] for fold in folds]
        root = replaced(form.term, {each: apart(each, free, fresh) for each in inner})
    return replace(form, term=root, context=replace(form.context, axes=axes)), made


def plan(form: StreamedForm, inputs: Sequence[str], outputs: Sequence[Output] = ()) -> Plan:
    """The plan of a form's kernel, or of one that writes the ``outputs`` among what it computes.

    Errors: NotEmitted, an InputError, for what no kernel is written for yet.
    """
    if not form.context.splits[form.axis].masked:
        raise NotEmitted("tiles of a declared size; stream with masked tiles instead")
    made = tuple(
        replace(each, term=ordered(each.term, inputs))
        for each in outputs or (Output(form.term, form.layout),)
    )
    roots = [each.term for each in made]
    _refuse_unknown(roots, form, inputs)
    varies = _dependence(roots, form)
    loops = _loops(roots, form.block)
    output = axes_of(made)
    contracted = _contracted(roots, form)
    if form.part in contracted:
        raise NotEmitted(f"a fold over the parts of {form.axis} beside those within them")
    folded = frozenset[str]().union(*(varies[f.term] for loop in loops for f in loop))
    written = tuple(a for a in output if a not in folded)
    candidates = [a for a in output if a in folded and a != form.part]

    def measure(axes: Iterable[str]) -> _Measure:
        return _Measure(roots, form, varies, frozenset({form.axis, *axes, *contracted}))

    def rank(chosen: Sequence[str]) -> tuple[object, ...]:
        measured = measure(chosen)
        return (
            measured.products,
            measured.widest <= 2,
            len(chosen),
            # An axis of a size that is a number is short, or it would have a name.
            sum(form.context.axes[a].constant is None for a in chosen),
            sorted((output.index(a) for a in chosen), reverse=True),
        )

    chosen = max((c for count in range(3) for c in combinations(candidates, count)), key=rank)
    measured = measure((*chosen, *(written[-1:] if len(chosen) < 2 else ())))
    # A block of columns would do again what does not depend on columns: such are held together.
    repeats = {a: any(a not in varies[w] for w in measured.works) for a in chosen}
    row_and_column: list[str | None] = []
    row_and_column += sorted(chosen, key=lambda a: (repeats[str(a)], output.index(str(a))))
    if len(chosen) == 1 and repeats[chosen[0]]:
        row_and_column.insert(0, None)
    row, column = [*row_and_column, None, None][:2]
    return Plan(
        context=form.context,
        outputs=made,
        stream=form.axis,
        tile=form.tile,
        loops=loops,
        part=form.part,
        step=form.block,
        grid=tuple(a for a in output if a in folded and a not in chosen),
        row=row,
        column=column,
        column_whole=column is not None and repeats[column],
        written=written,
        contracted=contracted,
        varies=varies,
        products=measured.products,
        matrices=frozenset(measured.matrices),
        shapes=frozenset({*measured.shapes, tuple(sorted({*chosen, *written[-1:]}))}),
    )


def _refuse_unknown(roots: Sequence[Term], form: StreamedForm, inputs: Sequence[str]) -> None:
    if not inputs:
        raise NotEmitted("a program without inputs")
    if any(root.op == "Tuple" for root in roots):
        raise NotEmitted("several outputs")
    if any(root.op in TRUTHS for root in roots):
        raise NotEmitted("an output of truth values")
    for node in subterms(*roots):
        if node.op == "Opaque":
            raise NotEmitted(f"the operator {node.args[0]}, known by name only")
        if node.op == "Input" and node.args[0] not in inputs:
            raise NotEmitted(f"{node.args[0]}, which is no input of the call")
        if node.op == "Reduce":
            monoid = node.children[0].op
            if monoid not in MONOIDS:
                raise NotEmitted(f"a reduction in the monoid {monoid}")
            if monoid == "RescaledSum" and node.args[1] not in {form.block, form.tile}:
                raise NotEmitted(f"a rescaled sum over all of {node.args[1]}")


def _dependence(roots: Sequence[Term], form: StreamedForm) -> dict[Term, frozenset[str]]:
    """The axes that each value varies along.

    The form reads inputs at the streamed axis itself, which its two reductions, over the tile and
    over the blocks, bind, but for the part that they belong to, where there are parts.
    """
    parts = {form.part} if form.part else set()
    varies: dict[Term, frozenset[str]] = {}
    for node in subterms(*roots):
        own = frozenset[str]().union(*(varies[c] for c in node.children))
        if node.op in {"Input", "Index", "Predicate"}:
            own = node.axes
            if own & {form.block, form.tile}:
                raise NotEmitted(f"a value that depends on how {form.axis} is cut: {node}")
        elif node.op == "Reduce":
            axis = str(node.args[1])
            if axis == form.axis:
                raise NotEmitted(f"a reduction over all of {axis} beside one by blocks")
            if axis == form.block and form.axis in own:
                raise NotEmitted(f"a fold over blocks that is not folded within them: {node}")
            if axis == form.tile:
                own = own - {form.axis} | {BLOCK, *parts}
            own -= {BLOCK} if axis == form.block else {axis}
        varies[node] = own
    return varies


def _loops(roots: Sequence[Term], block: str) -> tuple[tuple[Fold, ...], ...]:
    """The folds over blocks, those that need no other first."""
    depth: dict[Term, int] = {}
    loops: list[list[Fold]] = []
    for node in subterms(*roots):
        depth[node] = max((depth[c] for c in node.children), default=0)
        if node.op == "Reduce" and node.args[1] == block:
            if depth[node] == len(loops):
                loops.append([])
            monoid, body = node.children
            loops[depth[node]].append(Fold(node, monoid.op, body))
            depth[node] += 1
    return tuple(map(tuple, loops))


def _contracted(roots: Sequence[Term], form: StreamedForm) -> tuple[str, ...]:
    axes = dict.fromkeys(str(n.args[1]) for n in subterms(*roots) if n.op == "Reduce")
    return tuple(a for a in axes if a not in {form.block, form.tile})


class _Measure:
    """What becomes of a form when certain axes are the dimensions of tiles."""

    def __init__(
        self,
        roots: Sequence[Term],
        form: StreamedForm,
        varies: Mapping[Term, frozenset[str]],
        axes: frozenset[str],
    ) -> None:
        self.form, self.varies, self.axes = form, varies, axes
        self.products = 0
        self.matrices: set[Term] = set()
        self.shapes: set[tuple[str, ...]] = set()
        self.works: list[Term] = []
        """Contractions inside blocks: what is worth doing once."""
        stack, seen = [*roots], set(roots)
        while stack:
            for needed in self._visit(stack.pop()):
                if needed not in seen:
                    seen.add(needed)
                    stack.append(needed)

    @property
    def widest(self) -> int:
        """The most dimensions of a tile."""
        return max(map(len, self.shapes))

    def _within(self, t: Term) -> frozenset[str]:
        return self.varies[t] & self.axes

    def _visit(self, node: Term) -> Iterable[Term]:
        """Take in one term; the terms whose values it needs."""
        if node.op == "Reduce":
            monoid, body = node.children
            streamed = node.args[1] == self.form.tile
            axis = self.form.axis if streamed else str(node.args[1])
            if axis == self.form.block:
                return (body,)
            if monoid.op == "RescaledSum" and body.op == "Tuple":
                score, value = body.children
                needed = [score]
                for part in leaves(value):
                    needed += self._contraction(axis, product_of(part), (self._within(score),))
                return needed
            if monoid.op == "Sum":
                if not streamed and self.varies[node] & {self.form.axis, BLOCK}:
                    self.works.append(node)
                return self._contraction(axis, product_of(body), ())
        self.shapes.add(tuple(sorted(self._within(node))))
        return node.children

    def _contraction(
        self, axis: str, product: Product, further: tuple[frozenset[str], ...]
    ) -> tuple[Term, ...]:
        operands = [*further, *map(self._within, product.factors)]
        if matrix_product(operands, map(self._within, product.conditions), axis):
            self.products += 1
            self.matrices.update(product.over)
        else:
            inner = [own for own in operands if axis in own]
            self.shapes.add(tuple(sorted(frozenset({axis}).union(*inner))))
        return (*product.over, *product.under, *product.conditions)
