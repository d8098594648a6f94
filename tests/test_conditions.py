"""Conditions on sizes and indices are decided rightly, or not at all."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

import pytest

from ncd_formal.conditions import (
    Context,
    Split,
    assume,
    consistent,
    implies,
    parse_comparison,
    witness,
)
from ncd_formal.errors import InputError
from ncd_formal.sizes import Polynomial, size
from tests.exact import CONTEXTS, Terms, environments, size_names

RELATIONS = {
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def all_sizes(context: Context, spread: int = 3) -> Iterator[dict[str, int]]:
    """All small sizes within the lower bounds and the assumptions."""
    names = size_names(context)
    for steps in itertools.product(range(spread), repeat=len(names)):
        sizes = {n: context.least(n) + step for n, step in zip(names, steps, strict=True)}
        if all(p.evaluate(sizes) >= 0 for p in context.assumptions):
            yield sizes


def full(context: Context, point: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, int]:
    """An environment with every axis that its leaves determine."""
    known = dict(point)
    waiting = dict(context.splits)
    while waiting:
        for axis, split in list(waiting.items()):
            del waiting[axis]
            if split.outer in known and split.inner in known:
                inner = context.axes[split.inner].evaluate(sizes)
                known[axis] = known[split.outer] * inner + known[split.inner]
            elif {split.outer, split.inner} & waiting.keys():
                waiting[axis] = split
    return known


def lowest(p: Polynomial, context: Context) -> int | None:
    """The least value of ``p`` at small sizes and all indices; None where there is no index."""
    axes = [v for v in p.variables if v in context.axes]
    values = [
        p.evaluate({**sizes, **full(context, point, sizes)})
        for sizes in all_sizes(context)
        for point in environments(context, sizes, axes)
    ]
    return min(values, default=None)


def random_polynomial(terms: Terms, depth: int) -> str:
    """Sums, products, quotients and remainders of sizes and axes."""
    g = terms.generator
    if depth == 0:
        names = (*terms.axes, *terms.axes, *size_names(terms.context), "1", "2", "3")
        return g.choice(names) if g.random() < 0.7 else f"({terms.polynomial()})"
    a, b = random_polynomial(terms, depth - 1), random_polynomial(terms, depth - 1)
    axis = g.choice(terms.axes)
    shape = g.choice(
        ["{a} + {b}", "{a} - {b}", "{a} - {b}", "{a} * {b}", "{e} - 1 - {x}", "({a}) // ({b} + 1)",
         "({a}) % ({b} + 1)", "({a}) // 2", "({a}) % 3", "{e} - {a}", "2*({a}) - ({b})",
         "({x}) // ({e})", "({a}) % ({e})", "{a} - 1", "-({a})"]
    )  # fmt: skip
    return shape.format(a=f"({a})", b=f"({b})", x=axis, e=f"({terms.context.axes[axis]})")


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_is_shown_to_be_nonnegative_is(name: str) -> None:
    """At all small sizes and indices, the digits of masked axes past the end included."""
    context = CONTEXTS[name]
    terms = Terms(context, random.Random(name))
    shown: set[Polynomial] = set()
    for attempt in range(2500):
        p = size("0")
        try:
            p = size(random_polynomial(terms, attempt % 4))
        except (InputError, ZeroDivisionError):
            continue
        if p not in shown and p.constant is None and context.nonnegative(p):
            shown.add(p)
            try:
                least = lowest(p, context)
            except ZeroDivisionError:
                continue
            assert least is None or least >= 0, f"{p} may be {least}"
    assert len(shown) >= 60


def test_a_masked_axis_runs_past_its_end() -> None:
    """What lies there is not in range: n − 1 − x ≥ 0 would make every mask true."""
    parts = {"x.0": size("n"), "b.0": size("k"), "i.0": size("t")}
    masked = Context(
        axes=parts,
        assumptions=(size("k*t - n"),),
        splits={"x.0": Split("b.0", "i.0", True)},
    )
    exact = Context(
        axes={**parts, "x.0": size("k*t")}, splits={"x.0": Split("b.0", "i.0")}
    )  # fmt: skip
    assert not masked.nonnegative(size("n - 1 - x.0"))
    assert masked.nonnegative(size("k*t - 1 - x.0"))
    assert exact.nonnegative(size("k*t - 1 - x.0"))
    assert exact.nonnegative(size("x.0 - i.0"))


def test_a_quotient_inside_a_divisor_is_no_affine_index() -> None:
    """i − 100·(j % (i//2 + 1)) is negative at i = 10, j = 5, though not at i = 0."""
    context = Context(axes={"i.0": size("2*n"), "j.0": size("m")})
    p = size("i.0 - 100*(j.0 % (i.0 // 2 + 1))")
    assert p.evaluate({"i.0": 10, "j.0": 5}) < 0
    assert not context.nonnegative(p)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("n - 1", True),
        ("n - 2", False),
        ("n*m - 1", True),
        ("x.0", True),
        ("n - 1 - x.0", True),
        ("n - 2 - x.0", False),
        ("n*m - 1 - x.0*m - y.0", True),
        ("m - 1 - (x.0*m + y.0) % m", True),
        ("n - 1 - (x.0*m + y.0) // m", True),
        ("x.0*y.0", True),
        ("x.0 - y.0", False),
        ("2*n - 2 - x.0 - z.0", True),
        ("-x.0", False),
    ],
)
def test_ranges_of_indices(text: str, shown: bool) -> None:
    """The end of its range where each index is least decides."""
    context = Context(axes={"x.0": size("n"), "y.0": size("m"), "z.0": size("n")})
    assert context.nonnegative(size(text)) is shown


def test_assumptions_are_used_one_and_two_at_a_time() -> None:
    """n ≥ m and m ≥ k give n ≥ k."""
    context = assume(["n >= m", "m >= k"], ["n", "m", "k"])
    assert context.nonnegative(size("n - m"))
    assert context.nonnegative(size("n - k"))
    assert not context.nonnegative(size("k - n"))
    assert not context.nonnegative(size("n - m - 1"))


def test_a_size_is_at_least_1_unless_declared_otherwise() -> None:
    """And 0 is a size that must be asked for."""
    assert Context().least("n") == 1
    assert assume(["n >= 0"], ["n"]).least("n") == 0
    assert assume(["n > 3", "n >= 2"], ["n"]).least("n") == 4
    empty = assume(["n >= 0"], ["n"]).with_axes({"x.0": size("n"), "y.0": size("m")})
    assert not empty.nonempty("x.0")
    assert empty.nonempty("y.0")


# Comparisons by Z3 --------------------------------------------------------------------------


def holds(comparison: tuple[Polynomial, str, Polynomial], sizes: Mapping[str, int]) -> bool:
    """Whether a comparison holds at sizes."""
    left, relation, right = comparison
    return bool(RELATIONS[relation](left.evaluate(sizes), right.evaluate(sizes)))


def random_comparison(generator: random.Random, names: Sequence[str]) -> str:
    """A comparison of small expressions."""

    def side() -> str:
        n, m = generator.choice(names), generator.choice(names)
        c = generator.randint(-2, 3)
        shapes = [n, f"{n} + {c}", f"{c}*{n} + {m}", f"{n}*{m}", f"({n} + {c}) // 2",
                  f"{n} % 3", f"{n} // {m}", str(c), f"{n} // -2", f"({n} - {m}) % -3"]  # fmt: skip
        return generator.choice(shapes)

    return f"{side()} {generator.choice(list(RELATIONS))} {side()}"


@pytest.mark.parametrize("seed", range(8))
def test_implications_and_contradictions_are_those_of_small_sizes(seed: int) -> None:
    """What is implied holds wherever the assumptions do; what is inconsistent has no sizes."""
    generator = random.Random(seed)
    names = ("n", "m")
    decided = 0
    for _ in range(30):
        texts = [random_comparison(generator, names) for _ in range(2)]
        conclusion = random_comparison(generator, names)
        try:
            comparisons = [parse_comparison(text) for text in texts]
            concluded = parse_comparison(conclusion)
        except InputError:
            continue
        fitting = [
            sizes
            for n, m in itertools.product(range(1, 9), repeat=2)
            if all(holds(c, sizes := {"n": n, "m": m}) for c in comparisons)
        ]
        if not consistent(texts, names, Context()):
            assert not fitting, f"{texts} hold at {fitting[0]}"
            continue
        if not fitting:
            continue
        context = assume(texts, names)
        decided += 1
        for sizes in fitting:
            assert all(p.evaluate(sizes) >= 0 for p in context.assumptions)
            assert all(sizes[name] >= least for name, least in context.lower.items())
        found = witness(context)
        assert found is None or all(p.evaluate(found) >= 0 for p in context.assumptions)
        if implies(context, conclusion, names):
            within = [
                sizes
                for n, m in itertools.product(range(1, 9), repeat=2)
                if all(p.evaluate(sizes := {"n": n, "m": m}) >= 0 for p in context.assumptions)
                and all(sizes[name] >= context.least(name) for name in names)
            ]
            assert all(holds(concluded, sizes) for sizes in within), f"{texts}: not {conclusion}"
    assert decided >= 5


def test_division_is_rounded_down_for_negative_divisors_too() -> None:
    """(n // −2)·(−2) ≤ n fails at n = 1."""
    assert not implies(Context(), "(n // -2) * -2 <= n", ["n"])
    assert implies(Context(), "(n // -2) * -2 >= n", ["n"])
    assert implies(Context(), "n % -3 <= 0", ["n"])


@pytest.mark.parametrize(
    "conditions",
    [
        ["n >= 5", "n <= 3"],
        ["n < 1"],
        ["n > m", "m > n"],
        ["n == 2*m", "n == 2*k + 1"],
        ["n >= m + 1", "m >= k + 1", "k >= n + 1"],
        ["n*n == 2"],
    ],
    ids=" and ".join,
)
def test_assumptions_that_contradict_each_other_are_refused(conditions: list[str]) -> None:
    """From them everything would follow."""
    with pytest.raises(InputError, match="no sizes satisfy"):
        assume(conditions, ["n", "m", "k"])


def test_a_witness_satisfies_the_assumptions() -> None:
    """Small sizes where there are some, others by Z3, none where none exist."""
    near = assume(["n >= m", "n != m"], ["n", "m"])
    assert witness(near) is not None
    far = assume(["n == 1000*m", "n >= 5000"], ["n", "m"])
    found = witness(far)
    assert found is not None
    assert all(p.evaluate({"n": 5000, **far.lower, **found}) >= 0 for p in far.assumptions)
    assert witness(Context(assumptions=(size("n - 5"), size("3 - n")))) is None


@pytest.mark.parametrize(
    "text", ["n", "n >=", ">= 2", "n >= 2 >= 1", "n => ", "n + >= 2", "n = = 2", ""]
)
def test_what_is_no_comparison_is_refused(text: str) -> None:
    """With one clear line."""
    with pytest.raises(InputError):
        parse_comparison(text)
    with pytest.raises(InputError):
        assume([text], ["n"])


def test_a_condition_on_an_unknown_size_is_refused() -> None:
    """It names the size."""
    with pytest.raises(InputError, match="'q'"):
        assume(["q >= 2"], ["n"])
