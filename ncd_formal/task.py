"""The task of comparing two programs: both imported, over the same inputs and parameters.

Inputs correspond by name or position and parameters by name or by expressions.  A task knows how
to run both programs, what their arrays and wires are, how they may be read under conditions, and
how they are tried and swept.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from ncd_formal import reproduction
from ncd_formal.arrays import (
    Array,
    InputArray,
    NumberArray,
    input_array,
    substitute,
    topological,
)
from ncd_formal.cache import Proofs, folder
from ncd_formal.candidates import (
    LEFT_OUT,
    indices_in_range,
    infinity_tested,
    live_rows,
    live_sums,
    read_as_infinity,
    read_as_smooth,
    stand_in_text,
    stand_ins,
    truth_inputs,
)
from ncd_formal.certificate import Certificate, Goal, supposed
from ncd_formal.composition import Composition, kind_of
from ncd_formal.conditions import Context, parse_comparison
from ncd_formal.conditions import assume as assume_sizes
from ncd_formal.elaboration import Elaboration, Output, check_alike, elaborate
from ncd_formal.errors import InputError
from ncd_formal.facts import INPUT_KINDS, UNDEFINED, Facts
from ncd_formal.fingerprints import Values
from ncd_formal.frontends.program import Program
from ncd_formal.frontends.shapes import (
    Declaration,
    extended_inputs,
    parse_shape,
    size_names,
)
from ncd_formal.hypotheses import zero_or_one
from ncd_formal.localization import parting
from ncd_formal.normalisation import BudgetError, Normaliser
from ncd_formal.parameters import ArrayOperations, TensorOperations, evaluate
from ncd_formal.proof import Hypothesis
from ncd_formal.proving import Effort, Proof, finite_by_a_truth
from ncd_formal.refutation import TOLERANCE, Counterexample, Side, Tensors, Trials
from ncd_formal.rules import Rule
from ncd_formal.semantics import Evaluator, Floats, NotExactError
from ncd_formal.sizes import Polynomial, size
from ncd_formal.sweeping import Sweep
from ncd_formal.wires import Term, indices_of, renamed, subterms

Proved = TypeVar("Proved", bound=Certificate | Composition)
_NO_AXES: Mapping[str, Polynomial] = {}

SAMPLES_DRAWN = 8
"""How many inputs are drawn at most until all outputs are defined."""

FARTHEST = 1_000
"""Whole numbers in programs that are drawn as inputs are at most so far from 0."""

NEAREST, LONGEST = 4, 1_100
"""The numbers in programs beyond which sizes are tried: smaller ones are exceeded by all sizes."""

WHOLE = 3_000
"""Arrays in both programs together above which they are only taken array by array."""


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
        context = replace(context, inputs=extended_inputs(declared.values()))
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
        _check_matching(first_outputs, outputs, first, second)
        _buffers(first, second)
        check_alike(first_outputs, outputs)
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
        """The wires of both programs, as they are read."""
        return elaborate(self.arrays, self.known)

    @cached_property
    def known(self) -> Context:
        """What is assumed, with the kind of every input.

        Where no kind is declared and a program asks for −∞, an input may hold it.
        """
        outputs = [output for side in self.arrays for output in side]
        kinds = {a.name: a.kind for a in topological(outputs) if isinstance(a, InputArray)}
        given = {name: self.declarations[name] for name in self.about["inputs"]}
        asked = [n for n in infinity_tested(outputs) if n in given and not given[n].said]
        tested = dict.fromkeys(asked, "extended")
        return replace(self.context, inputs={**kinds, **self.context.inputs, **tested})

    @cached_property
    def length(self) -> int:
        """How many arrays the programs make."""
        return sum(len(topological(outputs)) for outputs in self.arrays)

    @cached_property
    def may_mask(self) -> bool:
        """Whether an input may hold −∞, or something is tested that depends on an input."""
        given = set(self.about["inputs"])
        if any(self.known.inputs.get(name) == "extended" for name in given):
            return True
        depends: set[Array] = set()
        for array in topological([output for side in self.arrays for output in side]):
            own = isinstance(array, InputArray) and array.name in given
            if own or not depends.isdisjoint(array.sources):
                depends.add(array)
                if array.kind == "boolean":
                    return True
        return False

    @property
    def is_large(self) -> bool:
        """Whether the programs are too large to be taken as a whole."""
        return self.length > WHOLE

    @property
    def pairs(self) -> list[tuple[Output, Output]]:
        left, right = self.elaboration.programs
        return list(zip(left, right, strict=True))

    def texts(self, hypotheses: Sequence[Hypothesis]) -> tuple[str, ...]:
        """Hypotheses in words."""
        return supposed(hypotheses, self.elaboration.context, self.about)

    def with_example(self, certificate: Proved) -> Proved | None:
        """The certificate with inputs of which its hypotheses hold; None where none are known."""
        if not certificate.hypotheses:
            return certificate
        example = self.trials_of(certificate).example()
        if example is None:
            return None
        sizes, inputs = example
        return replace(certificate, witness={**certificate.witness, **sizes}, example=inputs)

    def normal_forms(self, hypotheses: Sequence[Hypothesis] = ()) -> tuple[Term, ...]:
        """The normal forms of both programs under hypotheses; none where they are too large."""
        proof = Proof(self.elaboration.context, self.pairs, hypotheses=hypotheses)
        try:
            known = proof.suppose()
            normal = Normaliser(proof.judge, proof.record_step, known=known)
            return tuple(normal(output.term) for pair in self.pairs for output in pair)
        except BudgetError:
            return ()

    def is_assumed(self, text: str) -> bool:
        """Whether a condition is assumed, or a range within it is."""
        wider = _COMPARED.fullmatch(text)
        if text in self.assumed or wider is None or not wider[1]:
            return text in self.assumed
        ranges = filter(None, map(_COMPARED.fullmatch, self.assumed))
        return any(
            own[1]
            and own[2] == wider[2]
            and self.context.nonnegative(size(wider[4]) - size(own[4]))
            for own in ranges
        )

    def assumed_hypotheses(self, guess: bool = True) -> tuple[Hypothesis, ...]:
        """What is assumed of inputs, where the programs meet it.

        An upper bound alone is taken for a range, which the certificate then names, if ``guess``.
        """
        if not self.assumed:
            return ()
        names = [name for name in self.declarations if f"{name} is 0 or 1" in self.assumed]
        truths = self.truths(names)
        context, forms = self.elaboration.context, self.normal_forms(truths)
        rows = (*live_rows(context, truths, *forms), *indices_in_range(context, *forms))
        guessed = {f"0 <= {text}" for text in self.assumed if guess}
        return (
            *truths,
            *(h for h in rows if all(t in guessed or self.is_assumed(t) for t in self.texts([h]))),
        )

    @property
    def _roots(self) -> tuple[Term, ...]:
        return tuple(output.term for pair in self.pairs for output in pair)

    def readings(self) -> Iterator[tuple[Task, tuple[Hypothesis, ...]]]:
        """The task as it may be read, each with inputs that may be 0 or 1: the plainest first."""
        names = truth_inputs(self.elaboration.context, *self._roots)
        for task in self.smoothings():
            for some in ((), *self.stand_in_choices()):
                for truths in dict.fromkeys(((), names)):
                    yield task.reading(some, truths), self.truths(truths)

    def smoothings(self) -> tuple[Task, ...]:
        """The task as it is, and with softplus the same above its threshold as below."""
        (left, first), (right, second) = map(read_as_smooth, self.arrays)
        if not first and not second:
            return (self,)
        conditions = tuple(dict.fromkeys((*self.conditions, *first, *second)))
        about = {**self.about, "smooth": True}
        return self, replace(self, arrays=(left, right), conditions=conditions, about=about)

    def stand_in_choices(self) -> list[tuple[Fraction, ...]]:
        """The numbers that may stand for −∞: each alone, and all together."""
        numbers = stand_ins(output for outputs in self.arrays for output in outputs)
        return [*((number,) for number in numbers), *([numbers] if len(numbers) > 1 else [])]

    def reading(self, numbers: Sequence[Fraction], truths: Sequence[str] = ()) -> Task:
        """The task with numbers read as −∞ where they mask, and inputs that are 0 or 1."""
        if not numbers:
            return self
        used: set[Array] = set()

        def is_truth(array: Array) -> bool:
            if array.kind == "boolean" or self._is_truth(array, ()):
                return True
            if truths and self._is_truth(array, truths):
                used.add(array)
                return True
            return False

        left, right = (read_as_infinity(outputs, numbers, is_truth) for outputs in self.arrays)
        needed = list(truths) if used else []
        return replace(
            self,
            arrays=(left, right),
            conditions=(
                *self.conditions,
                *map(stand_in_text, numbers),
                *(self.texts(self.truths(needed)) if needed else ()),
            ),
            about={**self.about, "infinite": list(map(str, numbers)), "truths": needed},
        )

    def _is_truth(self, array: Array, truths: Collection[str]) -> bool:
        """Whether an array holds 0 and 1 only, where some inputs do."""
        elaboration = elaborate([[array]], self.context)
        ((output,),) = elaboration.programs
        hypotheses = _zeros_or_ones(truths, output.term)
        proof = Proof(elaboration.context, (), hypotheses=hypotheses)
        normal = Normaliser(proof.judge, proof.record_step, known=proof.suppose())
        try:
            return proof.judge.facts.holds("boolean", normal(output.term))
        except BudgetError:
            return False

    def truths(self, names: Collection[str]) -> tuple[Hypothesis, ...]:
        """That inputs are 0 or 1, wherever the programs read them."""
        return _zeros_or_ones(names, *self._roots)

    def trials_of(self, certificate: Certificate | Composition) -> Trials:
        """Trials of inputs of which a certificate's hypotheses hold."""
        if isinstance(certificate, Composition):
            return self.trials(certificate.hypotheses, certificate.supposition.context.axes)
        return self.trials(certificate.hypotheses)

    def trials(
        self, hypotheses: Sequence[Hypothesis] = (), axes: Mapping[str, Polynomial] = _NO_AXES
    ) -> Trials:
        """Trials of inputs of which hypotheses hold; ``axes`` are those of hypotheses alone."""
        context = self.known if self.is_large else self.elaboration.context
        sides = [
            Side(name, run, partial(self._evaluate, side), _tolerance(program))
            for side, (name, run, program) in enumerate(
                zip(self.names, self.runs, self.programs, strict=True)
            )
        ]
        sizes = [c.removeprefix("sizes: ") for c in self.conditions]
        return Trials(
            self.declarations,
            context.with_axes(axes),
            sides[0],
            sides[1],
            sizes,
            self.assumed,
            _buffers(*self.programs),
            hypotheses,
            "infinite" in self.about,
            self._whole_numbers,
            thresholds=self._thresholds,
            shapes=tuple(dict.fromkeys(array.shape for array in self._all_arrays)),
        )

    @property
    def _all_arrays(self) -> list[Array]:
        return topological([output for side in self.arrays for output in side])

    @cached_property
    def _thresholds(self) -> tuple[int, ...]:
        """The numbers that indices are compared with and moved by: the largest of near ones."""
        found = set(map(abs, self._whole_numbers))
        for node in () if self.is_large else subterms(*self._roots):
            if node.op in {"Predicate", "Index", "Input"}:
                texts = indices_of(str(node.args[-1]))
                found |= {abs(number) for p in texts for m, number in p.terms if not m}
        kept = sorted(n for n in found if NEAREST <= n <= LONGEST)
        return tuple(n for n, after in pairwise((*kept, 2 * LONGEST)) if after > n + NEAREST)

    @cached_property
    def _whole_numbers(self) -> tuple[int, ...]:
        """The whole numbers in the programs, which integers may be compared with."""
        found = {
            array.value
            for array in self._all_arrays
            if isinstance(array, NumberArray) and array.kind == "integer"
        }
        return tuple(sorted(v for v in found if isinstance(v, int) and abs(v) <= FARTHEST))

    def _evaluate(
        self, side: int, sizes: Mapping[str, int], inputs: Mapping[str, Floats]
    ) -> list[Floats | None]:
        """The outputs of one program by the reference semantics."""
        if self.is_large:
            if self.programs[side].opaque:
                return [None] * len(self.arrays[side])
            values = self._values(sizes, inputs)
            return [values.of[output] for output in self.arrays[side]]
        evaluator = Evaluator(self.elaboration.context, sizes, inputs)
        found: list[Floats | None] = []
        for output in self.elaboration.programs[side]:
            try:
                found.append(evaluator.output(output.term, output.layout))
            except NotExactError:
                found.append(None)
        return found

    def parting(self, found: Counterexample) -> str:
        """Where both programs begin to differ on a counterexample, in words; "" if not known."""
        others = self.samples(self.trials(), 1 if self.is_large else 2)
        inputs = {name: tensor.numpy() for name, tensor in found.inputs.items()}
        samples = [self._values(found.sizes, inputs), *others]
        place = parting(*self.arrays, self.about["inputs"], samples)
        return str(place) if place else ""

    def samples(self, trials: Trials, count: int = 2, defined: bool = False) -> list[Values]:
        """All arrays in a few trials, those of :meth:`seeds`; ``defined`` all through."""
        found = []
        for seed in self.seeds(trials, count):
            sizes = trials.sample_sizes(seed)
            for attempt in range(SAMPLES_DRAWN if defined and sizes is not None else 1):
                inputs = None if sizes is None else trials.sample_inputs(sizes, seed + 97 * attempt)
                if sizes is None or inputs is None:
                    break
                values = self._values(sizes, {k: v.numpy() for k, v in inputs.items()})
                outputs = (values.of[output] for side in self.arrays for output in side)
                if not defined or not any(np.isnan(output).any() for output in outputs):
                    found.append(values)
                    break
        return found

    def seeds(self, trials: Trials, count: int) -> list[int]:
        """Trials of large sizes: an axis of one index hides what differs along it."""
        tried = [(seed, trials.sample_sizes(seed)) for seed in range(1, 16)]
        known = [(seed, sizes) for seed, sizes in tried if sizes is not None]
        known.sort(key=lambda drawn: -min(drawn[1].values(), default=0))
        return [seed for seed, _ in known[:count]]

    @cached_property
    def _evaluated(self) -> dict[object, Values]:
        return {}

    def _values(self, sizes: Mapping[str, int], inputs: Mapping[str, Floats]) -> Values:
        """All arrays of both programs; the last two are kept, since large ones take long."""
        digest = hashlib.sha256(repr(sorted(sizes.items())).encode())
        for name, value in sorted(inputs.items()):
            digest.update(name.encode() + value.tobytes())
        key = digest.digest()
        if key not in self._evaluated:
            for oldest in list(self._evaluated)[:-1]:
                del self._evaluated[oldest]
            values = self._evaluated[key] = Values(sizes, inputs)
            for outputs in self.arrays:
                values.evaluate(topological(outputs))
        return self._evaluated[key]

    def sweep(
        self,
        trials: Trials | None,
        deadline: float,
        rules: tuple[Rule, ...],
        supposing: bool = False,
    ) -> Sweep:
        """A proof array by array, with what the arrays hold in a few trials.

        With ``supposing``, a part may suppose of its inputs that rows are live where it finds no
        proof without, or none that shows its array to be defined; else only what is assumed.
        """
        samples = [] if trials is None else self.samples(trials, defined=supposing)
        proofs = Proofs(folder("proofs"))

        def search(
            context: Context,
            pair: tuple[Output, Output],
            seconds: float,
            thorough: bool,
            own: Mapping[str, str],
        ) -> Certificate | None:
            effort: Effort = "search" if thorough else "written out"
            goal = Goal(pair[0].term, pair[1].term, pair[0].layout)
            alike = pair[0].layout == pair[1].layout and not rules
            found = proofs.find(context, goal) if alike else None
            if found is None:
                found = Proof(context, [pair], seconds, rules).certificate((), {}, effort, True)
                if found is not None:
                    proofs.keep(context, found)
            if found is None or INPUT_KINDS[kind_of(found)[0]] & UNDEFINED:
                rows = self._rows(context, pair, own, supposing)
                if rows:
                    proof = Proof(context, [pair], seconds, rules, rows)
                    more = proof.certificate((), {}, effort, True)
                    if found is None or (more and not INPUT_KINDS[kind_of(more)[0]] & UNDEFINED):
                        return more
            return found

        return Sweep(self.arrays, self.context, self.known.inputs, samples, deadline, search)

    def _rows(
        self, context: Context, pair: tuple[Output, Output], own: Mapping[str, str], all_: bool
    ) -> tuple[Hypothesis, ...]:
        """Rows of the programs' own inputs that a proof of a pair may suppose to be live."""
        if not all_ and not self.assumed:
            return ()
        proof = Proof(context, [pair])
        normal = Normaliser(proof.judge, proof.record_step)
        try:
            forms = [normal(output.term) for output in pair]
        except BudgetError:
            return ()
        programs = replace(context, inputs={own.get(n, n): k for n, k in context.inputs.items()})

        def may_be_supposed(row: Hypothesis) -> bool:
            reads = {n for n in subterms(row.left) if n.op == "Input"}
            if not all(str(read.args[0]) in own for read in reads):
                return False
            said = Hypothesis(renamed(row.left, own, {}), row.right)
            return all_ or all(map(self.is_assumed, supposed([said], programs, self.about)))

        rows = dict.fromkeys((*live_rows(context, (), *forms), *live_sums(context, *forms)))
        return tuple(row for row in rows if may_be_supposed(row))

    def confirms(self, composition: Composition) -> bool:
        """Whether a composition is about these programs, whatever was searched."""
        return self.sweep(None, 0.0, ()).confirms(composition)

    def notes(self, certificate: Certificate | Composition | None = None) -> tuple[str, ...]:
        """What a reader should know, as far as a proof does not show otherwise."""
        notes = [f"opaque: {text}" for program in self.programs for text in program.opaque]
        if self._may_be_undefined(certificate):
            notes.append(
                "an output may be undefined at some inputs (a division by 0, a row without a key);"
                " there the proof says only that both are undefined"
            )
        return tuple(dict.fromkeys(notes))

    def _may_be_undefined(self, certificate: Certificate | Composition | None) -> bool:
        """Whether an output is not seen to be defined at all inputs that are supposed."""
        if isinstance(certificate, Composition):
            return any(INPUT_KINDS[kind] & UNDEFINED for kind in certificate.kinds_of_outputs)
        facts = Facts(self.elaboration.context)
        doubtful = [left for left, _ in self.pairs if facts(left.term) & UNDEFINED]
        rows = certificate.hypotheses if certificate else ()
        context, stated = finite_by_a_truth(
            self.elaboration.context,
            *(output.term for output in doubtful),
            *(side for row in rows for side in (row.left, row.right)),
        )
        outputs = [replace(output, term=stated(output.term)) for output in doubtful]
        supposed = [Hypothesis(stated(row.left), stated(row.right)) for row in rows]
        proof = Proof(context, [(output, output) for output in outputs], hypotheses=supposed)
        return len(list(proof.evident(proof.suppose()))) < len(doubtful)

    def left_out(self, certificate: Certificate | Composition) -> tuple[str, ...]:
        """The condition that what is undefined is left out, where numbers are read as −∞."""
        if "infinite" not in self.about or not self._may_be_undefined(certificate):
            return ()
        return (LEFT_OUT,)

    def script(self, found: Counterexample) -> str:
        """A script in plain PyTorch that shows a difference."""
        sides = [
            run.reproduced(name, target, found.inputs)
            for run, name, target in zip(self.runs, self.names, self.targets, strict=True)
        ]
        return reproduction.script(found, sides)


def _zeros_or_ones(names: Collection[str], *roots: Term) -> tuple[Hypothesis, ...]:
    reads = {n for n in subterms(*roots) if n.op == "Input" and n.args[0] in names}
    return tuple(map(zero_or_one, sorted(reads, key=str)))


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


_PREDICATES = (
    r"every row of \S+ has a (True|value above -inf|-?[0-9./]+)",
    r"\S+ is 0 or 1",
    r"for all .+",  # as a verdict prints what it found
)
"""What may be assumed of an input, beside comparing it with sizes."""

_COMPARED = re.compile(r"(0\s*<=\s*)?([^\s<>=]+)\s*(<=|>=|<|>)\s*([^<>=]+)")


def _divide(
    assume: Sequence[str], declared: Mapping[str, Declaration]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Comparisons of sizes, and what is assumed of inputs."""
    comparisons: list[str] = []
    predicates: list[str] = []
    for text in assume:
        compared = _COMPARED.fullmatch(text.strip())
        if compared is not None and compared[2] in declared:
            predicates.append(_comparison(text, compared, declared))
            continue
        words = text.replace(",", " ").split()
        about_input = any(word in declared for word in words)
        if about_input or " has " in text or " is " in text:
            if not about_input:
                raise InputError(f"condition {text!r}: it names no input")
            if not any(re.fullmatch(form, text.strip()) for form in _PREDICATES):
                raise InputError(
                    f"condition {text!r}: of an input one may say 'every row of x has a True', "
                    "'every row of x has a value above -inf', 'x is 0 or 1', or compare it: 'x < n'"
                )
            predicates.append(text)
        else:
            parse_comparison(text)
            comparisons.append(text)
    return tuple(comparisons), tuple(predicates)


def _comparison(text: str, found: re.Match[str], declared: Mapping[str, Declaration]) -> str:
    """A comparison of an integer input with sizes, as a verdict would write it.

    Errors: InputError for another input, an unknown size, and a range that has no upper end.
    """
    lower, name, relation, bound = found.groups()
    if declared[name].kind != "integer":
        raise InputError(f"condition {text!r}: {name} holds no integers, as '{name} … : int' would")
    if lower and relation != "<":
        raise InputError(f"condition {text!r}: a range is written '0 <= {name} < n'")
    limit = size(bound)
    unknown = sorted(limit.variables - set(size_names(declared.values())))
    if unknown:
        raise InputError(f"condition {text!r}: no input has a size named {unknown[0]!r}")
    return f"{'0 <= ' if lower else ''}{name} {relation} {limit}"


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
        one, other = (near or lone_right)[0], lone_left[0]
        raise InputError(
            f"parameters without a counterpart: {', '.join(lone_left[:5])} on the left, "
            f"{', '.join(lone_right[:5])} on the right{hint}; say how they correspond, as in "
            f"parameters={{{one!r}: {other!r}}} or --parameter {one}={other}"
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
