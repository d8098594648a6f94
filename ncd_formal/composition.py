"""Proofs made of proofs: two large programs as the same steps, each step proved once.

Both programs are written as a sequence of steps.  A step computes one array from the inputs and
from arrays of earlier steps, and carries a certificate that both programs' ways of computing it
agree *whatever it reads holds*; so the arrays agree one after the other, and the outputs with them.
A part may suppose something of inputs, that a row of a mask has a True: then each step that uses it
reads inputs of the programs there, and the proof as a whole supposes it of those.
Steps that are the same up to the names of what they read share one certificate: the proof of a deep
stack is about as long as that of its distinct layers.

Checking needs what checking a certificate needs: the rule texts and the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Union

from ncd_formal.certificate import (
    Certificate,
    CertificateError,
    CheckReport,
    Values,
    check_said,
    check_witness,
    context_from_json,
    digest_of,
    example_from_json,
    example_to_json,
    save_json,
    witness_from_json,
)
from ncd_formal.conditions import Context
from ncd_formal.errors import InputError
from ncd_formal.facts import INPUT_KINDS, Facts
from ncd_formal.proof import Hypothesis, Lemma
from ncd_formal.rules import read_own_rules
from ncd_formal.sizes import Polynomial
from ncd_formal.wires import INDEX_TEXT, Term, indices_of, is_axis, renamed, subterms

FORMAT = "composition 1"


@dataclass(frozen=True)
class Step:
    """One array of both programs: the part that proves it, and what its inputs read."""

    part: int
    reads: Mapping[str, Union[str, int]]
    """Input of the part → an input of the programs by name, or an earlier step by number."""
    places: tuple[int, int]
    """Which array it is in the left and in the right program, sources counted first."""


@dataclass(frozen=True)
class Composition:
    """A proof that two sequences of steps compute the same outputs."""

    context: Context
    """The sizes and assumptions of every part, and the kinds of the programs' inputs."""
    parts: tuple[Certificate, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    """The steps that are outputs."""
    conditions: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    witness: Mapping[str, int] = field(default_factory=dict)
    """Sizes at which there are inputs of which the hypotheses hold."""
    example: Mapping[str, Values] = field(default_factory=dict)
    """Those inputs."""

    @cached_property
    def supposition(self) -> Certificate:
        """What the parts suppose, said of the programs' inputs: hypotheses, and no goals."""
        axes: dict[str, Polynomial] = {}
        names: dict[tuple[Polynomial, int], str] = {}
        found: dict[Hypothesis, None] = {}
        for step in self.steps:
            part = self.parts[step.part]
            sources = {k: source for k, source in step.reads.items() if isinstance(source, str)}
            for hypothesis in part.hypotheses:
                to: dict[str, str] = {}
                used: dict[Polynomial, int] = {}
                for axis in _axes_read(hypothesis):
                    # What two parts suppose is the same where their axes have the same sizes.
                    extent = part.context.axes[axis]
                    used[extent] = used.get(extent, 0) + 1
                    to[axis] = names.setdefault((extent, used[extent]), f"row.{len(names)}")
                    axes[to[axis]] = extent
                sides = (renamed(s, sources, to) for s in (hypothesis.left, hypothesis.right))
                found[Hypothesis(*sides)] = None
        return Certificate(
            replace(self.context, axes=axes),
            (),
            (),
            about=self.about,
            witness=self.witness,
            hypotheses=tuple(found),
            example=self.example,
        )

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """What the proof supposes of the programs' inputs."""
        return self.supposition.hypotheses

    @property
    def supposed(self) -> tuple[str, ...]:
        """The hypotheses in words."""
        return self.supposition.supposed

    @property
    def lemmas(self) -> tuple[Lemma, ...]:
        """The lemmas of all parts."""
        return tuple(lemma for part in self.parts for lemma in part.lemmas)

    @property
    def laws(self) -> tuple[str, ...]:
        """The laws that the proof uses."""
        return tuple(sorted({law for part in self.parts for law in part.laws}))

    @property
    def unproved(self) -> tuple[str, ...]:
        """The laws among them that are the user's own."""
        return tuple(sorted({law for part in self.parts for law in part.unproved}))

    @property
    def kinds_of_outputs(self) -> tuple[str, ...]:
        """What each output is known to hold: ``"real"``, ``"partial"``, …"""
        return tuple(kind_of(self.parts[self.steps[k].part])[0] for k in self.outputs)

    @property
    def digest(self) -> str:
        """A hash of the whole proof."""
        return digest_of(self.to_json())

    def describe(self) -> str:
        """How long it is, for people."""
        laws = ", ".join(self.laws) or "none: the wires are the same terms"
        return (
            f"{len(self.steps)} steps by {len(self.parts)} certificates, {len(self.lemmas)} lemmas;"
            f" laws: {laws}"
        )

    def check(self, rules: str = "") -> CheckReport:
        """Check every part, and that each step reads what its part was proved for.

        Errors: as those of :meth:`Certificate.check`.
        """
        vouched = read_own_rules(rules)
        from ncd_formal.certificate import check

        again = Composition.from_json(self.to_json())
        reports = []
        for number, part in enumerate(again.parts):
            own = part.context
            first, *forms = part.goals
            other = any(g.left is not first.left or g.layout != first.layout for g in forms)
            if other or part.conditions != part.supposed or own.splits:
                raise CertificateError(f"part {number} is not about one array")
            if own.lower != again.context.lower or own.assumptions != again.context.assumptions:
                raise CertificateError(f"part {number} is about other sizes")
            reports.append(check(part.to_json(), vouched))
        made: list[tuple[str, int]] = []
        kinds = [kind_of(part)[0] for part in again.parts]
        reads = [_ranks(part) for part in again.parts]
        supposing = [set(inputs_of(part.hypotheses)) for part in again.parts]
        for number, step in enumerate(again.steps):
            part = again.parts[step.part]
            if step.reads.keys() != part.context.inputs.keys():
                raise CertificateError(f"step {number} does not say what its part reads")
            for name, source in step.reads.items():
                kind = part.context.inputs[name]
                if isinstance(source, str):
                    if again.context.inputs.get(source) != kind:
                        raise CertificateError(f"step {number}: no {kind} input {source!r}")
                    continue
                if name in supposing[step.part]:
                    raise CertificateError(f"step {number} supposes something of step {source}")
                if not 0 <= source < number:
                    raise CertificateError(f"step {number} reads step {source}")
                found, rank = made[source]
                if INPUT_KINDS[found] & ~INPUT_KINDS[kind]:
                    raise CertificateError(f"step {number}: step {source} need not be {kind}")
                if reads[step.part].get(name, {rank}) != {rank}:
                    raise CertificateError(f"step {number}: step {source} has {rank} dimensions")
            made.append((kinds[step.part], len(part.goals[0].layout)))
        if not again.outputs or not all(0 <= k < len(again.steps) for k in again.outputs):
            raise CertificateError("the outputs are not among the steps")
        if not {step.part for step in again.steps} == set(range(len(again.parts))):
            raise CertificateError("a part is not used")
        if again.hypotheses:
            check_witness(again.supposition)
        check_said(again.supposed, again.conditions)
        assumed = [
            text
            for report, part in zip(reports, again.parts, strict=True)
            for text in report.conditions
            if text not in part.conditions
        ]
        return CheckReport(
            len(again.outputs),
            sum(report.lemmas for report in reports),
            sum(report.steps for report in reports),
            again.laws,
            tuple(dict.fromkeys((*assumed, *again.conditions))),
            again.unproved,
        )

    def to_json(self) -> dict[str, Any]:
        """The proof as plain data, without its digest."""
        return {
            "format": FORMAT,
            "about": dict(self.about),
            "conditions": list(self.conditions),
            "context": {
                "lower": dict(sorted(self.context.lower.items())),
                "assumptions": [str(a) for a in self.context.assumptions],
                "inputs": dict(sorted(self.context.inputs.items())),
            },
            "parts": [part.to_json() for part in self.parts],
            "steps": [[s.part, dict(sorted(s.reads.items())), list(s.places)] for s in self.steps],
            "outputs": list(self.outputs),
            **(
                {
                    "witness": dict(sorted(self.witness.items())),
                    "example": example_to_json(self.example),
                }
                if self.hypotheses
                else {}
            ),
        }

    def save(self, path: Any) -> None:
        """Write the proof as JSON."""
        save_json(self.to_json(), path)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Composition:
        """The proof of plain data.

        Errors: CertificateError where it is not well formed.
        """
        try:
            if data.keys() - {"witness", "example"} != _FIELDS or data["format"] != FORMAT:
                raise CertificateError(f"it does not have the fields {', '.join(sorted(_FIELDS))}")
            own = data["context"]
            parts = tuple(map(Certificate.from_json, _list(data["parts"])))
            steps = []
            for part, reads, (left, right) in _list(data["steps"]):
                if not 0 <= _number(part) < len(parts):
                    raise CertificateError(f"no part {part}")
                sources = {
                    str(k): v if isinstance(v, str) else _number(v) for k, v in reads.items()
                }
                steps.append(Step(part, sources, (_number(left), _number(right))))
            return cls(
                context_from_json({**own, "axes": {}, "splits": {}}),
                parts,
                tuple(steps),
                tuple(map(_number, _list(data["outputs"]))),
                tuple(map(_text, _list(data["conditions"]))),
                dict(data["about"]),
                witness_from_json(data.get("witness", {})),
                example_from_json(data.get("example", {})),
            )
        except CertificateError:
            raise
        except InputError as error:
            raise CertificateError(str(error)) from None
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CertificateError(f"not well formed: {type(error).__name__} {error}") from None


_FIELDS = {"format", "about", "conditions", "context", "parts", "steps", "outputs"}


KINDS = ("positive", "nonnegative", "real", "extended", "partial", "any")
"""What an array may be known to hold, the most telling first."""


def kind_of(part: Certificate) -> tuple[str, Term]:
    """The kind of values of a part's array, and a form of it that shows that."""
    facts = Facts(part.context)
    forms = (part.goals[0].left, *(goal.right for goal in part.goals))
    for kind in KINDS:
        for form in forms:
            if not facts(form) & ~INPUT_KINDS[kind]:
                return kind, form
    raise AssertionError("every value is of some kind")


def inputs_of(hypotheses: Sequence[Hypothesis]) -> Iterator[str]:
    """The names of the inputs that hypotheses are about."""
    for hypothesis in hypotheses:
        for node in subterms(hypothesis.left, hypothesis.right):
            if node.op == "Input":
                yield str(node.args[0])


def _axes_read(hypothesis: Hypothesis) -> dict[str, None]:
    """The axes of a hypothesis, in the order in which it reads them."""
    found: dict[str, None] = {}
    for node in subterms(hypothesis.left, hypothesis.right):
        if node.op in INDEX_TEXT:
            for p in indices_of(str(node.args[INDEX_TEXT[node.op]])):
                found.update((v, None) for v in sorted(p.variables) if is_axis(v))
        if node.op in {"Reduce", "Opaque"}:
            found.update((axis, None) for axis in str(node.args[1]).split())
    return found


def _ranks(part: Certificate) -> dict[str, set[int]]:
    """With how many indices a part reads each of its inputs."""
    found: dict[str, set[int]] = {}
    for goal in part.goals:
        for node in subterms(goal.left, goal.right):
            if node.op == "Input":
                found.setdefault(str(node.args[0]), set()).add(len(indices_of(str(node.args[1]))))
    return found


def _list(written: Any) -> list[Any]:
    if not isinstance(written, list):
        raise CertificateError(f"{written!r} is not a list")
    return written


def _number(written: Any) -> int:
    if type(written) is not int or written < 0:
        raise CertificateError(f"{written!r} is not a whole number")
    return written


def _text(written: Any) -> str:
    if not isinstance(written, str):
        raise CertificateError(f"{written!r} is not text")
    return written
