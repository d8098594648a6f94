"""Every law of the rule texts is true, none is stronger than it needs to be, all are read right.

A law is instantiated at random many times, and both sides are compared under the reference
semantics at all values: reals, −∞ and the undefined, axes without an index, tiles past the end of
an axis.  Then each condition of each law is dropped in turn, and a false instance must turn up: so
the instances reach what the conditions are there for.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from ncd_formal.errors import InputError
from ncd_formal.facts import NAMED, Facts
from ncd_formal.rules import (
    CONDITIONS,
    Expression,
    Judge,
    Rule,
    Symbol,
    read_own_rules,
    read_rules,
    rule_text,
    rules_folder,
    show,
    table,
)
from ncd_formal.semantics import UNDEF, NotExactError
from ncd_formal.sizes import size
from ncd_formal.wires import SIGNATURE, Term, input_at, subterms, term
from tests.exact import (
    CONTEXTS,
    MONOIDS,
    NUMBERS,
    Assignment,
    Inputs,
    Terms,
    environments,
    exactly,
    same,
    sample_sizes,
)

INSTANCES, INFORMATIVE = 40, 12
"""How many instances of a law are compared at least, and how many of them at a value that is
defined somewhere."""
TRIES = 6000

_PAIRS = "in Coq terms have no types: an empty fold of pairs does not know that it is one"
_WEIGHT = "a weight exp(s − m) is positive, or 0 on both sides: −∞ and signs behave alike"
_ABSOLUTE = "|−∞| is undefined, and so are −∞·−∞ and √ of it"
HARMLESS: Mapping[tuple[str, str], str] = {
    ("inverse-constant", "(!= a (bigrat (bigint 0) (bigint 1)))"): "1/0 is not formed at all",
    ("sqrt-of-square", "(no-infinity a)"): _ABSOLUTE,
    ("abs-mul", "(no-infinity a)"): _ABSOLUTE,
    ("abs-mul", "(no-infinity b)"): _ABSOLUTE,
    ("abs-square", "(no-infinity a)"): _ABSOLUTE,
    ("maximum-abs", "(no-infinity a)"): _ABSOLUTE,
    ("or-boolean", "(boolean a)"): "not a is a truth value of any number a",
    ("or-boolean", "(boolean b)"): "not b is a truth value of any number b",
    ("all-witness", "(boolean a)"): "what is known to fail is made of numbers and comparisons",
    ("any-witness", "(boolean a)"): "what is known to hold is made of numbers and comparisons",
    ("rescale-sum", "(no-infinity v)"): _WEIGHT,
    ("rescale-second", "(no-infinity v)"): _WEIGHT,
    ("rescale-quotient", "(no-infinity v)"): _WEIGHT,
    ("rescale-quotient", "(positive w)"): _WEIGHT,
    ("rescale-tuple", "(nonempty x)"): _PAIRS,
    ("split-masked-rescaled", "(nonempty x)"): _PAIRS,
}
"""Conditions whose absence makes no instance false, and why."""
SEARCHED, CONFIRMED = 1500, 80
"""How many instances are compared in search of a false one, and where none is expected."""


# Instances ----------------------------------------------------------------------------------


@dataclass
class Pool:
    """Random terms of one context, sorted by what is known of them."""

    name: str
    count: int = 400
    depth: int = 3
    by_fact: dict[str, list[Term]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.context = CONTEXTS[self.name]
        self.generator = random.Random(f"{self.name} {self.count}")
        self.terms = Terms(self.context, self.generator)
        self.facts = Facts(self.context)
        first = size(next(iter(self.context.axes)))
        self.numbers = [self.terms.number(k % self.depth) for k in range(self.count)]
        self.numbers += [input_at("B", [first]), input_at("R", [first]), input_at("E", [first])]
        self.numbers += [term("Exp", input_at("R", [first])), term("Predicate", str(first - 1))]
        self.pairs = [self.terms.pair(k % 2) for k in range(self.count // 10)]
        self.pairs += [term("Tuple", self.terms.number(1), pair) for pair in self.pairs[:20]]
        for name in NAMED:
            self.by_fact[name] = [t for t in self.numbers if self.facts.holds(name, t)]
        self.choices = [t for t in self.numbers if any(s.op == "Predicate" for s in subterms(t))]

    def leaves(self, axes: Any) -> set[str]:
        return {leaf for axis in axes for leaf in self.context.leaves(axis)}


@cache
def pool(name: str) -> Pool:
    """The terms of one context, drawn once."""
    return Pool(name)


def axis_variables(rule: Rule) -> frozenset[str]:
    """The text variables that name an axis, as against an index expression."""
    places = {
        "Reduce": (1,), "extent": (0,), "inside": (0,), "rename": (1, 2), "reverse": (1,),
        "unroll": (1,), "independent": (0,), "disjoint": (0, 1), "nonempty": (0,),
        "unsplit": (0,), "split": (0, 1, 2), "split-masked": (0, 1, 2), "same-axis": (0, 1),
        "position": (0,),
    }  # fmt: skip
    found: set[str] = set()

    def visit(expression: Expression) -> None:
        if isinstance(expression, tuple):
            head, *parts = expression
            found.update(str(parts[k]) for k in places.get(str(head), ()))
            for part in parts:
                visit(part)

    for part in (rule.left, rule.right, *rule.conditions):
        visit(part)
    return frozenset(found)


@dataclass
class Drawer:
    """Values for the variables of a law in one context, most of which satisfy its conditions."""

    rule: Rule
    pool: Pool
    generator: random.Random

    def __post_init__(self) -> None:
        self.judge = Judge(self.pool.context)
        # The pool's own generator has moved by what other laws drew.
        self.terms = Terms(self.pool.context, self.generator)
        self.axis_names = axis_variables(self.rule)
        self.named: dict[str, str] = {}
        self.apart: dict[str, list[str]] = {}
        for head, *arguments in self.rule.conditions:
            if head in NAMED and isinstance(arguments[0], Symbol):
                self.named[str(arguments[0])] = str(head)
            if head == "independent":
                self.apart.setdefault(str(arguments[1]), []).append(str(arguments[0]))

    @property
    def possible(self) -> bool:
        """Whether the context has the splits that the law is about."""
        masks = {split.masked for split in self.pool.context.splits.values()}
        wanted = {str(c[0]) == "split-masked" for c in self.rule.conditions if "split" in show(c)}
        return all(mask in masks for mask in wanted if not self._about_absence())

    def _about_absence(self) -> bool:
        return any(c[0] == "unsplit" for c in self.rule.conditions)

    def draw(self) -> Assignment:
        """Values for all variables; the conditions may yet fail."""
        values: Assignment = {}
        self._axes(values)
        for name, sort in self.rule.sorts.items():
            if sort == "BigRat":
                values[name] = self.generator.choice(NUMBERS)
            elif sort == "Monoid":
                values[name] = self._monoid()
            elif sort == "String" and name not in self.axis_names:
                values[name] = self.terms.polynomial()
        for name, sort in self.rule.sorts.items():
            if sort == "Term":
                values[name] = self._term(name, values)
        self._purpose(values)
        return values

    def _purpose(self, values: Assignment) -> None:
        """Values that a law is about and that chance would hardly hit."""
        g = self.generator
        if self.rule.name == "cases":
            subject = g.choice(self.pool.choices)
            found = [str(s.args[0]) for s in subterms(subject) if s.op == "Predicate"]
            values |= {"a": subject, "p": g.choice(found)}
        elif self.rule.name in {"all-witness", "any-witness"}:
            x = str(values["x"])
            extent = str(self.pool.context.axes[x])
            texts = (
                x,
                f"{x} - 1",
                f"-{x}",
                f"{extent} - 2 - {x}",
                f"1 - {x}",
                f"{extent} - 1 - {x}",
            )
            choice = term("Predicate", str(size(g.choice(texts))))
            choice = term("Not", choice) if g.random() < 0.3 else choice
            other = self._term("a", values) if g.random() < 0.7 else choice
            values["a"] = (
                term(g.choice(("Mul", "And")), choice, other) if not other.shape else choice
            )
            if g.random() < 0.7:
                values["w"] = str(size(g.choice(("0", "1", f"{extent} - 1", x))))
        elif "a" in values and self._multiplies(values) and g.random() < 0.7:
            # Products go wrong where −∞ meets an even number of negative factors.
            axes = [values[x] for x in sorted(self.axis_names) if x in ("x", "y")]
            values["a"] = input_at("E", map(size, map(str, axes)))

    def _multiplies(self, values: Assignment) -> bool:
        """Whether the law is about the monoid of products, here or always."""
        monoids = [v for k, v in values.items() if self.rule.sorts[k] == "Monoid"]
        return "(Product)" in f"{show(self.rule.left)} {monoids!r}"

    def _axes(self, values: Assignment) -> None:
        g, context = self.generator, self.pool.context
        for name in self.axis_names:
            values[name] = g.choice(tuple(context.axes))
        for head, *arguments in self.rule.conditions:
            if head in {"split", "split-masked"}:
                fitting = [
                    (axis, split)
                    for axis, split in context.splits.items()
                    if split.masked == (head == "split-masked")
                ]
                if fitting:
                    axis, split = g.choice(fitting)
                    parts = (axis, split.outer, split.inner)
                    values |= dict(zip(map(str, arguments), parts, strict=True))
            if head == "same-axis":
                a, b = map(str, arguments)
                extent = context.axes[str(values[a])]
                values[b] = g.choice([x for x, e in context.axes.items() if e is extent])

    def _monoid(self) -> Term:
        g = self.generator
        plain = g.choice((*MONOIDS, "Product", "Product", "RescaledSum"))
        if g.random() < 0.2:
            return term("Both", term(g.choice(MONOIDS)), term(plain))
        return term(plain)

    def _term(self, name: str, values: Assignment) -> Term:
        g, pool = self.generator, self.pool
        fact = self.named.get(name)
        if fact is not None and g.random() < 0.95:
            candidates = pool.by_fact[fact]
        else:
            monoids = [v.op for v in values.values() if isinstance(v, Term) and v.op in SIGNATURE]
            pairs = 0.5 if {"Both", "RescaledSum"} & set(monoids) else 0.08
            fact = g.choice((None, None, "no-infinity", "positive", "real", "defined"))
            numbers = pool.by_fact[fact] if fact else pool.numbers
            candidates = pool.pairs if g.random() < pairs else numbers
        away = pool.leaves(values[x] for x in self.apart.get(name, ()))
        if g.random() < 0.4:
            read = self._read(values, away)
            if fact is None or pool.facts.holds(fact, read):
                return read
        for _ in range(12):
            chosen = g.choice(candidates)
            if away.isdisjoint(pool.leaves(chosen.axes)):
                return chosen
        return g.choice(candidates)

    def _read(self, values: Assignment, away: set[str]) -> Term:
        """An input at the very axes that the law is about, and at those that share digits."""
        g, context = self.generator, self.pool.context
        about = self.pool.leaves(values[x] for x in self.axis_names)
        near = [x for x in context.axes if not about.isdisjoint(context.leaves(x))]
        near += [g.choice(tuple(context.axes))]
        near = [x for x in near if away.isdisjoint(context.leaves(x))]
        axes = g.sample(near, k=min(len(near), g.choice((1, 1, 2))))
        read = input_at(g.choice("EERRBN"), map(size, axes))
        return term("Exp", read) if g.random() < 0.3 else read

    def sides(self, values: Assignment) -> tuple[Term, Term] | None:
        """Both sides; None where the law cannot be formed at these values."""
        try:
            return self.judge.sides(self.rule, values)
        except (LookupError, TypeError, ValueError, ArithmeticError, AssertionError):
            return None

    def holds(self, values: Assignment) -> bool:
        """Whether the conditions of the law are shown."""
        try:
            return self.judge.holds(self.rule, values)
        except (LookupError, TypeError, ValueError, ArithmeticError, AssertionError):
            return False


@dataclass
class Comparison:
    """What comparing the sides of one instance showed."""

    difference: str = ""
    informative: bool = False


def compare(sides: tuple[Term, Term], pool: Pool, generator: random.Random) -> Comparison:
    """Both sides at random sizes, inputs and environments."""
    left, right = sides
    context, result = pool.context, Comparison()
    for _ in range(3):
        sizes = sample_sizes(context, generator)
        inputs = Inputs(context, generator)
        points = list(environments(context, sizes, left.axes | right.axes))
        for point in generator.sample(points, min(3, len(points))):
            try:
                a = exactly(left, context, sizes, inputs, point)
                b = exactly(right, context, sizes, inputs, point)
            except NotExactError:
                continue
            result.informative |= not a is b is UNDEF
            if not same(a, b):
                result.difference = (
                    f"{left} is {a}, but {right} is {b} at {sizes}, {point}, {inputs.values}"
                )
                return result
    return result


def drawers(rule: Rule, seed: str) -> list[Drawer]:
    """One for each context in which the law can apply."""
    every = [Drawer(rule, pool(name), random.Random(f"{seed} {name}")) for name in CONTEXTS]
    return [drawer for drawer in every if drawer.possible]


def instances(rule: Rule, seed: str) -> Iterator[tuple[Drawer, Assignment, tuple[Term, Term]]]:
    """Instances whose conditions are shown, in all contexts in turn."""
    able = drawers(rule, seed)
    for attempt in range(TRIES):
        drawer = able[attempt % len(able)]
        values = drawer.draw()
        sides = drawer.sides(values)
        if sides is not None and sides[0] is not sides[1] and drawer.holds(values):
            yield drawer, values, sides


@pytest.mark.parametrize("name", table())
def test_a_law_holds_at_random_instances(name: str) -> None:
    """Both sides have one value wherever the conditions are shown."""
    rule = table()[name]
    compared = informative = 0
    for drawer, values, sides in instances(rule, name):
        found = compare(sides, drawer.pool, drawer.generator)
        assert not found.difference, (
            f"{rule}\nat {values}\nin {drawer.pool.name}: {found.difference}"
        )
        compared += 1
        informative += found.informative
        if compared >= INSTANCES and informative >= INFORMATIVE:
            return
    pytest.fail(f"only {compared} instances of {name}, {informative} of them at defined values")


# Conditions ---------------------------------------------------------------------------------


def weakened() -> list[tuple[str, int]]:
    """Every law with every one of its conditions."""
    return [(name, k) for name, rule in table().items() for k in range(len(rule.conditions))]


def counterexample(rule: Rule, dropped: int, effort: int) -> str:
    """A false instance of a law without one of its conditions, or "" where none turned up."""
    compared = 0
    left_out = rule.conditions[dropped]
    others = rule.conditions[:dropped] + rule.conditions[dropped + 1 :]
    able = drawers(replace(rule, conditions=others), f"{rule.name} {dropped}")
    # Axes are still drawn as the whole law would have them, half of the time.
    whole = {drawer.pool.name: drawer for drawer in drawers(rule, f"{rule.name} {dropped} whole")}
    for attempt in range(TRIES):
        drawer = able[attempt % len(able)]
        values = drawer.draw()
        if attempt % 2 and drawer.pool.name in whole:
            drawn = whole[drawer.pool.name].draw()
            about = [str(a) for a in left_out[1:] if isinstance(a, Symbol)]
            values = {k: v if k in about else drawn[k] for k, v in values.items()}
        sides = drawer.sides(values)
        if sides is None or sides[0] is sides[1] or not drawer.holds(values):
            continue
        try:
            if drawer.judge._condition(rule, left_out, values):
                continue
        except (LookupError, TypeError, ValueError, ArithmeticError, AssertionError):
            pass
        found = compare(sides, drawer.pool, drawer.generator)
        if found.difference:
            return f"{values}: {found.difference}"
        compared += 1
        if compared == effort:
            break
    return ""


def test_what_is_listed_as_harmless_is_a_condition() -> None:
    """The list holds nothing that a rule text has lost."""
    conditions = {(name, show(c)) for name, rule in table().items() for c in rule.conditions}
    assert HARMLESS.keys() <= conditions


@pytest.mark.parametrize(("name", "dropped"), weakened())
def test_a_condition_cannot_be_dropped(name: str, dropped: int) -> None:
    """Without it the law has a false instance, or it is listed as harmless."""
    rule = table()[name]
    reason = HARMLESS.get((name, show(rule.conditions[dropped])))
    found = counterexample(rule, dropped, CONFIRMED if reason else SEARCHED)
    if reason is None:
        assert found, f"{rule}\nno instance needs {show(rule.conditions[dropped])}"
    else:
        assert not found, f"{rule}\n{show(rule.conditions[dropped])} is not harmless: {found}"


# Laws of a user's own -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('(rewrite (Exp a) a :name "exp-add")', "named exp-add already"),
        ('(rewrite (Exp a) a :name "x") (rewrite (Log a) a :name "x")', "named x already"),
        ('(rewrite a (Exp a) :name "x")', "matches anything"),
        ('(rewrite (Exp a) (Mul a b) :name "x")', "its left side lacks b"),
        ('(birewrite (Add a b) a :name "x")', "the same variables on both sides"),
        ('(rewrite (Reduce m x a) (rename a x y) :name "x")', "compute with terms"),
        ('(rewrite (Input "x" "") (Exp (Input "x" "")) :name "x")', "compute with terms"),
        ('(rewrite (Exp a) a :when ((lucky a)) :name "x")', "unknown condition"),
        ('(rewrite (Twist a) a :name "x")', "unknown operator"),
        ('(rewrite (Exp a) a :name "A b")', "a name is made of a-z"),
        ("(rewrite (Exp a) a)", "needs a :name"),
        ('(rewrite (Exp a) a :name "x"', "not closed"),
        ("hello", "rewrites only"),
        ("()", "rewrites only"),
        ('(rewrite (Exp a) a :name "x)', "does not end"),
        ("(rewrite (Exp a) a :name x)", "in quotes"),
        ("(rewrite (Exp a) a :name)", "two sides and options"),
        ("(rewrite (Exp a))", "two sides and options"),
        # A guard that is not understood is not left out.
        ('(rewrite (Exp a) a :when (real a) :name "x")', "a list of conditions"),
        ('(rewrite (Exp a) a :whenn ((real a)) :name "x")', "once"),
        ('(rewrite (Exp a) a :when ((real a)) :when ((real a)) :name "x")', "once"),
        ('(rewrite (Exp a) a :when ((real)) :name "x")', "real takes 1"),
        ('(rewrite (Exp a) a :when ((real (Twist a))) :name "x")', "unknown operator"),
        # What stands at a place is of the sort that it asks for.
        ('(rewrite (Exp 1) (Exp 2) :name "x")', "1 is Literal, and not Term"),
        ('(rewrite (Constant "a") (Constant "b") :name "x")', "String, and not BigRat"),
        ('(rewrite (Constant 2) (Constant 2) :name "x")', "Literal, and not BigRat"),
        ('(rewrite (Exp (Sum)) (Log (Sum)) :name "x")', "Monoid, and not Term"),
        ('(rewrite (Reduce m x a) (Reduce x m a) :name "x")', "and not"),
        ('(rewrite (Function f a) a :name "x")', "no function is named f"),
        ('(rewrite (Function "nope" a) a :name "x")', "no function is named"),
    ],
)
def test_an_own_law_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_own_rules(text)
    assert "\n" not in str(raised.value)


def test_an_own_law_is_written_as_it_was_read() -> None:
    text = '(birewrite (Exp (Add a b)) (Mul (Exp a) (Exp b)) :when ((real a)) :name "mine")'
    (rule,) = read_own_rules(text)
    assert read_own_rules(rule_text(rule)) == (rule,)


# Texts --------------------------------------------------------------------------------------

RULE_FILES = sorted(p for p in rules_folder().glob("*.egg") if p.name != "monoidal.egg")


def as_egglog_reads(part: Any) -> Expression:
    """An expression of egglog's own parser in our form."""
    kind = type(part).__name__
    if kind == "Call":
        return (Symbol(part.name), *map(as_egglog_reads, part.args))
    if kind == "Var":
        return Symbol(part.name)
    if kind == "Fact":
        return as_egglog_reads(part.expr)
    assert kind == "Lit", kind
    value = part.value.value
    return value if isinstance(value, str) else Fraction(value)


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_a_rule_text_is_read_as_egglog_reads_it(path: Any) -> None:
    """Sides, conditions, rulesets, names and directions are those of egglog's own parser."""
    from egglog.bindings import BiRewriteCommand, EGraph, RewriteCommand

    text = path.read_text(encoding="utf-8")
    ours = list(read_rules(text))
    commands = [
        command
        for command in EGraph().parse_program(text)
        if isinstance(command, (RewriteCommand, BiRewriteCommand))
    ]
    assert len(ours) == len(commands)
    for rule, command in zip(ours, commands, strict=True):
        law = command.rewrite
        assert rule.left == as_egglog_reads(law.lhs), rule.name
        assert rule.right == as_egglog_reads(law.rhs), rule.name
        assert rule.conditions == tuple(map(as_egglog_reads, law.conditions)), rule.name
        assert rule.ruleset == command.name, rule.name
        assert rule.both_ways == isinstance(command, BiRewriteCommand), rule.name
        assert law.name in ("", rule.name), rule.name
        assert not getattr(command, "subsume", False), f"{rule.name} would forget what it rewrites"


def test_every_file_of_laws_is_in_the_table() -> None:
    """The table holds the laws of all files, each under its own name, with sorts and conditions."""
    laws = [r for path in RULE_FILES for r in read_rules(path.read_text(encoding="utf-8"))]
    assert [rule.name for rule in laws] == list(table())
    for rule in laws:
        assert rule.sorts.keys() == set(rule.variables)
        assert all(c[0] in CONDITIONS or c[0] in NAMED for c in rule.conditions)


PROGRAMS = re.compile(
    r"attention|soft ?max|flash|transformer|layer ?norm|rms|sdpa|kernel|query|queries|token"
    r"|head|convolution|linear layer|gelu|dropout",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", sorted(rules_folder().glob("*.egg")), ids=lambda path: path.stem)
def test_no_law_knows_a_program(path: Any) -> None:
    """Laws are algebra: what follows for attention must follow from them."""
    assert not PROGRAMS.findall(path.read_text(encoding="utf-8"))
