"""Python's meaning of terms beside Coq's, on random terms and exact inputs.

``semantics.denote`` computes over rationals; ``denote`` of ``proofs/Wires.v`` is about reals, and
``evaluate`` of ``proofs/Evaluation.v``, which is proved to agree with it, computes.  Inputs are the
same integer formula on both sides, :func:`read` here and ``draw`` in the Coq file.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import cycle, islice

from ncd_formal import semantics, wires
from ncd_formal.certificate import Certificate
from ncd_formal.conditions import Context, Split
from ncd_formal.coq import kernel
from ncd_formal.coq.export import Export
from ncd_formal.semantics import NINF, UNDEF, NotExactError, Special, Value
from ncd_formal.sizes import size
from ncd_formal.wires import FUNCTIONS, SIGNATURE, Shape, Term, subterms, term
from tests.coq import needs_coq
from tests.exact import CONTEXTS, exactly, same, sample_sizes, size_names

COUNT = 1300
COSTLIEST = 1500
"""How many nodes a term may visit."""

# Inputs -------------------------------------------------------------------------------------

INPUTS = {
    "R": "real", "S": "real", "N": "integer", "B": "boolean", "E": "extended",
    "Flat": "extended", "Weight": "extended", "Unit": "extended", "Square": "real",
}  # fmt: skip
"""Input → kind, in the order of their numbers in Coq: 1 and up."""


def read(salt: int) -> Callable[[str, tuple[int, ...]], Value]:
    """Inputs that depend on a number: a rational or −∞ at every index."""
    numbers = {name: k for k, name in enumerate(INPUTS, 1)}

    def value(name: str, index: tuple[int, ...]) -> Value:
        h = (salt * 13 + numbers[name] * 101) % 1009
        for i in index:
            h = (h * 37 + i * 5 + 11) % 1009
        k = h // 9
        match name:
            case "N":
                return Fraction(h % 6 - 2)
            case "B":
                return Fraction(h % 2)
            case "E" if k % 4 == 0:
                return NINF
            case "Flat":  # one number: scores whose weights are rational
                return NINF if h % 3 == 0 else Fraction(salt % 7 - 3, 2)
            case "Weight":  # what has a rational exponential
                return NINF if h % 3 == 0 else Fraction(0)
            case "Unit":  # what has a rational logarithm
                return NINF if h % 6 == 0 else Fraction((h % 6) // 2 % 2) if k % 4 else Fraction(-1)
            case "Square":
                return Fraction((h % 5) ** 2, (1 + k % 3) ** 2)
        return Fraction(h % 19 - 8, 1 + k % 4)

    return value


PRELUDE = """From Coq Require Import List PArith ZArith QArith.
From Ncd Require Import Monoids Sizes Contexts Wires Evaluation.
Import ListNotations.
Local Open Scope Q_scope.
Local Open Scope Z_scope.
Definition draw (salt : Z) (x : positive) (index : list Z) : exact_value :=
  let h := fold_left (fun h i => (h * 37 + i * 5 + 11) mod 1009) index
    ((salt * 13 + Zpos x * 101) mod 1009) in
  let k := h / 9 in
  let fraction n d := QFin (Qmake n (Z.to_pos d)) in
  let real := fraction (h mod 19 - 8) (1 + k mod 4) in
  match Zpos x with
  | 3 => fraction (h mod 6 - 2) 1
  | 4 => fraction (h mod 2) 1
  | 5 => if k mod 4 =? 0 then QNegInf else real
  | 6 => if h mod 3 =? 0 then QNegInf else fraction (salt mod 7 - 3) 2
  | 7 => if h mod 3 =? 0 then QNegInf else fraction 0 1
  | 8 => if h mod 6 =? 0 then QNegInf
         else if k mod 4 =? 0 then fraction (-1) 1 else fraction ((h mod 6) / 2 mod 2) 1
  | 9 => fraction ((h mod 5) * (h mod 5)) ((1 + k mod 3) * (1 + k mod 3))
  | _ => real end.
(* Numbers as fractions; −∞, the undefined and what is not computed as -1/0, 0/0 and 1/0. *)
Definition written (x : option exact_value) : Z * Z := match x with
  | Some (QFin q) => (Qnum q, Zpos (Qden q))
  | Some QNegInf => (-1, 0)
  | Some QUndef => (0, 0)
  | None => (1, 0) end.
Definition values G (sizes : list (positive * Z)) salt (r : list (positive * Z)) t paths :=
  let at_ l a := find 0 (map_of l) a in
  map (fun p => written (evaluate G (ExactModel (at_ sizes) (draw salt)) t (at_ r) p)) paths.
Local Open Scope positive_scope.
Set Printing Depth 100000.
"""

# Random terms -------------------------------------------------------------------------------

_MORE = {
    # Every size may be 0, and masked digits are split again.
    "masked-twice": Context(
        {
            axis: size(extent)
            for axis, extent in (
                ("x.0", "n"), ("b.0", "k"), ("i.0", "t"), ("c.0", "2"), ("d.0", "s"), ("y.0", "m")
            )
        },
        dict.fromkeys("nktsm", 0),
        (size("k*t - n"), size("2*s - t")),
        {"x.0": Split("b.0", "i.0", True), "i.0": Split("c.0", "d.0", True)},
    ),
}  # fmt: skip
ALL_CONTEXTS: Mapping[str, Context] = {
    name: replace(context, inputs=INPUTS) for name, context in {**CONTEXTS, **_MORE}.items()
}

SCALARS = ("Sum", "Product", "Max", "Min", "All", "Any")
UNARY = ("Inverse", "Exp", "Log", "Sqrt", "Abs", "Not", "Function")
BINARY = ("Add", "Mul", "Maximum", "Minimum", "Rescale", "Less", "Equal", "And", "Or")
LEAVES = ("Input", "Constant", "NegativeInfinity", "Undefined", "Index", "Predicate")
ROOTS = (
    *(*UNARY, *BINARY, "Select", "Tuple", "First", "Second"), *(*SCALARS, "Both", "RescaledSum")
)  # fmt: skip
"""What a term of the batch has at its root: an operator, or a reduction by a monoid."""

SHAPES: tuple[Shape, ...] = (
    None, None, None, (None, None), (None, None), (None, (None, None)), ((None, None), None)
)  # fmt: skip


@dataclass
class Typed:
    """Random well-typed terms, of a kind whose values are often rational and seldom undefined."""

    context: Context
    generator: random.Random

    @cached_property
    def axes(self) -> tuple[str, ...]:
        return tuple(self.context.axes)

    def polynomial(self) -> str:
        """An index: an axis or two, at times under a quotient or a remainder."""
        g = self.generator
        a, b = g.choice(self.axes), g.choice(self.axes)
        n = str(self.context.axes[a])
        text = g.choice(
            [a, a, a, b, n, f"{n} - 1 - {a}", f"{a} - {b}", f"2*{a} - 3*{b} + 1", f"{a}*{b} - {n}",
             f"{a}**2 - 2", f"({a} + {b}) // 2", f"({a} - {b}) % 3", f"({a} - {b} - 1) // (-2)",
             f"({a} + 2*{b} - 1) % (-3)", f"({a} + {b}) % ({n} + 1)", "-2", "0",
             f"(2*{a} + {b}) // ({n} + 1)", f"(({a} + 3) // 2) % ({n} + 2)", f"1 - {a} - {b}"]
        )  # fmt: skip
        return str(size(text))

    def monoid(self, shape: Shape, op: str = "") -> Term:
        """A monoid that folds values of a shape, of a given name where there is one."""
        g = self.generator
        if shape is None:
            return term(op or g.choice((*SCALARS, "Sum", "Max")))
        if op == "RescaledSum" or (not op and shape[0] is None and g.random() < 0.5):
            return wires.RESCALED_SUM
        return term("Both", self.monoid(shape[0]), self.monoid(shape[1]))

    def of(self, shape: Shape, depth: int) -> Term:
        """A term of a shape."""
        g = self.generator
        if shape is None:
            if depth <= 0 or g.random() < 0.1:
                return self.leaf(g.choices(LEAVES, weights=(12, 4, 0.6, 0.1, 2, 2))[0])
            op = g.choices(
                (*UNARY, *BINARY, "Select", "First", "Second", "Reduce"),
                weights=(
                    *(1.0, 0.7, 0.5, 0.7, 1.0, 0.7, 0.1),
                    *(4.0, 4.0, 1.5, 1.5, 1.0, 1.5, 1.0, 0.7, 0.7),
                    *(3.0, 1.0, 1.5, 5.0),
                ),
            )[0]
            return self.reduced(None, depth) if op == "Reduce" else self.rooted(op, depth, (None,))
        if depth <= 0:
            return wires.pair(self.of(shape[0], 0), self.of(shape[1], 0))
        match g.choices(range(4), weights=(4, 1, 4, 1))[0]:
            case 0:
                return wires.pair(self.of(shape[0], depth - 1), self.of(shape[1], depth - 1))
            case 1:
                return self.select(shape, depth)
            case 2:
                return self.reduced(shape, depth)
            case _:
                return self.part(g.choice(("First", "Second")), shape, depth)

    def root(self, root: str, depth: int) -> Term:
        """A term with an operator or a monoid at its root."""
        g = self.generator
        if root in SCALARS:
            return self.reduced(None, depth, root)
        if root in {"Both", "RescaledSum"}:
            shape = g.choice([s for s in SHAPES if s and (root == "Both" or s[0] is None)])
            return self.reduced(shape, depth, root)
        return self.rooted(root, depth)

    def rooted(self, op: str, depth: int, shapes: Sequence[Shape] = SHAPES) -> Term:
        """A term with an operator at its root, its arguments drawn to suit."""
        g = self.generator
        if op == "Function":
            argument = g.choice((wires.NEGATIVE_INFINITY, self.input("Flat"), self.of(None, 1)))
            return term(op, g.choice(sorted(FUNCTIONS)), argument)
        if op in UNARY:
            return term(op, self.suited(op, depth - 1))
        if op == "Rescale":
            top = self.input("Flat") if g.random() < 0.7 else self.of(None, depth - 1)
            score = g.choice(
                (top, top, self.input("Flat"), wires.NEGATIVE_INFINITY, self.of(None, depth - 1))
            )
            return term(op, score, term("Maximum", top, score) if g.random() < 0.5 else top)
        if op in BINARY:
            a, b = self.of(None, depth - 1), self.of(None, depth - 1)
            if g.random() < 0.2:
                extremes = (wires.NEGATIVE_INFINITY, self.input("E"), self.input("Flat"))
                a, b = (g.choice((*extremes, drawn)) for drawn in (a, b))
            return term(op, a, b)
        if op == "Select":
            return self.select(g.choice(shapes), depth)
        if op == "Tuple":
            shape = g.choice([s for s in SHAPES if s])
            return wires.pair(self.of(shape[0], depth - 1), self.of(shape[1], depth - 1))
        return self.part(op, g.choice(shapes), depth)

    def part(self, op: str, shape: Shape, depth: int) -> Term:
        """A component of a pair."""
        other = self.generator.choice(SHAPES[:4])
        whole = (shape, other) if op == "First" else (other, shape)
        return term(op, self.of(whole, depth - 1))

    def select(self, shape: Shape, depth: int) -> Term:
        """A choice; at times the branch that is not taken is an opaque operator."""
        g = self.generator
        taken = self.of(shape, depth - 1)
        if shape is None and g.random() < 0.2:
            axis, other = g.choice(self.axes), self.polynomial()
            opaque = term("Opaque", "unknown", axis, other, self.of(None, depth - 2))
            if g.random() < 0.5:
                return wires.select(wires.constant(Fraction(-1, 2)), taken, opaque)
            return wires.select(wires.ZERO, opaque, taken)
        condition = self.of(None, depth - 1)
        if g.random() < 0.7:
            condition = g.choice((self.input("B"), self.leaf("Predicate"), self.leaf("Index")))
        return wires.select(condition, taken, self.of(shape, depth - 1))

    def reduced(self, shape: Shape, depth: int, op: str = "") -> Term:
        """A reduction over any axis."""
        g = self.generator
        axis, monoid = g.choice(self.axes), self.monoid(shape, op)
        body = self.body(monoid, shape, depth - 1)
        if monoid is wires.PRODUCT and g.random() < 0.4:
            # Products depend on the order: −1 · −1 · −∞ = −∞, and −∞ · −1 is undefined.
            last = term("Predicate", str(size(f"{axis} + 1 - ({self.context.axes[axis]})")))
            below = wires.mul(wires.MINUS_ONE, term("Maximum", wires.ONE, body))
            body = wires.select(last, wires.NEGATIVE_INFINITY, below)
        return wires.reduce(monoid, axis, body)

    def body(self, monoid: Term, shape: Shape, depth: int) -> Term:
        """What is folded: scores beside their values, for a rescaled sum."""
        if shape is None or self.generator.random() < 0.1:
            return self.of(shape, depth)
        if monoid.op == "RescaledSum":
            return wires.pair(self.score(depth), self.of(shape[1], depth - 1))
        left, right = monoid.children
        return wires.pair(self.body(left, shape[0], depth), self.body(right, shape[1], depth))

    def score(self, depth: int) -> Term:
        """Mostly −∞ or one number, so that weights are rational."""
        g = self.generator
        flat = self.input("Flat")
        masked = wires.select(self.leaf("Predicate"), flat, wires.NEGATIVE_INFINITY)
        shifted = wires.add(flat, wires.constant(g.choice((-1, 2))))
        constant = self.leaf("Constant")
        drawn = self.of(None, depth)
        return g.choices((flat, masked, shifted, constant, drawn), weights=(4, 3, 2, 1, 1))[0]

    def suited(self, op: str, depth: int) -> Term:
        """An argument at which a function is mostly rational."""
        g = self.generator
        drawn = self.of(None, depth)
        if op in {"Abs", "Not"} or g.random() < 0.12:
            return drawn
        if op == "Inverse":
            square = wires.add(wires.mul(drawn, drawn), self.input("Square"))
            return g.choice((drawn, drawn, wires.add(square, wires.constant(Fraction(1, 3)))))
        if op == "Exp":
            return g.choice(
                (self.input("Weight"), wires.mul(wires.ZERO, drawn), term("Log", self.input("B")))
            )
        if op == "Log":
            unit = self.input("Unit")
            return g.choice((unit, unit, self.leaf("Predicate"), term("Equal", drawn, drawn)))
        square = self.input("Square")
        return g.choice(
            (square, wires.mul(drawn, drawn), wires.mul(square, self.input("B")), drawn)
        )

    def input(self, name: str) -> Term:
        """An input at 0 to 2 indices."""
        g = self.generator
        return wires.input_at(
            name, [size(self.polynomial()) for _ in range(g.choice((0, 1, 1, 2)))]
        )

    def leaf(self, op: str) -> Term:
        """A term without operands."""
        g = self.generator
        match op:
            case "Input":
                names = ("R", "S", "N", "B", "E", "Flat", "Weight", "Unit", "Square")
                return self.input(g.choices(names, weights=(6, 6, 3, 3, 2, 1, 0.5, 0.5, 2))[0])
            case "Constant":
                return wires.constant(Fraction(g.randint(-6, 6), g.choice((1, 1, 2, 3, 7))))
            case "Index" | "Predicate":
                return term(op, self.polynomial())
            case _:
                return term(op)


# The batch ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A term at sizes, inputs and an environment, with its value in Python."""

    name: str
    root: Term
    wanted: str
    """What is at its root: an operator or a monoid."""
    sizes: Mapping[str, int]
    salt: int
    environment: Mapping[str, int]
    value: Value | None
    """None where Python says that it is not exact."""

    @property
    def context(self) -> Context:
        return ALL_CONTEXTS[self.name]

    def digits(self) -> Value | None:
        """The value to 100 digits, with functions that leave the rationals."""
        try:
            return exactly(self.root, self.context, self.sizes, read(self.salt), self.environment)
        except NotExactError:
            return None


def cost(root: Term, context: Context, sizes: Mapping[str, int]) -> int:
    """How many nodes the definition visits."""
    made: dict[Term, int] = {}
    for node in subterms(root):
        times = context.axes[str(node.args[1])].evaluate(sizes) if node.op == "Reduce" else 1
        made[node] = 1 + max(times, 0) * sum(made[child] for child in node.children)
    return made[root]


def batch(seed: int, count: int) -> Iterator[Case]:
    """Random cases: every root and context in turn."""
    g = random.Random(seed)
    names = cycle(ALL_CONTEXTS)
    for number, wanted in enumerate(islice(cycle(ROOTS), count)):
        name = next(names)
        context = ALL_CONTEXTS[name]
        typed = Typed(context, g)
        while True:
            sizes = sample_sizes(context, g, g.choice((1, 2, 2, 4)))
            root = typed.root(wanted, 2 + number % 5)
            if max(sizes.values(), default=0) <= 4 and cost(root, context, sizes) <= COSTLIEST:
                break
        environment = {}
        for axis in context.axes:
            if axis not in context.splits:
                last = context.axes[axis].evaluate(sizes) - 1
                environment[axis] = g.randint(0, max(last, 0)) if g.random() < 0.9 else 5
        value: Value | None = None
        with suppress(NotExactError):
            value = semantics.denote(root, context, sizes, read(number), environment)
        yield Case(name, root, wanted, sizes, number, environment, value)


def paths(shape: Shape) -> Iterator[tuple[int, ...]]:
    """The paths to the numbers of a shape, 0 for the first of a pair and 1 for the second."""
    if shape is None:
        yield ()
    else:
        for k, part in enumerate(shape):
            yield from ((k, *path) for path in paths(part))


def component(value: Value, path: tuple[int, ...]) -> Value:
    """The number at a path."""
    for k in path:
        assert isinstance(value, tuple)
        value = value[k]
    return value


# In Coq -------------------------------------------------------------------------------------


class Writer:
    """A context's terms as Coq text."""

    def __init__(self, context: Context) -> None:
        self.export = Export(Certificate(context, (), ()))
        for name in INPUTS:
            self.export.name("input", name)
        for name in size_names(context):
            self.export.name("size", name)

    def tree(self, root: Term) -> str:
        """A term as a tree."""
        parts = [self.tree(c) for c in root.children if SIGNATURE[c.op][1] == "Term"]
        return f"(Apply ({self.export.operator(root)}) [{'; '.join(parts)}])"

    def numbers(self, kind: str, values: Mapping[str, int]) -> str:
        """A map from names."""
        pairs = (f"({self.export.name(kind, name)}, ({v})%Z)" for name, v in values.items())
        return f"[{'; '.join(pairs)}]"

    def query(self, case: Case) -> str:
        """The request for a case's values."""
        steps = ("Left", "Right")
        shown = (f"[{'; '.join(steps[k] for k in path)}]" for path in paths(case.root.shape))
        return (
            f"Eval vm_compute in values {_identifier(case.name)} "
            f"{self.numbers('size', case.sizes)} {case.salt}%Z "
            f"{self.numbers('axis', case.environment)}\n  {self.tree(case.root)}\n"
            f"  [{'; '.join(shown)}]."
        )


def _identifier(name: str) -> str:
    return "context_" + name.replace("-", "_")


def coq_file(cases: list[Case]) -> str:
    """A file that prints the values of all cases, in order."""
    writers = {name: Writer(context) for name, context in ALL_CONTEXTS.items()}
    lines = [PRELUDE]
    lines += [
        f"Definition {_identifier(name)} : context := {writer.export.context()}."
        for name, writer in writers.items()
    ]
    lines += [writers[case.name].query(case) for case in cases]
    return "\n".join(lines) + "\n"


def printed(output: str) -> list[list[Value | None]]:
    """What Coq printed: for each case its values, None for what is not computed."""
    special: Mapping[int, Value | None] = {-1: NINF, 0: UNDEF, 1: None}
    return [
        [
            Fraction(int(n), int(d)) if int(d) else special[int(n)]
            for n, d in re.findall(r"\(\(?(-?\d+)\)?%Z,\s*(\d+)%Z\)", block)
        ]
        for block in re.findall(r"=\s*\[(.*?)\]\s*:\s*list", output, re.DOTALL)
    ]


@needs_coq
def test_coq_and_python_mean_the_same() -> None:
    """Where Python has a value, Coq has it too; where Python has none, Coq has no other one."""
    cases = list(batch(2024, COUNT))
    done = kernel.run(coq_file(cases), kernel.theory(papers=True))
    assert done.returncode == 0, done.stderr
    answers = printed(done.stdout)
    assert len(answers) == len(cases)

    beyond = 0
    for case, answer in zip(cases, answers, strict=True):
        expected = case.value
        if expected is None and any(value is not None for value in answer):
            # Python computes both components of a pair, Coq the one that is asked for.
            expected = case.digits()
            beyond += 1
        for path, value in zip(paths(case.root.shape), answer, strict=True):
            if case.value is not None:
                assert value is not None, f"not computed at {path}: {case}"
            if value is not None and expected is not None:
                assert same(component(expected, path), value), f"at {path} {value}: {case}"

    # The comparison says something: of every operator and monoid, and of numbers.
    exact = [case for case in cases if case.value is not None]
    assert len(exact) >= 1000 and len(exact) >= 0.6 * len(cases)
    assert beyond <= 0.05 * len(cases)
    roots = Counter(case.wanted for case in exact)
    assert all(roots[root] >= 10 for root in ROOTS), roots
    used = Counter(node.op for case in exact for node in subterms(case.root))
    assert all(used[op] >= 20 for op in SIGNATURE), used
    values = [
        component(case.value, path)
        for case in exact
        if case.value is not None
        for path in paths(case.root.shape)
    ]
    numbers = [v for v in values if not isinstance(v, Special)]
    assert len(numbers) >= 0.6 * len(values) and len(set(numbers)) >= 100
    assert sum(v is NINF for v in values) >= 50
    splits = [
        split
        for case in exact
        for node in subterms(case.root)
        if node.op == "Reduce" and (split := case.context.splits.get(str(node.args[1])))
    ]
    assert min(Counter(split.masked for split in splits)[masked] for masked in (False, True)) >= 50
