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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce as fold_left
from itertools import combinations
from math import prod

from ncd_formal.conditions import Context
from ncd_formal.derivation import StreamedForm
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial
from ncd_formal.wires import (
    MINUS_ONE,
    NEGATIVE_INFINITY,
    ONE,
    ZERO,
    Argument,
    Term,
    indices_of,
    inverse,
    is_axis,
    subterms,
    term,
)

ROW, STREAM, COLUMN, WRITTEN, CONTRACTED = range(5)
"""What the dimensions of a tile are, in the order in which a tile has them."""

FOLDS = frozenset({"Sum", "Max", "Min", "RescaledSum"})
"""The monoids whose folds are emitted."""

TRUTHS = frozenset({"Predicate", "Less", "Equal", "Not", "And", "Or"})
"""The operators whose values are 0 and 1."""

_COMMUTATIVE = frozenset({"Mul", "Add", "Maximum", "Minimum", "And", "Or"})


class NotEmitted(InputError):
    """A form that is proved and has a meaning, but for which no kernel is written yet."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no kernel is emitted yet for {what}")


# Terms as the generator reads them --------------------------------------------------------------


def ordered(root: Term, inputs: Sequence[str]) -> Term:
    """The term with the operands of commutative operators in one order.

    Which of ``k·q`` and ``q·k`` a search finds is chance; what is printed must not be.  Numbers
    come first in products and last in sums, divisors and what is taken away last, and what reads an input stands where
    its first input is declared.
    """
    place = {name: k for k, name in enumerate(inputs)}
    made: dict[Term, Term] = {}
    first: dict[Term, int] = {}

    def position(t: Term) -> int:
        """The place of the first input that a term reads; −1 for none."""
        if t not in first:
            for node in subterms(t):
                own = [place.get(str(node.args[0]), len(place))] if node.op == "Input" else []
                own += [first[c] for c in node.children if first[c] >= 0]
                first[node] = min(own, default=-1)
        return first[t]

    def operands(t: Term, op: str) -> list[Term]:
        return [x for c in t.children for x in operands(c, op)] if t.op == op else [t]

    def key(t: Term, op: str) -> tuple[bool, int, bool, str]:
        divides = op == "Mul" and t.op == "Inverse"
        taken = t.op == "Mul" and t.children[0] is MINUS_ONE
        where = position(t)
        return divides, len(place) if op == "Add" and where < 0 else where, taken, t.digest

    for node in subterms(root):
        args: list[Argument] = [made[a] if isinstance(a, Term) else a for a in node.args]
        built = term(node.op, *args)
        if node.op in _COMMUTATIVE:
            sequence = sorted(operands(built, node.op), key=lambda t: key(t, node.op))
            built = fold_left(lambda a, b: term(node.op, a, b), sequence)
        made[node] = built
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
    if condition.op == "And":
        return tuple(c for child in condition.children for c in conjuncts(child))
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
    """The two axes that are left when factors contract over ``axis`` as a product of two matrices.

    Factors and conditions are given by the axes that they vary along.  None where some factor
    varies along both of the axes that are left, or where these are not two.
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
    term: Term
    layout: tuple[tuple[str, ...], ...]
    stream: str
    tile: str
    """The streamed axis within one block, as the form's inner reductions name it."""
    loops: tuple[tuple[Fold, ...], ...]
    """The folds of one pass over the streamed axis each, a pass needing only earlier ones."""
    grid: tuple[str, ...]
    row: str | None
    column: str | None
    column_whole: bool
    """Whether a program holds all columns: work that does not depend on them is done once."""
    written: tuple[str, ...]
    """Axes of the output that only the end depends on, the last of them a tile's dimension."""
    contracted: tuple[str, ...]
    varies: Mapping[Term, frozenset[str]]
    """The axes that a value varies along; ``BLOCK`` where it belongs to one block."""
    products: int
    """How many contractions are products of matrices."""
    shapes: frozenset[tuple[str, ...]]
    """The axes of the tiles that are computed."""

    roles: Mapping[str, int] = field(init=False)
    """The axes that are dimensions of tiles, and their places there."""

    def __post_init__(self) -> None:
        roles = {self.stream: STREAM}
        if self.row:
            roles[self.row] = ROW
        if self.column:
            roles[self.column] = COLUMN
        elif self.written:
            roles[self.written[-1]] = WRITTEN
        roles.update(dict.fromkeys(self.contracted, CONTRACTED))
        object.__setattr__(self, "roles", roles)

    def arranged(self, axes: Iterable[str]) -> tuple[str, ...]:
        """Those axes that are dimensions of tiles, in the order in which tiles have them."""
        return tuple(sorted((a for a in set(axes) if a in self.roles), key=self._place))

    def _place(self, axis: str) -> tuple[int, str]:
        return self.roles[axis], axis

    def tile_of(self, t: Term) -> tuple[str, ...]:
        """The dimensions of a value's tile."""
        return self.arranged(self.varies[t])

    @property
    def whole(self) -> tuple[str, ...]:
        """The axes that are held whole."""
        held = (self.column,) if self.column and self.column_whole else ()
        return (*held, *self.contracted)

    @property
    def blocked(self) -> tuple[str, ...]:
        """The axes that are cut into blocks of a size that is free."""
        return tuple(
            axis
            for axis in (self.row, self.stream, self.column, *self.written[-1:])
            if axis in self.roles and axis not in self.whole
        )


BLOCK = "block"
"""Stands for the axis that counts blocks among the axes that a value varies along."""


def plan(form: StreamedForm, inputs: Sequence[str]) -> Plan:
    """The plan of a form's kernel.

    Errors: InputError naming what is not yet emitted.
    """
    split = form.context.splits[form.axis]
    if not split.masked:
        raise NotEmitted("tiles of a declared size; stream with masked tiles instead")
    root = ordered(form.term, inputs)
    varies = _dependence(root, form)
    _refuse_unknown(root, form, inputs)
    loops = _loops(root, form.block)
    output = [axis for digits in form.layout for axis in digits]
    contracted = _contracted(root, form, output)
    folded = frozenset[str]().union(*(varies[f.term] for loop in loops for f in loop))
    # Axes of size 1 in the layout and axes on which nothing depends are written like any other.
    written = tuple(a for a in output if a not in folded)
    candidates = [a for a in output if a in folded]

    def measure(chosen: Sequence[str]) -> _Measure:
        return _Measure.of(root, {form.axis, *chosen, *contracted}, varies, form)

    def rank(chosen: Sequence[str]) -> tuple[object, ...]:
        measured = measure(chosen)
        return (
            measured.products,
            measured.widest <= 2,
            len(chosen),
            sum(form.context.axes[a].constant is None for a in chosen),
            sorted((output.index(a) for a in chosen), reverse=True),
        )

    subsets = [tuple(c) for count in (0, 1, 2) for c in combinations(candidates, count)]
    chosen = max(subsets, key=rank)
    measured = measure((*chosen, *(written[-1:] if len(chosen) < 2 else ())))
    measured.shapes.add(tuple(sorted({*chosen, *written[-1:]})))
    # Work that a column does not change is done once only where all columns are held together.
    repeats = {a: any(a not in varies[w] for w in measured.works) for a in chosen}
    in_order: list[str | None] = []
    in_order += sorted(chosen, key=lambda a: (repeats[a], output.index(a)))
    if len(chosen) == 1 and repeats[chosen[0]]:
        in_order.insert(0, None)
    row, column = [*in_order, None, None][:2]
    return Plan(
        form.context,
        root,
        form.layout,
        form.axis,
        form.tile,
        loops,
        tuple(a for a in candidates if a not in chosen),
        row,
        column,
        bool(column and repeats[column]),
        written,
        contracted,
        varies,
        measured.products,
        frozenset(measured.shapes),
    )


def _dependence(root: Term, form: StreamedForm) -> dict[Term, frozenset[str]]:
    """The axes that each value varies along.

    The form reads inputs at the streamed axis itself, which its two reductions, over the tile and
    over the blocks, bind.
    """
    varies: dict[Term, frozenset[str]] = {}
    for node in subterms(root):
        own = frozenset[str]().union(*(varies[c] for c in node.children))
        if node.op in {"Input", "Index", "Predicate"}:
            own = node.axes
            if own & {form.block, form.tile}:
                raise NotEmitted(f"a value that depends on how {form.axis} is cut: {node}")
        elif node.op == "Reduce":
            axis = str(node.args[1])
            if axis == form.tile:
                own = own - {form.axis} | {BLOCK}
            elif axis == form.block:
                if form.axis in own:
                    raise NotEmitted(f"a fold over blocks that is not folded within them: {node}")
                own = own - {BLOCK}
            elif axis == form.axis:
                raise NotEmitted(f"a reduction over all of {axis} beside one by blocks")
            else:
                own = own - {axis}
        varies[node] = own
    return varies


def _refuse_unknown(root: Term, form: StreamedForm, inputs: Sequence[str]) -> None:
    if root.op in {"Tuple", *TRUTHS}:
        raise NotEmitted("several outputs" if root.op == "Tuple" else "an output of truth values")
    for node in subterms(root):
        if node.op == "Opaque":
            raise NotEmitted(f"the operator {node.args[0]}, known by name only")
        if node.op == "Input" and node.args[0] not in inputs:
            raise NotEmitted(f"{node.args[0]}, which is no input of the call")
        if node.op == "Reduce":
            monoid = node.children[0].op
            if monoid not in FOLDS:
                raise NotEmitted(f"a reduction in the monoid {monoid}")
            if monoid == "RescaledSum" and node.args[1] not in {form.block, form.tile}:
                raise NotEmitted(f"a rescaled sum over all of {node.args[1]}")


def _loops(root: Term, block: str) -> tuple[tuple[Fold, ...], ...]:
    """The folds over blocks, those that need no other first."""
    depth: dict[Term, int] = {}
    loops: list[list[Fold]] = []
    for node in subterms(root):
        depth[node] = max((depth[c] for c in node.children), default=0)
        if node.op == "Reduce" and node.args[1] == block:
            if depth[node] == len(loops):
                loops.append([])
            monoid, body = node.children
            loops[depth[node]].append(Fold(node, monoid.op, body))
            depth[node] += 1
    return tuple(tuple(loop) for loop in loops)


def _contracted(root: Term, form: StreamedForm, output: Sequence[str]) -> tuple[str, ...]:
    axes = {str(n.args[1]): None for n in subterms(root) if n.op == "Reduce"}
    found = tuple(a for a in axes if a not in {form.block, form.tile})
    for axis in found:
        if axis in output or axis in form.context.splits:
            raise NotEmitted(f"a reduction over {axis}, which is another axis too")
    return found


@dataclass
class _Measure:
    """What becomes of a form when certain axes are the dimensions of tiles."""

    axes: frozenset[str]
    varies: Mapping[Term, frozenset[str]]
    products: int = 0
    shapes: set[tuple[str, ...]] = field(default_factory=set)
    works: list[Term] = field(default_factory=list)
    """Contractions and exponents inside blocks: what is worth doing once."""

    @classmethod
    def of(
        cls, root: Term, axes: Iterable[str], varies: Mapping[Term, frozenset[str]],
        form: StreamedForm,
    ) -> _Measure:  # fmt: skip
        measure = cls(frozenset(axes), varies)
        stack, seen = [root], {root}
        while stack:
            node = stack.pop()
            for child in measure._visit(node, form):
                if child not in seen:
                    seen.add(child)
                    stack.append(child)
        return measure

    @property
    def widest(self) -> int:
        """The most dimensions of a tile."""
        return max(map(len, self.shapes))

    def _within(self, t: Term) -> frozenset[str]:
        return self.varies[t] & self.axes

    def _visit(self, node: Term, form: StreamedForm) -> Iterable[Term]:
        """Count one term; the terms whose values it needs."""
        if node.op == "Reduce":
            monoid, body = node.children
            axis = str(node.args[1])
            if axis == form.block:
                return (body,)
            axis = form.axis if axis == form.tile else axis
            if monoid.op == "RescaledSum":
                score, value = body.children
                self.works.append(score)
                needed = [score]
                for part in leaves(value):
                    needed += self._contraction(axis, product_of(part), (self._within(score),))
                return needed
            if monoid.op == "Sum":
                if axis != form.axis and self.varies[node] & {form.axis, BLOCK}:
                    self.works.append(node)
                return self._contraction(axis, product_of(body), ())
        self.shapes.add(tuple(sorted(self._within(node))))
        return node.children

    def _contraction(
        self, axis: str, product: Product, further: tuple[frozenset[str], ...]
    ) -> list[Term]:
        needed = [*product.factors, *product.conditions]
        operands = [*further, *map(self._within, product.factors)]
        if matrix_product(operands, map(self._within, product.conditions), axis):
            self.products += 1
        else:
            inner = [own for own in operands if axis in own]
            self.shapes.add(tuple(sorted(frozenset[str]().union({axis}, *inner))))
        return needed


# Sizes of blocks --------------------------------------------------------------------------------

_STREAMED_PRODUCTS = {
    # (bytes, width): row, stream, warps, stages
    (2, 32): (128, 64, 8, 2),
    (2, 64): (128, 64, 8, 2),
    (2, 128): (128, 32, 8, 2),
    (4, 32): (64, 32, 8, 2),
    (4, 64): (64, 32, 8, 2),
    (4, 128): (32, 16, 8, 2),
}
_STREAMED_PRODUCTS_HOPPER = {
    (2, 32): (128, 128, 8, 3),
    (2, 64): (128, 128, 8, 3),
    (2, 128): (128, 64, 8, 3),
}
_PRODUCT = {
    # (bytes,): row, column, stream, warps, stages
    (2,): (128, 128, 32, 8, 2),
    (4,): (64, 64, 16, 8, 2),
}
_PRODUCT_HOPPER = {(2,): (128, 128, 64, 8, 3)}

_NUMBERS = 4096
"""How many numbers a tile of elementwise work holds: 32 for each thread of 4 warps."""


def tables(plan: Plan) -> tuple[Table, Table]:
    """Sizes of blocks, warps and stages: for any GPU, and better ones for Hopper and later.

    Measured where matrices are multiplied: the largest that need no more registers than there are.
    Elsewhere the blocks grow in turn while tiles hold few enough numbers.
    """
    flat = all(len(shape) <= 2 for shape in plan.shapes)
    if plan.products and flat and plan.row and plan.whole:
        axes = (plan.row, plan.stream)
        return _table(axes, _STREAMED_PRODUCTS), _table(axes, _STREAMED_PRODUCTS_HOPPER)
    if plan.products and flat and plan.row and plan.column and not plan.whole:
        axes = (plan.row, plan.column, plan.stream)
        return _table(axes, _PRODUCT), _table(axes, _PRODUCT_HOPPER)
    widths = (32, 64, 128) if plan.whole else (0,)
    found: Table = {}
    for numbers in (2, 4):
        for width in widths:
            blocks = _grown(plan, width)
            found[(numbers, width) if plan.whole else (numbers,)] = {
                **blocks, "num_warps": 4, "num_stages": 2,
            }  # fmt: skip
    return found, {}


def _table(axes: Sequence[str], rows: Mapping[tuple[int, ...], tuple[int, ...]]) -> Table:
    return {
        key: dict(zip((*axes, "num_warps", "num_stages"), row, strict=True))
        for key, row in rows.items()
    }


def _grown(plan: Plan, width: int) -> dict[str, int]:
    """Blocks of 16 at least that double in turn while no tile holds too many numbers."""
    blocks = dict.fromkeys(plan.blocked, 16)

    def fits(sizes: Mapping[str, int]) -> bool:
        def numbers(shape: tuple[str, ...]) -> int:
            return prod(sizes.get(axis, width) for axis in shape)

        return max(map(numbers, plan.shapes)) <= _NUMBERS

    growing = list(blocks)
    while growing:
        for axis in list(growing):
            larger = {**blocks, axis: 2 * blocks[axis]}
            if fits(larger) and larger[axis] <= 1024:
                blocks = larger
            else:
                growing.remove(axis)
    return blocks
