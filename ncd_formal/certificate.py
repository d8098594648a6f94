"""Certificates: proofs that anyone can check again.

A certificate holds the context (sizes, axes, inputs), a table of terms, the goals, what it supposes
of the inputs, and lemmas: each a chain of steps from one term to another, a step an instance of a
law at given values, one of its hypotheses, or a congruence that cites earlier lemmas.  Checking
needs the rule texts and the standard library: it imports neither the e-graph nor a solver, and
decides every side condition again.  Some sizes satisfy the assumptions, and some inputs the
hypotheses: they are in the certificate, and checked, so that not everything follows.

The file is JSON; its digest guards against damage, and the check against everything else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncd_formal.conditions import Context, Split
from ncd_formal.errors import InputError
from ncd_formal.facts import INPUT_KINDS, MINUS_INFINITY, constant_kind
from ncd_formal.frontends.shapes import parse_shape
from ncd_formal.hypotheses import condition_text
from ncd_formal.proof import Hypothesis, Instance, Lemma, Reason
from ncd_formal.rules import Judge, Rule, read_own_rules, rule_text, table
from ncd_formal.sizes import Polynomial, size, variable
from ncd_formal.wires import (
    FUNCTIONS,
    INDEX_TEXT,
    SIGNATURE,
    Argument,
    Term,
    indices_of,
    indices_text,
    is_axis,
    subterms,
    term,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ncd_formal.composition import Composition

FORMAT = 1

Values = tuple[tuple[int, ...], tuple[str, ...]]
"""The shape of an array and its values row by row, each a fraction or −inf."""


class CertificateError(ValueError):
    """A certificate that does not hold; the message says where."""


@dataclass(frozen=True)
class Goal:
    """An output of the left program and of the right one, with the axes of its dimensions."""

    left: Term
    right: Term
    layout: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """What was checked."""

    goals: int
    lemmas: int
    steps: int
    rules: tuple[str, ...]
    conditions: tuple[str, ...]
    unproved: tuple[str, ...] = ()
    """The rules that are the user's own, which nobody has proved."""


@dataclass(frozen=True)
class Certificate:
    """A proof of ``goals`` in a context, under printed conditions."""

    context: Context
    goals: tuple[Goal, ...]
    lemmas: tuple[Lemma, ...]
    conditions: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    """Which programs the goals came from: names, input shapes, assumptions."""
    witness: Mapping[str, int] = field(default_factory=dict)
    """Sizes that satisfy the assumptions, so that not everything follows from them; a size that
    is left out has its least value."""
    rules: tuple[Rule, ...] = ()
    """The laws of the user's own that it uses, which nobody has proved."""
    hypotheses: tuple[Hypothesis, ...] = ()
    """What it supposes of the inputs; ``conditions`` says each in words."""
    example: Mapping[str, Values] = field(default_factory=dict)
    """Inputs at the sizes of ``witness`` of which the hypotheses hold."""

    @property
    def supposed(self) -> tuple[str, ...]:
        """The hypotheses in words."""
        return supposed(self.hypotheses, self.context, self.about)

    @property
    def digests(self) -> tuple[tuple[str, str], ...]:
        """The digests of the terms of each goal."""
        return tuple((goal.left.digest, goal.right.digest) for goal in self.goals)

    @property
    def laws(self) -> tuple[str, ...]:
        """The laws that the proof uses."""
        return tuple(sorted(laws_of(self.lemmas)))

    @property
    def unproved(self) -> tuple[str, ...]:
        """The laws among them that are the user's own."""
        return tuple(rule.name for rule in self.rules)

    @property
    def digest(self) -> str:
        """A hash of the whole certificate."""
        return digest_of(self.to_json())

    def check(self, rules: str = "") -> CheckReport:
        """Check every step and every side condition.

        A certificate may rest on laws that nobody has proved: only on those of ``rules``, the text
        that its reader vouches for, and the report names them.

        Errors: CertificateError naming the first lemma and step that does not hold; InputError
        where ``rules`` cannot be read.
        """
        # Through the written form, so that nothing but what is written is checked.
        return check(self.to_json(), read_own_rules(rules))

    def to_json(self) -> dict[str, Any]:
        """The certificate as plain data, without its digest."""
        numbers: dict[Term, int] = {}
        roots = [t for goal in self.goals for t in (goal.left, goal.right)]
        roots += [t for given in self.hypotheses for t in (given.left, given.right)]
        for left, right, steps in self.lemmas:
            roots += [left, right, *(t for t, _ in steps)]
            for _, reason in steps:
                if isinstance(reason, Instance):
                    roots += [v for v in reason.values.values() if isinstance(v, Term)]
        for node in subterms(*roots):
            numbers[node] = len(numbers)

        def written(argument: Argument) -> int | str:
            return numbers[argument] if isinstance(argument, Term) else str(argument)

        def step(reached: Term, reason: Reason | None) -> list[Any]:
            if isinstance(reason, Instance):
                values = {k: written(v) for k, v in sorted(reason.values.items())}
                return [numbers[reached], reason.law, values]
            if reason:
                return [numbers[reached], self.hypotheses.index(reason)]
            return [numbers[reached]]

        hypotheses = [[numbers[h.left], numbers[h.right]] for h in self.hypotheses]
        return {
            "format": FORMAT,
            "about": dict(self.about),
            "conditions": list(self.conditions),
            "context": {
                "axes": {k: str(v) for k, v in sorted(self.context.axes.items())},
                "lower": dict(sorted(self.context.lower.items())),
                "assumptions": [str(a) for a in self.context.assumptions],
                "splits": {
                    k: [s.outer, s.inner, s.masked] for k, s in sorted(self.context.splits.items())
                },
                "inputs": dict(sorted(self.context.inputs.items())),
            },
            "nodes": [[node.op, *map(written, node.args)] for node in numbers],
            "witness": dict(sorted(self.witness.items())),
            **({"rules": [rule_text(r) for r in self.rules]} if self.rules else {}),
            **({"hypotheses": hypotheses} if hypotheses else {}),
            **({"example": example_to_json(self.example)} if hypotheses else {}),
            "digests": [list(pair) for pair in self.digests],
            "goals": [
                [numbers[g.left], numbers[g.right], [list(d) for d in g.layout]] for g in self.goals
            ],
            "lemmas": [
                [
                    numbers[left],
                    numbers[right],
                    [step(reached, reason) for reached, reason in steps],
                ]
                for left, right, steps in self.lemmas
            ],
        }

    def describe(self) -> str:
        """How long it is, for people."""
        steps = sum(len(steps) for _, _, steps in self.lemmas)
        laws = ", ".join(self.laws) or "none: the wires are the same term"
        return f"{len(self.lemmas)} lemmas, {steps} steps; laws: {laws}"

    def save(self, path: str | Path) -> None:
        """Write the certificate as JSON."""
        save_json(self.to_json(), path)

    @classmethod
    def load(cls, path: str | Path) -> Certificate | Composition:
        """Read a certificate, or a composition of several.

        Errors: InputError where the file cannot be read, is no certificate, or is damaged.
        """
        from ncd_formal import composition

        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        except (ValueError, RecursionError):
            raise InputError(f"{path}: not a certificate (it is not JSON)") from None
        form = data.get("format") if isinstance(data, dict) else None
        if form not in (FORMAT, composition.FORMAT) or "digest" not in data:
            raise InputError(f"{path}: not a certificate of format {FORMAT}")
        if data.pop("digest") != digest_of(data):
            raise InputError(f"{path}: damaged: its digest does not match what it says")
        try:
            if form == composition.FORMAT:
                return composition.Composition.from_json(data)
            return cls.from_json(data)
        except (CertificateError, InputError) as error:
            raise InputError(f"{path}: damaged: {error}") from None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """The certificate of plain data.

        Errors: CertificateError where it is not well formed.
        """
        try:
            if (
                data.keys() - {"rules", "hypotheses", "example"} != _FIELDS.keys()
                or type(data["format"]) is not int
            ):
                raise CertificateError(f"it does not have the fields {', '.join(_FIELDS)}")
            rows = (
                data["nodes"],
                data["goals"],
                data["lemmas"],
                data.get("hypotheses", []),
                *(s for _, _, s in data["lemmas"]),
            )
            if not all(isinstance(row, list) for row in rows):
                raise CertificateError("nodes, goals, lemmas and steps are lists")
            context = context_from_json(data["context"])
            rules = read_own_rules("\n".join(_texts(data.get("rules", []))))
            known = {**table(), **{rule.name: rule for rule in rules}}
            nodes = _nodes(data["nodes"], context)
            hypotheses = tuple(
                Hypothesis(_node(nodes, a), _node(nodes, b)) for a, b in data.get("hypotheses", [])
            )

            def reason(rest: list[Any]) -> Reason | None:
                if len(rest) == 2:
                    return Instance(rest[0], _values(_law(known, rest[0]), rest[1], nodes))
                if not rest:
                    return None
                if (
                    len(rest) > 2
                    or type(rest[0]) is not int
                    or rest[0] not in range(len(hypotheses))
                ):
                    raise CertificateError(
                        "a step is a term, a term and a hypothesis, or a term, a law and its values"
                    )
                return hypotheses[rest[0]]

            lemmas: list[Lemma] = []
            for left, right, steps in data["lemmas"]:
                chain = [(_node(nodes, reached), reason(rest)) for reached, *rest in steps]
                lemmas.append((_node(nodes, left), _node(nodes, right), tuple(chain)))
            goals = tuple(
                Goal(_node(nodes, a), _node(nodes, b), _layout(layout))
                for a, b, layout in data["goals"]
            )
            witness = witness_from_json(data["witness"])
            result = cls(
                context,
                goals,
                tuple(lemmas),
                _texts(data["conditions"]),
                dict(data["about"]),
                witness,
                rules,
                hypotheses,
                example_from_json(data.get("example", {})),
            )
        except CertificateError:
            raise
        except InputError as error:
            raise CertificateError(str(error)) from None
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
                RecursionError) as error:  # fmt: skip
            raise CertificateError(f"not well formed: {type(error).__name__} {error}") from None
        if [list(pair) for pair in result.digests] != data.get("digests"):
            raise CertificateError("the digests are not those of the goals")
        return result


_FIELDS = dict.fromkeys(
    ("format", "about", "conditions", "context", "nodes", "witness", "digests", "goals", "lemmas")
)


def laws_of(lemmas: Sequence[Lemma]) -> set[str]:
    """The laws that lemmas use."""
    return {r.law for _, _, steps in lemmas for _, r in steps if isinstance(r, Instance)}


def supposed(
    hypotheses: Sequence[Hypothesis], context: Context, about: Mapping[str, Any]
) -> tuple[str, ...]:
    """Hypotheses in words, with the shapes that the inputs are declared to have."""
    declared = about.get("inputs")
    shapes = {
        str(name): parse_shape(str(name), str(text)).shape
        for name, text in (declared.items() if isinstance(declared, dict) else ())
    }
    return tuple(dict.fromkeys(condition_text(h, context, shapes) for h in hypotheses))


def save_json(data: Mapping[str, Any], path: str | Path) -> None:
    """Write data as JSON with its digest."""
    text = json.dumps({**data, "digest": digest_of(data)}, separators=(",", ":"))
    Path(path).write_text(text + "\n", encoding="utf-8")


def digest_of(data: Mapping[str, Any]) -> str:
    """A hash of plain data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _whole(written: Any) -> int:
    if type(written) is not int or written < 0:
        raise CertificateError(f"{written!r} is not a whole number")
    return written


def _texts(written: Any) -> tuple[str, ...]:
    if not isinstance(written, list) or not all(isinstance(text, str) for text in written):
        raise CertificateError(f"{written!r} is not a list of texts")
    return tuple(written)


def _layout(written: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(written, list):
        raise CertificateError("a layout is a list of lists of axes")
    return tuple(map(_texts, written))


def written(values: NDArray[Any]) -> Values:
    """An array as a certificate holds it."""
    texts = ("-inf" if x == float("-inf") else str(Fraction(x)) for x in values.flatten().tolist())
    return tuple(values.shape), tuple(texts)


def example_to_json(example: Mapping[str, Values]) -> dict[str, Any]:
    """Inputs as plain data."""
    return {k: [list(shape), list(values)] for k, (shape, values) in sorted(example.items())}


def example_from_json(data: Mapping[str, Any]) -> dict[str, Values]:
    """Inputs from plain data."""
    return {
        str(k): (tuple(map(_whole, shape)), _texts(values)) for k, (shape, values) in data.items()
    }


def witness_from_json(data: Mapping[str, Any]) -> dict[str, int]:
    """Sizes from plain data."""
    return {str(k): _whole(v) for k, v in data.items()}


def context_from_json(data: Mapping[str, Any]) -> Context:
    """A context from plain data, well formed."""
    lower = {str(k): _whole(v) for k, v in data["lower"].items()}
    splits = {}
    for axis, (outer, inner, masked) in data["splits"].items():
        if type(masked) is not bool:
            raise CertificateError(f"the split of {axis} is not well formed")
        splits[str(axis)] = Split(str(outer), str(inner), masked)
    context = Context(
        {str(k): _polynomial(v) for k, v in data["axes"].items()},
        lower,
        tuple(map(_polynomial, _texts(data["assumptions"]))),
        splits,
        {str(k): str(v) for k, v in data["inputs"].items()},
    )
    for names, axes in ((context.axes, True), (lower, False)):
        for name in names:
            if size(name) is not variable(name) or is_axis(name) is not axes:
                raise CertificateError(f"{name!r} names no {'axis' if axes else 'size'}")
    for p in (*context.axes.values(), *context.assumptions):
        if any(map(is_axis, p.variables)):
            raise CertificateError(f"{p} is about the index of an axis")
        _check_divisors(p, context)
    for name, kind in context.inputs.items():
        if kind not in INPUT_KINDS:
            raise CertificateError(f"input {name} is of no kind {kind!r}")
    _check_splits(context)
    return context


def _polynomial(written: Any) -> Polynomial:
    """A polynomial from its canonical text."""
    if not isinstance(written, str) or str(size(written)) != written:
        raise CertificateError(f"{written!r} is not in normal form")
    return size(written)


def _check_divisors(p: Polynomial, context: Context) -> None:
    """What is divided by is positive."""
    for atom in p.atoms:
        if not isinstance(atom, str):
            if not context.nonnegative(atom.denominator - 1):
                raise CertificateError(f"{atom}: the divisor may be 0 or less")
            _check_divisors(atom.numerator, context)
            _check_divisors(atom.denominator, context)


def _check_splits(context: Context) -> None:
    """Each axis is split once, into axes of its own: the leaves of a context are a forest.

    The parts of an axis reach all of it, and past its end only where the split is masked.
    """
    axes = context.axes
    parts = [p for split in context.splits.values() for p in (split.outer, split.inner)]
    if len(parts) != len(set(parts)) or not {*parts, *context.splits} <= axes.keys():
        raise CertificateError("an axis is part of two splits, or a split is of no axis")
    for axis, split in context.splits.items():
        reach = axes[split.outer] * axes[split.inner]
        fits = context.nonnegative(reach - axes[axis]) if split.masked else reach is axes[axis]
        sizes = (axes[split.outer], axes[split.inner])
        if not fits or not all(map(context.nonnegative, sizes)):
            raise CertificateError(f"the parts of {axis} do not make it up")
    for axis in context.splits:
        seen, todo = {axis}, [axis]
        while todo:
            inner = context.splits.get(todo.pop())
            for part in (inner.outer, inner.inner) if inner else ():
                if part in seen or part not in context.axes:
                    raise CertificateError(f"the split of {axis} goes round or into no axis")
                seen.add(part)
                todo.append(part)


def _nodes(rows: Sequence[Sequence[Any]], context: Context) -> list[Term]:
    nodes: list[Term] = []
    for op, *args in rows:
        sorts, _ = SIGNATURE[op]
        if len(sorts) != len(args):
            raise CertificateError(f"node {len(nodes)}: {op} takes {len(sorts)} arguments")
        read = [_argument(sort, a, nodes) for sort, a in zip(sorts, args, strict=True)]
        node = term(op, *read)
        if op in INDEX_TEXT:
            text = str(node.args[INDEX_TEXT[op]])
            indices = indices_of(text)
            if indices_text(indices) != text or (
                op in {"Index", "Predicate"} and len(indices) != 1
            ):
                raise CertificateError(f"node {len(nodes)}: {text!r} is not in normal form")
            for p in indices:
                _check_divisors(p, context)
        if op == "Function" and node.args[0] not in FUNCTIONS:
            raise CertificateError(f"node {len(nodes)}: no function is named {node.args[0]!r}")
        bound = str(node.args[1]).split() if op in {"Reduce", "Opaque"} else ()
        if not {*bound, *node.axes} <= context.axes.keys() or (op == "Reduce" and len(bound) != 1):
            raise CertificateError(f"node {len(nodes)} is about an axis without a size")
        nodes.append(node)
    if len(set(nodes)) != len(nodes):
        raise CertificateError("a node is listed twice")
    return nodes


_NUMBER = re.compile(r"-?[0-9]+(/[0-9]+)?")


def _argument(sort: str, written: Any, nodes: Sequence[Term]) -> Argument:
    if sort in {"Term", "Monoid"}:
        return _node(nodes, written)
    if not isinstance(written, str):
        raise CertificateError(f"{written!r} is not text")
    if sort == "String":
        return written
    number = Fraction(written) if _NUMBER.fullmatch(written) else None
    if number is None or str(number) != written:
        raise CertificateError(f"{written!r} is not in normal form")
    return number


def _node(nodes: Sequence[Term], number: Any) -> Term:
    if type(number) is not int or not 0 <= number < len(nodes):
        raise CertificateError(f"no node {number!r}")
    return nodes[number]


def _law(known: Mapping[str, Rule], name: Any) -> Rule:
    rule = known.get(name) if isinstance(name, str) else None
    if rule is None:
        raise CertificateError(f"no law is named {name!r}")
    return rule


def _values(rule: Rule, written: Any, nodes: Sequence[Term]) -> dict[str, Argument]:
    sorts = rule.sorts
    if not isinstance(written, dict) or written.keys() != sorts.keys():
        raise CertificateError(f"law {rule.name} is about {', '.join(sorts)}")
    return {k: _argument(sorts[k], v, nodes) for k, v in written.items()}


def check(data: Mapping[str, Any], vouched: Sequence[Rule] = ()) -> CheckReport:
    """Check a certificate given as plain data; ``vouched`` are laws to be used without a proof.

    Errors: CertificateError naming the first lemma and step that does not hold.
    """
    certificate = Certificate.from_json(data)
    context = certificate.context
    judge, free = Judge(context), _FreeAxes(context)
    laws = {**table(), **{rule.name: rule for rule in certificate.rules}}
    for rule in certificate.rules:
        if rule not in vouched:
            raise CertificateError(f"it rests on the law {rule.name}, which nobody has proved")
        if rule.name not in certificate.laws:
            raise CertificateError(f"it does not use the law {rule.name} that it brings")
    check_witness(certificate)
    check_said(certificate.supposed, certificate.conditions)
    proved: set[tuple[Term, Term]] = set()
    steps_checked = 0

    def known(a: Term, b: Term) -> bool:
        return a is b or (a, b) in proved or (b, a) in proved

    for number, (left, right, steps) in enumerate(certificate.lemmas):
        here = left
        for position, (there, reason) in enumerate(steps):
            where = f"lemma {number}, step {position}"
            if reason is None:
                _check_congruence(here, there, known, where)
            elif isinstance(reason, Instance):
                _check_instance(judge, here, there, laws[reason.law], reason.values, where)
            elif (here, there) not in ((reason.left, reason.right), (reason.right, reason.left)):
                raise CertificateError(f"{where}: not what the hypothesis says")
            # An index of an axis that is passed through must exist: from an empty axis all follows.
            for axis in free(there) - free(left) - free(right):
                if not context.nonempty(axis):
                    raise CertificateError(f"{where}: {axis} may have no index")
            here = there
            steps_checked += 1
        if here is not right:
            raise CertificateError(f"lemma {number} ends at another term")
        proved.add((left, right))
    for number, goal in enumerate(certificate.goals):
        if not known(goal.left, goal.right):
            raise CertificateError(f"goal {number} is not among the lemmas")
        outputs = [leaf for digits in goal.layout for a in digits for leaf in context.leaves(a)]
        inside = free(goal.left) | free(goal.right)
        if len(set(outputs)) != len(outputs) or not inside <= set(outputs) <= context.axes.keys():
            raise CertificateError(f"goal {number}: its dimensions are not made of its axes")
    if not certificate.goals:
        raise CertificateError("there is no goal")
    return CheckReport(
        len(certificate.goals),
        len(certificate.lemmas),
        steps_checked,
        certificate.laws,
        (*_assumed(context), *certificate.conditions),
        certificate.unproved,
    )


def check_said(supposed: Sequence[str], conditions: Sequence[str]) -> None:
    """What is supposed is among the conditions.

    Errors: CertificateError naming what is not.
    """
    for text in supposed:
        if text not in conditions:
            raise CertificateError(f"it supposes without a word that {text}")


def _assumed(context: Context) -> tuple[str, ...]:
    """What the context demands of sizes: a size is at least 1 without a word."""
    bounds = [f"{name} >= {least}" for name, least in context.lower.items() if least > 1]
    return (*bounds, *(f"{p} >= 0" for p in context.assumptions))


class _FreeAxes:
    """The unsplit axes that a term depends on: a bound axis binds its parts and what they make."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.memo: dict[Term, frozenset[str]] = {}

    def __call__(self, root: Term) -> frozenset[str]:
        for node in subterms(root, known=self.memo):
            self.memo[node] = self._of(node)
        return self.memo[root]

    def _of(self, node: Term) -> frozenset[str]:
        below = frozenset[str]().union(*(self.memo[child] for child in node.children))
        if node.op in {"Reduce", "Opaque"}:
            bound = str(node.args[1]).split()
            below -= {leaf for axis in bound for leaf in self.context.leaves(axis)}
        if node.op in INDEX_TEXT:
            own = {v for p in indices_of(str(node.args[INDEX_TEXT[node.op]])) for v in p.variables}
            below |= {leaf for a in own if is_axis(a) for leaf in self.context.leaves(a)}
        return below


def check_witness(certificate: Certificate) -> None:
    """The assumptions hold of some sizes, and the hypotheses of some inputs.

    Errors: CertificateError where its witness or its example does not show that.
    """
    context, given = certificate.context, certificate.witness
    names = {v for p in (*context.assumptions, *context.axes.values()) for v in p.variables}
    sizes = {name: given.get(name, context.least(name)) for name in names | given.keys()}
    for name, value in sizes.items():
        if value < context.least(name):
            raise CertificateError(f"the witness {name} = {value} is below its least value")
    for assumption in context.assumptions:
        if assumption.evaluate(sizes) < 0:
            raise CertificateError(f"the witness does not satisfy {assumption} >= 0")
    if certificate.hypotheses:
        try:
            held = _hold_of_example(certificate, sizes)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise CertificateError(f"the example is not well formed: {error}") from None
        if not held:
            raise CertificateError("its hypotheses do not hold of its example")


def _hold_of_example(certificate: Certificate, sizes: Mapping[str, int]) -> bool:
    # Loads NumPy, which a certificate without hypotheses does not need.
    from ncd_formal.semantics import NINF, Value, denote

    context = certificate.context
    for name, (shape, values) in certificate.example.items():
        if len(values) != prod(shape):
            raise ValueError(f"{name} does not have the values of its shape")
        allowed = INPUT_KINDS[context.inputs.get(name, "extended")]
        if any(
            (MINUS_INFINITY if v == "-inf" else constant_kind(Fraction(v))) & ~allowed
            for v in values
        ):
            raise ValueError(f"{name} has values of another kind")

    def read(name: str, index: tuple[int, ...]) -> Value:
        shape, values = certificate.example[name]
        if len(index) != len(shape) or not all(
            0 <= i < n for i, n in zip(index, shape, strict=True)
        ):
            return Fraction(1)  # a value of every kind
        place = 0
        for i, n in zip(index, shape, strict=True):
            place = place * n + i
        return NINF if values[place] == "-inf" else Fraction(values[place])

    for hypothesis in certificate.hypotheses:
        both = hypothesis.left.axes | hypothesis.right.axes
        axes = sorted({leaf for axis in both for leaf in context.leaves(axis)})
        for point in product(*(range(context.axes[a].evaluate(sizes)) for a in axes)):
            env = dict(zip(axes, point, strict=True))
            left, right = (
                denote(t, context, sizes, read, env) for t in (hypothesis.left, hypothesis.right)
            )
            if left != right:
                return False
    return True


def _check_congruence(here: Term, there: Term, known: Any, where: str) -> None:
    same = here.op == there.op and len(here.args) == len(there.args)
    if not same or not all(
        known(a, b) if isinstance(a, Term) and isinstance(b, Term) else a == b
        for a, b in zip(here.args, there.args, strict=True)
    ):
        raise CertificateError(f"{where}: not a congruence by earlier lemmas")


def _check_instance(
    judge: Judge, here: Term, there: Term, rule: Rule, values: Mapping[str, Argument], where: str
) -> None:
    law = rule.name
    try:
        sides = judge.sides(rule, values)
        holds = judge.holds(rule, values)
    except (LookupError, TypeError, ValueError, AssertionError, ArithmeticError,
            RecursionError) as error:  # fmt: skip
        raise CertificateError(f"{where}: {law} does not apply: {error}") from None
    if sides not in ((here, there), (there, here)):
        raise CertificateError(f"{where}: not an instance of {law}")
    if not holds:
        raise CertificateError(f"{where}: a condition of {law} does not hold")
