"""The best way to run a program, derived from its definition.

:func:`derive` finds a form that streams an axis, proves it equal to the definition, gives its cost
as a formula and as a number, and writes it as a Triton kernel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ncd_formal.certificate import Certificate
from ncd_formal.conditions import Context
from ncd_formal.conditions import assume as assume_sizes
from ncd_formal.derivation.cost import Cost, cost
from ncd_formal.derivation.dispatches import dispatches
from ncd_formal.derivation.fusion import combined, comparison, cut
from ncd_formal.derivation.machines import Machine, machine
from ncd_formal.derivation.refined import Refined, refine
from ncd_formal.derivation.regimes import Candidate, RegimeMap, candidate, rank, regime_map
from ncd_formal.derivation.schedules import Plan, plan_of, streams_a_window
from ncd_formal.derivation.streaming import StreamedForm, stream
from ncd_formal.elaboration import Output, elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import extended_inputs, parse_shape, size_names
from ncd_formal.proof import Instance
from ncd_formal.rules import table
from ncd_formal.wires import subterms

__all__ = [
    "Cost",
    "Costed",
    "Derivation",
    "Machine",
    "Refined",
    "RegimeMap",
    "StreamedForm",
    "compare",
    "derive",
    "estimate",
    "lay_out",
]


@dataclass(frozen=True)
class Derivation:
    """A derived algorithm: its form, steps, cost, kernel, and the certificate of its equality."""

    name: str
    schedule: StreamedForm
    steps: tuple[str, ...]
    cost: Cost
    kernel: str
    """The source of the fused kernel, a Triton file that stands alone."""
    certificate: Certificate
    conditions: tuple[str, ...] = ()
    fused: bool = True
    """Whether one dispatch is the better schedule, at the sizes given."""
    why: str = ""
    """Why it is fused or not, where sizes were given and it could be either."""
    unfused: Mapping[str, str] = field(default_factory=dict)
    """The files that run the dispatches of a schedule that is not fused, by name."""

    @property
    def files(self) -> Mapping[str, str]:
        """The kernels of the schedule, by file; ``kernel.py`` runs it."""
        return self.unfused or {"kernel.py": self.kernel}

    def save(self, folder: str | Path) -> None:
        """Write the kernels, ``certificate.json``, ``derivation.txt`` and ``derivation.json``.

        ``kernel.py`` runs the schedule, and holds it where it is fused.
        """
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (where / name).write_text(text, encoding="utf-8")
        (where / "derivation.txt").write_text(self.explain() + "\n", encoding="utf-8")
        (where / "derivation.json").write_text(
            json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8"
        )
        self.certificate.save(where / "certificate.json")

    def explain(self) -> str:
        """The derivation for people."""
        form = self.schedule
        passes = "one pass" if form.passes == 1 else f"{form.passes} passes"
        lines = [
            f"{self.name}: {passes} over {form.axis} in blocks of {form.context.axes[form.tile]}",
            f"  found in {form.nodes} e-nodes and {form.seconds * 1000:.0f} ms",
            *(f"  {number}. {step}" for number, step in enumerate(self.steps, 1)),
            *_indented(str(self.cost)),
            f"  certificate {self.certificate.digest[:16]}, checked",
            *(f"  condition: {c}" for c in self.conditions),
        ]
        if self.why:
            lines.append(f"  {'fused' if self.fused else 'not fused'}: {self.why}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The derivation as plain data."""
        return {
            "name": self.name,
            "form": repr(self.schedule.term),
            "shown": str(self.schedule.term),
            "axis": self.schedule.axis,
            "passes": self.schedule.passes,
            "nodes": self.schedule.nodes,
            "steps": list(self.steps),
            "cost": self.cost.to_json(),
            "certificate": self.certificate.digest,
            "conditions": list(self.conditions),
            "fused": self.fused,
            "why": self.why,
            "files": list(self.files),
        }


def derive(
    target: object,
    inputs: Mapping[str, str] | None = None,
    hardware: str | Path | Mapping[str, int] | Machine = "h100",
    sizes: Mapping[str, int] | None = None,
    assume: Sequence[str] = (),
) -> Derivation:
    """A streamed algorithm for a program, with its proof, its cost and its kernel.

    ``sizes`` gives numbers to sizes, for the cost; the algorithm and its proof hold for all.  With
    sizes, several dispatches are written where they take less than the fused one, or it does not
    fit.

    Errors: InputError where nothing is reduced, where no streamed form was found, where no schedule
    fits the memory, and for inputs that cannot be used.
    """
    from ncd_formal.realize.triton_source import kernel_source
    from ncd_formal.realize.unfused_source import unfused_source

    chosen = machine(hardware)
    program, output, context = _single_output(target, inputs, assume, sizes)
    form = stream(output, context)
    form.certificate.check()
    kernel = kernel_source(program.name, form, program.inputs, program.conditions)
    found, fused, why = cost(form, chosen, None), True, ""
    unfused: Mapping[str, str] = {}
    if sizes is not None:
        found, fused, why = _decided(plan_of(form), chosen, sizes)
    if not fused:
        try:
            parts = dispatches(program.name, form, context, program.inputs)
            unfused = unfused_source(parts, program.inputs, program.conditions)
        except InputError as error:
            why += f"; the kernel that is written is the fused one: {error}"
    return Derivation(
        program.name,
        form,
        steps(form),
        found,
        kernel,
        form.certificate,
        program.conditions,
        fused,
        why,
        unfused,
    )


@dataclass(frozen=True)
class Costed:
    """What a program costs on a machine, by its best schedule."""

    name: str
    machine: Machine
    plan: Plan
    streamed: str
    """The axis that is streamed; empty where none is."""
    cost: Cost
    sizes: Mapping[str, int] | None
    fused: bool = True
    """Whether it is one dispatch."""
    why: str = ""
    """Why it is fused or not, where it could be either."""

    def explain(self) -> str:
        """The cost for people."""
        title = self.machine.title or self.machine.name
        way = f"streams {self.streamed}" if self.streamed else "streams nothing"
        lines = [f"{self.name} on {title}: {way}", *_indented(str(self.cost))]
        if self.why:
            lines.append(f"  {self.why}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The cost as plain data."""
        return {
            "name": self.name,
            "machine": self.machine.name,
            "streamed": self.streamed,
            "fused": self.fused,
            "why": self.why,
            "sizes": dict(self.sizes or {}),
            **self.cost.to_json(),
        }


def estimate(
    target: object,
    inputs: Mapping[str, str] | None = None,
    hardware: str | Path | Mapping[str, int] | Machine = "h100",
    sizes: Mapping[str, int] | None = None,
    assume: Sequence[str] = (),
) -> Costed:
    """What a program costs on a machine, by its best schedule.

    Where an axis streams, that is one fused dispatch, or the dispatches that it is cut into where
    these take less time, or move less on a machine without rates.  Where nothing is reduced, or
    nothing streams, every axis that is reduced is held whole.

    Errors: InputError for inputs that cannot be used, and where no group fits the memory.
    """
    chosen = machine(hardware)
    program, output, context = _single_output(target, inputs, assume, sizes)
    form, plan = _planned(output, context)
    found, fused, why = _decided(plan, chosen, sizes)
    streamed = form.axis if form else ""
    return Costed(program.name, chosen, plan, streamed, found, sizes, fused, why)


def compare(
    target: object,
    over: Mapping[str, Sequence[int]],
    inputs: Mapping[str, str] | None = None,
    hardware: str | Path | Mapping[str, int] | Machine = "h100",
    sizes: Mapping[str, int] | None = None,
    assume: Sequence[str] = (),
) -> RegimeMap:
    """Which way to run a program wins where, over one or two sizes; ``sizes`` gives the others.

    Errors: InputError as :func:`estimate`, and for sizes that make no map.
    """
    chosen = machine(hardware)
    named = {**dict.fromkeys(over, 1), **(sizes or {})}
    program, output, context = _single_output(target, inputs, assume, named)
    _, plan = _planned(output, context)
    return regime_map(program.name, candidates(plan, chosen), chosen, over, sizes)


def lay_out(
    target: object,
    inputs: Mapping[str, str] | None = None,
    hardware: str | Path | Mapping[str, int] | Machine = "h100",
    sizes: Mapping[str, int] | None = None,
    types: Mapping[str, str] | None = None,
    block: int | None = None,
    assume: Sequence[str] = (),
) -> Refined:
    """The streamed form of a program refined to registers, matrix instructions and clocks.

    ``sizes`` gives the axes that a kernel holds whole; ``types`` the types of inputs, by default
    the machine's; ``block`` the streamed indices of a step, by default the best power of two.

    Errors: InputError where nothing streams, sizes contradict the machine, or nothing fits.
    """
    program, output, context = _single_output(target, inputs, assume, sizes)
    _, plan = _planned(output, context)
    return refine(program.name, plan, machine(hardware), sizes or {}, types, block)


def candidates(plan: Plan, chosen: Machine) -> tuple[Candidate, ...]:
    """The ways to run a plan on a machine: as one dispatch, and as those that it is cut into."""
    parts = cut(plan)
    fused = candidate("fused" if parts else "one dispatch", (plan,), chosen)
    return (fused, candidate("unfused", parts, chosen)) if parts else (fused,)


def _planned(output: Output, context: Context) -> tuple[StreamedForm | None, Plan]:
    """The streamed form of an output where there is one, and what is scheduled."""
    try:
        form = stream(output, context)
        if streams_a_window(form):
            form = _past_windows(output, context, form)
    except InputError:
        return None, Plan(context, output.term, output.layout)
    return form, plan_of(form)


def _decided(
    plan: Plan, chosen: Machine, sizes: Mapping[str, int] | None
) -> tuple[Cost, bool, str]:
    """The cost of the better of one dispatch and several, whether it is one, and why."""
    whole = _attempt((plan,), chosen, sizes)
    parts = _attempt(cut(plan), chosen, sizes)
    if isinstance(whole, InputError) and (parts is None or isinstance(parts, InputError)):
        raise whole
    fused, why = _choose(whole, parts, plan, chosen)
    found = whole if fused else parts
    assert isinstance(found, Cost)
    return found, fused, why


def _attempt(
    plans: Sequence[Plan], chosen: Machine, sizes: Mapping[str, int] | None
) -> Cost | InputError | None:
    """What dispatches cost, or why they cannot run; None where there are none."""
    if not plans:
        return None
    try:
        return combined([cost(plan, chosen, sizes) for plan in plans])
    except InputError as error:
        return error


def _choose(
    whole: Cost | InputError | None, parts: Cost | InputError | None, plan: Plan, chosen: Machine
) -> tuple[bool, str]:
    """Whether to fuse, and why."""
    if not isinstance(parts, Cost):
        return True, ""
    if isinstance(whole, Cost):
        where = comparison(whole, parts)
        if isinstance(whole.transfers, str) or isinstance(parts.transfers, str):
            return True, where
        least = min((whole, parts), key=rank)
        moved = f"fused H = {whole.transfers:,.0f}, unfused H = {parts.transfers:,.0f} values"
        return least is whole, "; ".join(filter(None, (moved, where)))
    where = comparison(cost(plan, chosen, None), parts)
    return False, "; ".join(filter(None, (f"unfused, as fused {whole}", where)))


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


def _single_output(
    target: object,
    inputs: Mapping[str, str] | None,
    assume: Sequence[str],
    sizes: Mapping[str, int] | None,
) -> tuple[Program, Output, Context]:
    """A program, its one output as wires, and what holds of its axes and inputs."""
    from ncd_formal.task import import_target

    declared = {name: parse_shape(name, text) for name, text in (inputs or {}).items()}
    context = assume_sizes(tuple(assume), size_names(declared.values()))
    context = replace(context, inputs=extended_inputs(declared.values()))
    program = import_target(target, declared, context)
    known = set(size_names(program.inputs.values()))
    for name in sizes or ():
        if name not in known:
            raise InputError(
                f"no input has a size named {name!r}: there are {', '.join(sorted(known))}"
            )
    if len(program.outputs) != 1:
        raise InputError(f"{program.name} has {len(program.outputs)} outputs; one can be derived")
    elaboration = elaborate([program.outputs], context)
    ((output,),) = elaboration.programs
    return program, output, elaboration.context


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def steps(form: StreamedForm) -> tuple[str, ...]:
    """The laws of the derivation in the order of their first use, each with what it says."""
    laws: dict[str, None] = {}
    for _, _, chain in form.certificate.lemmas:
        laws.update(dict.fromkeys(step.law for _, step in chain if isinstance(step, Instance)))
    shown = []
    for law in laws:
        comment = table()[law].comment
        shown.append(f"{law}: {comment}" if comment else law)
    return (*shown, f"form: {form.term}")
