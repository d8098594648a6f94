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
from ncd_formal.derivation.choice import Choice, choose, other_orders
from ncd_formal.derivation.cost import Cost, cost, leaves_idle
from ncd_formal.derivation.dispatches import Dispatch, dispatches
from ncd_formal.derivation.machines import Machine, machine
from ncd_formal.derivation.refined import Refined, refine
from ncd_formal.derivation.regimes import RegimeMap, rank, regime_map
from ncd_formal.derivation.schedules import Plan, plan_of
from ncd_formal.derivation.streaming import StreamedForm, stream
from ncd_formal.derivation.ways import as_written, in_parts, one_dispatch, ways
from ncd_formal.elaboration import Output, elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import extended_inputs, parse_shape, size_names
from ncd_formal.proof import Instance
from ncd_formal.rules import table

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
    """The source of the fused kernel, a Triton file that stands alone; empty where none is written
    and several dispatches are."""
    certificate: Certificate
    conditions: tuple[str, ...] = ()
    fused: bool = True
    """Whether one dispatch is the better schedule, at the sizes given."""
    why: str = ""
    """Why it is fused or not, where sizes were given and it could be either."""
    unfused: Mapping[str, str] = field(default_factory=dict)
    """The files that run the dispatches of a schedule that is not fused, by name."""
    dispatches: tuple[Dispatch, ...] = ()
    """Those dispatches, each with its streamed form and the certificate of that."""
    others: tuple[str, ...] = ()
    """The other orders of its contractions, each with where it takes no more operations; looked
    for where no sizes are given."""

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
        for number, part in enumerate(self.dispatches, 1):
            part.form.certificate.save(where / f"dispatch_{number}.json")

    def explain(self) -> str:
        """The derivation for people."""
        if self.dispatches:
            count = len(self.dispatches)
            lines = [f"{self.name}: {count} dispatch{'es' if count > 1 else ''}"]
        else:
            form = self.schedule
            lines = [
                f"{self.name}: {form.way}",
                f"  found in {form.nodes} e-nodes and {form.seconds * 1000:.0f} ms",
                f"  {form.streamability}",
            ]
        lines += [f"  {number}. {step}" for number, step in enumerate(self.steps, 1)]
        lines += [f"  {each}" for each in self.dispatches]
        lines += [
            *_indented(str(self.cost)),
            f"  certificate {self.certificate.digest[:16]}, checked",
            *(f"  condition: {c}" for c in self.conditions),
        ]
        if self.why:
            lines.append(f"  {'fused' if self.fused else 'not fused'}: {self.why}")
        lines += [f"  another order: {other}" for other in self.others]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The derivation as plain data."""
        return {
            "name": self.name,
            "form": repr(self.schedule.term),
            "shown": str(self.schedule.term),
            "axis": self.schedule.axis,
            "passes": self.schedule.passes,
            "passes_as_written": self.schedule.passes_as_written,
            "family": self.schedule.family,
            "nodes": self.schedule.nodes,
            "steps": list(self.steps),
            "cost": self.cost.to_json(),
            "certificate": self.certificate.digest,
            "conditions": list(self.conditions),
            "fused": self.fused,
            "why": self.why,
            "files": list(self.files),
            "others": list(self.others),
        }


def derive(
    target: object,
    inputs: Mapping[str, str] | None = None,
    hardware: str | Path | Mapping[str, int] | Machine = "h100",
    sizes: Mapping[str, int] | None = None,
    assume: Sequence[str] = (),
    expand: bool = False,
    parts: bool = False,
) -> Derivation:
    """A streamed algorithm for a program, with its proof, its cost and its kernel.

    ``sizes`` gives numbers to sizes, for the cost; the algorithm and its proof hold for all.  With
    sizes, several dispatches are written where they take less than the fused one, or it does not
    fit, in another order of contractions where that is better, or in parts of the streamed axis
    where one dispatch leaves processors idle.  ``parts`` asks for those whatever they take.
    ``expand`` also writes out products over sums, for fewer passes: then sums may cancel in
    floating point.

    Errors: InputError where nothing is reduced, where no streamed form was found, where no schedule
    fits the memory, where an axis does not split, and for inputs that cannot be used.
    """
    from ncd_formal.realize.triton_source import kernel_source
    from ncd_formal.realize.unfused_source import unfused_source

    chosen = machine(hardware)
    program, output, context = _single_output(target, inputs, assume, sizes)
    form, choice = _chosen(output, context, chosen, sizes, expand)
    if form is None:
        form = stream(output, context)
    form.certificate.check()
    if parts:
        way = in_parts(output, context, form, expand)
        choice = Choice(way, way.candidate(chosen).cost(sizes), "in parts, as was asked for")
    kernel, refusal = "", None
    try:
        kernel = kernel_source(program.name, form, program.inputs, program.conditions)
    except InputError as error:
        refusal = error
    way, why = choice.way, choice.why if sizes is not None or parts else ""
    several: tuple[Dispatch, ...] = ()
    files: Mapping[str, str] = {}
    if way.order is not None or len(way.plans) > 1:
        try:
            several = dispatches(program.name, way, output.term, context, program.inputs)
            files = unfused_source(several, program.inputs, program.conditions)
        except InputError as error:
            if parts:
                raise
            several, why = (), f"{why}; the kernel that is written is the fused one: {error}"
    if refusal is not None and not several:
        raise refusal
    if several and way.divided:
        form = way.divided.form
    ordered = way.order if several else None
    certificate = ordered or form.certificate
    followed = [certificate, *(each.form.certificate for each in several)]
    return Derivation(
        program.name,
        form,
        steps(followed if ordered else [certificate]),
        choice.cost,
        kernel,
        certificate,
        program.conditions,
        len(way.plans) == 1,
        why,
        files,
        several,
        other_orders(output, context) if sizes is None else (),
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
    in_parts: bool = False
    """Whether the streamed axis is cut in parts that are passed over at the same time."""

    def explain(self) -> str:
        """The cost for people."""
        title = self.machine.title or self.machine.name
        way = f"streams {self.streamed}" if self.streamed else "streams nothing"
        way += " in parts" if self.in_parts else ""
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
            "in_parts": self.in_parts,
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

    Where an axis streams, that is one fused dispatch, or several where these take less time, or
    move less on a machine without rates: those that it is cut into, those of another order of its
    contractions, or those of parts of the axis where one dispatch leaves processors idle.  Where
    nothing is reduced, or nothing streams, every axis that is reduced is held whole.

    Errors: InputError for inputs that cannot be used, and where no group fits the memory.
    """
    chosen = machine(hardware)
    program, output, context = _single_output(target, inputs, assume, sizes)
    form, choice = _chosen(output, context, chosen, sizes)
    whole = plan_of(form) if form else Plan(context, output.term, output.layout)
    way = choice.way
    last = way.divided.form if way.divided else way.form
    return Costed(
        program.name,
        chosen,
        whole,
        last.axis if last else "",
        choice.cost,
        sizes,
        len(way.plans) == 1,
        choice.why,
        way.divided is not None,
    )


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
    known = {name: number for name, number in (sizes or {}).items() if name not in over}
    some = {name: [v for v in values if v > 0] for name, values in over.items()}
    fewest = {**named, **{name: min(values) for name, values in some.items() if values}}

    def idle(plan: Plan) -> bool:
        return leaves_idle(plan, chosen, fewest)

    found = ways(output, context, known, idle=idle if over else None)
    candidates = [way.candidate(chosen) for way in found]
    return regime_map(program.name, candidates, chosen, over, sizes)


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
    plan = one_dispatch(output, context).plans[-1]
    return refine(program.name, plan, machine(hardware), sizes or {}, types, block)


def _chosen(
    output: Output,
    context: Context,
    chosen: Machine,
    sizes: Mapping[str, int] | None,
    expand: bool = False,
) -> tuple[StreamedForm | None, Choice]:
    """The streamed form of an output where there is one, and the best way to run it."""
    if sizes is None:
        found = as_written(output, context, expand=expand)
    else:

        def rank_of(plan: Plan) -> tuple[float, float]:
            return rank(cost(plan, chosen, sizes))

        def idle(plan: Plan) -> bool:
            return leaves_idle(plan, chosen, sizes)

        found = ways(output, context, sizes, rank_of, expand, idle)
    return found[0].form, choose(found, chosen, sizes)


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


def steps(certificates: Sequence[Certificate]) -> tuple[str, ...]:
    """The laws of derivations in the order of their first use, and the forms that they lead to."""
    shown: dict[str, None] = {}
    for certificate in certificates:
        for _, _, chain in certificate.lemmas:
            for law in (step.law for _, step in chain if isinstance(step, Instance)):
                comment = table()[law].comment
                shown[f"{law}: {comment}" if comment else law] = None
        shown[f"form: {certificate.goals[0].right}"] = None
    return tuple(shown)
