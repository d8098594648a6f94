"""Are two programs the same function, for all sizes?

:func:`prove` does what is cheap and certain first: it runs both programs on small random inputs,
and a difference ends it.  Then it brings both to normal form; where the forms differ it searches
an e-graph under a budget.  Whatever found the equality, the verdict ``proved`` is given only for a
certificate that has been checked.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import count, islice
from typing import Any, Literal

from ncd_formal import reproduction
from ncd_formal.arrays import Array, InputArray, input_array, substitute, topological
from ncd_formal.certificate import Certificate, CertificateError, Goal
from ncd_formal.composition import Composition
from ncd_formal.conditions import Context, parse_comparison, witness
from ncd_formal.conditions import assume as assume_sizes
from ncd_formal.elaboration import Elaboration, Output, elaborate
from ncd_formal.errors import InputError
from ncd_formal.facts import UNDEFINED, Facts
from ncd_formal.fingerprints import Values
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import Declaration, parse_shape, size_names
from ncd_formal.normalisation import BudgetError, Normaliser
from ncd_formal.parameters import ArrayOperations, TensorOperations, evaluate
from ncd_formal.proof import Congruence, Instance
from ncd_formal.refutation import TOLERANCE, Counterexample, Side, Tensors, Trials
from ncd_formal.rules import OWN, Judge, Rule, read_own_rules, table
from ncd_formal.semantics import Evaluator, Floats, NotExactError
from ncd_formal.sizes import size
from ncd_formal.strides import show_shape
from ncd_formal.sweeping import Sweep
from ncd_formal.wires import Argument, Term, subterms

log = logging.getLogger(__name__)

Status = Literal["proved", "refuted", "undecided"]

Effort = Literal["normal", "written out", "search"]
"""Normal forms as they are; with sums and short axes written out as well; and then a search."""

WHOLE = 3_000
"""Arrays in both programs together above which they are only taken array by array."""

FIRST_TRIALS, MORE_TRIALS = 6, 24
"""Random trials before the proof, and after a proof was not found."""

EXPAND_STEPS = 5_000
"""Steps that writing out sums may take."""

SEARCH_RULESETS: tuple[str, ...] = (
    "simplify", "functions", "reductions", "distribute", "commute", "associate"
)  # fmt: skip
"""The laws that the search uses, in turn; those that only rewrite towards a schedule are left
out."""


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
                "inputs": {k: v.tolist() for k, v in example.inputs.items()},
                "difference": example.difference,
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
) -> Verdict:
    """Whether two programs are the same function over the reals, for all sizes.

    ``left`` and ``right`` are functions of tensors, modules or morphisms; ``inputs`` gives each
    input a shape such as ``"b h n d"`` or ``"b 1 n m : bool"``.  ``assume`` holds comparisons of
    sizes (``"n >= m"``), ranges of integer inputs (``"ids < v"``) and named predicates
    (``"every row of mask has a True"``).  ``parameters`` maps a parameter of one side to an
    expression over the other's; those left out are matched by name.  ``timeout`` bounds the
    search, in seconds.  ``rules`` holds laws of your own, written as those under ``rules/`` are;
    they are used and not proved, and a verdict that rests on one names it.

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
    found = trials.search(iter(range(FIRST_TRIALS)))
    clock.lap("trials")
    if found is not None:
        return task.refuted(found, clock)
    if trials.mismatch:
        return task.undecided(trials.mismatch, clock)
    log.info("proving")
    certificate, reason = _search(task, trials, time.perf_counter() + timeout, own)
    clock.lap("proof")
    if certificate is None:
        found = trials.search(islice(count(FIRST_TRIALS), MORE_TRIALS))
        clock.lap("trials")
        if found is not None:
            return task.refuted(found, clock)
        return task.undecided(trials.mismatch or reason, clock)
    log.info("checking")
    try:
        certificate.check(rules)
    except CertificateError as error:
        return task.undecided(f"what the search found does not pass the check: {error}", clock)
    clock.lap("check")
    return Verdict(
        "proved",
        task.names[0],
        task.names[1],
        task.conditions,
        task.notes(),
        certificate=certificate,
        seconds=clock.laps,
    )


def _search(
    task: Task, trials: Trials, deadline: float, own: tuple[Rule, ...]
) -> tuple[Certificate | Composition | None, str]:
    """A proof, or why there is none: as a whole where that is quick, then array by array."""
    whole: Proof | None = None
    certificate: Certificate | Composition | None = None
    if not task.is_large:
        seconds = deadline - time.perf_counter()
        whole = Proof(task.elaboration.context, task.pairs, seconds, own)
        certificate = whole.certificate(task.conditions, task.about, "normal")
        if certificate is not None:
            return certificate, ""
    sweep = task.sweep(trials, deadline, own)
    certificate = sweep.composition(task.conditions, task.about)
    if certificate is None and whole is not None:
        certificate = whole.certificate(task.conditions, task.about, "search")
    return certificate, (whole.reason if whole else "") or sweep.reason


def confirm(certificate: Certificate, left: object, right: object) -> None:
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
    context, own = task.elaboration.context, certificate.context
    goals = tuple((goal.left, goal.right, goal.layout) for goal in certificate.goals)
    again = tuple((a.term, b.term, a.layout) for a, b in task.pairs)
    if goals != again:
        raise CertificateError("the certificate is about other programs")
    same = (
        # A proof may have named further axes.
        all(own.axes.get(axis) is extent for axis, extent in context.axes.items())
        and dict(context.lower) == dict(own.lower)
        and context.assumptions == own.assumptions
        and dict(context.inputs) == dict(own.inputs)
        and dict(context.splits) == dict(own.splits)
    )
    if not same or task.conditions != certificate.conditions:
        raise CertificateError("the certificate is about other sizes, inputs or conditions")


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


class Proof:
    """The search for a proof of pairs of outputs, and its certificate."""

    def __init__(
        self,
        context: Context,
        pairs: Sequence[tuple[Output, Output]],
        timeout: float = 60.0,
        rules: tuple[Rule, ...] = (),
    ) -> None:
        self.context = context
        self.own = rules
        self.rules = {**table(), **{rule.name: rule for rule in rules}}
        self.pairs = pairs
        self.deadline = time.perf_counter() + timeout
        self.closure = Congruence()
        self.judge = Judge(context)
        self.reason = ""

    def certificate(
        self,
        conditions: Sequence[str],
        about: Mapping[str, Any],
        effort: Effort = "search",
        evident: bool = False,
    ) -> Certificate | None:
        """A certificate, or None with ``reason`` saying how the search ended.

        With ``evident``, a further goal equates an output with a form that shows more of what kind
        of value it is, where there is one.
        """
        goals = [(a.term, b.term) for a, b in self.pairs]
        for (a, b), number in zip(self.pairs, count()):
            if a.layout != b.layout:
                self.reason = f"output {number}: the indices of the dimensions are in another order"
                return None
            self.closure.add(a.term)
            self.closure.add(b.term)
        sizes = witness(self.context)
        if sizes is None:
            self.reason = "no sizes are known that satisfy the assumptions"
            return None
        found = self._normalise(goals, effort)
        if not found and (effort != "search" or not self._search(goals)):
            return None
        shown = [Goal(a.term, b.term, a.layout) for a, b in self.pairs]
        if evident:
            shown += self._evident()
        lemmas = self.closure.explain(*((goal.left, goal.right) for goal in shown))
        used = {step.law for _, _, steps in lemmas for _, step in steps if step}
        return Certificate(
            self.context,
            tuple(shown),
            lemmas,
            tuple(conditions),
            dict(about),
            sizes,
            tuple(rule for rule in self.own if rule.name in used),
        )

    def record_step(self, law: str, values: dict[str, Argument], left: Term, right: Term) -> None:
        """Take over one instance of a law, its conditions decided."""
        self.closure.merge(left, right, Instance(law, values))

    def _evident(self) -> Iterable[Goal]:
        """Outputs in a form that shows that no sum of it is 0."""
        normalise = Normaliser(self.judge, self.record_step, witness=True)
        for a, _ in self.pairs:
            if self.judge.facts(a.term) & UNDEFINED:
                form = normalise(a.term)
                if self.closure.equal(a.term, form) and not self.judge.facts(form) & UNDEFINED:
                    yield Goal(a.term, form, a.layout)

    def _holds(self, goals: Iterable[tuple[Term, Term]]) -> bool:
        return all(self.closure.equal(a, b) for a, b in goals)

    def _normalise(self, goals: Sequence[tuple[Term, Term]], effort: Effort) -> bool:
        """Normal forms: as they are; by cases; with sums, and then short axes, written out."""
        self.normal: list[tuple[Term, Term]] = []
        plain = Normaliser(self.judge, self.record_step)

        def by_cases() -> None:
            for a, b in goals:
                predicates = free_predicates(self.context, a, b)
                if predicates and not self.closure.equal(a, b):
                    self.closure.equal(plain.cases(a, predicates), plain.cases(b, predicates))

        def written_out(
            expand: Literal["numbers", "linear", "all"],
            unroll: bool = False,
            contract: bool = False,
        ) -> None:
            normalise = Normaliser(
                self.judge, self.record_step, expand, unroll, contract=contract, budget=EXPAND_STEPS
            )
            self.normal += [(normalise(a), normalise(b)) for a, b in goals]

        strategies: tuple[Callable[[], None], ...] = (
            lambda: self.normal.extend((plain(a), plain(b)) for a, b in goals),
            by_cases,
            lambda: written_out("linear"),
            lambda: written_out("all"),
            lambda: written_out("numbers", contract=True),
            lambda: written_out("all", unroll=True),
        )
        for strategy in strategies[:2] if effort == "normal" else strategies:
            try:
                strategy()
            except BudgetError:
                continue
            if self._holds(goals):
                return True
            if time.perf_counter() > self.deadline:
                return False
        return False

    def _search(self, goals: Sequence[tuple[Term, Term]]) -> bool:
        """Saturate over normal forms; where that finds the goals, again with every use recorded."""
        if len(self.normal) < len(goals):
            self.reason = "the programs are too large to normalise"
            return False
        from ncd_formal.egraph.run import Budget, Graph

        log.info("searching")
        starts = self.normal[: len(goals)]
        open_goals = [(a, b) for a, b in starts if not self.closure.equal(a, b)]
        roots = [t for pair in (*starts, *self.normal) for t in pair]
        seconds = max(0.0, min(10.0, self.deadline - time.perf_counter()))
        budget = Budget(nodes=30_000, seconds=seconds)
        rules, rulesets = tuple(self.rules.values()), SEARCH_RULESETS
        if self.own:
            rulesets = (*rulesets, OWN)
        outcome = Graph(self.context, roots, rules).search(rulesets, open_goals, budget)
        if outcome.reason != "found":
            ended = {
                "saturated": "the laws do not connect them",
                "nodes": f"the search ended at {outcome.nodes} nodes",
                "seconds": f"the search ended after {outcome.seconds:.0f} s",
                "iterations": f"the search ended after {outcome.iterations} rounds",
            }
            self.reason = ended[outcome.reason]
            return False
        traced = Graph(self.context, roots, rules, traced=True)
        traced.search(rulesets, open_goals, replace(budget, seconds=4 * seconds + 10))
        self.record(traced.instances())
        if self._holds(goals):
            return True
        self.reason = "the search found it, but the proof could not be rebuilt"
        return False

    def record(self, instances: Iterable[Instance]) -> None:
        """Take over instances whose conditions hold of the very terms that they name."""
        for instance in instances:
            rule = self.rules[instance.law]
            if self.judge.holds(rule, instance.values):
                left, right = self.judge.sides(rule, instance.values)
                self.closure.merge(left, right, instance)


def free_predicates(context: Context, *roots: Term) -> list[str]:
    """The predicates on free axes alone, at most three: where an output is put together."""
    found: dict[str, None] = {}
    free = frozenset[str]().union(*(root.axes for root in roots))
    for node in subterms(*roots):
        if node.op == "Predicate" and node.axes and node.axes <= free:
            p = str(node.args[0])
            opposite = str(-1 - size(p))
            if opposite not in found and all(map(context.stands_alone, node.axes)):
                found[p] = None
    return sorted(found)[:3]


@dataclass(frozen=True)
class Task:
    """Two imported programs over the same inputs."""

    targets: tuple[object, object]
    programs: tuple[Program, Program]
    names: tuple[str, str]
    declarations: Mapping[str, Declaration]
    runs: tuple[_Runner, _Runner]
    arrays: tuple[tuple[Array, ...], tuple[Array, ...]]
    context: Context
    conditions: tuple[str, ...]
    assumed: tuple[str, ...]
    about: Mapping[str, Any]

    @classmethod
    def build(
        cls,
        left: object,
        right: object,
        inputs: Mapping[str, str],
        assume: tuple[str, ...],
        parameters: Mapping[str, str],
    ) -> Task:
        declared = {name: parse_shape(name, text) for name, text in inputs.items()}
        comparisons, predicates = _divide(assume, declared)
        context = assume_sizes(comparisons, size_names(declared.values()))
        named = {**declared}
        right_inputs, renamed = _by_position(right, declared)
        first = import_target(left, named, context)
        second = import_target(right, right_inputs, context)
        shared = {**dict(first.inputs), **dict(first.parameters)}
        outputs = _rename(second.outputs, renamed)
        second_parameters = dict(second.parameters)
        extra: dict[str, tuple[int, str]] = {}
        for name, text in parameters.items():
            side = 1 if name in second_parameters else 0 if name in first.parameters else None
            if side is None:
                known = [*first.parameters, *second_parameters]
                raise InputError(f"no parameter is named {name!r}; there are {', '.join(known)}")
            extra[name] = (side, text)
        outputs = _express(outputs, second_parameters, first.parameters, extra, 1)
        first_outputs = _express(first.outputs, first.parameters, second_parameters, extra, 0)
        for name, (side, _) in extra.items():
            (second_parameters if side else shared).pop(name, None)
        for name, declaration in second_parameters.items():
            shared.setdefault(name, declaration)
        _check_matching(first_outputs, outputs, first, second, extra)
        _buffers(first, second)
        _check_outputs(first_outputs, outputs)
        conditions = tuple(dict.fromkeys((*first.conditions, *second.conditions)))
        expressions = [{n: t for n, (side, t) in extra.items() if side == k} for k in (0, 1)]
        runs = (_Runner(first, {}, expressions[0]), _Runner(second, renamed, expressions[1]))
        about = {
            "left": first.name,
            "right": second.name,
            "inputs": dict(inputs),
            "assume": list(assume),
            "parameters": dict(parameters),
        }
        names = (first.name, second.name)
        if names[0] == names[1]:
            names = (f"left {names[0]}", f"right {names[1]}")
        return cls(
            (left, right),
            (first, second),
            names,
            shared,
            runs,
            (first_outputs, outputs),
            context,
            conditions,
            predicates,
            about,
        )

    @cached_property
    def elaboration(self) -> Elaboration:
        """The wires of both programs."""
        return elaborate(self.arrays, self.context)

    @cached_property
    def is_large(self) -> bool:
        """Whether the programs are too large to be taken as a whole."""
        return sum(len(topological(outputs)) for outputs in self.arrays) > WHOLE

    @property
    def pairs(self) -> list[tuple[Output, Output]]:
        left, right = self.elaboration.programs
        return list(zip(left, right, strict=True))

    def trials(self) -> Trials:
        sides = [
            Side(name, run, partial(self._evaluate, side), _tolerance(program))
            for side, (name, run, program) in enumerate(
                zip(self.names, self.runs, self.programs, strict=True)
            )
        ]
        sizes = [c.removeprefix("sizes: ") for c in self.conditions]
        return Trials(
            self.declarations,
            self.context,
            sides[0],
            sides[1],
            sizes,
            self.assumed,
            _buffers(*self.programs),
        )

    def _evaluate(
        self, side: int, sizes: Mapping[str, int], inputs: Mapping[str, Floats]
    ) -> list[Floats | None]:
        """The outputs of one program by the reference semantics."""
        if self.is_large:
            if self.programs[side].opaque:
                return [None] * len(self.arrays[side])
            values = Values(sizes, inputs)
            values.evaluate(topological(self.arrays[side]))
            return [values.of[output] for output in self.arrays[side]]
        evaluator = Evaluator(self.elaboration.context, sizes, inputs)
        found: list[Floats | None] = []
        for output in self.elaboration.programs[side]:
            try:
                found.append(evaluator.output(output.term, output.layout))
            except NotExactError:
                found.append(None)
        return found

    def sweep(self, trials: Trials, deadline: float, rules: tuple[Rule, ...]) -> Sweep:
        """A proof array by array."""
        samples: list[Values] = []
        for seed in (1, 2):
            sizes = trials.sample_sizes(seed)
            if sizes is not None:
                inputs = trials.sample_inputs(sizes, seed)
                values = Values(sizes, {k: v.numpy() for k, v in inputs.items()})
                for outputs in self.arrays:
                    values.evaluate(topological(outputs))
                samples.append(values)

        def search(
            context: Context, pair: tuple[Output, Output], seconds: float, thorough: bool
        ) -> Certificate | None:
            proof = Proof(context, [pair], seconds, rules)
            return proof.certificate((), {}, "search" if thorough else "written out", evident=True)

        kinds = {
            array.name: array.kind
            for outputs in self.arrays
            for array in topological(outputs)
            if isinstance(array, InputArray)
        }
        return Sweep(self.arrays, self.context, kinds, samples, deadline, search)

    def notes(self) -> tuple[str, ...]:
        notes = [f"opaque: {text}" for program in self.programs for text in program.opaque]
        facts = Facts(self.elaboration.context) if not self.is_large else None
        if facts and any(facts(a.term) & UNDEFINED for a, _ in self.pairs):
            notes.append(
                "an output may be undefined at some inputs (a division by 0, a row without a key);"
                " there the proof says only that both are undefined"
            )
        return tuple(dict.fromkeys(notes))

    def undecided(self, reason: str, clock: _Clock) -> Verdict:
        return Verdict(
            "undecided", *self.names, self.conditions, self.notes(), None, None, reason, clock.laps
        )

    def script(self, found: Counterexample) -> str:
        """A script in plain PyTorch that shows a difference."""
        sides = [
            run.reproduced(name, target, found.inputs)
            for run, name, target in zip(self.runs, self.names, self.targets, strict=True)
        ]
        return reproduction.script(found, sides)

    def refuted(self, found: Counterexample, clock: _Clock) -> Verdict:
        script = self.script(found)
        return Verdict(
            "refuted",
            *self.names,
            counterexample=replace(found, script=script),
            seconds=clock.laps,
        )


def import_target(target: object, declared: Mapping[str, Declaration], context: Context) -> Program:
    """The program of a target: a function, a module, or what knows its own arrays."""
    from ncd_formal.frontends.torch_export import import_program

    return import_program(_with_signature(target, declared), dict(declared), context)


def _with_signature(target: object, declared: Mapping[str, Declaration]) -> object:
    """The target, or for a builtin without a signature a function of the declared inputs."""
    function = getattr(target, "forward", target)
    try:
        inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        if not callable(target):
            return target

        def call(*tensors: Any) -> Any:
            return target(*tensors)

        parameter = inspect.Parameter
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter(name, parameter.POSITIONAL_OR_KEYWORD) for name in declared]
        )
        call.__name__ = str(getattr(target, "__name__", "builtin"))
        return call
    return target


def _tolerance(program: Program) -> float:
    """How far PyTorch in float64 may be from the reals: a conversion to a short type rounds."""
    rounds = any("conver" in c or "constant" in c or "eps" in c for c in program.conditions)
    return 5e-2 if rounds else TOLERANCE


def _divide(
    assume: Sequence[str], declared: Mapping[str, Declaration]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Comparisons of sizes, and what is assumed of inputs."""
    comparisons: list[str] = []
    predicates: list[str] = []
    for text in assume:
        words = text.replace(",", " ").split()
        about_input = any(word in declared for word in words)
        if about_input or " has " in text or " is " in text:
            if not about_input:
                raise InputError(f"condition {text!r}: it names no input")
            predicates.append(text)
        else:
            parse_comparison(text)
            comparisons.append(text)
    return tuple(comparisons), tuple(predicates)


def _by_position(
    right: object, declared: Mapping[str, Declaration]
) -> tuple[dict[str, Declaration], dict[str, str]]:
    """The declarations under the names that the right side uses, and its names → ours."""
    function = getattr(right, "forward", right)
    try:
        parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return dict(declared), {}
    names = [p.name for p in parameters]
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    if set(declared) <= set(names) or len(needed) != len(declared):
        return dict(declared), {}
    renamed = dict(zip(needed, declared, strict=True))
    return {new: replace(declared[old], name=new) for new, old in renamed.items()}, renamed


def _rename(outputs: Sequence[Array], names: Mapping[str, str]) -> tuple[Array, ...]:
    values = {
        array.name: input_array(names[array.name], array.shape, array.kind)
        for array in topological(outputs)
        if isinstance(array, InputArray) and array.name in names
    }
    return substitute(outputs, values)


def _express(
    outputs: Sequence[Array],
    own: Mapping[str, Declaration],
    others: Mapping[str, Declaration],
    extra: Mapping[str, tuple[int, str]],
    side: int,
) -> tuple[Array, ...]:
    """One side's outputs with its parameters given by expressions over the other side's."""
    values: dict[str, Array] = {}

    def look_up(name: str) -> Array:
        declaration = others.get(name) or own.get(name)
        if declaration is None:
            raise InputError(f"no parameter is named {name!r}; there are {', '.join(others)}")
        return input_array(name, declaration.shape, declaration.kind)

    for name, (where, text) in extra.items():
        if where == side:
            values[name] = evaluate(name, text, look_up, ArrayOperations())
    return substitute(outputs, values) if values else tuple(outputs)


def _check_matching(
    left: Sequence[Array],
    right: Sequence[Array],
    first: Program,
    second: Program,
    extra: Mapping[str, tuple[int, str]],
) -> None:
    """Both sides having parameters that the other lacks is a mismatch of names, not an answer."""
    import difflib

    used = [
        {a.name for a in topological(outputs) if isinstance(a, InputArray)}
        for outputs in (left, right)
    ]
    lone_left = sorted((used[0] & set(first.parameters)) - used[1] - set(second.parameters))
    lone_right = sorted((used[1] & set(second.parameters)) - used[0] - set(first.parameters))
    if lone_left and lone_right:
        near = difflib.get_close_matches(lone_left[0], lone_right, 3, 0.3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise InputError(
            f"parameters without a counterpart: {', '.join(lone_left[:5])} on the left, "
            f"{', '.join(lone_right[:5])} on the right{hint}; say how they correspond with "
            "parameters"
        )
    del extra


def _check_outputs(left: Sequence[Array], right: Sequence[Array]) -> None:
    """Errors: InputError where the programs have other outputs."""
    if len(left) != len(right):
        raise InputError(f"one program has {len(left)} outputs, the other {len(right)}")
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        if a.shape != b.shape:
            raise InputError(
                f"output {number}: the shapes {show_shape(a.shape)} and "
                f"{show_shape(b.shape)} differ"
            )


def _buffers(first: Program, second: Program) -> dict[str, Any]:
    """The buffers of both programs, whose values are part of what the programs are.

    Errors: InputError where the two hold different values under one name.
    """
    held = {name: first.tensors[name] for name in first.buffers}
    for name in second.buffers:
        tensor = second.tensors[name]
        known = held.setdefault(name, tensor)
        if known.shape != tensor.shape or not bool((known == tensor).all()):
            raise InputError(
                f"buffer {name!r} holds different values in the two programs, so they differ "
                "wherever it is used"
            )
    return held


@dataclass(frozen=True)
class _Runner:
    """Runs the original program on tensors under our names."""

    program: Program
    renamed: Mapping[str, str]
    """The program's names of its inputs → ours."""
    expressions: Mapping[str, str]
    """Its parameters that are given by expressions over the other side's."""

    def __call__(self, tensors: Tensors) -> Any:
        return self.program.run(self.given(tensors))

    def given(self, tensors: Tensors) -> Tensors:
        """The tensors under the program's own names."""
        names = self.program.inputs
        given = {name: tensors[self.renamed.get(name, name)] for name in names}
        given |= {name: tensors[name] for name in self.program.parameters if name in tensors}
        for name, text in self.expressions.items():
            given[name] = evaluate(name, text, tensors.__getitem__, TensorOperations())
        return given

    def reproduced(self, name: str, target: object, tensors: Tensors) -> reproduction.Side:
        """This side of a counterexample."""
        shared = {own: self.renamed.get(own, own) for own in self.given(tensors)}
        for own in self.expressions:
            shared.pop(own, None)
        return reproduction.Side(
            name, target, self.program, self.given(tensors), shared, self.expressions
        )


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
