"""The closed forms of FlashAttention on a Napkin, derived; and where each is the optimum."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import cache

import pytest

from ncd_formal.derivation.nests import Nest, memory, transfers
from ncd_formal.derivation.optima import MEMORY, Optimum, inequality, least, optima
from ncd_formal.derivation.signomials import Signomial, signomial, variable
from ncd_formal.derivation.tiling import relaxed
from ncd_formal.sizes import size
from tests.derivation import cases

HALF = Fraction(1, 2)


def table(text: str) -> Signomial:
    return signomial(size(text))


def over_memory(text: str, power: Fraction | int) -> Signomial:
    return table(text) * MEMORY**-power


# name: (nest, H with the groups, H at the optimum)
TABLE: dict[str, tuple[Nest, Signomial, Signomial]] = {
    "matmul": (
        cases.MATMUL,
        table("a*b*c") * (1 / variable("g_a") + 1 / variable("g_c")) + table("a*c"),
        over_memory("2*a*b*c", HALF) + table("a*c"),
    ),
    "attention": (
        cases.ATTENTION,
        table("2*q*d") + table("2*x*q*d") / variable("g_q"),
        table("2*q*d") + over_memory("4*x*q*d**2", 1),
    ),
    "multi-head": (
        cases.MULTI_HEAD,
        table("2*q*h*d") + table("2*x*q*h*d") / variable("g_q"),
        table("2*h*q*d") + over_memory("4*h*x*q*d**2", 1),
    ),
    "grouped": (
        cases.GROUPED,
        table("2*q*h*r*d") + table("2*x*q*h*r*d") / (variable("g_q") * variable("g_r")),
        table("2*h*r*q*d") + over_memory("4*h*r*x*q*d**2", 1),
    ),
    "unequal": (
        cases.UNEQUAL,
        table("q*d_k + q*d_v") + table("x*q*d_k + x*q*d_v") / variable("g_q"),
        table("q*d_k + q*d_v") + table("x*q") * table("d_k + d_v") ** 2 / MEMORY,
    ),
    # The blocks on the diagonal are needed whole: n·d more than half.
    "causal": (
        cases.CAUSAL,
        table("2*n*d") + table("n**2*d") / variable("g_q") + table("n*d"),
        table("2*n*d") + over_memory("2*n**2*d**2", 1) + table("n*d"),
    ),
    "MLP": (
        cases.MLP,
        table("2*x*m") + table("2*x*f*m") / variable("g_x"),
        table("2*x*m") + over_memory("4*x*f*m**2", 1),
    ),
    # The source's bound leaves out the halo, y·c_o·c_i·(k − 1)/(g_y·g_c).
    "convolution": (
        cases.CONVOLUTION,
        table("y*c_o*c_i")
        * ((1 + table("k - 1") / variable("g_y")) / variable("g_c") + table("k") / variable("g_y"))
        + table("y*c_o"),
        table("2*y*c_o*c_i") * table("k") ** HALF * MEMORY**-HALF
        + table("y*c_o")
        + over_memory("y*c_o*c_i*k - y*c_o*c_i", 1),
    ),
}


@cache
def regimes(name: str) -> tuple[Optimum, ...]:
    return optima(TABLE[name][0])


def at_whole_width(name: str, formula: Signomial) -> Signomial:
    width = {"unequal": "d_v", "MLP": "m"}.get(name, "d")
    axis = {"MLP": "g_p"}.get(name, "g_e")
    return formula.substitute({axis: variable(width)})


@pytest.mark.parametrize("name", list(TABLE))
def test_transfers_are_those_of_the_table(name: str) -> None:
    nest, expected, _ = TABLE[name]
    assert at_whole_width(name, transfers(nest)) == expected


def named(name: str) -> Optimum:
    return regimes(name)[0]


@pytest.mark.parametrize("name", list(TABLE))
def test_the_optimum_is_that_of_the_table(name: str) -> None:
    """By symbolic equality, in the regime in which the memory is filled by groups of some axis."""
    assert named(name).transfers == TABLE[name][2]


def test_the_groups_are_those_of_the_table() -> None:
    """g = √M; g_q = M/2d; (g_y, g_c) = (√(k·M), √(M/k))."""
    assert named("matmul").tiles == {"g_a": MEMORY**HALF, "g_c": MEMORY**HALF}
    assert named("attention").tiles["g_q"] == MEMORY / (2 * variable("d"))
    tiles = named("convolution").tiles
    assert tiles["g_y"] == (variable("k") * MEMORY) ** HALF
    assert tiles["g_c"] == (MEMORY / variable("k")) ** HALF


def test_the_memory_is_that_of_the_table() -> None:
    held = {name: at_whole_width(name, memory(nest)[0]) for name, (nest, _, _) in TABLE.items()}
    g, s, d = variable("g_q"), variable("s_x"), variable("d")
    assert held["attention"] == 2 * g * d + 2 * s * d
    assert held["grouped"] == 2 * g * variable("g_r") * d + 2 * s * d
    assert held["unequal"] == (g + s) * table("d_k + d_v")
    assert held["MLP"] == 2 * variable("g_x") * variable("m") + 2 * variable("s_f") * variable("m")
    a, c, b = (variable(n) for n in ("g_a", "g_c", "s_b"))
    assert held["matmul"] == a * c + a * b + b * c
    y, o, i, k = (variable(n) for n in ("g_y", "g_c", "s_i", "k"))
    assert held["convolution"] == y * o + i * ((y + k - 1) + k * o)


def test_a_softmax_of_rows_moves_2qx_where_a_row_fits_and_else_3qx() -> None:
    (fits,) = optima(cases.two_passes(kept=True))
    assert fits.transfers == table("2*q*x")
    assert [inequality(c) for c in fits.conditions] == ["M ≥ x"]
    (streams,) = optima(cases.two_passes(kept=False))
    assert streams.transfers == table("3*q*x") and streams.conditions == ()


def test_elementwise_moves_what_it_reads_and_writes() -> None:
    (only,) = optima(cases.ELEMENTWISE)
    assert only.transfers == table("3*n")


def test_unfused_attention_is_the_sum_of_its_dispatches() -> None:
    """4·q·x·d·M^(-1/2) + 3·q·x + q·d: two products and a softmax of rows that fit."""
    scores = named("matmul").transfers.substitute(
        {"a": variable("q"), "b": variable("d"), "c": variable("x")}
    )
    values = named("matmul").transfers.substitute(
        {"a": variable("q"), "b": variable("x"), "c": variable("d")}
    )
    (rows,) = optima(cases.two_passes(kept=True))
    assert scores + rows.transfers + values == (over_memory("4*q*x*d", HALF) + table("3*q*x + q*d"))


def test_decoding_moves_each_key_and_value_once() -> None:
    """q = 1: 2·h_q·d + 2·x·h·d, as all the queries of a head fit."""
    one = {"q": signomial(1)}
    whole = regimes("grouped")[-1].transfers.substitute(one)
    assert whole == table("2*h*r*d + 2*x*h*d")


@pytest.mark.parametrize("name", [*TABLE])
def test_a_regime_that_holds_is_the_optimum(name: str) -> None:
    """Against the geometric program in real numbers, at random sizes; some regime mostly holds."""
    nest = TABLE[name][0]
    held = {n: signomial(0) for n in nest.tile_axes if n.startswith("s_")}
    ranges = {f"g_{nest.label(a)}": signomial(nest.extents[a]) for a in nest.grouped}
    draw = random.Random(name)
    checked = 0
    for _ in range(60):
        sizes = {v: draw.choice([1, 2, 3, 8, 40, 300]) for e in nest.extents.values()
                 for v in e.variables}  # fmt: skip
        capacity = draw.choice([50, 400, 5000])
        values = {**sizes, "M": capacity}
        holding = [o for o in regimes(name) if o.holds(values)]
        real = relaxed(
            transfers(nest).substitute(sizes),
            [m.substitute({**held, **sizes}) for m in memory(nest)],
            {n: e.evaluate(sizes) for n, e in ranges.items()},
            capacity,
        )
        if real is None or not holding:
            continue
        checked += 1
        lowest = transfers(nest).evaluate({**sizes, **real})
        for optimum in holding:
            assert optimum.transfers.evaluate(values) == pytest.approx(lowest, rel=1e-4)
    assert checked >= 10


def test_a_regime_that_evidently_never_holds_is_left_out() -> None:
    g, a = variable("g"), variable("a")
    found = least(a / g, [g + a + 1], {"g": a})
    assert all(o.tiles["g"] == a for o in found)
    assert least(a * g, [g * a], {"g": a})[-1].tiles == {"g": a}
