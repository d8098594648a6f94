"""The ways to run a program: the orders of its contractions, in one dispatch or in several.

A way makes intermediates, one dispatch each, and ends in a dispatch that makes the output.  As one
dispatch, a program streams an axis; cut, what the blocks make inside is written out; and in any
order of contractions, what is the same all along an axis of the output can be made beforehand,
once.  Where few groups leave processors idle, the axis that it streams may be cut in parts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ncd_formal.certificate import Certificate
from ncd_formal.conditions import Context
from ncd_formal.derivation.contractions import Drawn, drawn_sizes, orders
from ncd_formal.derivation.fusion import cut
from ncd_formal.derivation.machines import Machine
from ncd_formal.derivation.nests import windows
from ncd_formal.derivation.parts import Divided, divide
from ncd_formal.derivation.regimes import Candidate, candidate
from ncd_formal.derivation.schedules import Plan, nests, plan_of, replaced, streams_a_window
from ncd_formal.derivation.signomials import Signomial, product, signomial, total
from ncd_formal.derivation.streaming import StreamedForm, outer_axes, stream
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.facts import Facts
from ncd_formal.sizes import variable
from ncd_formal.wires import SUM, Term, input_at, outermost, subterms


@dataclass(frozen=True)
class Way:
    """A way to run a program."""

    name: str
    plans: tuple[Plan, ...]
    """Its dispatches: each makes an intermediate, and the last the output."""
    form: StreamedForm | None
    """The streamed form of the last dispatch, where it streams."""
    order: Certificate | None = None
    """That the program is equal to the term in whose order this works, where that is another."""
    divided: Divided | None = None
    """The form in parts, where its states are made by one dispatch and combined by another."""

    def candidate(self, machine: Machine) -> Candidate:
        """The way as one of several to compare on a machine."""
        return candidate(self.name, self.plans, machine)


Rank = Callable[[Plan], tuple[float, float]]
"""How good a plan is at sizes that are known: less is better."""

Idle = Callable[[Plan], bool]
"""Whether a plan leaves processors of a machine idle at sizes that are known."""


def as_written(
    output: Output, context: Context, rank: Rank | None = None, expand: bool = False
) -> tuple[Way, ...]:
    """The ways to run an output in its own order: as one dispatch, and that one cut.

    ``rank`` chooses the axis that is streamed; ``expand`` is that of :func:`stream`.
    """
    whole = one_dispatch(output, context, rank, expand)
    cut_up = _cut(whole)
    if cut_up is None:
        return (whole,)
    return replace(whole, name="fused"), replace(cut_up, name="unfused")


def ways(
    output: Output,
    context: Context,
    sizes: Mapping[str, int] | None = None,
    rank: Rank | None = None,
    expand: bool = False,
    idle: Idle | None = None,
) -> tuple[Way, ...]:
    """All the ways to run an output, the one dispatch first; ``sizes`` are those that are known.

    Where that one leaves processors ``idle``, its streamed axis cut in parts is a way too.
    """
    drawn = drawn_sizes(context, sizes or {})
    found = [*as_written(output, context, rank, expand)]
    ahead = _beforehand(output, context, drawn, rank)
    if ahead is not None:
        found.append(ahead)
    for order in orders(output, context, sizes):
        reordered = replace(output, term=order.term)
        way = _beforehand(reordered, context, drawn, rank)
        if way is None:
            name = f"{_listed(_sums_of_inputs(order.term))} inside"
            way = replace(one_dispatch(reordered, context, rank), name=name)
        found += (replace(each, order=order.certificate) for each in (way, _cut(way)) if each)
    whole = found[0]
    if idle is not None and whole.form is not None and idle(whole.plans[0]):
        with suppress(InputError):
            found.append(in_parts(output, context, whole.form, expand))
    return tuple(_distinct(found))


def in_parts(output: Output, context: Context, whole: StreamedForm, expand: bool) -> Way:
    """A form that streams in one pass, in parts: their states, and what combines these.

    Errors: InputError where it has no such form, and where neighbouring parts read what they share.
    """
    if whole.passes != 1:
        raise InputError(f"the folds over {whole.axis} wait for one another")
    divided = divide(stream(output, context, whole.axis, parts=True, expand=expand), context)
    states = divided.plans[0]
    for nest in nests(states):
        for read in (a for step in nest.passes for a in step.reads):
            if any(states.part in window for window in windows(read, nest.extents)):
                raise InputError(f"parts overlap where they read {read.name}")
    return Way("in parts", divided.plans, None, divided=divided)


def one_dispatch(
    output: Output, context: Context, rank: Rank | None = None, expand: bool = False
) -> Way:
    """An output as one dispatch: the streamed form where there is one, else all axes whole."""
    try:
        form = stream(output, context, expand=expand)
        if streams_a_window(form):
            form = _past_windows(output, context, form)
    except InputError:
        return Way("one dispatch", (Plan(context, output.term, output.layout),), None)
    if rank is not None:
        form = _best_axis(form, output, context, rank)
    return Way("one dispatch", (plan_of(form),), form)


def _best_axis(form: StreamedForm, output: Output, context: Context, rank: Rank) -> StreamedForm:
    """The form of the best rank, of this one and those that stream another axis."""
    forms = [form]
    for axis in outer_axes(output, context):
        if axis != form.axis:
            with suppress(InputError):
                forms.append(stream(output, context, axis))
    ranked = []
    for number, each in enumerate(forms):
        with suppress(InputError):
            ranked.append((rank(plan_of(each)), number))
    return forms[min(ranked)[1]] if ranked else form


def _past_windows(output: Output, context: Context, form: StreamedForm) -> StreamedForm:
    """A form that streams another axis than that of a window, whose blocks overlap."""
    bound = {str(n.args[1]) for n in subterms(output.term) if n.op == "Reduce"}
    for axis in sorted(bound):
        try:
            other = stream(output, context, axis)
        except InputError:
            continue
        if other.passes <= form.passes and not streams_a_window(other):
            return other
    return form


def _cut(way: Way) -> Way | None:
    """A way of one dispatch, cut at what that makes inside; None where it is not."""
    parts = cut(way.plans[0])
    if len(way.plans) > 1 or way.form is None or not parts:
        return None
    last = replace(way.form, term=parts[-1].term)
    return replace(way, name=f"{way.name}, cut", plans=parts, form=last)


def _beforehand(output: Output, context: Context, drawn: Drawn, rank: Rank | None) -> Way | None:
    """An output with what is the same all along an axis of it made beforehand.

    Of the grouped axes, it is the one for which the fewest values are made beforehand at the most
    of the sizes drawn; None where these are none.
    """
    plan = Plan(context, output.term, output.layout)
    choices = [
        tuple(_constant_along(axis, output.term, context)) for axis in nests(plan)[0].grouped
    ]
    if not choices:
        return None
    counts = [total(_volume(context, node) for node in parts) for parts in choices]
    fewest = Counter(
        min(range(len(counts)), key=lambda k: (counts[k].evaluate(sizes), k)) for sizes in drawn
    )
    parts = choices[fewest.most_common(1)[0][0]]
    if not parts:
        return None
    made: list[Plan] = []
    written: dict[Term, Term] = {}
    for number, node in enumerate(parts, 1):
        axes = sorted(node.axes)
        layout = tuple((each,) for each in axes)
        contracted = str(node.args[1])
        made.append(Plan(context, replaced(node, written), layout, contracted, contracted))
        written[node] = input_at(f"intermediate {number}", map(variable, axes))
    last = one_dispatch(replace(output, term=replaced(output.term, written)), context, rank)
    return Way(f"{_listed(parts)} first", (*made, *last.plans), last.form)


def _volume(context: Context, node: Term) -> Signomial:
    return product(signomial(context.axes[axis]) for axis in sorted(node.axes))


def _constant_along(axis: str, root: Term, context: Context) -> Iterator[Term]:
    """The contractions of inputs in a term that do not depend on an axis, inner ones first."""
    facts = Facts(context)
    largest = _sums_of_inputs(
        root, lambda node: axis not in node.axes and facts.holds("real", node)
    )
    below = [node for node in subterms(*largest) if _is_sum(node)]
    bodies = {node.children[1] for node in below}
    yield from (node for node in below if node not in bodies)


def _sums_of_inputs(root: Term, wanted: Callable[[Term], bool] = lambda _: True) -> list[Term]:
    """The outermost sums of products of what is not reduced."""
    return list(outermost(root, lambda n: _is_sum(n) and _of_inputs(n) and wanted(n)))


def _is_sum(node: Term) -> bool:
    return node.op == "Reduce" and node.children[0] is SUM


def _of_inputs(node: Term) -> bool:
    """Whether a term is made of sums and products of what is not reduced."""
    while _is_sum(node):
        node = node.children[1]
    if node.op == "Mul":
        return all(map(_of_inputs, node.children))
    return all(below.op != "Reduce" for below in subterms(node))


def _distinct(found: Sequence[Way]) -> Iterator[Way]:
    """Ways with names that tell them apart."""
    names: set[str] = set()
    for way in found:
        name, number = way.name, 1
        while name in names:
            number += 1
            name = f"{way.name} ({number})"
        names.add(name)
        yield replace(way, name=name)


def _listed(parts: Sequence[Term]) -> str:
    return ", ".join(dict.fromkeys(map(brief, parts)))


def brief(node: Term) -> str:
    """A term without the indices at which it reads: ``Σ_m k·v``."""
    return re.sub(r"\[[^\]]*\]|\.\d+", "", str(node))
