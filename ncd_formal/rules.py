"""The laws, read from ``rules/*.egg``.

A law is written once, as a named ``rewrite`` or ``birewrite`` in egglog's own language; a
``birewrite`` is one law with two directions.  This module reads the texts without egglog, so that
the certificate checker depends on nothing; a test holds this reading to egglog's own.

A side of a law is a pattern: a variable, a literal, an operator of ``wires.SIGNATURE`` with
patterns, or a *computed* operation on numbers, sizes or terms (``COMPUTED``).  A condition is a
fact about a variable (``facts.NAMED``) or one of ``CONDITIONS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Union

from ncd_formal.conditions import Context
from ncd_formal.errors import InputError
from ncd_formal.facts import NAMED, Facts
from ncd_formal.sizes import Polynomial, divide, size
from ncd_formal.wires import (
    FUNCTIONS,
    SIGNATURE,
    Argument,
    Term,
    is_axis,
    replacements,
    substitute,
    subterms,
    term,
)


class Symbol(str):
    """A bare name in a rule text, as against a string literal."""

    __slots__ = ()


Expression = Union[Symbol, str, Fraction, tuple["Expression", ...]]
Substitution = Mapping[str, Argument]

_TOKENS = re.compile(r';[^\n]*|"([^"]*)"|([()])|([^\s()";]+)|(")')
_NUMBER = re.compile(r"-?\d+(/\d+)?$")


def read_expressions(text: str) -> Iterator[Expression]:
    """The S-expressions of a text; ``;`` starts a comment.

    Errors: InputError where parentheses do not match.
    """
    stack: list[list[Expression]] = [[]]
    for match in _TOKENS.finditer(text):
        string, parenthesis, word, quote = match.groups()
        if quote:
            raise InputError("a text in quotes does not end")
        if parenthesis == "(":
            stack.append([])
        elif parenthesis == ")":
            if len(stack) == 1:
                raise InputError("a parenthesis is closed that was not opened")
            done = tuple(stack.pop())
            stack[-1].append(done)
        elif string is not None:
            stack[-1].append(string)
        elif word is not None:
            stack[-1].append(Fraction(word) if _NUMBER.match(word) else Symbol(word))
    if len(stack) != 1:
        raise InputError("a parenthesis is not closed")
    yield from stack[0]


@dataclass(frozen=True)
class Rule:
    """A law: ``left = right`` wherever the conditions hold."""

    name: str
    left: Expression
    right: Expression
    conditions: tuple[tuple[Expression, ...], ...]
    ruleset: str
    both_ways: bool
    comment: str

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables in the order in which they occur."""
        found = dict.fromkeys(_variables(self.left))
        for condition in self.conditions:
            found.update(dict.fromkeys(_variables(condition)))
        found.update(dict.fromkeys(_variables(self.right)))
        return tuple(found)

    @cached_property
    def sorts(self) -> Mapping[str, str]:
        """Variable → Term, Monoid, String or BigRat.

        Errors: InputError where something is of another sort than its place asks for.
        """
        found: dict[str, str] = {}

        def visit(expression: Expression, sort: str) -> None:
            own = sort
            if isinstance(expression, Symbol):
                own = found.setdefault(str(expression), sort)
            elif isinstance(expression, str):
                own = "String"
            elif isinstance(expression, Fraction):
                own = "Literal"
            else:
                operator = str(expression[0])
                sorts, own = SIGNATURE.get(operator) or _SORTS[operator]
                if len(sorts) != len(expression) - 1:
                    raise InputError(f"law {self.name}: {operator} takes {len(sorts)} arguments")
                for part, wanted in zip(expression[1:], sorts, strict=True):
                    visit(part, wanted)
            if own != sort:
                raise InputError(f"law {self.name}: {show(expression)} is {own}, and not {sort}")

        visit(self.left, "Term")
        visit(self.right, "Term")
        for condition in self.conditions:
            visit(condition, "Condition")
        return found

    def __str__(self) -> str:
        arrow = "=" if self.both_ways else "→"
        when = "".join(f" [{show(c)}]" for c in self.conditions)
        return f"{self.name}: {show(self.left)} {arrow} {show(self.right)}{when}"


def show(expression: Expression) -> str:
    """An expression as it is written in a rule text."""
    if isinstance(expression, tuple):
        return f"({' '.join(map(show, expression))})"
    if isinstance(expression, (Symbol, Fraction)):
        return str(expression)
    return f'"{expression}"'


def _variables(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Symbol):
        yield str(expression)
    elif isinstance(expression, tuple):
        for part in expression[1:]:
            yield from _variables(part)


def read_rules(text: str) -> tuple[Rule, ...]:
    """The laws of one rule text.

    Errors: InputError for a command that is no law, a law without a name, or an unknown operator.
    """
    comments = _comments(text)
    rules: list[Rule] = []
    for command in read_expressions(text):
        if not isinstance(command, tuple) or command[:1] not in _COMMANDS:
            raise InputError(f"a rule text holds rewrites only, not {show(command)[:60]}")
        if command[0] == "ruleset":
            continue
        if len(command) < 3 or len(command) % 2 == 0:
            raise InputError(f"a law has two sides and options: {show(command)[:60]}")
        head, left, right, *options = command
        settings = dict(zip(map(str, options[::2]), options[1::2], strict=True))
        # An option that is not understood may be a guard: nothing is passed over.
        if len(settings) * 2 != len(options) or not settings.keys() <= _OPTIONS:
            raise InputError(f"a law has {', '.join(sorted(_OPTIONS))}, once: {show(command)[:60]}")
        name, when = settings.get(":name"), settings.get(":when", ())
        if not isinstance(name, str) or isinstance(name, Symbol):
            raise InputError(f"a law needs a :name in quotes: {show(command)[:60]}")
        conditions = (
            tuple(c for c in when if isinstance(c, tuple)) if isinstance(when, tuple) else ()
        )
        if not isinstance(when, tuple) or len(conditions) != len(when):
            raise InputError(f"law {name}: :when holds a list of conditions, not {show(when)[:60]}")
        rule = Rule(
            name,
            left,
            right,
            conditions,
            str(settings.get(":ruleset", "")),
            head == "birewrite",
            comments.get(name, ""),
        )
        for side in (left, right):
            _check_operators(rule, side)
        for condition in rule.conditions:
            if not condition or condition[0] not in CONDITIONS.keys() | NAMED.keys():
                raise InputError(f"law {name}: unknown condition {show(condition)}")
            for part in condition[1:]:
                _check_operators(rule, part)
        rules.append(rule)
    return tuple(rules)


_COMMANDS = (("rewrite",), ("birewrite",), ("ruleset",))
_OPTIONS = {":name", ":when", ":ruleset"}


def _comments(text: str) -> dict[str, str]:
    """Name → the comment lines just above the law."""
    found: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(";"):
            lines.append(line.lstrip("; "))
        elif not line.strip():
            lines = []
        elif match := re.search(r':name "([^"]+)"', line):
            found[match.group(1)] = " ".join(lines)
            lines = []
    return found


def _check_operators(rule: Rule, side: Expression) -> None:
    if isinstance(side, tuple):
        operator, *arguments = side or ("",)
        if operator not in SIGNATURE and operator not in COMPUTED:
            raise InputError(f"law {rule.name}: unknown operator {show(side)[:60]}")
        for argument in arguments:
            _check_operators(rule, argument)


@cache
def rules_folder() -> Path:
    """Where the rule texts are: beside the package's sources, or inside the installed package."""
    packaged = Path(str(files("ncd_formal"))) / "rules"
    return packaged if packaged.is_dir() else Path(str(files("ncd_formal"))).parent / "rules"


@cache
def table() -> Mapping[str, Rule]:
    """Every law of wires, by name.

    Errors: InputError where two laws share a name.
    """
    found: dict[str, Rule] = {}
    for path in sorted(rules_folder().glob("*.egg")):
        if path.name == "monoidal.egg":  # laws of morphisms, which hold by evaluation
            continue
        for rule in read_rules(path.read_text(encoding="utf-8")):
            if rule.name in found:
                raise InputError(f"two laws are named {rule.name}")
            found[rule.name] = rule
    return found


def read_own_rules(text: str) -> tuple[Rule, ...]:
    """The laws of a user, which nobody has proved: every verdict that rests on one names it.

    Errors: InputError for a text that cannot be read, a law that has the name of a proved one, or
    one that computes with terms.
    """
    rules: list[Rule] = []
    try:
        read = read_rules(text)
    except RecursionError:
        raise InputError("a law is nested too deeply") from None
    for rule in read:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", rule.name):
            raise InputError(f"law {rule.name!r}: a name is made of a-z, 0-9 and dashes")
        if rule.name in table() or any(rule.name == other.name for other in rules):
            raise InputError(f"there is a law named {rule.name} already")
        used = list(_applications(rule))
        if (_OF_TERMS | {"Input", "Opaque"}) & {str(operator) for operator, *_ in used}:
            raise InputError(f"law {rule.name}: only built-in laws compute with terms and sizes")
        for operator, *arguments in used:
            name = arguments[0] if operator == "Function" else "sin"
            if isinstance(name, Symbol) or name not in FUNCTIONS:
                raise InputError(f"law {rule.name}: no function is named {show(name)}")
        if missing := set(rule.variables) - set(_variables(rule.left)):
            raise InputError(f"law {rule.name}: its left side lacks {', '.join(sorted(missing))}")
        if rule.both_ways and set(_variables(rule.left)) != set(_variables(rule.right)):
            raise InputError(f"law {rule.name}: a birewrite has the same variables on both sides")
        if isinstance(rule.left, Symbol):
            raise InputError(
                f"law {rule.name}: its left side is a variable, which matches anything"
            )
        _ = rule.sorts
        rules.append(replace(rule, ruleset=OWN, comment=""))
    return tuple(rules)


OWN = "own"
"""The ruleset of a user's laws."""


def rule_text(rule: Rule) -> str:
    """A law as it is written in a rule text."""
    head = "birewrite" if rule.both_ways else "rewrite"
    when = f" :when ({' '.join(map(show, rule.conditions))})" if rule.conditions else ""
    return (
        f"({head} {show(rule.left)} {show(rule.right)}{when}"
        f' :ruleset {rule.ruleset} :name "{rule.name}")'
    )


def _applications(rule: Rule) -> Iterator[tuple[Expression, ...]]:
    """Every operator of a law with its arguments."""
    stack: list[Expression] = [rule.left, rule.right, *rule.conditions]
    while stack:
        expression = stack.pop()
        if isinstance(expression, tuple):
            yield expression
            stack.extend(expression[1:])


# Instances ----------------------------------------------------------------------------------


class Judge:
    """Instantiates laws and decides their conditions, in one context."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.facts = Facts(context)

    def instantiate(self, pattern: Expression, values: Substitution) -> Argument:
        """A side of a law at the values of its variables.

        Errors: KeyError for a variable without a value, ValueError or TypeError where a computed
        operation does not apply.
        """
        if isinstance(pattern, Symbol):
            return values[pattern]
        if not isinstance(pattern, tuple):
            return pattern
        operator, *rest = pattern
        arguments = [self.instantiate(part, values) for part in rest]
        if operator in SIGNATURE:
            return term(str(operator), *arguments)
        return COMPUTED[str(operator)](self.context, *arguments)

    def holds(self, rule: Rule, values: Substitution) -> bool:
        """Whether every condition of the law is shown at these values."""
        return all(self._condition(rule, condition, values) for condition in rule.conditions)

    def _condition(
        self, rule: Rule, condition: tuple[Expression, ...], values: Substitution
    ) -> bool:
        name = str(condition[0])
        arguments = [self.instantiate(part, values) for part in condition[1:]]
        if name in NAMED:
            (subject,) = arguments
            return isinstance(subject, Term) and self.facts.holds(name, subject)
        return CONDITIONS[name](self, *arguments)

    def sides(self, rule: Rule, values: Substitution) -> tuple[Term, Term]:
        """Both sides of an instance."""
        left = self.instantiate(rule.left, values)
        right = self.instantiate(rule.right, values)
        if not (isinstance(left, Term) and isinstance(right, Term)):
            raise TypeError(f"law {rule.name} is about terms")
        return left, right


# Conditions ---------------------------------------------------------------------------------


def _leaves(judge: Judge, names: Sequence[str] | frozenset[str]) -> set[str]:
    return {leaf for name in names for leaf in judge.context.leaves(name)}


def _independent(judge: Judge, axis: Argument, subject: Argument) -> bool:
    assert isinstance(axis, str) and isinstance(subject, Term)
    return _leaves(judge, [axis]).isdisjoint(_leaves(judge, subject.axes))


def _disjoint(judge: Judge, a: Argument, b: Argument) -> bool:
    return _leaves(judge, [str(a)]).isdisjoint(_leaves(judge, [str(b)]))


def _regroups(judge: Judge, monoid: Argument) -> bool:
    """Folds may be grouped and ordered in any way; not products: (−∞·−1)·−1 is undefined."""
    assert isinstance(monoid, Term)
    return all(part.op != "Product" for part in subterms(monoid))


def _nonempty(judge: Judge, axis: Argument) -> bool:
    return judge.context.nonempty(str(axis))


def _split(judge: Judge, axis: Argument, outer: Argument, inner: Argument) -> bool:
    split = judge.context.splits.get(str(axis))
    if split is None or split.masked or (split.outer, split.inner) != (outer, inner):
        return False
    axes = judge.context.axes
    return axes[str(axis)] is axes[split.outer] * axes[split.inner]


def _split_masked(judge: Judge, axis: Argument, outer: Argument, inner: Argument) -> bool:
    split = judge.context.splits.get(str(axis))
    if split is None or not split.masked or (split.outer, split.inner) != (outer, inner):
        return False
    axes = judge.context.axes
    reach = axes[split.outer] * axes[split.inner]
    return judge.context.nonnegative(reach - axes[str(axis)])


def _same_axis(judge: Judge, a: Argument, b: Argument) -> bool:
    """Two axes of the same size, no part of a split: one may be renamed to the other."""
    axes, splits = judge.context.axes, judge.context.splits
    parts = {part for split in splits.values() for part in (split.outer, split.inner)}
    whole = not {a, b} & (splits.keys() | parts)
    return whole and axes.get(str(a)) is axes.get(str(b)) is not None


def _associates(judge: Judge, *factors: Argument) -> bool:
    """Products of these regroup: no −∞ among them, or at most one that is not positive."""
    facts = [judge.facts(f) for f in factors if isinstance(f, Term)]
    if all(not f & ~NAMED["no-infinity"] for f in facts):
        return True
    return sum(bool(f & ~NAMED["positive-or-undefined"]) for f in facts) <= 1


def _distributes(judge: Judge, factor: Argument, *summands: Argument) -> bool:
    """A factor moves in and out of a sum: it is positive, or there is no −∞."""
    assert isinstance(factor, Term)
    if judge.facts.holds("positive-or-undefined", factor):
        return True
    return all(
        isinstance(t, Term) and judge.facts.holds("no-infinity", t) for t in (factor, *summands)
    )


def _range(judge: Judge, p: Argument) -> bool:
    return judge.context.nonnegative(size(str(p)))


def _truth_at(truth: bool) -> Callable[..., bool]:
    def decide(judge: Judge, subject: Argument, axis: Argument, at: Argument) -> bool:
        assert isinstance(subject, Term)
        context, w = judge.context, size(str(at))
        extent = context.axes[str(axis)]
        inside = context.nonnegative(w) and context.nonnegative(extent - 1 - w)
        # An index that the law does not speak of must exist.
        spoken = subject.axes - {str(axis)}
        exists = all(v in spoken or context.nonempty(v) for v in w.variables if is_axis(v))
        if not inside or not exists or not context.stands_alone(str(axis)):
            return False
        try:
            there = substitute(subject, {str(axis): w})
        except ValueError:  # an axis of w is bound inside
            return False
        return _known_truth(judge, there) is truth

    return decide


def _known_truth(judge: Judge, subject: Term) -> bool | None:
    """Whether a truth value is shown to be 1 or 0; None where it is not."""
    if subject.op == "Constant":
        return subject.args[0] != 0
    if subject.op == "Predicate":
        p = size(str(subject.args[0]))
        if judge.context.nonnegative(p):
            return True
        return False if judge.context.nonnegative(-1 - p) else None
    parts = [_known_truth(judge, child) for child in subject.children]
    if subject.op == "Not":
        return None if parts[0] is None else not parts[0]
    if subject.op in {"Mul", "And"}:
        # As in Coq, where one part that is not known may be no truth value.
        return None if None in parts else all(parts)
    return None


CONDITIONS: Mapping[str, Callable[..., bool]] = {
    "independent": _independent,
    "disjoint": _disjoint,
    "nonempty": _nonempty,
    "unsplit": lambda judge, axis: judge.context.stands_alone(str(axis)),
    "regroups": _regroups,
    "split": _split,
    "split-masked": _split_masked,
    "same-axis": _same_axis,
    "associates": _associates,
    "distributes": _distributes,
    "scales": _distributes,
    "in-range": _range,
    "holds-at": _truth_at(True),
    "fails-at": _truth_at(False),
    ">": lambda judge, a, b: a > b,
    "!=": lambda judge, a, b: a is not b and a != b,
}


# Computed operations ------------------------------------------------------------------------


def _polynomials(
    operation: Callable[[Polynomial, Polynomial], Polynomial],
) -> Callable[..., Argument]:
    return lambda context, p, q: str(operation(size(str(p)), size(str(q))))


def _exact(context: Context, p: Argument, q: Argument) -> Argument:
    share = divide(size(str(p)), size(str(q)))
    if share is None:
        raise ValueError(f"{q} does not divide {p}")
    return str(share)


def _renamed(context: Context, subject: Argument, old: Argument, new: Argument) -> Argument:
    assert isinstance(subject, Term)
    return substitute(subject, {str(old): size(str(new))})


def _at(context: Context, subject: Argument, axis: Argument, index: Argument) -> Argument:
    assert isinstance(subject, Term)
    return substitute(subject, {str(axis): size(str(index))})


def _reversed(context: Context, subject: Argument, axis: Argument) -> Argument:
    assert isinstance(subject, Term)
    return substitute(subject, {str(axis): context.axes[str(axis)] - 1 - size(str(axis))})


_UNROLL_LIMIT = 8


def _unrolled(context: Context, monoid: Argument, axis: Argument, subject: Argument) -> Argument:
    assert isinstance(subject, Term) and isinstance(monoid, Term)
    extent = context.axes[str(axis)].constant
    alone = context.stands_alone(str(axis))
    if extent is None or not 1 <= extent <= _UNROLL_LIMIT or not alone:
        raise ValueError(f"{axis} has no small number of indices")
    operation = {"Sum": "Add", "Product": "Mul", "Max": "Maximum", "Min": "Minimum"}[monoid.op]
    # From the left, as the fold goes: products do not regroup where −∞ is among them.
    result = substitute(subject, {str(axis): size(0)})
    for i in range(1, extent):
        result = term(operation, result, substitute(subject, {str(axis): size(i)}))
    return result


def given(context: Context, subject: Term, p: str, holds: bool) -> dict[Term, Term]:
    """What becomes of every subterm where it is known whether ``p ≥ 0``.

    Errors: ValueError where p is about an axis that is split.
    """
    if not all(context.stands_alone(v) for v in size(p).variables if is_axis(v)):
        raise ValueError(f"{p} is about an axis that is split")
    known = replacements(subject, term("Predicate", p), term("Constant", Fraction(holds)))
    opposite = term("Predicate", str(-1 - size(p)))
    both = replacements(known[subject], opposite, term("Constant", Fraction(not holds)))
    return {node: both.get(image, image) for node, image in known.items()}


def _given(context: Context, subject: Argument, p: Argument, holds: Argument) -> Argument:
    assert isinstance(subject, Term) and isinstance(holds, Fraction)
    return given(context, subject, str(p), holds == 1)[subject]


def _whole(context: Context, p: Argument) -> Argument:
    value = size(str(p)).constant
    if value is None:
        raise ValueError(f"{p} is not a number")
    return Fraction(value)


def _position(context: Context, axis: Argument) -> Argument:
    """The index of an axis, as an expression."""
    if not is_axis(str(axis)):
        raise ValueError(f"{axis} is not an axis")
    return str(axis)


def _inside(context: Context, axis: Argument) -> Argument:
    """The polynomial that is non-negative where a masked axis has not run past its end."""
    if not is_axis(str(axis)):
        raise ValueError(f"{axis} is not an axis")
    return str(context.axes[str(axis)] - 1 - size(str(axis)))


def _root(context: Context, a: Argument) -> Argument:
    from math import isqrt

    assert isinstance(a, Fraction)
    if a < 0:
        raise ValueError("the root of a negative number")
    root = Fraction(isqrt(a.numerator), isqrt(a.denominator))
    if root * root != a:
        raise ValueError(f"{a} has no rational root")
    return root


COMPUTED: Mapping[str, Callable[..., Argument]] = {
    # egglog's own operations on rationals
    "+": lambda context, a, b: a + b,
    "*": lambda context, a, b: a * b,
    "/": lambda context, a, b: a / b,
    "max": lambda context, a, b: max(a, b),
    "bigint": lambda context, a: a,
    "bigrat": lambda context, a, b: a / b,
    # on sizes, axes and terms: laws that use these are applied by normalisation alone
    "root": _root,
    "plus": _polynomials(lambda p, q: p + q),
    "times": _polynomials(lambda p, q: p * q),
    "minus": _polynomials(lambda p, q: p - q),
    "minus-one-minus": lambda context, p: str(-1 - size(str(p))),
    "position": _position,
    "share": _exact,
    "number": _whole,
    "extent": lambda context, axis: str(context.axes[str(axis)]),
    "inside": _inside,
    "rename": _renamed,
    "at": _at,
    "reverse": _reversed,
    "unroll": _unrolled,
    "given": _given,
}

_OF_TERMS = COMPUTED.keys() - {"+", "*", "/", "max", "bigint", "bigrat"}

_SORTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(NAMED, (("Term",), "Condition")),
    "independent": (("String", "Term"), "Condition"),
    "disjoint": (("String", "String"), "Condition"),
    "nonempty": (("String",), "Condition"),
    "unsplit": (("String",), "Condition"),
    "regroups": (("Monoid",), "Condition"),
    "split": (("String",) * 3, "Condition"),
    "split-masked": (("String",) * 3, "Condition"),
    "same-axis": (("String", "String"), "Condition"),
    "associates": (("Term",) * 3, "Condition"),
    "distributes": (("Term",) * 3, "Condition"),
    "scales": (("Term",) * 2, "Condition"),
    "in-range": (("String",), "Condition"),
    "holds-at": (("Term", "String", "String"), "Condition"),
    "fails-at": (("Term", "String", "String"), "Condition"),
    **dict.fromkeys((">", "!="), (("BigRat", "BigRat"), "Condition")),
    **dict.fromkeys(("+", "*", "/", "max"), (("BigRat", "BigRat"), "BigRat")),
    "bigrat": (("BigInt", "BigInt"), "BigRat"),
    "bigint": (("Literal",), "BigInt"),
    "root": (("BigRat",), "BigRat"),
    "number": (("String",), "BigRat"),
    **dict.fromkeys(("plus", "minus", "times", "share"), (("String", "String"), "String")),
    **dict.fromkeys(("minus-one-minus", "extent", "inside", "position"), (("String",), "String")),
    **dict.fromkeys(("rename", "at"), (("Term", "String", "String"), "Term")),
    "reverse": (("Term", "String"), "Term"),
    "unroll": (("Monoid", "String", "Term"), "Term"),
    "given": (("Term", "String", "BigRat"), "Term"),
}
"""The sorts that conditions and computed operations take, and the sort of what they give."""
