"""The dispatches of a schedule that is not fused: a form and inputs for each, to write a kernel of.

Each intermediate of a way to run a program is made by a dispatch of its own, which streams what it
contracts, with its own certificate; the last dispatch is a streamed form that reads them.  Putting
each array's definition back in its place gives the program again, or the order of its contractions
that the way's certificate proves equal to it; so the whole is proved by the certificates of its
parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ncd_formal.conditions import Context
from ncd_formal.derivation.streaming import StreamedForm, stream
from ncd_formal.derivation.ways import Way
from ncd_formal.elaboration import Output
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import Declaration
from ncd_formal.sizes import product
from ncd_formal.wires import Term, subterms


@dataclass(frozen=True)
class Dispatch:
    """One kernel of several."""

    makes: str
    """What it writes: an intermediate, or the output."""
    form: StreamedForm
    inputs: Mapping[str, Declaration]
    """What it reads: inputs of the program and intermediates."""
    given: tuple[str, ...] = ()
    """What the intermediates that it reads are."""

    def __str__(self) -> str:
        return f"{self.makes}: {self.form.way}, certificate {self.form.certificate.digest[:16]}"


def dispatches(
    name: str, way: Way, context: Context, inputs: Mapping[str, Declaration]
) -> tuple[Dispatch, ...]:
    """The dispatches of a way to run a program, in order.

    ``context`` is that of the definition, without blocks.

    Errors: InputError where an intermediate may hold −∞, or a dispatch does not stream.
    """
    made: list[Dispatch] = []
    known = dict(inputs)
    given: dict[str, str] = {}
    *before, last = way.plans
    for number, plan in enumerate(before, 1):
        own = _read(plan.term, known)
        extended = [each for each in own if context.inputs.get(each) == "extended"]
        if extended:
            raise InputError(f"{', '.join(extended)} may hold −∞, which no dispatch writes out")
        part = stream(Output(plan.term, plan.layout), context)
        part.certificate.check()
        title = f"intermediate {number}"
        shape = tuple(product(context.axes[a] for a in digits) for digits in plan.layout)
        known[title] = Declaration(title, shape, "real", " ".join(map(str, shape)))
        made.append(Dispatch(title, part, own, tuple(given[each] for each in own if each in given)))
        index = "; ".join(axis for digits in plan.layout for axis in digits)
        given[title] = f"{title}[{index}] = {plan.term}"
    if way.form is None:
        raise InputError(f"what {name} makes last reduces nothing")
    way.form.certificate.check()
    if way.order is not None:
        way.order.check()
    reads = _read(last.term, known)
    stated = tuple(given[each] for each in reads if each in given)
    return (*made, Dispatch(name, way.form, reads, stated))


def _read(root: Term, known: Mapping[str, Declaration]) -> dict[str, Declaration]:
    names = {str(node.args[0]) for node in subterms(root) if node.op == "Input"}
    return {name: declared for name, declared in known.items() if name in names}
