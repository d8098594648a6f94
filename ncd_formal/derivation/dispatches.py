"""The dispatches of a schedule that is not fused: a form and inputs for each, to write a kernel of.

What a streamed form makes inside its blocks is written out by a dispatch of its own, which streams
what it contracts, with its own certificate; the last dispatch is the streamed form, reading what
was written.  Putting each array's definition back in its place gives the streamed form again, so
the whole is proved by the certificates of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ncd_formal.conditions import Context
from ncd_formal.derivation.fusion import cut
from ncd_formal.derivation.schedules import plan_of
from ncd_formal.derivation.streaming import StreamedForm, stream
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


def dispatches(
    name: str, form: StreamedForm, context: Context, inputs: Mapping[str, Declaration]
) -> tuple[Dispatch, ...]:
    """The dispatches that a streamed form is cut into, in order; () where it is not cut.

    ``context`` is that of the definition, without blocks.

    Errors: InputError where an intermediate may hold −∞, or does not stream by itself.
    """
    made: list[Dispatch] = []
    known = dict(inputs)
    given: list[str] = []
    *inner, last = cut(plan_of(form)) or (None,)
    if last is None:
        return ()
    for number, plan in enumerate(inner, 1):
        assert plan is not None
        own = _read(plan.term, known)
        extended = [each for each in own if context.inputs.get(each) == "extended"]
        if extended:
            raise InputError(f"{', '.join(extended)} may hold −∞, which no dispatch writes out")
        part = stream(Output(plan.term, plan.layout), context)
        part.certificate.check()
        title = f"intermediate {number}"
        shape = tuple(product(context.axes[a] for a in digits) for digits in plan.layout)
        known[title] = Declaration(title, shape, "real", " ".join(map(str, shape)))
        made.append(Dispatch(title, part, own))
        index = "; ".join(axis for digits in plan.layout for axis in digits)
        given.append(f"{title}[{index}] = {plan.term}")
    reads = _read(last.term, known)
    return (*made, Dispatch(name, replace(form, term=last.term), reads, tuple(given)))


def _read(root: Term, known: Mapping[str, Declaration]) -> dict[str, Declaration]:
    names = {str(node.args[0]) for node in subterms(root) if node.op == "Input"}
    return {name: declared for name, declared in known.items() if name in names}
