"""The goals of a certificate as theorems in plain mathematics, to be read.

A statement is printed from the terms of a goal with the programs' own names: an equation between
sums and maxima over indices of real arrays, for all sizes.  Coq proves it from the certificate:
what ``proofs/Readback.v`` reads off the node table computes to what is printed here, or the proof
fails.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

from ncd_formal.certificate import Certificate, Goal
from ncd_formal.conditions import Context
from ncd_formal.coq.export import Export
from ncd_formal.coq.table import DEFINED
from ncd_formal.proof import Hypothesis
from ncd_formal.sizes import Atom, Polynomial, Quotient, size
from ncd_formal.wires import INDEX_TEXT, MINUS_ONE, Shape, Term, indices_of, is_axis, subterms

WIDTH = 100
"""The columns of a text."""

LONGEST = 50_000
"""How many operators a statement may have."""

LONG = 24
"""How long a text that occurs again is at least, to be defined once."""

DEEPEST = 60
"""The column from which on lines are not indented further."""

_KEYWORDS = frozenset(
    [
        "_",
        "as",
        "at",
        "by",
        "cofix",
        "else",
        "end",
        "exists",
        "exists2",
        "fix",
        "for",
        "forall",
        "fun",
        "if",
        "in",
        "let",
        "match",
        "return",
        "then",
        "using",
        "where",
        "with",
        "Prop",
        "SProp",
        "Set",
        "Type",
        "when",
        "rescaled",
        "max",
        "min",
        "R",
        "Z",
        "bool",
        "value",
        "defined",
        "within",
        "lift",
        "exp",
        "tanh",
        "erf",
        "sin",
        "cos",
        "log",
        "sqrt",
        "abs",
        "rescale",
        "undefined",
        "nat",
        "list",
        "Reals",
        "Booleans",
        "Extended",
        "Unused",
        "readback",
        "term",
        "opaque",
        "ns",
        "g",
        "is",
        "true",
        "false",
        "Undef",
        "law_sound",
    ]
)


_INNER = re.compile(r".* (premise|statement)_\d+|input i_\d+|operator [njk]\d+")
"""Names that a statement or its proof gives to something else."""


class _NoStatement(Exception):
    """Why a goal has no statement."""


# Layout -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Parts with a space between them, or each on a line of its own."""

    parts: tuple[_Doc, ...]
    indent: int = 0
    chain: int = 0
    """For operands of one precedence, that precedence."""


_Doc = str | _Group | tuple["_Doc", ...]


def _flat(doc: _Doc) -> str:
    if isinstance(doc, str):
        return doc
    if isinstance(doc, _Group):
        return " ".join(map(_flat, doc.parts))
    return "".join(map(_flat, doc))


def _render(doc: _Doc, column: int, after: int = 0) -> str:
    """The text of a document that starts at a column, with ``after`` characters behind it."""
    if isinstance(doc, str):
        return doc
    flat = _flat(doc)
    if column + len(flat) + after <= WIDTH:
        return flat
    if isinstance(doc, _Group):
        start = min(column, DEEPEST)
        texts = []
        for k, part in enumerate(doc.parts):
            behind = after if k == len(doc.parts) - 1 else 0
            texts.append(_render(part, start + doc.indent if k else column, behind))
        return ("\n" + " " * (start + doc.indent)).join(texts)
    text = ""
    for k, part in enumerate(doc):
        here = column + len(text) if "\n" not in text else len(text) - text.rindex("\n") - 1
        rest = doc[k + 1 :]
        behind = sum(len(p) for p in rest if isinstance(p, str))
        text += _render(
            part, here, behind + (after if all(isinstance(p, str) for p in rest) else 0)
        )
    return text


# Indices ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Index:
    """The text of an index: a sum (1), a product (2) or an atom (3)."""

    text: str
    level: int = 3

    def at(self, level: int) -> str:
        """The text where only that level may stand."""
        return self.text if self.level >= level else f"({self.text})"


def _sum(plus: Sequence[_Index], less: Sequence[_Index]) -> _Index:
    """Summands, those that are taken away after the others."""
    if not plus and not less:
        return _Index("0")
    if len(plus) == 1 and not less:
        return plus[0]
    first = less[0].at(3) if less else ""
    text = plus[0].text if plus else f"- ({first})" if first.isdigit() else f"- {first}"
    text += "".join(f" + {p.at(2)}" for p in plus[1:])
    text += "".join(f" - {p.at(2)}" for p in less[0 if plus else 1 :])
    return _Index(text, 1)


def _product(factors: Sequence[_Index]) -> _Index:
    if len(factors) == 1:
        return factors[0]
    return _Index(" * ".join(f.at(3) for f in factors), 2)


@dataclass(frozen=True)
class _Where:
    """What stands for each axis that is not split, and for split ones where that is known."""

    axes: Mapping[str, _Index]
    known: Mapping[str, _Index] = field(default_factory=dict)


class _Indices:
    """Indices as Coq integers."""

    def __init__(self, context: Context, names: Mapping[tuple[str, str], str]) -> None:
        self.context = context
        self.names = names

    def extent(self, axis: str) -> _Index:
        """The size of an axis."""
        return self.read(self.context.axes[axis], _Where({}))

    def read(self, p: Polynomial, where: _Where) -> _Index:
        """A polynomial."""
        plus, less = self._summands(p, where)
        return _sum(plus, less)

    def compare(self, p: Polynomial, where: _Where, suffix: str = "") -> str:
        """That a polynomial is at least 0, without a summand on the wrong side."""
        plus, less = self._summands(p, where)
        strict = bool(p.terms) and p.terms[-1] == ((), -1)
        relation = "<" if strict else "<="
        left = _sum(less[:-1] if strict else less, ())
        return f"{left.text} {relation}{suffix} {_sum(plus, ()).text}"

    def _summands(self, p: Polynomial, where: _Where) -> tuple[list[_Index], list[_Index]]:
        sides: tuple[list[_Index], list[_Index]] = ([], [])
        for monomial, c in p.terms:
            factors = [self._atom(atom, where) for atom, power in monomial for _ in range(power)]
            if abs(c) != 1 or not factors:
                factors.insert(0, _Index(str(abs(c))))
            sides[c < 0].append(_product(factors))
        return sides

    def _atom(self, atom: Atom, where: _Where) -> _Index:
        if isinstance(atom, str):
            if not is_axis(atom):
                return _Index(self.names["size", atom])
            known = where.known.get(atom)
            return self.spelled(atom, where) if known is None else known
        sign = "/" if isinstance(atom, Quotient) else "mod"
        left, right = self.read(atom.numerator, where), self.read(atom.denominator, where)
        return _Index(f"{left.at(3)} {sign} {right.at(3)}", 2)

    def spelled(self, axis: str, where: _Where) -> _Index:
        """The index of an axis as its parts make it up."""
        split = self.context.splits.get(axis)
        if split is None:
            return where.axes[axis]
        outer = self.spelled(split.outer, where)
        whole = _product((outer, self.extent(split.inner)))
        return _sum((whole, self.spelled(split.inner, where)), ())

    def bind(self, where: _Where, axis: str) -> _Where:
        """Inside a fold over an axis: what the names of axes stand for."""
        own = set(self.context.leaves(axis))
        index = _Index(self.names["axis", axis])
        known = {a: i for a, i in where.known.items() if own.isdisjoint(self.context.leaves(a))}
        placed = dict(where.axes)
        self._place(placed, axis, index)
        if axis in self.context.splits:
            known[axis] = index
        return _Where(placed, known)

    def _place(self, placed: dict[str, _Index], axis: str, index: _Index) -> None:
        split = self.context.splits.get(axis)
        if split is None:
            placed[axis] = index
            return
        extent = self.extent(split.inner).at(3)
        self._place(placed, split.outer, _Index(f"{index.at(3)} / {extent}", 2))
        self._place(placed, split.inner, _Index(f"{index.at(3)} mod {extent}", 2))


# Values -------------------------------------------------------------------------------------

_BINDERS = {"Sum": "∑", "Product": "∏", "Max": "max", "Min": "min", "All": "⋀", "Any": "⋁"}
_CALLS = {
    "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs", "Rescale": "rescale",
}  # fmt: skip
_INFIX = {"Less": "<?", "Equal": "=?", "And": "&&", "Or": "||"}
_ANYTHING, _OPERAND, _FACTOR, _UNARY, _CALL, _ATOM = range(6)
"""How tightly a text binds: a sum over an index, a sum, a product, a sign, a call, a name."""

_Text = tuple[_Doc, int]
_Place = tuple[Term, tuple[int, ...], tuple[tuple[str, str], ...]]
"""A component of a term, with what stands for the axes that it reads."""
_Say = Callable[[Sequence[str]], None]
_Quantify = Callable[[Sequence[str], _Doc], None]


class _Printer:
    """The value of terms as Coq writes it.

    What is long and occurs again is defined once, as a function of the indices that are bound
    around it.  So a first walk counts, and a second one writes.
    """

    def __init__(self, indices: _Indices, goal: Goal | Hypothesis) -> None:
        self.indices = indices
        self.names = indices.names
        self.free = _free_leaves(indices.context, goal.left, goal.right)
        self.roots: set[_Place] = set()
        self.bound = {
            self.names["axis", axis]
            for node in self.free
            if node.op in {"Reduce", "Opaque"}
            for axis in str(node.args[1]).split()
        }
        used = {*self.names.values(), *_KEYWORDS}
        self.fresh = (name for k in count(1) if (name := f"t{k}") not in used)
        self.uses: Counter[_Place] = Counter()
        self.weights = [0]
        self.weight: dict[_Place, int] = {}
        self.written: dict[_Place, _Text] | None = None
        self.definitions: list[_Doc] = []

    def count(self, node: Term, where: _Where) -> None:
        """The first walk.

        Errors: _NoStatement where the term is too long with every use written out.
        """
        self.roots.add(self._place(node, where, ()))
        self.at(node, where, (), _ANYTHING)
        if self.weights[0] > LONGEST:
            raise _NoStatement(f"it has more than {LONGEST} operators")

    def at(self, node: Term, where: _Where, path: tuple[int, ...], level: int) -> _Doc:
        """A component of a term where a text of that level may stand."""
        place = self._place(node, where, path)
        if self.written is None:
            self.uses[place] += 1
            if place not in self.weight:
                self.weights.append(1)
                self.value(place[0], where, place[1])
                self.weight[place] = self.weights.pop()
            self.weights[-1] += self.weight[place]
            return ""
        if place not in self.written:
            self.written[place] = self._write(place, where)
        doc, own = self.written[place]
        return doc if own >= level else ("(", doc, ")")

    def _place(self, node: Term, where: _Where, path: tuple[int, ...]) -> _Place:
        while node.op in {"First", "Second"} or (node.op == "Tuple" and path):
            if node.op == "Tuple":
                node, path = node.children[path[0]], path[1:]
            else:
                node, path = node.children[0], (int(node.op == "Second"), *path)
        read = self.free[node]
        own = {axis: i for axis, i in where.axes.items() if axis in read}
        own |= {axis: i for axis, i in where.known.items() if axis in node.axes}
        return node, path if node.shape else (), tuple(sorted((a, i.text) for a, i in own.items()))

    def _write(self, place: _Place, where: _Where) -> _Text:
        node, path, read = place
        text = self.value(node, where, path)
        once = self.uses[place] < 2 or not node.children or place in self.roots
        if once or len(_flat(text[0])) < LONG:
            return text
        inside = {word for _, i in read for word in re.findall(r"[A-Za-z][\w']*", i)}
        name, own = next(self.fresh), sorted(inside & self.bound)
        head = f"let {name} ({' '.join(own)} : Z) :=" if own else f"let {name} :="
        self.definitions.append(_Group((head, ("(", text[0], ")%value in")), 2))
        return " ".join((name, *own)), _CALL if own else _ATOM

    def value(self, node: Term, where: _Where, path: tuple[int, ...]) -> _Text:
        """The component of a term that a path leads to, and how tightly its text binds."""
        op, args = node.op, node.args
        if op == "Input":
            return self._call(self.names["input", str(args[0])], self._indices(args[1], where))
        if op == "Constant":
            assert isinstance(args[0], Fraction)
            return _number(args[0])
        if op == "NegativeInfinity":
            return "-∞", _ATOM
        if op == "Undefined":
            return "undefined", _ATOM
        if op == "Index":
            return _argument(self.indices.read(size(str(args[0])), where)), _ATOM
        if op == "Predicate":
            return f"({self.indices.compare(size(str(args[0])), where, '?')})%Z", _ATOM
        if op == "Reduce":
            assert isinstance(args[0], Term)
            inner = self.indices.bind(where, str(args[1]))
            return self._fold(args[0], str(args[1]), node.children[1], inner, path, ())
        if op == "Opaque":
            return self._opaque(node, where)
        return self._operator(node, where, path)

    def _operator(self, node: Term, where: _Where, path: tuple[int, ...]) -> _Text:
        op, children = node.op, node.children

        def at(k: int, level: int) -> _Doc:
            return self.at(children[k], where, path, level)

        if op in {"Add", "Mul"}:
            return self._arithmetic(node, where, path)
        if op == "Inverse":
            return ("/ ", at(0, _UNARY)), _UNARY
        if op in {"Maximum", "Minimum"}:
            name = "max" if op == "Maximum" else "min"
            arguments = _Group(((at(0, _OPERAND), ","), at(1, _OPERAND)))
            return (f"{name} (", arguments, ")"), _ANYTHING
        if op in _CALLS:
            return self._call(_CALLS[op], [at(k, _ATOM) for k in range(len(children))])
        if op == "Function" and node.args[0] in DEFINED:
            return self._call(str(node.args[0]), [at(0, _ATOM)])
        if op == "Function":
            name = self.names["function", str(node.args[0])]
            return self._call(f"lift {name}", [at(0, _ATOM)])
        if op in _INFIX:
            parts = (at(0, _UNARY), (f"{_INFIX[op]} ", at(1, _UNARY)))
            return _Group(parts), _ANYTHING
        if op == "Not":
            return ("¬ ", at(0, _CALL)), _ANYTHING
        assert op == "Select", op
        condition = self.at(children[0], where, (), _OPERAND)
        branches = ("then ", at(1, _OPERAND)), ("else ", at(2, _ANYTHING))
        return _Group((("when ", condition), *branches), 2), _ANYTHING

    def _arithmetic(self, node: Term, where: _Where, path: tuple[int, ...]) -> _Text:
        left, right = node.children

        def at(child: Term, level: int) -> _Doc:
            return self.at(child, where, path, level)

        if node.op == "Add":
            if _negated(right):
                return _chain(at(left, _OPERAND), "- ", at(right.children[1], _FACTOR), _OPERAND)
            return _chain(at(left, _OPERAND), "+ ", at(right, _FACTOR), _OPERAND)
        if _negated(node):
            return ("- ", at(right, _UNARY)), _UNARY
        if right.op == "Inverse":
            return _chain(at(left, _FACTOR), "/ ", at(right.children[0], _UNARY), _FACTOR)
        return _chain(at(left, _FACTOR), "* ", at(right, _UNARY), _FACTOR)

    def _fold(
        self,
        monoid: Term,
        axis: str,
        body: Term,
        inner: _Where,
        path: tuple[int, ...],
        before: tuple[int, ...],
    ) -> _Text:
        bound = f"{self.names['axis', axis]} < {self.indices.extent(axis).text},"
        if monoid.op == "Both":
            part = monoid.children[path[0]]
            return self._fold(part, axis, body, inner, path[1:], (*before, path[0]))
        if monoid.op != "RescaledSum":
            text = self.at(body, inner, (*before, *path), _ANYTHING)
            return _Group((f"{_BINDERS[monoid.op]} {bound}", text), 2), _ANYTHING
        score = self.at(body, inner, (*before, 0, *path[1:]), _ANYTHING)
        if path[0] == 0:
            return _Group((f"max {bound}", score), 2), _ANYTHING
        text = self.at(body, inner, (*before, 1, *path[1:]), _OPERAND)
        return _Group((f"rescaled {bound}", text, ("by ", score)), 2), _ANYTHING

    def _opaque(self, node: Term, where: _Where) -> _Text:
        bound = str(node.args[1]).split()
        inner = where
        for axis in bound:
            inner = self.indices.bind(inner, axis)
        extents = [_flat(_argument(self.indices.extent(axis))) for axis in bound]
        names = [self.names["axis", axis] for axis in bound]
        arguments: list[_Doc] = list(extents)
        for path in _paths(node.children[0].shape):
            body = self.at(node.children[0], inner, path, _ATOM)
            if bound:
                lists = f"within [{'; '.join(extents)}] [{'; '.join(names)}]"
                body = (
                    "(",
                    _Group((f"fun {' '.join(names)} =>", _Group((lists, body), 2)), 2),
                    ")",
                )
            else:
                body = ("(", _Group(("within [] []", body), 2), ")")
            arguments.append(body)
        arguments += self._indices(node.args[2], where)
        return self._call(self.names["operator", str(node.args[0])], arguments)

    def _indices(self, text: object, where: _Where) -> list[_Doc]:
        return [_argument(self.indices.read(p, where)) for p in indices_of(str(text))]

    def _call(self, name: str, arguments: Sequence[_Doc]) -> _Text:
        if not arguments:
            return name, _ATOM
        if len(arguments) == 1:
            return (f"{name} ", arguments[0]), _CALL
        return _Group((name, *arguments), 2), _CALL


def _argument(index: _Index) -> str:
    """An index as the argument of an array."""
    if index.level < 3:
        return f"({index.text})%Z"
    return f"{index.text}%Z" if index.text.isdigit() else index.text


def _number(value: Fraction) -> _Text:
    top = str(value.numerator) if value >= 0 else f"({value.numerator})"
    if value.denominator == 1:
        return top, _ATOM
    return f"{top} / {value.denominator}", _FACTOR


def _negated(node: Term) -> bool:
    """Whether a term is −x, and the text ``- x`` says no number."""
    return node.op == "Mul" and node.args[0] is MINUS_ONE and node.children[1].op != "Constant"


def _chain(left: _Doc, sign: str, right: _Doc, level: int) -> _Text:
    """a + b + c as one group, so that it breaks into lines at every sign."""
    same = isinstance(left, _Group) and left.chain == level
    parts = left.parts if isinstance(left, _Group) and same else (left,)
    return _Group((*parts, (sign, right)), 0, level), level


def _free_leaves(context: Context, *roots: Term) -> dict[Term, frozenset[str]]:
    """The unsplit axes that each subterm depends on."""
    free: dict[Term, frozenset[str]] = {}
    for node in subterms(*roots):
        axes = frozenset[str]().union(*(free[child] for child in node.children))
        if node.op in {"Reduce", "Opaque"}:
            axes -= {leaf for axis in str(node.args[1]).split() for leaf in context.leaves(axis)}
        own = {axis for p in _read_at(node) for axis in p.variables if is_axis(axis)}
        free[node] = axes | {leaf for axis in own for leaf in context.leaves(axis)}
    return free


def _paths(shape: Shape) -> list[tuple[int, ...]]:
    if shape is None:
        return [()]
    return [(k, *path) for k, part in enumerate(shape) for path in _paths(part)]


# Statements ---------------------------------------------------------------------------------


def _identifiers(
    wanted: Iterable[tuple[str, str]], taken: Iterable[str]
) -> dict[tuple[str, str], str]:
    """Coq names for sizes, inputs, functions, operators and axes, all different."""
    used = set(taken) | _KEYWORDS
    names: dict[tuple[str, str], str] = {}
    for kind, name in wanted:
        text = re.sub(r"[^A-Za-z0-9_']", "_", name.split(" [")[0])
        if not re.match(r"[A-Za-z]", text):
            text = f"x{text}"
        while text in used or _INNER.fullmatch(f"{kind} {text}"):
            text += "'"
        used.add(text)
        names[kind, name] = text
    return names


class _Statement:
    """One goal: the names in it, its text and its proof."""

    def __init__(self, made: Export, goal: Goal, name: str) -> None:
        self.made, self.goal, self.name = made, goal, name
        self.context = context = made.certificate.context
        if goal.left.shape is not None:
            raise _NoStatement("it is about pairs")
        self.hypotheses = made.certificate.hypotheses
        roots = [t for h in self.hypotheses for t in (h.left, h.right)]
        if any(t.shape is not None for t in roots):
            raise _NoStatement("it supposes something of pairs")
        nodes = list(subterms(goal.left, goal.right, *roots))
        axes = {a for node in nodes for a in node.axes}
        for node in nodes:
            if node.op in {"Reduce", "Opaque"}:
                axes |= set(str(node.args[1]).split())
        for split, into in context.splits.items():
            if split in axes or into.outer in axes or into.inner in axes:
                axes |= {split, *context.leaves(split), into.outer, into.inner}
        self.ranks = self._ranks(nodes)
        self.kinds = {x: _VALUES[context.inputs.get(x, "extended")] for x in self.ranks}
        polynomials = [context.axes[a] for a in axes] + list(context.assumptions)
        for node in nodes:
            polynomials += _read_at(node)
        sizes = {v for p in polynomials for v in p.variables if not is_axis(v)}
        self.sizes = sorted(sizes)
        self.inputs = sorted(self.ranks)
        named = {str(n.args[0]) for n in nodes if n.op == "Function"}
        self.functions = sorted(named - DEFINED.keys())
        self.operators = {str(n.args[0]): n for n in nodes if n.op == "Opaque"}
        for node in nodes:
            if node.op == "Opaque" and _arity(node) != _arity(self.operators[str(node.args[0])]):
                raise _NoStatement(f"{node.args[0]} takes different numbers of arguments")
        wanted = [("size", s) for s in self.sizes] + [("input", x) for x in self.inputs]
        wanted += [("function", f) for f in self.functions]
        wanted += [("operator", f) for f in self.operators] + [("axis", a) for a in sorted(axes)]
        own = {f"law_{law.identifier}" for law in made.own}
        parts = ("context", "nodes", "goals", "lemmas", "laws", "hypotheses")
        parts_of = {f"{name}_{part}" for part in parts}
        self.names = _identifiers(wanted, {name, *parts_of, *own})
        self.free = self._free()
        self.supposed: list[str] = []
        """The names of the premises that are hypotheses."""

    def _ranks(self, nodes: Sequence[Term]) -> dict[str, int]:
        ranks: dict[str, int] = {}
        for node in nodes:
            if node.op == "Input":
                rank = len(indices_of(str(node.args[1])))
                if ranks.setdefault(str(node.args[0]), rank) != rank:
                    raise _NoStatement(f"{node.args[0]} is read at different numbers of indices")
        return ranks

    def _free(self) -> list[str]:
        """The unsplit axes that the goal is about, in the order of its dimensions."""
        found = _free_leaves(self.context, self.goal.left, self.goal.right)
        axes = found[self.goal.left] | found[self.goal.right]
        order = [leaf for d in self.goal.layout for a in d for leaf in self.context.leaves(a)]
        return sorted(axes, key=lambda a: (order.index(a) if a in order else len(order), a))

    # The text -------------------------------------------------------------------------------

    def text(self, number: int) -> str:
        """The theorem and its proof."""
        names, context = self.names, self.context
        indices = _Indices(context, names)
        where = _Where({axis: _Index(names["axis", axis]) for axis in self.free})
        printer = _Printer(indices, self.goal)
        printer.count(self.goal.left, where)
        printer.count(self.goal.right, where)
        printer.written = {}
        left = printer.at(self.goal.left, where, (), _OPERAND)
        right = printer.at(self.goal.right, where, (), _OPERAND)
        typed = " :> Value" if self.goal.left.op in {"Input", "Index", "Predicate"} else ""
        equation = ("(", _Group((left, ("= ", right, typed))), ")%value")

        introduced: list[str] = []
        supposed = count(1)
        lines: list[_Doc] = []

        def quantify(variables: Sequence[str], sort: _Doc) -> None:
            introduced.extend(variables)
            lines.append(("forall (", _Group((*variables, (": ", sort)), 2), "),"))

        def suppose(premises: Sequence[str]) -> None:
            introduced.extend(f"premise_{next(supposed)}" for _ in premises)
            lines.extend(_filled([f"{premise} ->" for premise in premises]))

        laws = [f"law_sound law_{law.identifier}" for law in self.made.own]
        suppose(laws)
        premises = " ".join(introduced)
        if self.sizes:
            quantify([names["size", s] for s in self.sizes], "Z")
            suppose([f"{max(context.least(s), 0)} <= {names['size', s]}" for s in self.sizes])
        suppose([indices.compare(p, _Where({})) for p in context.assumptions])
        self._quantify_arrays(quantify, suppose)
        for function in self.functions:
            quantify([names["function", function]], "R -> R")
        for operator, node in self.operators.items():
            bound, outputs, arrays = _arity(node)
            array = f"({_arrows(bound)}Value) ->" if bound else "Value ->"
            extents = [_arrows(bound).strip()] if bound else []
            sort = _Group((*extents, *[array] * arrays, f"{_arrows(outputs)}Value"))
            quantify([names["operator", operator]], sort)
        for hypothesis in self.hypotheses:
            introduced.append(f"premise_{next(supposed)}")
            self.supposed.append(introduced[-1])
            lines.append((self._premise(indices, hypothesis), " ->"))
        if self.free:
            free = [names["axis", a] for a in self.free]
            quantify(free, "Z")
            bounds = [indices.extent(a).text for a in self.free]
            suppose([f"0 <= {a} < {n}" for a, n in zip(free, bounds, strict=True)])
        lines += [*printer.definitions, equation]
        body = "\n".join(f"  {_render(line, 2, 1)}" for line in lines)
        theorem = f"{self._comment(number)}Theorem statement_{number} :\n{body}.\n"
        return f"{theorem}Proof.\n{self._proof(introduced, premises)}Qed.\n"

    def _premise(self, indices: _Indices, hypothesis: Hypothesis) -> _Doc:
        """What a hypothesis says of the arrays."""
        free = self._axes_of(hypothesis)
        where = _Where({axis: _Index(self.names["axis", axis]) for axis in free})
        printer = _Printer(indices, hypothesis)
        printer.count(hypothesis.left, where)
        printer.count(hypothesis.right, where)
        printer.written = {}
        left, right = (
            printer.at(side, where, (), _OPERAND) for side in (hypothesis.left, hypothesis.right)
        )
        if printer.definitions:
            raise _NoStatement("what it supposes is too long")
        typed = " :> Value" if hypothesis.left.op in {"Input", "Index", "Predicate"} else ""
        equation = ("(", _Group((left, ("= ", right, typed))), ")%value")
        if not free:
            return ("(", equation, ")")
        axes = [self.names["axis", a] for a in free]
        bounds = [
            f"0 <= {a} < {indices.extent(axis).text} ->" for a, axis in zip(axes, free, strict=True)
        ]
        return ("(", _Group((f"forall {' '.join(axes)} : Z,", *bounds, equation), 2), ")")

    def _axes_of(self, hypothesis: Hypothesis) -> list[str]:
        """The unsplit axes that a hypothesis is about."""
        found = _free_leaves(self.context, hypothesis.left, hypothesis.right)
        return sorted(found[hypothesis.left] | found[hypothesis.right])

    def _premises(self) -> str:
        """The tactic that takes each hypothesis from its premise."""
        numbers = self.made.names["axis"]
        cases = []
        for premise, hypothesis in zip(self.supposed, self.hypotheses, strict=True):
            axes = self._axes_of(hypothesis)
            bounds = [f"B{k}" for k in range(len(axes))]
            values = [f"(r {numbers[a]}%positive)" for a in axes]
            pattern = " & ".join((*bounds, "_")) if bounds else "_"
            cases.append(
                f"split; [intros r p {f'({pattern})' if bounds else pattern}; "
                f"exact ({' '.join((premise, *values, *bounds))}) |]"
            )
        return "; ".join((*cases, "exact I"))

    def _comment(self, number: int) -> str:
        programs = [str(self.made.certificate.about.get(side, "")) for side in ("left", "right")]
        if not all(map(str.isidentifier, programs)):
            return ""
        return f"(* Output {number} of {programs[0]} and of {programs[1]}. *)\n"

    def _quantify_arrays(self, quantify: _Quantify, suppose: _Say) -> None:
        groups: dict[tuple[str, int], list[str]] = {}
        for x in self.inputs:
            groups.setdefault((self.kinds[x], self.ranks[x]), []).append(x)
        for (kind, rank), inputs in groups.items():
            quantify([self.names["input", x] for x in inputs], f"{_arrows(rank)}{kind}")
            if kind == "Value":
                for x in inputs:
                    at = " ".join(f"i_{k}" for k in range(1, rank + 1))
                    array = self.names["input", x]
                    each = f"(forall {at}, defined ({array} {at}))" if rank else f"defined {array}"
                    suppose([each])

    # The proof ------------------------------------------------------------------------------

    def _proof(self, introduced: Sequence[str], premises: str) -> str:
        made, names, name = self.made, self.names, self.name
        numbers = made.names
        ns = _by_number(
            numbers["size"], {s: names["size", s] for s in self.sizes},
            lambda s: f"{max(self.context.least(s), 0)}",
        )  # fmt: skip
        arrays = {
            x: f"{_ARRAYS[self.kinds[x]]} {self.ranks[x]} {names['input', x]}" for x in self.inputs
        }
        xs = _by_number(numbers["input"], arrays, lambda _: "Unused")
        functions = {f: names["function", f] for f in self.functions}
        fs = _by_number(numbers["function"], functions, lambda _: "(fun x => x)")
        operators = {f: self._operator(node) for f, node in self.operators.items()}
        os = _by_number(numbers["operator"], operators, lambda _: "(fun _ _ _ => undefined)")
        free = {a: names["axis", a] for a in self.free}
        indices = _by_number(numbers["axis"], free, lambda _: "0")
        axes = f"[{'; '.join(str(numbers['axis'][a]) for a in self.free)}]"
        certificate = f"({name} {premises})" if premises else name
        goal = f"{made.node(self.goal.left)}%positive {made.node(self.goal.right)}%positive"
        first = f"readback {certificate} {name}_context {name}_nodes {name}_goals"
        last: list[str] = []
        if self.hypotheses:
            axes_of = "; ".join(
                f"[{'; '.join(str(numbers['axis'][a]) for a in self._axes_of(h))}]"
                for h in self.hypotheses
            )
            first = (
                f"readback_given {certificate} {name}_context {name}_nodes {name}_hypotheses "
                f"([{axes_of}]%positive : list (list axis)) {name}_goals"
            )
            last = f"ltac:({self._premises()})".split()
        values = f"{goal} (Subjects {ns} {xs} {fs} {os} {indices} {axes}%positive)".split() + last
        intros = _filled(["intros", *introduced]) if introduced else []
        lines = _ended(intros) + _ended([*_filled(first.split()), *_filled(values)])
        return "".join(f"  {line}\n" for line in lines)

    def _operator(self, node: Term) -> str:
        """An operator by its name as the model has it: on lists of sizes and of indices."""
        bound, outputs, _ = _arity(node)
        ns = [f"n{k}" for k in range(bound)]
        js = [f"j{k}" for k in range(bound)]
        ks = [f"k{k}" for k in range(outputs)]
        binder = f"fun {' '.join(js)} => " if js else ""
        arrays = [
            f"({binder}g [{'; '.join(js)}] [{'; '.join(('Left', 'Right')[k] for k in path)}])"
            for path in _paths(node.children[0].shape)
        ]
        call = " ".join((self.names["operator", str(node.args[0])], *ns, *arrays, *ks))
        patterns = f"[{'; '.join(ns)}], [{'; '.join(ks)}]"
        return (
            f"(fun (ns : list Z) (g : list Z -> object) (is : list Z) => match ns, is with "
            f"{patterns} => {call} | _, _ => undefined end)"
        )


_VALUES = {"real": "R", "integer": "R", "boolean": "bool", "extended": "Value"}
_ARRAYS = {"R": "Reals", "bool": "Booleans", "Value": "Extended"}


def _arrows(rank: int) -> str:
    return "Z -> " * rank


def _read_at(node: Term) -> tuple[Polynomial, ...]:
    """The indices that a node itself reads."""
    position = INDEX_TEXT.get(node.op)
    return () if position is None else indices_of(str(node.args[position]))


def _arity(node: Term) -> tuple[int, int, int]:
    """The bound axes, the indices and the operands of an opaque operator."""
    return (
        len(str(node.args[1]).split()),
        len(indices_of(str(node.args[2]))),
        len(_paths(node.children[0].shape)),
    )


def _by_number(
    numbers: Mapping[str, int], chosen: Mapping[str, str], default: Callable[[str], str]
) -> str:
    """A Coq list of what stands for names, in the order of their numbers."""
    items = [chosen.get(name) or default(name) for name in numbers]
    last = max((k for k, name in enumerate(numbers, 1) if name in chosen), default=0)
    return f"[{'; '.join(items[:last])}]"


def _ended(lines: Sequence[str]) -> list[str]:
    """The lines of a tactic."""
    first, *rest = lines or [""]
    ended = [first, *(f"  {line}" for line in rest)]
    return [*ended[:-1], f"{ended[-1]}."] if lines else []


def _filled(words: Sequence[str]) -> list[str]:
    """Words in lines."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 6 <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


_HEADER = """From Ncd Require Import Readback.
Local Open Scope list_scope.
Local Open Scope Z_scope.
"""


def statements(
    certificate: Certificate, made: Export | None = None, name: str = "certificate"
) -> str:
    """The goals as theorems ``statement_1`` … in plain mathematics, to follow the exported theorem.

    ``made`` is the export whose numbers the definitions use.  A goal that has no such statement is
    named in a comment.
    """
    if made is None:
        made = Export(certificate)
        made.definitions(name)
    texts = [_HEADER]
    for number, goal in enumerate(certificate.goals, 1):
        try:
            texts.append(_Statement(made, goal, name).text(number))
        except (_NoStatement, RecursionError) as error:
            why = str(error) if isinstance(error, _NoStatement) else "it is nested too deeply"
            why = why.replace("(*", "( *").replace("*)", "* )").replace('"', "'")
            texts.append(f"(* Goal {number} has no statement: {why}. *)\n")
    return "\n".join(texts)
