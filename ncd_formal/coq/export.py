"""A certificate as a Coq file: its context, nodes, lemmas and goals, and the theorem they prove.

Nothing that the file claims is trusted: ``proofs/Checker.v`` computes every side condition again,
and Coq's kernel runs it.  Terms that a law computes (a renamed body, a written-out fold) come with
the nodes that show them, one after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from ncd_formal.certificate import Certificate
from ncd_formal.conditions import Split
from ncd_formal.coq.table import COLUMNS, DEFINED, Law, definition, laws, rational, translate
from ncd_formal.proof import Hypothesis, Instance, Reason
from ncd_formal.rules import Judge, given
from ncd_formal.sizes import Atom, Polynomial, Quotient, size
from ncd_formal.wires import (
    INDEX_TEXT,
    SIGNATURE,
    Term,
    indices_of,
    is_axis,
    substitutions,
    subterms,
)

INPUT_KINDS = {
    "real": "RealInput",
    "integer": "RealInput",
    "boolean": "BooleanInput",
    "extended": "ExtendedInput",
    "positive": "PositiveInput",
    "nonnegative": "NonnegativeInput",
    "partial": "PartialInput",
    "any": "AnyInput",
}


class Export:
    """A certificate with the numbers that stand for its names in Coq."""

    def __init__(
        self, certificate: Certificate, shared: Mapping[str, dict[str, int]] | None = None
    ) -> None:
        self.certificate = certificate
        self.judge = Judge(certificate.context)
        self.names: dict[str, dict[str, int]] = {
            kind: {} for kind in ("size", "axis", "input", "function", "operator")
        } | dict(shared or {})
        self.nodes: dict[Term, int] = {}
        self.proved: dict[tuple[Term, Term], int] = {}
        self.own = [translate(rule) for rule in certificate.rules]
        self.laws = {**laws(), **{law.name: law for law in self.own}}
        self.order = {name: k for k, name in enumerate(self.laws)}
        for axis in sorted(certificate.context.axes):
            self.name("axis", axis)

    def name(self, kind: str, text: str) -> int:
        """The number of a name, 1 and up."""
        known = self.names[kind]
        return known.setdefault(text, len(known) + 1)

    def node(self, term: Term) -> int:
        """The number of a node; its subterms have smaller ones."""
        for part in subterms(term, known=self.nodes):
            if SIGNATURE[part.op][1] == "Term":
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
            return (
                f"Axis {self.name('axis', atom)}"
                if is_axis(atom)
                else (f"Size {self.name('size', atom)}")
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
            if args[0] in DEFINED:
                return DEFINED[str(args[0])]
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

    def step(self, there: Term, reason: Reason) -> str:
        """A step by a law, with the values of its variables, or by a hypothesis."""
        if isinstance(reason, Hypothesis):
            place = self.certificate.hypotheses.index(reason) + 1
            return f"Given {number(self.node(there))} {number(place)}"
        instance = reason
        law = self.laws[instance.law]
        head = f"{number(self.node(there))} {number(self.order[law.name] + 1)}"
        values = {column: list(self._column(law, column, instance)) for column in COLUMNS}
        if not law.slots and not any(values[c] for c in ("index", "number", "monoid")):
            return f"Instance {head} {_ids(values['term'])} {_ids(values['axis'])}"
        slots = _list(self._pairs(pairs) for pairs in self._slots(law, instance))
        columns = " ".join(_list(values[column]) for column in COLUMNS)
        return f"FullInstance {head} (Assignment {columns} {slots})"

    def _column(self, law: Law, column: str, instance: Instance) -> Iterator[str]:
        for expression in law.variables[column]:
            value = self.judge.instantiate(expression, instance.values)
            if column == "term":
                assert isinstance(value, Term)
                yield number(self.node(value))
            elif column == "monoid":
                assert isinstance(value, Term)
                yield self.monoid(value)
            elif column == "number":
                assert isinstance(value, Fraction)
                yield rational(value)
            elif column == "axis":
                yield number(self.name("axis", str(value)))
            else:
                yield self.index(size(str(value)))

    def _slots(self, law: Law, instance: Instance) -> Iterator[dict[Term, Term]]:
        """For each computed term, every node that it comes from with what became of it."""
        context = self.certificate.context
        for operation, made in law.slots:
            expression = law.variables["term"][made]
            assert isinstance(expression, tuple)
            arguments = [self.judge.instantiate(part, instance.values) for part in expression[1:]]
            if operation == "given":
                body, p, holds = arguments
                assert isinstance(body, Term)
                yield given(context, body, str(p), holds == 1)
                continue
            body, axis = arguments[::-1][:2] if operation == "unroll" else arguments[:2]
            assert isinstance(body, Term)
            x, extent = str(axis), context.axes[str(axis)]
            to: Iterable[Polynomial]
            if operation == "unroll":
                to = map(size, range(extent.constant or 0))
            elif operation in {"rename", "at"}:
                to = [size(str(arguments[2]))]
            else:
                to = [extent - 1 - size(x)]
            for value in to:
                yield substitutions(body, {x: value})

    def _pairs(self, made: dict[Term, Term]) -> str:
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
            f"({number(self.node(made[node]))}, {number(self.node(node))})"
            for node in made
            if node in needed
        )

    # The file -----------------------------------------------------------------------------------

    def lemmas(self) -> list[str]:
        """The lemmas, each citing earlier ones by number."""
        result = []
        for lemma, (left, right, steps) in enumerate(self.certificate.lemmas, 1):
            here, written = left, []
            for there, reason in steps:
                written.append(
                    self.step(there, reason) if reason else self._congruence(here, there)
                )
                here = there
            ends = f"{number(self.node(left))} {number(self.node(right))}"
            # Most lemmas are one congruence, which ends where the lemma does.
            if steps == ((right, None),):
                result.append(f"Congruent {ends} ({self._cited(left, right)})")
            else:
                result.append(f"Lemma_ {ends} ({_chain(written, 'Done')})")
            self.proved.setdefault((left, right), lemma)
        return result

    def _congruence(self, here: Term, there: Term) -> str:
        return f"Congruence {number(self.node(there))} ({self._cited(here, there)})"

    def _cited(self, here: Term, there: Term) -> str:
        """For each child, the lemma by which it changes."""
        cited = []
        for a, b in zip(here.children, there.children, strict=True):
            if SIGNATURE[a.op][1] != "Term":
                continue
            lemma = None if a is b else self.proved.get((a, b), self.proved.get((b, a)))
            cited.append("Same" if lemma is None else f"Cite {number(lemma)}")
        return _chain(cited, "NoMore")

    def context(self) -> str:
        """The context: a size that is not listed is at least 1."""
        context = self.certificate.context
        assumed = _list(map(self.index, context.assumptions))
        extents = _map(
            (self.name("axis", axis), self.index(extent))
            for axis, extent in sorted(context.axes.items())
        )
        lowers = _map(
            (self.name("size", name), f"{_integer(least)}%Z")
            for name, least in context.lower.items()
        )
        splits = _list(
            f"Split {self.name('axis', axis)} {self.name('axis', context.splits[axis].outer)} "
            f"{self.name('axis', context.splits[axis].inner)} "
            f"{str(context.splits[axis].masked).lower()}"
            for axis in _parents_first(context.splits)
        )
        inputs = _map(
            (self.name("input", name), INPUT_KINDS[kind]) for name, kind in context.inputs.items()
        )
        return f"Context {lowers} {assumed} {extents} {splits} {inputs}"

    def rows(self) -> tuple[list[str], list[str]]:
        """The nodes, and the operators that they name because more than one has them."""
        operators = {term: self.operator(term) for term in self.nodes}
        uses = Counter(text for text in operators.values() if " " in text)
        shared = [text for text, times in uses.items() if times > 1]
        names = {text: f"o{k}" for k, text in enumerate(shared, 1)}
        rows = []
        for term, text in operators.items():
            children = [number(self.nodes[c]) for c in term.children if c in self.nodes]
            operator = names.get(text, f"({text})" if " " in text else text)
            rows.append(" ".join([f"Row{len(children)}", operator, *children]))
        return rows, shared

    def definitions(self, name: str) -> str:
        """Coq definitions of the laws, and of its context, nodes, lemmas and goals."""
        return laws_text(name, self.own) + self.proof_text(name)

    def proof_text(self, name: str) -> str:
        """Coq definitions of its context, nodes, lemmas and goals."""
        context, lemmas = self.context(), self.lemmas()
        goals, given = (
            _list(f"({self.node(g.left)}, {self.node(g.right)})" for g in equations)
            for equations in (self.certificate.goals, self.certificate.hypotheses)
        )
        rows, operators = self.rows()
        named = "".join(f"Let o{k} : operator := {text}.\n" for k, text in enumerate(operators, 1))
        return f"""
Definition {name}_context : context :=
  {context}.
Section {name.capitalize()}.
{named}{_parts("row", "rows", rows, "End")}
Definition {name}_nodes : list row := nodes_of [{_names("row", rows)}].
{_parts("proof", "proofs", lemmas, "Qed_")}
Definition {name}_lemmas : list lemma := lemmas_of [{_names("proof", lemmas)}].
End {name.capitalize()}.
Definition {name}_goals : list goal := {goals}.
Definition {name}_hypotheses : list goal := {given}.
"""

    def legend(self) -> str:
        """What the numbers of names stand for."""
        return "\n".join(
            f"   {kind} {number}: {comment(name)}"
            for kind, known in self.names.items()
            for name, number in known.items()
        )


HEADER = """From Coq Require Import List BinPos BinInt QArith_base String.
From Ncd Require Import Monoids Sizes Contexts Wires Laws Conditions Checker Table Soundness
  Numbers Written.
Import ListNotations.
Local Open Scope string_scope.
Local Open Scope list_scope.
Local Open Scope Q_scope.
Local Open Scope Z_scope.
Local Open Scope positive_scope.
"""


def laws_text(name: str, own: Sequence[Law]) -> str:
    """The table of laws with the user's own."""
    extra = "; ".join(f"law_{law.identifier}" for law in own)
    defined = "".join(map(definition, own))
    return f"\n{defined}Definition {name}_laws : list law := table ++ [{extra}]."


def theorem(name: str, own: Sequence[Law] = (), supposes: bool = False) -> str:
    """That the goals are equal at all sizes, proved by running the checker in Coq's kernel.

    Laws of the user's own, which have no lemma, are premises of the theorem; what the certificate
    ``supposes`` of the inputs is one too, in each model.
    """
    premises = "".join(f"law_sound law_{law.identifier} -> " for law in own)
    if supposes:
        stated = (
            f"forall M, model_ok M {name}_context -> splits_ok {name}_context M ->\n"
            f"  Forall (holds_in {name}_context {name}_nodes M) {name}_hypotheses ->\n"
            f"  Forall (holds_in {name}_context {name}_nodes M) {name}_goals"
        )
        applied, rest = (
            f"check_sound {name}_laws _ _ {name}_hypotheses {name}_lemmas",
            "\n  all: assumption.",
        )
    else:
        stated = f"""Forall (fun g => equal {name}_context
  (term_at {name}_context {name}_nodes (fst g))
  (term_at {name}_context {name}_nodes (snd g))) {name}_goals"""
        applied, rest = f"check_sound_outright {name}_laws _ _ {name}_lemmas", ""
    return f"""
Theorem {name} : {premises}{stated}.
Proof.
  intros. apply ({applied}).
  1: apply Forall_app; split; [exact table_sound | repeat (constructor; try assumption)].
  1: vm_cast_no_check (eq_refl true).{rest}
Qed.
"""


def comment(text: str) -> str:
    """A name that cannot end the comment it stands in."""
    return text.replace("(*", "( *").replace("*)", "* )").replace('"', "'")


def _integer(value: int) -> str:
    return f"{value}" if value >= 0 else f"({value})"


def _list(items: Iterable[str]) -> str:
    return f"[{'; '.join(items)}]"


def _chain(items: Sequence[str], end: str) -> str:
    """Constructors that take the rest as their last argument."""
    return "".join(f"{item} (" for item in items[:-1]) + (
        f"{items[-1]} {end}" + ")" * (len(items) - 1) if items else end
    )


def _ids(items: Sequence[str]) -> str:
    return f"({_chain([f'Cons {item}' for item in items], 'Nil')})"


_PART = 100
"""How many rows stand in one definition: Coq reads what is nested by recursion."""


def _parts(name: str, sort: str, items: Sequence[str], end: str) -> str:
    return "".join(
        f"Let {name}s{start // _PART} : {sort} :=\n  "
        + " (\n  ".join((*items[start : start + _PART], end))
        + ")" * len(items[start : start + _PART])
        + ".\n"
        for start in range(0, len(items), _PART)
    ).rstrip("\n")


def _names(name: str, items: Sequence[str]) -> str:
    return "; ".join(f"{name}s{start // _PART}" for start in range(0, len(items), _PART))


_NAMED = 4096


def number(value: int) -> str:
    """A number by its name: Coq reads names much faster than numerals."""
    far, near = divmod(value - 1, _NAMED)
    return f"p{near + 1}" if not far else f"(far p{far} p{near + 1})"


def numbers_text() -> str:
    """``Numbers.v``: names of the numbers up to 4096."""
    names = "\n".join(f"Definition p{k} := {k}." for k in range(1, _NAMED + 1))
    return (
        "From Coq Require Import PArith.\nLocal Open Scope positive_scope.\n"
        f"{names}\n(* {_NAMED}·k + n *)\n"
        f"Definition far (k n : positive) : positive := {_NAMED} * k + n.\n"
    )


def _map(items: Iterable[tuple[int, str]]) -> str:
    return f"(map_of {_list(f'({key}, {value})' for key, value in items)})"


def _parents_first(splits: Mapping[str, Split]) -> list[str]:
    """Split axes, each before those that are parts of it."""
    parts = {part for split in splits.values() for part in (split.outer, split.inner)}
    order = [axis for axis in splits if axis not in parts]
    for axis in order:
        order += [part for part in (splits[axis].outer, splits[axis].inner) if part in splits]
    return order


def export(certificate: Certificate, name: str = "certificate") -> str:
    """The Coq file of a certificate.

    Errors: InputError where it rests on an unproved law about a function known by its name.
    """
    made = Export(certificate)
    definitions = made.definitions(name)
    stated = theorem(name, made.own, bool(certificate.hypotheses))
    return f"(* A certificate of ncd_formal.\n\n{made.legend()} *)\n\n{HEADER}{definitions}{stated}"
