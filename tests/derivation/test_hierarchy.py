"""More than two levels: equations 2 and 3, theorems 2 and 3, and the balance of appendix B.1."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

from ncd_formal.derivation.hierarchy import (
    Channel,
    at_memory,
    balance,
    cluster_gain,
    cluster_time,
    gains,
    in_bytes,
    levels_time,
    shared_cache,
    time,
)
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.optima import optima
from ncd_formal.derivation.signomials import Signomial, signomial, variable
from tests.derivation import cases

M, B, width = variable("M"), variable("B"), variable("width")
HALF = Fraction(1, 2)


@cache
def product() -> Signomial:
    return optima(cases.MATMUL)[0].transfers


@cache
def attention() -> Signomial:
    return optima(cases.ATTENTION)[0].transfers


def test_equation_2_sums_levels() -> None:
    """Σ over levels of H*(M_l) / B_l."""
    low = Channel(variable("M_1"), variable("B_1"))
    lower = Channel(variable("M_2"), variable("B_2"))
    abc = variable("a") * variable("b") * variable("c")
    expected = sum(
        (
            2 * abc / (variable(f"M_{k}") ** HALF * variable(f"B_{k}"))
            + variable("a") * variable("c") / variable(f"B_{k}")
            for k in (1, 2)
        ),
        signomial(0),
    )
    assert time(product(), [low, lower]) == expected


def test_equation_3_weighs_bytes() -> None:
    """A term in M^−β costs q^(1 + β): halving q gives 4, 2.83 and, where β = 0, 2."""
    channel = in_bytes(Channel(M, B), width)
    assert (
        time(attention(), [channel])
        == (
            2 * variable("q") * variable("d") * width
            + 4 * variable("x") * variable("q") * variable("d") ** 2 * width**2 / M
        )
        / B
    )
    assert gains(attention(), 2) == {Fraction(0): 2, Fraction(1): 4}
    found = gains(product(), 2)
    assert found[Fraction(0)] == 2 and found[HALF] == pytest.approx(2.83, abs=0.005)


def test_theorem_2_a_shared_cache_stands_for_all_it_serves() -> None:
    assert shared_cache(M, 4, groups_above=3, groups=12) == 4 * M
    assert shared_cache(M, 4, groups_above=3, groups=13) is None


def test_theorem_3_a_cluster_loads_once() -> None:
    """(1/B − 1/X)·H*(N·M) + 1/X·H*(M), and its gain Δ(1/B)·Σ α·M^−β·(1 − N^−β)."""
    exchange = variable("X")
    chip = Channel(M, B)
    gain = cluster_gain(attention(), chip, exchange, 4)
    alpha = 4 * variable("x") * variable("q") * variable("d") ** 2
    assert gain == (1 / B - 1 / exchange) * (alpha / M) * (1 - signomial(4) ** -1)
    # A level no faster than the one above gains nothing, one without limit all but what it loads.
    assert cluster_gain(attention(), chip, B, 4) == 0
    assert cluster_time(attention(), chip, exchange, 1) == time(attention(), [chip])
    h100 = machine("h100")
    speeds = [h100.cluster[n] for n in (1, 4, 2)]
    assert speeds == sorted(speeds) == [2.04e12, 2.65e12, 3.27e12]


def test_the_balance_of_an_h100() -> None:
    """Device memory: b ≥ 295, M ≥ 681 KB; shared memory: b ≥ 82, and with 256 KiB b ≥ 151."""
    h100 = machine("h100")
    device = balance(h100, "shared memory", "fp16")
    assert round(device.depth) == 295 and int(device.memory_bytes / 1024) == 681
    assert device.depth_at_memory is None
    shared = balance(h100, "registers", "fp16")
    assert round(shared.depth) == 82
    assert shared.depth_at_memory is not None and round(shared.depth_at_memory) == 151


def test_times_of_the_levels_of_a_machine() -> None:
    sizes = {"a": 4096, "b": 4096, "c": 4096}
    h100 = machine("h100")
    found = levels_time(product(), h100, sizes, "fp16")
    assert list(found) == ["shared memory", "registers"]
    whole = at_memory(product(), signomial(h100.memory)).evaluate(sizes) * 2 / 3.35e12
    assert found["shared memory"] == pytest.approx(whole)
