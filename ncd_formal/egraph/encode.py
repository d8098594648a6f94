"""The laws and terms as an egglog program.

One text serves twice.  *Plain*, a law is its rewrite.  *Traced*, a law also records the ground
terms that it was used at: every e-class keeps the first term that it was seen as, in a mirror of
the constructors whose terms are never merged, and each use of a law inserts a row of those.

Facts about values and the axes that a term depends on are computed inside the e-graph, by the same
tables as ``facts.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import count

from ncd_formal import facts
from ncd_formal.conditions import Context
from ncd_formal.rules import Expression, Rule, Symbol
from ncd_formal.sizes import size
from ncd_formal.wires import SIGNATURE, Term, term

PRIMITIVE = frozenset({"String", "BigRat"})
MONOIDS = tuple(op for op, (_, sort) in SIGNATURE.items() if sort == "Monoid")
SORTS = ("Term", "Monoid")


def program(rules: Sequence[Rule], traced: bool) -> list[str]:
    """The declarations, the analysis and the laws, one command each."""
    lines = [f"(sort {sort})" for sort in SORTS]
    lines += [
        f"(constructor {op} ({' '.join(sorts)}) {sort})" for op, (sorts, sort) in SIGNATURE.items()
    ]
    lines += [
        *_LOADING,
        *_loaders(),
        *_ANALYSIS,
        *_kinds(),
        *_made_by_laws(),
        *_regrouping(),
        *_axes(),
    ]
    if traced:
        lines += _mirror()
    lines += [f"(ruleset {name})" for name in dict.fromkeys(rule.ruleset for rule in rules)]
    for number, rule in enumerate(rules):
        for direction, (left, right) in enumerate(directions(rule)):
            lines += _law(rule, left, right, trace_name(number, direction) if traced else "")
    return lines


def directions(rule: Rule) -> tuple[tuple[Expression, Expression], ...]:
    """The ways in which a law rewrites."""
    forward = (rule.left, rule.right)
    return (forward, forward[::-1]) if rule.both_ways else (forward,)


def trace_name(number: int, direction: int) -> str:
    """The relation that records the uses of a law in one direction."""
    return f"used-{number}-{direction}"


def context_facts(context: Context) -> list[str]:
    """What the laws ask about axes."""
    lines = []
    for axis, extent in context.axes.items():
        own = " ".join(f'"{leaf}"' for leaf in context.leaves(axis))
        lines.append(f'(set (leaves "{axis}") (set-of {own}))')
        lines.append(f'(set (extent "{axis}") "{extent}")')
        lines.append(f'(set (nonempty? "{axis}") {int(context.nonempty(axis))})')
    for axis, split in context.splits.items():
        relation = "split-masked" if split.masked else "split"
        lines.append(f'({relation} "{axis}" "{split.outer}" "{split.inner}")')
        if split.masked:
            lines.append(f'(set (inside "{axis}") "{context.axes[axis] - 1 - size(axis)}")')
    return lines


def fold_rows() -> Iterator[tuple[Term, int, int, int]]:
    """Kinds of reductions: monoid, kinds of the body, whether non-empty, kinds of the result."""
    for monoid in facts.FOLDS:
        for nonempty in (0, 1):
            for kinds in range(1, 1 << len(facts.KINDS)):
                result = facts.fold_kinds(monoid, kinds, bool(nonempty))
                yield term(monoid), kinds, nonempty, result


_LOADING = (
    "(ruleset loading)",
    "(function at-Term (i64) Term :merge old)",
    "(function at-Monoid (i64) Monoid :merge old)",
    "(relation leaf-kinds (i64 i64))",
    "(relation fold-row (i64 i64 i64 i64))",
    "(function kinds (Term) i64 :merge (& old new))",
    "(function fold-kinds (Monoid i64 i64) i64 :merge old)",
    "(rule ((leaf-kinds n k) (= e (at-Term n))) ((set (kinds e) k)) :ruleset loading)",
    "(rule ((fold-row m k n r) (= w (at-Monoid m))) ((set (fold-kinds w k n) r)) :ruleset loading)",
)

_ANALYSIS = (
    "(ruleset analysis)",
    "(sort Axes (Set String))",
    "(function axes (Term) Axes :merge (set-intersect old new))",
    "(function leaves (String) Axes :merge old)",
    "(function extent (String) String :merge old)",
    "(function inside (String) String :merge old)",
    "(function nonempty? (String) i64 :merge old)",
    "(relation split (String String String))",
    "(relation split-masked (String String String))",
    "(relation regroups (Monoid))",
)


def _loaders() -> list[str]:
    """Relations that rows are read into, and rules that build terms from them."""
    lines = []
    for op, (sorts, sort) in SIGNATURE.items():
        columns = " ".join("i64" if s in SORTS else "String" for s in sorts)
        lines.append(f"(relation row-{op} (i64 {columns}))")
        body = f"(row-{op} n {' '.join(f'v{k}' for k in range(len(sorts)))})"
        arguments = []
        for k, s in enumerate(sorts):
            if s in SORTS:
                body += f" (= w{k} (at-{s} v{k}))"
                arguments.append(f"w{k}")
            else:
                if s == "BigRat":
                    body += f" (= w{k} (number-of v{k}))"
                arguments.append(f"v{k}" if s == "String" else f"w{k}")
        made = f"({op} {' '.join(arguments)})"
        lines.append(f"(rule ({body}) ((set (at-{sort} n) {made})) :ruleset loading)")
    # Numbers come as text because a fraction may not fit 64 bits.
    numbers = "(function number-of (String) BigRat :merge old)"
    return [numbers, *lines]


def _bits(kinds: str, bit: int, value: str) -> str:
    return f"(* (& (>> {kinds} {bit}) 1) {value})"


def _or(parts: Sequence[str]) -> str:
    result = parts[-1]
    for part in reversed(parts[:-1]):
        result = f"(| {part} {result})"
    return result


def _kinds() -> list[str]:
    """The facts of every operator, from the tables of ``facts.py``."""
    lines = []
    for op in facts.UNARY:
        table = _or([_bits("k", i, str(facts.unary(op, 1 << i))) for i in range(6)])
        arguments = "f a" if op == "Function" else "a"
        lines.append(
            f"(rule ((= e ({op} {arguments})) (= k (kinds a))) ((set (kinds e) {table}))"
            " :ruleset analysis)"
        )
    for op in facts.BINARY:
        rows = [
            _bits(
                "k",
                i,
                _or([_bits("l", j, str(facts.binary(op, 1 << i, 1 << j))) for j in range(6)]),
            )
            for i in range(6)
        ]
        lines.append(
            f"(rule ((= e ({op} a b)) (= k (kinds a)) (= l (kinds b)))"
            f" ((set (kinds e) {_or(rows)})) :ruleset analysis)"
        )
    square = _or([_bits("k", i, str(facts.power_kinds(1 << i, 2))) for i in range(6)])
    lines.append(
        f"(rule ((= e (Mul a a)) (= k (kinds a))) ((set (kinds e) {square})) :ruleset analysis)"
    )
    choice = _or(
        [
            f"(* (min 1 (& c {facts.MINUS_INFINITY | facts.UNDEFINED})) {facts.UNDEFINED})",
            f"(* (min 1 (& c {facts.NAMED['nonzero']})) k)",
            f"(* (min 1 (& c {facts.ZERO})) l)",
        ]
    )
    lines.append(
        "(rule ((= e (Select t a b)) (= c (kinds t)) (= k (kinds a)) (= l (kinds b)))"
        f" ((set (kinds e) {choice})) :ruleset analysis)"
    )
    lines.append(
        "(rule ((= e (Reduce m x a)) (= k (kinds a)) (= n (nonempty? x)) (= r (fold-kinds m k n)))"
        " ((set (kinds e) r)) :ruleset analysis)"
    )
    return lines


def _made_by_laws() -> list[str]:
    """The facts and axes of leaves that laws introduce: numbers, extents, −∞, ends of blocks."""
    zero, one = "(bigrat (bigint 0) (bigint 1))", "(bigrat (bigint 1) (bigint 1))"
    cases = {
        f"(< c {zero})": facts.NEGATIVE,
        f"(= c {zero})": facts.ZERO,
        f"(= c {one})": facts.UNIT,
        f"(> c {zero}) (!= c {one})": facts.POSITIVE,
    }
    leaves = {f"(= e (Constant c)) {test}": kind for test, kind in cases.items()}
    leaves["(= e (NegativeInfinity))"] = facts.MINUS_INFINITY
    leaves["(= e (Predicate p)) (= p (inside x)) (= l (leaves x))"] = facts.NAMED["boolean"]
    leaves["(= e (Index p)) (= p (extent x)) (= 1 (nonempty? x))"] = facts.NAMED["positive"]
    return [
        f"(rule ({body}) ((set (kinds e) {kind})"
        f" (set (axes e) {'l' if 'leaves' in body else '(set-empty)'})) :ruleset analysis)"
        for body, kind in leaves.items()
    ]


def _regrouping() -> list[str]:
    """The monoids whose folds may be grouped and ordered in any way, as ``rules.py`` says."""
    plain = [op for op in MONOIDS if op not in {"Product", "Both"}]
    bodies = [f"(= e ({op}))" for op in plain]
    bodies.append("(= e (Both m n)) (regroups m) (regroups n)")
    return [f"(rule ({body}) ((regroups e)) :ruleset analysis)" for body in bodies]


def _axes() -> list[str]:
    lines = []
    for op, (sorts, sort) in SIGNATURE.items():
        terms = [k for k, s in enumerate(sorts) if s == "Term"]
        if sort != "Term" or not terms or op == "Opaque":
            continue
        arguments = " ".join(f"v{k}" for k in range(len(sorts)))
        body = f"(= e ({op} {arguments}))" + "".join(f" (= s{k} (axes v{k}))" for k in terms)
        union = f"s{terms[0]}"
        for k in terms[1:]:
            union = f"(set-union {union} s{k})"
        if op == "Reduce":
            body += " (= l (leaves v1))"
            union = f"(set-diff {union} l)"
        lines.append(f"(rule ({body}) ((set (axes e) {union})) :ruleset analysis)")
    return lines


def _mirror() -> list[str]:
    """Constructors whose terms stay apart, and for each class the first term it was seen as."""
    lines = [f"(sort Seen-{sort})" for sort in SORTS]
    lines += [f"(function seen-{sort} ({sort}) Seen-{sort} :merge old)" for sort in SORTS]
    lines.append("(ruleset seeing)")
    for op, (sorts, sort) in SIGNATURE.items():
        mirrored = " ".join(s if s in PRIMITIVE else f"Seen-{s}" for s in sorts)
        lines.append(f"(constructor Seen-{op} ({mirrored}) Seen-{sort} :unextractable)")
        body = f"(= e ({op} {' '.join(f'v{k}' for k in range(len(sorts)))}))"
        arguments = []
        for k, s in enumerate(sorts):
            if s in PRIMITIVE:
                arguments.append(f"v{k}")
            else:
                body += f" (= t{k} (seen-{s} v{k}))"
                arguments.append(f"t{k}")
        made = f"(Seen-{op} {' '.join(arguments)})"
        lines.append(f"(rule ({body}) ((set (seen-{sort} e) {made})) :ruleset seeing)")
    return lines


def _law(rule: Rule, left: Expression, right: Expression, trace: str) -> list[str]:
    """A rewrite as a rule; with ``trace``, one that records its use."""
    looked_up: dict[str, str] = {}
    body = [f"(= root {_show(left)})", *_conditions(rule)]
    head = f"(union root {_show(right, looked_up)})"
    body += [f"(= {name} {call})" for call, name in looked_up.items()]
    declaration: list[str] = []
    if trace:
        sorts = rule.sorts
        columns, values = [], []
        for k, (name, sort) in enumerate(sorts.items()):
            if sort in PRIMITIVE:
                columns.append(sort)
                values.append(f"?{name}")
            else:
                columns.append(f"Seen-{sort}")
                body.append(f"(= seen{k} (seen-{sort} ?{name}))")
                values.append(f"seen{k}")
        # A law about no variable still needs a column.
        declaration.append(f"(relation {trace} ({' '.join(columns) or 'i64'}))")
        head += f" ({trace} {' '.join(values) or '0'})"
    return [*declaration, f"(rule ({' '.join(body)}) ({head}) :ruleset {rule.ruleset})"]


def _show(pattern: Expression, looked_up: dict[str, str] | None = None) -> str:
    """A pattern as egglog text; on the right of a law, tables are looked up beforehand."""
    if isinstance(pattern, tuple):
        parts = [_show(part, looked_up) for part in pattern[1:]]
        call = f"({' '.join([str(pattern[0]), *parts])})"
        if looked_up is not None and pattern[0] in ("extent", "inside"):
            return looked_up.setdefault(call, f"found{len(looked_up)}")
        return call
    if isinstance(pattern, Symbol):
        return f"?{pattern}"
    if isinstance(pattern, Fraction):
        return str(pattern)
    return f'"{pattern}"'


def _conditions(rule: Rule) -> list[str]:
    fresh = count()
    result: list[str] = []

    def kinds(expression: Expression) -> str:
        name = f"kinds{next(fresh)}"
        result.append(f"(= {name} (kinds {_show(expression)}))")
        return name

    def outside(name: str, allowed: str) -> str:
        return f"(min 1 (& {name} {63 & ~facts.NAMED[allowed]}))"

    def axes(function: str, expression: Expression) -> str:
        name = f"axes{next(fresh)}"
        result.append(f"(= {name} ({function} {_show(expression)}))")
        return name

    for head, *arguments in rule.conditions:
        name = str(head)
        if name in facts.NAMED:
            result.append(f"(= 0 (& {kinds(arguments[0])} {63 & ~facts.NAMED[name]}))")
        elif name in {"independent", "disjoint"}:
            a = axes("leaves", arguments[0])
            b = axes("axes" if name == "independent" else "leaves", arguments[1])
            result.append(f"(= 0 (set-length (set-intersect {a} {b})))")
        elif name == "nonempty":
            result.append(f"(= 1 (nonempty? {_show(arguments[0])}))")
        elif name == "associates":
            own = [kinds(a) for a in arguments]
            infinite = _total(outside(k, "no-infinity") for k in own)
            other = _total(outside(k, "positive-or-undefined") for k in own)
            result.append(f"(= 0 (* {infinite} (max 0 (- {other} 1))))")
        elif name in {"distributes", "scales"}:
            own = [kinds(a) for a in arguments]
            infinite = _total(outside(k, "no-infinity") for k in own)
            result.append(f"(= 0 (* {outside(own[0], 'positive-or-undefined')} {infinite}))")
        else:
            result.append(f"({name} {' '.join(map(_show, arguments))})")
    return result


def _total(parts: Iterable[str]) -> str:
    first, *rest = parts
    for part in rest:
        first = f"(+ {first} {part})"
    return first
