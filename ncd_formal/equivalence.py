"""Are two programs the same function, for all sizes?

:func:`prove` does what is cheap and certain first: it runs both programs on small random inputs,
and a difference ends it.  Then it brings both to normal form; where the forms differ it searches
an e-graph under a budget.  Whatever found the equality, the verdict ``proved`` is given only for a
certificate that has been checked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count, islice
from typing import Any, Literal

from ncd_formal.candidates import indices_in_range, live_rows, unmarked
from ncd_formal.certificate import Certificate, CertificateError
from ncd_formal.composition import Composition
from ncd_formal.errors import InputError
from ncd_formal.proof import Hypothesis
from ncd_formal.proving import Effort, Proof
from ncd_formal.refutation import Counterexample, Trials
from ncd_formal.rules import Rule, read_own_rules
from ncd_formal.task import Proved, Task

log = logging.getLogger(__name__)

Status = Literal["proved", "refuted", "undecided"]

SMALL, MIDDLE = 200, 600
"""Arrays in both programs together up to which they are searched as a whole first, and up to which
their sums are written out first."""

FEW_TRIALS, FIRST_TRIALS, MORE_TRIALS = 2, 6, 24
"""Random trials before the proof, of large programs and of others, and after none was found."""

SECONDS_FOR_CONDITIONS = 20.0
"""How long conditions are looked for at most."""


@dataclass(frozen=True)
class Verdict:
    """The answer of :func:`prove`."""

    status: Status
    left: str
    right: str
    conditions: tuple[str, ...] = ()
    """What the proof needs beyond what was assumed."""
    notes: tuple[str, ...] = ()
    """What a reader should know: where the outputs may be undefined, opaque operators."""
    counterexample: Counterexample | None = None
    certificate: Certificate | Composition | None = None
    reason: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Where the time went: import, trials, proof, check."""

    def explain(self) -> str:
        """The verdict for people."""
        lines = [f"{self.status}: {self._headline()}"]
        if self.certificate is not None:
            lines += [
                f"  {self.certificate.describe()}",
                f"  {self._trust()}",
                f"  certificate {self.certificate.digest[:16]}, checked",
            ]
        lines += [f"  condition: {condition}" for condition in self.conditions]
        lines += [f"  note: {note}" for note in self.notes]
        if self.counterexample is not None:
            sizes = ", ".join(f"{k} = {v}" for k, v in self.counterexample.sizes.items())
            lines.append(f"  at sizes {sizes or '(none)'}: {self.counterexample.difference}")
            if self.counterexample.first_difference:
                lines.append(f"  they part at {self.counterexample.first_difference}")
        if self.reason:
            lines.append(f"  {self.reason}")
        return "\n".join(lines)

    def _trust(self) -> str:
        unproved = self.certificate.unproved if self.certificate else ()
        if unproved:
            return f"RESTS ON UNPROVED LAWS: {', '.join(unproved)}; the others are theorems in Coq"
        return "each law is a theorem in Coq (ncd check --coq has Coq check the whole proof)"

    def _headline(self) -> str:
        if self.status == "proved":
            return (
                f"{self.left} and {self.right} are the same function over the reals, for all sizes"
            )
        if self.status == "refuted":
            return f"{self.left} and {self.right} differ"
        return f"whether {self.left} and {self.right} are the same function is not settled"

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain data."""
        example = self.counterexample
        return {
            "status": self.status,
            "left": self.left,
            "right": self.right,
            "conditions": list(self.conditions),
            "notes": list(self.notes),
            "reason": self.reason,
            "seconds": dict(self.seconds),
            "certificate": None
            if self.certificate is None
            else {
                "digest": self.certificate.digest,
                "lemmas": len(self.certificate.lemmas),
                "laws": list(self.certificate.laws),
                "unproved": list(self.certificate.unproved),
            },
            "counterexample": None
            if example is None
            else {
                "sizes": dict(example.sizes),
                "inputs": {k: _plain(v.tolist()) for k, v in example.inputs.items()},
                "difference": example.difference,
                "first_difference": example.first_difference,
                "script": example.script,
            },
        }


def prove(
    left: object,
    right: object,
    inputs: Mapping[str, str] | None = None,
    assume: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    rules: str = "",
    find_conditions: bool = True,
) -> Verdict:
    """Whether two programs are the same function over the reals, for all sizes.

    ``left`` and ``right`` are functions of tensors, modules or morphisms; ``inputs`` gives each
    input a shape such as ``"b h n d"`` or ``"b 1 n m : bool"``.  ``assume`` holds comparisons of
    sizes (``"n >= m"``), ranges of integer inputs (``"ids < v"``) and named predicates
    (``"every row of mask has a True"``).  ``parameters`` maps a parameter of one side to an
    expression over the other's; those left out are matched by name.  ``timeout`` bounds the
    search, in seconds.  ``rules`` holds laws of your own, written as those under ``rules/`` are;
    they are used and not proved, and a verdict that rests on one names it.

    Where the programs differ, or no proof is found, conditions under which they are equal are
    looked for unless ``find_conditions`` is False: that every row has an unmasked key, that a mask
    is 0 or 1, that a number such as −10⁹ stands for −∞ (:mod:`ncd_formal.candidates`).  The verdict
    names them.

    Errors: InputError for inputs that cannot be used, in one clear line.
    """
    _check_arguments(inputs, assume, parameters, timeout, rules)
    own = read_own_rules(rules)
    clock = _Clock()
    log.info("importing")
    task = Task.build(left, right, inputs or {}, tuple(assume), parameters or {})
    clock.lap("import")
    trials = task.trials()
    log.info("comparing on random inputs")
    first = task.seeds(trials, FEW_TRIALS) if task.is_large else range(FIRST_TRIALS)
    found = trials.search(iter(first))
    clock.lap("trials")
    if trials.impure or (trials.mismatch and found is None):
        return _undecided(task, trials.impure or trials.mismatch, clock)
    certificate: Certificate | Composition | None = None
    reason = ""
    search: _Search | None = None
    if found is None:
        log.info("proving")
        search = _Search(task, trials, timeout, own, find_conditions)
        certificate, reason = search.first(), search.reason
        if certificate is not None and certificate.hypotheses:
            certificate = task.with_example(certificate)
            reason = "no inputs are known that satisfy what is assumed"
        clock.lap("proof")
    if certificate is None and found is None:
        found = trials.search(islice(count(FIRST_TRIALS), MORE_TRIALS))
        clock.lap("trials")
        if found is None and not trials.mismatch:
            beyond = replace(trials, sparing=True)
            found = beyond.search_beyond()
            found, trials = (None, trials) if beyond.mismatch else (found, beyond)
            clock.lap("trials")
        if trials.impure:
            return _undecided(task, trials.impure, clock)
    if certificate is None and find_conditions and not trials.mismatch:
        log.info("looking for conditions")
        read, certificate = find(task, timeout, own)
        task = read if certificate else task
        clock.lap("conditions")
    if certificate is None and found is None and search is not None:
        certificate, reason = search.last(), search.reason
        clock.lap("proof")
    if certificate is None and found is None and not trials.mismatch:
        # Where wires and PyTorch disagree far from 0, rounding may be why: nothing is said.
        far = replace(trials, far=True)
        found = far.search(iter(range(FEW_TRIALS if task.is_large else MORE_TRIALS)))
        found, trials = (None, trials) if far.mismatch else (found, far)
        clock.lap("trials")
    if certificate is None:
        if found is not None:
            place = task.parting(found)
            smaller = replace(trials.shrink(found), first_difference=place)
            clock.lap("trials")
            return _refuted(task, smaller, clock)
        return _undecided(task, trials.mismatch or trials.impure or reason, clock)
    if not trials.compared and not (confirming := task.trials_of(certificate)).agree():
        reason = "no sizes and inputs are known at which both programs run, and agree"
        return _undecided(task, confirming.mismatch or confirming.impure or reason, clock)
    log.info("checking")
    try:
        certificate.check(rules)
        if isinstance(certificate, Composition) and not task.confirms(certificate):
            raise CertificateError("its steps are not those of the programs")
    except CertificateError as error:
        return _undecided(task, f"what the search found does not pass the check: {error}", clock)
    clock.lap("check")
    return Verdict(
        "proved",
        task.names[0],
        task.names[1],
        tuple(c for c in certificate.conditions if not task.is_assumed(c)),
        task.notes(certificate),
        certificate=certificate,
        seconds=clock.laps,
    )


class _Search:
    """The search for a proof without conditions: what is quick first, what may take long last."""

    def __init__(
        self, task: Task, trials: Trials, timeout: float, rules: tuple[Rule, ...], guess: bool
    ) -> None:
        self.task = task
        self.trials = trials
        self.seconds = timeout
        self.rules = rules
        self.guess = guess
        self.reason = ""
        self.whole: Proof | None = None

    def first(self) -> Certificate | Composition | None:
        """A proof of the programs as a whole where that is quick, then array by array."""
        task, start = self.task, time.perf_counter()
        if not task.is_large:
            given = task.assumed_hypotheses(self.guess)
            context = task.elaboration.context
            self.whole = Proof(context, task.pairs, self.seconds, self.rules, given)
            effort: Effort = "normal"
            if task.length <= MIDDLE:
                effort = "search" if task.length <= SMALL else "written out"
            certificate = self.whole.certificate(task.conditions, task.about, effort)
            self.reason = self.whole.reason
            if certificate is not None:
                return certificate
        now = time.perf_counter()
        left = start + self.seconds - now
        sweep = task.sweep(self.trials, now + (left / 2 if self.whole else left), self.rules)
        composition = sweep.composition(task.conditions, task.about)
        self.reason = self.reason or sweep.reason
        return composition and _with_conditions(composition, composition.supposed)

    def last(self) -> Certificate | None:
        """A proof of the programs as a whole by a search in an e-graph, where none was tried."""
        if self.whole is None or self.task.length <= SMALL:
            return None
        self.whole.deadline = time.perf_counter() + self.seconds / 2
        found = self.whole.certificate(self.task.conditions, self.task.about, "search")
        self.reason = self.whole.reason or self.reason
        return found


def find(
    task: Task, timeout: float, rules: tuple[Rule, ...] = ()
) -> tuple[Task, Certificate | Composition | None]:
    """Conditions under which the programs are one function, as few as will do.

    The task as it is read under them, and a certificate that supposes them; None where none are
    found, or no inputs are known that satisfy them, or the programs differ there.
    """
    if not task.is_large:
        read, certificate = _find_whole(task, timeout, rules)
        if certificate is not None:
            return read, certificate
    end = time.perf_counter() + timeout
    if task.length <= SMALL:
        return task, None
    numbers = ((), *task.stand_in_choices())
    reads = [each.reading(some) for each in task.smoothings() for some in numbers]
    choices = [(read, False) for read in reads if read is not task]
    # What a part may suppose is looked for last: the fewer conditions the better.
    if task.may_mask:
        choices += [(read, True) for read in reads]
    for read, supposing in choices:
        sweep = read.sweep(read.trials(), end, rules, supposing)
        composition = sweep.composition(read.conditions, read.about)
        if composition is not None and read.trials_of(composition).agree():
            composition = read.with_example(composition)
            if composition is not None:
                further = (*composition.supposed, *read.left_out(composition))
                return read, _with_conditions(composition, further)
    return task, None


def _find_whole(
    task: Task, timeout: float, rules: tuple[Rule, ...]
) -> tuple[Task, Certificate | None]:
    deadline = time.perf_counter() + min(timeout, SECONDS_FOR_CONDITIONS)

    def attempt(read: Task, hypotheses: Sequence[Hypothesis]) -> Certificate | None:
        seconds = deadline - time.perf_counter()
        if seconds < 0:
            return None
        proof = Proof(read.elaboration.context, read.pairs, seconds, rules, hypotheses)
        return proof.certificate(read.conditions, read.about, "written out")

    for read, truths in task.readings():
        tried = [truths] if truths or read is not task else []
        context, forms = read.elaboration.context, read.normal_forms(truths)
        rows = (
            *live_rows(context, truths, *forms),
            *indices_in_range(context, *forms),
            *unmarked(context, *forms),
        )
        for hypotheses in (*tried, *([(*truths, *rows)] if rows else [])):
            certificate = attempt(read, hypotheses)
            for text in certificate.supposed if certificate else ():
                assert certificate is not None
                fewer = [h for h in certificate.hypotheses if text not in read.texts([h])]
                certificate = attempt(read, fewer) or certificate
            if certificate is not None and read.trials(certificate.hypotheses).agree():
                certificate = read.with_example(certificate)
                if certificate is not None:
                    return read, _with_conditions(certificate, read.left_out(certificate))
    return task, None


def _with_conditions(certificate: Proved, further: tuple[str, ...]) -> Proved:
    return replace(certificate, conditions=_united(certificate.conditions, further))


def confirm(certificate: Certificate | Composition, left: object, right: object) -> None:
    """Import the programs again and make sure that the certificate is about them.

    Errors: CertificateError where their terms, sizes or inputs are not the certificate's;
    InputError where the programs cannot be imported.
    """
    about = certificate.about
    inputs, assumed, named = (about.get(key) for key in ("inputs", "assume", "parameters"))
    if not (
        isinstance(inputs, dict)
        and isinstance(assumed, list)
        and isinstance(named, dict)
        and all(isinstance(t, str) for t in (*inputs, *inputs.values(), *assumed))
        and all(isinstance(t, str) for t in (*named, *named.values()))
    ):
        raise CertificateError("the certificate does not say what its programs take")
    task = Task.build(left, right, inputs, tuple(assumed), named)
    task = task.smoothings()[-1] if about.get("smooth") is True else task
    truths = about.get("truths", [])
    if not isinstance(truths, list) or not all(isinstance(name, str) for name in truths):
        raise CertificateError("the certificate does not say which inputs are 0 or 1")
    task = task.reading(_fractions(about.get("infinite", [])), truths)
    context, own = task.elaboration.context, certificate.context
    sizes = dict(context.lower) == dict(own.lower) and context.assumptions == own.assumptions
    if isinstance(certificate, Composition):
        conditions = _united(task.conditions, (*certificate.supposed, *task.left_out(certificate)))
        if not sizes or conditions != certificate.conditions:
            raise CertificateError("the certificate is about other sizes or conditions")
        if not task.confirms(certificate):
            raise CertificateError("the certificate is about other programs")
        return
    goals = tuple((goal.left, goal.right, goal.layout) for goal in certificate.goals)
    again = tuple((a.term, b.term, a.layout) for a, b in task.pairs)
    if goals != again:
        raise CertificateError("the certificate is about other programs")
    same = (
        # A proof may have named further axes.
        all(own.axes.get(axis) is extent for axis, extent in context.axes.items())
        and sizes
        and dict(context.inputs) == dict(own.inputs)
        and dict(context.splits) == dict(own.splits)
    )
    needed = _united(task.conditions, (*certificate.supposed, *task.left_out(certificate)))
    if not same or needed != certificate.conditions:
        raise CertificateError("the certificate is about other sizes, inputs or conditions")


def _united(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _fractions(written: object) -> tuple[Fraction, ...]:
    try:
        return tuple(map(Fraction, written))  # type: ignore[call-overload]
    except (TypeError, ValueError, ZeroDivisionError):
        raise CertificateError("the certificate does not say what stands for -inf") from None


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


def _undecided(task: Task, reason: str, clock: _Clock) -> Verdict:
    return Verdict(
        "undecided", *task.names, task.conditions, task.notes(), None, None, reason, clock.laps
    )


def _refuted(task: Task, found: Counterexample, clock: _Clock) -> Verdict:
    shown = replace(found, script=task.script(found))
    clock.lap("script")
    return Verdict("refuted", *task.names, counterexample=shown, seconds=clock.laps)


def _check_arguments(
    inputs: object, assume: object, parameters: object, timeout: object, rules: object
) -> None:
    """Errors: InputError where an argument of :func:`prove` is of another kind than it takes."""
    texts = (("inputs", inputs, "{'x': 'b n'}"), ("parameters", parameters, "{'w': 'v.T'}"))
    for name, given, example in texts:
        if given is None:
            continue
        if not isinstance(given, Mapping) or not all(
            isinstance(text, str) for item in given.items() for text in item
        ):
            raise InputError(f"{name} maps names to texts, as in {example}; got {given!r}")
    if (
        isinstance(assume, str)
        or not isinstance(assume, Sequence)
        or not all(isinstance(text, str) for text in assume)
    ):
        raise InputError(f"assume is a list of conditions, as in ['n >= 2']; got {assume!r}")
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not (number and timeout > 0):  # type: ignore[operator]
        raise InputError(f"timeout is a positive number of seconds; got {timeout!r}")
    if not isinstance(rules, str):
        raise InputError(f"rules is the text of laws; got {rules!r}")


def _plain(values: Any) -> Any:
    """Nested lists of numbers, with −∞ in words: JSON has no infinity."""
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return "-inf" if values == float("-inf") else values
