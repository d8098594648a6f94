"""The laws as Coq data, from the rule texts.

``python -m ncd_formal.coq.table`` writes ``proofs/Table.v``, the laws to which ``proofs/Laws.v``
gives a meaning, and ``proofs/Soundness.v``, which collects their hand-written lemmas
``sound_<name>``.  What a text computes (a sum of numbers, a renamed body) becomes a variable of its
own and a condition that says what it is: a checker compares terms and trusts no computation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

from ncd_formal.errors import InputError
from ncd_formal.rules import Expression, Rule, Symbol, rules_folder, table
from ncd_formal.wires import SIGNATURE

_FACTS = {
    "real", "positive", "nonzero", "boolean", "defined", "no-infinity", "positive-or-undefined",
    "nonzero-or-undefined", "nonnegative-or-undefined",
}  # fmt: skip

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "independent": ("axis", "term"),
    "disjoint": ("axis", "axis"),
    "nonempty": ("axis",),
    "unsplit": ("axis",),
    "regroups": ("monoid",),
    "split": ("axis", "axis", "axis"),
    "split-masked": ("axis", "axis", "axis"),
    "same-axis": ("axis", "axis"),
    "associates": ("term",) * 3,
    "distributes": ("term",) * 3,
    "scales": ("term",) * 2,
    "in-range": ("index",),
    "holds-at": ("term", "axis", "index"),
    "fails-at": ("term", "axis", "index"),
    "Reduce": ("monoid", "axis", "term"),
    "Both": ("monoid", "monoid"),
    "Index": ("index",),
    "Predicate": ("index",),
    "Constant": ("number",),
    "plus": ("index", "index"),
    "minus": ("index", "index"),
    "times": ("index", "index"),
    "minus-one-minus": ("index",),
    "number": ("index",),
    "extent": ("axis",),
    "inside": ("axis",),
    "position": ("axis",),
    "rename": ("term", "axis", "axis"),
    "at": ("term", "axis", "index"),
    "reverse": ("term", "axis"),
    "unroll": ("monoid", "axis", "term"),
    "given": ("term", "index", "number"),
    "root": ("number",),
    **dict.fromkeys((">", "!=", "+", "*", "/", "max", "bigrat"), ("number", "number")),
    "bigint": ("number",),
    **dict.fromkeys(_FACTS, ("term",)),
}
"""Operation → what its arguments are; any other operator takes terms."""

DEFINED: Mapping[str, str] = {"tanh": "Tanh", "erf": "Erf", "sin": "Sin", "cos": "Cos"}
"""The functions that Coq knows by their definition, with their operators there."""

COLUMNS = ("term", "axis", "index", "number", "monoid")
"""What the variables of a law range over, in the order of Coq's ``valuation``."""


@dataclass
class Law:
    """A law in Coq: its text, and the variables with what each stands for."""

    name: str
    left: str = ""
    right: str = ""
    conditions: list[str] = field(default_factory=list)
    variables: dict[str, list[Expression]] = field(
        default_factory=lambda: {column: [] for column in COLUMNS}
    )
    """For each column, the expression of every variable: a variable of the text, or computed."""
    slots: list[tuple[str, int]] = field(default_factory=list)
    """The computed terms, each ``(operation, its variable)``: a checker is shown why."""

    @property
    def identifier(self) -> str:
        """The law's name as Coq spells it."""
        return self.name.replace("-", "_")


def name_of(fact: str) -> str:
    """The Coq name of a fact."""
    return fact.replace("-", "_") + "_fact"


class _Translation:
    def __init__(self, rule: Rule) -> None:
        self.law = Law(rule.name)
        self.columns: dict[str, str] = {}
        for side in (rule.left, rule.right, *rule.conditions):
            self._sort(side, "term")
        for variable in rule.variables:
            self.law.variables[self.columns[variable]].append(Symbol(variable))
        self.law.left = self.pattern(rule.left)
        self.law.right = self.pattern(rule.right)
        stated = [self.condition(c) for c in rule.conditions]
        scores = self._scores(rule.left) + self._scores(rule.right)
        self.law.conditions = list(dict.fromkeys((*stated, *scores, *self.law.conditions)))

    def _sort(self, expression: Expression, column: str) -> None:
        if isinstance(expression, Symbol):
            known = self.columns.setdefault(str(expression), column)
            assert known == column, f"{self.law.name}: {expression} is {known} and {column}"
        elif isinstance(expression, tuple):
            operator, *arguments = expression
            columns = _ARGUMENTS.get(str(operator), ("term",) * len(arguments))
            for argument, own in zip(arguments, columns, strict=True):
                self._sort(argument, own)

    def number(self, column: str, expression: Expression) -> int:
        """The variable of an expression, made if it is new."""
        known = self.law.variables[column]
        if expression not in known:
            known.append(expression)
        return known.index(expression)

    def pattern(self, expression: Expression) -> str:
        if isinstance(expression, Symbol):
            return f"Var {self.number('term', expression)}"
        assert isinstance(expression, tuple)
        operator, *arguments = expression
        if operator in {"rename", "at", "reverse", "unroll", "given"}:
            return f"Var {self.computed(expression)}"
        if operator == "Constant":
            value = _literal(arguments[0])
            if value is not None:
                return f"Op (Plain (Constant {rational(value)})) []"
            return f"Op (AnyConstant {self.computed_number(arguments[0])}) []"
        if operator in {"Index", "Predicate"}:
            return f"Op (Any{operator} {self.computed_index(arguments[0])}) []"
        if operator == "Reduce":
            monoid, axis, body = arguments
            head = f"AnyReduce {self.monoid(monoid)} {self.number('axis', axis)}"
            return f"Op ({head}) [{self.pattern(body)}]"
        if operator == "Function" and arguments[0] in DEFINED:
            return f"Op (Plain {DEFINED[str(arguments[0])]}) [{self.pattern(arguments[1])}]"
        if operator == "Function":
            # In Coq it may be any function: the law would be false there, and a premise empty.
            raise InputError(
                f"law {self.law.name} is about {arguments[0]}, which Coq knows by its name only"
            )
        assert operator in SIGNATURE, operator
        return f"Op (Plain {operator}) [{'; '.join(map(self.pattern, arguments))}]"

    def monoid(self, expression: Expression) -> str:
        if isinstance(expression, Symbol):
            return f"(MonoidVar {self.number('monoid', expression)})"
        assert isinstance(expression, tuple)
        if expression[0] == "Both":
            return f"(MonoidBoth {self.monoid(expression[1])} {self.monoid(expression[2])})"
        return f"(MonoidIs {expression[0]})"

    def computed(self, expression: tuple[Expression, ...]) -> int:
        """The variable of a computed term, with the condition that says what it is."""
        operator, *arguments = expression
        made = self.number("term", expression)
        slot = len(self.law.slots)
        self.law.slots.append((str(operator), made))
        if operator == "unroll":
            monoid, axis, body = arguments
            text = (
                f"Unrolled {self.number('monoid', monoid)} {self.number('axis', axis)} {made} "
                f"{self.number('term', body)}"
            )
        elif operator == "given":
            body, p, value = arguments
            holds = "true" if _literal(value) else "false"
            text = (
                f"GivenThat {slot} {made} {self.number('term', body)} "
                f"{self.number('index', p)} {holds}"
            )
        else:
            body, axis = arguments[:2]
            x = self.number("axis", axis)
            to = f"IMinus (IMinus (IExtent {x}) (ILit 1)) (IAxis {x})"
            if operator == "rename":
                to = f"IAxis {self.number('axis', arguments[2])}"
            elif operator == "at":
                to = f"IVar {self.number('index', arguments[2])}"
            text = f"Substituted {slot} {made} {self.number('term', body)} {x} ({to})"
        self.law.conditions.append(text)
        return made

    def computed_number(self, expression: Expression) -> int:
        if isinstance(expression, Symbol):
            return self.number("number", expression)
        assert isinstance(expression, tuple)
        made = self.number("number", expression)
        if expression[0] == "number":
            text = f"NumberIsIndex {made} {self.computed_index(expression[1])}"
        elif expression[0] == "root":
            text = f"RootIs {self.computed_number(expression[1])} {made}"
        else:
            text = f"NumberIs (NVar {made}) ({self.arithmetic(expression)})"
        self.law.conditions.append(text)
        return made

    def arithmetic(self, expression: Expression) -> str:
        value = _literal(expression)
        if value is not None:
            return f"NLit {rational(value)}"
        if isinstance(expression, Symbol):
            return f"NVar {self.number('number', expression)}"
        assert isinstance(expression, tuple)
        operator, a, b = expression
        if operator == "/":
            inverse = f"NInverse ({self.arithmetic(b)})"
            return inverse if _literal(a) == 1 else f"NTimes ({self.arithmetic(a)}) ({inverse})"
        name = {"+": "NPlus", "*": "NTimes", "max": "NMax"}[str(operator)]
        return f"{name} ({self.arithmetic(a)}) ({self.arithmetic(b)})"

    def computed_index(self, expression: Expression) -> int:
        if isinstance(expression, Symbol):
            return self.number("index", expression)
        made = self.number("index", expression)
        self.law.conditions.append(f"IndexIs {made} ({self.index(expression)})")
        return made

    def index(self, expression: Expression) -> str:
        if isinstance(expression, Symbol):
            return f"IVar {self.number('index', expression)}"
        if isinstance(expression, str):
            return f"ILit ({int(expression)})"
        assert isinstance(expression, tuple)
        operator, *arguments = expression
        if operator in {"plus", "minus", "times"}:
            a, b = map(self.index, arguments)
            return f"I{str(operator).capitalize()} ({a}) ({b})"
        if operator == "minus-one-minus":
            return f"IMinus (ILit (-1)) ({self.index(arguments[0])})"
        x = self.number("axis", arguments[0])
        if operator in {"extent", "position"}:
            return f"{'IExtent' if operator == 'extent' else 'IAxis'} {x}"
        assert operator == "inside", operator
        return f"IMinus (IMinus (IExtent {x}) (ILit 1)) (IAxis {x})"

    def condition(self, condition: tuple[Expression, ...]) -> str:
        name, *arguments = condition
        if name in {">", "!="}:
            a, b = (f"({self.arithmetic(argument)})" for argument in arguments)
            return f"NumberLess {b} {a}" if name == ">" else f"NumberIsNot {a} {b}"
        if name == "in-range":
            return f"InRange ({self.index(arguments[0])})"
        numbers = [
            self.number(column, argument)
            for column, argument in zip(_ARGUMENTS[str(name)], arguments, strict=True)
        ]
        if name in _FACTS:
            return f"Known {name_of(str(name))} {numbers[0]}"
        if name in {"distributes", "scales"}:
            return f"Distributes {numbers[0]} [{'; '.join(map(str, numbers[1:]))}]"
        heads = {
            "split": "SplitInto false",
            "split-masked": "SplitInto true",
            "same-axis": "SameAxis",
            "holds-at": "Witness true",
            "fails-at": "Witness false",
        }
        return " ".join([heads.get(str(name), str(name).capitalize()), *map(str, numbers)])

    def _scores(self, expression: Expression) -> list[str]:
        """A score of a rescaled sum is a number, not a pair: the monoid's own typing."""
        if not isinstance(expression, tuple):
            return []
        found = [text for part in expression[1:] for text in self._scores(part)]
        if expression[0] == "Reduce" and expression[1] == (Symbol("RescaledSum"),):
            body = expression[3]
            if isinstance(body, tuple) and body[0] == "Tuple" and isinstance(body[1], Symbol):
                found.append(f"IsNumber {self.number('term', body[1])}")
        return found


def _literal(expression: Expression) -> Fraction | None:
    """The value of a literal rational."""
    if isinstance(expression, Fraction):
        return expression
    if isinstance(expression, tuple) and expression[0] == "bigrat":
        a, b = (_literal(part) for part in expression[1:])
        return None if a is None or b is None else a / b
    if isinstance(expression, tuple) and expression[0] == "bigint":
        return _literal(expression[1])
    return None


def rational(value: Fraction) -> str:
    """A rational as Coq writes it."""
    return f"({value.numerator} # {value.denominator})"


def translate(rule: Rule) -> Law:
    """A law in Coq.

    Errors: InputError for a law about a function that is known by its name.
    """
    return _Translation(rule).law


@cache
def laws() -> Mapping[str, Law]:
    """Every law of wires in Coq, by name, in the order of Coq's table."""
    return {name: translate(rule) for name, rule in table().items()}


def definition(law: Law) -> str:
    """A law as a Coq definition."""
    conditions = f"[{'; '.join(law.conditions)}]{'%nat' if law.conditions else ''}"
    return (
        f'Definition law_{law.identifier} := Law "{law.name}"\n'
        f"  ({law.left})\n  ({law.right})\n  {conditions}.\n"
    )


def table_text() -> str:
    """``proofs/Table.v``."""
    parts = [
        "(* The laws of `rules/*.egg`, written by `python -m ncd_formal.coq.table`. *)\n",
        "From Coq Require Import List String QArith ZArith.",
        "From Ncd Require Import Monoids Wires Facts Laws.",
        "Import ListNotations.",
        "Local Open Scope string_scope.",
        "Local Open Scope Q_scope.\n",
    ]
    parts += map(definition, laws().values())
    names = ";\n  ".join(f"law_{law.identifier}" for law in laws().values())
    parts.append(f"Definition table : list law := [\n  {names}].\n")
    return "\n".join(parts)


LEMMAS = ("ArithmeticLaws", "FunctionLaws", "ReductionLaws", "RescaledLaws")
"""The Coq files that hold the lemmas of the laws."""


def soundness_text() -> str:
    """``proofs/Soundness.v``: the lemmas of all laws as one theorem."""
    lemmas = "\n".join(
        f"  apply Forall_cons; [exact sound_{law.identifier}|]." for law in laws().values()
    )
    return f"""(* Every law of the table is sound; written by `python -m ncd_formal.coq.table`. *)

From Coq Require Import List.
From Ncd Require Import Laws Table {" ".join(LEMMAS)}.

Theorem table_sound : Forall law_sound table.
Proof.
{lemmas}
  apply Forall_nil.
Qed.
"""


@cache
def proofs_folder() -> Path:
    """Where the Coq theory is: beside the rule texts."""
    return rules_folder().parent / "proofs"


def main() -> None:
    """Write the generated files."""
    proofs = proofs_folder()
    (proofs / "Table.v").write_text(table_text(), encoding="utf-8")
    (proofs / "Soundness.v").write_text(soundness_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
