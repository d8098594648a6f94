"""The formulas for H and M against loops that are walked, every load and store counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncd_formal.derivation import simulation
from ncd_formal.derivation.nests import (
    Access,
    Nest,
    Pass,
    Triangle,
    exact_memory,
    exact_transfers,
    grouped_axes,
    memory,
    transfers,
    transfers_of_a_group,
    transfers_of_a_step,
)
from ncd_formal.derivation.simulation import walk
from ncd_formal.sizes import size, variable

OUTER = ("a.0", "b.0", "c.0")
STREAMED = ("x.0", "y.0")


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Nest, dict[str, int], dict[str, int]]:
    """A nest of one or two passes, with windows and triangles, at small sizes, and its tiles."""
    exact = draw(st.booleans())
    outer = OUTER[: draw(st.integers(1, 3))]
    axes = (*outer, "k.0", "x.0")
    extents = {axis: draw(st.integers(1, 6)) for axis in axes}
    extents["y.0"] = extents["x.0"]
    window = draw(st.booleans())
    stream = draw(st.sampled_from(["x.0", "k.0", None]))
    # A window of stride 2 reads all of what it spans where it holds two values or more.
    strides = 2 if extents["k.0"] > 1 and stream != "k.0" else 1

    def access(name: str, among: tuple[str, ...], need: tuple[str, ...] = ()) -> Access:
        chosen = [a for a in among if a in need or draw(st.booleans())]
        dimensions = [variable(a) for a in chosen]
        if window and outer[0] in chosen and "k.0" in chosen:
            stride = draw(st.integers(1, strides))
            both = variable(outer[0]) * stride + variable("k.0")
            alone = (variable(outer[0]), variable("k.0"))
            dimensions = [both, *(d for d in dimensions if d not in alone)]
        return Access(name, tuple(dimensions))

    first = tuple(access(f"r{k}", axes) for k in range(draw(st.integers(1, 3))))
    out = access("out", outer, outer)
    passes = [Pass(first, (), stream)]
    kept: frozenset[str] = frozenset()
    if draw(st.booleans()):
        # A second pass over an axis of the same size, which reads again, and appends its output.
        again = [
            Access(a.name, tuple(d.substitute({"x.0": variable("y.0")}) for d in a.dimensions))
            for a in first
            if draw(st.booleans())
        ]
        passes.append(Pass((*again, access("late", (*outer, "y.0"))), (), "y.0"))
        out = access("out", (*outer, "y.0"), outer)
        if stream == "x.0" and draw(st.booleans()):
            kept = frozenset(a.name for a in again)
    passes[-1] = replace(passes[-1], writes=(out,))
    reads = [a for p in passes for a in (*p.reads, *p.writes)]
    bounds = {axis: size(extent) for axis, extent in extents.items()}
    grouped = outer if draw(st.booleans()) else grouped_axes(outer, reads, bounds)
    single = tuple(a for a in outer if a not in grouped)
    triangles: tuple[Triangle, ...] = ()
    if stream == "x.0" and not kept and not window and draw(st.booleans()):
        extents["x.0"] = extents["y.0"] = extents[outer[-1]]
        triangles = (Triangle(outer[-1], "x.0"),)
        grouped, single = outer, ()

    def tile(axis: str) -> int:
        choices = [t for t in range(1, extents[axis] + 1) if not exact or extents[axis] % t == 0]
        return draw(st.sampled_from(choices))

    tiles = {axis: tile(axis) for axis in (*grouped, "k.0", "x.0", "y.0")}
    if triangles and exact:
        tiles["x.0"] = 1
    named = {axis: size(axis[0].upper()) for axis in extents}
    if extents["y.0"] == extents["x.0"]:
        named["y.0"] = named["x.0"]
    if triangles:
        named["x.0"] = named["y.0"] = named[outer[-1]]
    nest = Nest(named, tuple(grouped), tuple(passes), kept, triangles, single)
    return nest, {str(named[axis]): extent for axis, extent in extents.items()}, tiles


@settings(max_examples=600, deadline=None)
@given(schedules())
def test_formulas_count_what_a_walk_counts(
    case: tuple[Nest, dict[str, int], dict[str, int]],
) -> None:
    """Exactly: by ratios where tiles divide the sizes, and by ceilings everywhere."""
    nest, sizes, tiles = case
    counted = walk(nest, sizes, tiles)
    assert exact_transfers(nest, sizes, tiles) == counted.transfers
    assert exact_memory(nest, sizes, tiles) == counted.peak
    extents = {axis: extent.evaluate(sizes) for axis, extent in nest.extents.items()}
    divides = all(extents[axis] % tiles[axis] == 0 for axis in tiles)
    if divides and not (nest.triangles and tiles[nest.triangles[0].streamed] != 1):
        values = {**sizes, **{name: tiles[axis] for name, axis in nest.tile_axes.items()}}
        assert transfers(nest).evaluate(values) == counted.transfers
        assert max(m.evaluate(values) for m in memory(nest)) == counted.peak
        groups = 1
        for axis in nest.cut:
            groups *= extents[axis] // tiles.get(axis, 1)
        assert transfers_of_a_group(nest).evaluate(values) * groups == counted.transfers


def matmul() -> Nest:
    n, m, k = (variable(f"{a}.0") for a in "nmk")
    extents = {"n.0": size("n"), "m.0": size("m"), "k.0": size("k")}
    reads = (Access("a", (n, k)), Access("b", (k, m)))
    return Nest(extents, ("m.0", "n.0"), (Pass(reads, (Access("output", (n, m)),), "k.0"),))


def test_the_general_law_at_a_matrix_product() -> None:
    """H = abc(1/g_a + 1/g_c) + ac and M = g_a*g_c + g_a*s + s*g_c, for a dispatch and a step."""
    nest = matmul()
    assert str(transfers(nest)) == "k*m*n/g_m + k*m*n/g_n + m*n"
    assert [str(m) for m in memory(nest)] == ["g_m*g_n + g_m*s_k + g_n*s_k"]
    assert [str(h) for h in transfers_of_a_step(nest)] == ["g_m*s_k + g_n*s_k"]
    assert str(transfers_of_a_group(nest)) == "g_m*g_n + g_m*k + g_n*k"


def test_a_triangle_visits_no_more_blocks_than_it_needs() -> None:
    nest = matmul()
    half = replace(nest, triangles=(Triangle("n.0", "k.0"),))
    sizes, tiles = {"n": 4, "m": 1, "k": 4}, {"n.0": 1, "m.0": 1, "k.0": 1}
    assert walk(nest, sizes, tiles).points == 16
    assert walk(half, sizes, tiles).points == 1 + 2 + 3 + 4


def test_a_walk_notices_an_operand_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    Addresses = set[simulation.Address]

    def forgets(chip: simulation._Chip, holder: object, addresses: Addresses, _: object) -> None:
        chip.make(holder, {a for a in addresses if a[0] != "b"})

    monkeypatch.setattr(simulation._Chip, "load", forgets)
    with pytest.raises(simulation.OffChip, match=r"b\[0, 0\]"):
        walk(matmul(), {"n": 2, "m": 2, "k": 2}, {"n.0": 1, "m.0": 1, "k.0": 1})
