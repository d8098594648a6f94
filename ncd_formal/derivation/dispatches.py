"""The dispatches of a schedule that is not fused: a form and inputs for each, to write a kernel of.

Each intermediate of a way to run a program is made by a dispatch of its own, which streams what it
contracts, with its own certificate; the last dispatch is a streamed form that reads them.  Of a
form in parts, the first dispatch makes the states of all parts, and the last one combines them.
Putting each array's definition back in its place gives the program again, or the form that the
way's certificate proves equal to it; so the whole is proved by the certificates of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ncd_formal.conditions import Context
from ncd_formal.derivation.parts import Divided
from ncd_formal.derivation.schedules import replaced
from ncd_formal.derivation.streaming import StreamedForm, stream
from ncd_formal.derivation.ways import Way
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.sizes import product, variable
from ncd_formal.wires import INDEX_TEXT, Term, indices_of, input_at, is_axis, subterms


@dataclass(frozen=True)
class Dispatch:
    """One kernel of several."""

    makes: str
    """What it writes: an intermediate, states, or the output."""
    form: StreamedForm
    inputs: Mapping[str, Declaration]
    """What it reads: inputs of the program and intermediates."""
    given: tuple[str, ...] = ()
    """What the intermediates that it reads are."""
    writes: Mapping[str, Output] = field(default_factory=dict)
    """The intermediates that it makes; none where it makes the output."""

    def __str__(self) -> str:
        return f"{self.makes}: {self.form.way}, certificate {self.form.certificate.digest[:16]}"


def dispatches(
    name: str, way: Way, definition: Term, context: Context, inputs: Mapping[str, Declaration]
) -> tuple[Dispatch, ...]:
    """The dispatches of a way to run a program, in order.

    ``definition`` is the program's term, and ``context`` what holds of it, without blocks.

    Errors: InputError where an intermediate may hold −∞, a dispatch does not stream, or a
    certificate fails; ValueError where what they make together is not what is proved.
    """
    if way.divided is not None:
        return _in_parts(name, way.divided, definition, inputs)
    made: list[Dispatch] = []
    known = dict(inputs)
    given: dict[str, str] = {}
    whole: dict[str, Output] = {}
    *before, last = way.plans
    for number, plan in enumerate(before, 1):
        own = _read(Output(plan.term, plan.layout), context, known)
        extended = [each for each in own if context.inputs.get(each) == "extended"]
        if extended:
            raise InputError(f"{', '.join(extended)} may hold −∞, which no dispatch writes out")
        title, output = f"intermediate {number}", Output(plan.term, plan.layout)
        part = stream(output, context)
        part.certificate.check()
        explained = tuple(given[each] for each in own if each in given)
        writes = {title: Output(part.term, part.layout)}
        made.append(Dispatch(title, part, own, explained, writes))
        known[title] = _declared(title, output, context)
        given[title] = _explained(title, output)
        whole[title] = replace(output, term=_put_back(plan.term, whole))
    if way.form is None:
        raise InputError(f"what {name} makes last reduces nothing")
    way.form.certificate.check()
    proved = definition
    if way.order is not None:
        way.order.check()
        (goal,) = way.order.goals
        _same(goal.left, definition)
        proved = goal.right
    (goal,) = way.form.certificate.goals
    if way.form.term is not goal.right:  # what is proved is cut
        _same(_put_back(way.form.term, whole), goal.right)
        _same(goal.left, proved)
    else:
        _same(_put_back(goal.left, whole), proved)
    reads = _read(Output(last.term, last.layout), way.form.context, known)
    return (*made, Dispatch(name, way.form, reads, tuple(given[n] for n in reads if n in given)))


def _in_parts(
    name: str, divided: Divided, definition: Term, inputs: Mapping[str, Declaration]
) -> tuple[Dispatch, ...]:
    """The states of the parts of a form, and what combines them."""
    form = divided.form
    form.certificate.check()
    (goal,) = form.certificate.goals
    combining = stream(divided.combined, divided.context, divided.part)
    combining.certificate.check()
    (combined,) = combining.certificate.goals
    _same(combining.term, combined.right)
    states = {state.name: state.output for state in divided.states}
    _same(_put_back(combined.left, states), goal.right)
    _same(goal.left, definition)
    known = dict(inputs)
    for state in divided.states:
        known[state.name] = _declared(state.name, state.output, form.context, state.extended)
    return (
        Dispatch(
            f"{name} states",
            form,
            _read(Output(form.term, form.layout), form.context, inputs),
            writes=states,
        ),
        Dispatch(
            name,
            combining,
            _read(divided.combined, divided.context, known),
            tuple(_explained(state.name, state.output) for state in divided.states),
        ),
    )


def _put_back(root: Term, made: Mapping[str, Output]) -> Term:
    """A term with the definitions of arrays in place of what reads them.

    Each is read at the axes of its definition.  A pair of both components of a value is the value.
    """
    found: dict[Term, Term] = {}
    for node in subterms(root):
        own = made.get(str(node.args[0])) if node.op == "Input" else None
        if own is not None:
            index = (variable(axis) for digits in own.layout for axis in digits)
            _same(node, input_at(str(node.args[0]), index))
            found[node] = own.term
            continue
        result = replaced(node, {child: found[child] for child in node.children})
        first, second = result.children if result.op == "Tuple" else (result, result)
        if (first.op, second.op) == ("First", "Second") and first.args == second.args:
            result = first.children[0]
        found[node] = result
    return found[root]


def _same(left: Term, right: Term) -> None:
    if left is not right:
        raise ValueError(f"what dispatches make together is not what is proved: {left}, {right}")


def _declared(name: str, output: Output, context: Context, extended: bool = False) -> Declaration:
    """An array that one dispatch makes and another reads."""
    shape = tuple(product(context.axes[a] for a in digits) for digits in output.layout)
    said = "extended" if extended else "real"
    return Declaration(name, shape, "real", " ".join(map(str, shape)), said)


def _explained(name: str, output: Output) -> str:
    """What an array holds."""
    index = "; ".join(axis for digits in output.layout for axis in digits)
    return f"{name}[{index}] = {output.term}"


def _read(
    output: Output, context: Context, known: Mapping[str, Declaration]
) -> dict[str, Declaration]:
    """What a dispatch reads, and what else shows it the sizes that it needs."""
    names = {str(node.args[0]) for node in subterms(output.term) if node.op == "Input"}
    needed = {v for digits in output.layout for a in digits for v in context.axes[a].variables}
    for node in subterms(output.term):
        if node.op == "Reduce":
            needed |= context.axes[str(node.args[1])].variables
        elif node.op in INDEX_TEXT:
            read = indices_of(str(node.args[INDEX_TEXT[node.op]]))
            needed |= {v for p in read for v in p.variables if not is_axis(v)}
    shown: set[str] = set()
    for name in names & known.keys():
        shown |= _sizes(known[name])
    for name, declared in known.items():
        if not needed <= shown and needed & _sizes(declared) - shown:
            names.add(name)
            shown |= _sizes(declared)
    return {name: declared for name, declared in known.items() if name in names}


def _sizes(declared: Declaration) -> set[str]:
    return {v for p in declared.shape for v in p.variables}
