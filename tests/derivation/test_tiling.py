"""Tile sizes in whole numbers: the oracles, and agreement with exhaustive search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncd_formal.derivation.nests import Nest, memory, transfers
from ncd_formal.derivation.signomials import Signomial, variable
from ncd_formal.derivation.tiling import Tiling, best_tiles, choices, relaxed
from tests.derivation import cases


def tiled(nest: Nest, sizes: Mapping[str, int], capacity: int, **divisors: int) -> Tiling | None:
    """Groups counted as the ratio a/g, blocks of one index."""
    values = {**sizes, **{n: 1 for n in nest.tile_axes if n.startswith("s_")}}
    allowed = {
        f"g_{nest.label(a)}": choices(
            nest.extents[a].evaluate(sizes), divisors.get(f"g_{nest.label(a)}", 1)
        )
        for a in nest.grouped
    }
    held = [m.substitute(values) for m in memory(nest)]
    return best_tiles(transfers(nest).substitute(values), held, allowed, capacity)


def test_matmul() -> None:
    """4096³ at M = 131,072: g = 361, H = 397,494,539."""
    found = tiled(cases.MATMUL, {"a": 4096, "b": 4096, "c": 4096}, 131_072)
    assert found is not None and dict(found.tiles) == {"g_a": 361, "g_c": 361}
    assert round(found.transfers) == 397_494_539


def test_attention() -> None:
    """q = x = 8192, d = 128, M = 131,072: g_q = 511, H = 35,717,248."""
    found = tiled(cases.ATTENTION, {"q": 8192, "x": 8192, "d": 128}, 131_072)
    assert found is not None and dict(found.tiles) == {"g_q": 511, "g_e": 128}
    assert round(found.transfers) == 35_717_248 and found.memory == 131_072


def test_convolution() -> None:
    """y = 4096, c = 256, k = 9, M = 16,384: (372, 42), 3.2 % above the bound."""
    sizes = {"y": 4096, "c_o": 256, "c_i": 256, "k": 9}
    found = tiled(cases.CONVOLUTION, sizes, 16_384)
    assert found is not None and dict(found.tiles) == {"g_y": 372, "g_c": 42}
    bound = 2 * 4096 * 256 * 256 * math.sqrt(9 / 16_384) + 4096 * 256
    assert found.transfers / bound == pytest.approx(1.032, abs=5e-4)


def test_tiles_are_multiples_of_divisors() -> None:
    found = tiled(cases.ATTENTION, {"q": 8192, "x": 8192, "d": 128}, 131_072, g_q=64, g_e=128)
    assert found is not None and dict(found.tiles) == {"g_q": 448, "g_e": 128}
    assert choices(10, 4) == (4, 8, 10) and choices(3, 4) == (3,)


def test_nothing_fits() -> None:
    assert tiled(cases.ATTENTION, {"q": 64, "x": 64, "d": 64}, 100) is None
    assert tiled(cases.ELEMENTWISE, {"n": 64}, 2) is None
    assert tiled(cases.ELEMENTWISE, {"n": 64}, 3) == Tiling({}, 192, 3)


names = ("f", "g", "h")


@st.composite
def programs(draw: st.DrawFn) -> tuple[Signomial, list[Signomial], dict[str, tuple[int, ...]]]:
    """Costs that fall and memories that grow in one to three tile sizes."""
    used = names[: draw(st.integers(1, 3))]

    def monomial(sign: int) -> Signomial:
        result = variable(used[0]) ** 0 * draw(st.integers(1, 60))
        for name in used:
            result = result * variable(name) ** (sign * draw(st.integers(0, 2)))
        return result

    moved, held = (
        [sum((monomial(sign) for _ in range(draw(st.integers(1, 3)))), monomial(sign))
         for _ in range(count)]
        for sign, count in ((-1, 1), (1, draw(st.integers(1, 2))))
    )  # fmt: skip
    allowed = {
        name: choices(draw(st.integers(1, 12)), draw(st.sampled_from([1, 1, 2, 4])))
        for name in used
    }
    return moved[0], held, allowed


@settings(max_examples=300, deadline=None)
@given(programs(), st.integers(1, 4000))
def test_the_search_agrees_with_trying_everything(
    program: tuple[Signomial, list[Signomial], dict[str, tuple[int, ...]]], capacity: int
) -> None:
    """And the geometric program over real numbers is never above it."""
    moved, held, allowed = program
    costs = [
        moved.evaluate(point)
        for values in itertools.product(*allowed.values())
        for point in [dict(zip(allowed, values, strict=True))]
        if all(m.evaluate(point) <= capacity for m in held)
    ]
    found = best_tiles(moved, held, allowed, capacity)
    if not costs:
        assert found is None
        return
    assert found is not None
    assert found.transfers == pytest.approx(min(costs), rel=1e-12)
    assert moved.evaluate(found.tiles) == pytest.approx(found.transfers, rel=1e-12)
    assert found.memory == max(m.evaluate(found.tiles) for m in held) <= capacity
    real = relaxed(moved, held, {n: float(v[-1]) for n, v in allowed.items()}, capacity)
    if real is not None:
        assert moved.evaluate(real) <= found.transfers * (1 + 1e-3)
        assert all(m.evaluate(real) <= capacity for m in held)
