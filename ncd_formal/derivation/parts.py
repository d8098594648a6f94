"""A form in parts as two dispatches: one folds each part, and one combines their states.

Where few rows are left to work on, as in decoding, a fold over a long axis keeps most of a machine
idle.  Its monoid is associative, so the axis may be cut in parts that are passed over at the same
time: split-K, and split-KV.  What a part's fold ends in, its *state*, is written out, each
component an array of its own; a dispatch that folds over the parts reads them and makes the output.
Putting each state back in its place gives the form in parts, which its certificate proves.

Source: FlashAttention on a Napkin, section 3 (streams), where the combining operator is not given;
here it is the fold's own monoid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from ncd_formal.conditions import Context
from ncd_formal.derivation.schedules import Plan, replaced
from ncd_formal.derivation.streaming import StreamedForm
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.facts import Facts
from ncd_formal.sizes import variable
from ncd_formal.wires import Term, input_at, subterms, term


@dataclass(frozen=True)
class State:
    """One component of what a part's fold ends in."""

    name: str
    """The array that holds it, for every part."""
    output: Output
    """The component, by the axis of parts first."""
    extended: bool
    """Whether it may be −∞, as the maximum of no score is."""

    @property
    def kind(self) -> str:
        """What it holds, as inputs are declared."""
        return "extended" if self.extended else "real"


@dataclass(frozen=True)
class Divided:
    """A form in parts, cut between its parts and what combines them."""

    form: StreamedForm
    states: tuple[State, ...]
    combined: Output
    """The output, made of the states."""
    context: Context
    """That of ``combined``: of the definition, with the axis of parts."""

    @property
    def part(self) -> str:
        """The axis that counts the parts."""
        assert self.form.part is not None
        return self.form.part

    @property
    def plans(self) -> tuple[Plan, Plan]:
        """What is scheduled: the states of all parts, and what combines them."""
        form = self.form
        arrays = tuple(
            (s.name, tuple(a for digits in s.output.layout for a in digits if a != self.part))
            for s in self.states
        )
        longest = sorted((axes for _, axes in arrays), key=len, reverse=True)
        order = dict.fromkeys(axis for axes in longest for axis in axes)
        first, *others = (s.output.term for s in reversed(self.states))
        made = reduce(lambda rest, own: term("Tuple", own, rest), others, first)
        layout = tuple((axis,) for axis in order)
        return (
            Plan(form.context, made, layout, form.axis, form.block, form.tile, self.part, arrays),
            Plan(self.context, self.combined.term, self.combined.layout, self.part, self.part),
        )


def divide(form: StreamedForm, context: Context) -> Divided:
    """The two dispatches of a form in parts; ``context`` is that of its definition.

    Errors: InputError where the form has no parts, where its folds wait for one another, and where
    a state may be undefined.
    """
    part = form.part
    if part is None or form.passes != 1:
        raise InputError(f"the folds over {form.axis} are not combined from parts")
    folds = [n for n in subterms(form.term) if n.op == "Reduce" and n.args[1] == part]
    facts = Facts(form.context)
    place = [axis for digits in form.layout for axis in digits]
    states: list[State] = []
    written: dict[Term, Term] = {}
    for fold in folds:
        made: dict[Term, Term] = {}
        for component in _components(fold.children[1], form, facts):
            name = f"intermediate {len(states) + 1}"
            axes = sorted(
                component.axes, key=lambda a: (place.index(a) if a in place else len(place), a)
            )
            index = (part, *axes)
            output = Output(component.term, tuple((axis,) for axis in index))
            states.append(State(name, output, component.extended))
            made[component.term] = input_at(name, map(variable, index))
        written[fold.children[1]] = _assembled(fold.children[1], made)
    combining = replace(
        context,
        axes={**context.axes, part: form.context.axes[part]},
        inputs={**context.inputs, **{s.name: s.kind for s in states}},
    )
    combined = Output(replaced(form.term, written), form.layout)
    return Divided(form, tuple(states), combined, combining)


@dataclass(frozen=True)
class _Component:
    """A number in the value of a part's fold."""

    term: Term
    axes: frozenset[str]
    """The axes that it depends on, but for the part's."""
    extended: bool


def _components(inner: Term, form: StreamedForm, facts: Facts) -> Iterator[_Component]:
    """The numbers of which the value of a part's fold is made.

    A rescaled sum is a maximum and sums; each of these depends on the scores and on what it sums.
    """
    bound = {form.axis, *form.context.leaves(form.axis)}
    body = inner
    while body.op == "Reduce" and str(body.args[1]) in bound:
        body = body.children[1]

    def defined(name: str, value: Term) -> bool:
        if not facts.holds(name, value):
            raise InputError(f"a part's state may be undefined: {value}")
        return True

    if body.op != "Tuple":
        extended = not facts.holds("real", inner)
        yield _Component(inner, body.axes - bound, extended and defined("defined", inner))
        return
    score, sums = body.children

    def below(whole: Term, value: Term) -> Iterator[_Component]:
        if value.op == "Tuple":
            for op, component in zip(("First", "Second"), value.children, strict=True):
                yield from below(term(op, whole), component)
        elif defined("real", value):
            yield _Component(whole, (score.axes | value.axes) - bound, False)

    yield _Component(term("First", inner), score.axes - bound, defined("defined", score))
    yield from below(term("Second", inner), sums)


def _assembled(whole: Term, made: Mapping[Term, Term]) -> Term:
    """The value of a part's fold, put together from the arrays that hold its components."""
    if whole in made:
        return made[whole]
    return term("Tuple", *(_assembled(term(op, whole), made) for op in ("First", "Second")))
