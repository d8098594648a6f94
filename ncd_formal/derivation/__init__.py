"""The best way to run a program, derived from its definition.

:func:`derive` finds a form that streams an axis, proves it equal to the definition, gives its cost
as a formula and as a number, and writes it as a Triton kernel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ncd_formal.certificate import Certificate
from ncd_formal.conditions import assume as assume_sizes
from ncd_formal.derivation.cost import Cost, cost
from ncd_formal.derivation.machines import Machine, machine
from ncd_formal.derivation.streaming import StreamedForm, stream
from ncd_formal.elaboration import elaborate
from ncd_formal.errors import InputError
from ncd_formal.frontends.shapes import extended_inputs, parse_shape, size_names
from ncd_formal.proof import Instance
from ncd_formal.rules import table

__all__ = ["Cost", "Derivation", "Machine", "StreamedForm", "derive"]


@dataclass(frozen=True)
class Derivation:
    """A derived algorithm: its form, steps, cost, kernel, and the certificate of its equality."""

    name: str
    schedule: StreamedForm
    steps: tuple[str, ...]
    cost: Cost
    kernel: str
    """The source of a Triton file that stands alone."""
    certificate: Certificate
    conditions: tuple[str, ...] = ()

    def save(self, folder: str | Path) -> None:
        """Write ``kernel.py``, ``certificate.json``, ``derivation.txt`` and ``derivation.json``."""
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        (where / "kernel.py").write_text(self.kernel, encoding="utf-8")
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
            *(f"  {line}" for line in str(self.cost).splitlines()),
            f"  certificate {self.certificate.digest[:16]}, checked",
            *(f"  condition: {c}" for c in self.conditions),
        ]
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
        }


def derive(
    target: object,
    inputs: Mapping[str, str] | None = None,
    hardware: str | Mapping[str, int] | Machine = "h100",
    sizes: Mapping[str, int] | None = None,
    assume: Sequence[str] = (),
) -> Derivation:
    """A streamed algorithm for a program, with its proof, its cost and its kernel.

    ``sizes`` gives numbers to sizes, for the cost; the algorithm and its proof hold for all.

    Errors: InputError where nothing is reduced, where no streamed form was found, and for inputs
    that cannot be used.
    """
    from ncd_formal.realize.triton_source import kernel_source
    from ncd_formal.task import import_target

    chosen = machine(hardware)
    declared = {name: parse_shape(name, text) for name, text in (inputs or {}).items()}
    context = assume_sizes(tuple(assume), size_names(declared.values()))
    context = replace(context, inputs=extended_inputs(declared.values()))
    program = import_target(target, declared, context)
    if len(program.outputs) != 1:
        raise InputError(f"{program.name} has {len(program.outputs)} outputs; one can be derived")
    elaboration = elaborate([program.outputs], context)
    ((output,),) = elaboration.programs
    form = stream(output, elaboration.context)
    form.certificate.check()
    kernel = kernel_source(program.name, form, program.inputs, program.conditions)
    return Derivation(
        program.name,
        form,
        steps(form),
        cost(form, chosen, sizes),
        kernel,
        form.certificate,
        program.conditions,
    )


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
