"""From a streamed form to its schedules: what is read in which pass, and what is worked.

A fold over blocks is a pass; folds that wait for one another are passes one after another, and what
is read outside all folds is read last.  Where an output axis is carried by no fold, the last pass
streams it: it appends.  An array that several passes read may be kept instead.

Source: FlashAttention on a Napkin, section 3 and appendix A (head, body and tail of a stream).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Union

from ncd_formal.conditions import Context
from ncd_formal.derivation.nests import (
    Access,
    Nest,
    Pass,
    Triangle,
    grouped_axes,
    in_parts,
    windows,
)
from ncd_formal.derivation.signomials import Signomial, product, signomial, total
from ncd_formal.derivation.streaming import StreamedForm
from ncd_formal.sizes import Polynomial, fresh_names, size, variable
from ncd_formal.wires import (
    Argument,
    Term,
    bound_axes,
    indices_of,
    is_axis,
    reduce,
    substitute,
    subterms,
    term,
)

SPECIAL = frozenset({"Exp", "Log", "Sqrt", "Inverse", "Function"})
"""The operators that special-function units compute."""


@dataclass(frozen=True)
class Plan:
    """What is scheduled: a term, how its output lies, and the axis that is streamed, if any.

    ``block`` and ``tile`` count the blocks of ``axis`` and the indices within one.  A plain sum
    is a fold as it stands: its block is its axis.
    """

    context: Context
    term: Term
    layout: tuple[tuple[str, ...], ...]
    axis: str | None = None
    block: str | None = None
    tile: str | None = None
    part: str | None = None
    """The axis that counts the parts that the streamed axis is dealt out to, if it is."""
    arrays: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What is written where that is not one output: names and axes, each for every part."""

    @property
    def each(self) -> Polynomial:
        """How many indices of the streamed axis each part has: a size of its own."""
        assert self.axis is not None
        taken = {v for extent in self.context.axes.values() for v in extent.variables}
        label = self.axis.split(".", maxsplit=1)[0]
        return variable(next(fresh_names(f"{label}_each", taken)))

    @property
    def output(self) -> frozenset[str]:
        """The axes of the output."""
        return frozenset(axis for digits in self.layout for axis in digits)

    def extent(self, axis: str) -> Signomial:
        """The size of an axis."""
        return signomial(self.context.axes[axis])


def plan_of(form: StreamedForm) -> Plan:
    """The plan of a streamed form."""
    return Plan(form.context, form.term, form.layout, form.axis, form.block, form.tile)


def streams_a_window(form: StreamedForm) -> bool:
    """Whether neighbouring blocks of the streamed axis read what they share twice."""
    return any(
        form.axis in part
        for node in subterms(form.term)
        if node.op == "Input"
        for part in windows(_access(node), form.context.axes)
    )


def nests(plan: Plan) -> tuple[Nest, ...]:
    """The schedules of a plan: one that streams everything, and one that keeps what it reads again.

    A read at an index that is rounded counts every axis in it.
    """
    by_pass, outside = _reads(plan)
    outputs = tuple(
        Access(name, tuple(map(variable, axes)))
        for name, axes in plan.arrays or (("output", tuple(a for d in plan.layout for a in d)),)
    )
    folds = [n for n in subterms(plan.term) if n.op == "Reduce" and n.args[1] == plan.block]
    carried = frozenset[str]().union(*(fold.axes for fold in folds))
    late = frozenset[str]().union(*(a.axes for a in outside))
    appended = sorted((plan.output & late) - carried) if folds else []
    passes = [Pass(reads, (), plan.axis) for reads in by_pass]
    if appended:
        passes.append(Pass(outside, outputs, max(appended, key=lambda a: (a in late, a))))
    elif passes:
        last = passes[-1]
        passes[-1] = Pass((*last.reads, *outside), outputs, last.stream)
    else:
        passes = [Pass(outside, outputs)]
    cut = plan.output - set(appended)
    every = [a for p in passes for a in (*p.reads, *p.writes)]
    grouped = grouped_axes(cut, every, plan.context.axes)
    used = frozenset[str]().union(*(a.axes for a in every))
    labels = _labels(used)
    nest = Nest(
        {axis: plan.context.axes[axis] for axis in sorted(used)},
        grouped,
        tuple(passes),
        triangles=_triangles(plan, grouped),
        single=tuple(sorted(cut - set(grouped))),
        labels=labels,
    )
    if plan.part is not None and plan.axis is not None:
        nest = in_parts(nest, plan.axis, plan.part, plan.context.axes[plan.part], plan.each)
    readers: dict[str, int] = {}
    for step in passes:
        for name in {a.name for a in step.reads if step.stream in a.axes}:
            readers[name] = readers.get(name, 0) + 1
    again = frozenset(name for name, count in readers.items() if count > 1)
    return (nest, replace(nest, kept=again, triangles=())) if again else (nest,)


def _labels(axes: Iterable[str]) -> dict[str, str]:
    """Short names for axes: without the number after the dot where that is clear."""
    stems: dict[str, list[str]] = {}
    for axis in sorted(axes):
        stems.setdefault(axis.split(".", maxsplit=1)[0], []).append(axis)
    return {
        axis: stem if number == 0 else f"{stem}{number + 1}"
        for stem, alike in stems.items()
        for number, axis in enumerate(alike)
    }


def _reads(plan: Plan) -> tuple[list[tuple[Access, ...]], tuple[Access, ...]]:
    """What is read in each pass, and what outside all folds over blocks."""
    depth: dict[Term, int] = {}
    for node in subterms(plan.term):
        below = max((depth[child] for child in node.children), default=0)
        depth[node] = below + (node.op == "Reduce" and node.args[1] == plan.block)
    found: dict[int, dict[Access, None]] = {k: {} for k in range(depth[plan.term] + 1)}
    seen: set[tuple[Term, int]] = set()
    stack = [(plan.term, 0)]
    while stack:
        node, level = stack.pop()
        if (node, level) in seen:
            continue
        seen.add((node, level))
        if node.op == "Reduce" and node.args[1] == plan.block:
            level = depth[node]
        if node.op == "Input" and node.axes:
            found[level][_access(node)] = None
        stack.extend((child, level) for child in reversed(node.children))
    outside = tuple(found.pop(0))
    return [tuple(sorted(found[k], key=str)) for k in sorted(found)], outside


def _access(read: Term) -> Access:
    dimensions: list[Polynomial] = []
    for p in indices_of(str(read.args[1])):
        if all(isinstance(atom, str) for atom in p.atoms):
            dimensions.append(p)
        else:
            dimensions.extend(variable(v) for v in sorted(p.variables) if is_axis(v))
    return Access(str(read.args[0]), tuple(p for p in dimensions if p.variables))


def _triangles(plan: Plan, grouped: tuple[str, ...]) -> tuple[Triangle, ...]:
    """Masks that leave out what lies above a diagonal, in every fold over the blocks.

    A block all of whose values are the fold's unit changes nothing, and need not be read.
    """
    folds = [n for n in subterms(plan.term) if n.op == "Reduce" and n.args[1] == plan.tile]
    common: set[Triangle] | None = None
    for fold in folds:
        own = {
            Triangle(axis, str(plan.axis))
            for p in _masks(fold)
            for axis in grouped
            if plan.axis is not None
            and (rest := p - variable(axis) + variable(plan.axis)).constant is not None
            and rest.constant <= 0
            and plan.context.axes[axis] is plan.context.axes[plan.axis]
        }
        common = own if common is None else common & own
    return tuple(sorted(common or (), key=str))[:1]


def _masks(fold: Term) -> Iterator[Polynomial]:
    """The predicates without which what is folded is the unit of the fold."""
    monoid, body = fold.children
    if monoid.op == "RescaledSum":
        body = body.children[0]
    unit = {"Sum": "(Constant 0)", "RescaledSum": "(NegativeInfinity)", "Max": "(NegativeInfinity)"}
    while body.op == "Select":
        condition, then, otherwise = body.children
        if condition.op != "Predicate" or repr(otherwise) != f"parse({unit.get(monoid.op)!r})":
            return
        yield size(str(condition.args[0]))
        body = then


@dataclass(frozen=True)
class Work:
    """What a dispatch computes: operations of contractions, and special functions."""

    flops: Signomial
    special: Signomial


def work(plan: Plan, nest: Nest | None = None) -> Work:
    """The work of a plan; with a nest, what its groups do again is counted again.

    A contraction counts a multiplication and an addition for each of its points.
    """
    flops, special = [], []
    for axes in _contractions(plan):
        flops.append(2 * _points(plan, nest, axes))
    depends = _dependence(plan)
    for node in subterms(plan.term):
        if node.op in SPECIAL and _flat(depends[node]):
            special.append(_points(plan, nest, _whole(plan, _flat(depends[node]))))
        elif _rescales(node) and (node.args[1] != plan.block or plan.tile is None):
            score = depends[node.children[1].children[0]]
            special.append(_points(plan, nest, _whole(plan, _flat(score) | {str(node.args[1])})))
    return Work(total(flops), total(special))


def operations(plan: Plan) -> Polynomial:
    """Multiply-adds of the contractions, counted as two, each point once."""
    result = size(0)
    for axes in _contractions(plan):
        volume = size(2)
        for axis in sorted(axes):
            volume = volume * plan.context.axes[axis]
        result = result + volume
    return result


def _contractions(plan: Plan) -> Iterator[frozenset[str]]:
    """The axes of the points of each sum of products."""
    depends = _dependence(plan)
    for node in subterms(plan.term):
        if node.op != "Reduce" or (node.args[1] == plan.block and plan.tile is not None):
            continue
        monoid, body = node.children
        if body.op == "Select":  # the end of a masked axis
            body = body.children[1]
        if monoid.op == "Sum" and body.op == "Mul":
            yield _whole(plan, _flat(depends[body]) | {str(node.args[1])})
        elif monoid.op == "RescaledSum":
            score = _flat(depends[body.children[0]])
            for component in components(body):
                if component.op != "Constant":
                    yield _whole(plan, score | _flat(depends[component]))


_Axes = Union[frozenset[str], tuple["_Axes", "_Axes"]]
"""The axes that a value depends on, or those of each component of a pair."""


def _rescales(node: Term) -> bool:
    return node.op == "Reduce" and node.children[0].op == "RescaledSum"


def _flat(axes: _Axes) -> frozenset[str]:
    return axes if isinstance(axes, frozenset) else _flat(axes[0]) | _flat(axes[1])


def _without(axes: _Axes, bound: frozenset[str]) -> _Axes:
    if isinstance(axes, frozenset):
        return axes - bound
    return _without(axes[0], bound), _without(axes[1], bound)


def _with(axes: _Axes, more: frozenset[str]) -> _Axes:
    if isinstance(axes, frozenset):
        return axes | more
    return _with(axes[0], more), _with(axes[1], more)


def _dependence(plan: Plan) -> dict[Term, _Axes]:
    """What each subterm depends on, component by component: a sum of weights has no width."""
    found: dict[Term, _Axes] = {}
    for node in subterms(plan.term):
        below = [found[child] for child in node.children]
        value: _Axes
        if node.op == "Tuple":
            value = below[0], below[1]
        elif node.op in {"First", "Second"} and isinstance(below[0], tuple):
            value = below[0][node.op == "Second"]
        elif node.op == "Reduce":
            bound = {str(node.args[1])}
            bound |= {str(plan.axis)} if node.args[1] in (plan.block, plan.tile) else set()
            folded = below[1]
            if _rescales(node) and isinstance(folded, tuple):  # every component has its weights
                folded = _with(folded, _flat(folded[0]))
            value = _without(folded, frozenset(bound))
        elif below:
            value = frozenset[str]().union(*map(_flat, below)) | (
                node.axes if node.op == "Opaque" else frozenset()
            )
        else:
            value = node.axes
        found[node] = value
    return found


def components(body: Term) -> list[Term]:
    """The summands of a rescaled sum: what stands beside the score, tuples taken apart."""
    result, stack = [], [body.children[1]]
    while stack:
        node = stack.pop()
        if node.op == "Tuple":
            stack.extend(node.children)
        else:
            result.append(node)
    return result


def _whole(plan: Plan, axes: frozenset[str]) -> frozenset[str]:
    """Axes with the streamed one for its blocks and tiles."""
    parts = {plan.block, plan.tile}
    streamed = {plan.axis} if plan.axis is not None and axes & parts else set()
    return frozenset(axes - parts) | streamed


def _points(plan: Plan, nest: Nest | None, axes: frozenset[str]) -> Signomial:
    volume = product(plan.extent(axis) for axis in sorted(axes))
    if nest is None:
        return volume
    for axis in nest.cut:
        shared = axis == plan.part and plan.axis in axes  # each part has its own points
        if axis not in axes and not shared:
            volume = volume * plan.extent(axis) / nest.tile(axis)
    for t in nest.triangles:
        if {t.grouped, t.streamed} <= axes:
            extent = plan.extent(t.grouped)
            volume = volume * (extent + nest.tile(t.grouped)) / (2 * extent)
    return volume


def replaced(root: Term, new: Mapping[Term, Term]) -> Term:
    """A term with others in place of some of its parts."""
    made: dict[Term, Term] = {}
    for node in subterms(root):
        args: list[Argument] = [made[a] if isinstance(a, Term) else a for a in node.args]
        made[node] = new.get(node) or term(node.op, *args)
    return made[root]


def apart(root: Term, free: Collection[str], fresh: Callable[[str, Iterable[str]], str]) -> Term:
    """A term in which no sum goes over an axis of the output: kernels tell axes by their names."""
    made: dict[Term, Term] = {}
    for node in subterms(root):
        new = replaced(node, {child: made[child] for child in node.children})
        if new.op == "Reduce" and new.args[1] in free:
            (monoid, body), old = new.children, str(new.args[1])
            axis = fresh(old, {*free, *body.axes, *bound_axes(body)})
            new = reduce(monoid, axis, substitute(body, {old: variable(axis)}))
        made[node] = new
    return made[root]
