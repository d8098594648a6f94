"""A certificate as a Coq file: its context, nodes, lemmas and goals, and the theorem that it proves.

Nothing that the file claims is trusted: ``proofs/Checker.v`` computes every side condition again,
and Coq's kernel runs it.  Terms that a law computes (a renamed body, a written-out fold) come with
the nodes that show them, one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from ncd_formal.certificate import Certificate
from ncd_formal.coq.table import COLUMNS, Law, laws, rational
from ncd_formal.errors import InputError
from ncd_formal.proof import Instance
from ncd_formal.rules import Judge
from ncd_formal.sizes import Atom, Polynomial, Quotient, size
from ncd_formal.wires import (
    INDEX_TEXT,
    SIGNATURE,
    Argument,
    Term,
    indices_of,
    is_axis,
    substitutions,
    subterms,
)

_INPUT_KINDS = {
    "real": "RealInput",
    "integer": "RealInput",
    "boolean": "BooleanInput",
    "extended": "ExtendedInput",
}


class Export:
    """A certificate with the numbers that stand for its names in Coq.

    Errors: InputError where a law of the certificate has no counterpart in Coq.
    """

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.judge = Judge(certificate.context)
        self.names: dict[str, dict[str, int]] = {
            kind: {} for kind in ("size", "axis", "input", "function", "operator")
        }
        self.nodes: dict[Term, int] = {}
        self.numbers: dict[tuple[Term, Term], int] = {}
        self.order = {name: k for k, name in enumerate(laws())}
        for axis in sorted(certificate.context.axes):
            self.name("axis", axis)

    def name(self, kind: str, text: str) -> int:
        """The number of a name, 1 and up."""
        known = self.names[kind]
        return known.setdefault(text, len(known) + 1)

    def node(self, term: Term) -> int:
        """The number of a node; its subterms have smaller ones."""
        if term not in self.nodes:
            for part in subterms(term):
                if SIGNATURE[part.op][1] == "Term" and part not in self.nodes:
                    self.nodes[part] = len(self.nodes) + 1
        return self.nodes[term]

    # Indices and operators --------------------------------------------------------------------

    def index(self, p: Polynomial) -> str:
        """A polynomial as a Coq ``index``."""
        terms = [self._monomial(monomial, c) for monomial, c in p.terms]
        text = terms[0] if terms else "Num 0"
        for term in terms[1:]:
            text = f"Plus ({text}) ({term})"
        return text

    def _monomial(self, monomial: tuple[tuple[Atom, int], ...], c: int) -> str:
        factors = [self._atom(atom) for atom, power in monomial for _ in range(power)]
        if c != 1 or not factors:
            factors.insert(0, f"Num {_integer(c)}")
        text = factors[-1]
        for factor in reversed(factors[:-1]):
            text = f"Times ({factor}) ({text})"
        return text

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, str):
            return f"Axis {self.name('axis', atom)}" if is_axis(atom) else (
                f"Size {self.name('size', atom)}"
            )
        head = "Quot" if isinstance(atom, Quotient) else "Rem"
        return f"{head} ({self.index(atom.numerator)}) ({self.index(atom.denominator)})"

    def indices(self, text: str) -> str:
        """The indices of an input or an opaque operator."""
        return _list(self.index(p) for p in indices_of(text))

    def monoid(self, monoid: Term) -> str:
        """A monoid."""
        if monoid.op == "Both":
            left, right = monoid.children
            return f"(Both {self.monoid(left)} {self.monoid(right)})"
        return monoid.op

    def operator(self, term: Term) -> str:
        """The operator of a node."""
        op, args = term.op, term.args
        if op == "Input":
            return f"Input {self.name('input', str(args[0]))} {self.indices(str(args[1]))}"
        if op == "Constant":
            assert isinstance(args[0], Fraction)
            return f"Constant {rational(args[0])}"
        if op in {"Index", "Predicate"}:
            return f"{op} ({self.index(size(str(args[0])))})"
        if op == "Function":
            return f"Function {self.name('function', str(args[0]))}"
        if op == "Reduce":
            assert isinstance(args[0], Term)
            return f"Reduce {self.monoid(args[0])} {self.name('axis', str(args[1]))}"
        if op == "Opaque":
            bound = _list(str(self.name("axis", axis)) for axis in str(args[1]).split())
            indices = self.indices(str(args[INDEX_TEXT[op]]))
            return f"Opaque {self.name('operator', str(args[0]))} {bound} {indices}"
        return op

    # Instances ----------------------------------------------------------------------------------

    def instance(self, instance: Instance) -> str:
        """The reason of a step: the law and the values of its variables."""
        law = laws().get(instance.law)
        if law is None:
            raise InputError(f"law {instance.law} has no lemma in Coq")
        values = {column: self._column(law, column, instance) for column in COLUMNS}
        slots = _list(self._pairs(pairs) for pairs in self._slots(law, instance))
        columns = " ".join(_list(values[column]) for column in COLUMNS)
        return f"ByLaw {self.order[law.name]} (Assignment {columns} {slots})"

    def _column(self, law: Law, column: str, instance: Instance) -> Iterator[str]:
        for expression in law.variables[column]:
            value = self.judge.instantiate(expression, instance.values)
            if column == "term":
                assert isinstance(value, Term)
                yield str(self.node(value))
            elif column == "monoid":
                assert isinstance(value, Term)
                yield self.monoid(value)
            elif column == "number":
                assert isinstance(value, Fraction)
                yield rational(value)
            elif column == "axis":
                yield str(self.name("axis", str(value)))
            else:
                yield self.index(size(str(value)))

    def _slots(self, law: Law, instance: Instance) -> Iterator[Mapping[Term, Term]]:
        """For each computed term, every node that it comes from with what became of it."""
        context = self.certificate.context
        for operation, made in law.slots:
            expression = law.variables["term"][made]
            assert isinstance(expression, tuple)
            arguments = [self.judge.instantiate(part, instance.values) for part in expression[1:]]
            if operation == "given":
                yield self._given(*arguments)
                continue
            body, axis = arguments[::-1][:2] if operation == "unroll" else arguments[:2]
            assert isinstance(body, Term)
            x, extent = str(axis), context.axes[str(axis)]
            to: Iterable[Polynomial]
            if operation == "unroll":
                to = map(size, range(extent.constant or 0))
            elif operation == "rename":
                to = [size(str(arguments[2]))]
            else:
                to = [extent - 1 - size(x)]
            for value in to:
                yield substitutions(body, {x: value})

    def _given(self, body: Argument, p: Argument, holds: Argument) -> dict[Term, Term]:
        assert isinstance(body, Term)
        given = self.judge.instantiate
        from ncd_formal.rules import Symbol

        pattern = (Symbol("given"), Symbol("a"), Symbol("p"), Symbol("b"))
        made: dict[Term, Term] = {}
        for node in subterms(body):
            if SIGNATURE[node.op][1] == "Term":
                image = given(pattern, {"a": node, "p": p, "b": holds})
                assert isinstance(image, Term)
                made[node] = image
        return made

    def _pairs(self, made: Mapping[Term, Term]) -> str:
        """Pairs that show a computed term: children before parents, and only where needed."""
        root = next(reversed(made))
        needed: dict[Term, None] = {}
        stack = [root]
        while stack:
            node = stack.pop()
            needed[node] = None
            if made[node] is not node:
                stack.extend(
                    c for c in node.children if SIGNATURE[c.op][1] == "Term" and c not in needed
                )
        return _list(
            f"({self.node(made[node])}, {self.node(node)})" for node in made if node in needed
        )

    # The file -----------------------------------------------------------------------------------

    def lemmas(self) -> list[str]:
        """The lemmas, each citing earlier ones by number."""
        result = []
        for number, (left, right, steps) in enumerate(self.certificate.lemmas, 1):
            here, written = left, []
            for there, instance in steps:
                reason = self.instance(instance) if instance else self._congruence(here, there)
                written.append(f"({self.node(there)}, {reason})")
                here = there
            ends = f"({self.node(left)}, {self.node(right)}, {_list(written)})"
            result.append(f"({number}, {ends})")
            self.numbers.setdefault((left, right), number)
        return result

    def _congruence(self, here: Term, there: Term) -> str:
        cited = []
        for a, b in zip(here.children, there.children, strict=True):
            if SIGNATURE[a.op][1] != "Term":
                continue
            number = None if a is b else self.numbers.get((a, b), self.numbers.get((b, a)))
            cited.append("None" if number is None else f"Some {number}")
        return f"ByCongruence {_list(cited)}"

    def context(self) -> str:
        """The context: a size that is not listed is at least 1."""
        context = self.certificate.context
        assumed = _list(map(self.index, context.assumptions))
        extents = _map(
            (self.name("axis", axis), self.index(extent))
            for axis, extent in sorted(context.axes.items())
        )
        lowers = _map(
            (self.name("size", name), _integer(least)) for name, least in context.lower.items()
        )
        splits = _list(
            f"Split {self.name('axis', axis)} {self.name('axis', context.splits[axis].outer)} "
            f"{self.name('axis', context.splits[axis].inner)} "
            f"{str(context.splits[axis].masked).lower()}"
            for axis in _parents_first(context.splits)
        )
        inputs = _map(
            (self.name("input", name), _INPUT_KINDS[kind])
            for name, kind in context.inputs.items()
        )
        return f"Context {lowers} {assumed} {extents} {splits} {inputs}"

    def text(self) -> str:
        """The Coq file."""
        context, lemmas = self.context(), self.lemmas()
        goals = [f"({self.node(g.left)}, {self.node(g.right)})" for g in self.certificate.goals]
        nodes = [
            f"({number}, ({self.operator(term)}, "
            f"{_list(str(self.nodes[c]) for c in term.children if c in self.nodes)}))"
            for term, number in self.nodes.items()
        ]
        names = "\n".join(
            f"   {kind} {number}: {_comment(name)}"
            for kind, known in self.names.items()
            for name, number in known.items()
        )
        return f"""(* A certificate of ncd_formal.

{names} *)

From Coq Require Import List PArith ZArith QArith.
From Ncd Require Import Monoids Sizes Contexts Wires Laws Conditions Checker Table Soundness.
Import ListNotations.
Local Open Scope Q_scope.
Local Open Scope Z_scope.
Local Open Scope positive_scope.

Definition certificate_context : context :=
  {context}.
Definition certificate_nodes : list (positive * (operator * list positive)) := {_lines(nodes)}.
Definition certificate_lemmas : list lemma := {_lines(lemmas)}.
Definition certificate_goals : list goal := {_list(goals)}.

Theorem certificate : Forall (fun g => equal certificate_context
  (term_at certificate_context certificate_nodes (fst g))
  (term_at certificate_context certificate_nodes (snd g))) certificate_goals.
Proof.
  apply (check_sound table _ _ certificate_lemmas _ table_sound).
  vm_cast_no_check (eq_refl true).
Qed.
"""


def _comment(text: str) -> str:
    """A name that cannot end the comment it stands in."""
    return text.replace("(*", "( *").replace("*)", "* )").replace('"', "'")


def _integer(value: int) -> str:
    return f"{value}" if value >= 0 else f"({value})"


def _list(items: Iterable[str]) -> str:
    return f"[{'; '.join(items)}]"


def _lines(items: Iterable[str]) -> str:
    return "[\n  " + ";\n  ".join(items) + "]"


def _map(items: Iterable[tuple[int, str]]) -> str:
    return f"(map_of {_list(f'({key}, {value})' for key, value in items)})"


def _parents_first(splits: Mapping[str, object]) -> list[str]:
    """Split axes, each before those that are parts of it."""
    parts = {
        part
        for split in splits.values()
        for part in (getattr(split, "outer"), getattr(split, "inner"))  # noqa: B009
    }
    order, todo = [], [axis for axis in splits if axis not in parts]
    while todo:
        axis = todo.pop(0)
        order.append(axis)
        split = splits[axis]
        todo += [
            part
            for part in (getattr(split, "outer"), getattr(split, "inner"))  # noqa: B009
            if part in splits
        ]
    return order


def export(certificate: Certificate) -> str:
    """The Coq file of a certificate.

    Errors: InputError where it uses a law without a lemma.
    """
    return Export(certificate).text()
