"""Processors that idle, and forms in parts: what they cost, and where they are chosen."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncd_formal.derivation import Costed, _single_output, compare, estimate
from ncd_formal.derivation.cost import cost, least_of_each_count
from ncd_formal.derivation.cost import schedules as schedules_of
from ncd_formal.derivation.machines import machine
from ncd_formal.derivation.nests import (
    Access,
    Nest,
    Pass,
    exact_memory,
    exact_transfers,
    in_parts,
    memory,
    transfers,
    windows,
)
from ncd_formal.derivation.parts import Divided, divide
from ncd_formal.derivation.schedules import nests, operations, work
from ncd_formal.derivation.signomials import Signomial, signomial
from ncd_formal.derivation.signomials import variable as variable_of
from ncd_formal.derivation.simulation import walk
from ncd_formal.derivation.streaming import stream
from ncd_formal.derivation.tiling import best_tiles, busiest_tiles, choices
from ncd_formal.sizes import size, variable
from tests.derivation.test_simulation import schedules

Program = Callable[..., Any]

DECODING = {"q": "b h 1 d", "k": "b h m d", "v": "b h m d"}
LONG = {"b": 1, "h": 16, "m": 131_072, "d": 128}


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


def test_times_are_those_of_the_processors_that_work() -> None:
    """Three rows: three groups on 132 processors, and 44 times what the whole machine takes."""
    found = estimate(softmax, {"x": "q x"}, "h100", {"q": 3, "x": 8192}).cost
    assert found.groups == (3,) and found.idle == (129,)
    assert found.times["memory"] == pytest.approx(float(found.bytes) / 3.35e12 * 132 / 3)
    rate = 16 * 1.83e9 * 3  # special functions of three processors
    assert found.times["special functions"] == pytest.approx(float(found.special) / rate)
    assert "3 groups: 129 of 132 processors idle" in str(found)
    data = json.loads(json.dumps(found.to_json()))
    assert data["groups"] == [3] and data["idle"] == [129]
    full = estimate(softmax, {"x": "q x"}, "h100", {"q": 132, "x": 8192}).cost
    assert full.groups == (132,) and full.idle == (0,) and "idle" not in str(full)
    assert "idle" not in full.to_json()
    assert full.times == found.times  # as long for 44 times as much


def test_the_two_level_model_counts_values_alone() -> None:
    found = estimate(softmax, {"x": "q x"}, {"memory": 64}, {"q": 3, "x": 8}).cost
    assert found.groups == () and found.idle == ()


def test_tiles_are_smaller_where_that_keeps_processors_busy() -> None:
    """Of 1024 × 1024: groups of 64 × 128 make 128, where those of least H are fewer."""
    shapes, sizes = {"a": "n k", "b": "k m"}, {"n": 1024, "m": 1024, "k": 65_536}
    plan, h100 = estimate(matmul, shapes).plan, machine("h100")
    whole, found = (cost(plan, m, sizes) for m in (replace(h100, processors=1), h100))
    assert whole.groups[0] < 132 and math.prod(found.tiles[a] for a in "nm") == 64 * 128
    assert found.groups == (128,)
    assert float(found.transfers) * 132 / 128 < float(whole.transfers) * 132 / whole.groups[0]


@st.composite
def searches(
    draw: st.DrawFn,
) -> tuple[dict[str, int], dict[str, tuple[int, ...]], Signomial, int, int]:
    """Extents and choices of one to three axes, what is held, the memory, and processors."""
    names = ("f", "g", "h")[: draw(st.integers(1, 3))]
    extents = {name: draw(st.integers(1, 14)) for name in names}
    allowed = {
        name: choices(extent, draw(st.sampled_from([1, 1, 2, 4])))
        for name, extent in extents.items()
    }
    held = Signomial({})
    for _ in range(draw(st.integers(1, 3))):
        part = variable_of(names[0]) ** 0 * draw(st.integers(1, 9))
        for name in names:
            part = part * variable_of(name) ** draw(st.integers(0, 1))
        held = held + part
    return extents, allowed, held, draw(st.integers(1, 400)), draw(st.integers(2, 200))


@settings(max_examples=300, deadline=None)
@given(searches(), st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_the_search_with_idle_processors_agrees_with_trying_everything(
    case: tuple[dict[str, int], dict[str, tuple[int, ...]], Signomial, int, int],
    weights: list[int],
) -> None:
    """Whole groups, each subset of axes with an array that lacks it; all choices, and the least of
    each count alone, which lead to the same.
    """
    extents, allowed, held, capacity, processors = case
    names = tuple(extents)

    def count(name: str, tiles: Mapping[str, int]) -> int:
        return -(-extents[name] // tiles[name])

    def counted(tiles: Mapping[str, int]) -> float:
        return sum(
            weight * math.prod(count(n, tiles) for j, n in enumerate(names) if k >> j & 1)
            for k, weight in enumerate(weights[: 2 ** len(names)], 0)
        )

    def idle(tiles: Mapping[str, int]) -> float:
        groups = math.prod(count(name, tiles) for name in names)
        return processors / min(processors, groups)

    points = [dict(zip(names, values, strict=True)) for values in product(*allowed.values())]
    fitting = [p for p in points if held.evaluate(p) <= capacity]
    smooth = variable_of(names[0]) ** -1
    first = best_tiles(smooth, [held], allowed, capacity, counted)
    if first is None:
        assert not fitting
        return
    least = min(counted(p) * idle(p) for p in fitting)
    fewer = {n: least_of_each_count(extents[n], tiles) for n, tiles in allowed.items()}
    for among in (allowed, fewer):
        found = busiest_tiles(first, [held], among, capacity, counted, idle)
        assert counted(found.tiles) == found.transfers
        assert found.transfers * idle(found.tiles) == least
        assert found.memory == held.evaluate(found.tiles) <= capacity


@cache
def decoding() -> Costed:
    return estimate(attention, DECODING, "h100", LONG)


def divided(program: Program, shapes: Mapping[str, str]) -> Divided:
    """The form in parts of a program's one dispatch."""
    _, output, context = _single_output(program, shapes, (), None)
    return divide(stream(output, context, parts=True), context)


PROGRAMS: Mapping[str, tuple[Program, dict[str, str], dict[str, int], str]] = {
    "decoding": (attention, DECODING, {"b": 1, "h": 2, "m": 6, "d": 3}, "m"),
    "matmul": (matmul, {"a": "n k", "b": "k m"}, {"n": 3, "k": 7, "m": 2}, "k"),
    "unequal": (attention, {"q": "q d", "k": "x d", "v": "x e"},
                {"q": 3, "x": 5, "d": 2, "e": 3}, "x"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_both_dispatches_move_what_a_walk_counts(name: str) -> None:
    program, shapes, sizes, axis = PROGRAMS[name]
    for plan in divided(program, shapes).plans:
        (nest,) = nests(plan)
        for parts, step in product((2, 3, 4), (1, 2, 3)):
            at = {**sizes, f"{axis}_parts": parts, f"{axis}_each": -(-sizes[axis] // parts)}
            tiles = {each: min(step, nest.extents[each].evaluate(at)) for each in nest.extents}
            counted = walk(nest, at, tiles)
            assert counted.transfers == exact_transfers(nest, at, tiles)
            assert counted.peak == exact_memory(nest, at, tiles)


@settings(max_examples=300, deadline=None)
@given(schedules(), st.integers(1, 4), st.data())
def test_a_nest_in_parts_counts_what_a_walk_counts(
    case: tuple[Nest, dict[str, int], dict[str, int]], parts: int, data: st.DataObject
) -> None:
    """Of random schedules, with windows and outputs that lack axes; several are written.

    Exactly: by ratios where tiles divide the sizes, and by ceilings everywhere.
    """
    nest, sizes, tiles = case
    first = nest.passes[0]
    assume(len(nest.passes) == 1 and first.stream is not None)
    assert first.stream is not None
    lacking = data.draw(st.sets(st.sampled_from(sorted(nest.cut))))
    state = Access("state", tuple(variable(a) for a in nest.cut if a not in lacking))
    nest = replace(nest, passes=(replace(first, writes=(*first.writes, state)),))
    dealt = in_parts(nest, first.stream, "p.0", size("P"), size("each"))
    each = sizes[str(nest.extents[first.stream])]
    sizes = {**sizes, "P": parts, "each": each}
    counted = walk(dealt, sizes, tiles)
    assert exact_transfers(dealt, sizes, tiles) == counted.transfers
    assert exact_memory(dealt, sizes, tiles) == counted.peak
    extents = {axis: extent.evaluate(sizes) for axis, extent in dealt.extents.items()}
    if all(extents[axis] % tiles[axis] == 0 for axis in tiles):
        values = {**sizes, **{name: tiles[axis] for name, axis in dealt.tile_axes.items()}}
        assert transfers(dealt).evaluate(values) == counted.transfers
        assert max(m.evaluate(values) for m in memory(dealt)) == counted.peak
    # What runs along the axis is read once over all parts: as often as by one, P times as long.
    along = [a for a in first.reads if first.stream in a.axes]
    only = replace(
        nest,
        extents={**nest.extents, first.stream: size("L")},
        passes=(Pass(tuple(along), (), first.stream),),
        triangles=(),
    )
    longer = {**sizes, "L": parts * each}
    if not any(first.stream in w for a in along for w in windows(a, nest.extents)):
        read = in_parts(only, first.stream, "p.0", size("P"), size("each"))
        assert exact_transfers(read, sizes, tiles) == exact_transfers(only, longer, tiles)


def test_what_the_states_of_decoding_move() -> None:
    """Keys and values once, queries once for each part, and three states for each part."""
    states, combining = divided(attention, DECODING).plans
    (nest,) = nests(states)
    assert nest.grouped == ("d.0",) and nest.single[0] == "m_part.0"
    sizes = {**LONG, "m_parts": 16, "m_each": LONG["m"] // 16}
    moved = exact_transfers(nest, sizes, {"d.0": 128, "m.0": 16})
    assert moved == 2 * 16 * 131_072 * 128 + 16 * 16 * 128 + 16 * 16 * (128 + 2)
    assert exact_memory(nest, sizes, {"d.0": 128, "m.0": 16}) == 2 * 16 * 128 + 2 * 128 + 2
    (nest,) = nests(combining)
    moved = exact_transfers(nest, sizes, {"d.0": 128, "m_part.0": 16})
    assert moved == 16 * 16 * (128 + 2) + 16 * 128
    formula = schedules_of(states).formulas[0]
    assert "m_each" not in str(formula) and "m/m_parts" in formula.group_formula
    done = work(states, nests(states)[0]).flops.substitute({"g_d": variable_of("d")})
    assert done == signomial(size("4*b*d*h*m"))  # no more than in one dispatch
    assert operations(states) is size("4*b*d*h*m")


def test_decoding_is_split_and_says_why() -> None:
    """As long as the whole machine takes to read keys and values, or 2.5 times that fused."""
    found = decoding()
    assert found.in_parts and not found.fused and found.streamed == "m.0"
    assert found.cost.tiles["m_parts"] == 16 and found.cost.groups == (256, 32)
    assert "fused leaves 100 of 132 processors idle" in found.why
    assert "streams m.0 in parts" in found.explain()
    least = 2 * 16 * 131_072 * 128 * 2 / 3.35e12
    assert least < float(found.cost.time) < 1.001 * least
    data = json.loads(json.dumps(found.to_json()))
    assert data["in_parts"] and data["tiles"]["m_parts"] == 16 and data["idle"] == [0, 100]


def test_prefill_stays_fused_with_the_numbers_of_the_readme() -> None:
    shapes = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
    sizes = {"b": 1, "h": 16, "n": 4096, "m": 4096, "d": 128}
    found = estimate(attention, shapes, "h100", sizes)
    assert found.fused and not found.in_parts and found.cost.transfers == 201_326_592
    assert found.cost.tiles == {"d": 128, "n": 384, "m": 16} and "in parts" not in found.why


def test_a_long_sum_of_few_products_is_split() -> None:
    """Split-K: 64 × 64 products along 2²⁰, which one processor would work on alone."""
    shapes, sizes = {"a": "n k", "b": "k m"}, {"n": 64, "m": 64, "k": 2**20}
    found = estimate(matmul, shapes, "h100", sizes)
    assert found.in_parts and found.cost.tiles["k_parts"] == 256
    assert "one dispatch leaves 131 of 132 processors idle" in found.why
    least = 2 * 64 * 2**20 * 2 / 3.35e12
    assert least < float(found.cost.time) < 1.02 * least


def test_no_other_number_of_parts_that_is_a_power_of_two_is_better() -> None:
    states, combining = map(schedules_of, divided(attention, DECODING).plans)

    def time(parts: int) -> float:
        sizes = {**LONG, "m_parts": parts, "m_each": LONG["m"] // parts}
        return sum(float(cost(each, machine("h100"), sizes).time) for each in (states, combining))

    assert min(range(1, 12), key=lambda k: time(2**k)) == 4


@pytest.mark.parametrize("hardware", [{"memory": 4096}, replace(machine("h100"), processors=1)])
def test_one_processor_never_splits(hardware: Any) -> None:
    assert not estimate(attention, DECODING, hardware, {**LONG, "m": 4096}).in_parts


def test_what_does_not_stream_in_one_pass_is_not_split() -> None:
    """The largest distance from the mean: the mean comes first."""

    def twice(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)).abs().amax(-1)

    found = compare(twice, {"x": (8192,)}, {"x": "q x"}, "h100", {"q": 3})
    assert "in parts" not in found.candidates


def test_without_sizes_the_ways_are_as_written() -> None:
    assert estimate(attention, DECODING).fused
    found = compare(attention, {}, DECODING)
    assert "in parts" not in found.candidates


def test_a_map_shows_where_splitting_wins() -> None:
    shapes = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
    over = {"n": (1, 512, 8192), "m": (1024, 65_536)}
    found = compare(attention, over, shapes, "h100", {"b": 1, "h": 16, "d": 128})
    won = {(cell.sizes["n"], cell.sizes["m"]): cell.winner for cell in found.cells}
    assert won[1, 65_536] == won[512, 65_536] == "in parts"
    assert won[8192, 1024] == won[8192, 65_536] == "fused"
    assert "in parts" in found.explain()
    assert any("m_parts" in b.text() for b in found.boundaries)


def test_a_size_of_none_does_not_take_the_parts_from_a_map() -> None:
    """Without rows there is nothing to tell by; with one, processors idle."""
    shapes = {"q": "b h n d", "k": "b h m d", "v": "b h m d"}
    sizes = {"b": 1, "h": 16, "d": 128, "m": 65_536}
    found = compare(attention, {"n": (0, 1)}, shapes, "h100", sizes)
    assert "in parts" in found.candidates
